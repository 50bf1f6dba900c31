"""Usage kept beside the journal's rows in SQLite. Floor 3.

Theory of operation.
1. `usage_subjects` names whom cells are about; `usage_minutes`, `usage_hours` and `usage_days` hold the
   cells, in the order of cube and time: the cells of a batch lie side by side, whoever asked, so that a
   commit writes few pages.
2. `usage_through` says up to which row cells were summed; it changes with them.
3. Few subjects are sought out, cell by cell; for many the whole range of the cube is read. Counters are
   summed by SQLite; histograms are added up here.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from turnout.stores.columns import Columns, microseconds, read_columns, words_of
from turnout.stores.sums import spread
from turnout.stores.sums.base import DIMENSIONS
from turnout.stores.sums.cells import (
    COUNTERS,
    Batch,
    Cell,
    Cells,
    Subject,
    added,
    packed_errors,
    unpacked_errors,
)
from turnout.stores.sums.usage import (
    FOLLOW_ROWS,
    HOURS_KEPT,
    MINUTE_US,
    MINUTES,
    MINUTES_KEPT,
    Part,
    Shape,
    UsageQuery,
    Used,
    Width,
    begins,
    counted,
    cube_of,
    filters_of,
    parts_of,
    ranked,
    with_shape,
)

MOST_SOUGHT: Final = 40_000
"""Cells that are looked up one by one; beyond, all of the range are read."""
MOST_KNOWN: Final = 50_000
_CELLS: Final = (
    "cube INTEGER NOT NULL, at INTEGER NOT NULL, subject INTEGER NOT NULL, "
    + "".join(f"{name} INTEGER NOT NULL, " for name in COUNTERS)
    + "ttft BLOB, total BLOB, errors BLOB, PRIMARY KEY (cube, at, subject)) WITHOUT ROWID"
)
_TABLE: Final[Mapping[Width, str]] = {"minute": "usage_minutes", "hour": "usage_hours", "day": "usage_days"}
_NAMES: Final = tuple("principal" if name == "key" else name for name in DIMENSIONS)
SCHEMA: Final = (
    "CREATE TABLE usage_subjects (id INTEGER PRIMARY KEY, cube INTEGER NOT NULL, "
    + "".join(f"{name} TEXT NOT NULL, " for name in _NAMES)
    + "UNIQUE (cube, principal, customer, tag, model, route, provider, project, team, organisation))",
    *(f"CREATE TABLE {table} ({_CELLS}" for table in _TABLE.values()),
    # Words without their places or texts: a third of the size, and whole words are all that is asked for.
    "CREATE VIRTUAL TABLE records_words USING fts5(words, content='', detail=none, columnsize=0)",
    "CREATE TABLE usage_through (seq INTEGER NOT NULL)",
    "INSERT INTO usage_through VALUES (0)",
)
WORDS: Final = "records_words"
ADD_WORDS: Final = f"INSERT INTO {WORDS} (rowid, words) VALUES (?, ?)"  # noqa: S608  constants
_BEHIND: Final = "SELECT 1 FROM records WHERE seq > (SELECT seq FROM usage_through) LIMIT 1"
_NEXT: Final = """SELECT seq, record FROM records WHERE seq > (SELECT seq FROM usage_through)
    ORDER BY seq LIMIT ?"""
_KNOWN: Final = "SELECT id FROM usage_subjects WHERE cube = ? AND " + " AND ".join(  # noqa: S608  constants
    f"{name} = ?" for name in _NAMES
)
_SUBJECT: Final = (
    f"INSERT INTO usage_subjects (cube, {', '.join(_NAMES)}) VALUES (?{', ?' * len(_NAMES)}) RETURNING id"  # noqa: S608
)
_ADD: Final[Mapping[Width, str]] = {
    width: f"INSERT INTO {table} VALUES (?, ?, ?{', ?' * len(COUNTERS)}, ?, ?, ?)"  # noqa: S608
    " ON CONFLICT DO UPDATE SET "
    + ", ".join(f"{name} = {name} + excluded.{name}" for name in COUNTERS)
    + ", ttft = spread_add(ttft, excluded.ttft), total = spread_add(total, excluded.total),"
    " errors = errors_add(errors, excluded.errors)"
    for width, table in _TABLE.items()
}
_SUMS: Final = ", ".join(f"sum({name})" for name in COUNTERS)
_SEEK: Final = """ FROM (WITH RECURSIVE steps (at) AS (
        SELECT :first UNION ALL SELECT at + 1 FROM steps WHERE at + 1 < :last) SELECT at FROM steps) AS t
    CROSS JOIN json_each(:subjects) AS wanted
    CROSS JOIN {table} AS c ON c.cube = :cube AND c.at = t.at AND c.subject = wanted.value
    JOIN usage_subjects AS s ON s.id = c.subject"""
_SCAN: Final = """ FROM {table} AS c CROSS JOIN usage_subjects AS s ON s.id = c.subject
    WHERE c.cube = :cube AND c.at >= :first AND c.at < :last"""
_PRUNE: Final = "DELETE FROM {table} WHERE cube = ? AND at >= ? AND at < ?"
_OLDEST: Final = "SELECT at FROM {table} WHERE cube = ? ORDER BY at LIMIT 1"

_KEPT: Final[tuple[tuple[Width, timedelta], ...]] = (("minute", MINUTES_KEPT), ("hour", HOURS_KEPT))


def ready(db: sqlite3.Connection) -> None:
    """Teach a writing connection to add histograms."""
    db.create_function("spread_add", 2, _spread_add, deterministic=True)
    db.create_function("errors_add", 2, _errors_add, deterministic=True)


def _spread_add(one: bytes | None, other: bytes | None) -> bytes | None:
    if one is None or other is None:
        return one or other
    return spread.packed(spread.unpacked(one) + spread.unpacked(other))


def _errors_add(one: bytes | None, other: bytes | None) -> bytes | None:
    if one is None or other is None:
        return one or other
    return packed_errors(added(unpacked_errors(one), unpacked_errors(other)))


class UsageWriter:
    """Adds batches, for one writing connection."""

    __slots__ = ("_batch", "_known")

    def __init__(self) -> None:
        self._batch = Batch()
        self._known: dict[Subject, int] = {}

    def forget(self) -> None:
        """Hold no numbers: a transaction was rolled back, and those given in it may be given again."""
        self._known.clear()

    def follow(self, db: sqlite3.Connection, most: int = FOLLOW_ROWS) -> int:
        """Count the rows that were not, and note their words, in the caller's transaction; say how many."""
        rows = db.execute(_NEXT, (most,)).fetchall()
        if not rows:
            return 0
        facts = [(seq, columns) for seq, payload in rows if (columns := _read(payload)) is not None]
        self.write(db, self._batch.cells(columns for _, columns in facts))
        db.executemany(ADD_WORDS, [(seq, " ".join(words_of(of))) for seq, of in facts])
        db.execute("UPDATE usage_through SET seq = ?", (rows[-1][0],))
        return len(rows)

    def write(self, db: sqlite3.Connection, batch: Cells) -> None:
        """Add cells to those that are there."""
        for width, cells in batch.items():
            rows = [
                _row(self._number(db, subject), subject[0], at, cell) for (at, subject), cell in cells.items()
            ]
            rows.sort(key=_place)  # as they lie in the file
            db.executemany(_ADD[width], rows)

    def _number(self, db: sqlite3.Connection, subject: Subject) -> int:
        number = self._known.get(subject)
        if number is None:
            values = (subject[0], *subject[1])
            row = db.execute(_KNOWN, values).fetchone() or db.execute(_SUBJECT, values).fetchone()
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            number = self._known[subject] = int(row[0])
        return number


def _read(payload: bytes) -> Columns | None:
    try:
        return read_columns(payload)
    except ValueError:  # only a newer Turnout can read it
        return None


def _row(subject: int, cube: int, at: int, cell: Cell) -> tuple[int | bytes | None, ...]:
    shapes = (spread.packed(cell.ttft), spread.packed(cell.total), packed_errors(cell.errors))
    return (cube, at, subject, *cell.numbers(), *shapes)


def _place(row: tuple[int | bytes | None, ...]) -> tuple[int | bytes | None, ...]:
    return row[:3]


class _Reading:
    """One question, while it is answered."""

    def __init__(self, db: sqlite3.Connection, query: UsageQuery, cube: int) -> None:
        self._db = db
        self._query = query
        self._cube = cube
        self._by = [_NAMES[DIMENSIONS.index(name)] for name in query.by]
        self._given = {_NAMES[DIMENSIONS.index(name)]: value for name, value in filters_of(query).items()}
        self._subjects = self._named()

    def _named(self) -> list[tuple[int, tuple[str, ...]]]:
        """Return the subjects that are asked about, with their groups."""
        where = "".join(f" AND {name} = :{name}" for name in self._given)
        columns = ", ".join(("id", *self._by))
        statement = f"SELECT {columns} FROM usage_subjects WHERE cube = :cube{where}"  # noqa: S608
        found = self._db.execute(statement, {"cube": self._cube, **self._given}).fetchall()
        return [(row[0], tuple(row[1:])) for row in found]

    def numbers(self) -> list[Used]:
        """Return the counters of every group and step."""
        step, n_by = self._query.step, len(self._by)
        keys = [*(("c.at",) if step else ()), *(f"s.{name}" for name in self._by)]
        found: dict[tuple[Any, ...], list[int]] = {}
        for part in parts_of(self._query, self._cube):
            columns = ", ".join((*keys, _SUMS))
            tail = " GROUP BY " + ", ".join(keys) if keys else " HAVING count(*)"
            for row in self._rows(part, columns, tail, self._subjects):
                key, sums = tuple(row[: len(keys)]), row[len(keys) :]
                held = found.get(key)
                found[key] = list(sums) if held is None else [a + b for a, b in zip(held, sums, strict=True)]
        return [
            counted(
                tuple(map(str, key[len(key) - n_by :])),
                begins(step, int(key[0])) if step else None,
                sums,
                names=COUNTERS,
            )
            for key, sums in found.items()
        ]

    def shaped(self, rows: list[Used]) -> list[Used]:
        """Return rows with their latencies."""
        wanted = {row.group for row in rows}
        subjects = [each for each in self._subjects if each[1] in wanted]
        groups = dict(subjects)
        shapes = {(row.at, row.group): Shape() for row in rows}
        step = self._query.step
        for part in parts_of(self._query, self._cube):
            columns = "c.at, c.subject, c.ttft, c.total, c.errors"
            for at, subject, ttft, total, errors in self._rows(part, columns, "", subjects):
                group = groups.get(subject)
                shape = None if group is None else shapes.get((begins(step, at) if step else None, group))
                if shape is None:
                    continue
                shape.ttft += spread.unpacked(ttft)
                shape.total += spread.unpacked(total)
                if errors is not None:
                    added(shape.errors, unpacked_errors(errors))
        return [with_shape(row, shapes[row.at, row.group]) for row in rows]

    def _rows(
        self, part: Part, columns: str, tail: str, subjects: list[tuple[int, tuple[str, ...]]]
    ) -> Iterable[tuple[Any, ...]]:
        values: dict[str, object] = {"cube": self._cube, "first": part.first, "last": part.last}
        where = ""
        if len(subjects) * (part.last - part.first) <= MOST_SOUGHT:
            source = _SEEK
            values["subjects"] = msgspec.json.encode([number for number, _ in subjects]).decode()
        else:
            source = _SCAN
            where = "".join(f" AND s.{name} = :{name}" for name in self._given)
            values |= self._given
        table = _TABLE[part.width]
        statement = f"SELECT {columns}{source.format(table=table)}{where}{tail}"
        return self._db.execute(statement, values)


def read_usage(db: sqlite3.Connection, query: UsageQuery) -> tuple[Used, ...] | None:
    """Return what a query asks for; None = no cube has this combination. Raises `sqlite3.Error`."""
    cube = cube_of(query)
    if cube is None:
        return None
    reading = _Reading(db, query, cube)
    rows = ranked(reading.numbers(), query)
    return tuple(reading.shaped(rows) if query.latencies else rows)


def is_behind(db: sqlite3.Connection) -> bool:
    """Say whether there are rows that were not counted."""
    return db.execute(_BEHIND).fetchone() is not None


def prune(db: sqlite3.Connection, now: datetime, most: int) -> int:
    """Delete minutes and hours that were kept long enough; at most about so many."""
    deleted = 0
    for width, kept in _KEPT:
        oldest, delete = (text.format(table=_TABLE[width]) for text in (_OLDEST, _PRUNE))
        end = microseconds(now - kept) // MINUTE_US // MINUTES[width]
        for (cube,) in db.execute("SELECT DISTINCT cube FROM usage_subjects").fetchall():
            while deleted < most:
                row = db.execute(oldest, (cube,)).fetchone()
                if row is None or row[0] >= end:
                    break
                done = db.execute(delete, (cube, row[0], row[0] + 1))
                deleted += done.rowcount
    return deleted
