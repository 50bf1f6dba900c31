"""The ledger as the engine uses it: what to do when it cannot be reached, and who settles. Floor 4.

Theory of operation.

1. A reservation is asked for while the request waits. When the ledger cannot be reached the declared policy
   decides: `deny` refuses; `allow` counts in this process alone, under `share` of each limit, so that a
   number of replicas cannot overspend by more than their shares (SECURITY.md S-93). After a failure the
   ledger is left alone for `pause_s`, so that nobody waits for a dead one request by request.
2. A distant ledger may have granted what nobody was told: its answer came too late, or the caller left. Such
   a reservation is given back by a task, as far as it is there.
3. Settling never makes a request wait or fail. A local ledger settles at once; for a distant one it is a
   task, tried again with growing pauses until the lease would end. What cannot be settled then stays counted
   as reserved, and is counted in `n_unsettled`.
4. Every `SWEEP_S` the ledger is asked to close reservations of dead processes (`start`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct, field

from turnout.engine.booking import Guesses
from turnout.engine.limits import Limits
from turnout.errors import StoreUnavailable
from turnout.stores.ledger.base import Granted, Ledger, Refused, Skewed, Take
from turnout.stores.ledger.memory import MemoryLedger
from turnout.types.deployment import Deployment

SWEEP_S: Final = 5.0
FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 5.0
AGAIN_S: Final = 1.0
"""After a ledger said that a reservation is not there: a call that it received before is done by then."""
log = logging.getLogger("turnout.ledger")


class Down(Struct, frozen=True, kw_only=True):
    """What happens while the ledger cannot be reached."""

    policy: Literal["deny", "allow"] = "deny"
    share: float = 0.1
    """Of each limit, for this process alone, under `allow`."""
    pause_s: float = 1.0


class Meter(Struct, frozen=True):
    """What is counted where, under one configuration."""

    books: "Books | None"
    """None = nothing was ever limited."""
    limits: Limits
    deployments: Mapping[str, Deployment]
    """All that may be called."""
    guesses: Guesses = field(default_factory=Guesses)


class Books:
    """Reserves and settles.

    Args:
        ledger: Where it is counted.
        clock: Monotonic seconds.
        now: Unix seconds.
        down: What happens while the ledger cannot be reached.
        allow_unpriced: Whether a model without a known price may be called under a budget.
        local: Whether the ledger's calls never wait: memory, or a file of this machine.
    """

    def __init__(
        self,
        ledger: Ledger,
        clock: Callable[[], float],
        now: Callable[[], float],
        down: Down,
        *,
        allow_unpriced: bool = False,
        local: bool = True,
    ) -> None:
        self.ledger = ledger
        self.now = now
        self.allow_unpriced = allow_unpriced
        self.n_unsettled = 0
        self._clock = clock
        self._down = down
        self._local = local
        self._own = MemoryLedger(now)
        """Counts while the ledger cannot be reached, under `allow`."""
        self._own_ids: set[str] = set()
        self._down_until = 0.0
        self._tasks: set[asyncio.Task[object]] = set()
        self._sweeper: asyncio.Task[None] | None = None

    @property
    def is_down(self) -> bool:
        """Whether the ledger could not be reached lately."""
        return self._clock() < self._down_until

    async def reserve(
        self, reservation: str, takes: Callable[[float], Sequence[Take]], lease_s: float
    ) -> Granted | Refused:
        """Take from all accounts, or from none.

        Args:
            reservation: Unique name.
            takes: Makes the takes for an instant, in Unix seconds.
            lease_s: How long the holder may live.

        Raises:
            StoreUnavailable: The ledger cannot be reached, and the policy is `deny`.
        """
        if self._clock() >= self._down_until:
            try:
                if self._local:
                    found = await self.ledger.reserve(reservation, takes(self.now()), lease_s=lease_s)
                else:
                    found = await self._ask(reservation, takes(self.now()), lease_s)
                if isinstance(found, Skewed):
                    found = await self._ask(reservation, takes(found.now), lease_s)
            except StoreUnavailable as error:
                self._down_until = self._clock() + self._down.pause_s
                log.warning("the ledger cannot be reached (%s); policy: %s", error.message, self._down.policy)
            else:
                if isinstance(found, Skewed):
                    raise StoreUnavailable("the ledger's time and its windows do not fit together")
                return found
        if self._down.policy == "deny":
            raise StoreUnavailable("the ledger cannot be reached, and nothing may be spent without it")
        own = [_cut(take, self._down.share) for take in takes(self.now())]
        granted = await self._own.reserve(reservation, own, lease_s=lease_s)
        assert not isinstance(granted, Skewed)  # its time is ours
        if isinstance(granted, Granted):
            self._own_ids.add(reservation)
        return granted

    async def _ask(
        self, reservation: str, takes: Sequence[Take], lease_s: float
    ) -> Granted | Refused | Skewed:
        """Ask the ledger; a distant one answers to the end, whoever still waits for it."""
        call = self.ledger.reserve(reservation, takes, lease_s=lease_s)
        if self._local:
            return await call
        asked = asyncio.get_running_loop().create_task(_run(call))
        try:
            return await asyncio.shield(asked)
        except (asyncio.CancelledError, StoreUnavailable):
            self._keep(self._give_back(asked, reservation, [0] * len(takes), lease_s))
            raise

    async def _give_back(
        self,
        asked: asyncio.Task[Granted | Refused | Skewed],
        reservation: str,
        nothing: Sequence[int],
        lease_s: float,
    ) -> None:
        await asyncio.wait((asked,))
        if asked.exception() is None and not isinstance(asked.result(), Granted):
            return
        if not await self._settle(reservation, nothing, lease_s):
            await asyncio.sleep(AGAIN_S)
            await self._settle(reservation, nothing, lease_s)

    def settle(self, reservation: str, amounts: Sequence[int], lease_s: float) -> None:
        """Replace what was set aside by what was used, now or soon. Never raises."""
        if reservation in self._own_ids:
            self._own_ids.discard(reservation)
            _at_once(self._own, reservation, amounts)
            return
        if self._local:
            try:
                _at_once(self.ledger, reservation, amounts)
            except StoreUnavailable:
                pass
            else:
                return
        self._keep(self._settle(reservation, amounts, lease_s))

    def _keep(self, call: Coroutine[None, None, object]) -> None:
        task = asyncio.get_running_loop().create_task(call)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _settle(self, reservation: str, amounts: Sequence[int], lease_s: float) -> bool:
        """Settle, whenever the ledger can be reached again; return whether the reservation was there."""
        give_up_at = self._clock() + lease_s
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return await self.ledger.settle(reservation, amounts)
            except StoreUnavailable:
                if self._clock() + pause_s > give_up_at:
                    self.n_unsettled += 1
                    log.warning("%s stays counted as reserved: the ledger cannot be reached", reservation)
                    return False
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def start(self) -> None:
        """From now on close reservations of dead processes, until `close`."""
        self._sweeper = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            await self.sweep()

    async def sweep(self) -> tuple[str, ...]:
        """Close reservations of dead processes once; return their names."""
        await self._own.sweep()
        try:
            swept = await self.ledger.sweep()
        except StoreUnavailable:
            return ()
        if swept:
            log.warning("%d reservations of dead processes stay counted as used", len(swept))
        return swept

    async def close(self, wait_s: float = 5.0) -> None:
        """Settle what is under way, then let go of the ledger."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.wait((self._sweeper,))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=wait_s)
        for task in self._tasks:
            task.cancel()
        await self.ledger.close()


async def _run(call: Awaitable[Granted | Refused | Skewed]) -> Granted | Refused | Skewed:
    return await call


def _cut(take: Take, share: float) -> Take:
    limit = None if take.limit is None else int(take.limit * share)
    return Take(take.account, take.span, take.amount, limit)


def _at_once(ledger: Ledger, reservation: str, amounts: Sequence[int]) -> None:
    """Settle in a ledger that never waits, without a task. Raises `StoreUnavailable`."""
    call = ledger.settle(reservation, amounts)
    try:
        call.send(None)
    except StopIteration:
        return
    call.close()
    raise TypeError(f"{type(ledger).__name__} waits, so it is not local")
