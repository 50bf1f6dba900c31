"""What is counted beside requests."""

from datetime import UTC, datetime

import httpx

from turnout.layers.trace import AccessEvent
from turnout.server.metrics import Metrics
from turnout.types.record import Attempt

PROBE = Attempt(
    n=1,
    deployment="a/m",
    model="a/m",
    provider="a",
    start_s=0.0,
    duration_s=0.1,
    outcome="ok",
    cost_nusd=10**9,
)


def lines(metrics: Metrics, start: str) -> list[str]:
    return [
        line
        for line in metrics.text().decode().splitlines()
        if line.startswith(start) and "_created" not in line
    ]


def test_probes_are_counted_apart_from_requests() -> None:
    metrics = Metrics()
    metrics.probed(PROBE)
    metrics.probed(PROBE)
    assert lines(metrics, "turnout_probe") == [
        'turnout_probes_total{deployment="a/m",outcome="ok",provider="a"} 2.0',
        'turnout_probe_cost_usd_total{deployment="a/m",provider="a"} 2.0',
    ]
    assert lines(metrics, "turnout_requests_total{") == []


def test_changes_of_health_are_counted() -> None:
    metrics = Metrics()
    for change in ("demoted", "restored", "demoted"):
        metrics.changed("a/m", change)
    assert lines(metrics, "turnout_health_changes_total") == [
        'turnout_health_changes_total{change="demoted",deployment="a/m"} 2.0',
        'turnout_health_changes_total{change="restored",deployment="a/m"} 1.0',
    ]


def test_how_certified_requests_ended_is_counted_by_route() -> None:
    metrics = Metrics()
    for ending in ("routed", "routed", "expired"):
        metrics.observe(
            AccessEvent(
                request_id="req_1",
                at=datetime(2026, 11, 22, tzinfo=UTC),
                endpoint="chat",
                dialect="",
                route="r",
                certified=ending,
                total_s=1.0,
                overhead_s=0.0,
            )
        )
    assert lines(metrics, "turnout_certified_requests_total") == [
        'turnout_certified_requests_total{ending="routed",route="r"} 2.0',
        'turnout_certified_requests_total{ending="expired",route="r"} 1.0',
    ]


def test_what_the_cache_did_is_counted_by_route_and_word():
    from datetime import UTC, datetime

    from turnout.layers.trace import AccessEvent
    from turnout.server.metrics import Metrics
    from turnout.types.usage import NanoUsd

    metrics = Metrics()
    for cache, saved, near in (("hit", 3000, False), ("hit", 500, False), ("miss", None, True)):
        metrics.observe(
            AccessEvent(
                request_id="req_1",
                at=datetime(2026, 1, 1, tzinfo=UTC),
                endpoint="chat",
                dialect="",
                route="faq",
                cache=cache,
                saved_nusd=None if saved is None else NanoUsd(saved),
                near=near,
                total_s=0.1,
                overhead_s=0.0,
            )
        )
    text = metrics.text().decode()
    assert 'turnout_cache_total{result="hit",route="faq"} 2.0' in text
    assert 'turnout_cache_total{result="near",route="faq"} 1.0' in text
    assert 'turnout_cache_saved_nusd_total{route="faq"} 3500.0' in text


async def test_metrics_equal_the_journal_whatever_goes_wrong():
    from tests.proofs.counted import differences
    from tests.server.telemetry.test_telemetry import ASKED, observed
    from turnout.stores.base import Query
    from turnout.testing.emulator import Behaviour, Fault

    async with observed("breaker: {enabled: false}") as at, httpx.AsyncClient(timeout=10) as client:
        at.emulator.add("oai-one", behaviour=Behaviour(faults=(Fault(kind="server_error", share=0.5),)))
        at.emulator.add("ant-one", behaviour=Behaviour(faults=(Fault(kind="cut", share=0.5),)))
        for n in range(60):
            model = ("turnout/assistant", "ant/one", "nobody/knows")[n % 3]
            body = {**ASKED, "model": model, "stream": n % 2 == 0}
            await client.post(f"{at.url}/v1/chat/completions", json=body)
        records = (await at.journal.query(Query(order="oldest", limit=1000))).records
        text = at.telemetry.metrics.text().decode()
    assert len(records) == 60
    assert len({record.outcome.error for record in records}) > 2
    assert differences(text, records) == {}
