"""Who asked each model, kept beside the journal's rows in SQLite. Floor 3.

Theory of operation.
1. The customers, keys and tags of one model are in no cube: a cube of both would have as many groups as there
   are pairs, and the whole of it would be read for one model. These cells lie in the order of cube, model and
   time, so that one model's are read and no others. They hold what the sums of spend hold of such a pair, and
   follow the rows with all other cells.
2. Nothing is named here: a model is the number that it has among the subjects of its cube, and so is whoever
   asked. Who becomes nobody does so there.
3. `usage_noted` says from which day on all requests are counted here, after which row all values are noted
   (`values_sqlite`), and up to which row somebody counted who knows of both. A Turnout from before moves
   `usage_through` alone: then both begin anew.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, Final

import msgspec
from msgspec.structs import replace

from turnout.stores.columns import microseconds
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
    "cube INTEGER NOT NULL, model INTEGER NOT NULL, at INTEGER NOT NULL, subject INTEGER NOT NULL, "
    + "".join(f"{name} INTEGER NOT NULL, " for name in COUNTED)
    + "PRIMARY KEY (cube, model, at, subject)) WITHOUT ROWID"
)
SCHEMA: Final = (
    *(f"CREATE TABLE {table} ({_CELLS}" for table in TABLES.values()),
    "CREATE TABLE usage_noted (day INTEGER NOT NULL, seq INTEGER NOT NULL, through INTEGER NOT NULL)",
    """INSERT INTO usage_noted SELECT
        (SELECT ifnull(max(at_us) / 86400000000 + 1, -1000000) FROM records), seq, seq FROM usage_through""",
)
_ADD: Final[Mapping[Width, str]] = {
    width: f"INSERT INTO {table} VALUES (?, ?, ?, ?{', ?' * len(COUNTED)}) ON CONFLICT DO UPDATE SET "  # noqa: S608
    + ", ".join(f"{name} = {name} + excluded.{name}" for name in COUNTED)
    for width, table in TABLES.items()
}
_MODEL_OF: Final = "SELECT id FROM usage_subjects WHERE cube = ? AND model = ?"
_SINCE: Final = "SELECT day FROM usage_noted"
_KNOWN: Final = "SELECT through FROM usage_noted"
_BEGIN: Final = """UPDATE usage_noted SET seq = ?,
    day = (SELECT ifnull(max(at_us) / 86400000000 + 1, -1000000) FROM records)"""
_THROUGH: Final = "UPDATE usage_noted SET through = ?"
_SEEK: Final = """WITH RECURSIVE steps (at) AS (
        SELECT :first UNION ALL SELECT at + 1 FROM steps WHERE at + 1 < :last),
    wanted (id) AS MATERIALIZED (SELECT value FROM json_each(:subjects))
    SELECT {columns} FROM steps CROSS JOIN wanted CROSS JOIN {table} AS c
    ON c.cube = :cube AND c.model = :model AND c.at = steps.at AND c.subject = wanted.id"""
_SCAN: Final = """SELECT {columns} FROM {table} AS c
    WHERE c.cube = :cube AND c.model = :model AND c.at >= :first AND c.at < :last"""
_OLDEST: Final = "SELECT at FROM {table} WHERE cube = ? AND model = ? ORDER BY at LIMIT 1"
_PRUNE: Final = "DELETE FROM {table} WHERE cube = ? AND model = ? AND at = ?"
_EVERY_MODEL: Final = "SELECT id FROM usage_subjects WHERE cube = ?"
Number = Callable[[sqlite3.Connection, Subject], int]
"""Gives the number of a subject."""


def add(db: sqlite3.Connection, batch: Within, number: Number) -> None:
    """Add cells to those that are there."""
    rows = rows_of(batch, partial(number, db))
    db.executemany(_ADD["hour"], rows)
    if len({at for at, _ in batch}) == 1:  # what is one hour's is its day's too
        rows = [(cube, model, at // 24, *rest) for cube, model, at, *rest in rows]
    else:
        rows = rows_of(days_within(batch), partial(number, db))
    db.executemany(_ADD["day"], rows)


def noted(db: sqlite3.Connection, before: int, through: int) -> None:
    """Note what was counted; begin anew behind what somebody counted who does not know of this."""
    if db.execute(_KNOWN).fetchone() != (before,):
        db.execute(_BEGIN, (before,))
    db.execute(_THROUGH, (through,))


class _Reading(Reading):
    """A question about one model to a file."""

    counters: ClassVar[Sequence[str]] = COUNTED
    sums: ClassVar[str] = ", ".join(f"sum({name})" for name in COUNTED)

    def __init__(self, db: sqlite3.Connection, query: UsageQuery, cube: int) -> None:
        super().__init__(replace(query, latencies=False), cube)
        self._db = db
        row = db.execute(_MODEL_OF, (MODELS, self.given.pop("model"))).fetchone()
        self._model: int | None = None if row is None else row[0]

    def subjects(self) -> Named:
        """Return the subjects that are asked about, with their groups."""
        tests = "".join(f" AND {name} = :{name}" for name in self.given)
        columns = ", ".join(("id", *self.by))
        statement = f"SELECT {columns} FROM usage_subjects WHERE cube = :cube{tests}"  # noqa: S608  constants
        found = self._db.execute(statement, {"cube": self.cube, **self.given}).fetchall()
        return [(row[0], tuple(row[1:])) for row in found]

    def rows(self, part: Part, columns: str, tail: str, subjects: Named) -> Iterable[tuple[Any, ...]]:
        """Return columns of the cells of a part."""
        values: dict[str, object] = {"cube": self.cube, "model": self._model}
        values |= {"first": part.first, "last": part.last}
        source = _SCAN
        if len(subjects) * (part.last - part.first) <= MOST_SOUGHT:
            source = _SEEK
            values["subjects"] = msgspec.json.encode([number for number, _ in subjects]).decode()
        statement = source.format(columns=columns, table=TABLES[part.width]) + tail
        return self._db.execute(statement, values)


def read_within(db: sqlite3.Connection, query: UsageQuery) -> tuple[Used, ...] | None:
    """Return what one model was asked; None = it is not known here. Raises `sqlite3.Error`."""
    cube = cube_within(query)
    if cube is None or query.step == "minute":
        return None
    (day,) = db.execute(_SINCE).fetchone()
    return None if microseconds(query.since) // DAY_US < day else _Reading(db, query, cube).answer()


def prune(db: sqlite3.Connection, now: datetime, most: int) -> int:
    """Delete hours that were kept long enough; at most about so many."""
    kept = dict(KEPT)["hour"]
    end, deleted = microseconds(now - kept) // MINUTE_US // MINUTES["hour"], 0
    oldest, delete = (text.format(table=TABLES["hour"]) for text in (_OLDEST, _PRUNE))
    models = [model for (model,) in db.execute(_EVERY_MODEL, (MODELS,))]
    for place in ((cube, model) for cube in WITHIN for model in models):
        while deleted < most and (row := db.execute(oldest, place).fetchone()) and row[0] < end:
            deleted += db.execute(delete, (*place, row[0])).rowcount
    return deleted
