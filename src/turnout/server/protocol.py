"""uvicorn's HTTP/1.1 protocol with the limits of SECURITY.md sections 4 and 7. Floor 6.

Theory of operation. Sizes and counts are checked as bytes arrive; times are checked by one sweep per second
over all connections (`sweep`), so that no request pays for a timer of its own. uvicorn keeps connections,
tasks and shutdown; the way of a request through the parser is ours, as every header walks it.

1. A request head is complete within `header_timeout_s` of its first byte, and a body arrives at no less than
   `MIN_BODY_RATE` after `body_timeout_s`; otherwise the connection is closed.
2. A head is at most 32 KiB, with at most 100 headers of at most 16 KiB each.
3. Anything ambiguous (two lengths, length with chunking, a malformed `Host`) is answered 400 and closed.
4. Between two requests a connection idles for at most uvicorn's keep-alive time, seen by the sweep as well.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Collection
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import msgspec
from httptools import HttpParserError, parse_url
from msgspec import Struct
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from turnout.errors import GatewayOverloaded, InvalidRequest, RequestTooLarge, TurnoutError
from turnout.server.cycle import Cycle, head_block
from turnout.server.http import JSON_TYPE, RawHeaders

MAX_HEAD_BYTES = 32 * 1024
MAX_HEADER_BYTES = 16 * 1024
MAX_HEADERS = 100
MIN_BODY_RATE = 1024
"""Bytes per second below which a body that is late is given up."""
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
_SINGLE = frozenset({b"host", b"content-length", b"transfer-encoding"})
"""What frames and addresses a message; other names that may stand once are the application's to check."""
MAX_DRAIN_BYTES = 64 * 1024 * 1024
"""Of a body whose request was answered already: read and dropped, so that the client sees the answer."""


class WireLimits(Struct, frozen=True, kw_only=True):
    """Times and names of one listener."""

    header_timeout_s: float = 10
    body_timeout_s: float = 60
    allowed_hosts: frozenset[str] = frozenset()
    """Lower-case host names without port; empty = any well-formed one."""
    max_connections_per_address: int | None = 256
    """None = not counted."""


class Refused(Struct, frozen=True):
    """What a client gets that breaks a rule before there is a request to serve."""

    status: int
    error: TurnoutError


Refusal = Callable[[str, TurnoutError], tuple[RawHeaders, bytes]]
"""Path as sent and failure -> headers and body, in the dialect the path hints at."""


class GatewayProtocol(HttpToolsProtocol):
    """One client connection."""

    wire_limits: WireLimits
    refusal: Refusal
    per_address: Counter[str]
    """Open connections. These three are set per listener by `protocol_for`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_since: float | None = None
        self._n_head = 0
        self._body_since: float | None = None
        self._n_body = 0
        self._idle_since: float | None = None
        self._refusal: Refused | None = None

    def connection_made(self, transport: Any) -> None:
        """Take a connection, unless its address holds too many."""
        super().connection_made(transport)
        self._head_since = self.loop.time()
        most = self.wire_limits.max_connections_per_address
        self.per_address[self.address] += 1
        if most is not None and self.address and self.per_address[self.address] > most:
            self._refuse(503, "too many connections from this address")

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of a connection."""
        self.per_address[self.address] -= 1
        if not self.per_address[self.address]:
            del self.per_address[self.address]
        super().connection_lost(exc)

    @property
    def address(self) -> str:
        """The client's address; "" on a socket that has none."""
        return self.client[0] if self.client is not None else ""

    def data_received(self, data: bytes) -> None:
        """Feed the parser, counting what belongs to a head or a body."""
        if self._body_since is None:
            if self._head_since is None:
                self._head_since = self.loop.time()
                self._idle_since = None
            self._n_head += len(data)
        super().data_received(data)
        if self._refusal is None and self._body_since is None and self._n_head > MAX_HEAD_BYTES:
            self._refuse(431, f"the request head exceeds {MAX_HEAD_BYTES} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header."""
        if len(self.headers) >= MAX_HEADERS:
            self._stop(431, f"more than {MAX_HEADERS} headers")
        if len(value) > MAX_HEADER_BYTES:
            self._stop(431, f"a header exceeds {MAX_HEADER_BYTES} bytes")
        if b"_" not in name:  # a proxy may fold it into the name with dashes (S-41)
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Check the head as a whole, then hand the request over."""
        if self._n_head > MAX_HEAD_BYTES:  # it may have come in one piece, with a body behind it
            self._check_size()
        self._head_since, self._n_head = None, 0
        self._body_since, self._n_body = self.loop.time(), 0
        version = self.parser.get_http_version()
        self._check_headers(version)
        scope: Any = self.scope  # a TypedDict whose path keys are set here
        scope["http_version"] = version
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["path"], scope["raw_path"], scope["query_string"] = _target(self.url)
        before: Any = self.cycle  # None before the first request
        self.cycle = Cycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:  # pipelined: its turn comes when the one before is answered
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def on_response_complete(self) -> None:
        """Serve the next pipelined request, or begin to idle."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._idle_since = self.loop.time()

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        self._n_body += len(body)
        if self._n_body > MAX_DRAIN_BYTES and self.cycle.response_complete:
            self.transport.close()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        self._body_since = None
        super().on_message_complete()

    @property
    def _serving(self) -> bool:
        """Whether a request is being answered."""
        cycle: Any = self.cycle  # None before the first request, though uvicorn's annotation says otherwise
        return cycle is not None and not cycle.response_complete

    def sweep(self, now: float) -> None:
        """Give up on a client that is too slow; called once a second."""
        limits = self.wire_limits
        waiting = self._serving
        if self._head_since is not None and not waiting and self._n_head:
            if now - self._head_since > limits.header_timeout_s:
                self._refuse(408, "the request head did not arrive in time")
        elif self._body_since is not None:
            late_s = now - self._body_since - limits.body_timeout_s
            if late_s > 0 and self._n_body < late_s * MIN_BODY_RATE:
                self._refuse(408, "the request body did not arrive in time")
        elif self._idles_too_long(now):
            self.transport.close()

    def _idles_too_long(self, now: float) -> bool:
        if self._idle_since is not None:
            return now - self._idle_since > self.timeout_keep_alive
        cycle: Any = self.cycle
        silent = cycle is None and self._head_since is not None
        return silent and now - (self._head_since or now) > self.wire_limits.header_timeout_s

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser refused."""
        self._answer(self._refusal or _refused(400, "the request is not valid HTTP/1.1"))

    def _check_size(self) -> None:
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MAX_HEAD_BYTES:
            self._stop(431, f"the request head exceeds {MAX_HEAD_BYTES} bytes")

    def _check_headers(self, version: str) -> None:
        seen: set[bytes] = set()
        for name, value in self.headers:
            if name in _SINGLE:
                if name in seen:
                    self._stop(400, f"the header {name.decode()} was sent twice")
                seen.add(name)
                if name == b"host":
                    self._check_host(value)
            elif name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
        if b"host" not in seen and version != "1.0":
            self._stop(400, "the Host header is missing")

    def _check_host(self, value: bytes) -> None:
        if not _HOST.fullmatch(value):
            self._stop(400, "the Host header is malformed")
        allowed = self.wire_limits.allowed_hosts
        if allowed and value.decode().rsplit(":", 1)[0].lower().strip("[]") not in allowed:
            self._stop(421, "this host is not served here")

    def _stop(self, status: int, message: str) -> None:
        """Leave the parser from inside one of its callbacks."""
        self._refusal = _refused(status, message)
        raise HttpParserError(message)

    def _refuse(self, status: int, message: str) -> None:
        self._refusal = _refused(status, message)
        self._answer(self._refusal)

    def _answer(self, refused: Refused) -> None:
        if self.transport.is_closing():
            return
        if not self._serving or not self.cycle.response_started:
            url: bytes = getattr(self, "url", b"")  # none before the first request begins
            headers, body = self.refusal(url.decode("latin-1"), refused.error)
            length = (b"content-length", b"%d" % len(body))
            lines = [*self.server_state.default_headers, *headers, length, (b"connection", b"close")]
            phrase = HTTPStatus(refused.status).phrase.encode()
            status = b"HTTP/1.1 %d %s\r\n" % (refused.status, phrase)
            self.transport.write(status + head_block(lines) + body)
        self.transport.close()


def _refused(status: int, message: str) -> Refused:
    match status:
        case 413 | 431:
            return Refused(status, RequestTooLarge(message))
        case 503:
            return Refused(status, GatewayOverloaded(message, retry_after_s=1))
        case _:
            return Refused(status, InvalidRequest(message))


def _target(url: bytes) -> tuple[str, bytes, bytes]:
    """Return path, path as sent, and query of a request target."""
    raw, query = url, b""
    if url[:1] != b"/" or b"?" in url or b"#" in url:
        parsed = parse_url(url)
        if parsed.path is None:
            raise HttpParserError("the request names no path")
        raw, query = parsed.path, parsed.query or b""
    path = raw.decode("ascii")
    return (unquote(path) if "%" in path else path), raw, query


def plainly(_path: str, error: TurnoutError) -> tuple[RawHeaders, bytes]:
    """Write a failure for a listener that speaks no dialect."""
    body = msgspec.json.encode({"error": {"message": error.message, "code": error.row.word}})
    return [JSON_TYPE], body


def protocol_for(limits: WireLimits, refusal: Refusal = plainly) -> type[GatewayProtocol]:
    """Return the protocol class of one listener. Its `wire_limits` may be replaced at any time."""
    shared = {"wire_limits": limits, "refusal": staticmethod(refusal), "per_address": Counter()}
    return type("ListenerProtocol", (GatewayProtocol,), shared)


def sweep_all(connections: Collection[Any], now: float) -> None:
    """Give up on every client that is too slow."""
    for connection in tuple(connections):
        if isinstance(connection, GatewayProtocol):
            connection.sweep(now)
