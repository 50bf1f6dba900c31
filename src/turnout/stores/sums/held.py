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
        """Return columns of the cells of a part: `c` is the cell, `s` its subject."""

    def answer(self) -> tuple[Used, ...]:
        """Return what is asked for."""
        subjects = self.subjects()
        found = ranked(self._counted(subjects), self.query)
        return tuple(self._shaped(found, subjects) if self.query.latencies else found)

    def _counted(self, subjects: Named) -> list[Used]:
        """Return the counters of every group and step."""
        step, n_by = self.query.step, len(self.by)
        keys = [*(("c.at",) if step else ()), *(f"s.{name}" for name in self.by)]
        columns = ", ".join((*keys, self.sums))
        tail = " GROUP BY " + ", ".join(keys) if keys else " HAVING count(*) > 0"
        found: dict[tuple[Any, ...], list[int]] = {}
        for part in parts_of(self.query, self.cube):
            for row in self.rows(part, columns, tail, subjects):
                key, sums = tuple(row[: len(keys)]), row[len(keys) :]
                held = found.get(key)
                found[key] = list(sums) if held is None else [a + b for a, b in zip(held, sums, strict=True)]
        return [
            counted(key[len(key) - n_by :], begins(step, key[0]) if step else None, sums, names=COUNTERS)
            for key, sums in found.items()
        ]

    def _shaped(self, rows: list[Used], subjects: Named) -> list[Used]:
        """Return rows with their latencies and classes of failures."""
        wanted = {row.group for row in rows}
        named = [each for each in subjects if each[1] in wanted]
        groups = dict(named)
        shapes = {(row.at, row.group): Shape() for row in rows}
        step = self.query.step
        for part in parts_of(self.query, self.cube):
            columns = "c.at, c.subject, c.ttft, c.total, c.errors"
            for at, subject, ttft, total, errors in self.rows(part, columns, "", named):
                group = groups.get(subject)
                shape = None if group is None else shapes.get((begins(step, at) if step else None, group))
                if shape is None:
                    continue
                shape.ttft += spread.unpacked(ttft)
                shape.total += spread.unpacked(total)
                if errors is not None:
                    added(shape.errors, unpacked_errors(errors))
        return [with_shape(row, shapes[row.at, row.group]) for row in rows]
