"""What months of Records are asked: the same answers, whichever way they are found."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from msgspec.structs import replace

from turnout.stores.base import Query, encode
from turnout.stores.memory import MemoryJournal
from turnout.stores.sqlite import SqliteRows, dearest, select
from turnout.stores.sums import SumQuery
from turnout.stores.sums.usage import UsageQuery
from turnout.testing.store import example_record
from turnout.types.record import Outcome

AT = datetime(2026, 3, 1, 10, 30, tzinfo=UTC)
DAY = timedelta(days=1)


def records(n=400):
    rng = Random(3)
    made = []
    for at in range(n):
        model = rng.choice(("mini", "mini", "large", None))
        outcome = Outcome(
            model=model,
            provider=None if model is None else rng.choice(("a", "b")),
            cost_nusd=rng.choice((None, 1, 5, rng.randrange(100)))
            if model != "large"
            else rng.randrange(300),
            error=rng.choice((None, None, "timeout_ttft", "content_filtered")),
        )
        base = example_record(at)
        who = {
            name: rng.choice((None, f"{name}-1", f"{name}-2"))
            for name in ("organisation", "team", "customer")
        }
        decision = replace(base.decision, route=rng.choice(("r", "s")))
        made.append(
            replace(
                base,
                at=AT + 0.013 * at * DAY,
                outcome=outcome,
                attempts=(),
                decision=decision,
                tags=(),
                **who,
            )
        )
    return made


QUERIES = [
    Query(**given, **range_, order=order, limit=7)
    for order in ("dearest", "newest", "oldest")
    for range_ in ({}, {"since": AT + 1.3 * DAY, "until": AT + 3.7 * DAY}, {"until": AT + 0.1 * DAY})
    for given in (
        {},
        *(
            {"organisation": "organisation-1"},
            {"customer": "customer-2"},
            {"model": "mini"},
            {"provider": "a"},
        ),
        *({"route": "r", "error": "any"}, {"team": "team-1", "error": "timeout_ttft"}),
        *({"organisation": "organisation-2", "model": "large"}, {"route": "s", "customer": "customer-1"}),
        *({"customer": "customer-1", "error": "any"}, {"organisation": "organisation-1", "error": "any"}),
        *({"organisation": "nobody"}, {"organisation": "organisation-1", "team": "team-9"}),
    )
]


def pages(query, ask):
    found = []
    while True:
        page = ask(query)
        found += [entry.record.request_id for entry in page.entries]
        if not page.more or len(found) > 30:
            return found
        query = replace(query, after=page.entries[-1].cursor)


def remembered(journal):
    def ask(query):
        with pytest.raises(StopIteration) as done:
            journal.query(query).send(None)
        return done.value.value

    return ask


@pytest.mark.parametrize(("few", "short"), [(10**6, 10**6), (0, 50), (0, 0)])
def test_pages_are_the_same_whichever_way_the_rows_are_found(tmp_path, monkeypatch, few, short):
    monkeypatch.setattr(dearest, "FEW", few)
    monkeypatch.setattr(dearest, "SHORT", short)
    monkeypatch.setattr(dearest, "ALWAYS", () if few == 0 else dearest.ALWAYS)
    rows, journal = SqliteRows(tmp_path / "journal.db", durable=False), MemoryJournal()
    for each in records():
        journal.append(each)
    rows.insert([encode(each) for each in records()[:300]])
    rows.follow()
    rows.insert([encode(each) for each in records()[300:]])  # which usage has not followed
    ask = remembered(journal)
    for query in QUERIES:
        assert pages(query, rows.query) == pages(query, ask), query
    rows.close()


def test_filters_that_nobody_has_together_are_known_without_reading_and_new_rows_are_not_missed(tmp_path):
    rows = SqliteRows(tmp_path / "journal.db", durable=False)
    one, other = (replace(each, organisation="o", team=f"t{n}") for n, each in enumerate(records(2)))
    rows.insert([encode(one)])
    rows.follow()
    with closing(sqlite3.connect(rows.path)) as db:
        query = Query(organisation="o", team="t1")
        assert select._is_nobodys(db, query)
        rows.insert([encode(other)])
        assert not select._is_nobodys(db, query)
    assert rows.query(query).records == (other,)
    rows.close()


def test_a_beginning_finds_what_its_words_find_few_or_many(tmp_path, monkeypatch):
    rows = SqliteRows(tmp_path / "journal.db", durable=False)
    made = [
        replace(each, customer=f"acme{n % 30:02d}", organisation="x") for n, each in enumerate(records(60))
    ]
    rows.insert([encode(each) for each in made])
    expected = [each.request_id for n, each in enumerate(made) if 10 <= n % 30 < 20][::-1]
    for most in (200, 3):
        monkeypatch.setattr(select, "MOST_ENDINGS", most)
        assert [each.request_id for each in rows.query(Query(search="acme1*")).records] == expected
        assert rows.query(Query(search="acme9*")).records == ()
    rows.close()


OLDER = (
    *(
        f"DROP TABLE usage_{name}"
        for name in ("words", "whole", "later", "within_hours", "within_days", "noted", "values")
    ),
    *(f"DELETE FROM usage_{name} WHERE cube > 10" for name in ("subjects", "minutes", "hours", "days")),
    *(f"DROP INDEX records_failed_{name}" for name in ("organisation", "principal", "customer")),
    """DELETE FROM turnout_schema
        WHERE part IN ('journal.months', 'journal.spend', 'journal.cubes', 'journal.within')""",
)


def test_a_file_of_before_gets_its_indexes_words_and_the_day_from_which_cells_know_all(tmp_path):
    rows = SqliteRows(tmp_path / "journal.db", durable=False)
    made = records(200)
    rows.insert([encode(each) for each in made[:100]])
    with closing(sqlite3.connect(rows.path)) as db, db:
        db.execute("DELETE FROM records WHERE seq < 20")  # as retention did, before cells counted them
    rows.follow()
    rows.insert([encode(each) for each in made[100:]])
    rows.close()
    with closing(sqlite3.connect(rows.path)) as db, db:
        for statement in OLDER:
            db.execute(statement)
    again = SqliteRows(tmp_path / "journal.db")
    with closing(sqlite3.connect(rows.path)) as db:
        (whole,) = db.execute("SELECT day FROM usage_whole").fetchone()
        names = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
    assert whole == (made[18].at - datetime(1970, 1, 1, tzinfo=UTC)).days + 1
    assert names >= {"records_failed_customer", "records_dearest", "records_error"}
    found = [each.request_id for each in made[19:] if each.outcome.model == "mini"][:-11:-1]
    assert [each.request_id for each in again.query(Query(search="min*", limit=10)).records] == found
    assert sum(each.n for each in again.sums(SumQuery(by=("team",)))) == 200
    midnight = AT.replace(hour=0, minute=0) + DAY
    journal = MemoryJournal()
    for each in made:
        journal.append(each)
    for query in (
        SumQuery(by=("team",), since=midnight),
        SumQuery(per="hour", since=midnight, until=midnight + DAY),
    ):
        with pytest.raises(StopIteration) as done:
            journal.sums(query).send(None)
        assert again.sums(query) == done.value.value
    late = records(400)[200:]
    again.insert([encode(each) for each in late])
    cells = MemoryJournal()
    for each in (*made[19:], *late):
        cells.append(each)
    for since in (AT, AT + 4 * DAY):  # before and after there were cells of all organisations together
        usage = UsageQuery(since=since, until=AT + 9 * DAY, by=("model",))
        with pytest.raises(StopIteration) as done:
            cells.usage(usage).send(None)
        assert again.usage(usage) == done.value.value
    told = MemoryJournal()
    for each in (*made, *late):  # also what retention deleted: spend is told of it
        told.append(each)
    for since in (AT, AT + 4 * DAY):
        usage = UsageQuery(since=since, until=AT + 9 * DAY, by=("customer",), model="mini", top=2)
        with pytest.raises(StopIteration) as done:
            told.usage(usage).send(None)
        assert again.usage(usage) == done.value.value
    for search in ("large", "mini"):  # words of rows whose names were not noted
        found = [each.request_id for each in told_of(cells, Query(model="mini", search=search))]
        assert [each.request_id for each in again.query(Query(model="mini", search=search)).records] == found
    again.close()


def told_of(journal, query):
    with pytest.raises(StopIteration) as done:
        journal.query(query).send(None)
    return done.value.value.records


def test_who_asked_a_model_is_not_told_of_days_that_somebody_else_counted(tmp_path):
    rows = SqliteRows(tmp_path / "journal.db", durable=False)
    made = records(200)
    journal = MemoryJournal()
    for each in made:
        journal.append(each)
    rows.insert([encode(each) for each in made[:50]])
    rows.follow()
    with closing(sqlite3.connect(rows.path)) as db, db:  # as a Turnout from before does
        db.execute("DELETE FROM usage_within_days WHERE at = (SELECT min(at) FROM usage_within_days)")
        db.execute("UPDATE usage_noted SET through = 7")
    rows.insert([encode(each) for each in made[50:]])
    usage = UsageQuery(since=AT, until=AT + 9 * DAY, by=("customer",), model="mini")
    with pytest.raises(StopIteration) as done:
        journal.usage(usage).send(None)
    assert rows.usage(usage) == done.value.value
    with closing(sqlite3.connect(rows.path)) as db:
        state = db.execute("SELECT day, seq, through FROM usage_noted").fetchone()
    assert state == ((made[-1].at - datetime(1970, 1, 1, tzinfo=UTC)).days + 1, 50, 200)
    rows.close()


CONTRADICTED = (
    *(({"model": "mini"}, "large"), ({"model": "mini"}, "larg* r"), ({"provider": "a"}, "b")),
    *(
        ({}, "mini large"),
        ({"customer": "customer-1"}, "mini large"),
        ({"error": "timeout_ttft"}, "filtered"),
    ),
)
POSSIBLE = (
    *(({"model": "mini"}, "mini"), ({"model": "large"}, "customer"), ({}, "mini"), ({}, "a mini timeout")),
    *(
        ({"model": "mini"}, "a"),
        ({"error": "any"}, "filtered"),
        ({"tag": "new"}, "mini"),
        ({"tag": "new"}, "x"),
    ),
)


def test_words_that_contradict_a_filter_or_each_other_are_looked_up_nowhere(tmp_path):
    rows = SqliteRows(tmp_path / "journal.db", durable=False)
    made = [replace(each, tags=("new", "x")) if n % 9 == 0 else each for n, each in enumerate(records(200))]
    rows.insert([encode(each) for each in made])
    rows.follow()
    journal = MemoryJournal()
    for each in made:
        journal.append(each)
    with closing(sqlite3.connect(rows.path)) as db:
        said = []
        db.set_trace_callback(said.append)
        for cases, is_looked_up in ((CONTRADICTED, False), (POSSIBLE, True)):
            for given, search in cases:
                query = Query(**given, search=search, limit=300)
                said.clear()
                found = select.select(db, query)
                assert any(" MATCH " in text for text in said) == is_looked_up, query
                assert len(found) == len(told_of(journal, query)), query
                assert bool(found) == is_looked_up, query
    rows.close()


def test_a_filter_is_looked_up_by_the_words_that_tell_it_from_others(tmp_path):
    rows = SqliteRows(tmp_path / "journal.db", durable=False)
    made = [replace(each, customer=f"acme-{n % 60:02d}", tags=()) for n, each in enumerate(records(180))]
    rows.insert([encode(each) for each in made])
    rows.follow()
    with closing(sqlite3.connect(rows.path)) as db:
        said = []
        db.set_trace_callback(said.append)
        found = select.select(db, Query(customer="acme-07", search="r"))
        (match,) = [text for text in said if " MATCH " in text]
        assert '"07"' in match
        assert '"acme"' not in match
        said.clear()
        assert select.select(db, Query(search="r acme-07")) == found
        (match,) = [text for text in said if " MATCH " in text]
        assert '"acme"' not in match
    expected = [each for n, each in enumerate(made) if n % 60 == 7 and each.decision.route == "r"]
    assert [seq for _, seq, _ in found] == [made.index(each) + 1 for each in expected][::-1]
    rows.close()
