"""A ledger that lives and dies with the process. Floor 3.

It is used from one event loop and never gives way to it in the middle: that makes each call atomic.
"""

from collections.abc import Callable, Sequence

from turnout.stores.ledger.base import Granted, Refused, Skewed, Take
from turnout.stores.ledger.clock import SteadyClock, settled_by
from turnout.stores.ledger.state import State
from turnout.stores.ledger.steps import Reset, Swept


class MemoryLedger:
    """A `Ledger` in memory.

    Args:
        now: Unix seconds; None = the machine's, as far as it is to be trusted.
    """

    def __init__(self, now: Callable[[], float] | None = None) -> None:
        self._now = now or SteadyClock()
        self._is_settled = settled_by(self._now)
        self._state = State()

    async def reserve(
        self, reservation: str, takes: Sequence[Take], *, lease_s: float
    ) -> Granted | Refused | Skewed:
        """Take from all accounts, or from none."""
        now = self._now()
        found = self._state.weigh(reservation, takes, lease_s, now)
        if not isinstance(found, tuple):
            return found
        granted, step = found
        if step is not None:
            self._state.begin(step)
            self._state.tidy(now, self._is_settled)
        return granted

    async def settle(self, reservation: str, amounts: Sequence[int]) -> bool:
        """Replace what was set aside by what was used."""
        return self._state.settle(reservation, amounts)

    async def used(self, takes: Sequence[Take]) -> tuple[int, ...]:
        """Return what is used of each account now."""
        return self._state.used(takes, self._now())

    async def sweep(self) -> tuple[str, ...]:
        """Close reservations whose lease has ended; return their ids."""
        swept: tuple[str, ...] = ()
        for step in self._state.ended(self._now()):
            self._state.apply(step)
            if isinstance(step, Swept):
                swept = step.ids
        return swept

    async def reset(self, accounts: Sequence[str]) -> None:
        """Forget what was used of accounts, reservations under way aside."""
        self._state.apply(Reset(tuple(accounts)))

    async def close(self) -> None:
        """Nothing to let go of."""
