"""Request heads: checked once, remembered, completed with the body's length. Floor 3.

Theory of operation.
1. Calls to one URL repeat the same headers and the same credential; only the body differs. The head up to
   `content-length` is therefore built and checked once per (method, headers, credentials) and looked up by
   value, so that a changed header can never meet a head made for another.
2. Names are tokens and not among those that frame the message; values hold no CR, LF or NUL (S-43). A head
   that fails is `Internal`: callers' headers were filtered long before.
3. The memory is bounded; per-request headers only make it start over.
"""

import re

from turnout.errors import Internal
from turnout.transport.guard import Origin
from turnout.types.http import Headers

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OWNED = frozenset(
    {b"host", b"content-length", b"connection", b"transfer-encoding", b"accept-encoding", b"te"}
    | {b"keep-alive", b"upgrade", b"expect", b"trailer", b"proxy-connection", b"proxy-authorization"}
)
"""Names only the transport may write: they frame the message or belong to the hop."""
BODILESS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
"""Methods whose requests say nothing about a body unless they have one."""
_MAX_HEADS = 64


class Heads:
    """The request heads of one URL."""

    __slots__ = ("_fixed", "_known", "_line")

    def __init__(self, origin: Origin, target: str, *, user_agent: str, compressed: bool) -> None:
        encodings = "gzip, deflate" if compressed else "identity"
        self._line = f" {target} HTTP/1.1\r\n".encode("ascii")
        self._fixed = (
            f"host: {origin.authority}\r\nuser-agent: {user_agent}\r\naccept-encoding: {encodings}\r\n"
        ).encode("ascii")
        self._known: dict[tuple[str, Headers, Headers], bytes] = {}

    def head(self, method: str, headers: Headers, credentials: Headers, n_body: int) -> bytes:
        """Return everything before the body. Raises `Internal` for a header that must not be sent."""
        key = (method, tuple(headers), tuple(credentials))
        known = self._known.get(key)
        if known is None:
            known = self._build(method, headers, credentials)
            if len(self._known) >= _MAX_HEADS:
                self._known.clear()
            self._known[key] = known
        if n_body or method not in BODILESS:
            return b"%bcontent-length: %d\r\n\r\n" % (known, n_body)
        return known + b"\r\n"

    def _build(self, method: str, headers: Headers, credentials: Headers) -> bytes:
        if not (method.isascii() and method.isalpha() and method.isupper()):
            raise Internal(f"{method[:20]!r} is not an HTTP method")
        lines = [method.encode("ascii"), self._line, self._fixed]
        for name, value in (*headers, *credentials):
            check_header(name, value)
            lines.append(b"%b: %b\r\n" % (name, value))
        return b"".join(lines)


def check_header(name: bytes, value: bytes) -> None:
    """Raise `Internal` unless the line can be sent as one header and is not the transport's own."""
    if _TOKEN.fullmatch(name) is None:
        raise Internal(f"{name[:40]!r} is not a header name")
    if name.lower() in _OWNED:
        raise Internal(f"header {name.decode()!r} is written by the transport only")
    if b"\r" in value or b"\n" in value or b"\0" in value:
        raise Internal(f"header {name.decode()!r} holds CR, LF or NUL")
