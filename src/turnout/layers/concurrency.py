"""Lets at most so many calls of a deployment run at once; the next ones wait in line. Floor 4.

Theory of operation.
1. A permit is held from before the inner handler is entered until after it was left.
2. Permits are handed over, never put back for anybody to grab: `release` counts the permit for the first
   waiter before that waiter runs. So a permit is free only while nobody waits, the line is first come,
   first served, and a newcomer cannot overtake.
3. A waiter that is cancelled leaves the line. If it had been handed a permit in the same moment (its
   future is done, but it had not run yet), it passes the permit on. So no permit is ever lost.
4. A line that is full refuses at once with `CapacityExhausted`; the executor goes on to the next node.
5. Waiting ends with the request's deadline, because the deadline cancels the request.
"""

import asyncio
from collections import deque
from collections.abc import Collection
from contextlib import AbstractAsyncContextManager
from types import TracebackType

from turnout.errors import CapacityExhausted
from turnout.layers.base import Call, CallHandler, Clock, Reply, refuse

FULL_WAIT_S = 1.0
"""What a caller is told to wait when the line is full: nobody knows when it moves."""


class Gate:
    """Permits of one deployment, and the line before them."""

    __slots__ = ("_cap", "_line", "n_held")

    def __init__(self) -> None:
        self.n_held = 0
        self._cap = 0
        self._line: deque[asyncio.Future[None]] = deque()

    @property
    def n_waiting(self) -> int:
        """Calls in line."""
        return len(self._line)

    @property
    def is_idle(self) -> bool:
        """Whether nobody holds a permit or waits for one."""
        return not self.n_held and not self._line

    def resize(self, cap: int) -> None:
        """Allow `cap` permits from now on; those held beyond it are not taken away."""
        if cap != self._cap:
            self._cap = cap
            self._admit()

    def take(self) -> bool:
        """Take a permit if one is free; then nobody waits for it (2)."""
        if self.n_held < self._cap:
            self.n_held += 1
            return True
        return False

    async def wait(self) -> None:
        """Wait in line for a permit."""
        turn = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.release()
            else:
                self._line.remove(turn)
            raise

    def release(self) -> None:
        """Give a permit back, or hand it to the first in line."""
        self.n_held -= 1
        self._admit()

    def _admit(self) -> None:
        line = self._line
        at = 0
        while self.n_held < self._cap and at < len(line):
            turn = line[at]
            if turn.done():
                at += 1  # cancelled, and about to leave the line by itself
            else:
                del line[at]
                self.n_held += 1
                turn.set_result(None)


class Gates:
    """Gates of all deployments; outlives the configuration, as the calls it counts do."""

    __slots__ = ("_gates",)

    def __init__(self) -> None:
        self._gates: dict[str, Gate] = {}

    def of(self, deployment: str) -> Gate:
        """Return the gate of a deployment, made on first need."""
        gate = self._gates.get(deployment)
        if gate is None:
            gate = self._gates[deployment] = Gate()
        return gate

    def keep(self, deployments: Collection[str]) -> None:
        """Forget idle gates of deployments that are not among these."""
        for name, gate in list(self._gates.items()):
            if name not in deployments and gate.is_idle:
                del self._gates[name]


class ConcurrencyLayer:
    """Caps the calls under way per deployment, as `Deployment.limits` says."""

    __slots__ = ("clock", "gates")

    def __init__(self, gates: Gates, clock: Clock) -> None:
        self.gates = gates
        self.clock = clock

    def __call__(self, inner: CallHandler) -> CallHandler:
        """Wrap a call handler."""

        def handler(call: Call) -> AbstractAsyncContextManager[Reply]:
            if call.deployment.limits.max_concurrency is None:
                return inner(call)
            return _Admitted(self, inner, call)

        return handler


class _Admitted:
    __slots__ = ("_call", "_gate", "_inner", "_layer")

    def __init__(self, layer: ConcurrencyLayer, handler: CallHandler, call: Call) -> None:
        self._layer = layer
        self._call = call
        self._gate = layer.gates.of(call.deployment.id)
        self._inner = handler(call)

    async def __aenter__(self) -> Reply:
        call, gate = self._call, self._gate
        limits = call.deployment.limits
        gate.resize(limits.max_concurrency or 0)
        if not gate.take():
            now = self._layer.clock()
            if gate.n_waiting >= limits.max_queue:
                full = (
                    f"{call.deployment.id} is full: {gate.n_held} calls under way, {gate.n_waiting} in line"
                )
                raise refuse(call, CapacityExhausted(full, retry_after_s=FULL_WAIT_S), now)
            await gate.wait()
            call.started = self._layer.clock()
        try:
            return await self._inner.__aenter__()
        except BaseException:
            gate.release()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return await self._inner.__aexit__(kind, error, trace)
        finally:
            self._gate.release()
