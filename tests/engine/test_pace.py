"""Budget pacing: λ follows spending against the plan."""

from datetime import UTC, datetime, timedelta
from math import exp

import pytest

from tests.engine.kit import Turn, config_for, rig
from turnout.config import parse_config
from turnout.engine.pace import Pacer, Pacers, period
from turnout.strategies.modifiers import Paced
from turnout.types.record import Outcome, Record

DAY = datetime(2026, 3, 4, tzinfo=UTC)
PACED = (
    ", strategy: {type: pipeline, score: [{type: cost, lambda: 0}],"
    " modify: [{type: paced, budget_usd: 24, period: day}]}"
)


def at(seconds):
    return DAY + timedelta(seconds=seconds)


def pacer(budget=1440.0, **rules):
    made = Pacer(Paced(budget_usd=budget, period="day", **rules))
    made.pace(at(0))
    return made


def test_on_plan_the_price_of_money_stays() -> None:
    one = pacer()  # one USD a minute
    one.spend(at(30), 1.0)
    assert one.pace(at(60)).lambda_ == pytest.approx(1.0)


def test_ahead_of_plan_it_rises_and_behind_it_falls() -> None:
    one = pacer()
    one.spend(at(30), 3.0)
    assert one.pace(at(60)).lambda_ == pytest.approx(exp(0.1 * 2))
    assert one.pace(at(120)).lambda_ == pytest.approx(exp(0.1 * 2 - 0.1))


def test_what_is_left_is_planned_over_the_rest_of_the_period() -> None:
    one = pacer(budget=1440.0)
    one.spend(at(30), 721.0)
    one.pace(at(60))
    one.spend(at(70), 719.0 / 1439)
    before = one.lambda_
    assert one.pace(at(120)).lambda_ == pytest.approx(before, rel=1e-6)


def test_with_nothing_left_money_is_as_dear_as_it_gets() -> None:
    one = pacer(budget=10.0, most=50.0)
    one.spend(at(10), 10.0)
    one.spend(at(70), 1.0)
    assert one.pace(at(121)).lambda_ == 50.0


def test_it_stays_within_its_bounds() -> None:
    one = pacer(least=0.5, most=2.0)
    assert one.pace(at(7200)).lambda_ == 0.5
    one.spend(at(7230), 1000.0)
    assert one.pace(at(7260)).lambda_ == 2.0


def test_a_new_period_begins_with_a_whole_budget() -> None:
    one = pacer(budget=10.0)
    one.spend(at(10), 9.0)
    one.pace(at(86_400))
    assert one.spent_usd == 0.0


@pytest.mark.parametrize(
    ("word", "begins", "ends"),
    [
        ("hour", datetime(2026, 12, 30, 15, tzinfo=UTC), datetime(2026, 12, 30, 16, tzinfo=UTC)),
        ("day", datetime(2026, 12, 30, tzinfo=UTC), datetime(2026, 12, 31, tzinfo=UTC)),
        ("week", datetime(2026, 12, 28, tzinfo=UTC), datetime(2027, 1, 4, tzinfo=UTC)),
        ("month", datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
    ],
)
def test_periods_follow_the_calendar(word, begins, ends) -> None:
    assert period(word, datetime(2026, 12, 30, 15, 40, 1, tzinfo=UTC)) == (begins, ends)


async def test_a_paced_route_pays_and_its_decisions_say_the_price() -> None:
    text = """
providers: {a: {codec: anthropic, base_url: 'http://a:1/v1', auth: none}}
egress: {allow_http: [a]}
models: [{model: a/m, price: {input: 1000, output: 1000}}]
routes:
  - {name: r, models: [a/m]%s}
  - {name: free, models: [a/m]}
"""
    made = await rig({"a": [Turn(), Turn()]}, config=parse_config(text % PACED, env={}))
    await made.text("turnout/r")
    assert made.built.pacers["r"].spent_usd > 0
    await made.text("turnout/free")
    decision = made.engine.select(made.open("turnout/r").exchange.request, made.ask())
    assert decision.pace.lambda_ == 1.0
    assert decision.objective.lambda_ == 1.0


async def test_what_was_spent_before_the_start_is_read_from_the_journal() -> None:
    made = await rig({"a": []}, config=config_for(["a"], PACED))
    at_noon = datetime.now(UTC)
    journal = made.journal
    for n, route in enumerate(("r", "r", "other")):
        journal.append(record(n, route, at_noon))
    journal.append(record(9, "r", at_noon - timedelta(days=2)))
    pacers = Pacers()
    pacers.keep(made.engine.snapshot.routes)
    await pacers.resume(journal, at_noon)
    assert pacers["r"].spent_usd == pytest.approx(4.0)


async def test_a_reload_keeps_what_was_spent_and_forgets_who_is_gone() -> None:
    made = await rig({"a": []}, config=config_for(["a"], PACED))
    made.built.pacers.spend("r", DAY, 5.0)
    made.built.reload(config_for(["a"], PACED.replace("24", "48")))
    assert (made.built.pacers["r"].spent_usd, made.built.pacers["r"].rules.budget_usd) == (5.0, 48)
    made.built.reload(config_for(["a"]))
    assert not made.built.pacers


def record(n, route, when):
    from turnout.types.record import Asked, Decision, InputView

    decision = Decision(
        decision_id=f"dec_{n}",
        route=route,
        strategy="s",
        asked=Asked(endpoint="chat", dialect="", model="auto", source="auto"),
        input=InputView(n_tokens=1, n_tokens_source="estimate"),
        candidates=(),
        plan={"try": "a/m"},
        kind="single",
        chosen=("a/m",),
        reason="highest_score",
    )
    return Record(
        request_id=f"req_{n}",
        at=when,
        endpoint="chat",
        dialect="",
        decision=decision,
        outcome=Outcome(cost_nusd=2_000_000_000),
    )
