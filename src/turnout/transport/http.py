"""Our own pooled HTTP/1.1 client: the hot path to every upstream. Floor 3.

Theory of operation.
1. Everything that depends on the URL alone (origin admitted by the guard, pool, request line, fixed
   headers) is computed once per URL and remembered.
2. A request on a pooled connection costs one write, one future, one wake-up. No task, no timer, no context
   manager: limits are enforced by one coarse tick over all answers in flight (`watch`).
3. A request is sent twice in one case only: the connection had served before and was closed without a byte
   of answer, which means that the server had closed it already. The second goes out on a new connection.
4. Leaving `send` by an exception, cancellation included, has closed the connection.
5. No redirects, no proxies, no `Alt-Svc`, no environment (S-52): an answer is handed back as it is.
"""

import asyncio
import ssl
from typing import TYPE_CHECKING

from msgspec import Struct

from turnout.errors import GatewayOverloaded, TimeoutConnect, TimeoutTotal, TimeoutTtft, UnsupportedParameter
from turnout.transport.base import Authorise
from turnout.transport.connection import Connection
from turnout.transport.dial import Dialer, Lookup, Resolver, system_lookup
from turnout.transport.guard import Egress, Guard, Origin, parse_url
from turnout.transport.head import Heads
from turnout.transport.pool import HostStats, Pool, PoolLimits
from turnout.transport.response import PooledResponse, ResponseLimits
from turnout.transport.tls import require_verification
from turnout.transport.watch import Watch
from turnout.types.http import HttpRequest, Timeouts

if TYPE_CHECKING:
    from turnout.transport.upgrade import Upgraded

_MAX_ROUTES = 4096


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
        self._routes: dict[str, tuple[Pool, Heads]] = {}
        self._pools: dict[Origin, Pool] = {}
        self._closed = False
        self._watch: Watch | None = None

    async def send(
        self, request: HttpRequest, timeouts: Timeouts, authorise: Authorise | None = None
    ) -> PooledResponse:
        """Send and wait for the head of the answer."""
        pool, heads = self._routes.get(request.url) or self._route(request.url)
        credentials = () if authorise is None else authorise(request)
        body = request.body
        head = heads.head(request.method, request.headers, credentials, len(body))
        started = pool.loop.time()
        connection = pool.take(started)
        if connection is None:
            connection = await self._connect(pool, timeouts, started, fresh=False)
        response = pool.begin(connection, timeouts, started)
        connection.start(response, head, body, head_only=request.method == "HEAD")
        await response.head(pool.loop)
        if response.stale:
            connection = await self._connect(pool, timeouts, started, fresh=True)
            response = pool.begin(connection, timeouts, started)
            connection.start(response, head, body, head_only=request.method == "HEAD")
            await response.head(pool.loop)
        if response.error is not None:
            raise response.error
        return response

    async def upgrade(
        self, request: HttpRequest, timeouts: Timeouts, authorise: Authorise | None, max_message: int
    ) -> "Upgraded":
        """Ask for a WebSocket on a connection of its own, and wait for the answer."""
        try:
            from turnout.transport.upgrade import Handshake  # noqa: PLC0415  an extra
        except ModuleNotFoundError as error:
            raise UnsupportedParameter(
                f'sessions need {error.name}: pip install "turnout[realtime]"'
            ) from None
        pool, heads = self._routes.get(request.url) or self._route(request.url)
        head = heads.head("GET", request.headers, () if authorise is None else authorise(request), 0)
        connect_by = None if timeouts.connect_s is None else pool.loop.time() + timeouts.connect_s
        handshake = await self._dialer.dial(
            pool.origin, lambda: Handshake(pool.where, max_message), connect_by
        )
        try:
            async with asyncio.timeout(timeouts.first_byte_s):
                return await handshake.ask(head)
        except TimeoutError:
            limit = timeouts.first_byte_s
            raise TimeoutTtft(f"{pool.where}: no answer to the handshake within {limit:g} s") from None

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
                pool.retire()

    def stats(self) -> tuple[HostStats, ...]:
        """Return the connections per origin at this instant, for metrics."""
        return tuple(pool.stats() for pool in self._pools.values())

    async def _connect(self, pool: Pool, timeouts: Timeouts, started: float, *, fresh: bool) -> Connection:
        now = pool.loop.time()
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

    def _route(self, url: str) -> tuple[Pool, Heads]:
        if self._closed:
            raise GatewayOverloaded("the transport is closed")
        options = self._options
        origin, target = parse_url(url)
        pool = self._pools.get(origin) or self._pool(origin)
        heads = Heads(origin, target, user_agent=options.user_agent, compressed=options.compressed)
        if len(self._routes) >= _MAX_ROUTES:
            self._routes.clear()
        route = self._routes[url] = (pool, heads)
        return route

    def _pool(self, origin: Origin) -> Pool:
        self._dialer.guard.admit(origin)
        if self._watch is None:
            loop = asyncio.get_running_loop()
            self._watch = Watch(loop, self._options.tick_s, self._housekeep)
        pool = Pool(origin, self._options.pool, self._options.limits, self._dialer, self._watch)
        self._pools[origin] = pool
        return pool

    def _housekeep(self, now: float) -> bool:
        n_left = self._options.pool.max_idle
        for pool in self._pools.values():
            pool.expire(now)
            n_left -= pool.trim(n_left)
        return n_left < self._options.pool.max_idle
