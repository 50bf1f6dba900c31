"""How much each deployment writes: learnt by route, used for money, cut at the limit, kept in the Record."""

import pytest

from tests.engine.kit import Turn, rig
from tests.strategies.kit import candidate, context, price
from turnout.config import parse_config
from turnout.engine.outputs import MIN_SEEN, SETTLED, Outputs
from turnout.strategies.base import expected_nusd, n_tokens_out
from turnout.strategies.filters import Priced
from turnout.strategies.scorers.cost import Cost

TERSE, WORDY = candidate("v/terse"), candidate("v/wordy")


def seen(route="r", deployment="v/m", *numbers):
    made = Outputs()
    for n in numbers:
        made.note(route, deployment, n)
    return made


def test_few_answers_say_nothing_and_enough_say_their_mean_cut_at_the_limit() -> None:
    assert seen("r", "v/m", *[100] * (MIN_SEEN - 1)).of("r", 4096) == {}
    known = seen("r", "v/m", 100, 200, 300, 400, 500)
    assert (known.of("r", 4096), known.of("r", 50), known.of("other", 4096)) == (
        {"v/m": 300},
        {"v/m": 50},
        {},
    )


def test_what_a_model_writes_now_replaces_what_it_wrote() -> None:
    changed = seen("r", "v/m", *[100] * 100, *[1000] * (3 * SETTLED))
    assert changed.of("r", 4096)["v/m"] == pytest.approx(1000, rel=0.06)


def test_answers_of_which_nothing_was_counted_are_not_taken_in() -> None:
    assert seen("r", "v/m", *[0] * 50).of("r", 4096) == {}


def test_scorer_estimates_and_filters_reckon_with_what_each_one_writes() -> None:
    ctx = context(n_tokens_in=0, n_tokens_out=500, tokens_out={"v/terse": 100, "v/wordy": 2000})
    other = candidate("v/other")
    assert [n_tokens_out(ctx, c.deployment) for c in (TERSE, WORDY, other)] == [100, 2000, 500]
    assert Cost().score(ctx, [TERSE, WORDY, other]) == pytest.approx([-0.0001, -0.002, -0.0005])
    assert [expected_nusd(ctx, c.deployment) for c in (TERSE, WORDY, other)] == [100_000, 2_000_000, 500_000]
    mixed = context(n_tokens_in=1000, n_tokens_out=500, tokens_out={"v/terse": 0, "v/wordy": 2000})
    dear = [candidate(c.id, price(1.0, 10.0)) for c in (TERSE, WORDY)]
    assert [Priced(max_cost_per_1k=0.005).drop(mixed, c) for c in dear] == [None, "too_expensive_per_1k"]


async def test_an_engine_learns_from_the_answers_it_passed_on() -> None:
    text = """
providers: {a: {codec: anthropic, base_url: 'http://a:1/v1', auth: none}}
egress: {allow_http: [a]}
models: [{model: a/m, price: {input: 1, output: 1000000}}]
routes: [{name: r, models: [a/m]}]
"""
    made = await rig({"a": [Turn() for _ in range(MIN_SEEN)]}, config=parse_config(text, env={}))

    def view():
        return made.engine.select(made.open("turnout/r").exchange.request, made.ask()).candidates[0]

    before = view()
    for _ in range(MIN_SEEN):
        await made.text("turnout/r")
    after = view()
    assert (before.n_tokens_out, after.n_tokens_out is not None) == (None, True)
    assert after.cost_nusd.mean < before.cost_nusd.mean
