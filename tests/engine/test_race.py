"""Hedge and Fanout: who wins, what happens to the others, and that nothing outlives the request."""

import asyncio

import msgspec
import pytest

from tests.engine.kit import Turn, rig, said
from turnout.errors import ProviderOverloaded
from turnout.plan import Cascade, Fanout, Hedge, Question, Reduction, Sequence, Try, Verdict
from turnout.strategies.base import Choice
from turnout.types.chat import ChatRequest, Message, Text

DOWN = Turn(status=529)


class Fixed(msgspec.Struct, frozen=True):
    """A strategy that always returns one plan."""

    plan: object
    name: str = "fixed"
    needs: frozenset = frozenset()

    def choose(self, context, candidates, draw):
        return Choice(plan=self.plan, reason="highest_score")


async def rig_with(plan, script, extra=", max_retries: 0"):
    r = await rig(script, extra)
    snapshot = r.engine.snapshot
    route = msgspec.structs.replace(snapshot.routes["r"], strategy=Fixed(plan))
    r.engine.apply(msgspec.structs.replace(snapshot, routes={"r": route}))
    return r


class Longest:
    """Accepts answers of at least n characters."""

    name = "longest"

    def __init__(self, n, judge=None):
        self.n, self.judge = n, judge

    def ask(self, request, answer):
        if self.judge is None:
            return None
        return Question(ChatRequest(model="", messages=(Message("user", (Text("judge"),)),)), self.judge)

    def verdict(self, request, answer, judgement):
        if self.judge is not None:
            return Verdict(judgement is not None and said(judgement) == "yes")
        return Verdict(len(said(answer)) >= self.n)


class Majority:
    """Takes the most frequent answer; decided when the rest cannot change it."""

    name = "majority"

    def ask(self, request, answers):
        return None

    def reduce(self, request, answers, judgement):
        texts = [said(a) for a in answers]
        winner = max(range(len(texts)), key=lambda i: texts.count(texts[i]))
        return Reduction(answers[winner], winner=winner)

    def decided(self, request, answers, n_left):
        texts = [said(a) for a in answers]
        counts = sorted((texts.count(t) for t in set(texts)), reverse=True)
        return counts[0] > (counts[1] if len(counts) > 1 else 0) + n_left


async def test_the_second_contender_starts_after_the_delay_and_the_first_to_commit_wins():
    plan = Hedge(Try("a/m"), Try("b/m"), 0.5)
    r = await rig_with(plan, {"a": [Turn(head_s=10)], "b": [Turn(words=("b",), head_s=1)]})
    assert await r.stream() == ["b"]
    assert [(at, host) for at, host, what in r.transport.log if what == "send"] == [(0, "a"), (0.5, "b")]
    assert asyncio.get_running_loop().time() == 1.5
    assert r.transport.n_open == 0
    record = await r.journal.get("req_" + "0" * 25 + "1")
    assert {a.deployment: a.outcome for a in record.attempts} == {"a/m": "lost", "b/m": "ok"}


async def test_a_quick_first_contender_is_never_hedged():
    r = await rig_with(Hedge(Try("a/m"), Try("b/m"), 0.5), {"a": [Turn(head_s=0.4)], "b": [Turn()]})
    await r.text()
    assert r.transport.calls("b") == 0


async def test_a_first_contender_that_fails_starts_the_second_at_once():
    r = await rig_with(Hedge(Try("a/m"), Try("b/m"), 60), {"a": [DOWN], "b": [Turn(words=("b",))]})
    assert await r.text() == "b"
    assert asyncio.get_running_loop().time() == 0


async def test_a_loser_that_had_already_committed_is_left():
    plan = Hedge(Try("a/m"), Try("b/m"), 0.5)
    r = await rig_with(plan, {"a": [Turn(head_s=1)], "b": [Turn(head_s=0.5)]})
    await r.stream()
    assert r.transport.n_open == 0


async def test_both_contenders_failing_is_the_failure_they_share():
    r = await rig_with(Hedge(Try("a/m"), Try("b/m"), 0.1), {"a": [Turn(status=529)], "b": [DOWN]})
    with pytest.raises(ProviderOverloaded):
        await r.text()


async def test_leaving_a_race_early_cancels_every_contender():
    plan = Hedge(Try("a/m"), Try("b/m"), 0.5)
    r = await rig_with(plan, {"a": [Turn(head_s=50)], "b": [Turn(head_s=50)]})
    task = asyncio.ensure_future(r.text())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(asyncio.all_tasks()) == 1
    record = await r.journal.get("req_" + "0" * 25 + "1")
    assert [a.outcome for a in record.attempts] == ["cancelled", "cancelled"]


async def test_a_cascade_stops_at_the_first_accepted_answer():
    plan = Cascade((Try("a/m"), Try("b/m")), Longest(3))
    good = await rig_with(plan, {"a": [Turn(words=("long",))], "b": [Turn()]})
    assert await good.text() == "long"
    assert good.transport.calls("b") == 0
    bad = await rig_with(plan, {"a": [Turn(words=("no",))], "b": [Turn(words=("better",))]})
    assert await bad.stream() == ["better"]
    record = await bad.journal.get("req_" + "0" * 25 + "1")
    assert [(a.deployment, a.outcome) for a in record.attempts] == [("a/m", "rejected"), ("b/m", "ok")]
    assert record.decision.reason == "escalated"


async def test_a_judge_is_asked_through_the_ring_and_its_failure_is_a_rejection():
    plan = Cascade((Try("a/m"), Try("b/m")), Longest(0, judge="j/m"))
    yes = await rig_with(plan, {"a": [Turn(words=("a",))], "b": [Turn()], "j": [Turn(words=("yes",))]})
    assert await yes.text() == "a"
    record = await yes.journal.get("req_" + "0" * 25 + "1")
    assert [a.deployment for a in record.attempts] == ["a/m", "j/m"]
    broken = await rig_with(plan, {"a": [Turn()], "b": [Turn(words=("b",))], "j": [DOWN]})
    assert await broken.text() == "b"


async def test_a_cascade_whose_last_step_fails_serves_the_answer_it_had():
    plan = Cascade((Try("a/m"), Try("b/m")), Longest(99))
    r = await rig_with(plan, {"a": [Turn(words=("a",))], "b": [DOWN]})
    assert await r.text() == "a"
    record = await r.journal.get("req_" + "0" * 25 + "1")
    assert record.warnings == ("cascade_last_step_failed",)


async def test_a_fanout_takes_the_majority_and_stops_when_it_is_decided():
    plan = Fanout((Try("a/m"), Try("b/m"), Try("c/m")), Majority())
    script = {
        "a": [Turn(words=("x",), head_s=1)],
        "b": [Turn(words=("x",), head_s=2)],
        "c": [Turn(head_s=50)],
    }
    r = await rig_with(plan, script)
    assert await r.text() == "x"
    assert asyncio.get_running_loop().time() == 2
    assert len(asyncio.all_tasks()) == 1


async def test_a_fanout_survives_the_failure_of_some_and_tells_the_failure_of_all():
    plan = Fanout((Try("a/m"), Try("b/m")), Majority())
    some = await rig_with(plan, {"a": [DOWN], "b": [Turn(words=("b",))]})
    assert await some.text() == "b"
    none = await rig_with(plan, {"a": [DOWN], "b": [DOWN]})
    with pytest.raises(ProviderOverloaded):
        await none.text()


async def test_nodes_nest():
    plan = Sequence((Hedge(Try("a/m"), Fanout((Try("b/m"), Try("b/m")), Majority()), 1), Try("c/m")))
    r = await rig_with(plan, {"a": [DOWN], "b": [DOWN], "c": [Turn(words=("c",))]})
    assert await r.stream() == ["c"]
