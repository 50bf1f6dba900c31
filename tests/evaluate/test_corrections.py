"""How often cheap answers were corrected, by need; and the threshold that follows from it."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from turnout.config import RouteConfig
from turnout.evaluate.corrections import Gauge, Point, bins, gauge_of, points, suggest
from turnout.evaluate.feedback_data import Vote, question_of, votes_of, words_of
from turnout.learn.feedback import Interval, capped, score_of, wilson
from turnout.stores.feedback import FeedbackQuery
from turnout.stores.feedback.memory import MemoryFeedback
from turnout.testing.store import example_record
from turnout.types.feedback import Feedback
from turnout.types.record import CandidateView, Content, CostView, SignalView

AT = datetime(2026, 3, 1, tzinfo=UTC)
GAUGE = Gauge(kind="signal", name="complexity", threshold=0.5, weak="a/weak", strong="a/strong")


def request(n, need, model="a/weak"):
    views = tuple(
        CandidateView(id=name, model=name, status="eligible", cost_nusd=CostView(cost, cost))
        for name, cost in (("a/weak", 10), ("a/strong", 100))
    )
    record = example_record(n)
    decision = replace(record.decision, candidates=views, signals={"complexity": SignalView(value=need)})
    return replace(record, decision=decision, outcome=replace(record.outcome, model=model, error=None))


def word(n, score, **fields):
    name = example_record(n).request_id
    known = {"kind": "thumb", "speaker": f"key_{n}", "source": "client", "model": "a/weak", **fields}
    return Feedback(id=f"{n}", request_id=name, at=AT, asked_at=AT, score=score, **known)


def test_a_route_goes_by_its_signal_its_difference_or_its_certificates_gap():
    signal = {"type": "threshold", "weak": "a/weak", "strong": "a/strong", "threshold": 0.5}
    assert gauge_of(RouteConfig(name="r", models=(), strategy=signal), None) == GAUGE
    learned = {**signal, "artifact": "x.npz"}
    assert gauge_of(RouteConfig(name="r", models=(), strategy=learned), None).kind == "difference"
    assert gauge_of(None, (0.03, "a/strong")) == Gauge(kind="gap", threshold=0.03, strong="a/strong")


def test_needs_are_counted_with_what_was_said_of_cheap_answers():
    records = [request(1, 0.1), request(2, 0.2), request(3, 0.9, "a/strong"), request(4, 0.3)]
    words = [word(1, 1.0), word(2, 0.0), word(3, 0.0), word(4, 0.0, kind="implicit.rephrase")]
    found = points(records, words, GAUGE, 1.0)
    assert [(each.need, each.is_weak, each.corrected, each.signs) for each in found] == [
        (0.1, True, False, 0),
        (0.2, True, True, 0),
        (0.9, False, True, 0),
        (0.3, True, None, 1),
    ]
    first, last = bins(found, 2)
    assert (first.n, first.n_weak, first.n_rated, first.signs, first.rate.mean) == (3, 3, 2, 1, 0.5)
    assert (last.n, last.n_weak, last.n_rated, last.rate) == (1, 0, 0, None)


def test_the_threshold_suggested_keeps_corrections_as_rare_as_wished():
    of = [
        Point(need=n / 1000, is_weak=True, corrected=n >= 600, weak_nusd=10, strong_nusd=100)
        for n in range(1000)
    ]
    found = suggest(of, GAUGE, 0.05)
    assert found.rate.high <= 0.05 < suggest(of, GAUGE, 0.06).rate.high
    assert 0.6 < found.threshold < 0.63
    assert found.n_rated == sum(point.need < found.threshold for point in of)
    assert (found.cost_nusd, found.weak_share) == (500 * 10 + 500 * 100, found.n_rated / 1000)
    assert found.new_cost_nusd == found.n_rated * 10 + (1000 - found.n_rated) * 100
    assert suggest(of[:10], GAUGE, 0.05).reason == "something was said of 10 cheap answers; 20 are needed"
    assert suggest(of[700:], GAUGE, 0.05).threshold is None


async def test_what_clients_say_counts_after_its_quarantine_and_becomes_votes():
    store, now = MemoryFeedback(), AT + timedelta(hours=10)
    words = [
        word(1, 0.0),
        word(2, 1.0, kind="judge", source="a/judge", chance=0.25),
        word(3, None, kind="label"),
    ]
    for each in words:
        await store.put(each)
    found = await words_of(store, FeedbackQuery(), now, 24)
    assert found == [words[1]]
    found = await words_of(store, FeedbackQuery(), now, 10)
    text = '[{"role":"user","parts":[{"type":"text","text":"Why?"}]},{"role":"assistant","parts":[]}]'
    records = [replace(request(n, 0.1), content=Content(text, None)) for n in (1, 2, 3)]
    assert [question_of(each) for each in (*records, request(4, 0.1))] == ["Why?", "Why?", "Why?", None]
    assert sorted(votes_of(records, found), key=lambda vote: vote.up) == [
        Vote(prompt="Why?", model="a/weak", up=0.0, user="key:key_1", chance=1.0),
        Vote(prompt="Why?", model="a/weak", up=1.0, user="a/judge", chance=0.25),
    ]


@pytest.mark.parametrize(
    ("signal", "value", "score"),
    [
        ("thumb", "down", 0.0),
        ("thumb", True, 1.0),
        ("score", 0.25, 0.25),
        ("correction", None, 0.0),
        ("correction", 0.25, 0.75),
        ("preference", "tie", 0.5),
        ("outcome", False, 0.0),
        ("label", "billing", None),
    ],
)
def test_each_word_has_one_reading(signal, value, score):
    assert score_of(signal, value) == score


def test_no_speaker_is_louder_than_its_share_and_intervals_hold_their_mean():
    weights = capped([1.0] * 100, ["loud"] * 50 + [f"u{n}" for n in range(50)], 0.05)
    assert sum(weights[:50]) == pytest.approx(0.05 * sum(weights))
    assert wilson(8, 10, 10) == Interval(
        0.8, pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4)
    )
    assert wilson(0, 0, 0) is None
    graded, coins = wilson(90, 100, 100, 81.64), wilson(90, 100, 100)
    assert coins.low < graded.low < graded.mean < graded.high < coins.high
