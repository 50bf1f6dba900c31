"""A ledger in PostgreSQL, shared by replicas. Floor 3.

Each call is one function of the database (`functions.py`): one transaction, one round trip. A commit waits
for the disk, and calls on one account come one after the other: where that is too slow, use `stores.valkey`.
"""

from collections.abc import Callable, Sequence
from typing import Final

from turnout.stores.ledger.base import FOREVER, Fixed, Granted, Refused, Skewed, Sliding, Take, wait_for
from turnout.stores.postgres.connect import TIMEOUT_S, Pool

_RESERVE: Final = """SELECT outcome, place, totals, moment, cells, cell_amounts FROM ledger_reserve(
    %s, %s::text[], %s::text[], %s::double precision[], %s::double precision[], %s::bigint[], %s::bigint[],
    %s::double precision, %s::double precision)"""
_SETTLE: Final = "SELECT ledger_settle(%s, %s::bigint[])"
_USED: Final = """SELECT ledger_used(name, kind, x, ledger_now(%s::double precision))
    FROM unnest(%s::text[], %s::text[], %s::double precision[]) WITH ORDINALITY AS u (name, kind, x, place)
    ORDER BY place"""
_SWEEP: Final = "SELECT ledger_sweep(%s::double precision)"
_RESET: Final = "SELECT ledger_reset(%s::text[])"


class PostgresLedger:
    """A `Ledger` in PostgreSQL. The database must have been brought to its form (`migrate`).

    Args:
        url: Where it is; see `Pool`.
        timeout_s: Of one call.
        now: Unix seconds, for tests; None = the database's own time.
    """

    def __init__(
        self, url: str, *, timeout_s: float = TIMEOUT_S, now: Callable[[], float] | None = None
    ) -> None:
        self._pool = Pool(url, timeout_s=timeout_s)
        self._now = now

    async def reserve(
        self, reservation: str, takes: Sequence[Take], *, lease_s: float
    ) -> Granted | Refused | Skewed:
        """Take from all accounts, or from none."""
        values = (
            reservation,
            [take.account for take in takes],
            [_kind(take) for take in takes],
            [_begins(take) for take in takes],
            [take.span.ends if isinstance(take.span, Fixed) else FOREVER for take in takes],
            [take.amount for take in takes],
            [take.limit for take in takes],
            lease_s,
            self._time(),
        )
        ((outcome, place, totals, moment, cells, amounts),) = await self._pool.fetch(_RESERVE, values)
        if outcome == "granted":
            return Granted(tuple(totals))
        if outcome == "skewed":
            return Skewed(moment)
        held = list(zip(cells, amounts, strict=True))
        return Refused(place, totals[place], wait_for(takes[place], held, moment))

    async def settle(self, reservation: str, amounts: Sequence[int]) -> bool:
        """Replace what was set aside by what was used."""
        ((was_open,),) = await self._pool.fetch(_SETTLE, (reservation, list(amounts)))
        return bool(was_open)

    async def used(self, takes: Sequence[Take]) -> tuple[int, ...]:
        """Return what is used of each account now."""
        names, kinds = [take.account for take in takes], [_kind(take) for take in takes]
        values = (self._time(), names, kinds, [_begins(take) for take in takes])
        return tuple(used for (used,) in await self._pool.fetch(_USED, values))

    async def sweep(self) -> tuple[str, ...]:
        """Close reservations whose lease has ended, at most 1,000 at a time; return their ids."""
        return tuple(name for (name,) in await self._pool.fetch(_SWEEP, (self._time(),)))

    async def reset(self, accounts: Sequence[str]) -> None:
        """Forget what was used of accounts, reservations under way aside."""
        await self._pool.fetch(_RESET, (list(accounts),))

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    def _time(self) -> float | None:
        return None if self._now is None else self._now()


def _kind(take: Take) -> str:
    match take.span:
        case Fixed():
            return "f"
        case Sliding():
            return "s"
        case _:
            return "h"


def _begins(take: Take) -> float:
    match take.span:
        case Fixed(begins=begins):
            return begins
        case Sliding(seconds=seconds):
            return seconds
        case _:
            return 0.0
