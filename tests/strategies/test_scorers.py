"""What each scorer makes of its numbers."""

from datetime import date
from math import isnan

import pytest

from tests.strategies.kit import DAY, candidate, context, scores
from turnout.catalog.benchmarks import Score, Scores
from turnout.errors import ConfigError
from turnout.strategies.base import Setting
from turnout.strategies.modifiers import Paced
from turnout.strategies.orders.balance import rotation
from turnout.strategies.scorers.benchmarks import Benchmarks
from turnout.strategies.scorers.cost import Cost
from turnout.strategies.scorers.latency import quantile
from turnout.strategies.scorers.quality import Quality

POOL = tuple(candidate(f"{name}/m") for name in "abcd")


def setting(known, today=date(2026, 7, 1), pool=POOL):
    return Setting(pool=tuple(c.deployment for c in pool), scores=known, today=today)


def index(known, **fields):
    return dict(Benchmarks(**fields).bind(setting(known)).index or {})


def table(**more):
    return scores(quiz={"a/m": 10, "b/m": 50, "c/m": 90}, **more)


def test_minmax_spans_the_pool_and_a_gap_is_filled_with_its_lower_quartile():
    assert index(table(), weights={"quiz": 1}, min_coverage=0) == {"a/m": 0, "b/m": 0.5, "c/m": 1}
    filled = index(table(code={"a/m": 1, "b/m": 2, "c/m": 3, "d/m": 4}), weights={"quiz": 0.5, "code": 0.5})
    assert filled["d/m"] == pytest.approx((0.25 + 1) / 2)


def test_z_standardises_and_clips():
    found = index(table(), weights={"quiz": 1}, normalise="z")
    assert found["b/m"] == pytest.approx(0.5)
    assert found["c/m"] == pytest.approx((1.2247 + 3) / 6, abs=1e-4)


def test_equal_scores_say_nothing():
    assert index(scores(quiz={"a/m": 7, "b/m": 7}), weights={"quiz": 1}) == {"a/m": 0.5, "b/m": 0.5}


def test_lower_is_better_is_turned_round():
    rows = [
        Score(model=m, benchmark="errors", score=s, higher_is_better=False, date=DAY, source="test")
        for m, s in (("a/m", 1.0), ("b/m", 3.0))
    ]
    assert index(Scores(rows), weights={"errors": 1}) == {"a/m": 1, "b/m": 0}


GAPPY = {"quiz": {"a/m": 0, "b/m": 50, "c/m": 100}, "code": {"a/m": 0, "c/m": 100, "d/m": 50}}
HALF = {"quiz": 0.5, "code": 0.5}


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ("low", {"a/m": 0, "b/m": 0.375, "c/m": 1, "d/m": 0.375}),
        ("renormalise", {"a/m": 0, "b/m": 0.5, "c/m": 1, "d/m": 0.5}),
        ("exclude", {"a/m": 0, "c/m": 1}),
    ],
)
def test_missing_scores_follow_the_declared_rule(missing, expected):
    assert index(scores(**GAPPY), weights=HALF, missing=missing) == pytest.approx(expected)


def test_a_model_with_too_little_coverage_has_no_index():
    thin = {"quiz": 0.8, "code": 0.2}
    assert set(index(scores(**GAPPY), weights=thin)) == {"a/m", "b/m", "c/m"}


def test_an_old_score_is_a_missing_one():
    with pytest.raises(ConfigError, match="no model of the route has scores"):
        index(table(), weights={"quiz": 1}, max_age_days=10)
    assert set(index(table(), weights={"quiz": 1}, max_age_days=100)) == {"a/m", "b/m", "c/m"}


def test_regress_reads_a_missing_score_off_the_others():
    pool = tuple(candidate(f"p/m{n}") for n in range(10))
    linear = {
        "quiz": {f"p/m{n}": float(n) for n in range(10)},
        "code": {f"p/m{n}": float(n) for n in range(10) if n != 6},
    }
    made = Benchmarks(weights=HALF, missing="regress").bind(setting(scores(**linear), pool=pool))
    assert made.index["p/m6"] == pytest.approx(6 / 9, abs=0.03)
    with pytest.raises(ConfigError, match="regress needs 8 models with every score, the route has 2"):
        index(scores(**GAPPY), weights=HALF, missing="regress")


def test_one_model_less_in_a_request_reorders_nobody():
    made = Benchmarks(weights={"quiz": 1}).bind(setting(table()))
    assert made.score(context(), POOL[:2]) == [0.0, 0.5]


def test_the_callers_own_weights_replace_the_configured_ones():
    made = Benchmarks(weights=HALF).bind(setting(scores(**GAPPY)))
    only_quiz = context(prefer={"weights": {"quiz": 1.0, "unheard_of": 5.0}})
    assert made.score(only_quiz, POOL[:3]) == [0.0, 0.5, 1.0]


def test_quality_is_the_mean_of_what_all_scored_models_share():
    known = scores(quiz={"a/m": 40, "b/m": 60}, code={"a/m": 80})
    numbers = Quality().bind(setting(known)).score(context(), POOL[:3])
    assert numbers[:2] == [0.4, 0.6]
    assert isnan(numbers[2])


def test_a_declared_quality_stands_before_a_benchmark():
    made = Quality(values={"a/m": 0.9}, benchmark="quiz").bind(setting(table()))
    assert made.score(context(), POOL[:2]) == [0.9, 0.5]


def test_cost_counts_tokens_as_each_deployment_does():
    more = context(tokens_in={"a/m": 3000})
    assert Cost().score(more, POOL[:2]) == [pytest.approx(-0.004), pytest.approx(-0.002)]


def test_quantiles_meet_the_two_that_are_observed():
    assert quantile(1.0, 4.0, 0.5) == pytest.approx(1.0)
    assert quantile(1.0, 4.0, 0.95) == pytest.approx(4.0, rel=1e-3)
    assert 1.0 < quantile(1.0, 4.0, 0.8) < 4.0 < quantile(1.0, 4.0, 0.99)


def test_pacing_moves_lambda_with_the_overspend_and_keeps_its_bounds():
    paced = Paced(budget_usd=100, least=0.5, most=20)
    assert paced.step(10, spent_usd=1, planned_usd=1) == 10
    assert paced.step(10, spent_usd=2, planned_usd=1) == pytest.approx(10 * 2.718281828**0.1)
    assert paced.step(10, spent_usd=1e9, planned_usd=1) == 20
    assert paced.step(0.5, spent_usd=0, planned_usd=1) == 0.5
    assert paced.step(10, spent_usd=1, planned_usd=0) == 20


@pytest.mark.parametrize(
    ("weights", "turns"),
    [
        ((1, 1, 1), (0, 1, 2)),
        ((5, 1, 1), (0, 0, 1, 0, 2, 0, 0)),
        ((200, 100), (0, 1, 0)),
        ((0, 3), (1,)),
        ((0, 0), (0, 1)),
    ],
)
def test_a_rotation_gives_each_its_weight_evenly_spread(weights, turns):
    assert rotation(weights) == turns
