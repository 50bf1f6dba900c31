"""How rows in SQLite forget: each function works in a transaction of its caller. Floor 3."""

import sqlite3
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from turnout.stores.base import restore
from turnout.stores.columns import columns_of, microseconds, words_of
from turnout.stores.private.base import Whose, anonymised, stripped
from turnout.stores.sqlite.schema import REMOVE_WORDS, WORDS
from turnout.stores.sums.usage import CUBES
from turnout.stores.sums.usage_sqlite import add_words
from turnout.stores.sums.values_sqlite import forget, note

_OWNERS: Final = """SELECT DISTINCT organisation, project FROM usage_subjects WHERE cube = 2
    UNION SELECT DISTINCT organisation, project FROM sum_subjects"""
_OLD: Final = """SELECT seq, record FROM records INDEXED BY records_project
    WHERE project IS ? AND organisation IS ? AND at_us < ? AND seq <= (SELECT seq FROM usage_through)
    ORDER BY at_us LIMIT ?"""
_TEXTS: Final = """SELECT seq, record FROM records INDEXED BY records_text
    WHERE project IS ? AND organisation IS ? AND at_us < ? AND has_text IS NOT 0 ORDER BY at_us LIMIT ?"""
_OF: Final = """SELECT seq, record FROM records
    WHERE customer = ? AND (? IS NULL OR organisation = ?) LIMIT ?"""
_THROUGH: Final = "SELECT seq FROM usage_through"
_DELETE: Final = "DELETE FROM records WHERE seq = ?"
_STRIP: Final = "UPDATE records SET record = ?, has_text = 0 WHERE seq = ?"
_RENAME: Final = "UPDATE records SET record = ?, customer = ?, has_text = 0 WHERE seq = ?"
_SUBJECTS: Final = (
    "UPDATE usage_subjects SET customer = ? WHERE customer = ? AND (? IS NULL OR organisation = ?)",
    "UPDATE sum_subjects SET customer = ? WHERE customer = ? AND (? IS NULL OR organisation = ?)",
)
_CUSTOMERS: Final = CUBES.index(("organisation", "customer"))
_STILL: Final = "SELECT 1 FROM usage_subjects WHERE cube = ? AND principal = '' AND customer = ? LIMIT 1"
_ERASED: Final = "UPDATE records_erasures SET n = n + 1"
_N_ERASED: Final = "SELECT n FROM records_erasures"
_SAID: Final = f"SELECT 1 FROM {WORDS} WHERE {WORDS} MATCH ? LIMIT 1"  # noqa: S608  constants
_UNSAID: Final = "DELETE FROM usage_words WHERE word = ?"


def owners(db: sqlite3.Connection) -> tuple[Whose, ...]:
    """Return everybody who has Records, or had."""
    return tuple(Whose(org or None, project or None) for org, project in db.execute(_OWNERS))


def expire(db: sqlite3.Connection, whose: Whose, before: datetime, most: int) -> int:
    """Delete old Records, with their words."""
    found = db.execute(_OLD, (whose.project, whose.organisation, microseconds(before), most)).fetchall()
    _remove_words(db, found)
    db.executemany(_DELETE, [(seq,) for seq, _ in found])
    return len(found)


def strip(db: sqlite3.Connection, whose: Whose, before: datetime, most: int) -> int:
    """Remove the text of old Records."""
    found = db.execute(_TEXTS, (whose.project, whose.organisation, microseconds(before), most)).fetchall()
    db.executemany(_STRIP, [(stripped(payload), seq) for seq, payload in found])
    return len(found)


def anonymise(db: sqlite3.Connection, who: tuple[str, str | None], name: str, most: int) -> int:
    """Make Records nobody's; with `most` 0 the sums."""
    customer, organisation = who
    db.execute(_ERASED)
    if most == 0:
        for statement in _SUBJECTS:
            db.execute(statement, (name, customer, organisation, organisation))
        if db.execute(_STILL, (_CUSTOMERS, customer)).fetchone() is None:
            forget(db, "customer", customer)
        return 0
    found = db.execute(_OF, (customer, organisation, organisation, most)).fetchall()
    _remove_words(db, found)
    changed = [(seq, anonymised(payload, name)) for seq, payload in found]
    db.executemany(_RENAME, [(payload, name, seq) for seq, payload in changed])
    (through,) = db.execute(_THROUGH).fetchone()
    note(db, (("customer", name),))
    noted = [(seq, _words(payload).split(" ")) for seq, payload in changed if seq <= through]
    add_words(db, noted, set())
    said = {word for _, payload in found for word in _words(payload).split(" ")}
    _forget_words(db, said.difference(*[words for _, words in noted]))
    return len(found)


def n_erased(db: sqlite3.Connection) -> int:
    """Return how often somebody became nobody: whoever remembers names or their numbers forgets them then."""
    (n,) = db.execute(_N_ERASED).fetchone()
    return int(n)


def _forget_words(db: sqlite3.Connection, words: Iterable[str]) -> None:
    """Forget those words that no request has any more."""
    gone = [(word,) for word in words if word and db.execute(_SAID, (f'"{word}"',)).fetchone() is None]
    db.executemany(_UNSAID, gone)


def _remove_words(db: sqlite3.Connection, rows: list[tuple[int, bytes]]) -> None:
    """Remove words before their rows change: the index holds no texts, and is told what it held."""
    (through,) = db.execute(_THROUGH).fetchone()
    db.executemany(REMOVE_WORDS, [(seq, _words(payload)) for seq, payload in rows if seq <= through])


def _words(payload: bytes) -> str:
    return " ".join(words_of(columns_of(restore(payload))))
