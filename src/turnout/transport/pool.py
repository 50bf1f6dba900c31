"""Connections to one origin: reused, capped, queued for. Floor 3.

Theory of operation.
1. `n_open` counts places: connections that are open or being opened. It never exceeds the limit. A place is
   given back exactly once, by the connection's `lost` or by a failed dial.
2. Idle connections are taken last in, first out, so that the surplus grows old and expires.
3. When no place is free, requests queue first in, first out. A freed connection goes straight to the first
   in the queue; a freed place goes to it as `None`, meaning "dial". Nobody overtakes: a request takes the
   short way only when something is idle or a place is free, and then the queue is empty.
4. A waiter that is cancelled in the moment it was served passes what it got on.
"""

import asyncio
from collections import deque

from msgspec import Struct

from turnout.errors import GatewayOverloaded, ProviderUnreachable, TimeoutConnect, TurnoutError
from turnout.transport.connection import Connection
from turnout.transport.dial import Dialer
from turnout.transport.guard import Origin
from turnout.transport.response import PooledResponse, ResponseLimits
from turnout.transport.watch import Watch
from turnout.types.http import Timeouts


class PoolLimits(Struct, frozen=True, kw_only=True):
    """How many connections, for how long."""

    max_connections: int = 512
    """Per origin; more requests queue."""
    max_queue: int = 1000
    """Requests that may queue per origin; further ones fail at once."""
    max_idle: int = 1000
    """Over all origins."""
    keepalive_s: float = 60.0
    """How long an idle connection is kept."""
    max_age_s: float = 600.0
    """How long a connection is reused, so that DNS changes reach a busy pool."""


class HostStats(Struct, frozen=True, kw_only=True):
    """Connections to one origin at one instant."""

    origin: str
    open: int
    """Connections, those being opened included."""
    idle: int
    in_flight: int
    """Open and busy."""
    queued: int
    """Requests waiting for a connection."""
    opened_total: int
    """Connections opened since the start."""


class _Ticket:
    """One request in the queue."""

    __slots__ = ("by", "future", "where")

    def __init__(self, where: str, by: float | None, future: "asyncio.Future[Connection | None]") -> None:
        self.where = where
        self.by = by
        self.future = future

    def check(self, now: float) -> None:
        if self.by is not None and now >= self.by and not self.future.done():
            self.future.set_exception(
                TimeoutConnect(f"{self.where}: no free connection within the connect limit")
            )


class Pool:
    """The connections to one origin."""

    __slots__ = (
        "_closed",
        "_dialer",
        "_idle",
        "_limits",
        "_max_age_s",
        "_queue",
        "_sizes",
        "_watch",
        "loop",
        "n_open",
        "opened_total",
        "origin",
        "where",
    )

    def __init__(
        self, origin: Origin, sizes: PoolLimits, limits: ResponseLimits, dialer: Dialer, watch: Watch
    ) -> None:
        self.origin = origin
        self.where = f"{origin.host}:{origin.port}"
        self._limits = limits
        self._sizes = sizes
        self._max_age_s = sizes.max_age_s
        self._dialer = dialer
        self._watch = watch
        self.loop = asyncio.get_running_loop()
        self._idle: dict[Connection, float] = {}
        self._queue: deque[_Ticket] = deque()
        self._closed = False
        self.n_open = 0
        self.opened_total = 0

    def take(self, now: float) -> Connection | None:
        """Return an idle connection, if there is one."""
        idle = self._idle
        while idle:
            connection, since = idle.popitem()
            if now - since < self._sizes.keepalive_s:
                return connection
            connection.retire()
        return None

    def begin(self, connection: Connection, timeouts: Timeouts, started: float) -> PooledResponse:
        """Return a new answer for the next exchange, watched from now on. `started`: of the attempt."""
        watch = self._watch
        response = PooledResponse(connection, self._limits, timeouts, watch.items, started)
        watch.items.add(response)
        if not watch.fast:
            watch.start()
        return response

    async def acquire(self, connect_by: float | None, *, fresh: bool = False) -> Connection:
        """Return a connection, opened or waited for until `connect_by` (loop time).

        With `fresh` it is a new one whenever a place can be made: idle ones may be as dead as the one before.

        Raises `Forbidden`, `ProviderUnreachable`, `TimeoutConnect`, `GatewayOverloaded` (closed).
        """
        if fresh and self.n_open >= self._sizes.max_connections and self._idle:
            next(iter(self._idle)).retire()
        if self._closed:
            raise GatewayOverloaded(f"{self.where}: the connections are being closed")
        while self.n_open >= self._sizes.max_connections:
            connection = await self._wait_in_line(connect_by)
            if connection is None:
                return await self._open(connect_by)
            if not connection.gone:  # it may have been closed since it was handed over
                return connection
        self.n_open += 1
        return await self._open(connect_by)

    def release(self, connection: Connection) -> None:
        """Give a connection to the first in the queue, or keep it."""
        now = self.loop.time()
        if self._closed or now - connection.born >= self._max_age_s:
            connection.retire()
            return
        while self._queue:
            ticket = self._queue.popleft()
            if not ticket.future.done():
                ticket.future.set_result(connection)
                return
        self._idle[connection] = now

    def lost(self, connection: Connection) -> None:
        """Forget a connection; its place is free."""
        self._idle.pop(connection, None)
        self._vacate()

    def expire(self, now: float) -> None:
        """Close what idled too long."""
        for connection, since in tuple(self._idle.items()):
            if now - since < self._sizes.keepalive_s:
                return
            connection.retire()

    def trim(self, n_keep: int) -> int:
        """Close the longest idle until `n_keep` are left; return how many are."""
        for connection in tuple(self._idle)[: max(0, len(self._idle) - n_keep)]:
            connection.retire()
        return len(self._idle)

    def retire(self) -> None:
        """Close what is idle and take no new requests; what queues or is in flight closes when it ends."""
        self._closed = True
        for connection in tuple(self._idle):
            connection.abort()

    def close(self) -> None:
        """Retire, and turn away who queues."""
        self.retire()
        while self._queue:
            ticket = self._queue.popleft()
            if not ticket.future.done():
                ticket.future.set_exception(GatewayOverloaded(f"{self.where}: the transport is closed"))

    def stats(self) -> HostStats:
        """Return the numbers of this instant."""
        return HostStats(
            origin=str(self.origin),
            open=self.n_open,
            idle=len(self._idle),
            in_flight=self.n_open - len(self._idle),
            queued=len(self._queue),
            opened_total=self.opened_total,
        )

    async def _wait_in_line(self, connect_by: float | None) -> Connection | None:
        if len(self._queue) >= self._sizes.max_queue:
            raise TimeoutConnect(f"{self.where}: {len(self._queue)} requests already wait for a connection")
        ticket = _Ticket(self.where, connect_by, self.loop.create_future())
        self._queue.append(ticket)
        self._watch.items.add(ticket)
        if not self._watch.fast:
            self._watch.start()
        try:
            return await ticket.future
        except TurnoutError:
            self._drop(ticket)
            raise
        except asyncio.CancelledError:
            if ticket.future.cancelled():
                self._drop(ticket)
            elif ticket.future.exception() is None:  # served in the moment of cancellation: pass it on
                self._pass_on(ticket.future.result())
            raise
        finally:
            self._watch.items.discard(ticket)

    def _drop(self, ticket: _Ticket) -> None:
        if ticket in self._queue:
            self._queue.remove(ticket)

    def _pass_on(self, connection: Connection | None) -> None:
        if connection is None:
            self._vacate()
        elif not connection.gone:
            self.release(connection)

    async def _open(self, connect_by: float | None) -> Connection:
        try:
            connection = await self._dialer.dial(self.origin, self._make, connect_by)
            if connection.gone:
                raise ProviderUnreachable(f"{self.where}: connection closed at once")  # noqa: TRY301
        except BaseException:
            self._vacate()
            raise
        connection.owner = self
        self.opened_total += 1
        return connection

    def _make(self) -> Connection:
        return Connection(self.where, self._limits, self.loop.time())

    def _vacate(self) -> None:
        while self._queue:
            ticket = self._queue.popleft()
            if not ticket.future.done():
                ticket.future.set_result(None)
                return
        self.n_open -= 1
