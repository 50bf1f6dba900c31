"""Stores of feedback: one word of one speaker, found, summed, and forgotten with its request."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from turnout.stores.feedback import FeedbackQuery, QualityDay
from turnout.stores.feedback.memory import MemoryFeedback
from turnout.stores.feedback.sqlite import SqliteFeedback
from turnout.stores.private.base import Whose
from turnout.stores.sqlite import SqliteRows
from turnout.types.feedback import Feedback

AT = datetime(2026, 3, 1, 10, 30, tzinfo=UTC)
DAY = timedelta(days=1)
ACME = Whose("acme", None)


def word(n, **fields):
    values = {"kind": "thumb", "value": 1, "score": 1.0, "source": "client", "organisation": "acme", **fields}
    at = AT + n * DAY
    return Feedback(id=f"fb_{n}", request_id=f"req_{n}", at=at, asked_at=at, route="assistant", **values)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def store(request, tmp_path):
    if request.param == "memory":
        opened = MemoryFeedback()
    elif request.param == "sqlite":
        SqliteRows(tmp_path / "journal.db", durable=False).close()
        opened = SqliteFeedback(tmp_path / "journal.db")
    else:
        from turnout.stores.postgres.feedback import PostgresFeedback

        opened = PostgresFeedback(request.getfixturevalue("made")(), timeout_s=10)
    yield opened
    await opened.close()


async def test_the_last_word_of_a_speaker_holds_and_pages_are_newest_first(store):
    assert await store.query(FeedbackQuery()) == ()
    words = [word(0), word(1, kind="label", value="billing", score=None)]
    words.append(word(2, text="Rome, not Paris", kind="correction", value=None, score=0.0))
    assert [await store.put(each) for each in words] == [True, True, True]
    changed = replace(words[0], value=0, score=0.0)
    assert await store.put(changed) is False
    first = await store.query(FeedbackQuery(limit=2))
    assert [told.feedback for told in first] == [words[2], words[1]]
    rest = await store.query(FeedbackQuery(after=first[-1].place))
    assert [told.feedback for told in rest] == [changed]
    asked = FeedbackQuery(since=AT + 0.5 * DAY, until=AT + 3 * DAY, kind="label", route="assistant")
    assert [told.feedback for told in await store.query(asked)] == [words[1]]
    assert [t.feedback for t in await store.query(FeedbackQuery(request_id="req_2"))] == [words[2]]
    assert await store.query(FeedbackQuery(organisation="other")) == ()


async def test_judged_scores_are_summed_by_day_over_the_chance_of_being_drawn(store):
    day = (AT - datetime(1970, 1, 1, tzinfo=UTC)).days
    judged = [word(n, kind="judge", score=score, chance=0.5) for n, score in enumerate((1.0, 0.5))]
    judged.append(replace(judged[0], id="fb_x", request_id="req_x", score=0.25, chance=0.25))
    for each in [*judged, word(5)]:
        await store.put(each)
    found = await store.quality("assistant", None, None, None)
    assert found == (
        QualityDay(day=day, n=2, weight=6.0, weight_squared=20.0, total=3.0, squares=2.25),
        QualityDay(day=day + 1, n=1, weight=2.0, weight_squared=4.0, total=1.0, squares=0.5),
    )
    assert await store.quality("assistant", AT + 0.5 * DAY, AT + 2 * DAY, "acme") == found[1:]
    assert await store.quality("other", None, None, None) == ()


async def test_words_go_with_their_requests_and_with_their_customer(store):
    assert (await store.expire(ACME, AT), await store.erase("nobody", None)) == (0, 0)
    words = [word(n, text="no", customer="cus" if n == 2 else None) for n in range(4)]
    for each in words:
        await store.put(each)
    assert (await store.strip(ACME, AT + 0.5 * DAY), await store.strip(ACME, AT + 0.5 * DAY)) == (1, 0)
    assert await store.expire(Whose("other", None), AT + 9 * DAY) == 0
    assert (await store.query(FeedbackQuery(request_id="req_0")))[0].feedback == replace(words[0], text=None)
    assert await store.expire(ACME, AT + 1.5 * DAY) == 2
    assert (await store.erase("cus", "other"), await store.erase("cus", "acme")) == (0, 1)
    assert [told.feedback for told in await store.query(FeedbackQuery())] == [words[3]]
