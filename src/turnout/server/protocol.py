"""A client connection: HTTP/1.1 in, one cycle per request. Floor 6.

Theory of operation. uvicorn's server listens, counts connections and tasks, and asks connections to shut
down; the connection itself is ours, on the same parser (llhttp), because every header passes through it.

1. A request head is complete within `header_timeout_s` of its first byte, and a body arrives at no less than
   `MIN_BODY_RATE` after `body_timeout_s`; otherwise the connection is closed.
2. A head is at most 32 KiB, with at most 100 headers of at most 16 KiB each.
3. Anything ambiguous (two lengths, length with chunking, a malformed `Host`) is answered 400 and closed.
4. Sizes and counts are checked as bytes arrive; times are checked by one sweep per second over all
   connections (`sweep`), so that no request pays for a timer of its own.
5. Requests that were pipelined wait their turn, and nothing more is read until it comes.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Collection
from http import HTTPStatus
from typing import Any, ClassVar, cast
from urllib.parse import unquote

import httptools
from httptools import HttpParserError, HttpParserUpgrade
from msgspec import Struct
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from turnout.errors import TurnoutError
from turnout.server.cycle import App, Cycle, head_block
from turnout.server.defects import WireLog
from turnout.server.head import (
    MAX_HEAD_BYTES,
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    Known,
    Refused,
    fault,
    known,
    plainly,
    refused,
    size,
    target,
)
from turnout.server.http import HEAD, UPGRADE, RawHeaders, Scope

MIN_BODY_RATE = 1024
"""Bytes per second below which a body that is late is given up."""
_LOG = WireLog()
MAX_FRAMING_RATIO = 16
"""Bytes that frame a body, per byte of it and beyond those of a head; chunks of one byte need six."""
MAX_MISSES = 8
"""Requests in a row that begin with another head; from then on heads of this connection are not kept."""
MAX_DRAIN_BYTES = 64 * 1024 * 1024
"""Of a body whose request was answered already: read and dropped, so that the client sees the answer."""
_ASGI = {"version": "3.0", "spec_version": "2.3"}


class WireLimits(Struct, frozen=True, kw_only=True):
    """Times and names of one listener."""

    header_timeout_s: float = 10
    body_timeout_s: float = 60
    allowed_hosts: frozenset[str] = frozenset()
    """Lower-case host names without port; empty = any well-formed one."""
    max_connections_per_address: int | None = 256
    """None = not counted."""


Refusal = Callable[[str, TurnoutError], tuple[RawHeaders, bytes]]
"""Path as sent and failure -> headers and body, in the dialect the path hints at."""


class GatewayProtocol(asyncio.Protocol):
    """One client connection."""

    wire_limits: ClassVar[WireLimits]
    refusal: Refusal
    per_address: ClassVar[Counter[str]]
    """Open connections. These three are set per listener by `protocol_for`."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.loop = _loop or asyncio.get_running_loop()
        self.app = cast("App", config.loaded_app)  # uvicorn wraps nothing around it as configured here
        self.server_state = server_state
        self.keep_alive_s = config.timeout_keep_alive
        self.transport: asyncio.Transport
        self.flow: FlowControl
        self.cycle: Cycle | None = None
        """The latest request; None before the first."""
        self.address = ""
        """The client's; "" on a socket that has none."""
        self._parser = httptools.HttpRequestParser(self)
        self._ends: dict[str, Any] = {}
        """The part of every scope that says who is connected."""
        self._url = b""
        self._headers: RawHeaders = []
        self._waiting: deque[Cycle] = deque()
        self._head_since: float | None = None
        self._n_head = 0
        self._body_since: float | None = None
        self._n_body = 0
        self._n_framed = 0
        """Bytes of the reads that a body came in."""
        self._idle_since: float | None = None
        self._refusal: Refused | None = None
        self._surplus = b""  # what came behind the head of a request that wants another protocol
        self._on_shutdown: Callable[[], None] | None = None
        self._known: Known | None = None
        self._n_begun = 0  # requests that began in the latest read
        self._n_missed = 0
        """Requests in a row that the known head was not the one of."""

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, unless its address holds too many."""
        self.transport = cast("asyncio.Transport", transport)  # what a stream protocol always gets
        self.flow = FlowControl(self.transport)
        self.server_state.connections.add(self)  # type: ignore[arg-type]  # uvicorn names its own classes
        client = get_remote_addr(self.transport)
        self._ends = {
            "client": client,
            "server": get_local_addr(self.transport),
            "scheme": "https" if is_ssl(self.transport) else "http",
        }
        self._head_since = self.loop.time()
        self.address = client[0] if client is not None else ""
        most = self.wire_limits.max_connections_per_address
        self.per_address[self.address] += 1
        if most is not None and self.address and self.per_address[self.address] > most:
            self._refuse(503, "too many connections from this address")

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell what is being served that its client is gone."""
        self.server_state.connections.discard(self)
        self.per_address[self.address] -= 1
        if not self.per_address[self.address]:
            del self.per_address[self.address]
        if self.cycle is not None:
            self.cycle.leave()
        for cycle in self._waiting:
            cycle.leave()
        self._waiting.clear()
        self.cycle = None  # it points back, and so does the parser
        del self._parser
        self.flow.resume_writing()
        self.transport.close()

    def pause_writing(self) -> None:
        """The client reads too slowly: hold the answer back."""
        self.flow.pause_writing()

    def resume_writing(self) -> None:
        """Go on with the answer."""
        self.flow.resume_writing()

    def data_received(self, data: bytes) -> None:
        """Take a request that begins as the one before, else feed the parser."""
        known = self._known
        if known is not None and self._again(known, data):
            return
        self._n_begun = 0
        alone = self._body_since is None and not self._n_head and not self._serving
        if self._body_since is None:
            if self._head_since is None:
                self._head_since = self.loop.time()
                self._idle_since = None
            self._n_head += len(data)
        else:
            self._n_framed += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as wish:  # an endpoint may grant it; else it is the HTTP/1.1 it is
            self._surplus = data[wish.args[0] :]
            return
        except HttpParserError:
            self._answer(self._refusal or refused(400, "the request is not valid HTTP/1.1"))
            return
        if self._body_since is not None:
            if self._n_framed > MAX_HEAD_BYTES + MAX_FRAMING_RATIO * self._n_body:
                self._refuse(431, "the request body has too much framing")
        elif self._n_head > MAX_HEAD_BYTES and self._refusal is None:
            self._refuse(431, f"the request head exceeds {MAX_HEAD_BYTES} bytes")
        elif alone and self._n_begun == 1 and self._serving and self._n_missed < MAX_MISSES:
            self._keep(data)

    def _again(self, known: Known, data: bytes) -> bool:
        self._known = None  # from here on the parser may stand in the middle of a message
        is_due = self._idle_since is not None and known.limits is self.wire_limits
        found = known.again(data) if is_due else None
        if found is None:
            self._n_missed += 1
            return False
        self._known, self._n_missed = known, 0
        self._idle_since = None
        self._url = known.url
        fixed = self.server_state.default_headers
        cycle = self.cycle = Cycle(self, found[0], fixed, keep_alive=True, must_allow=False)
        found[0]["extensions"][HEAD] = known
        cycle.feed(found[1])
        cycle.finish()
        cycle.start(self.app, self.server_state.tasks)
        return True

    def _keep(self, data: bytes) -> None:
        """Keep the head of what came in one read, if it is one request whose connection goes on."""
        cycle = self.cycle
        assert cycle is not None
        if cycle.keep_alive and not self._waiting:
            self._known = known(data, cycle.scope, self._url, self.wire_limits)
            self._n_missed += self._known is None

    # Called by uvicorn's server.

    def shutdown(self) -> None:
        """Close as soon as nothing is being answered."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
        else:
            self.cycle.keep_alive = False
        if self._on_shutdown is not None:
            self._on_shutdown()

    # Called by the parser.

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._n_begun += 1
        self._url = b""
        self._headers = []

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header."""
        headers = self._headers
        if len(headers) >= MAX_HEADERS:
            self._stop(431, f"more than {MAX_HEADERS} headers")
        if len(value) > MAX_HEADER_BYTES:
            self._stop(431, f"a header exceeds {MAX_HEADER_BYTES} bytes")
        if b"_" not in name:  # a proxy may fold it into the name with dashes (S-41)
            headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Check the head as a whole, then hand the request over."""
        # It may have come in one piece, with a body behind it.
        if self._n_head > MAX_HEAD_BYTES and size(self._url, self._headers) > MAX_HEAD_BYTES:
            self._stop(431, f"the request head exceeds {MAX_HEAD_BYTES} bytes")
        self._head_since, self._n_head = None, 0
        self._body_since, self._n_body, self._n_framed = self.loop.time(), 0, 0
        parser = self._parser
        version = parser.get_http_version()
        headers, self._headers = self._headers, []  # what follows a body is no header of its request
        named = dict(headers)
        self._refusal = fault(headers, named, version, self.wire_limits.allowed_hosts)
        if self._refusal is not None:
            raise HttpParserError(self._refusal.error.message)
        raw_path, query = target(self._url)
        path = raw_path.decode("ascii")
        scope: Scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "method": parser.get_method().decode("ascii"),
            "root_path": "",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": headers,
            **self._ends,
        }
        keep_alive = version != "1.0" and parser.should_keep_alive()
        fixed, before = self.server_state.default_headers, self.cycle
        must_allow = named.get(b"expect", b"").lower() == b"100-continue"
        cycle = self.cycle = Cycle(self, scope, fixed, keep_alive=keep_alive, must_allow=must_allow)
        if parser.should_upgrade():
            scope["extensions"][UPGRADE] = self._go_on_as
        if before is None or before.response_complete:
            cycle.start(self.app, self.server_state.tasks)
        else:
            self.flow.pause_reading()
            self._waiting.append(cycle)

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        self._n_body += len(body)
        assert self.cycle is not None
        if not self.cycle.response_complete:
            self.cycle.feed(body)
        elif self._n_body > MAX_DRAIN_BYTES:
            self.transport.close()

    def on_message_complete(self) -> None:
        """The request is complete."""
        self._body_since = None
        assert self.cycle is not None
        self.cycle.finish()

    def _go_on_as(
        self, after: asyncio.Protocol, head: bytes, on_shutdown: Callable[[], None]
    ) -> Callable[[Exception | None], None]:
        """Leave HTTP for another protocol; return what that must call when the connection is lost."""
        assert self.cycle is not None
        self.cycle.disconnected = True  # nothing of HTTP may be written any more
        self._on_shutdown = on_shutdown
        self.transport.write(head)
        self.transport.set_protocol(after)
        after.connection_made(self.transport)
        if self._surplus:
            after.data_received(self._surplus)
        return self.connection_lost

    # Called by the cycle.

    def on_response_complete(self) -> None:
        """Serve the next pipelined request, or begin to idle."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self._waiting:
            self._waiting.popleft().start(self.app, self.server_state.tasks)
        else:
            self._idle_since = self.loop.time()

    @property
    def _serving(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def sweep(self, now: float) -> None:
        """Give up on a client that is too slow; called once a second."""
        limits = self.wire_limits
        if self._head_since is not None and not self._serving and self._n_head:
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
            return now - self._idle_since > self.keep_alive_s
        if self.cycle is not None or self._head_since is None:
            return False
        return now - self._head_since > self.wire_limits.header_timeout_s

    def _stop(self, status: int, message: str) -> None:
        """Leave the parser from inside one of its callbacks."""
        self._refusal = refused(status, message)
        raise HttpParserError(message)

    def _refuse(self, status: int, message: str) -> None:
        self._refusal = refused(status, message)
        self._answer(self._refusal)

    def _answer(self, refused: Refused) -> None:
        if self.transport.is_closing():
            return
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            headers, body = self.refusal(self._url.decode("latin-1"), refused.error)
            length = (b"content-length", b"%d" % len(body))
            lines = [*self.server_state.default_headers, *headers, length, (b"connection", b"close")]
            phrase = HTTPStatus(refused.status).phrase.encode()
            status = b"HTTP/1.1 %d %s\r\n" % (refused.status, phrase)
            self.transport.write(status + head_block(lines) + body)
        self.transport.close()


def protocol_for(limits: WireLimits, refusal: Refusal = plainly) -> type[GatewayProtocol]:
    """Return the protocol class of one listener. Its `wire_limits` may be replaced at any time."""
    shared = {"wire_limits": limits, "refusal": staticmethod(refusal), "per_address": Counter()}
    return type("ListenerProtocol", (GatewayProtocol,), shared)


def sweep_all(connections: Collection[Any], now: float) -> None:
    """Give up on every client that is too slow."""
    for connection in tuple(connections):
        if isinstance(connection, GatewayProtocol):
            connection.sweep(now)
