"""Usage as a database holds it: tables, subjects and how questions are put, the same in each. Floor 3.

A database adds its own statements: how rows are written, and how those of one part of a range are found.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar, Final, TypeAlias

from turnout.stores.columns import Columns, read_columns
from turnout.stores.sums import spread
from turnout.stores.sums.base import DIMENSIONS
from turnout.stores.sums.cells import COUNTERS, Cell, Subject, added, packed_errors, unpacked_errors
from turnout.stores.sums.usage import (
    HOURS_KEPT,
    MINUTES_KEPT,
    Part,
    Rank,
    Shape,
    UsageQuery,
    Used,
    Width,
    begins,
    counted,
    filters_of,
    parts_of,
    ranked,
    with_shape,
)

MOST_SOUGHT: Final = 40_000
"""Cells that are looked up one by one; beyond, all of the range are read."""
MOST_KNOWN: Final = 50_000
TABLES: Final[Mapping[Width, str]] = {"minute": "usage_minutes", "hour": "usage_hours", "day": "usage_days"}
NAMES: Final = tuple("principal" if name == "key" else name for name in DIMENSIONS)
"""Columns of `usage_subjects`, in the order of `DIMENSIONS`."""
SHAPES: Final = ("c.ttft", "c.total", "c.errors")
WEIGHTS: Final[Mapping[Rank, str]] = {
    "cost": "cost_nusd",
    "requests": "n",
    "errors": "n_failed",
    "tokens": "n_input + n_output",
}
KEPT: Final[tuple[tuple[Width, timedelta], ...]] = (("minute", MINUTES_KEPT), ("hour", HOURS_KEPT))
Named: TypeAlias = Sequence[tuple[int, tuple[str, ...]]]
"""Number of a subject, and its values of what is grouped by."""


def facts_of(payload: bytes) -> Columns | None:
    """Return the searchable facts of a Record; None = only a newer Turnout can read it."""
    try:
        return read_columns(payload)
    except ValueError:
        return None


def row_of(place: tuple[int, int, int], cell: Cell) -> tuple[int | bytes | None, ...]:
    """Return a cell as its row: cube, number, subject, counters, histograms."""
    shapes = (spread.packed(cell.ttft), spread.packed(cell.total), packed_errors(cell.errors))
    return (*place, *cell.numbers(), *shapes)


class Numbers:
    """The numbers of subjects, as far as one writing connection knows them."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[Subject, int] = {}

    def forget(self) -> None:
        """Know none: a transaction was rolled back, and those given in it may be given again."""
        self._known.clear()

    def get(self, subject: Subject) -> int | None:
        """Return a number; None = it is not known here."""
        return self._known.get(subject)

    def note(self, subject: Subject, number: int) -> int:
        """Take in a number, and return it."""
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[subject] = number
        return number


class Reading(ABC):
    """One question, while it is answered.

    Args:
        query: The question.
        cube: The place in `CUBES` that answers it.
    """

    counters: ClassVar[Sequence[str]] = COUNTERS
    sums: ClassVar[str] = ", ".join(f"sum({name})" for name in COUNTERS)
    """The counters added up, as columns."""

    def __init__(self, query: UsageQuery, cube: int) -> None:
        self.query = query
        self.cube = cube
        self.by = [NAMES[DIMENSIONS.index(name)] for name in query.by]
        self.given = {NAMES[DIMENSIONS.index(name)]: value for name, value in filters_of(query).items()}

    @abstractmethod
    def subjects(self) -> Named:
        """Return the subjects that are asked about, with their groups."""

    @abstractmethod
    def rows(self, part: Part, columns: str, tail: str, subjects: Named) -> Iterable[tuple[Any, ...]]:
        """Return columns of the cells `c` of a part; those of other subjects may be among them."""

    def answer(self) -> tuple[Used, ...]:
        """Return what is asked for."""
        subjects = self.subjects()
        if self.query.top is not None:
            subjects = self._foremost(subjects, self.query.top)
        if self.query.step is not None:
            return tuple(ranked(self._over_time(subjects, self.query.step), self.query))
        found = ranked(self._used(self._summed(self.sums, subjects)), self.query)
        return tuple(self._shaped(found, subjects) if self.query.latencies else found)

    def _foremost(self, subjects: Named, most: int) -> Named:
        """Return the subjects of the groups that weigh most: only these are then read whole."""
        weights = self._summed(f"sum({WEIGHTS[self.query.rank]}), sum(n)", subjects)
        second = -1 if self.query.step is None else 0  # over time, groups of one weight go by name
        kept = sorted(weights, key=lambda group: (-weights[group][0], second * weights[group][1], group))[
            :most
        ]
        wanted = set(kept)
        return [each for each in subjects if each[1] in wanted]

    def _summed(self, columns: str, subjects: Named) -> dict[tuple[str, ...], list[int]]:
        """Return sums over the whole range, by group."""
        groups = dict(subjects)
        found: dict[tuple[str, ...], list[int]] = {}
        for part in parts_of(self.query, self.cube):
            for number, *sums in self.rows(part, f"c.subject, {columns}", " GROUP BY c.subject", subjects):
                group = groups.get(number)
                if group is not None:
                    held = found.get(group)
                    found[group] = sums if held is None else _together(held, sums)
        return found

    def _used(self, sums: Mapping[tuple[str, ...], Sequence[int]]) -> list[Used]:
        return [counted(group, None, numbers, names=self.counters) for group, numbers in sums.items()]

    def _over_time(self, subjects: Named, step: Width) -> list[Used]:
        """Return every group in every step, with latencies where they are asked for."""
        groups, n = dict(subjects), len(self.counters)
        columns = ", ".join(("c.at, c.subject", *self.counters, *(SHAPES if self.query.latencies else ())))
        sums: dict[tuple[int, tuple[str, ...]], list[int]] = {}
        shapes: dict[tuple[int, tuple[str, ...]], Shape] = {}
        for part in parts_of(self.query, self.cube):
            for at, subject, *values in self.rows(part, columns, "", subjects):
                group = groups.get(subject)
                if group is None:
                    continue
                held = sums.get((at, group))
                sums[at, group] = values[:n] if held is None else _together(held, values[:n])
                if self.query.latencies:
                    _add(shapes.setdefault((at, group), Shape()), *values[n:])
        found = []
        for place, numbers in sums.items():
            used = counted(place[1], begins(step, place[0]), numbers, names=self.counters)
            found.append(with_shape(used, shapes[place]) if self.query.latencies else used)
        return found

    def _shaped(self, rows: list[Used], subjects: Named) -> list[Used]:
        """Return rows over the whole range with their latencies and classes of failures."""
        wanted = {row.group for row in rows}
        named = [each for each in subjects if each[1] in wanted]
        groups = dict(named)
        shapes = {row.group: Shape() for row in rows}
        for part in parts_of(self.query, self.cube):
            columns = ", ".join(("c.subject", *SHAPES))
            for subject, *packed in self.rows(part, columns, "", named):
                if (group := groups.get(subject)) is not None:
                    _add(shapes[group], *packed)
        return [with_shape(row, shapes[row.group]) for row in rows]


def _together(one: Sequence[int], other: Sequence[int]) -> list[int]:
    return [a + b for a, b in zip(one, other, strict=True)]


def _add(shape: Shape, ttft: bytes | None, total: bytes | None, errors: bytes | None) -> None:
    shape.ttft += spread.unpacked(ttft)
    shape.total += spread.unpacked(total)
    if errors is not None:
        added(shape.errors, unpacked_errors(errors))
