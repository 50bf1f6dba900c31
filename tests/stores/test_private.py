"""Journals that forget: text first, Records later, and whose they were when asked."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from turnout.stores.base import Query, encode
from turnout.stores.private.base import Whose
from turnout.stores.sqlite import SqliteRows
from turnout.stores.sums import SumQuery
from turnout.stores.sums.usage import UsageQuery
from turnout.testing.store import example_record
from turnout.types.record import Content

AT = datetime(2026, 3, 1, 10, 30, tzinfo=UTC)
DAY = timedelta(days=1)


def record(n, **who):
    values = {"project": None, "principal": "key_1", "tags": (), "content": Content("q", "a"), **who}
    return replace(example_record(n), at=AT + n * DAY, **values)


@pytest.fixture(params=["sqlite", "postgres"])
def rows(request, tmp_path):
    if request.param == "sqlite":
        opened = SqliteRows(tmp_path / "journal.db", durable=False)
    else:
        from turnout.stores.postgres.rows import PostgresRows

        opened = PostgresRows(request.getfixturevalue("made")())
    yield opened
    opened.close()


def test_text_goes_before_its_record_and_what_was_spent_stays(rows):
    whose = (Whose("acme", "mail"), Whose("acme", None), Whose(None, None))
    records = [
        record(3 * day + at, organisation=who.organisation, project=who.project)
        for day in range(2)
        for at, who in enumerate(whose)
    ]
    rows.insert([encode(each) for each in records])
    spent = rows.sums(SumQuery(by=("project",)))
    assert set(rows.owners()) == set(whose)
    for who in whose:
        assert rows.strip(who, AT + 2.5 * DAY, 10) == 1
        assert rows.strip(who, AT + 2.5 * DAY, 10) == 0
    kept = [each if n > 2 else replace(each, content=None) for n, each in enumerate(records)]
    assert rows.query(Query(order="oldest")).records == tuple(kept)
    assert rows.expire(whose[0], AT + 9 * DAY, 1) == 1
    assert [rows.expire(who, AT + 9 * DAY, 10) for who in whose] == [1, 2, 2]
    assert rows.query(Query(search="key 1")).records == ()
    assert rows.sums(SumQuery(by=("project",))) == spent


def test_a_customers_records_become_nobodys_and_money_stays_right(rows):
    personal = {
        "client_request_id": "c",
        "end_user_hash": "h",
        "session_hash": "h",
        "metadata": {"mail": "x@y"},
    }
    records = [
        record(1, organisation="acme", customer="ada", **personal),
        record(2, organisation="acme", customer="ada"),
        record(3, organisation="other", customer="ada"),
        record(4, organisation="acme", customer="bob"),
    ]
    rows.insert([encode(each) for each in records])
    assert len(rows.query(Query(search="ada")).records) == 3
    assert rows.anonymise("ada", "acme", "gone-1", 1) == 1
    assert rows.anonymise("ada", "acme", "gone-1", 10) == 1
    assert rows.anonymise("ada", "acme", "gone-1", 0) == 0
    assert rows.query(Query(customer="ada")).records == (records[2],)
    assert rows.query(Query(search="ada")).records == (records[2],)
    gone = rows.query(Query(customer="gone-1", order="oldest")).records
    nothing = dict.fromkeys(("client_request_id", "end_user_hash", "session_hash", "content"))
    assert gone[0] == replace(records[0], customer="gone-1", metadata={}, **nothing)
    assert rows.query(Query(search="gone 1")).entries[0].record.customer == "gone-1"
    spent = {each.group[0]: each.cost_nusd for each in rows.sums(SumQuery(by=("customer",)))}
    assert spent == {"gone-1": 3000, "ada": 3000, "bob": 4000}
    usage = rows.usage(UsageQuery(since=AT, until=AT + 9 * DAY, by=("customer",)))
    assert {each.group[0]: each.cost_nusd for each in usage} == spent


def test_whoever_became_nobody_stays_so_where_usage_had_not_followed_yet(tmp_path, monkeypatch):
    monkeypatch.setattr("turnout.stores.sqlite.rows.FOLLOW_ROWS", 2)
    rows = SqliteRows(tmp_path / "journal.db", durable=False)
    rows.insert([encode(record(0, customer="ada"))])
    assert [rows.anonymise("ada", None, "gone-1", most) for most in (10, 0)] == [1, 0]
    rows.insert([encode(record(1, customer="bob"))])
    used = rows.usage(UsageQuery(since=AT - DAY, until=AT + 3 * DAY, by=("customer",), latencies=False))
    assert sorted((each.group, each.n) for each in used) == [(("bob",), 1), (("gone-1",), 1)]
    assert rows.query(Query(search="ada")).records == ()
    assert len(rows.query(Query(search="gone 1")).records) == 1
    rows.close()


def test_who_comes_back_after_it_became_nobody_is_somebody_new(rows, monkeypatch):
    monkeypatch.setattr(f"{type(rows).__module__}.FOLLOW_ROWS", 1)
    for n in range(2):
        rows.insert([encode(record(n, customer="ada"))])
        assert [rows.anonymise("ada", None, f"gone-{n}", most) for most in (10, 0)] == [1, 0]
    rows.insert([encode(record(2, customer="ada"))])
    spent = rows.sums(SumQuery(by=("customer",)))
    used = rows.usage(UsageQuery(since=AT - DAY, until=AT + 3 * DAY, by=("customer",), latencies=False))
    names = [("ada",), ("gone-0",), ("gone-1",)]
    assert sorted(each.group for each in spent) == sorted(each.group for each in used) == names


def test_no_word_of_who_became_nobody_stays_in_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr("turnout.stores.sqlite.rows.FOLLOW_ROWS", 1)
    rows = SqliteRows(tmp_path / "journal.db", durable=False)
    rows.insert([encode(record(0, customer="ada lovelace")), encode(record(1, customer="bob lovelace"))])
    rows.anonymise("ada lovelace", None, "gone-1", 10)
    with closing(sqlite3.connect(tmp_path / "journal.db")) as db:
        words = {word for (word,) in db.execute("SELECT word FROM usage_words")}
    assert words & {"ada", "bob", "lovelace", "gone"} == {"bob", "lovelace", "gone"}
    rows.insert([encode(record(2, customer="ada"))])
    assert len(rows.query(Query(search="ad*")).records) == 1
    rows.close()
