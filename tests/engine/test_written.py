"""What the journal stores of a decision is the decision, however much of it was encoded before."""

from datetime import UTC, datetime

import msgspec
import pytest

from tests.engine.kit import request
from turnout.compile import compile_snapshot
from turnout.config import parse_config
from turnout.engine.exchange import Exchange
from turnout.engine.route import Router
from turnout.parts import load_catalog
from turnout.stores.base import ENCODER
from turnout.types.ask import Ask, Preferences
from turnout.types.deployment import Stats
from turnout.types.record import Decision

CONFIG = """
providers: {a: %(at)s, b: %(at)s, c: %(at)s}
models:
  - {model: a/m, price: {input: 1, output: 2}}
  - {model: b/m, price: {input: 3, output: 1, reasoning: 4, per_request: 0.01}}
  - {model: c/m, price: {input: 2, output: 2, cache_write_5m: 5}}
routes: [{name: r, models: [a/m, b/m, c/m], strategy: %(strategy)s}]
"""
AT = '{codec: openai_chat, base_url: "http://127.0.0.1:1/v1", auth: none}'
STRATEGIES = (
    "{type: fastest}",
    "{type: cheapest}",
    "{type: priority}",
    "{type: weighted}",
    "{type: least_busy}",
    "{type: round_robin}",
    "{type: two_choices}",
    "{type: pipeline, score: [{type: latency, mu: 0.5}, {type: cost, lambda: 2}]}",
    "{type: pipeline, score: [{type: quality, values: {a/m: 0.5, b/m: 0.7, c/m: 0.6}}]}",
)
SEEN = Stats(
    n_observed=40,
    in_flight=2,
    error_ratio=0.0,
    ttft_p50_s=0.2,
    ttft_p95_s=0.4,
    ttft_recent_s=0.25,
    total_p50_s=1.0,
    total_p95_s=2.0,
    total_recent_s=1.5,
    peak_ewma_s=1.25,
    tokens_per_s=80.0,
)
DECODER = msgspec.msgpack.Decoder(Decision)


def asking(seed=7, **prefer):
    return Exchange(
        request("turnout/r"),
        Ask(request_id="req_1", prefer=Preferences(**prefer)),
        started=0.0,
        at=datetime(2026, 1, 1, tzinfo=UTC),
        seed=seed,
    )


def written_and_decided(router, stats, *, seed=7, **prefer):
    exchange = asking(seed, **prefer)
    routed = router.decide(exchange)
    return (
        DECODER.decode(ENCODER.encode(routed.written(exchange))),
        DECODER.decode(ENCODER.encode(routed.decision(exchange))),
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_is_stored_is_what_was_decided(strategy) -> None:
    config = parse_config(CONFIG % {"at": AT, "strategy": strategy}, env={})
    stats = {}
    router = Router(compile_snapshot(config, load_catalog(config), {}), lambda name: stats.get(name, Stats()))
    moves = ({}, {"a/m": SEEN}, {"a/m": SEEN, "b/m": msgspec.structs.replace(SEEN, total_recent_s=0.5)})
    wishes = ({}, {"allow_fallbacks": False}, {"avoid": ("b/*",)}, {"max_cost_nusd": 10**12})
    for moved in (*moves, *moves):
        stats.clear()
        stats.update(moved)
        for wish in wishes:
            stored, decided = written_and_decided(router, stats, **wish)
            assert stored == decided


def test_nothing_is_kept_of_a_pool_that_was_made_for_one_request() -> None:
    config = parse_config(CONFIG % {"at": AT, "strategy": "{type: fastest}"}, env={})
    config = msgspec.structs.replace(
        config, routes=(msgspec.structs.replace(config.routes[0], models=("a/m", "b/m")),)
    )
    router = Router(compile_snapshot(config, load_catalog(config), {}), lambda _: Stats())
    plain, wished = asking(), asking(fallbacks=("c/m",))
    assert isinstance(router.decide(plain).written(plain).candidates, msgspec.Raw)
    views = router.decide(wished).written(wished).candidates
    assert [view.id for view in views] == ["a/m", "b/m", "c/m"]
