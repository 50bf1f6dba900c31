"""Metrics: by hand on small inputs, and the known aggregates of published outcomes."""

import math

import numpy as np
import pytest

from turnout.evaluate.metrics import (
    Deferral,
    Interval,
    aiq_range,
    aiq_range_log,
    aiq_repo,
    apgr,
    apgr_10,
    apgr_quantiles,
    brier,
    cpt,
    deferral,
    ece,
    gap_auc,
    generator,
    hull,
    paired_bootstrap,
    pgr_curve,
    regret,
)

STRONG = [1.0, 1.0, 0.0, 1.0]
WEAK = [0.0, 1.0, 1.0, 0.0]
"""The strong model gains 1, 0, -1, 1."""


def test_the_gap_recovered_follows_the_order_of_the_wishes():
    assert pgr_curve([4, 3, 2, 1], STRONG, WEAK).tolist() == [0, 1, 1, 0, 1]
    assert pgr_curve([3, 2, 1, 3], STRONG, WEAK).tolist() == [0, 1, 2, 2, 1]


def test_tied_wishes_are_worth_the_mean_over_their_orders():
    assert pgr_curve([2, 1, 2, 1], STRONG, WEAK).tolist() == [0, 0, 0, 0.5, 1]
    assert pgr_curve([7, 7, 7, 7], STRONG, WEAK).tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_a_router_that_knows_nothing_has_half_the_area():
    curve = pgr_curve([7] * 4, STRONG, WEAK)
    assert (apgr(curve), apgr_10(curve)) == (0.5, pytest.approx(0.55))


def test_the_area_is_exact():
    assert apgr(pgr_curve([4, 3, 2, 1], STRONG, WEAK)) == (0.5 + 1 + 0.5 + 0.5) / 4


def test_the_order_of_rows_changes_nothing():
    random = generator("rows", 1)
    wish, gain = random.integers(0, 5, 200), random.random(200)
    rows = random.permutation(200)
    assert pgr_curve(wish, gain, np.zeros(200)) == pytest.approx(
        pgr_curve(wish[rows], gain[rows], np.zeros(200))
    )


def test_deciles_of_the_router_give_nearly_the_exact_area():
    random = generator("deciles", 1)
    strong = (random.random(5000) < 0.8).astype(float)
    weak = (random.random(5000) < 0.6).astype(float)
    wish = random.random(5000) + strong - weak
    exact = apgr(pgr_curve(wish, strong, weak))
    assert apgr_quantiles(wish, strong, weak) == pytest.approx(exact, abs=0.02)
    assert apgr_quantiles([7] * 4, STRONG, WEAK) == 0.5


def test_the_share_of_strong_calls_for_a_target_is_the_smallest_one():
    curve = pgr_curve([3, 2, 1, 3], STRONG, WEAK)
    assert [cpt(curve, p) for p in (0, 0.5, 1.5, 2, 2.1)] == [0, 0.25, 0.5, 0.5, None]


def test_without_a_gap_there_is_nothing_to_recover():
    with pytest.raises(ValueError, match="no gap to recover"):
        pgr_curve([1, 2], [1, 0], [0, 1])


def test_the_hull_keeps_what_no_mixture_beats():
    curve = hull([3, 1, 2, 4, 1, 5], [0.9, 0.5, 0.6, 0.8, 0.4, 1.0])
    assert (curve.costs.tolist(), curve.qualities.tolist()) == ([1, 3, 5], [0.5, 0.9, 1.0])
    assert [curve.at(cost) for cost in (0.9, 1, 2, 4, 9)] == pytest.approx([0, 0.5, 0.7, 0.95, 1.0])


def test_a_dearer_and_worse_model_is_not_on_the_hull():
    curve = hull([1, 2], [0.9, 0.5])
    assert (curve.costs.tolist(), curve.qualities.tolist()) == ([1], [0.9])


def test_quality_is_averaged_over_the_range_of_the_pool():
    assert aiq_range(hull([1, 3], [0.5, 0.9]), 1, 3) == pytest.approx(0.7)
    assert aiq_range(hull([2], [0.8]), 1, 3) == pytest.approx(0.4)  # nothing up to 2, then 0.8
    assert aiq_range(hull([0.5, 2], [0.5, 0.8]), 1, 3) == pytest.approx((0.7 + 0.8) / 2)
    assert aiq_range(hull([4], [0.8]), 1, 3) == 0


def test_on_log_cost_every_doubling_weighs_the_same():
    assert aiq_range_log(hull([1], [0.6]), 1, 4) == pytest.approx(0.6)
    assert aiq_range_log(hull([2], [0.8]), 1, 4) == pytest.approx(0.4)
    by_hand = (0.3 * math.log(3) + 0.2 * 2) / math.log(3)  # 0.3 + 0.2 c over log c
    assert aiq_range_log(hull([1, 3], [0.5, 0.9]), 1, 3) == pytest.approx(by_hand)
    with pytest.raises(ValueError, match="above 0"):
        aiq_range_log(hull([0], [1]), 0, 1)


def test_the_published_convention_starts_at_the_routers_own_minimum():
    assert aiq_repo(hull([1, 3], [0.5, 0.9]), 4) == pytest.approx((0.7 * 2 + 0.9) / 4)


def test_a_sweep_is_measured_against_the_best_single_model():
    assert deferral([4, 1, 2], [0.9, 0.5, 0.8], best_cost=4, best_quality=0.8) == Deferral(
        audc=pytest.approx(0.25 * 0.65 + 0.5 * 0.85), qnc=0.5, peak=0.9
    )
    assert deferral([1, 2], [0.5, 0.6], best_cost=4, best_quality=0.8).qnc == math.inf


def test_regret_is_what_the_best_choice_would_have_added():
    assert regret([[1, 0], [0.25, 0.75]], [0, 0]) == 0.25


def test_predictions_are_scored():
    assert brier([0.5, 1.0], [1, 1]) == 0.125
    assert ece([0.1, 0.1, 0.9, 0.9], [0, 0, 1, 0], n_bins=2) == pytest.approx((0.1 + 0.4) / 2)
    assert ece([0.2], [1]) == pytest.approx(0.8)


def test_gap_auc_ranks_only_where_models_differ():
    assert gap_auc([0.9, 0.1, -0.5, 0.3], [1, 0, -1, -1]) == 1.0
    assert gap_auc([0.3, 0.3], [1, -1]) == 0.5
    assert gap_auc([0.1, 0.3], [1, -1]) == 0.0
    assert gap_auc([0.1, 0.3], [1, 0]) is None


def test_the_bootstrap_is_deterministic_and_resamples_groups():
    random = generator("data", 0)
    difference = random.normal(0.1, 1, 400)
    single = paired_bootstrap(difference, np.arange(400), name="a")
    assert single == paired_bootstrap(difference, np.arange(400), name="a")
    assert single != paired_bootstrap(difference, np.arange(400), name="b")
    half = 1.96 * difference.std() / 20
    assert (single.low, single.high) == pytest.approx((single.mean - half, single.mean + half), abs=0.02)
    doubled = paired_bootstrap(np.repeat(difference, 4), np.repeat(np.arange(400), 4), name="a")
    assert (doubled.low, doubled.high) == pytest.approx((single.low, single.high))


def test_an_interval_says_whether_there_is_a_difference():
    assert [Interval(0.1, *ends).contains_zero for ends in ((-0.1, 0.3), (0.01, 0.2))] == [True, False]


def test_values_that_are_not_numbers_are_refused():
    with pytest.raises(ValueError, match="finite"):
        brier([float("nan")], [1])
    with pytest.raises(ValueError, match="no queries"):
        paired_bootstrap([], [], name="empty")


# Known aggregates of published outcomes, decontaminated. The best possible area of the whole GSM8K set
# follows from 29.3 % that only the strong model solves and 7.2 % that only the weak one does.


def published(shared, name):
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = parquet.read_table(shared / "data" / "routellm" / f"{name}.parquet").to_pylist()
    scores, prompts = {}, {}
    for row in rows:
        if not row["contaminated"]:
            by_model = scores.setdefault(row["item_id"], {})
            by_model.setdefault(row["model"], []).append(row["score"])
            prompts[row["item_id"]] = row["prompt"]
    items = list(scores)
    strong, weak = (
        np.array([np.mean(scores[item][model]) for item in items])
        for model in ("gpt-4-1106-preview", "mistralai/Mixtral-8x7B-Instruct-v0.1")
    )
    return strong, weak, np.array([len(prompts[item]) for item in items])


@pytest.mark.parametrize(
    ("name", "n", "weak_mean", "strong_mean", "best"),
    [
        ("mmlu", 14_037, 0.6809, 0.8059, 1.285),
        ("gsm8k", 1_307, 0.6373, 0.8577, 1.121),
        ("mt_bench", 72, 0.8281, 0.9212, 0.96),
    ],
)
def test_the_known_aggregates_are_reproduced(shared, name, n, weak_mean, strong_mean, best):
    strong, weak, _ = published(shared, name)
    assert strong.size == n
    assert (weak.mean(), strong.mean()) == pytest.approx((weak_mean, strong_mean), abs=1e-4)
    digits = 0.005 if name == "mt_bench" else 0.0005  # as many as are published
    assert apgr(pgr_curve(strong - weak, strong, weak)) == pytest.approx(best, abs=digits)


@pytest.mark.parametrize(("name", "expected"), [("mmlu", 0.586), ("gsm8k", 0.598)])
def test_prompt_length_alone_recovers_what_was_measured(shared, name, expected):
    strong, weak, length = published(shared, name)
    assert apgr(pgr_curve(length, strong, weak)) == pytest.approx(expected, abs=1e-3)
