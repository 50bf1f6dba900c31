"""Our own pooled HTTP/1.1 client: the hot path to every upstream. Floor 3.

Theory of operation.
1. Everything that depends on the URL alone (origin admitted by the guard, pool, request line, fixed
   headers) is computed once per URL and remembered in a `_Route`.
2. A request on a pooled connection costs one write, one future, one wake-up. No task, no timer, no context
   manager: limits are enforced by one coarse tick over all answers in flight (`watch`).
3. A request is sent twice in one case only: the connection had served before and was closed without a byte
   of answer, which means that the server had closed it already. The second goes out on a new connection.
4. Leaving `send` by an exception, cancellation included, has closed the connection.
5. No redirects, no proxies, no `Alt-Svc`, no environment (S-52): an answer is handed back as it is.
"""

import asyncio
import re
import ssl

from msgspec import Struct

from turnout.errors import GatewayOverloaded, Internal, TimeoutConnect, TimeoutTotal
from turnout.transport.base import Authorise
from turnout.transport.connection import Connection
from turnout.transport.dial import Dialer, Lookup, Resolver, system_lookup
from turnout.transport.guard import Egress, Guard, Origin, parse_url
from turnout.transport.pool import HostStats, Pool, PoolLimits
from turnout.transport.response import PooledResponse, ResponseLimits
from turnout.transport.tls import require_verification
from turnout.transport.watch import Watch
from turnout.types.http import Headers, HttpRequest, Timeouts

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OWNED = frozenset(
    {b"host", b"content-length", b"connection", b"transfer-encoding", b"accept-encoding", b"te"}
    | {b"keep-alive", b"upgrade", b"expect", b"trailer", b"proxy-connection", b"proxy-authorization"}
)
"""Header names only the transport itself may write: they frame the message or name the hop."""
_BODILESS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
_MAX_ROUTES = 4096
_MAX_NAMES = 1024


class HttpOptions(Struct, frozen=True, kw_only=True):
    """Settings of the client; the defaults suit a gateway."""

    pool: PoolLimits = PoolLimits()
    limits: ResponseLimits = ResponseLimits()
    tick_s: float = 0.1
    """How often limits are compared; they are met up to two ticks late."""
    dns_ttl_s: float = 30.0
    compressed: bool = False
    """Ask for gzip: worth it for large answers over a slow line, costs CPU and delays streams."""
    user_agent: str = "turnout"


class _Route:
    """What is known about one URL."""

    __slots__ = ("pool", "prefixes", "target")

    def __init__(self, pool: Pool, target: str) -> None:
        self.pool = pool
        self.target = target
        self.prefixes: dict[str, bytes] = {}
        """Method -> request line and fixed headers."""


class HttpTransport:
    """Carries requests over pooled HTTP/1.1 connections. Use on one event loop.

    Args:
        egress: Where requests may go; see `egress_for`.
        options: Sizes and times.
        tls: Context from `tls_context`, for private authorities; None = the `certifi` bundle.
        lookup: Resolver of names.
    """

    def __init__(
        self,
        egress: Egress,
        options: HttpOptions = HttpOptions(),  # noqa: B008 - frozen
        *,
        tls: ssl.SSLContext | None = None,
        lookup: Lookup = system_lookup,
    ) -> None:
        self._options = options
        self._dialer = Dialer(
            Guard(egress),
            Resolver(lookup, ttl_s=options.dns_ttl_s),
            None if tls is None else require_verification(tls),
        )
        self._routes: dict[str, _Route] = {}
        self._pools: dict[Origin, Pool] = {}
        self._names: set[bytes] = set()
        """Header names found to be tokens that are not ours."""
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watch: Watch | None = None

    async def send(
        self, request: HttpRequest, timeouts: Timeouts, authorise: Authorise | None = None
    ) -> PooledResponse:
        """Send and wait for the head of the answer."""
        route = self._routes.get(request.url) or self._route(request.url)
        head = self._head(route, request, () if authorise is None else authorise(request))
        pool = route.pool
        now = self._loop.time()  # type: ignore[union-attr] # set with the first route
        connection = pool.take(now)
        if connection is None:
            connection = await self._connect(pool, timeouts, now, fresh=False)
        response = await self._exchange(connection, head, request, timeouts, now)
        if response.stale:
            connection = await self._connect(pool, timeouts, now, fresh=True)
            response = await self._exchange(connection, head, request, timeouts, now)
        if response.error is not None:
            raise response.error
        return response

    async def close(self) -> None:
        """Close every idle connection and refuse new requests; answers in flight may be read to their end."""
        self._closed = True
        for pool in self._pools.values():
            pool.close()
        self._routes.clear()
        if self._watch is not None and not self._watch.items:
            self._watch.stop()
        await asyncio.sleep(0)  # lets the sockets close before the loop may end

    def allow(self, egress: Egress) -> None:
        """Replace what is allowed, keeping the connections that still are (configuration reload).

        Raises `ConfigError`, leaving everything as it was.
        """
        guard = Guard(egress)
        networks = self._dialer.guard.egress.allow_cidrs
        self._dialer.guard = guard
        self._routes.clear()
        for origin, pool in tuple(self._pools.items()):
            if networks != egress.allow_cidrs or not guard.admits(origin):
                del self._pools[origin]
                pool.close()

    def stats(self) -> tuple[HostStats, ...]:
        """Return the connections per origin at this instant, for metrics."""
        return tuple(pool.stats() for pool in self._pools.values())

    async def _exchange(
        self, connection: Connection, head: bytes, request: HttpRequest, timeouts: Timeouts, started: float
    ) -> PooledResponse:
        watch, loop = self._watch, self._loop
        assert watch is not None
        assert loop is not None
        response = PooledResponse(connection.where, self._options.limits, timeouts, watch.items, started)
        watch.items.add(response)
        if not watch.fast:
            watch.start()
        connection.start(response, head, request.body, head_only=request.method == "HEAD")
        waiter = response.waiter = loop.create_future()
        try:
            await waiter
        except BaseException:  # cancelled
            response.close()
            raise
        response.waiter = None
        return response

    async def _connect(self, pool: Pool, timeouts: Timeouts, started: float, *, fresh: bool) -> Connection:
        assert self._loop is not None
        now = self._loop.time()
        total_by = None if timeouts.total_s is None else started + timeouts.total_s
        connect_by = None if timeouts.connect_s is None else now + timeouts.connect_s
        by = min((limit for limit in (total_by, connect_by) if limit is not None), default=None)
        try:
            return await pool.acquire(by, fresh=fresh)
        except TimeoutConnect:
            if by is not None and by == total_by:
                raise TimeoutTotal(
                    f"{pool.where}: no complete answer within {timeouts.total_s:g} s"
                ) from None
            raise

    def _route(self, url: str) -> _Route:
        if self._closed:
            raise GatewayOverloaded("the transport is closed")
        origin, target = parse_url(url)
        pool = self._pools.get(origin) or self._pool(origin)
        if len(self._routes) >= _MAX_ROUTES:
            self._routes.clear()
        route = self._routes[url] = _Route(pool, target)
        return route

    def _pool(self, origin: Origin) -> Pool:
        self._dialer.guard.admit(origin)
        if self._watch is None or self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._watch = Watch(self._loop, self._options.tick_s, self._housekeep)
        pool = Pool(origin, self._options.pool, self._options.limits, self._dialer, self._watch)
        self._pools[origin] = pool
        return pool

    def _housekeep(self, now: float) -> bool:
        n_left = self._options.pool.max_idle
        for pool in self._pools.values():
            pool.expire(now)
            n_left -= pool.trim(n_left)
        return n_left < self._options.pool.max_idle

    def _head(self, route: _Route, request: HttpRequest, credentials: Headers) -> bytes:
        prefix = route.prefixes.get(request.method) or self._prefix(route, request.method)
        names = self._names
        for name, _ in request.headers:
            if name not in names:
                self._learn(name)
        lines = [b"%b: %b" % line for line in request.headers]
        lines += [b"%b: %b" % line for line in credentials]
        if request.body or request.method not in _BODILESS:
            lines.append(b"content-length: %d" % len(request.body))
        block = b"\r\n".join(lines)
        n_breaks = max(0, len(lines) - 1)
        if block.count(b"\n") != n_breaks or block.count(b"\r") != n_breaks or b"\0" in block:
            raise _smuggled(request.headers)
        return b"%b%b\r\n\r\n" % (prefix, block) if block else prefix + b"\r\n"

    def _prefix(self, route: _Route, method: str) -> bytes:
        if not (method.isascii() and method.isalpha() and method.isupper()):
            raise Internal(f"{method!r} is not an HTTP method")
        encodings = "gzip, deflate" if self._options.compressed else "identity"
        prefix = route.prefixes[method] = (
            f"{method} {route.target} HTTP/1.1\r\n"
            f"host: {route.pool.origin.authority}\r\n"
            f"user-agent: {self._options.user_agent}\r\n"
            f"accept-encoding: {encodings}\r\n"
        ).encode("ascii")
        return prefix

    def _learn(self, name: bytes) -> None:
        if _TOKEN.fullmatch(name) is None:
            raise Internal(f"{name[:40]!r} is not a header name")
        if name.lower() in _OWNED:
            raise Internal(f"header {name.decode()!r} belongs to the transport")
        if len(self._names) >= _MAX_NAMES:
            self._names.clear()
        self._names.add(name)


def _smuggled(headers: Headers) -> Internal:
    bad = next((name for name, value in headers if any(char in value for char in b"\r\n\0")), b"credential")
    return Internal(f"header {bad.decode('latin-1')!r} holds CR, LF or NUL (S-43)")
