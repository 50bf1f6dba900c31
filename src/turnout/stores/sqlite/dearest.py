"""Finds the rows that cost most. Floor 3.

Theory of operation.
1. Whoever is asked about has an index by time with the cost in it. Where usage says that it has at most `FEW`
   entries in the range they are all looked at, in the index, and rows are read in the order of their cost.
2. Otherwise the range is taken apart into days, providers and models, in an index that has the cost behind
   them. The part with the dearest row comes first; another one is entered only for what is dearer than the
   last row that would be told so far. What something costs depends on its model most, so that a filter that
   finds many rows finds them early in some parts, and all others are left at once.
3. Parts are found by leaping from one model to the next, so that they are as exact as the rows: usage only
   chooses the way.
"""

import heapq
import sqlite3
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import msgspec

from turnout.stores.base import Query, conditions
from turnout.stores.columns import INT64
from turnout.stores.sums.usage import CUBES

DAY_US: Final = 86_400_000_000
FEW: Final = 1_000_000
"""Entries of an index that are looked at one by one: a fifth of a second."""
SHORT: Final = 20_000
"""Rows that are read one by one: they lie side by side."""
ALWAYS: Final = ("customer", "principal")
NAMES: Final = (*ALWAYS, "team", "project", "organisation", "route")
"""Columns with an index by time and cost, the most selective first."""
_CHUNK: Final = 256
Found: TypeAlias = tuple[int, int, bytes]
Where: TypeAlias = Callable[[Query], tuple[str, tuple[object, ...]]]
Part: TypeAlias = tuple[int, int, str | None, str | None]
"""What its dearest row cost, its day, its provider, its model."""
_COUNT_AT: Final = "SELECT count(*) FROM (SELECT 1 FROM records WHERE at_us >= ? AND at_us < ? LIMIT ?)"
_COUNT: Final = """SELECT ifnull(sum(c.n), 0) FROM usage_subjects AS s CROSS JOIN usage_days AS c
    ON c.cube = s.cube AND c.at >= ? AND c.at <= ? AND c.subject = s.id WHERE s.cube = ? AND s.{name} = ?"""
_FEW: Final = """SELECT cost_nusd, seq FROM records INDEXED BY records_{name}
    WHERE {where} AND cost_nusd IS NOT NULL AND (cost_nusd, seq) < (?, ?)
    ORDER BY cost_nusd DESC, seq DESC{limit}"""
_READ: Final = """SELECT cost_nusd, seq, record FROM json_each(?) AS wanted
    CROSS JOIN records ON seq = wanted.value{where} ORDER BY cost_nusd DESC, seq DESC"""
_FIRST: Final = "SELECT min(at_us) FROM records"
_LAST: Final = "SELECT max(at_us) FROM records"
_OF_DAY: Final = "records INDEXED BY records_dearest WHERE at_us / 86400000000 = ?1 AND cost_nusd IS NOT NULL"
_PARTS: Final = f"""WITH RECURSIVE makers (provider) AS (
    SELECT min(provider) FROM {_OF_DAY}
    UNION ALL SELECT (SELECT min(provider) FROM {_OF_DAY} AND provider > makers.provider)
        FROM makers WHERE makers.provider IS NOT NULL),
known (provider, model) AS (
    SELECT provider, (SELECT min(model) FROM {_OF_DAY} AND provider IS makers.provider)
        FROM makers WHERE ?2 IS NULL OR provider = ?2
    UNION ALL SELECT provider, (SELECT min(model) FROM {_OF_DAY} AND provider IS known.provider
            AND model > known.model)
        FROM known WHERE known.model IS NOT NULL)
SELECT (SELECT max(cost_nusd) FROM {_OF_DAY} AND provider IS known.provider AND model IS known.model),
    ?1, provider, model FROM known WHERE ?3 IS NULL OR model = ?3"""  # noqa: S608  constants
_MEMBERS: Final = """SELECT cost_nusd, seq FROM records INDEXED BY records_dearest
    WHERE at_us / 86400000000 = ? AND provider IS ? AND model IS ? AND cost_nusd IS NOT NULL
    AND cost_nusd >= ? AND (cost_nusd, seq) < (?, ?){tests} ORDER BY cost_nusd DESC, seq DESC LIMIT ?"""


def dearest(db: sqlite3.Connection, query: Query, where_of: Where) -> list[Found]:
    """Return up to one row more than the limit, the dearest first. Raises `sqlite3.Error`."""
    since, until = _range(db, query)
    if since >= until:
        return []
    name = _narrow(db, query, since, until)
    if name is not None:
        return _of_few(db, query, where_of, (name, since, until))
    return _of_parts(db, query, where_of, (since, until))


def _range(db: sqlite3.Connection, query: Query) -> tuple[int, int]:
    """Return the range that is asked for, as far as there are rows."""
    (first,), (last,) = (db.execute(text).fetchone() for text in (_FIRST, _LAST))
    given = conditions(query)
    if first is None:
        return 0, 0
    return max(int(given.get("since", first)), first), min(int(given.get("until", last + 1)), last + 1)


def _narrow(db: sqlite3.Connection, query: Query, since: int, until: int) -> str | None:
    """Return an index with few entries for what is asked; None = there is none."""
    given = conditions(query)
    days = since // DAY_US, (until - 1) // DAY_US
    for name in NAMES:
        if name in given:
            cube = CUBES.index(tuple(dict.fromkeys(("organisation", "key" if name == "principal" else name))))
            values = (*days, cube, given[name])
            counting = _COUNT.format(name=name)
            if name in ALWAYS or db.execute(counting, values).fetchone()[0] <= FEW:
                return name
    (n,) = db.execute(_COUNT_AT, (since, until, SHORT + 1)).fetchone()
    return "at" if n <= SHORT else None


def _entries(query: Query, place: tuple[str, int, int]) -> tuple[str, tuple[object, ...]]:
    """Return the test for the entries of an index in a range, with its values."""
    name, since, until = place
    if name == "at":
        return "at_us >= ? AND at_us < ?", (since, until)
    return f"{name} = ? AND at_us >= ? AND at_us < ?", (getattr(query, name), since, until)


def _before(query: Query) -> tuple[int, int]:
    """Return what the rows told must cost less than."""
    return (INT64, INT64) if query.after is None else (query.after.at_us, query.after.seq)


def _of_few(
    db: sqlite3.Connection, query: Query, where_of: Where, place: tuple[str, int, int]
) -> list[Found]:
    where, values = _entries(query, place)
    tests, tested = where_of(query)
    is_alone = len(conditions(query).keys() - {place[0], "since", "until"}) == 0 and query.error is None
    most = query.limit + 1
    text = _FEW.format(name=place[0], where=where, limit=" LIMIT ?" if is_alone else "")
    cursor = db.execute(text, (*values, *_before(query), *((most,) if is_alone else ())))
    read = _READ.format(where=tests)
    found: list[Found] = []
    while len(found) < most and (some := cursor.fetchmany(_CHUNK)):
        found += db.execute(read, (_numbers(some), *tested)).fetchall()
    return found[:most]


def _of_parts(db: sqlite3.Connection, query: Query, where_of: Where, ends: tuple[int, int]) -> list[Found]:
    others = msgspec.structs.replace(query, provider=None, model=None)
    inside, across = where_of(msgspec.structs.replace(others, since=None, until=None)), where_of(others)
    most, before = query.limit + 1, _before(query)
    best: list[tuple[int, int]] = []
    for dear, day, *which in _parts(db, query, ends):
        least = best[0][0] if len(best) == most else -INT64
        if dear < least:
            continue
        whole = ends[0] <= day * DAY_US and (day + 1) * DAY_US <= ends[1]
        tests, values = inside if whole else across
        text = _MEMBERS.format(tests=tests.replace(" WHERE ", " AND ", 1))
        for each in db.execute(text, (day, *which, least, *before, *values, most)):
            if len(best) < most:
                heapq.heappush(best, each)
            elif each > best[0]:
                heapq.heapreplace(best, each)
            else:
                break
    reading = _READ.format(where="")
    return db.execute(reading, (_numbers(best),)).fetchall()


def _parts(db: sqlite3.Connection, query: Query, ends: tuple[int, int]) -> list[Part]:
    """Return the days, providers and models with anything that cost, the one with the dearest row first.

    Days that lie mostly outside of the range come last: there, few of the dear rows are in it.
    """
    found: list[Part] = []
    for day in range(ends[0] // DAY_US, (ends[1] - 1) // DAY_US + 1):
        found += db.execute(_PARTS, (day, query.provider, query.model)).fetchall()

    def place(part: Part) -> tuple[bool, int]:
        begins = part[1] * DAY_US
        inside = min(begins + DAY_US, ends[1]) - max(begins, ends[0])
        return inside < DAY_US // 2, -part[0]

    return sorted((part for part in found if part[0] is not None), key=place)


def _numbers(rows: Sequence[tuple[int, int]]) -> str:
    return msgspec.json.encode([seq for _, seq in rows]).decode()
