"""The statement that finds what a query asks for. Floor 3.

Filters have an index each that also gives the order. The dearest of a range are looked for day by day, in an
index that has the cost behind the day; those of a customer or a key in its own.
"""

from typing import Final

from turnout.stores.base import ANY_ERROR, Query, conditions, onwards, terms_of

_SELECT: Final = "SELECT at_us, seq, record FROM journal"
_COUNT: Final = "SELECT count(*) FROM journal"
_PACKED: Final = """SELECT string_agg(int4send(length(record)) || record, '' ORDER BY n)
    FROM (SELECT record, row_number() OVER () AS n FROM ({text}) AS found) AS told
    GROUP BY (n - 1) / 100 ORDER BY (n - 1) / 100"""
_LENGTH: Final = 4
"""Bytes of a length."""
_NEWEST: Final = ("(at_us, seq) < (%s, %s)", " ORDER BY at_us DESC, seq DESC LIMIT %s")
_OLDEST: Final = ("(at_us, seq) > (%s, %s)", " ORDER BY at_us, seq LIMIT %s")
_TESTS: Final = {
    "request_id": "request_id = %s",
    "model": "model = %s",
    "provider": "provider = %s",
    "route": "route = %s",
    "organisation": "organisation = %s",
    "project": "project = %s",
    "team": "team = %s",
    "customer": "customer = %s",
    "principal": "principal = %s",
    "tag": "tags::jsonb ? %s",
    "error": "error = %s",
    "since": "at_us >= %s",
    "until": "at_us < %s",
}
"""Condition of a query -> its test."""
_DEAREST_OF: Final = "SELECT cost_nusd, seq, record FROM journal"
_BY_COST: Final = " ORDER BY cost_nusd DESC, seq DESC LIMIT %s"
_DEAREST: Final = """SELECT {columns} FROM
    generate_series(
        (SELECT greatest(min(at_us), %s::bigint) FROM journal) / 86400000000,
        (SELECT least(max(at_us), %s::bigint) FROM journal) / 86400000000) AS day
    CROSS JOIN LATERAL (SELECT {columns} FROM journal
        WHERE at_us / 86400000000 = day AND {tests} ORDER BY cost_nusd DESC, seq DESC LIMIT %s) AS dear
    ORDER BY cost_nusd DESC, seq DESC LIMIT %s"""
# Found in the index alone, and only those that are told are read.
_OF_ALL: Final = f"""SELECT j.cost_nusd, j.seq, j.record
    FROM ({_DEAREST}) AS told JOIN journal AS j USING (seq)
    ORDER BY j.cost_nusd DESC, j.seq DESC"""  # noqa: S608  constants
_BY_TIME: Final = frozenset(("since", "until"))


def statement(query: Query) -> tuple[str, tuple[object, ...]]:
    """Return the SELECT for a query; it asks for one row more than the limit, to see whether there is one."""
    tests, values = _tests(query, onwards(query) if query.search is None else conditions(query))
    if query.order == "dearest":
        return _dearest(query, tests, values)
    match query.order, query.after:
        case "stored", after:
            tests.append("seq > %s")
            values.append(after.seq if after else 0)
            sort = " ORDER BY seq LIMIT %s"
        case order, after:
            place, sort = _NEWEST if order == "newest" else _OLDEST
            if after is not None:
                tests.append(place)
                values += [after.at_us, after.seq]
    where = " WHERE " + " AND ".join(tests) if tests else ""
    return _SELECT + where + sort, (*values, query.limit + 1)


def packed(text: str) -> bytes:
    """Return the statement that gives the Records of another a hundred in one row: rows cost a client."""
    return _PACKED.format(text=text).encode()


def unpacked(value: bytes) -> list[bytes]:
    """Return the Records of such a value, in order."""
    found, at = [], 0
    while at < len(value):
        end = at + _LENGTH + int.from_bytes(value[at : at + _LENGTH], "big")
        found.append(value[at + _LENGTH : end])
        at = end
    return found


def counting(query: Query) -> tuple[str, tuple[object, ...]]:
    """Return the statement that counts what matches, whatever the order, place and limit."""
    tests, values = _tests(query, conditions(query))
    return _COUNT + (" WHERE " + " AND ".join(tests) if tests else ""), tuple(values)


def _tests(query: Query, given: dict[str, str | int]) -> tuple[list[str], list[object]]:
    tests = [_TESTS[name] for name in given]
    values: list[object] = list(given.values())
    if query.error == ANY_ERROR:
        tests.append("error IS NOT NULL")
    words: list[str] = []
    for term in terms_of(query.search) if query.search is not None else ():
        if term.is_id:
            tests.append('request_id COLLATE "C" >= %s AND request_id COLLATE "C" < %s')
            values += [term.word, term.word + "\U0010ffff"]
        else:
            words.append(f"'{term.word}'{':*' if term.begins else ''}")
    if words:
        tests.append("words @@ %s::tsquery")
        values.append(" & ".join(words))
    return tests, values


def _dearest(query: Query, tests: list[str], values: list[object]) -> tuple[str, tuple[object, ...]]:
    tests = ["cost_nusd IS NOT NULL", *tests]
    if query.after is not None:
        tests.append("(cost_nusd, seq) < (%s, %s)")
        values = [*values, query.after.at_us, query.after.seq]
    most, where = query.limit + 1, " AND ".join(tests)
    if query.customer is not None or query.principal is not None:
        return f"{_DEAREST_OF} WHERE {where}{_BY_COST}", (*values, most)
    # Told so that no index by time is taken for a day: all of its rows would be read and sorted.
    where = " AND ".join(test.replace("at_us ", "at_us + 0 ") for test in tests)
    given = conditions(query)
    days = (given.get("since", 0), int(given.get("until", 2**62)) - 1)
    if given.keys() <= _BY_TIME and query.search is None and query.error is None:
        return _OF_ALL.format(columns="cost_nusd, seq", tests=where), (*days, *values, most, most)
    return _DEAREST.format(columns="cost_nusd, seq, record", tests=where), (*days, *values, most, most)
