"""The simulator: by hand on small plans, and against the executor on the same recorded answers."""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from turnout.engine.exchange import Exchange
from turnout.engine.execute import Executor
from turnout.engine.reply import WholeReply
from turnout.errors import ProviderOverloaded, TurnoutError
from turnout.evaluate.dataset import Outcome
from turnout.evaluate.simulate import Played, Recorded, failing, response_of, simulate
from turnout.plan import Cascade, Fanout, Hedge, Sequence, Try, deployments, walk
from turnout.strategies.accept import Agreement, Judge, Regex
from turnout.strategies.reduce import BestOf, Majority, Synthesise
from turnout.testing.clock import ClockLoop
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest, Message, Text
from turnout.types.deployment import Deployment, Model, Vendor

REQUEST = ChatRequest(model="auto", messages=(Message("user", (Text("2 + 2?"),)),))
FOUR = Regex("4")


def answer(model, response="4", *, score=None, cost=10, time=1.0, ttft=None, error="", sample=0, judge=""):
    return Outcome(
        row=1,
        prompt_id="p",
        model=model,
        score=float("4" in (response or "")) if score is None else score,
        cost_nusd=cost,
        latency_s=time,
        ttft_s=ttft,
        response=response,
        error=error,
        sample_id=sample,
        judge=judge,
    )


def recorded(*answers, readings=()):
    found = {}
    for each in answers:
        found.setdefault(each.model, []).append(each)
    return Recorded(
        {name: tuple(rows) for name, rows in found.items()},
        {(each.judge, each.model, each.sample_id): each for each in readings},
    )


def played(score, cost, time, by, calls, **more):
    return Played(
        score=score,
        low=score,
        high=score,
        cost_nusd=cost,
        ttft_s=time,
        latency_s=time,
        answered_by=by,
        calls=tuple(calls),
        **more,
    )


def test_a_call_is_the_recorded_answer():
    row = recorded(answer("a", cost=7, time=2.0, ttft=0.5))
    assert simulate(Try("a"), row, REQUEST) == Played(
        score=1.0, low=1.0, high=1.0, cost_nusd=7, ttft_s=0.5, latency_s=2.0, answered_by="a", calls=("a",)
    )


def test_a_sequence_goes_on_after_a_failure_and_pays_for_it():
    row = recorded(answer("a", error="timeout", cost=3, time=5.0), answer("b", "5"))
    assert simulate(Sequence((Try("a"), Try("b"))), row, REQUEST) == played(0.0, 13, 6.0, "b", "ab")


def test_a_deployment_that_is_down_fails_at_once_and_for_nothing():
    row = recorded(answer("a"), answer("b"))
    plan = Sequence((Try("a"), Try("b")))
    assert simulate(plan, row, REQUEST, frozenset("a")) == played(1.0, 10, 1.0, "b", "ab")
    assert simulate(plan, row, REQUEST, frozenset("ab")) == played(0.0, 0, 0.0, None, "ab")


def test_a_cascade_asks_its_real_acceptor():
    row = recorded(answer("a", "5", cost=1), answer("b", cost=100, time=3.0))
    plan = Cascade((Try("a"), Try("b")), FOUR)
    assert simulate(plan, row, REQUEST) == played(1.0, 101, 4.0, "b", "ab", n_rejected=1)
    assert simulate(plan, recorded(answer("a", cost=1)), REQUEST) == played(1.0, 1, 1.0, "a", "a")


def test_a_rejected_answer_is_better_than_none():
    row = recorded(answer("a", "5"), answer("b", error="down"))
    assert simulate(Cascade((Try("a"), Try("b")), FOUR), row, REQUEST) == played(
        0.0, 20, 2.0, "a", "ab", n_rejected=1
    )


def test_a_judge_says_what_it_was_recorded_to_say():
    reading = answer("a", None, score=0.4, cost=5, time=0.5, judge="j")
    row = recorded(answer("a", "5"), answer("b"), readings=(reading,))
    plan = Cascade((Try("a"), Try("b")), Judge(deployment="j", threshold=0.7))
    assert simulate(plan, row, REQUEST) == played(1.0, 25, 2.5, "b", "ajb", n_rejected=1)
    lenient = Cascade((Try("a"), Try("b")), Judge(deployment="j", threshold=0.3))
    assert simulate(lenient, row, REQUEST) == played(0.0, 15, 1.5, "a", "aj")


def test_agreement_takes_the_samples_that_are_left():
    row = recorded(*(answer("a", text, sample=n) for n, text in enumerate(["4", "4", "5"])), answer("b"))
    plan = Cascade((Try("a"), Try("b")), Agreement(deployment="a", k=3, threshold=0.6))
    assert simulate(plan, row, REQUEST) == played(1.0, 30, 2.0, "a", "aa")


def test_the_second_of_a_hedge_starts_after_the_delay_and_both_are_billed():
    row = recorded(answer("a", time=5.0), answer("b", "5", time=1.0))
    assert simulate(Hedge(Try("a"), Try("b"), 2.0), row, REQUEST) == played(0.0, 20, 3.0, "b", "ab")
    assert simulate(Hedge(Try("a"), Try("b"), 6.0), row, REQUEST) == played(1.0, 10, 5.0, "a", "a")


def test_a_panel_votes():
    row = recorded(answer("a", "5"), answer("b", time=2.0), answer("c", time=3.0))
    plan = Fanout((Try("a"), Try("b"), Try("c")), Majority())
    assert simulate(plan, row, REQUEST) == played(1.0, 30, 3.0, "b", "abc")


def test_a_panel_of_one_model_needs_as_many_samples():
    row = recorded(*(answer("a", text, sample=n) for n, text in enumerate(["5", "4", "4"])))
    plan = Fanout((Try("a"),) * 3, Majority())
    assert simulate(plan, row, REQUEST).score == 1.0
    assert simulate(Fanout((Try("a"),) * 4, Majority()), row, REQUEST).missing == "answer 4 of a"


def test_a_judge_of_panels_takes_the_answer_it_scored_highest():
    readings = [answer(name, None, score=s, cost=1, judge="j") for name, s in (("a", 0.2), ("b", 0.9))]
    row = recorded(answer("a", "5"), answer("b"), readings=readings)
    plan = Fanout((Try("a"), Try("b")), BestOf("j"))
    assert simulate(plan, row, REQUEST) == played(1.0, 22, 2.0, "b", "abj")


@pytest.mark.parametrize(
    ("plan", "row", "missing"),
    [
        (Try("z"), recorded(answer("a")), "an answer of z"),
        (Cascade((Try("a"), Try("b")), FOUR), recorded(answer("a", None, score=1.0)), "the words of a"),
        (
            Cascade((Try("a"), Try("b")), Judge(deployment="j")),
            recorded(answer("a")),
            "what j made of an answer",
        ),
        (
            Hedge(Try("a"), Try("b"), 1.0),
            recorded(answer("a", time=None), answer("b")),
            "the time of a hedged call",
        ),
        (
            Fanout((Try("a"), Try("b")), Synthesise("s")),
            recorded(
                answer("a"), answer("b"), readings=[answer(n, None, score=1.0, judge="s") for n in "ab"]
            ),
            "the score of what synthesise writes",
        ),
    ],
)
def test_what_was_not_recorded_leaves_the_score_between_its_bounds(plan, row, missing):
    found = simulate(plan, row, REQUEST)
    assert (found.score, found.low, found.high, found.missing) == (None, 0.0, 1.0, missing)


def test_without_a_recorded_cost_the_sum_is_not_known():
    row = recorded(answer("a", "5", cost=None), answer("b"))
    assert simulate(Cascade((Try("a"), Try("b")), FOUR), row, REQUEST).cost_nusd is None


def test_availability_is_drawn_at_its_rates_and_the_same_every_time():
    drawn = failing({"a": 0.3, "b": 0.0}, 4000, name="trace")
    assert drawn == failing({"a": 0.3, "b": 0.0}, 4000, name="trace")
    assert sum("a" in down for down in drawn) / 4000 == pytest.approx(0.3, abs=0.03)
    assert not any("b" in down for down in drawn)


# The value formulas of ROUTING 1.1: means over many recorded prompts equal them


def test_sequences_and_cascades_are_worth_what_their_formulas_say():
    n, rows, p_fail, p_accept = 6000, [], 0.2, 0.6
    random = Random(5)
    for _ in range(n):
        fails, right = random.random() < p_fail, random.random() < p_accept
        b = "4" if random.random() < 0.9 else "x"
        rows.append(
            recorded(
                answer("a", "4" if right else "5", error="x" if fails else "", cost=2),
                answer("b", b, cost=20, time=3.0),
            )
        )
    chain = [simulate(Sequence((Try("a"), Try("b"))), row, REQUEST) for row in rows]
    assert sum(p.score for p in chain) / n == pytest.approx(0.8 * 0.6 + 0.2 * 0.9, abs=0.02)
    assert sum(p.cost_nusd for p in chain) / n == pytest.approx(2 + 0.2 * 20, rel=0.05)
    assert sum(p.latency_s for p in chain) / n == pytest.approx(1 + 0.2 * 3, rel=0.05)
    steps = [simulate(Cascade((Try("a"), Try("b")), FOUR), row, REQUEST) for row in rows]
    accepted = 0.8 * 0.6
    assert sum(p.score for p in steps) / n == pytest.approx(accepted + (1 - accepted) * 0.9, abs=0.02)
    assert sum(p.cost_nusd for p in steps) / n == pytest.approx(2 + (1 - accepted) * 20, rel=0.05)


# Both interpreters on the same plan and the same answers

NAMES = "abcd"


def plans(depth=2):
    tries = st.sampled_from(NAMES).map(Try)
    if depth == 0:
        return tries
    inner = plans(depth - 1)
    nodes = st.lists(inner, min_size=1, max_size=3).map(tuple)
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.one_of(
        tries,
        nodes.map(Sequence),
        several.map(lambda steps: Cascade(steps, FOUR)),
        st.builds(Hedge, inner, inner, st.sampled_from([0.0625, 1.03125, 2.0625])),
        several.map(lambda members: Fanout(members, Majority())),
    )


def rows():
    """Four samples of each model; no two calls take the same time, so that nothing is a matter of luck."""
    one = st.tuples(st.sampled_from(["4", "5", "6"]), st.booleans())
    return st.lists(one, min_size=4 * 16, max_size=4 * 16).map(_row)


def _row(drawn):
    found = []
    for at, (text, fails) in enumerate(drawn):
        name, sample = NAMES[at // 16], at % 16
        time = 0.5 + (at * 37 % 64) / 16 + at / 4096
        found.append(
            answer(name, text, time=time, cost=1 << at, error="overloaded" if fails else "", sample=sample)
        )
    return recorded(*found)


class Upstreams:
    """Answers calls from a table, in the time the table says."""

    def __init__(self, row):
        self.row, self.used, self.spent = row, {}, 0

    def __call__(self, call):
        name = call.deployment.id
        at = self.used[name] = self.used.get(name, -1) + 1
        return self.answer(call.deployment, self.row.answers[name][at])

    @asynccontextmanager
    async def answer(self, deployment, outcome):
        self.spent += outcome.cost_nusd
        await asyncio.sleep(outcome.latency_s)
        if outcome.error:
            raise ProviderOverloaded("scripted")
        yield WholeReply(deployment, response_of(outcome))


def deployment(name):
    vendor = Vendor(name=name, base_url="http://127.0.0.1:1", codec="openai_chat")
    return Deployment(id=name, vendor=vendor, model=Model(id=f"{name}/m"), upstream_model="m")


def executed(plan, row):
    async def run():
        clock = asyncio.get_running_loop().time
        upstreams = Upstreams(row)
        executor = Executor(upstreams, {n: deployment(n) for n in NAMES}, clock, asyncio.sleep)
        exchange = Exchange(
            REQUEST, Ask(request_id="req_1"), started=0.0, at=datetime(2026, 1, 1, tzinfo=UTC), seed=0
        )
        started = clock()
        try:
            async with executor.open(plan, exchange, REQUEST) as reply:
                response = await reply.response()
                return reply.deployment.id, response, upstreams.spent, clock() - started
        except TurnoutError:
            return None, None, upstreams.spent, clock() - started

    with asyncio.Runner(loop_factory=ClockLoop) as runner:
        return runner.run(run())


def races(plan):
    return any(isinstance(node, Hedge | Fanout) for node in walk(plan))


def repeats(plan):
    return sum(isinstance(node, Try) for node in walk(plan)) > len(deployments(plan))


@given(plans(), rows())
def test_the_simulator_and_the_executor_agree(plan, row):
    assume(not (races(plan) and repeats(plan)))  # which sample a call gets would be a matter of timing
    by, response, spent, took = executed(plan, row)
    found = simulate(plan, row, REQUEST)
    assert found.answered_by == by
    assert found.score == (0.0 if by is None else float(response.choices[0].parts[0].text == "4"))
    if not races(plan):
        assert found.cost_nusd == spent  # a call that lost a race is billed in full, whether it began or not
    else:
        assert found.cost_nusd & spent == spent  # every call that was made is billed: costs are powers of two
    assert found.latency_s == pytest.approx(took)
