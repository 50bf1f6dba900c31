"""What a file knows of names, for searches that nobody can match. Floor 3."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final

from turnout.stores.base import Term
from turnout.stores.sums import settle, values_sqlite
from turnout.stores.sums.settle import Value

_KNOWN: Final = "SELECT 1 FROM usage_subjects WHERE cube = ? AND "


class _Names:
    """The names of one file."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def is_known(self, cube: int, named: Mapping[str, str]) -> bool:
        statement = _KNOWN + " AND ".join(f"{name} = ?" for name in named) + " LIMIT 1"
        found = self._db.execute(statement, (cube, *named.values()))
        return found.fetchone() is not None

    def values_with(self, term: Term, most: int) -> Sequence[Value] | None:
        return values_sqlite.values_with(self._db, term, most)

    def first_noted(self) -> int:
        return values_sqlite.first_noted(self._db)


def is_seen(db: sqlite3.Connection, given: Mapping[str, str]) -> bool | None:
    """Say whether usage saw a request with these values together; None = it cannot know."""
    return settle.is_seen(_Names(db), given)


def contradicts(
    db: sqlite3.Connection, given: Mapping[str, str], terms: Sequence[Term], first: int | None
) -> bool:
    """Say whether words contradict what is given, or each other. Raises `sqlite3.Error`."""
    return settle.contradicts(_Names(db), given, terms, first)


def needed(db: sqlite3.Connection, terms: Sequence[Term], first: int | None) -> list[Term]:
    """Return the words that have to be looked up: not those that come with others. Raises `sqlite3.Error`."""
    return settle.needed(_Names(db), terms, first)
