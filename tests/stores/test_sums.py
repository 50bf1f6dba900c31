"""Sums over the journal: the same numbers from memory and from SQLite."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from turnout.stores.base import encode
from turnout.stores.memory import MemoryJournal
from turnout.stores.sqlite import SqliteRows
from turnout.stores.sums import Sum, SumQuery
from turnout.testing.store import example_record
from turnout.types.record import Outcome
from turnout.types.usage import Usage

AT = datetime(2026, 3, 1, 10, 30, tzinfo=UTC)


def record(n, *, at=AT, cost=5, error=None, **who):
    usage = Usage(input_uncached=10, output_text=3)
    outcome = Outcome(model="a/x", provider="a", cost_nusd=cost, error=error, total_s=0.5, usage=usage)
    return replace(example_record(n), at=at, outcome=outcome, attempts=(), **{"tags": (), **who})


def summed(group, n=1, cost=5, at=None, failed=0, unpriced=0):
    return Sum(
        group=group,
        at=at,
        n=n,
        n_failed=failed,
        n_unpriced=unpriced,
        cost_nusd=cost,
        n_input=10 * n,
        n_output=3 * n,
        total_s=0.5 * n,
    )


@pytest.fixture
def rows(tmp_path):
    opened = SqliteRows(tmp_path / "journal.db", durable=False)
    yield opened
    opened.close()


def test_requests_are_summed_by_who_asked_dearest_first(rows):
    rows.insert([encode(record(n, team=team)) for n, team in enumerate(("red", "blue", "red", None))])
    assert rows.sums(SumQuery(by=("team",))) == (summed(("red",), 2, 10), summed(("",)), summed(("blue",)))


def test_a_request_counts_under_each_of_its_tags_and_once_in_all(rows):
    rows.insert([encode(record(1, tags=("b", "a"))), encode(record(2, tags=("a",)))])
    assert rows.sums(SumQuery(by=("tag",))) == (summed(("a",), 2, 10), summed(("b",)))
    assert rows.sums(SumQuery()) == (summed((), 2, 10),)
    assert rows.sums(SumQuery(tag="b")) == (summed(()),)


def test_failures_and_unknown_prices_are_counted_apart(rows):
    rows.insert([encode(record(1, cost=None)), encode(record(2, cost=None, error="timeout_ttft"))])
    assert rows.sums(SumQuery()) == (summed((), 2, 0, failed=1, unpriced=1),)


def test_a_range_is_whole_hours_and_days_begin_at_midnight_utc(rows):
    rows.insert([encode(record(n, at=AT + timedelta(hours=12 * n))) for n in range(3)])
    march = datetime(2026, 3, 1, tzinfo=UTC)
    assert rows.sums(SumQuery(per="day")) == (
        summed((), 2, 10, at=march),
        summed((), at=march + timedelta(days=1)),
    )
    since, until = march + timedelta(hours=10), march + timedelta(hours=11)
    assert rows.sums(SumQuery(since=since, until=until, per="hour")) == (summed((), at=since),)


def test_a_record_that_is_there_already_adds_nothing(rows):
    rows.insert([encode(record(1))])
    rows.insert([encode(record(1)), encode(record(2))])
    assert rows.sums(SumQuery()) == (summed((), 2, 10),)


def test_what_was_spent_stays_when_its_records_are_deleted(rows):
    rows.insert([encode(record(1))])
    with closing(sqlite3.connect(rows.path)) as db, db:
        db.execute("DELETE FROM records")
    assert rows.sums(SumQuery()) == (summed(()),)


INDEXES = "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'records' AND sql NOT NULL"


def test_a_file_from_before_there_were_sums_is_summed_when_it_is_opened(rows, tmp_path):
    rows.insert([encode(record(n)) for n in range(3)])
    expected = rows.sums(SumQuery(by=("project", "route", "model")))
    rows.close()
    with closing(sqlite3.connect(rows.path)) as db, db:
        for statement in (
            *(f"DROP INDEX {name}" for (name,) in db.execute(INDEXES).fetchall()),
            "CREATE INDEX records_error ON records (at_us, seq, error) WHERE error IS NOT NULL",
            "CREATE INDEX records_route ON records (route, at_us)",
            "DROP TABLE usage_words",
            "DELETE FROM turnout_schema WHERE part = 'journal.months'",
            "ALTER TABLE records DROP COLUMN has_text",
            "DROP TABLE records_words",
            "DROP TABLE usage_through",
            *(f"DROP TABLE usage_{name}" for name in ("subjects", "minutes", "hours", "days")),
            "DELETE FROM turnout_schema WHERE part = 'journal.usage'",
            "DROP TABLE sum_hours",
            "DROP TABLE sum_days",
            "DROP TABLE sum_subjects",
            "ALTER TABLE records DROP COLUMN organisation",
            "ALTER TABLE records DROP COLUMN team",
            "ALTER TABLE records DROP COLUMN customer",
            "ALTER TABLE records DROP COLUMN tags",
            "DELETE FROM turnout_schema WHERE part = 'journal.sums'",
        ):
            db.execute(statement)
    again = SqliteRows(tmp_path / "journal.db")
    assert again.sums(SumQuery(by=("project", "route", "model"))) == expected
    again.insert([encode(record(7))])
    assert again.sums(SumQuery())[0].n == 4
    again.close()


_NAMES = st.sampled_from([None, "a", "b"])
_RECORDS = st.lists(
    st.fixed_dictionaries(
        {
            "organisation": _NAMES,
            "team": _NAMES,
            "customer": _NAMES,
            "principal": _NAMES,
            "tags": st.sampled_from([(), ("x",), ("y", "x")]),
            "cost": st.sampled_from([None, 0, 7]),
            "error": st.sampled_from([None, "timeout_ttft"]),
            "at": st.integers(0, 72).map(lambda n: AT + timedelta(hours=n, minutes=20)),
        }
    ),
    max_size=12,
)
_QUERIES = st.builds(
    SumQuery,
    by=st.lists(
        st.sampled_from(["organisation", "team", "key", "customer", "tag", "model"]), unique=True
    ).map(tuple),
    per=st.sampled_from([None, "hour", "day"]),
    since=st.sampled_from([None, AT, AT + timedelta(hours=30), AT + timedelta(hours=14)]),
    until=st.sampled_from([None, AT + timedelta(hours=60), AT + timedelta(hours=13, minutes=30)]),
    organisation=_NAMES,
    tag=st.sampled_from([None, "x", "y"]),
    key=_NAMES,
)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(_RECORDS, _QUERIES)
def test_memory_and_sqlite_sum_alike(tmp_path_factory, facts, query):
    records = [record(n, **fact) for n, fact in enumerate(facts)]
    rows = SqliteRows(tmp_path_factory.mktemp("sums") / "journal.db", durable=False)
    rows.insert([encode(each) for each in records])
    journal = MemoryJournal()
    for each in records:
        journal.append(each)
    coroutine = journal.sums(query)
    with pytest.raises(StopIteration) as done:
        coroutine.send(None)
    assert done.value.value == rows.sums(query)
    rows.close()
