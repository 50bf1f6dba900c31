"""Rules over a running gateway: what each of them reads, and an incident from first call to last notice."""

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from msgspec.structs import replace

from tests.server.admin.kit import desked
from tests.server.kit import Fault, rig
from turnout.config import parse_config
from turnout.errors import ConfigError
from turnout.jobs.alerts.ask import Asker
from turnout.jobs.alerts.judged import quality_drop
from turnout.jobs.alerts.rules import (
    Budgets,
    CacheDrop,
    Expiring,
    GuardRise,
    ProviderErrors,
    QualityDrop,
    Retirement,
    Slow,
    Spend,
    Spool,
    Stores,
)
from turnout.jobs.alerts.spending import Forecast, limit_of
from turnout.jobs.alerts.watch import Watch
from turnout.server.alerting import Alerting, world_of
from turnout.stores.feedback.base import QualityDay
from turnout.stores.memory import MemoryJournal
from turnout.testing.store import example_record
from turnout.types.usage import NanoUsd

NOW = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
CALL = {"model": "oai/one", "messages": [{"role": "user", "content": "hi"}]}


@asynccontextmanager
async def listening():
    """Serve HTTP; yield an address, and the bodies that arrive."""
    arrived = []

    async def serve(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        arrived.append(json.loads(await reader.readexactly(length)))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook", arrived


async def test_failing_calls_become_an_alert_and_a_recovery_ends_it(tmp_path) -> None:
    async with listening() as (url, arrived):
        config = (
            f"alerts: {{path: '{tmp_path}/alerts.db', receivers: {{chat: {{type: slack, url: '{url}'}}}},\n"
            "  rules: {provider_errors: {type: provider_errors, min_calls: 3, keep_s: 60}}}"
        )
        async with rig(config) as running, httpx.AsyncClient(base_url=running.url) as http:
            alerting = Alerting(running.built, lambda: None)
            assert alerting.open()
            clock = {"now": datetime.now(UTC)}
            asker = Asker(alerting.world)
            watch = Watch("w", alerting.kept, asker.ask, alerting.setup, lambda: clock["now"])

            counted = []
            watch.count = lambda *said: counted.append(said)

            async def later(seconds):
                clock["now"] += timedelta(seconds=seconds)
                await watch.round()

            running.behave("oai-one", Fault(kind="server_error"))
            for _ in range(4):
                assert (await http.post("/v1/chat/completions", json=CALL)).status_code >= 500
            await later(0)
            await later(30)
            shown = await running.built.alerts.state()
            (alert,) = (each for each in shown.alerts if each.rule == "provider_errors")
            assert (alert.state, dict(alert.labels), alert.limit) == ("firing", {"provider": "oai"}, 0.02)
            assert alerting.gauges()["turnout_alerts_firing", "critical"] == 1
            running.behave("oai-one")
            await later(400)  # the failures are outside the window
            for _ in range(9):
                record = replace(example_record(_, provider="oai"), at=clock["now"])
                running.journal.append(record)
            await later(30)
            await later(61)
            assert [said for said in counted if said[0] == "provider_errors"] == [
                ("provider_errors", "firing"),
                ("provider_errors", "resolved"),
            ]
            assert await running.built.alerts.test("chat") is None
            await alerting.close()
    about = [each["text"] for each in arrived if "at oai failed" in each["text"] or "a test" in each["text"]]
    assert [text.split(": ")[0] for text in about] == [
        "[critical] firing",
        "[critical] resolved",
        "[info] firing",
        "[info] resolved",
    ]


def record(n, at, *, cost=0, **outcome):
    made = example_record(n, model="oai/one", provider="oai")
    end = replace(made.outcome, cost_nusd=NanoUsd(cost), **outcome)
    return replace(made, request_id=f"req_{n:026d}", at=at, outcome=end)


@pytest.fixture
async def world():
    async with rig() as running:
        yield replace(world_of(running.built, lambda: None), journal=MemoryJournal(100_000))


async def test_latencies_over_a_limit_are_read_of_who_was_asked_often_enough(world) -> None:
    for n in range(60):
        world.journal.append(record(n, NOW - timedelta(seconds=60), total_s=4.0))
    rules = {"slow": Slow(total_s=3.0), "lax": Slow(total_s=9.0), "few": Slow(total_s=3.0, min_calls=100)}
    found = await Asker(world).ask(rules, NOW)
    by_rule = {each.rule: [(dict(r.labels), r.breach) for r in each.readings] for each in found}
    about = {"model": "oai/one", "of": "total time"}
    assert by_rule == {"slow": [(about, True)], "lax": [(about, False)], "few": [(about, None)]}


async def test_a_provider_that_is_down_is_seen_though_its_circuits_let_few_attempts_through(world) -> None:
    found = []
    for n in range(8):
        made = example_record(n, provider="oai", error="provider_error" if n < 5 else None)
        world.journal.append(replace(made, at=NOW - timedelta(seconds=60)))
        ((reading,),) = [each.readings for each in await Asker(world).ask({"e": ProviderErrors()}, NOW)]
        found.append(reading.breach)
    assert found == [None, None, None, None, True, True, True, True]


async def test_cache_and_guards_are_measured_against_the_week_before(world) -> None:
    for n in range(300):
        at = NOW - timedelta(days=2, seconds=n)
        world.journal.append(record(n, at, cache="hit" if n % 2 else "miss"))
    for n in range(300, 600):
        world.journal.append(record(n, NOW - timedelta(seconds=n), cache="hit" if n % 10 == 0 else "miss"))
    found = await Asker(world).ask({"cache": CacheDrop(), "guards": GuardRise()}, NOW)
    assert [[(r.breach, r.text) for r in each.readings] for each in found] == [
        [(True, "10.0% of 300 requests were answered from the cache (usual 50.0%)")],
        [(False, "guards found something in 0.0% of 300 requests (usual 0.0%)")],
    ]


def test_an_hour_is_forecast_by_its_hour_of_the_week_and_one_wild_week_does_not_move_it() -> None:
    at = datetime(2026, 3, 4, 12, tzinfo=UTC)
    costs = [10.0, 11.0, 9.0, 10.0, 500.0, 10.0]
    past = {at - timedelta(weeks=n): cost for n, cost in enumerate(costs, 1)}
    rule = Spend(factor=4, times=1.5, min_usd=2)
    assert limit_of(rule, past, at) == 15.0
    assert limit_of(rule, {at - timedelta(days=n): 10.0 for n in range(1, 7)}, at) == 15.0
    assert limit_of(rule, {at - timedelta(days=n): 10.0 for n in range(1, 4)}, at) is None
    assert limit_of(rule, {}, at) is None


async def test_money_that_runs_away_is_seen_within_its_hour(world) -> None:
    hour = NOW.replace(minute=0)
    for n in range(1, 9):
        world.journal.append(record(n, hour - timedelta(weeks=n), cost=2_000_000_000))
    forecast, rule = Forecast(), Spend(min_usd=1)
    (before,) = await forecast.readings(rule, world, NOW)
    world.journal.append(record(99, hour + timedelta(minutes=20), cost=50_000_000_000))
    (after,) = await forecast.readings(rule, world, NOW)
    assert (before.breach, after.breach, after.value, after.limit) == (False, True, 50.0, 3.0)
    assert after.text == "the hour from 2026-03-04 12:00 UTC cost $50.00 (unusual from $3.00)"


async def test_budgets_keys_and_what_cannot_be_read(tmp_path) -> None:
    limit = "usd: 0.00001, hard: false, thresholds: [{at: 0.9}]"
    budget = f"budgets: [{{id: all, level: provider, {limit}}}]\n"
    async with desked(tmp_path, extra=budget) as found:
        soon = (datetime.now(UTC) + timedelta(days=3)).isoformat()
        await found.issue("short", role="call", organisation="own", expires=soon)
        for _ in range(2):
            await found.ask(found.keys["short"])
        world = world_of(found.rig.built, lambda: found.office)
        used = await world.budgets()
        assert {(each.budget.id, each.subject) for each in used} >= {("all", "oai"), ("all", "ant")}
        (checked_,) = await Asker(world).ask({"budget": Budgets()}, NOW)
        assert [r.severity for r in checked_.readings if r.breach] == [
            "info",
            "warning",
            "warning",
            "critical",
        ]
        assert {r.labels["subject"] for r in checked_.readings if r.breach} == {"oai"}
        rules = {"expiring": Expiring(), "stores": Stores(), "spool": Spool(), "retirement": Retirement()}
        checked = {each.rule: each for each in await Asker(world).ask(rules, NOW)}
        assert [list(r.labels) for r in checked["expiring"].readings] == [["key"]]
        assert [(r.labels["store"], r.breach) for r in checked["stores"].readings] == [
            ("journal", False),
            ("ledger", False),
        ]
        no_journal = replace(world, journal=None)
        (failed,) = await Asker(no_journal).ask({"e": ProviderErrors()}, NOW)
        assert failed.problem == "store_unavailable: the journal is off: journal.enabled"


async def test_quality_drops_when_judges_surely_say_so(world) -> None:
    class Judged:
        def __init__(self, score):
            self.score = score

        async def quality(self, route, since, until, organisation):
            day = (NOW - datetime(1970, 1, 1, tzinfo=UTC)).days
            rows = [(day - 10, 4000, 0.9), (day - 1, 2000, self.score)]
            return tuple(
                QualityDay(
                    day=at, n=n, weight=float(n), weight_squared=float(n), total=n * mean, squares=n * mean
                )
                for at, n, mean in rows
            )

    listening_ = replace(world.snapshot().listening, samples={"assistant": None})
    snapshot = replace(world.snapshot(), listening=listening_)
    found = []
    for score in (0.7, 0.87):
        here = replace(world, snapshot=lambda: snapshot, feedback=Judged(score))
        (reading,) = await quality_drop(QualityDrop(), here, NOW)
        found.append((reading.breach, dict(reading.labels), reading.value))
    assert found == [(True, {"route": "assistant"}, 0.7), (False, {"route": "assistant"}, 0.87)]


BASE = (
    "providers: {o: {vendor: openai, base_url: 'http://127.0.0.1:9/v1', secret: x}}\nmodels: [{model: o/m}]\n"
)


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ("receivers: {a: {type: slack, url: 'http://10.0.0.1/x?token=SECRET'}}", "alerts.receivers.a.url: "),
        ("receivers: {a: {type: webhook, url: 'ftp://h/SECRET'}}", "alerts.receivers.a.url: scheme"),
        (
            "receivers: {a: {type: email, host: mail.example.com, security: none, from: a@b, to: [c@d]}}",
            "mail in clear is handed to loopback only",
        ),
        ("rules: {slow: {type: budget}}", "a rule of this name replaces the default of its type"),
        ("rules: {x: {type: budget, receivers: [nobody]}}", "there is no receiver 'nobody'"),
        ("mutes: [{zone: Nowhere/City}]", "no time zone 'Nowhere/City'"),
    ],
)
async def test_what_makes_no_sense_is_refused_without_an_address(section, problem) -> None:
    from turnout.build import build

    with pytest.raises(ConfigError) as failure:
        await build(parse_config(f"{BASE}alerts: {{{section}}}", env={}), {})
    assert any(problem in each for each in failure.value.problems), failure.value.problems
    assert "SECRET" not in str(failure.value.problems)
