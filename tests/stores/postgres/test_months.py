"""What months of Records are asked in PostgreSQL: the same answers, whichever way they are found."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from tests.stores.test_months import (
    AT,
    CONTRADICTED,
    DAY,
    POSSIBLE,
    QUERIES,
    pages,
    records,
    remembered,
    told_of,
)
from turnout.stores.base import Query, encode
from turnout.stores.memory import MemoryJournal
from turnout.stores.postgres import dearest
from turnout.stores.postgres.connect import connect
from turnout.stores.postgres.nobody import is_nobodys
from turnout.stores.postgres.rows import PostgresRows
from turnout.stores.sums.usage import UsageQuery


def held(url, made):
    rows, journal = PostgresRows(url), MemoryJournal()
    for each in made:
        journal.append(each)
    rows.insert([encode(each) for each in made[: len(made) * 3 // 4]])
    rows.follow()
    rows.insert([encode(each) for each in made[len(made) * 3 // 4 :]])  # which usage has not followed
    return rows, journal


def test_pages_are_the_same_whichever_way_the_rows_are_found(made, monkeypatch):
    rows, journal = held(made(), records())
    ask = remembered(journal)
    for few in (10**6, -1):
        monkeypatch.setattr(dearest, "FEW", few)
        for query in QUERIES:
            assert pages(query, rows.query) == pages(query, ask), (few, query)
            of_parts = [each.request_id for each in told_of(journal, query)]
            assert [rows_id(payload) for payload in rows.payloads(query)] == of_parts, query
    rows.close()


def test_models_that_usage_does_not_name_are_among_the_dearest_of_their_provider(made, monkeypatch):
    monkeypatch.setattr(dearest, "FEW", -1)
    rows, _ = held(made(), told := records(20))
    rows.follow()
    first = next(each for each in told if each.outcome.provider == "a" and each.outcome.cost_nusd)
    dear = [
        replace(
            first, request_id=f"req_{model}", outcome=replace(first.outcome, model=model, cost_nusd=10**9)
        )
        for model in ("new", None)
    ]
    query = Query(provider="a", order="dearest", limit=2)
    for n, each in enumerate(dear, start=1):
        rows.insert([encode(each)])
        for _ in range(2):
            assert rows.query(query).records[:n] == tuple(dear[:n][::-1]), each.request_id
            rows.follow()
    rows.close()


def rows_id(payload):
    from turnout.stores.base import restore

    return restore(payload).request_id


def test_searches_that_nobody_can_match_are_known_and_others_are_looked_up(made):
    url = made()
    told = [replace(each, tags=("new", "x")) if n % 9 == 0 else each for n, each in enumerate(records(200))]
    rows, journal = held(url, told)
    rows.follow()
    with connect(url) as db:
        for cases, is_known in ((CONTRADICTED, True), (POSSIBLE, False)):
            for given, search in cases:
                query = Query(**given, search=search, limit=300)
                assert is_nobodys(db, query) is is_known, query
                assert rows.query(query).records == told_of(journal, query), query
    rows.close()


@pytest.mark.parametrize("by", ["customer", "key", "tag", "team"])
def test_who_asked_a_model_is_told_of_days_that_it_knows_and_of_those_before(made, by):
    url = made()
    rows, journal = held(url, records(200))
    whole = UsageQuery(since=AT, until=AT + 9 * DAY, by=(by,), model="mini", latencies=False)
    steps = replace(whole, since=AT - timedelta(hours=10, minutes=30), step="day", top=2)
    for query in (whole, steps):
        with pytest.raises(StopIteration) as done:
            journal.usage(query).send(None)
        told = rows.usage(query)
        assert [(each.group, each.at, each.n, each.cost_nusd, each.n_input) for each in told] == [
            (each.group, each.at, each.n, each.cost_nusd, each.n_input) for each in done.value.value
        ]
    with connect(url) as db:
        db.execute("UPDATE usage_noted SET through = 7")  # as a Turnout from before leaves it
        db.execute("UPDATE usage_through SET seq = 150")
    with connect(url) as db:
        before = db.execute("SELECT day, seq FROM usage_noted").fetchone()
    assert before == (-1_000_000, 0)
    rows.insert([encode(replace(records(1)[0], request_id="req_late"))])
    rows.follow()
    with connect(url) as db:
        after = db.execute("SELECT seq, through FROM usage_noted").fetchone()
    assert after == (150, 201)
    rows.close()
