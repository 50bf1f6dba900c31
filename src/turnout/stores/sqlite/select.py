"""Finds the rows that a query asks for. Floor 3.

Theory of operation.
1. Filters have an index each that also gives the order, so that a page is read without looking at other rows.
2. Words are found in the order in which rows were stored, newest first or oldest first, which need not be
   that of arrival. Every other filter is put as words too, those that tell it from others, and narrows what
   is looked at; a range of time bounds the numbers of rows by those of the `NEAR` requests at its ends.
3. The beginning of a word is put as the words that begin so, which are kept in a table: each is then followed
   row by row, while the index would first put together all rows of all of them.
4. Two filters that nobody has together are known by the usage kept of them, and words that contradict a
   filter or each other by the names that hold them (`settle`): no row is looked at.
5. The dearest have a file of their own (`dearest`).
"""

import sqlite3
from typing import Final

from turnout.stores.base import ANY_ERROR, Query, Term, conditions, onwards, terms_of
from turnout.stores.columns import microseconds
from turnout.stores.sqlite.dearest import Found, dearest
from turnout.stores.sqlite.schema import WORDS
from turnout.stores.sqlite.settle import contradicts, is_seen, needed
from turnout.stores.sums.base import DIMENSIONS
from turnout.stores.sums.values_sqlite import telling

NEAR: Final = 100_000
"""A Record that was stored so many requests late may be missed by a search that names a range."""
MOST_ENDINGS: Final = 200
"""Words with a common beginning that are put one by one."""
FEWEST_FILTERS: Final = 2
MOST_UNCOUNTED: Final = 10_000
"""Rows that are looked at because usage has not followed them yet."""
_SELECT: Final = "SELECT at_us, seq, record FROM records"
# Failures are few among many: said aloud, since SQLite cannot know that without statistics.
_FAILED: Final = " INDEXED BY records_"
_FAILED_OF: Final = ("customer", "principal", "organisation")
"""Who has an index of its failures, the most selective first."""
_NEWEST: Final = ("(at_us, seq) < (?, ?)", " ORDER BY at_us DESC, seq DESC LIMIT ?")
_OLDEST: Final = ("(at_us, seq) > (?, ?)", " ORDER BY at_us, seq LIMIT ?")
_DEAREST: Final = ("(cost_nusd, seq) < (?, ?)", " ORDER BY cost_nusd DESC, seq DESC LIMIT ?")
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
_MATCHING: Final = f"""SELECT {{}}, r.seq, r.record FROM {WORDS} AS w
    CROSS JOIN records AS r ON r.seq = w.rowid WHERE {WORDS} MATCH ?"""  # noqa: S608  constants
_OF_COLUMNS: Final = "SELECT {}, seq, record FROM records WHERE "
_UNCOUNTED: Final = "SELECT ifnull((SELECT max(seq) FROM records), 0) - seq FROM usage_through"
_LATEST: Final = "SELECT 1 FROM records NOT INDEXED WHERE seq > (SELECT seq FROM usage_through)"
_BEGINNING: Final = "SELECT word FROM usage_words WHERE word >= ? AND word < ? LIMIT ?"
_BEGINS: Final = "SELECT min(seq) FROM (SELECT seq FROM records WHERE at_us >= ? ORDER BY at_us LIMIT ?)"
_ENDS: Final = "SELECT max(seq) FROM (SELECT seq FROM records WHERE at_us < ? ORDER BY at_us DESC LIMIT ?)"


def select(db: sqlite3.Connection, query: Query) -> list[Found]:
    """Return up to one row more than the limit, to see whether there is one. Raises `sqlite3.Error`."""
    if _is_nobodys(db, query):
        return []
    if query.order == "dearest" and query.search is None:
        return dearest(db, query, where_of)
    if query.search is not None or query.tag is not None:
        return _matching(db, query)
    return db.execute(*statement(query)).fetchall()


def _filters(query: Query) -> dict[str, str]:
    """Return the dimensions that are asked for: column -> value."""
    columns = {"key": "principal"}
    named = (columns.get(name, name) for name in DIMENSIONS)
    return {name: value for name in named if (value := getattr(query, name)) is not None}


def _is_nobodys(db: sqlite3.Connection, query: Query) -> bool:
    """Say whether no request has the tag, or these filters together: every row of one would be looked at."""
    given = _filters(query)
    if query.tag is None and len(given) < FEWEST_FILTERS:
        return False
    seen = is_seen(db, given)
    if seen is None and query.tag is not None:
        given = {"tag": query.tag}
        seen = is_seen(db, given)
    if seen is not False:
        return False
    (uncounted,) = db.execute(_UNCOUNTED).fetchone()
    if query.tag is not None or uncounted <= 0:
        return True
    if uncounted > MOST_UNCOUNTED:
        return False
    latest = _LATEST + "".join(f" AND {name} = ?" for name in given) + " LIMIT 1"
    return db.execute(latest, tuple(given.values())).fetchone() is None


def statement(query: Query) -> tuple[str, tuple[object, ...]]:
    """Return the SELECT for a query that names no words and does not ask for the dearest."""
    where, values = _tested(query, onwards(query))
    joint = " AND " if where else " WHERE "
    chosen = _SELECT
    if query.error is not None:
        mine = next((f"failed_{name}" for name in _FAILED_OF if getattr(query, name) is not None), "error")
        chosen += _FAILED + mine
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
    return _tested(query, conditions(query))


def _tested(query: Query, given: dict[str, str | int]) -> tuple[str, tuple[object, ...]]:
    tests = [_TESTS[name] for name in given]
    if query.error == ANY_ERROR:
        tests.append("error IS NOT NULL")
    return (" WHERE " + " AND ".join(tests) if tests else ""), tuple(given.values())


def _asked(db: sqlite3.Connection, term: Term) -> str:
    """Return a word as the index takes it."""
    if term.begins:
        ends = (term.word, term.word + "\U0010ffff", MOST_ENDINGS + 1)
        words = db.execute(_BEGINNING, ends).fetchall()
        if 0 < len(words) <= MOST_ENDINGS:
            return "(" + " OR ".join(f'"{word}"' for (word,) in words) + ")"
    return f'"{term.word}"{"*" if term.begins else ""}'


def _matching(db: sqlite3.Connection, query: Query) -> list[Found]:
    given = conditions(query)
    terms = () if query.search is None else terms_of(query.search)
    filters = {name: str(given[name]) for name in given.keys() & _WORDY}
    named = [f'"{word}"' for name, value in filters.items() for word in telling(db, name, value)]
    tests, values = [_TESTS[name] for name in given], list(given.values())
    for term in terms:
        if term.is_id:
            tests += ["request_id >= ?", "request_id < ?"]
            values += [term.word, term.word + "\U0010ffff"]
    if query.error == ANY_ERROR:
        tests.append("error IS NOT NULL")
    if not named and all(term.is_id for term in terms):  # an id alone, which has an index of its own
        sort = _ordered(query, tests, values)
        text = _OF_COLUMNS.format(_place_of(query)) + " AND ".join(tests) + sort
        return db.execute(text, (*values, query.limit + 1)).fetchall()
    first: int | None = None
    for bound, edge, text in ((query.since, ">=", _BEGINS), (query.until, "<=", _ENDS)):
        if bound is not None:
            (number,) = db.execute(text, (microseconds(bound), NEAR)).fetchone()
            if number is None:
                return []
            tests.append(f"w.rowid {edge} ?")
            values.append(number)
            first = number if edge == ">=" else first
    if contradicts(db, filters, terms, first):
        return []
    words = [*(_asked(db, term) for term in needed(db, terms, first) if not term.is_id), *named]
    sort = _ordered(query, tests, values, "w.rowid")
    text = _MATCHING.format(_place_of(query)) + "".join(f" AND {test}" for test in tests) + sort
    return db.execute(text, (" AND ".join(words), *values, query.limit + 1)).fetchall()


def _place_of(query: Query) -> str:
    return "cost_nusd" if query.order == "dearest" else "at_us"


def _ordered(query: Query, tests: list[str], values: list[str | int], number: str | None = None) -> str:
    """Add the tests of the order and of the page before; return how to sort.

    `number`: the column that rows are found in the order of, where they are found by words.
    """
    after = query.after
    if query.order == "dearest":
        tests.append("cost_nusd IS NOT NULL")
    elif number is not None or query.order == "stored":
        column, falls = number or "seq", query.order == "newest"
        if after is not None:
            tests.append(f"{column} < ?" if falls else f"{column} > ?")
            values.append(after.seq)
        return f" ORDER BY {column} {'DESC ' if falls else ''}LIMIT ?"
    place, sort = {"dearest": _DEAREST, "newest": _NEWEST}.get(query.order, _OLDEST)
    if after is not None:
        tests.append(place)
        values += [after.at_us, after.seq]
    return sort
