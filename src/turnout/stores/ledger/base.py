"""What every ledger promises. Floor 3.

Theory of operation.

1. An *account* counts one thing for somebody: nano-USD of a key this month, tokens of a team in the last
   minute, requests under way. It is a row of *cells*; what is used is the sum of the cells that its span
   covers. A fixed span (a month, a lifetime) has one cell; a rolling one has `CELLS`, so that the oldest
   part of it leaves in small steps.
2. `reserve` takes from every account of a request in one atomic step, or from none. It puts what may be used
   at most into the current cell; so settled + reserved <= limit, whatever happens in between (SECURITY.md
   S-91).
3. `settle` corrects each cell from what was reserved to what was used. It works once per reservation: a
   second call does nothing (S-92). More than was reserved is counted too: a debt, which blocks what follows.
4. A reservation that is neither settled nor released ends with its lease: its holder is dead. What was set
   aside stays counted as used, because it may have been (`sweep`); a settlement that comes later still
   corrects it. Only what is merely *held* (requests under way) is given back.
5. Time is the ledger's own. A caller works out the bounds of a calendar window with its own clock; if the
   ledger's time is outside of them it answers `Skewed`, and the caller asks again with that time (S-94).
"""

from collections.abc import Sequence
from typing import Final, Protocol, TypeAlias

from msgspec import Struct

CELLS: Final = 60
"""Cells of a rolling span. One more is summed, so that no window of that length ever holds more than its
limit; at least 60/61 of the limit can be used."""
KEPT_S: Final = 86_400.0
"""How long a swept reservation can still be corrected."""
FOREVER: Final = 4_102_444_800.0
"""End of a lifetime: the year 2100."""


class Fixed(Struct, frozen=True, tag=True):
    """From one instant to another, in Unix seconds."""

    begins: float
    ends: float


class Sliding(Struct, frozen=True, tag=True):
    """The last so many seconds."""

    seconds: float


class Held(Struct, frozen=True, tag=True):
    """While the reservation lasts."""


Span: TypeAlias = Fixed | Sliding | Held


class Take(Struct, frozen=True):
    """What is taken from one account."""

    account: str
    """Its name; of a fixed span without the window, which the ledger adds."""
    span: Span
    amount: int
    limit: int | None
    """Most that may be used; None = only counted."""


class Granted(Struct, frozen=True):
    """Everything was taken."""

    used: tuple[int, ...]
    """Of each account, this reservation included."""


class Refused(Struct, frozen=True):
    """Nothing was taken."""

    index: int
    """Of the first take that did not fit."""
    used: int
    """Of its account, before this reservation."""
    wait_s: float | None
    """When it could fit; None = never, or nobody knows."""


class Skewed(Struct, frozen=True):
    """Nothing was taken: a fixed span does not hold the ledger's time."""

    now: float
    """Unix seconds."""


class Ledger(Protocol):
    """Counts what is used. Every call is atomic, also between processes where the ledger is shared."""

    async def reserve(
        self, reservation: str, takes: Sequence[Take], *, lease_s: float
    ) -> Granted | Refused | Skewed:
        """Take from all accounts, or from none.

        The same reservation id twice is the same reservation: the second call takes nothing more.

        Raises:
            StoreUnavailable: The ledger cannot be reached; nothing is known.
        """
        ...

    async def settle(self, reservation: str, amounts: Sequence[int]) -> bool:
        """Replace what was set aside by what was used; 0 for each take releases it.

        Returns whether the reservation was open (or swept and still known). What is held is given back
        whatever its amount.

        Raises:
            StoreUnavailable: The ledger cannot be reached; the same call may succeed later.
        """
        ...

    async def used(self, takes: Sequence[Take]) -> tuple[int, ...]:
        """Return what is used of each account now; amounts and limits do not matter."""
        ...

    async def sweep(self) -> tuple[str, ...]:
        """Close reservations whose lease has ended; return their ids."""
        ...

    async def reset(self, accounts: Sequence[str]) -> None:
        """Forget what was used of accounts, reservations under way aside: an operator's decision."""
        ...

    async def close(self) -> None:
        """Let go of every resource. May be called twice."""
        ...


def cells_of(span: Span, now: float) -> tuple[int, int, float]:
    """Return the oldest cell that counts now, the one that is written now, and when that counts no more."""
    if isinstance(span, Fixed):
        only = int(span.begins)
        return only, only, span.ends
    if isinstance(span, Sliding):
        latest = int(now / span.seconds * CELLS)
        return latest - CELLS, latest, (latest + CELLS + 1) * span.seconds / CELLS
    return 0, 0, FOREVER


def is_outside(span: Span, now: float) -> bool:
    """Tell whether a fixed span does not hold this instant."""
    return isinstance(span, Fixed) and not span.begins <= now < span.ends


def wait_for(take: Take, cells: Sequence[tuple[int, int]], now: float) -> float | None:
    """Return how long until a refused take could fit; None = never, or nobody knows.

    Args:
        take: With a limit.
        cells: Number and amount of the cells that count, oldest first.
        now: Unix seconds.
    """
    if take.limit is None or take.amount > take.limit or isinstance(take.span, Held):
        return None
    if isinstance(take.span, Fixed):
        return take.span.ends - now if take.span.ends < FOREVER else None
    too_much = sum(amount for _, amount in cells) + take.amount - take.limit
    for number, amount in cells:
        too_much -= amount
        if too_much <= 0:
            return max(0.0, (number + CELLS + 1) * take.span.seconds / CELLS - now)
    return None
