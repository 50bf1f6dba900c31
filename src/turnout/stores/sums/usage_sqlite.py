"""Usage kept beside the journal's rows in SQLite. Floor 3.

Theory of operation.
1. `usage_subjects` names whom cells are about; `usage_minutes`, `usage_hours` and `usage_days` hold the
   cells, in the order of cube and time: the cells of a batch lie side by side, whoever asked, so that a
   commit writes few pages.
2. `usage_through` says up to which row cells were summed; it changes with them.
3. Few subjects are sought out, cell by cell; for many, and for all, the whole range of the cube is read.
   Counters are summed by SQLite; histograms are added up here.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, Final, TypeAlias

import msgspec

from turnout.stores.columns import Columns, microseconds, words_of
from turnout.stores.sums import spread, within_sqlite
from turnout.stores.sums.cells import (
    COUNTERS,
    Batch,
    Cell,
    Cells,
    Subject,
    added,
    alike,
    days_of,
    packed_errors,
    unpacked_errors,
)
from turnout.stores.sums.held import (
    KEPT,
    MOST_SOUGHT,
    NAMES,
    TABLES,
    Named,
    Numbers,
    Reading,
    facts_of,
    row_of,
)
from turnout.stores.sums.usage import FOLLOW_ROWS, MINUTE_US, MINUTES, Part, UsageQuery, Used, Width, cube_of
from turnout.stores.sums.values_sqlite import Values

MOST_WORDS_KNOWN: Final = 100_000
Row: TypeAlias = tuple[Any, ...]
_PLACE: Final = itemgetter(0, 1, 2)
Known: TypeAlias = Sequence[tuple[int, Columns]]
"""Numbers of rows, and their facts."""
_CELLS: Final = (
    "cube INTEGER NOT NULL, at INTEGER NOT NULL, subject INTEGER NOT NULL, "
    + "".join(f"{name} INTEGER NOT NULL, " for name in COUNTERS)
    + "ttft BLOB, total BLOB, errors BLOB, PRIMARY KEY (cube, at, subject)) WITHOUT ROWID"
)
SCHEMA: Final = (
    "CREATE TABLE usage_subjects (id INTEGER PRIMARY KEY, cube INTEGER NOT NULL, "
    + "".join(f"{name} TEXT NOT NULL, " for name in NAMES)
    + "UNIQUE (cube, principal, customer, tag, model, route, provider, project, team, organisation))",
    *(f"CREATE TABLE {table} ({_CELLS}" for table in TABLES.values()),
    # Words without their places or texts: a third of the size, and whole words are all that is asked for.
    "CREATE VIRTUAL TABLE records_words USING fts5(words, content='', detail=none, columnsize=0)",
    "CREATE TABLE usage_through (seq INTEGER NOT NULL)",
    "INSERT INTO usage_through VALUES (0)",
)
WORDS: Final = "records_words"
# Every word there is, so that the beginning of one can be put as the words that begin so.
WORDS_SCHEMA: Final = (
    "CREATE TABLE usage_words (word TEXT PRIMARY KEY) WITHOUT ROWID",
    "CREATE VIRTUAL TABLE temp.usage_vocabulary USING fts5vocab(main, records_words, row)",
    "INSERT INTO usage_words SELECT term FROM temp.usage_vocabulary",
    "DROP TABLE temp.usage_vocabulary",
)
LATER_SCHEMA: Final = (
    # The day from which there are cells of the cubes that came later: all days of a new file.
    "CREATE TABLE usage_later (day INTEGER NOT NULL)",
    "INSERT INTO usage_later SELECT ifnull(max(at_us) / 86400000000 + 1, -1000000) FROM records",
)
_NOTE_WORD: Final = "INSERT INTO usage_words (word) VALUES (?) ON CONFLICT DO NOTHING"
ADD_WORDS: Final = f"INSERT INTO {WORDS} (rowid, words) VALUES (?, ?)"  # noqa: S608  constants
_THROUGH: Final = "SELECT seq FROM usage_through"
_BEHIND: Final = "SELECT 1 FROM records WHERE seq > (SELECT seq FROM usage_through) LIMIT 1"
_BETWEEN: Final = "SELECT seq, record FROM records WHERE seq > ? AND seq < ? ORDER BY seq"
_NEXT: Final = """SELECT seq, record FROM records WHERE seq > (SELECT seq FROM usage_through)
    ORDER BY seq LIMIT ?"""
_KNOWN: Final = "SELECT id FROM usage_subjects WHERE cube = ? AND " + " AND ".join(  # noqa: S608  constants
    f"{name} = ?" for name in NAMES
)
_SUBJECT: Final = (
    f"INSERT INTO usage_subjects (cube, {', '.join(NAMES)}) VALUES (?{', ?' * len(NAMES)}) RETURNING id"  # noqa: S608
)
_ADD: Final[Mapping[Width, str]] = {
    width: f"INSERT INTO {table} VALUES (?, ?, ?{', ?' * len(COUNTERS)}, ?, ?, ?)"  # noqa: S608
    " ON CONFLICT DO UPDATE SET "
    + ", ".join(f"{name} = {name} + excluded.{name}" for name in COUNTERS)
    + ", ttft = spread_add(ttft, excluded.ttft), total = spread_add(total, excluded.total),"
    " errors = errors_add(errors, excluded.errors)"
    for width, table in TABLES.items()
}
_SEEK: Final = """WITH RECURSIVE steps (at) AS (
        SELECT :first UNION ALL SELECT at + 1 FROM steps WHERE at + 1 < :last),
    wanted (id) AS MATERIALIZED (SELECT value FROM json_each(:subjects))
    SELECT {columns} FROM steps CROSS JOIN wanted
    CROSS JOIN {table} AS c ON c.cube = :cube AND c.at = steps.at AND c.subject = wanted.id"""
_SCAN: Final = """SELECT {columns} FROM {table} AS c
    WHERE c.cube = :cube AND c.at >= :first AND c.at < :last"""
_FIRST_DAY: Final = "SELECT day FROM usage_later"
_PRUNE: Final = "DELETE FROM {table} WHERE cube = ? AND at >= ? AND at < ?"
_OLDEST: Final = "SELECT at FROM {table} WHERE cube = ? ORDER BY at LIMIT 1"


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


def add_words(db: sqlite3.Connection, rows: Sequence[tuple[int, list[str]]], known: set[str]) -> None:
    """Note the words of rows by their numbers, and those words that are not `known` to be there."""
    fresh = {word for _, words in rows for word in words} - known
    db.executemany(ADD_WORDS, [(seq, " ".join(words)) for seq, words in rows])
    db.executemany(_NOTE_WORD, [(word,) for word in sorted(fresh)])
    if len(known) + len(fresh) > MOST_WORDS_KNOWN:
        known.clear()
    known |= fresh


def _with_others(db: sqlite3.Connection, facts: Known, through: int) -> list[tuple[int, Columns]]:
    """Return facts with those of the rows that other workers wrote in between."""
    found: list[tuple[int, Columns]] = []
    for seq, columns in facts:
        if seq > through + 1:
            found += _facts(db.execute(_BETWEEN, (through, seq)).fetchall())
        found.append((seq, columns))
        through = seq
    return found


def _facts(rows: Iterable[tuple[int, bytes]]) -> list[tuple[int, Columns]]:
    return [(seq, columns) for seq, payload in rows if (columns := facts_of(payload)) is not None]


class UsageWriter:
    """Adds batches, for one writing connection."""

    __slots__ = ("_batch", "_numbers", "_values", "_words")

    def __init__(self) -> None:
        self._batch = Batch()
        self._numbers = Numbers()
        self._words: set[str] = set()
        self._values = Values()

    def forget(self) -> None:
        """Hold no numbers: a transaction was rolled back."""
        self._numbers.forget()
        self._words.clear()
        self._values.forget()

    def follow(self, db: sqlite3.Connection, most: int = FOLLOW_ROWS, known: Known = ()) -> int:
        """Count the rows that were not, and note their words, in the caller's transaction; say how many.

        Args:
            db: The caller's connection.
            most: How many rows at once, where they are read back.
            known: Facts of rows with their numbers, in order, that need not be read back.
        """
        (before,) = (through,) = db.execute(_THROUGH).fetchone()
        facts = [each for each in known if each[0] > through]
        if facts and facts[-1][0] - through <= len(facts) + most:
            last = facts[-1][0]
            facts, n = _with_others(db, facts, through), int(last - through)
        else:
            rows = db.execute(_NEXT, (most,)).fetchall()
            if not rows:
                return 0
            facts = _facts(rows)
            n, last = len(rows), rows[-1][0]
        requests = alike(columns for _, columns in facts)
        self._write(db, self._batch.cells_of(requests))
        within_sqlite.add(db, self._batch.within(requests), self._number)
        self._values.add(db, [columns for _, columns in facts])
        within_sqlite.noted(db, before, last)
        add_words(db, [(seq, words_of(of)) for seq, of in facts], self._words)
        db.execute("UPDATE usage_through SET seq = ?", (last,))
        return n

    def _write(self, db: sqlite3.Connection, batch: Cells) -> None:
        """Add cells to those that are there."""
        hours = batch["hour"]
        rows = self._rows(db, hours)
        db.executemany(_ADD["minute"], self._rows(db, batch["minute"]))
        db.executemany(_ADD["hour"], rows)
        if len({at for at, _ in hours}) == 1:  # what is one hour's is its day's too
            rows = [(row[0], row[1] // 24, *row[2:]) for row in rows]
        else:
            rows = self._rows(db, days_of(hours))
        db.executemany(_ADD["day"], rows)

    def _rows(self, db: sqlite3.Connection, cells: Mapping[tuple[int, Subject], Cell]) -> list[Row]:
        found = [
            row_of((subject[0], at, self._number(db, subject)), cell) for (at, subject), cell in cells.items()
        ]
        found.sort(key=_PLACE)  # as they lie in the file
        return found

    def _number(self, db: sqlite3.Connection, subject: Subject) -> int:
        number = self._numbers.get(subject)
        if number is not None:
            return number
        values = (subject[0], *subject[1])
        row = db.execute(_KNOWN, values).fetchone() or db.execute(_SUBJECT, values).fetchone()
        return self._numbers.note(subject, int(row[0]))


class _Reading(Reading):
    """A question to a file."""

    def __init__(self, db: sqlite3.Connection, query: UsageQuery, cube: int) -> None:
        super().__init__(query, cube)
        self._db = db
        self._n_all: int | None = None

    def subjects(self) -> Named:
        """Return the subjects that are asked about, with their groups."""
        where = "".join(f" AND {name} = :{name}" for name in self.given)
        columns = ", ".join(("id", *self.by))
        statement = f"SELECT {columns} FROM usage_subjects WHERE cube = :cube{where}"  # noqa: S608
        found = self._db.execute(statement, {"cube": self.cube, **self.given}).fetchall()
        self._n_all = None if self.given else len(found)
        return [(row[0], tuple(row[1:])) for row in found]

    def rows(self, part: Part, columns: str, tail: str, subjects: Named) -> Iterable[tuple[Any, ...]]:
        """Return columns of the cells of a part."""
        values: dict[str, object] = {"cube": self.cube, "first": part.first, "last": part.last}
        source = _SCAN
        is_all = len(subjects) == self._n_all
        if not is_all and len(subjects) * (part.last - part.first) <= MOST_SOUGHT:
            source = _SEEK
            values["subjects"] = msgspec.json.encode([number for number, _ in subjects]).decode()
        statement = source.format(columns=columns, table=TABLES[part.width]) + tail
        return self._db.execute(statement, values)


def read_usage(db: sqlite3.Connection, query: UsageQuery) -> tuple[Used, ...] | None:
    """Return what a query asks for; None = no cube has this combination. Raises `sqlite3.Error`."""
    (first_day,) = db.execute(_FIRST_DAY).fetchone()
    cube = cube_of(query, first_day)
    return within_sqlite.read_within(db, query) if cube is None else _Reading(db, query, cube).answer()


def is_behind(db: sqlite3.Connection) -> bool:
    """Say whether there are rows that were not counted."""
    return db.execute(_BEHIND).fetchone() is not None


def prune(db: sqlite3.Connection, now: datetime, most: int) -> int:
    """Delete minutes and hours that were kept long enough; at most about so many."""
    deleted = 0
    for width, kept in KEPT:
        oldest, delete = (text.format(table=TABLES[width]) for text in (_OLDEST, _PRUNE))
        end = microseconds(now - kept) // MINUTE_US // MINUTES[width]
        for (cube,) in db.execute("SELECT DISTINCT cube FROM usage_subjects").fetchall():
            while deleted < most:
                row = db.execute(oldest, (cube,)).fetchone()
                if row is None or row[0] >= end:
                    break
                done = db.execute(delete, (cube, row[0], row[0] + 1))
                deleted += done.rowcount
    return deleted + within_sqlite.prune(db, now, most - deleted)
