"""Usage kept beside the journal's rows in PostgreSQL: the same tables as in SQLite. Floor 3.

Histograms are read, added up here, and written back. Who does so holds the row of `usage_through`, so nobody
else writes cells meanwhile.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from turnout.stores.columns import Columns, microseconds, read_columns
from turnout.stores.postgres.connect import Connection, Row
from turnout.stores.postgres.sums import text
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
_TABLE: Final[Mapping[Width, str]] = {"minute": "usage_minutes", "hour": "usage_hours", "day": "usage_days"}
_NAMES: Final = tuple("principal" if name == "key" else name for name in DIMENSIONS)
_CELLS: Final = (
    "cube INTEGER NOT NULL, at BIGINT NOT NULL, subject BIGINT NOT NULL, "
    + "".join(f"{name} BIGINT NOT NULL, " for name in COUNTERS)
    + "ttft BYTEA, total BYTEA, errors BYTEA, PRIMARY KEY (cube, at, subject)) WITH (fillfactor = 80);\n"
)
SCHEMA: Final = (
    "CREATE TABLE usage_subjects (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, cube INTEGER NOT NULL, "
    + "".join(f"{name} TEXT NOT NULL, " for name in _NAMES)
    + "UNIQUE (cube, principal, customer, tag, model, route, provider, project, team, organisation));\n"
    + "".join(f"CREATE TABLE {table} ({_CELLS}" for table in _TABLE.values())
    + """CREATE TABLE usage_through (seq BIGINT NOT NULL);
INSERT INTO usage_through VALUES (0);
"""
)
_KNOWN: Final = "SELECT id FROM usage_subjects WHERE cube = %s AND " + " AND ".join(  # noqa: S608
    f"{name} = %s" for name in _NAMES
)  # constants
_SUBJECT: Final = (
    f"INSERT INTO usage_subjects (cube, {', '.join(_NAMES)}) VALUES (%s{', %s' * len(_NAMES)}) RETURNING id"  # noqa: S608
)
_SHAPES: Final[Mapping[Width, str]] = {
    width: f"""SELECT c.cube, c.at, c.subject, c.ttft, c.total, c.errors
    FROM unnest(%s::integer[], %s::bigint[], %s::bigint[]) AS key (cube, at, subject)
    JOIN {table} AS c ON c.cube = key.cube AND c.at = key.at AND c.subject = key.subject"""  # noqa: S608
    for width, table in _TABLE.items()
}
_ADD: Final[Mapping[Width, str]] = {
    width: f"INSERT INTO {table} AS held SELECT * FROM unnest(%s::integer[], %s::bigint[], %s::bigint[]"  # noqa: S608
    + ", %s::bigint[]" * len(COUNTERS)
    + ", %s::bytea[], %s::bytea[], %s::bytea[]) ON CONFLICT (cube, at, subject) DO UPDATE SET "
    + ", ".join(f"{name} = held.{name} + excluded.{name}" for name in COUNTERS)
    + ", ttft = excluded.ttft, total = excluded.total, errors = excluded.errors"
    for width, table in _TABLE.items()
}
_HOLD: Final = "SELECT seq FROM usage_through FOR UPDATE"
_BEHIND: Final = "SELECT 1 FROM journal WHERE seq > (SELECT seq FROM usage_through) LIMIT 1"
_NEXT: Final = """SELECT seq, record FROM journal WHERE seq > (SELECT seq FROM usage_through)
    ORDER BY seq LIMIT %s"""
_SUMS: Final = ", ".join(f"sum({name})::bigint" for name in COUNTERS)
_SEEK: Final = """ FROM generate_series(%(first)s::bigint, %(last)s::bigint - 1) AS t (at)
    CROSS JOIN unnest(%(subjects)s::bigint[]) AS wanted (id)
    JOIN {table} AS c ON c.cube = %(cube)s AND c.at = t.at AND c.subject = wanted.id
    JOIN usage_subjects AS s ON s.id = c.subject"""
_SCAN: Final = """ FROM {table} AS c JOIN usage_subjects AS s ON s.id = c.subject
    WHERE c.cube = %(cube)s AND c.at >= %(first)s AND c.at < %(last)s"""
_PRUNE: Final = """DELETE FROM {table} WHERE (cube, at, subject) IN (
    SELECT cube, at, subject FROM {table} WHERE cube = %s AND at < %s LIMIT %s)"""
_KEPT: Final[tuple[tuple[Width, timedelta], ...]] = (("minute", MINUTES_KEPT), ("hour", HOURS_KEPT))


class UsageWriter:
    """Adds batches, for one writing connection."""

    __slots__ = ("_batch", "_known")

    def __init__(self) -> None:
        self._batch = Batch()
        self._known: dict[Subject, int] = {}

    def forget(self) -> None:
        """Hold no numbers: a transaction was rolled back, and its subjects are not there."""
        self._known.clear()

    def follow(self, db: Connection, most: int = FOLLOW_ROWS) -> int:
        """Count the rows that were not, in one transaction of the caller; say how many."""
        db.execute(_HOLD)
        rows = db.execute(_NEXT, (most,), binary=True).fetchall()
        if not rows:
            return 0
        self.write(db, self._batch.cells(of for _, payload in rows if (of := _read(payload)) is not None))
        db.execute("UPDATE usage_through SET seq = %s", (rows[-1][0],))
        return len(rows)

    def write(self, db: Connection, batch: Cells) -> None:
        """Add cells to those that are there."""
        for width, cells in batch.items():
            found = {
                (subject[0], at, self._number(db, subject)): cell for (at, subject), cell in cells.items()
            }
            if not found:
                continue
            keys = sorted(found)  # as they lie in the index
            held = db.execute(_SHAPES[width].encode(), [list(column) for column in zip(*keys, strict=True)])
            for cube, at, subject, *shapes in held.fetchall():
                _add_shapes(found[cube, at, subject], *shapes)
            rows = [_row(key, found[key]) for key in keys]
            db.execute(_ADD[width].encode(), [list(column) for column in zip(*rows, strict=True)])

    def _number(self, db: Connection, subject: Subject) -> int:
        number = self._known.get(subject)
        if number is None:
            values = (subject[0], *(text(name) for name in subject[1]))
            row = db.execute(_KNOWN.encode(), values).fetchone()
            row = row or db.execute(_SUBJECT.encode(), values).fetchone()
            assert row is not None
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            number = self._known[subject] = int(row[0])
        return number


def _read(payload: bytes) -> Columns | None:
    try:
        return read_columns(payload)
    except ValueError:  # only a newer Turnout can read it
        return None


def _add_shapes(cell: Cell, ttft: bytes | None, total: bytes | None, errors: bytes | None) -> None:
    """Add to a cell of a batch the histograms of the one that is there."""
    cell.ttft += spread.unpacked(ttft)
    cell.total += spread.unpacked(total)
    if errors is not None:
        cell.errors = added(unpacked_errors(errors), cell.errors or {})


def _row(key: tuple[int, int, int], cell: Cell) -> tuple[int | bytes | None, ...]:
    shapes = (spread.packed(cell.ttft), spread.packed(cell.total), packed_errors(cell.errors))
    return (*key, *cell.numbers(), *shapes)


class _Reading:
    """One question, while it is answered."""

    def __init__(self, db: Connection, query: UsageQuery, cube: int) -> None:
        self._db = db
        self._query = query
        self._cube = cube
        self._by = [_NAMES[DIMENSIONS.index(name)] for name in query.by]
        self._given = {_NAMES[DIMENSIONS.index(name)]: value for name, value in filters_of(query).items()}
        where = "".join(f" AND {name} = %({name})s" for name in self._given)
        columns = ", ".join(("id", *self._by))
        statement = f"SELECT {columns} FROM usage_subjects WHERE cube = %(cube)s{where}"  # noqa: S608  constants
        found = db.execute(statement.encode(), {"cube": cube, **self._given}).fetchall()
        self._subjects: list[tuple[int, tuple[str, ...]]] = [(row[0], tuple(row[1:])) for row in found]

    def numbers(self) -> list[Used]:
        """Return the counters of every group and step."""
        step, n_by = self._query.step, len(self._by)
        keys = [*(("c.at",) if step else ()), *(f"s.{name}" for name in self._by)]
        found: dict[tuple[Any, ...], list[int]] = {}
        for part in parts_of(self._query, self._cube):
            tail = " GROUP BY " + ", ".join(keys) if keys else " HAVING count(*) > 0"
            for row in self._rows(part, ", ".join((*keys, _SUMS)), tail, self._subjects):
                key, sums = tuple(row[: len(keys)]), row[len(keys) :]
                held = found.get(key)
                found[key] = list(sums) if held is None else [a + b for a, b in zip(held, sums, strict=True)]
        return [
            counted(key[len(key) - n_by :], begins(step, key[0]) if step else None, sums, names=COUNTERS)
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
    ) -> list[Row]:
        values: dict[str, object] = {"cube": self._cube, "first": part.first, "last": part.last}
        where = ""
        if len(subjects) * (part.last - part.first) <= MOST_SOUGHT:
            source = _SEEK
            values["subjects"] = [number for number, _ in subjects]
        else:
            source = _SCAN
            where = "".join(f" AND s.{name} = %({name})s" for name in self._given)
            values |= self._given
        statement = f"SELECT {columns}{source.format(table=_TABLE[part.width])}{where}{tail}"
        return self._db.execute(statement.encode(), values, binary=True).fetchall()


def read_usage(db: Connection, query: UsageQuery) -> tuple[Used, ...] | None:
    """Return what a query asks for; None = no cube has this combination. Raises `psycopg.Error`."""
    cube = cube_of(query)
    if cube is None:
        return None
    reading = _Reading(db, query, cube)
    rows = ranked(reading.numbers(), query)
    return tuple(reading.shaped(rows) if query.latencies else rows)


def is_behind(db: Connection) -> bool:
    """Say whether there are rows that were not counted."""
    return db.execute(_BEHIND).fetchone() is not None


def prune(db: Connection, now: datetime, most: int) -> int:
    """Delete minutes and hours that were kept long enough; at most so many."""
    deleted = 0
    for width, kept in _KEPT:
        end = microseconds(now - kept) // MINUTE_US // MINUTES[width]
        for (cube,) in db.execute("SELECT DISTINCT cube FROM usage_subjects").fetchall():
            if deleted < most:
                statement = _PRUNE.format(table=_TABLE[width])
                deleted += db.execute(statement.encode(), (cube, end, most - deleted)).rowcount
    return deleted
