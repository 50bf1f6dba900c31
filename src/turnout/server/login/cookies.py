"""The two cookies of the gateway, read and written. Floor 6.

Over TLS their names begin with `__Host-`: a browser then takes them only from this very host, for all its
paths, and over TLS, so no neighbour can plant one.
"""

from typing import Final, NamedTuple

from turnout.server.http import Scope

_MOST: Final = 4096
"""Characters of a value that is looked at."""


class Cookie(NamedTuple):
    """A cookie by its name, and where a browser sends it along."""

    name: str
    same_site: str


SESSION: Final = Cookie("turnout-session", "Strict")
PENDING: Final = Cookie("turnout-login", "Lax")
"""A sign-in under way: the provider sends the browser back from another site."""


def read(scope: Scope, cookie: Cookie, *, secure: bool) -> str:
    """Return what a cookie holds; "" = it is not there, or there twice."""
    wanted = _name(cookie, secure=secure)
    found: list[str] = []
    for header, raw in scope["headers"]:
        if header == b"cookie":
            for part in raw.decode("latin-1").split(";"):
                name, equals, value = part.strip().partition("=")
                if equals and name == wanted:
                    found.append(value)
    return found[0] if len(found) == 1 and len(found[0]) <= _MOST else ""


def write(cookie: Cookie, value: str, *, secure: bool, max_age_s: float) -> tuple[bytes, bytes]:
    """Return the header that has a browser keep a cookie; an empty one is forgotten."""
    parts = [f"{_name(cookie, secure=secure)}={value}", "Path=/", f"Max-Age={int(max_age_s) if value else 0}"]
    parts += ["HttpOnly", f"SameSite={cookie.same_site}", *(("Secure",) if secure else ())]
    return b"set-cookie", "; ".join(parts).encode("ascii")


def _name(cookie: Cookie, *, secure: bool) -> str:
    return f"__Host-{cookie.name}" if secure else cookie.name
