"""Usage kept beside the journal's rows in PostgreSQL: the same tables as in SQLite. Floor 3.

Histograms are read, added up here, and written back. Who does so holds the row of `usage_through`, so nobody
else writes cells meanwhile.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from turnout.stores.columns import microseconds
from turnout.stores.postgres import within
from turnout.stores.postgres.connect import Connection, Row
from turnout.stores.postgres.names import Values
from turnout.stores.postgres.sums import text
from turnout.stores.sums import spread
from turnout.stores.sums.cells import (
    COUNTERS,
    Batch,
    Cell,
    Cells,
    Subject,
    added,
    alike,
    days_of,
    unpacked_errors,
)
from turnout.stores.sums.held import KEPT, NAMES, TABLES, Named, Numbers, Reading, facts_of, row_of
from turnout.stores.sums.usage import FOLLOW_ROWS, MINUTE_US, MINUTES, Part, UsageQuery, Used, Width, cube_of

MOST_SOUGHT: Final = 10_000
"""Cells that are looked up one by one, some microseconds each; beyond, all of the range are read."""
_CELLS: Final = (
    "cube INTEGER NOT NULL, at BIGINT NOT NULL, subject BIGINT NOT NULL, "
    + "".join(f"{name} BIGINT NOT NULL, " for name in COUNTERS)
    + "ttft BYTEA, total BYTEA, errors BYTEA, PRIMARY KEY (cube, at, subject)) WITH (fillfactor = 80);\n"
)
SCHEMA: Final = (
    "CREATE TABLE usage_subjects (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, cube INTEGER NOT NULL, "
    + "".join(f"{name} TEXT NOT NULL, " for name in NAMES)
    + "UNIQUE (cube, principal, customer, tag, model, route, provider, project, team, organisation));\n"
    + "".join(f"CREATE TABLE {table} ({_CELLS}" for table in TABLES.values())
    + """CREATE TABLE usage_through (seq BIGINT NOT NULL);
INSERT INTO usage_through VALUES (0);
"""
)
LATER: Final = """
-- The day from which there are cells of the cubes that came later: all days of a new database.
CREATE TABLE usage_later (day BIGINT NOT NULL);
INSERT INTO usage_later SELECT coalesce(max(at_us) / 86400000000 + 1, -1000000) FROM journal;
"""
_KNOWN: Final = "SELECT id FROM usage_subjects WHERE cube = %s AND " + " AND ".join(  # noqa: S608
    f"{name} = %s" for name in NAMES
)  # constants
_SUBJECT: Final = (
    f"INSERT INTO usage_subjects (cube, {', '.join(NAMES)}) VALUES (%s{', %s' * len(NAMES)}) RETURNING id"  # noqa: S608
)
_SHAPES: Final[Mapping[Width, str]] = {
    width: f"""SELECT c.cube, c.at, c.subject, c.ttft, c.total, c.errors
    FROM unnest(%s::integer[], %s::bigint[], %s::bigint[]) AS key (cube, at, subject)
    JOIN {table} AS c ON c.cube = key.cube AND c.at = key.at AND c.subject = key.subject"""  # noqa: S608
    for width, table in TABLES.items()
}
_ADD: Final[Mapping[Width, str]] = {
    width: f"INSERT INTO {table} AS held SELECT * FROM unnest(%s::integer[], %s::bigint[], %s::bigint[]"  # noqa: S608
    + ", %s::bigint[]" * len(COUNTERS)
    + ", %s::bytea[], %s::bytea[], %s::bytea[]) ON CONFLICT (cube, at, subject) DO UPDATE SET "
    + ", ".join(f"{name} = held.{name} + excluded.{name}" for name in COUNTERS)
    + ", ttft = excluded.ttft, total = excluded.total, errors = excluded.errors"
    for width, table in TABLES.items()
}
_HOLD: Final = "SELECT seq FROM usage_through FOR UPDATE"
_BEHIND: Final = "SELECT 1 FROM journal WHERE seq > (SELECT seq FROM usage_through) LIMIT 1"
_NEXT: Final = """SELECT seq, record FROM journal WHERE seq > (SELECT seq FROM usage_through)
    ORDER BY seq LIMIT %s"""
# One cell after another, said so that no other plan is made: the database knows nothing of these two lists.
_SEEK: Final = """SELECT {columns} FROM generate_series(%(first)s::bigint, %(last)s::bigint - 1) AS t (at)
    CROSS JOIN unnest(%(subjects)s::bigint[]) AS wanted (id)
    CROSS JOIN LATERAL (SELECT * FROM {table} AS one
        WHERE one.cube = %(cube)s AND one.at = t.at AND one.subject = wanted.id LIMIT 1) AS c"""
_SCAN: Final = """SELECT {columns} FROM {table} AS c
    WHERE c.cube = %(cube)s AND c.at >= %(first)s AND c.at < %(last)s"""
_FIRST_DAY: Final = "SELECT day FROM usage_later"
_PRUNE: Final = """DELETE FROM {table} WHERE (cube, at, subject) IN (
    SELECT cube, at, subject FROM {table} WHERE cube = %s AND at < %s LIMIT %s)"""


class UsageWriter:
    """Adds batches, for one writing connection."""

    __slots__ = ("_batch", "_numbers", "_values")

    def __init__(self) -> None:
        self._batch = Batch()
        self._numbers = Numbers()
        self._values = Values()

    def forget(self) -> None:
        """Hold no numbers: a transaction was rolled back."""
        self._numbers.forget()
        self._values.forget()

    def follow(self, db: Connection, most: int = FOLLOW_ROWS) -> int:
        """Count the rows that were not, in one transaction of the caller; say how many."""
        held = db.execute(_HOLD).fetchone()
        rows = db.execute(_NEXT, (most,), binary=True).fetchall()
        if not rows or held is None:
            return 0
        facts = [of for _, payload in rows if (of := facts_of(payload)) is not None]
        requests, last = alike(facts), rows[-1][0]
        cells = self._batch.cells_of(requests)
        self.write(db, {**cells, "day": days_of(cells["hour"])})
        within.add(db, self._batch.within(requests), self._number)
        self._values.add(db, facts)
        within.noted(db, held[0], last)
        db.execute("UPDATE usage_through SET seq = %s", (last,))
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
            rows = [row_of(key, found[key]) for key in keys]
            db.execute(_ADD[width].encode(), [list(column) for column in zip(*rows, strict=True)])

    def _number(self, db: Connection, subject: Subject) -> int:
        number = self._numbers.get(subject)
        if number is not None:
            return number
        values = (subject[0], *(text(name) for name in subject[1]))
        row = db.execute(_KNOWN.encode(), values).fetchone()
        row = row or db.execute(_SUBJECT.encode(), values).fetchone()
        assert row is not None
        return self._numbers.note(subject, int(row[0]))


def _add_shapes(cell: Cell, ttft: bytes | None, total: bytes | None, errors: bytes | None) -> None:
    """Add to a cell of a batch the histograms of the one that is there."""
    cell.ttft += spread.unpacked(ttft)
    cell.total += spread.unpacked(total)
    if errors is not None:
        cell.errors = added(unpacked_errors(errors), cell.errors or {})


class _Reading(Reading):
    """A question to a database."""

    sums = ", ".join(f"sum({name})::bigint" for name in COUNTERS)

    def __init__(self, db: Connection, query: UsageQuery, cube: int) -> None:
        super().__init__(query, cube)
        self._db = db
        self._n_all = -1
        """How many subjects are all of the cube; -1 = only some are asked about."""

    def subjects(self) -> Named:
        """Return the subjects that are asked about, with their groups."""
        where = "".join(f" AND {name} = %({name})s" for name in self.given)
        columns = ", ".join(("id", *self.by))
        statement = f"SELECT {columns} FROM usage_subjects WHERE cube = %(cube)s{where}"  # noqa: S608  constants
        found = self._db.execute(statement.encode(), {"cube": self.cube, **self.given}).fetchall()
        self._n_all = -1 if self.given else len(found)
        return [(row[0], tuple(row[1:])) for row in found]

    def rows(self, part: Part, columns: str, tail: str, subjects: Named) -> list[Row]:
        """Return columns of the cells of a part."""
        values: dict[str, object] = {"cube": self.cube, "first": part.first, "last": part.last}
        source = _SCAN
        n_sought = len(subjects) * (part.last - part.first)
        if n_sought <= MOST_SOUGHT and len(subjects) != self._n_all:
            source = _SEEK
            values["subjects"] = [number for number, _ in subjects]
        statement = source.format(columns=columns, table=TABLES[part.width]) + tail
        return self._db.execute(statement.encode(), values, binary=True).fetchall()


def read_usage(db: Connection, query: UsageQuery) -> tuple[Used, ...] | None:
    """Return what a query asks for; None = no cube has this combination. Raises `psycopg.Error`."""
    row = db.execute(_FIRST_DAY).fetchone()
    cube = cube_of(query, None if row is None else row[0])
    return within.read_within(db, query) if cube is None else _Reading(db, query, cube).answer()


def is_behind(db: Connection) -> bool:
    """Say whether there are rows that were not counted."""
    return db.execute(_BEHIND).fetchone() is not None


def prune(db: Connection, now: datetime, most: int) -> int:
    """Delete minutes and hours that were kept long enough; at most so many."""
    deleted = 0
    for width, kept in KEPT:
        end = microseconds(now - kept) // MINUTE_US // MINUTES[width]
        for (cube,) in db.execute("SELECT DISTINCT cube FROM usage_subjects").fetchall():
            if deleted < most:
                statement = _PRUNE.format(table=TABLES[width])
                deleted += db.execute(statement.encode(), (cube, end, most - deleted)).rowcount
    return deleted + within.prune(db, now, most - deleted)
