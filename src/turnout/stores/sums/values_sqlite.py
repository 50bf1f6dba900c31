"""Whose names hold which words, kept beside the journal's rows in SQLite. Floor 3.

A word of a search is in some name of a request: its model's, its customer's, that of a tag. Which names hold
it is known by these few rows, so that a search which nobody can match is known without looking at requests.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain
from operator import attrgetter
from typing import Final

from turnout.stores.base import Term
from turnout.stores.columns import SINGLE, Columns, split

FEW: Final = 10
"""Values of a column that share a word which tells them from others."""
MANY: Final = 50
MOST_KNOWN: Final = 100_000
"""Names that a writing connection remembers to have noted."""
SCHEMA: Final = (
    """CREATE TABLE usage_values (word TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,
        PRIMARY KEY (word, name, value)) WITHOUT ROWID""",
)
_NOTE: Final = "INSERT INTO usage_values VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_FORGET: Final = "DELETE FROM usage_values WHERE word = ? AND name = ? AND value = ?"
_WITH: Final = "SELECT DISTINCT name, value FROM usage_values WHERE word >= ? AND word {} ? LIMIT ?"
_OTHERS: Final = """SELECT count(*) FROM
    (SELECT 1 FROM usage_values WHERE word = ? AND name = ? LIMIT ?)"""
_SINCE: Final = "SELECT seq FROM usage_noted"
_TAKE: Final = tuple((name, attrgetter(name)) for name in SINGLE)
_TAGS: Final = attrgetter("tags")


class Values:
    """The names that one writing connection has noted."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: set[tuple[str, str]] = set()

    def forget(self) -> None:
        """Remember none: a transaction was rolled back."""
        self._known.clear()

    def add(self, db: sqlite3.Connection, facts: Sequence[Columns]) -> None:
        """Note the names of requests."""
        found = {(name, value) for name, take in _TAKE for value in set(map(take, facts)) if value}
        found.update(("tag", tag) for tag in set(chain.from_iterable(map(_TAGS, facts))))
        fresh = found - self._known
        if not fresh:
            return
        note(db, fresh)
        if len(self._known) + len(fresh) > MOST_KNOWN:
            self._known.clear()
        self._known |= fresh


def note(db: sqlite3.Connection, names: Iterable[tuple[str, str]]) -> None:
    """Note values: (name of the column, value)."""
    db.executemany(_NOTE, sorted((word, name, value) for name, value in names for word in split(value)))


def forget(db: sqlite3.Connection, name: str, value: str) -> None:
    """Forget a value that no request has any more."""
    db.executemany(_FORGET, [(word, name, value) for word in split(value)])


def first_noted(db: sqlite3.Connection) -> int:
    """Return the row after which the names of all requests were noted."""
    (seq,) = db.execute(_SINCE).fetchone()
    return int(seq)


def values_with(db: sqlite3.Connection, term: Term, most: int) -> Sequence[tuple[str, str]] | None:
    """Return columns and their values that hold a word; None = there are more than `most`."""
    ends = (term.word, term.word + "\U0010ffff") if term.begins else (term.word, term.word)
    statement = _WITH.format("<" if term.begins else "<=")
    found = db.execute(statement, (*ends, most + 1)).fetchall()
    return None if len(found) > most else found


def telling(db: sqlite3.Connection, name: str, value: str) -> list[str]:
    """Return the words of a value that tell it from others of its column: not what all of them begin with.

    They find the same rows as all words do, and a few more, which the column itself then leaves out.
    """
    words = split(value)
    shared = {word: db.execute(_OTHERS, (word, name, MANY + 1)).fetchone()[0] for word in words}
    if not words or min(shared.values()) > FEW:
        return words
    return [word for word in words if shared[word] <= MANY]
