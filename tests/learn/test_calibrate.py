"""Promises about the mean loss: the design's numbers, and that they are kept."""

import math

import numpy as np
import pytest

from turnout.learn.calibrate import (
    Promise,
    certify_by_betting,
    certify_by_binomial,
    clopper_pearson_upper,
    items_needed,
    items_needed_by_any_method,
    log_wealth,
    losses_at,
    thresholds,
    tune_by_conformal_risk,
    tune_naively,
)


def rng(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


@pytest.mark.parametrize(
    ("epsilon", "by_bets", "by_any_method"), [(0.01, 255, 230), (0.02, 127, 114), (0.04, 63, 57)]
)
def test_the_fewest_items_are_those_of_the_design(epsilon, by_bets, by_any_method):
    promise = Promise(epsilon=epsilon, delta=0.1)
    assert (items_needed(promise), items_needed_by_any_method(promise)) == (by_bets, by_any_method)


def test_wealth_follows_the_recursion_item_by_item():
    promise = Promise(epsilon=0.02, delta=0.1)
    losses = rng(7).choice([-1.0, 0.0, 0.5, 1.0], size=200, p=[0.1, 0.75, 0.05, 0.1])
    log_k, variance, squares, total, expected = 0.0, 0.05, 0.0, 0.0, []
    for i, loss in enumerate(losses, start=1):
        stake = min(math.sqrt(2 * math.log(1 / 0.1) / (200 * variance)), 0.9 / (1 - 0.02))
        log_k += math.log(1 - stake * (loss - 0.02))
        total += loss
        squares += (loss - total / (i + 1)) ** 2
        variance = (0.05 + squares) / (i + 1)
        expected.append(log_k)
    assert log_wealth(losses, promise) == pytest.approx(expected, abs=1e-9)


def test_without_a_loss_the_bets_never_win_below_the_floor():
    promise = Promise(epsilon=0.02, delta=0.1)
    below = certify_by_betting(np.zeros((1, items_needed(promise) - 1)), promise, rng())
    plenty = certify_by_betting(np.zeros((1, 200)), promise, rng())
    assert (below.index, plenty.index) == (-1, 0)


def test_testing_stops_at_the_first_policy_that_fails():
    safe, unsafe = np.zeros(1000), np.ones(1000)
    for order in ("averaged", "hashed"):
        found = certify_by_betting(
            np.stack([safe, safe, unsafe, safe]), Promise(epsilon=0.02, order=order), rng()
        )
        assert (found.index, len(found.evidence)) == (1, 3)


def test_nothing_shown_means_route_nothing():
    found = certify_by_betting(np.ones((3, 100)), Promise(epsilon=0.02), rng())
    assert (found.index, len(found.evidence)) == (-1, 1)


def test_the_same_data_gives_the_same_answer():
    losses = rng(3).choice([-1.0, 0.0, 1.0], size=(5, 500), p=[0.02, 0.97, 0.01])
    first, second = (certify_by_betting(losses, Promise(epsilon=0.02), rng(11)) for _ in range(2))
    assert first == second


def test_thresholds_are_quantiles_each_once():
    assert thresholds(np.arange(100.0)).tolist() == [2.0 * j - 1 for j in range(1, 51)]
    assert thresholds(np.array([1.0, 1.0, 1.0, 2.0])).tolist() == [1.0, 2.0]


def test_a_policy_routes_what_is_at_most_its_threshold():
    routed = losses_at(np.array([0.1, 0.2, 0.3]), np.array([1.0, -1.0, 1.0]), np.array([0.1, 0.2, 0.3]))
    assert routed.tolist() == [[1, 0, 0], [1, -1, 0], [1, -1, 1]]


@pytest.mark.parametrize(
    ("failures", "n", "delta", "bound"),
    [(0, 10, 0.05, 0.25886555), (1, 10, 0.05, 0.39416330), (0, 100, 0.1, 0.02276278), (10, 10, 0.1, 1.0)],
)
def test_the_exact_bound_is_the_one_in_tables(failures, n, delta, bound):
    assert clopper_pearson_upper(failures, n, delta) == pytest.approx(bound, abs=1e-7)


def test_a_policy_passes_exactly_when_its_exact_bound_is_within_epsilon():
    promise = Promise(epsilon=0.02, delta=0.1)
    counts = [0, 5, 12, 13, 14, 15]
    rows = np.array([[1.0] * k + [0.0] * (1000 - k) for k in counts])
    within = [clopper_pearson_upper(k, 1000, 0.1) <= 0.02 for k in counts]
    found = certify_by_binomial(rows, promise)
    assert found.index == within.index(False) - 1
    assert found.evidence[0] == pytest.approx(-1000 * math.log(0.98))


def test_tuning_counts_wins_only_where_it_is_naive():
    losses = np.array([[0.0] * 99, [1.0, -1.0, *[0.0] * 97], [1.0, 1.0, *[0.0] * 97]])
    assert (tune_by_conformal_risk(losses, 0.02), tune_naively(losses, 0.02)) == (1, 1)
    assert (tune_by_conformal_risk(losses, 0.009), tune_naively(losses, 0.009)) == (-1, 1)
    assert tune_by_conformal_risk(losses, 0.03) == 2


@pytest.mark.parametrize(
    ("losses", "problem"),
    [
        (np.zeros((0, 3)), "expected policies by items"),
        (np.zeros(3), "expected policies by items"),
        (np.full((1, 3), np.nan), "finite and within -1 and 1"),
        (np.full((1, 3), 1.5), "finite and within -1 and 1"),
    ],
)
def test_losses_that_cannot_be_are_refused(losses, problem):
    with pytest.raises(ValueError, match=problem):
        certify_by_betting(losses, Promise(epsilon=0.02), rng())


def test_a_graded_loss_is_no_failure():
    with pytest.raises(ValueError, match="use the betting bound"):
        certify_by_binomial(np.full((1, 3), 0.5), Promise(epsilon=0.02))


@pytest.mark.parametrize(
    ("epsilon", "delta"), [(0, 0.1), (1, 0.1), (0.02, 0), (0.02, 1), (float("nan"), 0.1)]
)
def test_a_promise_out_of_range_is_refused(epsilon, delta):
    with pytest.raises(ValueError, match="expected above 0 and below 1"):
        Promise(epsilon=epsilon, delta=delta)


# Synthetic traffic: the predicted gap g is uniform, a routed item is lost with probability (0.3 + g) / 4 and
# won with probability (0.3 - g / 4) / 4, so the true loss of a threshold t is exactly R(t) = 5 t^2 / 32.

N_DRAWS = 200
GRID = np.arange(1, 51) / 50
TRUE_LOSS = 5 * GRID**2 / 32


def calibration_set(draw, n):
    random = rng(draw)
    gaps, u = random.random(n), random.random(n)
    lost = u < (0.3 + gaps) / 4
    won = u > 1 - (0.3 - gaps / 4) / 4
    return losses_at(gaps, lost.astype(float) - won, GRID)


@pytest.mark.parametrize("n", [300, 1000, 3000])
def test_the_promise_is_kept_as_often_as_promised_and_the_naive_threshold_is_not(n):
    allowed = 0.1 + 2 * math.sqrt(0.1 * 0.9 / N_DRAWS)
    broken = {(method, e): 0 for method in ("hashed", "naive") for e in (0.01, 0.02, 0.04)}
    for draw in range(N_DRAWS):
        losses = calibration_set(draw, n)
        for e in (0.01, 0.02, 0.04):
            found = certify_by_betting(losses, Promise(epsilon=e, order="hashed"), rng(draw + 10**6)).index
            naive = tune_naively(losses, e)
            broken["hashed", e] += bool(found >= 0 and TRUE_LOSS[found] > e)
            broken["naive", e] += bool(naive >= 0 and TRUE_LOSS[naive] > e)
    rates = {key: count / N_DRAWS for key, count in broken.items()}
    assert {key: rate for key, rate in rates.items() if key[0] == "hashed" and rate > allowed} == {}
    assert all(rates["naive", e] > max(0.25, 2 * rates["hashed", e]) for e in (0.01, 0.02, 0.04)), rates


@pytest.mark.parametrize(("n", "epsilon"), [(300, 0.04), (1000, 0.01), (1000, 0.02)])
def test_averaging_over_orders_keeps_the_promise_too(n, epsilon):
    broken, routed = 0, 0
    for draw in range(60):
        found = certify_by_betting(
            calibration_set(draw, n), Promise(epsilon=epsilon), rng(draw + 10**6)
        ).index
        broken += bool(found >= 0 and TRUE_LOSS[found] > epsilon)
        routed += found >= 0
    assert broken / 60 <= 0.1 + 2 * math.sqrt(0.1 * 0.9 / 60)
    assert routed > 0 or n * epsilon < 15
