"""Request heads: what they must be, and those that come again and again. Floor 6.

Theory of operation. A client sends one head for all its requests, but for the length of the body. The parser
need not look at it a second time:

1. A head is kept when it came with its whole body, and nothing else, in one read, was accepted, has exactly
   one `content-length` and wishes for nothing beyond an answer. It is dropped with the next byte that the
   parser gets: a request may be answered before its body came, and bytes of that body look like anything.
2. A read is the same request with another body if it differs from the kept one in the digits of that length
   only, and what follows the head is as long as they say. The parser would accept it too, and call the same
   names and values: digits are digits to it, and the rest it has seen byte by byte.
3. Everything else, a part of such a request included, goes to the parser, which stands where it stood:
   between two messages.
4. The memory is one connection's and holds one head; it goes with the limits it was checked under.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import httptools
import msgspec
from httptools import HttpParserError
from msgspec import Struct

from turnout.errors import GatewayOverloaded, InvalidRequest, RequestTooLarge, TurnoutError
from turnout.server.http import JSON_TYPE, RawHeaders, Scope

if TYPE_CHECKING:
    from turnout.server.inbound import Inbound

MAX_HEAD_BYTES = 32 * 1024
MAX_HEADER_BYTES = 16 * 1024
MAX_HEADERS = 100
MAX_DIGITS = 9
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
_SINGLE = (b"host", b"content-length", b"transfer-encoding")
"""What frames and addresses a message; other names that may stand once are the application's to check."""
_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: ?([0-9]{1,9})\r\n")
_END = b"\r\n\r\n"


class Refused(Struct, frozen=True):
    """What a client gets that breaks a rule before there is a request to serve."""

    status: int
    error: TurnoutError


def refused(status: int, message: str) -> Refused:
    """Return the refusal of a status."""
    match status:
        case 413 | 431:
            return Refused(status, RequestTooLarge(message))
        case 503:
            return Refused(status, GatewayOverloaded(message, retry_after_s=1))
        case _:
            return Refused(status, InvalidRequest(message))


def fault(
    headers: RawHeaders, named: Mapping[bytes, bytes], version: str, allowed: frozenset[str]
) -> Refused | None:
    """Return why a head is refused that is ambiguous or for another host; None = it is not.

    Args:
        headers: As they came, names in lower case.
        named: The same by name.
        version: Of HTTP.
        allowed: Hosts that are served; empty = any.
    """
    if len(named) < len(headers):
        names = [name for name, _ in headers]
        for name in _SINGLE:
            if names.count(name) > 1:
                return refused(400, f"the header {name.decode()} was sent twice")
    host = named.get(b"host")
    if host is None:
        return None if version == "1.0" else refused(400, "the Host header is missing")
    if not _HOST.fullmatch(host):
        return refused(400, "the Host header is malformed")
    if allowed and host.decode().rsplit(":", 1)[0].lower().strip("[]") not in allowed:
        return refused(421, "this host is not served here")
    return None


def size(url: bytes, headers: RawHeaders) -> int:
    """Return the bytes of a head, about."""
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers)


def target(url: bytes) -> tuple[bytes, bytes]:
    """Return path as sent and query of a request target."""
    if url[:1] == b"/" and b"?" not in url and b"#" not in url:
        return url, b""
    parsed = httptools.parse_url(url)
    if parsed.path is None:
        raise HttpParserError("the request names no path")
    return parsed.path, parsed.query or b""


class Known:
    """The head of a request that was served, for those that begin with the same."""

    __slots__ = ("_after", "_at", "_before", "_headers", "_scope", "inbound", "limits", "url")

    def __init__(self, before: bytes, after: bytes, scope: Scope, url: bytes, limits: object) -> None:
        self._before = before
        """Everything up to the digits of the length."""
        self._after = after
        """Everything behind them."""
        self._headers: RawHeaders = list(scope["headers"])
        self._at = next(n for n, (name, _) in enumerate(self._headers) if name == b"content-length")
        self._scope = {name: value for name, value in scope.items() if name not in ("headers", "extensions")}
        self.url = url
        self.limits = limits
        """What it was checked under."""
        self.inbound: Inbound | None = None
        """What the headers say, once somebody has read them."""

    def again(self, data: bytes) -> tuple[Scope, bytes] | None:
        """Return scope and body of the same request with another body; None = the parser must look."""
        if not data.startswith(self._before):
            return None
        start = len(self._before)
        end = data.find(b"\r", start, start + MAX_DIGITS + 1)
        digits = data[start:end]
        if end < 0 or not digits.isdigit() or not data.startswith(self._after, end):
            return None
        body = data[end + len(self._after) :]
        if len(body) != int(digits):
            return None
        headers = self._headers.copy()
        headers[self._at] = (b"content-length", digits)
        return {**self._scope, "headers": headers}, body

    def length(self, headers: RawHeaders) -> int:
        """Return the length that the headers of such a request name."""
        return int(headers[self._at][1])


def known(data: bytes, scope: Scope, url: bytes, limits: object) -> Known | None:
    """Return the head of a request that came in one read, if it can be told again by its bytes."""
    n_head = data.find(_END) + len(_END)
    lengths = _LENGTH.findall(data, 0, n_head)
    if n_head > MAX_HEAD_BYTES - MAX_DIGITS or len(lengths) != 1 or n_head + int(lengths[0]) != len(data):
        return None
    names = [name for name, _ in scope["headers"]]
    if names.count(b"content-length") != 1 or b"transfer-encoding" in names or b"expect" in names:
        return None
    digits = _LENGTH.search(data, 0, n_head)
    assert digits is not None
    return Known(data[: digits.start(1)], data[digits.end(1) : n_head], scope, url, limits)


def plainly(_path: str, error: TurnoutError) -> tuple[RawHeaders, bytes]:
    """Write a failure for a listener that speaks no dialect."""
    body = msgspec.json.encode({"error": {"message": error.message, "code": error.row.word}})
    return [JSON_TYPE], body
