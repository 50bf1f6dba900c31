"""Attaching a credential to a request, to the hosts it belongs to and no other (S-10). Floor 3.

The header is made once; the hot path looks up whether the URL was seen before. The value is unwrapped from
its `Secret` here and nowhere else, and shows in no `repr`.
"""

from collections.abc import Iterable

from turnout.errors import ConfigError, Forbidden
from turnout.transport.base import Authorise
from turnout.transport.guard import normal_host, parse_url
from turnout.types.deployment import Auth, Credential
from turnout.types.http import Headers, HttpRequest

_PREFIX: dict[Auth, tuple[bytes, bytes]] = {
    "bearer": (b"authorization", b"Bearer "),
    "x-api-key": (b"x-api-key", b""),
    "x-goog-api-key": (b"x-goog-api-key", b""),
    "api-key": (b"api-key", b""),
}
_MAX_URLS = 1024


def authorise_for(auth: Auth, credential: Credential | None, hosts: Iterable[str]) -> Authorise:
    """Return what presents a credential in the vendor's style, at the given hosts only.

    Without a credential, or with the style `none`, it presents nothing anywhere.

    Raises `ConfigError` when the key cannot be a header value or a host cannot be read.
    """
    if auth == "none" or credential is None or credential.secret is None:
        return _nothing
    if auth not in _PREFIX:
        raise ConfigError((f"credential {credential.name!r}: {auth} needs more than a header",))
    name, prefix = _PREFIX[auth]
    try:
        value = prefix + credential.secret.reveal().encode("ascii")
    except UnicodeEncodeError:
        raise ConfigError((f"credential {credential.name!r} holds characters outside ASCII",)) from None
    if not value.removeprefix(prefix) or any(byte < 0x20 or byte == 0x7F for byte in value):
        raise ConfigError((f"credential {credential.name!r} is empty or holds a line break or control",))
    return _HostBound(credential.name, ((name, value),), hosts_of(hosts))


class _HostBound:
    """One credential and the hosts it may go to."""

    __slots__ = ("_headers", "_hosts", "_known", "_name")

    def __init__(self, name: str, headers: Headers, hosts: frozenset[str]) -> None:
        self._name = name
        self._headers = headers
        self._hosts = hosts
        self._known: set[str] = set()

    def __call__(self, request: HttpRequest) -> Headers:
        if request.url not in self._known:
            self._admit(request.url)
        return self._headers

    def __repr__(self) -> str:
        return f"<credential {self._name!r} for {', '.join(sorted(self._hosts))}>"

    def _admit(self, url: str) -> None:
        check_host(url, self._hosts, self._name)
        if len(self._known) >= _MAX_URLS:
            self._known.clear()
        self._known.add(url)


def check_host(url: str, hosts: frozenset[str], name: str) -> None:
    """Refuse an address at a host that a credential does not belong to. Raises `Forbidden`."""
    origin, _ = parse_url(url)
    if origin.host not in hosts:
        raise Forbidden(f"credential {name!r} does not belong to {origin.host}")


def hosts_of(hosts: Iterable[str]) -> frozenset[str]:
    """Return hosts in the spelling they are compared in. Raises `ConfigError`."""
    return frozenset(map(_host, hosts))


def _nothing(_request: HttpRequest) -> Headers:
    return ()


def _host(host: str) -> str:
    try:
        return normal_host(f"[{host}]" if ":" in host and host[0] != "[" else host)
    except Forbidden as error:
        raise ConfigError((error.message,)) from None
