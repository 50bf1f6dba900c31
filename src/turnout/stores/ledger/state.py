"""A ledger's accounts and open reservations in memory. Floor 3, pure.

Theory of operation.

1. What is asked is first *weighed*, which changes nothing, and gives the step that would grant it; a step is
   then applied. Between the two it can be written down (`file.py`), or not (`memory.py`).
2. Applying depends on the step and on what was applied before it, on nothing else, no clock either: so the
   workers of one machine, each with a state of its own, agree as long as they apply the same steps.
3. The sum of a sliding account is kept up as its cells change. Cells that count no more leave it when a later
   cell is first looked at, and the account when there are too many: looking changes nothing, so that a clock
   that leaps and comes back loses nothing. What was counted by a clock that was ahead goes on counting when
   it comes back, until its time has passed for once: spent is spent.
4. What can be forgotten without an effect on anything that counts is forgotten by each state for itself. A
   place that is held ends with the reservations that could hold it; so who is never seen again is forgotten.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from turnout.stores.ledger.base import (
    CELLS,
    FOREVER,
    KEPT_S,
    Fixed,
    Granted,
    Held,
    Refused,
    Skewed,
    Sliding,
    Span,
    Take,
    wait_for,
)
from turnout.stores.ledger.steps import Forgotten, Opened, Reset, Settled, Step, Swept, Written

MOST_CELLS: Final = 2 * CELLS
"""Of one account, those that count no more included."""
FUTURE: Final = 2**63
"""No cell has this number."""
TIDY_EVERY: Final = 4096
"""Reservations between two looks for accounts that nobody counts any more."""


class Account:
    """The cells of one account.

    Attributes:
        cells: Number and amount of those that count, and of some earlier ones.
        total: Sum of those from `first` on.
        first: No cell below counts, as was found when the account was looked at last.
        ends: When the last of them counts no more, in Unix seconds.
        mark: What the state was marked with when it changed last.
    """

    __slots__ = ("cells", "ends", "first", "mark", "total")

    def __init__(self, cells: dict[int, int], ends: float) -> None:
        self.cells = cells
        self.total = sum(cells.values())
        self.first = 0
        self.ends = ends
        self.mark = 0

    def used(self, first: int) -> int:
        """Return what the cells of a sliding span hold: the first that counts, and all after it."""
        if first < self.first:  # the clock went back, or the span was another
            return sum([amount for number, amount in self.cells.items() if number >= first])
        if first > self.first:
            low, self.first = self.first, first
            self.total -= sum([amount for number, amount in self.cells.items() if low <= number < first])
        return self.total

    def correct(self, cell: int, by: int) -> None:
        """Change a cell that still counts; one that has run out is gone for good."""
        if cell in self.cells:
            self.cells[cell] += by
            if cell >= self.first:
                self.total += by

    def shorten(self, cell: int) -> None:
        """Let go of cells that a span cannot cover any more."""
        self.cells = {n: amount for n, amount in sorted(self.cells.items()) if n >= cell - CELLS}
        self.total = sum([amount for number, amount in self.cells.items() if number >= self.first])


class Open:
    """A reservation that is not settled."""

    __slots__ = ("ends", "swept", "written")

    def __init__(self, written: tuple[Written, ...], ends: float, *, swept: bool = False) -> None:
        self.written = written
        self.ends = ends
        self.swept = swept


class State:
    """Accounts and open reservations."""

    __slots__ = ("_n", "accounts", "mark", "open")

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.open: dict[str, Open] = {}
        self.mark = 0
        """Noted in each account that changes."""
        self._n = 0

    def weigh(
        self, reservation: str, takes: Sequence[Take], lease_s: float, now: float
    ) -> tuple[Granted, Opened | None] | Refused | Skewed:
        """Return what a ledger would say, with the step that makes it so; None = it is so already."""
        after: list[int] = []
        written: list[Written] = []
        account_of = self.accounts.get
        misfit = -1
        for take in takes:
            span, amount, limit, name = take.span, take.amount, take.limit, take.account
            account = account_of(name)
            held = False
            if type(span) is Fixed:
                if not span.begins <= now < span.ends:
                    return Skewed(now)
                cell, ends = int(span.begins), span.ends
                used = amount if account is None else account.cells.get(cell, 0) + amount
            elif type(span) is Sliding:
                cell = int(now / span.seconds * CELLS)  # as `cells_of` has it
                ends = (cell + CELLS + 1) * span.seconds / CELLS
                used = amount if account is None else account.used(cell - CELLS) + amount
            else:
                cell, ends, held = 0, now + lease_s + KEPT_S, True
                used = amount if account is None else account.cells.get(0, 0) + amount
            if limit is not None and used > limit and misfit < 0:
                misfit = len(after)
            after.append(used)
            written.append((name, cell, amount, held, ends))
        if reservation in self.open:
            before = [used - take.amount for used, take in zip(after, takes, strict=True)]
            return Granted(tuple(before)), None
        if misfit >= 0:
            take = takes[misfit]
            return self._refused(misfit, after[misfit] - take.amount, take, written[misfit][1], now)
        return Granted(tuple(after)), Opened(reservation, now + lease_s, tuple(written))

    def _refused(self, index: int, used: int, take: Take, cell: int, now: float) -> Refused:
        account = self.accounts.get(take.account)
        found = {} if account is None else account.cells
        first, last = (cell - CELLS, FUTURE) if isinstance(take.span, Sliding) else (cell, cell)
        cells = sorted((number, amount) for number, amount in found.items() if first <= number <= last)
        return Refused(index, used, wait_for(take, cells, now))

    def begin(self, step: Opened) -> None:
        """Apply the step of a reservation."""
        accounts, mark = self.accounts, self.mark
        for name, cell, amount, held, ends in step.written:
            account = accounts.get(name)
            if account is None:
                account = accounts[name] = Account({}, ends)
            cells = account.cells
            before = cells.get(cell)
            cells[cell] = amount if before is None else before + amount
            if cell >= account.first:
                account.total += amount
            if before is None and len(cells) > MOST_CELLS:
                account.shorten(cell)
            account.mark = mark
            if ends > account.ends or (held and account.ends == FOREVER):  # as releases before had it
                account.ends = ends
        self.open[step.id] = Open(step.written, step.ends)

    def settle(self, reservation: str, amounts: Sequence[int]) -> bool:
        """Apply a settlement; return whether the reservation was there."""
        found = self.open.pop(reservation, None)
        if found is None:
            return False
        account_of, mark, swept = self.accounts.get, self.mark, found.swept
        for (name, cell, taken, held, _), amount in zip(found.written, amounts, strict=True):
            by = (0 if swept else -taken) if held else amount - taken
            if not by or (account := account_of(name)) is None:
                continue
            account.mark = mark
            cells = account.cells  # as `correct` has it; a call each is a third of this
            if cell in cells:
                cells[cell] += by
                if cell >= account.first:
                    account.total += by
        return True

    def apply(self, step: Step) -> None:
        """Apply any step."""
        match step:
            case Opened():
                self.begin(step)
            case Settled():
                self.settle(step.id, step.amounts)
            case Swept():
                self._sweep(step)
            case Forgotten():
                for each in step.ids:
                    self.open.pop(each, None)
            case Reset():
                self._reset(frozenset(step.accounts))
            case _:  # begin and end of a file change nothing
                pass

    def ended(self, now: float) -> list[Step]:
        """Return the steps that close reservations whose lease has ended: at most two."""
        ended = [(name, each.swept) for name, each in self.open.items() if each.ends <= now]
        swept = tuple([name for name, was_swept in ended if not was_swept])
        known = tuple([name for name, was_swept in ended if was_swept])
        steps: list[Step] = []
        if swept:
            steps.append(Swept(swept, now + KEPT_S))
        if known:
            steps.append(Forgotten(known))
        return steps

    def _sweep(self, step: Swept) -> None:
        for each in step.ids:
            found = self.open.get(each)
            if found is None or found.swept:
                continue
            for name, cell, taken, held, _ in found.written:
                if held and (account := self.accounts.get(name)) is not None:
                    account.correct(cell, -taken)
                    account.mark = self.mark
            found.swept, found.ends = True, step.ends

    def _reset(self, named: frozenset[str]) -> None:
        for name in named:
            account = self.accounts.get(name)
            if account is not None:
                account.cells = dict.fromkeys(account.cells, 0)
                account.total = 0
                account.mark = self.mark
        for found in self.open.values():
            for name, cell, taken, _, _ in found.written:
                if name in named and not found.swept and name in self.accounts:
                    self.accounts[name].correct(cell, taken)

    def used(self, takes: Iterable[Take], now: float) -> tuple[int, ...]:
        """Return what is used of accounts."""
        return tuple([self._used(take.account, take.span, now) for take in takes])

    def _used(self, name: str, span: Span, now: float) -> int:
        account = self.accounts.get(name)
        if account is None:
            return 0
        if isinstance(span, Sliding):
            return account.used(int(now / span.seconds * CELLS) - CELLS)
        return account.cells.get(0 if isinstance(span, Held) else int(span.begins), 0)

    def tidy(self, now: float, is_settled: Callable[[], bool]) -> None:
        """Now and then, where the time is sure, forget accounts whose every cell ran out a while ago."""
        self._n += 1
        if self._n % TIDY_EVERY or not is_settled():
            return
        named = self.named()
        for name, account in list(self.accounts.items()):
            if account.ends + KEPT_S <= now and name not in named:
                del self.accounts[name]

    def named(self) -> frozenset[str]:
        """Return the accounts of open reservations."""
        return frozenset([each[0] for found in self.open.values() for each in found.written])

    def forget_empty(self) -> None:
        """Forget accounts without an end in which nothing stands, and nothing that is open can change."""
        named = self.named()
        for name, account in list(self.accounts.items()):
            if account.ends >= FOREVER and name not in named and not any(account.cells.values()):
                del self.accounts[name]
