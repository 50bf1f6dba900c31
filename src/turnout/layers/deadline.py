"""Limits the time of a request over all its attempts. Floor 4.

Theory of operation.
1. When time is up the request's task is cancelled; on the way out the cancellation
   is turned into `TimeoutTotal`, but only if the timer asked for it and nobody else did
   (`Task.uncancel` counts the askers, as in `asyncio.timeout`).
2. The limit is the smaller of the route's and the caller's. The route is not known when the request
   enters the ring, so a default applies until the route station calls `within`.
3. Entering and leaving happen in one task, so the timer may stay armed while the reply is read. It is
   disarmed as soon as nothing more is awaited from an upstream: a complete reply is never cut off.
4. A timer per request costs more than the rest of this layer, and nearly all are for nothing. So deadlines
   that are far share one: a look at all of them every `LOOK_S`, at which those that come near get a timer of
   their own.
5. Time left is computed with the clock given, and the timer is set relative to now: event loops differ in
   what their own `time()` means.
"""

import asyncio
from functools import partial
from types import TracebackType

from turnout.engine.exchange import DEFAULT_POLICY
from turnout.errors import TimeoutTotal
from turnout.layers.base import Clock, Exchange, Handler, Reply

LOOK_S = 1.0
NEAR_S = 2 * LOOK_S
"""Deadlines closer than this have a timer of their own; more than one look, as looks may come late."""


class DeadlineLayer:
    """Gives each request its deadline."""

    __slots__ = ("_far", "_looking", "clock", "total_s")

    def __init__(self, clock: Clock, total_s: float | None = DEFAULT_POLICY.total_s) -> None:
        self.clock = clock
        self.total_s = total_s
        """Limit until the route is known; None = none."""
        self._far: set[_Limited] = set()
        self._looking: asyncio.AbstractEventLoop | None = None
        """The event loop on which the next look is due."""

    def __call__(self, inner: Handler) -> Handler:
        """Wrap a request handler."""
        return partial(_Limited, self, inner)

    def postpone(self, limited: "_Limited", loop: asyncio.AbstractEventLoop) -> None:
        """Take in a deadline that is far."""
        self._far.add(limited)
        if self._looking is not loop:
            self._looking = loop
            loop.call_later(LOOK_S, self._look, loop)

    def forget(self, limited: "_Limited") -> None:
        """Let go of a deadline."""
        self._far.discard(limited)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = self.clock()
        for limited in tuple(self._far):
            if limited.arm(now):
                self._far.discard(limited)
        self._looking = loop if self._far else None
        if self._far:
            loop.call_later(LOOK_S, self._look, loop)


class _Limited:
    __slots__ = ("_exchange", "_fired", "_inner", "_is_far", "_layer", "_n_cancelling", "_task", "_timer")

    def __init__(self, layer: DeadlineLayer, handler: Handler, exchange: Exchange) -> None:
        self._layer = layer
        self._exchange = exchange
        self._inner = handler(exchange)
        self._timer: asyncio.TimerHandle | None = None
        self._fired = False
        self._is_far = False

    async def __aenter__(self) -> Reply:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._n_cancelling = task.cancelling()
        self._exchange.deadline = self
        self.within(self._layer.total_s)
        try:
            reply = await self._inner.__aenter__()
        except BaseException as error:
            self._disarm()
            if self._fired:
                self._convert(error)
            raise
        if reply.done:
            self._disarm()
        return reply

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if self._exchange.deadline is not None:
            self._disarm()
        try:
            return await self._inner.__aexit__(kind, error, trace)
        finally:
            if self._fired:
                self._convert(error)

    def within(self, total_s: float | None) -> None:
        """Set the limit to the smaller of `total_s` and what the caller asked for."""
        exchange = self._exchange
        ask = exchange.ask
        asked_s = ask.timeout_s
        if ask.endpoint == "realtime":  # a session has a limit of its own
            total_s = None
        limit_s = asked_s if total_s is None or (asked_s is not None and asked_s < total_s) else total_s
        deadline_at = None if limit_s is None else exchange.started + limit_s
        if deadline_at == exchange.deadline_at:
            return
        exchange.deadline_at = deadline_at
        if self._is_far or self._timer is not None:
            self._drop_timer()
        if deadline_at is None or self._fired:
            return
        layer = self._layer
        if deadline_at - layer.clock() > NEAR_S:
            self._is_far = True
            layer.postpone(self, self._task.get_loop())
        else:
            self.arm(layer.clock())

    def arm(self, now: float) -> bool:
        """Set a timer of its own if the deadline is near; tell whether nothing is left to look after."""
        deadline_at = self._exchange.deadline_at
        if deadline_at is None:
            return True
        left_s = deadline_at - now
        if left_s > NEAR_S:
            return False
        self._timer = self._task.get_loop().call_later(max(0.0, left_s), self._fire)
        return True

    def _fire(self) -> None:
        self._timer = None
        self._fired = True
        self._task.cancel()

    def _disarm(self) -> None:
        self._exchange.deadline = None  # it points back here
        if self._is_far or self._timer is not None:
            self._drop_timer()

    def _drop_timer(self) -> None:
        if self._is_far:
            self._is_far = False
            self._layer.forget(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _convert(self, error: BaseException | None) -> None:
        """Take the cancellation back that the timer asked for, and raise what it means."""
        was_only_one = self._task.uncancel() <= self._n_cancelling
        if was_only_one and isinstance(error, asyncio.CancelledError):
            exchange = self._exchange
            limit_s = (exchange.deadline_at or exchange.started) - exchange.started
            raise TimeoutTotal(f"no complete answer within {limit_s:g} s") from error
