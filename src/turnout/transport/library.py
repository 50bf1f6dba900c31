"""The second client, over httpcore: HTTP/2 and outbound proxies. Floor 3. Extra: `http2`.

Theory of operation.
1. Same contract, same guard, same limits and same words for failures as `HttpTransport`; it is several times
   slower and serves where HTTP/2 or an explicit proxy is wanted. It is also the oracle of the differential
   tests: httpcore and h11 share no code with our own client.
2. One httpcore pool per origin, so that the connection cap is per upstream. The pool dials through
   `GuardedBackend`, which resolves, judges every address, dials the address judged and compares the peer.
   Behind a proxy the proxy is the peer that is judged; the list of targets still applies (S-52).
3. A call has one time scope whose end moves as the phases pass: connect (queueing included), then first
   byte, then one scope per read. httpcore reports the phases through its trace hook.
4. What httpcore cannot tell in its exceptions (did the upstream close, had a byte come) is noted by the
   stream wrapper in `Progress`, found through a context variable.
"""

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import httpcore
from msgspec import Struct

from turnout.errors import (
    ConfigError,
    Forbidden,
    GatewayOverloaded,
    ProviderBadResponse,
    ProviderUnreachable,
    TimeoutConnect,
    TimeoutTtft,
    TurnoutError,
)
from turnout.transport.base import Authorise
from turnout.transport.dial import Dialer, Lookup, Resolver, system_lookup
from turnout.transport.guard import PORTS, Egress, Guard, Origin, parse_url
from turnout.transport.head import BODILESS, check_header
from turnout.transport.library_network import PROGRESS, GuardedBackend
from turnout.transport.library_response import LibraryResponse
from turnout.transport.library_upstream import Call, Closing, Upstream
from turnout.transport.pool import HostStats
from turnout.transport.response import ResponseLimits
from turnout.transport.tls import require_verification, tls_context
from turnout.types.http import HttpRequest, Timeouts

_MAX_ROUTES = 4096
_SENDING = ("send_request_headers.started", "send_request_body.complete")
"""Trace events after which the limit to the first byte counts (again)."""


class LibraryOptions(Struct, frozen=True, kw_only=True):
    """Settings of the second client."""

    max_connections: int = 512
    """Calls at once per origin (over HTTP/1.1 each has a connection); more queue."""
    keepalive_s: float = 60.0
    limits: ResponseLimits = ResponseLimits()
    """`buffer_bytes` and `unread_s` are not needed here: httpcore reads only when it is asked to."""
    dns_ttl_s: float = 30.0
    compressed: bool = False
    """Ask for gzip."""
    user_agent: str = "turnout"


class LibraryTransport:
    """Carries requests over httpcore. Use on one event loop.

    Args:
        egress: Where requests may go; see `egress_for`.
        options: Sizes and times.
        proxy: `http(s)://[user:password@]host:port` that carries everything; the environment is not asked.
        http2: Offer HTTP/2 to upstreams that speak TLS.
        tls: Context from `tls_context`, for private authorities; None = the `certifi` bundle.
        lookup: Resolver of names.
    """

    def __init__(
        self,
        egress: Egress,
        options: LibraryOptions = LibraryOptions(),  # noqa: B008 - frozen
        *,
        proxy: str | None = None,
        http2: bool = False,
        tls: ssl.SSLContext | None = None,
        lookup: Lookup = system_lookup,
    ) -> None:
        self._options = options
        self._dialer = Dialer(Guard(egress), Resolver(lookup, ttl_s=options.dns_ttl_s))
        self._proxy = None if proxy is None else _read_proxy(proxy)
        self._http2 = http2
        self._tls = None if tls is None else require_verification(tls)
        self._routes: dict[str, tuple[Origin, httpcore.URL]] = {}
        self._upstreams: dict[Origin, Upstream] = {}
        self._retired: list[Upstream] = []
        """No longer allowed; closed as their answers end."""
        self._closing: Closing = set()
        self._closed = False

    async def send(
        self, request: HttpRequest, timeouts: Timeouts, authorise: Authorise | None = None
    ) -> LibraryResponse:
        """Send and wait for the head of the answer."""
        if self._closed:
            raise GatewayOverloaded("the transport is closed")
        origin, url = self._routes.get(request.url) or self._route(request.url)
        credentials = () if authorise is None else authorise(request)
        headers = self._headers(origin, request, ((*request.headers, *credentials)))
        now = asyncio.get_running_loop().time()
        n_tries = 2
        while True:
            upstream = self._upstreams.get(origin) or self._upstream(origin)
            call = Call(upstream, timeouts, now)
            outgoing = httpcore.Request(request.method, url, headers=headers, content=request.body)
            try:
                return _checked(await _head(outgoing, call), call)
            except ProviderUnreachable:
                n_tries -= 1
                progress = call.progress
                if not n_tries or progress.connected or progress.received:
                    raise  # only a reused connection that closed without a byte is worth another try

    async def close(self) -> None:
        """Close every connection and refuse new requests."""
        self._closed = True
        self._routes.clear()
        upstreams = [*self._retired, *self._upstreams.values()]
        self._retired.clear()
        self._upstreams.clear()
        while self._closing:
            await asyncio.wait(self._closing)
        for upstream in upstreams:
            await upstream.pool.aclose()

    def allow(self, egress: Egress) -> None:
        """Replace what is allowed, keeping the connections that still are (configuration reload).

        Raises `ConfigError`, leaving everything as it was.
        """
        guard = Guard(egress)
        networks = self._dialer.guard.egress.allow_cidrs
        self._dialer.guard = guard
        self._routes.clear()
        for origin in tuple(self._upstreams):
            if networks != egress.allow_cidrs or not guard.admits(origin):
                self._retired.append(self._upstreams.pop(origin))
        for upstream in self._retired:  # what is in flight now is closed at the next change, or in the end
            task = asyncio.get_running_loop().create_task(upstream.close_idle())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def stats(self) -> tuple[HostStats, ...]:
        """Return the connections per origin at this instant, for metrics."""
        return tuple(upstream.stats() for upstream in self._upstreams.values())

    def _route(self, url: str) -> tuple[Origin, httpcore.URL]:
        origin, target = parse_url(url)
        self._dialer.guard.admit(origin)
        if len(self._routes) >= _MAX_ROUTES:
            self._routes.clear()
        parsed = httpcore.URL(
            scheme=origin.scheme.encode(),
            host=origin.host.encode(),
            port=None if origin.port == PORTS[origin.scheme] else origin.port,
            target=target.encode(),
        )
        self._routes[url] = (origin, parsed)
        return origin, parsed

    def _upstream(self, origin: Origin) -> Upstream:
        proxy = self._proxy
        secure = origin.scheme == "https" or (proxy is not None and proxy[0].scheme == "https")
        if secure and self._tls is None:
            self._tls = tls_context()
        backend = GuardedBackend(self._dialer, origin if proxy is None else proxy[0])
        pool = httpcore.AsyncConnectionPool(
            ssl_context=self._tls,
            proxy=None if proxy is None else _proxy(*proxy, self._tls),
            max_connections=None,  # see `library_upstream`
            keepalive_expiry=self._options.keepalive_s,
            http2=self._http2,
            network_backend=backend,
        )
        options = self._options
        upstream = self._upstreams[origin] = Upstream(
            origin, pool, backend, options.limits, options.max_connections, self._closing
        )
        return upstream

    def _headers(
        self, origin: Origin, request: HttpRequest, given: tuple[tuple[bytes, bytes], ...]
    ) -> list[tuple[bytes, bytes]]:
        for name, value in given:
            check_header(name, value)
        headers = [
            (b"host", origin.authority.encode()),
            (b"user-agent", self._options.user_agent.encode()),
            (b"accept-encoding", b"gzip, deflate" if self._options.compressed else b"identity"),
            *given,
        ]
        if request.body or request.method not in BODILESS:
            headers.append((b"content-length", b"%d" % len(request.body)))
        return headers


async def _head(outgoing: httpcore.Request, call: Call) -> httpcore.Response:
    """Take a place, send, and wait for the head of the answer."""
    PROGRESS.set(call.progress)
    sent = False
    try:
        async with asyncio.timeout_at(call.until(call.timeouts.connect_s)) as scope:

            async def trace(event: str, info: Mapping[str, Any]) -> None:
                nonlocal sent
                if event.endswith(_SENDING[0]):
                    sent = info["request"].method != b"CONNECT"
                    call.progress.stream_id = info.get("stream_id", 0)
                if sent and event.endswith(_SENDING):
                    scope.reschedule(call.until(call.timeouts.first_byte_s))

            outgoing.extensions = {"trace": trace}
            await call.enter()
            return await call.upstream.pool.handle_async_request(outgoing)
    except BaseException as error:
        call.leave()
        failure = _unanswered(error, call, sent=sent)
        if failure is None:
            raise
        raise failure from error


def _checked(response: httpcore.Response, call: Call) -> LibraryResponse:
    """Apply what httpcore does not: the head limit, one framing, no other protocol."""
    answer = LibraryResponse(response, call)
    limit = call.upstream.limits.head_bytes
    names = {name.lower() for name, _ in response.headers}
    problem = ""
    if response.status < 200:
        problem = "the answer is not HTTP/1.1 (another protocol)"
    elif sum(len(name) + len(value) + 4 for name, value in response.headers) > limit:
        problem = f"the answer's head is over {limit} bytes"
    elif {b"content-length", b"transfer-encoding"} <= names:
        problem = "the answer has a length and chunks"
    if problem:
        answer.close()
        raise ProviderBadResponse(f"{call.upstream.where}: {problem}")
    return answer


def _unanswered(error: BaseException, call: Call, *, sent: bool) -> TurnoutError | None:
    """Return the taxonomy's word for a call that got no head; None = `error` is right as it is."""
    where, limits = call.upstream.where, call.timeouts
    if isinstance(error, asyncio.CancelledError):
        call.later(call.give_up())
        return None
    if isinstance(error, TimeoutError):
        call.later(call.give_up())
        if sent:
            return call.late(TimeoutTtft(f"{where}: no answer within {limits.first_byte_s} s"))
        return call.late(TimeoutConnect(f"{where}: no connection within {limits.connect_s} s"))
    if isinstance(error, httpcore.ProtocolError) and not (call.progress.eof or call.progress.stream_id):
        return ProviderBadResponse(f"{where}: the answer is not HTTP ({error})")
    if isinstance(error, (httpcore.NetworkError, httpcore.ProtocolError, httpcore.ProxyError, OSError)):
        return ProviderUnreachable(f"{where}: no answer ({type(error).__name__})")
    return None


def _proxy(peer: Origin, auth: tuple[str, str] | None, context: ssl.SSLContext | None) -> httpcore.Proxy:
    return httpcore.Proxy(str(peer), auth=auth, ssl_context=context if peer.scheme == "https" else None)


def _read_proxy(url: str) -> tuple[Origin, tuple[str, str] | None]:
    parts = urlsplit(url)
    plain = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    try:
        origin, _ = parse_url(plain)
    except Forbidden as error:
        raise ConfigError((f"egress.proxy: {error.message}",)) from None
    if parts.username is None:
        return origin, None
    return origin, (unquote(parts.username), unquote(parts.password or ""))
