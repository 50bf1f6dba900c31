"""Whose names hold which words, kept beside the journal's rows in PostgreSQL. Floor 3.

The same table as in SQLite (`stores.sums.values_sqlite`). It is written by whoever holds the row of
`usage_through`, and read to know of a search that nobody can match without looking at requests.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from turnout.stores.base import Term
from turnout.stores.columns import SINGLE, Columns, split
from turnout.stores.postgres.connect import Connection
from turnout.stores.postgres.sums import text
from turnout.stores.sums.settle import Value

MOST_KNOWN: Final = 100_000
"""Names that a writing connection remembers to have noted."""
SCHEMA: Final = """
CREATE TABLE usage_values (word TEXT COLLATE "C" NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (word, name, value));
"""
_NOTE: Final = """INSERT INTO usage_values SELECT * FROM unnest(%s::text[], %s::text[], %s::text[])
    ON CONFLICT DO NOTHING"""
_FORGET: Final = "DELETE FROM usage_values WHERE word = ANY (%s) AND name = %s AND value = %s"
_WITH: Final = "SELECT DISTINCT name, value FROM usage_values WHERE word >= %s AND word {} %s LIMIT %s"
_KNOWN: Final = "SELECT 1 FROM usage_subjects WHERE cube = %s AND "
_SINCE: Final = "SELECT seq FROM usage_noted"


class Values:
    """The names that one writing connection has noted."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: set[Value] = set()

    def forget(self) -> None:
        """Remember none: a transaction was rolled back."""
        self._known.clear()

    def add(self, db: Connection, facts: Sequence[Columns]) -> None:
        """Note the names of requests."""
        found = {(name, value) for name in SINGLE for of in facts if (value := getattr(of, name))}
        found |= {("tag", tag) for of in facts for tag in of.tags}
        fresh = found - self._known
        if not fresh:
            return
        note(db, fresh)
        if len(self._known) + len(fresh) > MOST_KNOWN:
            self._known.clear()
        self._known |= fresh


def note(db: Connection, names: Iterable[Value]) -> None:
    """Note values: (name of the column, value)."""
    rows = sorted((word, name, text(value)) for name, value in names for word in split(value))
    if rows:
        db.execute(_NOTE, [list(column) for column in zip(*rows, strict=True)])


def forget(db: Connection, name: str, value: str) -> None:
    """Forget a value that no request has any more."""
    db.execute(_FORGET, (split(value), name, text(value)))


class Names:
    """What a database knows of names. Raises `psycopg.Error`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def is_known(self, cube: int, named: Mapping[str, str]) -> bool:
        """Say whether a cube has a subject with these values: column -> value."""
        tests = " AND ".join(f"{name} = %s" for name in named)
        values = (cube, *(text(value) for value in named.values()))
        return self._db.execute((_KNOWN + tests + " LIMIT 1").encode(), values).fetchone() is not None

    def values_with(self, term: Term, most: int) -> Sequence[Value] | None:
        """Return columns and their values that hold a word; None = there are more than `most`."""
        ends = (term.word, term.word + "\U0010ffff") if term.begins else (term.word, term.word)
        asked = _WITH.format("<" if term.begins else "<=").encode()
        found = [(name, value) for name, value in self._db.execute(asked, (*ends, most + 1)).fetchall()]
        return None if len(found) > most else found

    def first_noted(self) -> int:
        """Return the row after which the names of all requests were noted."""
        row = self._db.execute(_SINCE).fetchone()
        return 0 if row is None else int(row[0])
