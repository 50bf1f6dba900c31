"""Retention: text before Records, by whoever's rule is nearest, each removal told."""

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from turnout.config import Config
from turnout.config.retention import Keep, RetentionConfig
from turnout.jobs.retention import Removed, Term, enforce
from turnout.jobs.together import Together
from turnout.server.house import terms_of
from turnout.stores.base import Query, encode
from turnout.stores.feedback import FeedbackQuery
from turnout.stores.feedback.memory import MemoryFeedback
from turnout.stores.memory import MemoryJournal
from turnout.stores.private.base import Whose
from turnout.stores.spool.journal import SpooledJournal
from turnout.stores.sqlite import SqliteRows
from turnout.testing.store import example_record
from turnout.types.feedback import Feedback
from turnout.types.record import Content

NOW = datetime(2026, 3, 31, tzinfo=UTC)


async def test_text_goes_first_and_each_removal_is_told(tmp_path):
    rows = SqliteRows(tmp_path / "journal.db", durable=False)
    records = [
        replace(
            example_record(n),
            at=NOW - timedelta(days=10 * n + 1),
            organisation="acme",
            project="mail" if n % 2 else "search",
            content=Content("q", "a"),
        )
        for n in range(6)
    ]
    rows.insert([encode(each) for each in records])
    journal = SpooledJournal(rows, tmp_path / "spool")
    terms = {"mail": Term(records=20, content=5), "search": Term(content=30)}
    told = []

    async def tell(removed):
        told.append(removed)

    async def sleep(_):
        return

    assert await enforce(journal, lambda whose: terms[whose.project], NOW, tell, sleep) == 6
    assert sorted(told, key=lambda each: each.whose.project) == [
        Removed(Whose("acme", "mail"), 2, 3),
        Removed(Whose("acme", "search"), 0, 1),
    ]
    kept = [records[0], replace(records[1], content=None), records[2], replace(records[4], content=None)]
    assert (await journal.query(Query())).records == tuple(kept)
    assert await enforce(journal, lambda whose: terms[whose.project], NOW, tell, sleep) == 0
    await journal.close()


async def test_the_nearest_rule_holds_and_what_it_leaves_open_the_next():
    class Made:
        config = Config(
            retention=RetentionConfig(
                records_days=365,
                content_days=30,
                organisations={"acme": Keep(records_days=90)},
                projects={"mail": Keep(content_days=0)},
            )
        )

    term = await terms_of(Made, None)
    assert term(Whose("acme", "mail")) == Term(90, 0)
    assert term(Whose("other", "mail")) == Term(365, 0)
    assert term(Whose(None, None)) == Term(365, 30)


async def test_what_is_said_of_requests_goes_with_them_and_with_their_customer() -> None:
    words, whose = MemoryFeedback(), Whose("acme", None)
    for n, days in enumerate((40, 20, 1)):
        at = NOW - timedelta(days=days)
        about = {"organisation": "acme", "customer": "cus" if n == 2 else None, "text": "no"}
        await words.put(Feedback(id=str(n), request_id=f"r{n}", at=at, kind="thumb", asked_at=at, **about))
    both = Together(MemoryJournal(), words)
    assert await both.expire(whose, NOW - timedelta(days=30), 500) == 0
    assert await both.strip(whose, NOW - timedelta(days=10), 500) == 0
    found = [told.feedback for told in await words.query(FeedbackQuery())]
    assert [(each.id, each.text) for each in found] == [("2", "no"), ("1", None)]
    await both.anonymise("cus", None, "gone", 0)
    assert [told.feedback.id for told in await words.query(FeedbackQuery())] == ["1"]
