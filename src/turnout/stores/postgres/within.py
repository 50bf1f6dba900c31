"""Who asked each model, kept beside the journal's rows in PostgreSQL: the same tables as in SQLite. Floor 3.

See `stores.sums.within_sqlite`. Cells are written by whoever holds the row of `usage_through`.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import ClassVar, Final

from msgspec.structs import replace

from turnout.stores.columns import microseconds
from turnout.stores.postgres.connect import Connection, Row
from turnout.stores.sums.cells import Subject, Within, days_within
from turnout.stores.sums.held import KEPT, Named, Reading
from turnout.stores.sums.usage import (
    DAY_US,
    MINUTE_US,
    MINUTES,
    WITHIN,
    Part,
    UsageQuery,
    Used,
    Width,
    cube_within,
)
from turnout.stores.sums.within import COUNTED, MODELS, MOST_SOUGHT, TABLES, rows_of

_CELLS: Final = (
    "cube INTEGER NOT NULL, model BIGINT NOT NULL, at BIGINT NOT NULL, subject BIGINT NOT NULL, "
    + "".join(f"{name} BIGINT NOT NULL, " for name in COUNTED)
    + "PRIMARY KEY (cube, model, at, subject)) WITH (fillfactor = 80);\n"
)
_NOTED: Final = """
-- The day from which cells know of all requests, the row after which all names were noted, and the last row
-- that somebody counted who knows of both.
CREATE TABLE usage_noted (day BIGINT NOT NULL, seq BIGINT NOT NULL, through BIGINT NOT NULL);
INSERT INTO usage_noted SELECT
    (SELECT coalesce(max(at_us) / 86400000000 + 1, -1000000) FROM journal), seq, seq FROM usage_through;
"""
SCHEMA: Final = "".join(f"CREATE TABLE {table} ({_CELLS}" for table in TABLES.values()) + _NOTED
_ADD: Final[Mapping[Width, str]] = {
    width: f"INSERT INTO {table} AS held SELECT * FROM unnest(%s::integer[], %s::bigint[], %s::bigint[], "  # noqa: S608
    + ", ".join("%s::bigint[]" for _ in ("subject", *COUNTED))
    + ") ON CONFLICT (cube, model, at, subject) DO UPDATE SET "
    + ", ".join(f"{name} = held.{name} + excluded.{name}" for name in COUNTED)
    for width, table in TABLES.items()
}
_MODEL_OF: Final = "SELECT id FROM usage_subjects WHERE cube = %s AND model = %s"
_SINCE: Final = "SELECT day FROM usage_noted"
_KNOWN: Final = "SELECT through FROM usage_noted"
_BEGIN: Final = """UPDATE usage_noted SET seq = %s,
    day = (SELECT coalesce(max(at_us) / 86400000000 + 1, -1000000) FROM journal)"""
_THROUGH: Final = "UPDATE usage_noted SET through = %s"
_SEEK: Final = """SELECT {columns} FROM generate_series(%(first)s::bigint, %(last)s::bigint - 1) AS t (at)
    CROSS JOIN unnest(%(subjects)s::bigint[]) AS wanted (id)
    CROSS JOIN LATERAL (SELECT * FROM {table} AS one WHERE one.cube = %(cube)s AND one.model = %(model)s
        AND one.at = t.at AND one.subject = wanted.id LIMIT 1) AS c"""
_SCAN: Final = """SELECT {columns} FROM {table} AS c
    WHERE c.cube = %(cube)s AND c.model = %(model)s AND c.at >= %(first)s AND c.at < %(last)s"""
_PRUNE: Final = """DELETE FROM usage_within_hours WHERE (cube, model, at, subject) IN (
    SELECT cube, model, at, subject FROM usage_within_hours
    WHERE cube = %s AND model = %s AND at < %s LIMIT %s)"""
_EVERY_MODEL: Final = "SELECT id FROM usage_subjects WHERE cube = %s"
Number = Callable[[Connection, Subject], int]
"""Gives the number of a subject."""


def add(db: Connection, batch: Within, number: Number) -> None:
    """Add cells to those that are there."""
    for width, cells in (("hour", batch), ("day", days_within(batch))):
        rows = rows_of(cells, partial(number, db))
        if rows:
            statement = _ADD["hour" if width == "hour" else "day"]
            db.execute(statement.encode(), [list(column) for column in zip(*rows, strict=True)])


def noted(db: Connection, before: int, through: int) -> None:
    """Note what was counted; begin anew behind what somebody counted who does not know of this."""
    if db.execute(_KNOWN).fetchone() != (before,):
        db.execute(_BEGIN, (before,))
    db.execute(_THROUGH, (through,))


class _Reading(Reading):
    """A question about one model to a database."""

    counters: ClassVar[Sequence[str]] = COUNTED
    sums: ClassVar[str] = ", ".join(f"sum({name})::bigint" for name in COUNTED)

    def __init__(self, db: Connection, query: UsageQuery, cube: int) -> None:
        super().__init__(replace(query, latencies=False), cube)
        self._db = db
        row = db.execute(_MODEL_OF, (MODELS, self.given.pop("model"))).fetchone()
        self._model: int | None = None if row is None else row[0]

    def subjects(self) -> Named:
        """Return the subjects that are asked about, with their groups."""
        tests = "".join(f" AND {name} = %({name})s" for name in self.given)
        columns = ", ".join(("id", *self.by))
        statement = f"SELECT {columns} FROM usage_subjects WHERE cube = %(cube)s{tests}"  # noqa: S608  constants
        found = self._db.execute(statement.encode(), {"cube": self.cube, **self.given}).fetchall()
        return [(row[0], tuple(row[1:])) for row in found]

    def rows(self, part: Part, columns: str, tail: str, subjects: Named) -> list[Row]:
        """Return columns of the cells of a part."""
        values: dict[str, object] = {"cube": self.cube, "model": self._model}
        values |= {"first": part.first, "last": part.last}
        source = _SCAN
        if len(subjects) * (part.last - part.first) <= MOST_SOUGHT:
            source = _SEEK
            values["subjects"] = [number for number, _ in subjects]
        statement = source.format(columns=columns, table=TABLES[part.width]) + tail
        return self._db.execute(statement.encode(), values, binary=True).fetchall()


def read_within(db: Connection, query: UsageQuery) -> tuple[Used, ...] | None:
    """Return what one model was asked; None = it is not known here. Raises `psycopg.Error`."""
    cube = cube_within(query)
    if cube is None or query.step == "minute":
        return None
    row = db.execute(_SINCE).fetchone()
    is_known = row is not None and microseconds(query.since) // DAY_US >= row[0]
    return _Reading(db, query, cube).answer() if is_known else None


def prune(db: Connection, now: datetime, most: int) -> int:
    """Delete hours that were kept long enough; at most so many."""
    end = microseconds(now - dict(KEPT)["hour"]) // MINUTE_US // MINUTES["hour"]
    deleted = 0
    for (model,) in db.execute(_EVERY_MODEL, (MODELS,)).fetchall():
        for cube in WITHIN:
            if deleted < most:
                deleted += db.execute(_PRUNE, (cube, model, end, most - deleted)).rowcount
    return deleted
