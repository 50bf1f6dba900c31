"""Refuses calls to a deployment that does not answer. Floor 4.

The state machine is stores/live/breaker.py; here it is asked, and told how the call went. Commit counts as
success at once, so that a half-open breaker need not wait for the end of a long stream; a stream that
breaks afterwards takes the success back.

A refusal is `CapacityExhausted`: nothing was sent, the executor goes on to the next node of the plan, and
when every node refused that is the answer (WIRE.md 9.2, "all cooling down").
"""

from functools import partial
from types import TracebackType

from turnout.errors import CapacityExhausted, TurnoutError
from turnout.layers.base import Call, CallHandler, Clock, Reply, blame_for, refuse
from turnout.stores.live import Fleet

PROBE_WAIT_S = 1.0
"""What a caller is told to wait while the only allowed probe is under way."""


class BreakerLayer:
    """Puts each deployment's breaker before its calls."""

    __slots__ = ("clock", "enabled", "fleet")

    def __init__(self, fleet: Fleet, clock: Clock, *, enabled: bool = True) -> None:
        self.fleet = fleet
        self.clock = clock
        self.enabled = enabled

    def __call__(self, inner: CallHandler) -> CallHandler:
        """Wrap a call handler."""
        return partial(_Guarded, self, inner) if self.enabled else inner


class _Guarded:
    __slots__ = ("_breaker", "_call", "_inner", "_layer", "_reply", "_ticket")

    def __init__(self, layer: BreakerLayer, handler: CallHandler, call: Call) -> None:
        self._layer = layer
        self._call = call
        self._breaker = layer.fleet.of(call.deployment.id).breaker
        self._inner = handler(call)

    async def __aenter__(self) -> Reply:
        call, breaker, clock = self._call, self._breaker, self._layer.clock
        now = clock()
        ticket = breaker.admit(now)
        if ticket is None:
            raise self._refusal(now)
        try:
            reply = self._reply = await self._inner.__aenter__()
        except TurnoutError as error:
            breaker.fail(ticket, blame_for(call, error), clock(), error.retry_after_s)
            raise
        except BaseException:
            breaker.abandon(ticket)
            raise
        breaker.succeed(ticket, call.committed_at or clock())
        self._ticket = ticket
        return reply

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return await self._inner.__aexit__(kind, error, trace)
        finally:
            failure = self._reply.failure
            if failure is not None:
                self._breaker.broke(self._ticket, blame_for(self._call, failure), self._layer.clock())

    def _refusal(self, now: float) -> TurnoutError:
        wait_s = self._breaker.cooldown_s(now) or PROBE_WAIT_S
        name = self._call.deployment.id
        return refuse(
            self._call,
            CapacityExhausted(f"{name} is cooling down: the circuit is open", retry_after_s=wait_s),
            now,
        )
