"""Demoted deployments are asked last; those that come back get their share."""

from datetime import UTC, datetime

import msgspec
import pytest

from tests.engine.kit import config_for, request
from turnout import plan as plans
from turnout.compile import compile_snapshot
from turnout.engine.exchange import Exchange
from turnout.engine.route import Router
from turnout.parts import load_catalog
from turnout.types.ask import Ask, Preferences
from turnout.types.deployment import Stats

ILL, BACK = Stats(demoted=True), Stats(share=0.25)
CONFIG = config_for(("a", "b", "c"))
SNAPSHOT = compile_snapshot(CONFIG, load_catalog(CONFIG), {})


def routed(stats, seed=0, **prefer):
    router = Router(SNAPSHOT, lambda name: stats.get(name, Stats()))
    ask = Ask(request_id="req_1", prefer=Preferences(**prefer))
    at = datetime(2026, 1, 1, tzinfo=UTC)
    exchange = Exchange(request("turnout/r"), ask, started=0.0, at=at, seed=seed)
    return router.decide(exchange), exchange


def order(stats, **options):
    return plans.deployments(routed(stats, **options)[0].choice.plan)


def test_a_demoted_one_is_asked_after_all_others() -> None:
    assert order({}) == ("a/m", "b/m", "c/m")
    assert order({"a/m": ILL}) == ("b/m", "c/m", "a/m")


def test_a_demoted_one_is_tried_with_its_small_share() -> None:
    tried = Stats(demoted=True, share=0.02)
    firsts = [order({"a/m": tried}, seed=seed)[0] for seed in range(4000)]
    assert firsts.count("a/m") / 4000 == pytest.approx(0.02, abs=0.008)
    assert order({"a/m": Stats(demoted=True, share=0.0)}) == ("b/m", "c/m", "a/m")


def test_when_all_are_unwell_the_strategy_decides() -> None:
    assert order(dict.fromkeys(("a/m", "b/m", "c/m"), ILL)) == ("a/m", "b/m", "c/m")


def test_a_caller_without_fallbacks_gets_a_well_one_alone() -> None:
    assert order({"a/m": ILL}, allow_fallbacks=False) == ("b/m",)


def test_one_that_comes_back_gets_about_its_share() -> None:
    firsts = [order({"a/m": BACK}, seed=seed)[0] for seed in range(2000)]
    assert firsts.count("a/m") / 2000 == pytest.approx(0.25, abs=0.03)
    assert set(firsts) == {"a/m", "b/m"}


def test_a_draw_has_no_propensity_and_the_decision_says_why() -> None:
    found, exchange = routed({"a/m": BACK, "b/m": ILL})
    decision = found.decision(exchange)
    assert decision.propensity is None or decision.chosen[0] == "a/m"
    views = {c.id: c.health for c in decision.candidates}
    assert (views["a/m"].share, views["b/m"].demoted) == (0.25, True)
    assert msgspec.to_builtins(views["c/m"]) == {"state": "closed", "error_rate": None, "cooldown_s": 0.0}


def test_equal_seeds_decide_equally() -> None:
    assert all(order({"a/m": BACK}, seed=7) == order({"a/m": BACK}, seed=7) for _ in range(5))
