"""Asks the same deployment again after a failure that may pass. Floor 4.

Theory of operation.
1. Only a failure *before commit* is retried, and only where its class says so (`Row.retry`). Another
   deployment is never tried here: that is fallback, the executor's.
2. A retry is paid from the deployment's retry budget (stores/live/budget.py). An empty purse means the
   deployment is in trouble with everybody; the failure goes on to the executor.
3. The wait is full-jitter exponential back-off, or what the provider asked for, if that is short enough
   to be worth waiting for and ends before the deadline. A rate limit without a named time is not retried.
4. Each retry is a new Call, measured and recorded on its own.

Source: full jitter as in "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
"""

import asyncio
from collections.abc import Coroutine
from functools import partial
from types import TracebackType

from msgspec import Struct

from turnout.errors import CapacityExhausted, Retry, TurnoutError
from turnout.layers.base import Call, CallHandler, Clock, Inner, Reply, Sleep
from turnout.stores.live import Fleet

MOST_RETRIES = 5
"""What a caller may ask for at most (WIRE.md section 5)."""
SPREAD = 0.1
"""Share by which a wait that the provider named is made longer at random: waiters must not return in step."""


class RetryConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long to wait before asking again. How often is the route's or the caller's to say."""

    enabled: bool = True
    base_s: float = 0.25
    """Upper limit of the first wait; doubles with each retry."""
    cap_s: float = 8.0
    max_wait_s: float = 5.0
    """Longest wait a provider may ask for; beyond it another model is the better answer."""


class RetryLayer:
    """Retries calls."""

    __slots__ = ("clock", "config", "fleet", "sleep")

    def __init__(self, fleet: Fleet, clock: Clock, config: RetryConfig, sleep: Sleep = asyncio.sleep) -> None:
        self.fleet = fleet
        self.clock = clock
        self.config = config
        self.sleep = sleep

    def __call__(self, inner: CallHandler) -> CallHandler:
        """Wrap a call handler."""
        return partial(_Retrying, self, inner) if self.config.enabled else inner


class _Retrying:
    __slots__ = ("_call", "_handler", "_inner", "_layer")

    def __init__(self, layer: RetryLayer, handler: CallHandler, call: Call) -> None:
        self._layer = layer
        self._handler = handler
        self._call = call

    async def __aenter__(self) -> Reply:
        call = self._call
        self._layer.fleet.of(call.deployment.id).budget.deposit(call.started)
        inner = self._inner = self._handler(call)
        try:
            return await inner.__aenter__()
        except TurnoutError as error:
            failure = error
        try:
            return await self._retry(failure)
        finally:
            del failure  # its traceback holds this frame: a cycle that would keep the request alive

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Coroutine[object, object, bool | None]:
        return self._inner.__aexit__(kind, error, trace)

    async def _retry(self, failure: TurnoutError) -> Reply:
        layer = self._layer
        n_done = 0
        while (wait_s := self._wait_s(failure, n_done)) is not None:
            await layer.sleep(wait_s)
            n_done += 1
            call = self._call = self._call.again(now=layer.clock())
            inner: Inner = self._handler(call)
            try:
                reply = await inner.__aenter__()
            except CapacityExhausted:
                break  # refused before it was sent: what the deployment said last is the failure
            except TurnoutError as error:
                failure = error
            else:
                self._inner = inner
                return reply
        try:
            raise failure
        finally:
            del failure

    def _wait_s(self, failure: TurnoutError, n_done: int) -> float | None:
        """Return how long to wait before the next retry; None = do not retry."""
        if n_done >= self._allowed(failure.row.retry):
            return None
        config, exchange = self._layer.config, self._call.exchange
        wait_s = exchange.rng.random() * min(config.base_s * 2.0**n_done, config.cap_s)
        named_s = failure.retry_after_s
        if named_s is not None:
            if named_s > config.max_wait_s:
                return None
            wait_s = max(wait_s, named_s * (1 + SPREAD * exchange.rng.random()))
        elif failure.row.retry is Retry.AFTER_WAIT:
            return None
        now = self._layer.clock()
        if exchange.deadline_at is not None and now + wait_s >= exchange.deadline_at:
            return None
        live = self._layer.fleet.of(self._call.deployment.id)
        if live.breaker.cooldown_s(now) > wait_s:
            return None
        return wait_s if live.budget.withdraw(now) else None

    def _allowed(self, rule: Retry) -> int:
        if rule is not Retry.YES and rule is not Retry.ONCE and rule is not Retry.AFTER_WAIT:
            return 0
        exchange = self._call.exchange
        asked = exchange.ask.retries
        allowed = exchange.policy.max_retries if asked is None else min(asked, MOST_RETRIES)
        return min(allowed, 1) if rule is Retry.ONCE else allowed
