"""Finds the rows that a query asks for. Floor 3.

Theory of operation.
1. Filters have an index each that also gives the order, so that a page is read without looking at other rows.
2. Words are found in the order in which rows were stored, newest first or oldest first, which need not be
   that of arrival. Every other filter is a word too, and narrows what is looked at; a range of time bounds
   the numbers of rows by those of the `NEAR` requests at its ends.
3. The dearest of a range are looked for day by day, in an index that has the cost behind the day; those of a
   customer in the customer's.
"""

import heapq
import sqlite3
from datetime import timedelta
from typing import Final, TypeAlias

import msgspec

from turnout.stores.base import ANY_ERROR, Query, conditions, terms_of
from turnout.stores.columns import microseconds, split
from turnout.stores.sqlite.schema import WORDS
from turnout.stores.sums.usage import CUBES

NEAR: Final = 100_000
"""A Record that was stored so many requests late may be missed by a search that names a range."""
DAY_US: Final = 86_400_000_000
TAG_CUBE: Final = CUBES.index(("organisation", "tag"))
Found: TypeAlias = tuple[int, int, bytes]
"""Place in the order (microseconds, or cost), number, payload."""
_SELECT: Final = "SELECT at_us, seq, record FROM records"
# Failures are few among many: said aloud, since SQLite cannot know that without statistics.
_SELECT_FAILED: Final = _SELECT + " INDEXED BY records_error"
_NEWEST: Final = ("(at_us, seq) < (?, ?)", " ORDER BY at_us DESC, seq DESC LIMIT ?")
_OLDEST: Final = ("(at_us, seq) > (?, ?)", " ORDER BY at_us, seq LIMIT ?")
_TESTS: Final = {
    "request_id": "request_id = ?",
    "model": "model = ?",
    "provider": "provider = ?",
    "route": "route = ?",
    "organisation": "organisation = ?",
    "project": "project = ?",
    "team": "team = ?",
    "customer": "customer = ?",
    "principal": "principal = ?",
    "tag": "EXISTS (SELECT 1 FROM json_each(tags) WHERE value = ?)",
    "error": "error = ?",
    "since": "at_us >= ?",
    "until": "at_us < ?",
}
"""Condition of a query -> its test."""
_WORDY: Final = frozenset(_TESTS) - {"request_id", "since", "until"}
_MATCHING: Final = f"""SELECT r.at_us, r.seq, r.record FROM {WORDS} AS w
    CROSS JOIN records AS r ON r.seq = w.rowid WHERE {WORDS} MATCH ?"""  # noqa: S608  constants
# Usage follows the rows in the same transactions as words do, so it knows every tag that words could find.
_TAGGED: Final = """SELECT 1 FROM usage_subjects
    WHERE cube = ? AND principal = '' AND customer = '' AND tag = ? LIMIT 1"""
_BEGINS: Final = "SELECT min(seq) FROM (SELECT seq FROM records WHERE at_us >= ? ORDER BY at_us LIMIT ?)"
_ENDS: Final = "SELECT max(seq) FROM (SELECT seq FROM records WHERE at_us < ? ORDER BY at_us DESC LIMIT ?)"
_FIRST_DAY: Final = "SELECT min(at_us) FROM records"
_LAST_DAY: Final = "SELECT max(at_us) FROM records"
_DEAREST: Final = """SELECT cost_nusd, seq FROM records INDEXED BY records_dearest
    WHERE at_us / 86400000000 = ? AND cost_nusd IS NOT NULL"""
_DEAREST_OF: Final = "SELECT cost_nusd, seq FROM records WHERE cost_nusd IS NOT NULL"
_BY_COST: Final = " ORDER BY cost_nusd DESC, seq DESC LIMIT ?"
_GET: Final = """SELECT cost_nusd, seq, record FROM json_each(?) AS wanted
    CROSS JOIN records ON seq = wanted.value ORDER BY cost_nusd DESC, seq DESC"""


def select(db: sqlite3.Connection, query: Query) -> list[Found]:
    """Return up to one row more than the limit, to see whether there is one. Raises `sqlite3.Error`."""
    if query.order == "dearest":
        return _dearest(db, query)
    if query.search is not None or query.tag is not None:
        return _matching(db, query)
    return db.execute(*statement(query)).fetchall()


def statement(query: Query) -> tuple[str, tuple[object, ...]]:
    """Return the SELECT for a query that names no words and does not ask for the dearest."""
    where, values = where_of(query)
    joint = " AND " if where else " WHERE "
    chosen = _SELECT if query.error is None or query.customer or query.principal else _SELECT_FAILED
    match query.order, query.after:
        case "stored", after:
            # Told not to choose an index: it would sort all rows of a model to find the few new ones.
            text = _SELECT + " NOT INDEXED" + where + joint + "seq > ? ORDER BY seq LIMIT ?"
            values = (*values, after.seq if after else 0)
        case order, None:
            text = chosen + where + (_NEWEST if order == "newest" else _OLDEST)[1]
        case order, after:
            place, sort = _NEWEST if order == "newest" else _OLDEST
            text = chosen + where + joint + place + sort
            values = (*values, after.at_us, after.seq)
    return text, (*values, query.limit + 1)


def where_of(query: Query) -> tuple[str, tuple[object, ...]]:
    """Return the tests of a query's columns, with their values."""
    given = conditions(query)
    tests = [_TESTS[name] for name in given]
    if query.error == ANY_ERROR:
        tests.append("error IS NOT NULL")
    return (" WHERE " + " AND ".join(tests) if tests else ""), tuple(given.values())


def _matching(db: sqlite3.Connection, query: Query) -> list[Found]:
    given = conditions(query)
    if query.tag is not None and db.execute(_TAGGED, (TAG_CUBE, query.tag)).fetchone() is None:
        return []  # its words may be common: every row that has them would be looked at
    terms = () if query.search is None else terms_of(query.search)
    words = [f'"{term.word}"{"*" if term.begins else ""}' for term in terms if not term.is_id]
    words += [f'"{word}"' for name, value in given.items() if name in _WORDY for word in split(str(value))]
    tests, values = [_TESTS[name] for name in given], list(given.values())
    for term in terms:
        if term.is_id:
            tests += ["request_id >= ?", "request_id < ?"]
            values += [term.word, term.word + "\U0010ffff"]
    if query.error == ANY_ERROR:
        tests.append("error IS NOT NULL")
    if not words:  # an id alone, which has an index of its own
        text = _SELECT + (" WHERE " + " AND ".join(tests) if tests else "")
        text += _NEWEST[1]
        return db.execute(text, (*values, query.limit + 1)).fetchall()
    for bound, edge, text in ((query.since, ">=", _BEGINS), (query.until, "<=", _ENDS)):
        if bound is not None:
            (number,) = db.execute(text, (microseconds(bound), NEAR)).fetchone()
            if number is None:
                return []
            tests.append(f"w.rowid {edge} ?")
            values.append(number)
    rising = query.order in {"oldest", "stored"}
    if query.after is not None:
        tests.append("w.rowid > ?" if rising else "w.rowid < ?")
        values.append(query.after.seq)
    text = _MATCHING + "".join(f" AND {test}" for test in tests)
    text += f" ORDER BY w.rowid {'' if rising else 'DESC '}LIMIT ?"
    return db.execute(text, (" ".join(words), *values, query.limit + 1)).fetchall()


def _dearest(db: sqlite3.Connection, query: Query) -> list[Found]:
    """Return the dearest: first their numbers, out of indexes alone where possible, then their rows."""
    where, values = where_of(query)
    tests = where.replace(" WHERE ", " AND ", 1)
    if query.after is not None:
        tests += " AND (cost_nusd, seq) < (?, ?)"
        values = (*values, query.after.at_us, query.after.seq)
    most = query.limit + 1
    if query.customer is not None or query.principal is not None:
        text = _DEAREST_OF + tests + _BY_COST
        found = db.execute(text, (*values, most)).fetchall()
    else:
        found = []
        text = _DEAREST + tests + _BY_COST
        for day in _days(db, query):
            found += db.execute(text, (day, *values, most)).fetchall()
        found = heapq.nlargest(most, found)
    numbers = msgspec.json.encode([seq for _, seq in found]).decode()
    return db.execute(_GET, (numbers,)).fetchall()


def _days(db: sqlite3.Connection, query: Query) -> range:
    (first,), (last,) = db.execute(_FIRST_DAY).fetchone(), db.execute(_LAST_DAY).fetchone()
    if first is None:
        return range(0)
    if query.since is not None:
        first = max(first, microseconds(query.since))
    if query.until is not None:
        last = min(last, microseconds(query.until - timedelta(microseconds=1)))
    return range(first // DAY_US, last // DAY_US + 1)
