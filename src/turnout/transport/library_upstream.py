"""The connections to one origin under httpcore, and one call over them. Floor 3. Extra: `http2`.

Theory of operation.
1. A call takes a place before it goes into httpcore's pool, first in, first out, and gives it back after its
   answer ended or was given up. httpcore itself therefore never queues: 1.0.9 loses a connection for good
   when a call is cancelled between being given the connection and using it (github.com/encode/httpcore, seen
   2025-11), and a full pool then waits for ever.
2. What must be awaited while the caller cannot wait (it is being cancelled, or `close` was called) runs in a
   task that the transport keeps and waits for when it closes.
"""

import asyncio
import contextlib
from collections.abc import Coroutine

import httpcore

from turnout.errors import TimeoutTotal, TurnoutError
from turnout.transport.guard import Origin
from turnout.transport.library_network import GuardedBackend, Progress, abandon
from turnout.transport.pool import HostStats
from turnout.transport.response import ResponseLimits
from turnout.types.http import Timeouts

Closing = set[asyncio.Task[None]]
"""What is being given up."""


class Upstream:
    """The connections to one origin."""

    __slots__ = (
        "_backend",
        "_n_calls",
        "_n_waiting",
        "_origin",
        "_places",
        "closing",
        "limits",
        "pool",
        "where",
    )

    def __init__(
        self,
        origin: Origin,
        pool: httpcore.AsyncConnectionPool,
        backend: GuardedBackend,
        limits: ResponseLimits,
        n_places: int,
        closing: Closing,
    ) -> None:
        self._origin = origin
        self.where = f"{origin.host}:{origin.port}"
        """For messages."""
        self.pool = pool
        self._backend = backend
        self.limits = limits
        self._places = asyncio.Semaphore(n_places)
        self._n_calls = 0
        self._n_waiting = 0
        self.closing = closing

    async def enter(self) -> None:
        """Wait for a place."""
        self._n_waiting += 1
        try:
            await self._places.acquire()
        finally:
            self._n_waiting -= 1
        self._n_calls += 1

    def leave(self) -> None:
        """Give the place to the next."""
        self._n_calls -= 1
        self._places.release()

    async def close_idle(self) -> None:
        """Close what carries nothing now."""
        for connection in self.pool.connections:
            if connection.is_idle():
                await connection.aclose()

    def stats(self) -> HostStats:
        """Return the numbers of this instant."""
        connections = [one for one in self.pool.connections if not one.is_closed()]
        return HostStats(
            origin=str(self._origin),
            open=len(connections),
            idle=sum(one.is_idle() for one in connections),
            in_flight=self._n_calls,
            queued=self._n_waiting,
            opened_total=self._backend.opened_total,
        )


TICK_S = 0.002
"""A loop that counts in milliseconds wakes up to one too early: that is still the total's own timer."""


class Call:
    """One call: its limits, its place, what happened on the wire."""

    __slots__ = ("_inside", "_total_by", "progress", "timeouts", "upstream")

    def __init__(self, upstream: Upstream, timeouts: Timeouts, started: float) -> None:
        self.upstream = upstream
        self.timeouts = timeouts
        self._total_by = None if timeouts.total_s is None else started + timeouts.total_s
        self._inside = False
        self.progress = Progress()

    async def enter(self) -> None:
        """Wait for a place."""
        await self.upstream.enter()
        self._inside = True

    def leave(self) -> None:
        """Give the place back, if there is one. Idempotent."""
        if self._inside:
            self._inside = False
            self.upstream.leave()

    def later(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run `work` beside the caller, who cannot wait or may be cancelled while waiting."""
        closing = self.upstream.closing
        task = asyncio.get_running_loop().create_task(work)
        closing.add(task)
        task.add_done_callback(closing.discard)
        return task

    async def give_up(self) -> None:
        """Tell the upstream that nobody waits: by the closed connection, or by resetting the stream."""
        if self.progress.network is not None:
            with contextlib.suppress(httpcore.NetworkError, httpcore.ProtocolError, OSError):
                await abandon(self.upstream.pool, self.progress)

    def until(self, limit_s: float | None) -> float | None:
        """Return the loop time at which a phase of `limit_s` that begins now, or the call, must end."""
        if limit_s is None:
            return self._total_by
        by = asyncio.get_running_loop().time() + limit_s
        return by if self._total_by is None else min(by, self._total_by)

    def late(self, error: TurnoutError) -> TurnoutError:
        """Return the failure of a phase that took too long, or of the call when its total passed."""
        if self._total_by is None or asyncio.get_running_loop().time() + TICK_S < self._total_by:
            return error
        where, total_s = self.upstream.where, self.timeouts.total_s
        return TimeoutTotal(f"{where}: no complete answer within {total_s:g} s")
