"""A ledger that lives and dies with the process. Floor 3.

It is used from one event loop and never gives way to it in the middle: that makes each call atomic.
"""

import heapq
import time
from collections.abc import Callable, Sequence

from turnout.stores.ledger.base import (
    CELLS,
    KEPT_S,
    Granted,
    Held,
    Refused,
    Skewed,
    Span,
    Take,
    cells_of,
    is_outside,
    wait_for,
)

TIDY_EVERY = 4096
"""Reservations between two looks for accounts that nobody counts any more."""


class _Account:
    """The cells of one account, and when the last of them is forgotten."""

    __slots__ = ("cells", "ends")

    def __init__(self) -> None:
        self.cells: dict[int, int] = {}
        self.ends = 0.0


class _Open:
    """A reservation: which cells it wrote."""

    __slots__ = ("ends", "swept", "takes", "written")

    def __init__(self, takes: Sequence[Take], written: list[tuple[_Account, int]], ends: float) -> None:
        self.takes = takes
        self.written = written
        self.ends = ends
        self.swept = False


class MemoryLedger:
    """A `Ledger` in memory.

    Args:
        now: Unix seconds.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._accounts: dict[str, _Account] = {}
        self._open: dict[str, _Open] = {}
        self._leases: list[tuple[float, str]] = []
        self._n = 0

    async def reserve(
        self, reservation: str, takes: Sequence[Take], *, lease_s: float
    ) -> Granted | Refused | Skewed:
        """Take from all accounts, or from none."""
        now = self._now()
        if any(is_outside(take.span, now) for take in takes):
            return Skewed(now)
        accounts = [self._account(take.account) for take in takes]
        before = [_sum(account, take.span, now) for account, take in zip(accounts, takes, strict=True)]
        if reservation in self._open:
            return Granted(tuple(before))
        for index, (take, used) in enumerate(zip(takes, before, strict=True)):
            if take.limit is not None and used + take.amount > take.limit:
                first, _, _ = cells_of(take.span, now)
                cells = sorted((n, a) for n, a in accounts[index].cells.items() if n >= first)
                return Refused(index, used, wait_for(take, cells, now))
        written = [_write(account, take, now) for account, take in zip(accounts, takes, strict=True)]
        self._open[reservation] = _Open(takes, written, now + lease_s)
        heapq.heappush(self._leases, (now + lease_s, reservation))
        self._tidy(now)
        return Granted(tuple(used + take.amount for used, take in zip(before, takes, strict=True)))

    async def settle(self, reservation: str, amounts: Sequence[int]) -> bool:
        """Replace what was set aside by what was used."""
        found = self._open.pop(reservation, None)
        if found is None:
            return False
        for take, (account, cell), amount in zip(found.takes, found.written, amounts, strict=True):
            if not isinstance(take.span, Held):
                _correct(account, cell, amount - take.amount)
            elif not found.swept:  # else it was given back with the lease
                _correct(account, cell, -take.amount)
        return True

    async def used(self, takes: Sequence[Take]) -> tuple[int, ...]:
        """Return what is used of each account now."""
        now = self._now()
        return tuple(
            _sum(account, take.span, now) if (account := self._accounts.get(take.account)) else 0
            for take in takes
        )

    async def sweep(self) -> tuple[str, ...]:
        """Close reservations whose lease has ended; return their ids."""
        now = self._now()
        swept = []
        while self._leases and self._leases[0][0] <= now:
            _, reservation = heapq.heappop(self._leases)
            found = self._open.get(reservation)
            if found is None:
                continue
            if found.swept:
                del self._open[reservation]
                continue
            for take, (account, cell) in zip(found.takes, found.written, strict=True):
                if isinstance(take.span, Held):
                    _correct(account, cell, -take.amount)
            found.swept = True
            heapq.heappush(self._leases, (now + KEPT_S, reservation))
            swept.append(reservation)
        return tuple(swept)

    async def reset(self, accounts: Sequence[str]) -> None:
        """Forget what was used of accounts, reservations under way aside."""
        for name in accounts:
            account = self._accounts.get(name)
            if account is None:
                continue
            account.cells = dict.fromkeys(account.cells, 0)
            for found in self._open.values():
                for take, (holder, cell) in zip(found.takes, found.written, strict=True):
                    if holder is account and not found.swept:
                        _correct(account, cell, take.amount)

    async def close(self) -> None:
        """Nothing to let go of."""

    def _account(self, name: str) -> _Account:
        account = self._accounts.get(name)
        if account is None:
            account = self._accounts[name] = _Account()
        return account

    def _tidy(self, now: float) -> None:
        """Now and then, forget accounts whose every cell has run out."""
        self._n += 1
        if self._n % TIDY_EVERY:
            return
        held = {id(account) for found in self._open.values() for account, _ in found.written}
        for name, account in list(self._accounts.items()):
            if account.ends <= now and id(account) not in held:
                del self._accounts[name]
            elif len(account.cells) > 2 * CELLS:  # windows gone by
                account.cells = dict(sorted(account.cells.items())[-CELLS - 1 :])


def _sum(account: _Account, span: Span, now: float) -> int:
    first, last, _ = cells_of(span, now)
    cells = account.cells
    if first == last:
        return cells.get(last, 0)
    if cells and min(cells) < first:
        account.cells = cells = {number: amount for number, amount in cells.items() if number >= first}
    return sum(cells.values())


def _write(account: _Account, take: Take, now: float) -> tuple[_Account, int]:
    _, cell, ends = cells_of(take.span, now)
    account.cells[cell] = account.cells.get(cell, 0) + take.amount
    account.ends = max(account.ends, ends)
    return account, cell


def _correct(account: _Account, cell: int, by: int) -> None:
    """Change a cell that still counts; one that has run out is gone for good."""
    if cell in account.cells:
        account.cells[cell] += by
