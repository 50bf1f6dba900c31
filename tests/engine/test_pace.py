"""Budget pacing: λ follows spending against the plan."""

import asyncio
from datetime import UTC, datetime, timedelta
from math import exp

import pytest
from msgspec import structs

from tests.engine.kit import Turn, rig
from turnout.compile import compile_snapshot
from turnout.config import parse_config
from turnout.engine.pace import Pacer, Pacers, period, share
from turnout.errors import ConfigError, StoreUnavailable
from turnout.parts import load_catalog
from turnout.stores.memory import MemoryJournal
from turnout.stores.spool.journal import SpooledJournal
from turnout.stores.sqlite import SqliteRows
from turnout.strategies.modifiers import Paced
from turnout.types.record import Outcome, Record

DAY = datetime(2026, 3, 4, tzinfo=UTC)
PACED = (
    ", strategy: {type: pipeline, score: [{type: cost, lambda: 0}],"
    " modify: [{type: paced, budget_usd: 24, period: day}]}"
)


def config_for(hosts, extra="", price=", price: {input: 1, output: 2}"):
    rows = ", ".join(f"{h}: {{codec: anthropic, base_url: 'http://{h}:1/v1', auth: none}}" for h in hosts)
    models = ", ".join(f"{{model: {h}/m, id: {h}{price}}}" for h in hosts)
    return parse_config(
        f"providers: {{{rows}}}\nmodels: [{models}]\negress: {{allow_http: [{', '.join(hosts)}]}}\n"
        f"routes:\n  - {{name: r, models: [{', '.join(hosts)}]{extra}}}\n",
        env={},
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
    made.built.pacers.spend("r", datetime.now(UTC), 5.0)
    made.built.reload(config_for(["a"], PACED.replace("24", "48")))
    assert (made.built.pacers["r"].spent_usd, made.built.pacers["r"].rules.budget_usd) == (5.0, 48)
    made.built.reload(config_for(["a"]))
    assert not made.built.pacers


def stored(journal, *ids, usd=2.0, route="r", when=DAY):
    for n in ids:
        made = record(n, route, when)
        journal.append(structs.replace(made, outcome=Outcome(cost_nusd=round(usd * 1e9))))


async def sharing():
    made = Pacers()
    one = await rig({"a": []}, config=config_for(["a"], PACED))
    made.keep(one.engine.snapshot.routes)
    return made, MemoryJournal()


async def test_what_other_processes_spent_is_read_once_per_interval_and_no_row_counts_twice() -> None:
    pacers, journal = await sharing()
    stored(journal, 1)
    await pacers.resume(journal, at(0))
    pacers.spend("r", at(5), 2.0, "req_2")
    stored(journal, 2, 3, when=at(5))
    stored(journal, 4, route="other", when=at(5))
    assert pacers["r"].spent_usd == pytest.approx(4.0)
    for seconds in (60, 120):
        await pacers.resume(journal, at(seconds))
        assert pacers["r"].spent_usd == pytest.approx(6.0)


async def test_what_others_spend_moves_the_price_of_money() -> None:
    pacers, journal = await sharing()
    await pacers.resume(journal, at(0))
    alone = pacers.pace("r", at(0))
    stored(journal, 1, usd=5.0, when=at(10))
    await pacers.resume(journal, at(59))
    assert pacers.pace("r", at(60)).lambda_ > alone.lambda_


async def test_a_route_that_is_paced_from_a_reload_on_begins_with_what_was_spent() -> None:
    pacers, journal = await sharing()
    await pacers.resume(journal, at(0))
    stored(journal, 1, route="late", when=at(1))
    one = await rig({"a": []}, config=config_for(["a"], PACED))
    pacers.keep(dict.fromkeys(("r", "late"), one.engine.snapshot.routes["r"]))
    for seconds in (60, 120):
        await pacers.resume(journal, at(seconds))
        assert (pacers["r"].spent_usd, pacers["late"].spent_usd) == (0.0, pytest.approx(2.0))


def test_a_request_that_ends_after_midnight_counts_for_neither_day() -> None:
    one = pacer(budget=10.0)
    one.spend(at(86_401), 3.0)
    one.spend(at(86_399), 5.0)
    assert one.spent_usd == 3.0


async def test_sharing_goes_on_when_the_journal_cannot_be_read_for_a_while() -> None:
    pacers, journal = await sharing()
    stored(journal, 1)
    broken, waits = Broken(journal), []

    async def sleep(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await share(pacers, broken, sleep, lambda: at(60))
    assert (waits, pacers["r"].spent_usd) == ([60.0, 60.0, 60.0], pytest.approx(2.0))


async def test_two_processes_on_one_file_come_to_the_same_sum(tmp_path) -> None:
    journals = [SpooledJournal(SqliteRows(tmp_path / "j.db"), tmp_path / f"spool{n}") for n in (1, 2)]
    both = [(await sharing())[0] for _ in journals]
    for pacers, journal in zip(both, journals, strict=True):
        await pacers.resume(journal, at(0))
    for n, (pacers, journal) in enumerate(zip(both, journals, strict=True)):
        pacers.spend("r", at(1), 2.0, f"req_{n}")
        stored(journal, n, when=at(1))
        await journal.flush()
    for pacers, journal in zip(both, journals, strict=True):
        await pacers.resume(journal, at(60))
        assert pacers["r"].spent_usd == pytest.approx(4.0)
        await journal.close()


class Broken(MemoryJournal):
    """Cannot be read at first."""

    def __init__(self, journal):
        super().__init__()
        self.journal, self.n = journal, 0

    async def query(self, query):
        self.n += 1
        if self.n == 1:
            raise StoreUnavailable("journal: locked")
        return await self.journal.query(query)


INNER = "{type: cheapest, modify: [{type: paced, budget_usd: %d, period: day}]}"


@pytest.mark.parametrize(
    "strategy",
    [
        "{type: rules, rules: [{when: stream, use: INNER}], otherwise: {use: {type: priority}}}",
        "{type: schedule, windows: [{from: '09:00', to: '17:00', strategy: INNER}], otherwise: INNER}",
        "INNER",
    ],
)
async def test_pacing_is_found_wherever_it_stands(strategy) -> None:
    config = config_for(["a"], ", strategy: " + strategy.replace("INNER", INNER % 24))
    made = await rig({"a": []}, config=config)
    assert made.built.pacers["r"].rules.budget_usd == 24
    await made.built.close()


@pytest.mark.parametrize(
    ("strategy", "line"),
    [
        (
            "{type: pipeline, order: {type: round_robin}, modify: [{type: paced, budget_usd: 1}]}",
            "routes[0].strategy: paced has no effect in pipeline: its order round_robin does not go by cost",
        ),
        (
            f"{{type: rules, rules: [{{when: stream, use: {INNER % 1}}}], otherwise: {{use: {INNER % 2}}}}}",
            "routes[0].strategy: paced stands here with different budgets; write the same one everywhere",
        ),
    ],
)
def test_what_cannot_be_paced_is_refused_at_load(strategy, line) -> None:
    config = config_for(["a"], ", strategy: " + strategy)
    with pytest.raises(ConfigError) as refused:
        compile_snapshot(config, load_catalog(config), {})
    assert refused.value.problems == (line,)


def test_without_a_price_there_is_nothing_to_pace() -> None:
    config = config_for(["a"], PACED, price="")
    with pytest.raises(ConfigError, match=r"routes\[0\]\.strategy: paced needs prices, and no model has one"):
        compile_snapshot(config, load_catalog(config), {})


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
