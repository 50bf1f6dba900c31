"""Usage over the journal: the same rows from memory, SQLite and PostgreSQL."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from turnout.errors import InvalidRequest
from turnout.stores.base import Query, encode
from turnout.stores.memory import MemoryJournal
from turnout.stores.sqlite import SqliteRows
from turnout.stores.sums import SumQuery, spread
from turnout.stores.sums.usage import Part, UsageQuery, Used, parts_of
from turnout.testing.store import example_record
from turnout.types.record import CandidateView, CostView, GuardView, Outcome
from turnout.types.usage import Usage

AT = datetime(2026, 3, 1, 10, 30, tzinfo=UTC)
DAY = timedelta(days=1)


def record(n, *, at=AT, model="a/x", cost=5, error=None, ttft=0.2, total=0.5, cache=None, guards=(), **who):
    usage = Usage(input_uncached=10, cache_read=2, output_text=3)
    outcome = Outcome(
        model=model,
        provider="a",
        cost_nusd=cost,
        error=error,
        ttft_s=ttft,
        total_s=total,
        usage=usage,
        cache=cache,
    )
    seats = tuple(
        CandidateView(id=name, model=name, status="eligible", cost_nusd=CostView(mean=mean, worst=mean))
        for name, mean in (("a/x", 10), ("a/dear", 40))
    )
    made = example_record(n)
    decision = replace(made.decision, route="r", candidates=seats)
    values = {"tags": (), "principal": None, "project": None, **who}
    return replace(made, at=at, outcome=outcome, decision=decision, guards=guards, **values)


@pytest.fixture
def rows(tmp_path):
    opened = SqliteRows(tmp_path / "journal.db", durable=False)
    yield opened
    opened.close()


def range_of(**given):
    return UsageQuery(**{"since": AT - DAY, "until": AT + DAY, **given})


def test_one_question_tells_money_tokens_failures_latencies_savings_and_hits(rows):
    found = GuardView(name="pii", type="pii", stage="in", action="redact", found={"email": 1})
    rows.insert(
        [
            encode(record(1, ttft=0.1, total=1.0)),
            encode(record(2, cost=0, cache="hit", ttft=0.1, total=1.0)),
            encode(record(3, cost=None, error="timeout_ttft", ttft=None, total=9.0, guards=(found,))),
            encode(record(4, cost=None)),
        ]
    )
    (all_of_it,) = rows.usage(range_of())
    assert replace(all_of_it, ttft=None, total=None) == Used(
        n=4,
        n_failed=1,
        n_unpriced=1,
        cost_nusd=5,
        n_input=48,
        n_output=12,
        total_s=11.5,
        n_cached=8,
        n_hits=1,
        n_guarded=1,
        strong_nusd=60,  # 5 × 40 / 10, and for the hit what was expected of the dearest
        routed_nusd=5,
        errors={"timeout_ttft": 1},
    )
    assert all_of_it.total.p50 == pytest.approx(1.0, rel=spread.ERROR)
    assert all_of_it.ttft.p95 == pytest.approx(0.1, rel=spread.ERROR)


def test_quantiles_of_any_sum_are_within_the_stated_error():
    values = [0.004 * 1.013**n for n in range(800)]
    together = sum(spread.unpacked(spread.packed(spread.one(value))) for value in values)
    for share, found in zip((0.5, 0.95, 0.99), spread.quantiles(together, (0.5, 0.95, 0.99)), strict=True):
        assert found == pytest.approx(values[int(share * 799)], rel=spread.ERROR + 0.001)
    assert spread.quantiles(0, (0.5,)) == (None,)
    assert spread.unpacked(spread.packed(spread.one(1e9))) == spread.one(1e6)


def test_a_range_is_put_together_from_days_hours_and_minutes():
    query = UsageQuery(since=AT + timedelta(minutes=29), until=AT + 2 * DAY + timedelta(minutes=31))
    day = int(AT.timestamp()) // 86400
    assert parts_of(query) == (
        Part("minute", day * 1440 + 659, day * 1440 + 660),
        Part("hour", day * 24 + 11, day * 24 + 24),
        Part("day", day + 1, day + 2),
        Part("hour", (day + 2) * 24, (day + 2) * 24 + 11),
        Part("minute", (day + 2) * 1440 + 660, (day + 2) * 1440 + 661),
    )


def test_minutes_and_hours_go_when_they_are_old_and_days_stay(rows):
    rows.insert([encode(record(1))])
    assert len(rows.usage(range_of(step="minute"))) == 1
    assert rows.prune_usage(AT + 40 * DAY, 1000) > 0
    assert [len(rows.usage(range_of(step=step))) for step in ("minute", "hour", "day")] == [0, 1, 1]
    rows.prune_usage(AT + 400 * DAY, 1000)
    assert [len(rows.usage(range_of(step=step))) for step in ("hour", "day")] == [0, 1]
    assert rows.prune_usage(AT + 400 * DAY, 1000) == 0


def test_a_combination_without_cells_is_told_by_the_hour_from_the_sums(rows):
    rows.insert([encode(record(1, customer="c"))])
    (told,) = rows.usage(range_of(by=("customer", "model")))
    assert told == Used(
        group=("c", "a/x"),
        n=1,
        cost_nusd=5,
        n_input=12,
        n_output=3,
        total_s=0.5,
        **dict.fromkeys(("n_cached", "n_hits", "n_guarded", "strong_nusd", "routed_nusd")),
    )
    with pytest.raises(InvalidRequest):
        rows.usage(range_of(by=("customer", "model"), step="minute"))


_NAMES = st.sampled_from([None, "a", "b"])
_RECORDS = st.lists(
    st.fixed_dictionaries(
        {
            "organisation": _NAMES,
            "customer": _NAMES,
            "principal": _NAMES,
            "tags": st.sampled_from([(), ("x",), ("y", "x")]),
            "model": st.sampled_from(["a/x", "a/dear"]),
            "cost": st.sampled_from([None, 0, 7]),
            "error": st.sampled_from([None, "timeout_ttft", "overloaded"]),
            "total": st.sampled_from([0.0, 0.3, 2.0, 5000.0]),
            "cache": st.sampled_from([None, "miss", "semantic-hit"]),
            "at": st.integers(0, 3000).map(lambda n: AT + timedelta(minutes=n)),
        }
    ),
    min_size=1,
    max_size=12,
)
_QUERIES = st.builds(
    UsageQuery,
    by=st.lists(
        st.sampled_from(["organisation", "key", "customer", "tag", "model"]), unique=True, max_size=2
    ).map(tuple),
    step=st.sampled_from([None, "hour", "day"]),
    since=st.sampled_from([AT, AT + timedelta(hours=30), AT + timedelta(hours=14, minutes=7)]),
    until=st.sampled_from([AT + timedelta(hours=60), AT + timedelta(hours=13, minutes=12)]),
    organisation=_NAMES,
    model=st.sampled_from([None, "a/x", "a/other"]),
    tag=st.sampled_from([None, "x", "y"]),
    top=st.sampled_from([None, 1]),
    rank=st.sampled_from(["cost", "requests", "errors"]),
)


def asked(journal, query):
    coroutine = journal.usage(query)
    with pytest.raises(StopIteration) as done:
        coroutine.send(None)
    return done.value.value


def check_alike(rows, records, queries):
    rows.insert([encode(each) for each in records[: len(records) // 2]])
    rows.insert([encode(each) for each in records])
    journal = MemoryJournal()
    for each in records:
        journal.append(each)
    for query in queries:
        assert rows.usage(query) == asked(journal, query)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(_RECORDS, st.lists(_QUERIES, min_size=3, max_size=5))
def test_memory_and_sqlite_tell_the_same(tmp_path_factory, facts, queries):
    rows = SqliteRows(tmp_path_factory.mktemp("usage") / "journal.db", durable=False)
    check_alike(rows, [record(n, **fact) for n, fact in enumerate(facts)], queries)
    rows.close()


def test_usage_counts_once_what_it_just_wrote_and_what_another_worker_wrote_in_between(tmp_path, monkeypatch):
    monkeypatch.setattr("turnout.stores.sqlite.rows.FOLLOW_ROWS", 3)
    records = [record(n, tags=("blue",), cost=n) for n in range(10)]
    one, other = (SqliteRows(tmp_path / "journal.db", durable=False) for _ in range(2))
    for worker, batch in ((one, records[:4]), (one, records[4:6]), (other, records[6:7]), (one, records[7:])):
        worker.insert([encode(each) for each in batch])
    one.insert([encode(records[0]), encode(record(10, cost=5))])
    journal = MemoryJournal()
    for each in (*records, record(10, cost=5)):
        journal.append(each)
    for query in (range_of(by=("tag",)), range_of(step="minute", by=("model",))):
        assert other.usage(query) == asked(journal, query)
    assert len(one.query(Query(search="blue", limit=20)).records) == 10
    one.close()
    other.close()


FOUND = (
    ("blue", [1, 0]),
    ("blue timeout_ttft", [1]),
    ("cust*", [1, 0]),
    ("CUSTOMER-7", [0]),
    ("customer-8 7", []),
    ("req_00000000000000000000000002", [2]),
    ("req_0000000000000000000000000", [2, 1, 0]),
)


def searched():
    return [
        record(0, customer="customer-7", tags=("blue",)),
        record(1, customer="customer-8", tags=("blue", "new"), error="timeout_ttft", at=AT + DAY),
        record(2, cost=9, at=AT + 2 * DAY),
    ]


def check_search(rows):
    records = searched()
    rows.insert([encode(each) for each in records])
    for text, expected in FOUND:
        assert rows.query(Query(search=text)).records == tuple(records[n] for n in expected), text
    cases = (
        (Query(search="blue", since=AT + timedelta(hours=1)), [1]),
        (Query(search="blue", until=AT + timedelta(hours=1)), [0]),
        (Query(search="blue", error="any"), [1]),
        (Query(tag="new"), [1]),
        (Query(search="r", customer="customer-7"), [0]),
        (Query(order="dearest"), [2, 1, 0]),
        (Query(order="dearest", search="blue"), [1, 0]),
        (Query(order="dearest", search="req_", tag="new"), [1]),
        (Query(order="dearest", customer="customer-8"), [1]),
        (Query(order="dearest", until=AT + DAY), [0]),
    )
    for query, expected in cases:
        assert rows.query(query).records == tuple(records[n] for n in expected), query
    for search in (None, "req_", "r"):
        for order, last in (("dearest", 0), ("newest", 0), ("oldest", 2), ("stored", 2)):
            first = rows.query(Query(order=order, search=search, limit=2))
            assert first.more
            rest = rows.query(Query(order=order, search=search, after=first.entries[-1].cursor))
            assert rest.records == (records[last],), (search, order)
    with pytest.raises(InvalidRequest):
        rows.query(Query(search="* -"))


def test_sqlite_finds_words_and_the_dearest(rows):
    check_search(rows)


def test_memory_finds_what_the_databases_find():
    journal = MemoryJournal()
    for each in searched():
        journal.append(each)
    for text, expected in FOUND:
        coroutine = journal.query(Query(search=text))
        with pytest.raises(StopIteration) as done:
            coroutine.send(None)
        assert done.value.value.records == tuple(searched()[n] for n in expected)


def test_postgres_tells_and_finds_the_same(made):
    from turnout.stores.postgres.rows import PostgresRows

    rows = PostgresRows(made())
    check_search(rows)
    rows.close()
    who = [
        (org, customer, tags) for org in (None, "a") for customer in ("a", "b") for tags in ((), ("y", "x"))
    ]
    records = [
        record(
            n, organisation=org, customer=customer, tags=tags, at=AT + timedelta(hours=7 * n), total=0.1 * n
        )
        for n, (org, customer, tags) in enumerate(who)
    ]
    queries = [
        range_of(until=AT + 3 * DAY, by=by, step=step, **given)
        for by in ((), ("tag",), ("customer",), ("customer", "tag"))
        for step in (None, "hour", "day")
        for given in ({}, {"organisation": "a"}, {"tag": "x"}, {"top": 1})
    ]
    rows = PostgresRows(made())
    check_alike(rows, records, queries)
    sums = SumQuery(by=("tag", "customer"), per="day", tag="x", since=AT, until=AT + 2 * DAY)
    journal = MemoryJournal()
    for each in records:
        journal.append(each)
    coroutine = journal.sums(sums)
    with pytest.raises(StopIteration) as done:
        coroutine.send(None)
    assert rows.sums(sums) == done.value.value
    assert rows.prune_usage(AT + 40 * DAY, 10) == 10
    rows.close()
