"""Anchors: what a new model should be tried on, and what its answers are worth."""

import numpy as np
import pytest

from turnout.learn.anchors import Normal, choose_anchors, join, mean_quality, plan_lines, prior_of


def sigmoid(u):
    return 1 / (1 + np.exp(-u))


def family(n_models=12, n=800, d=30, seed=0):
    """Return features and models that differ in two directions only."""
    rng = np.random.default_rng(seed)
    features = np.hstack((np.ones((n, 1)), rng.normal(size=(n, d - 1))))
    common, ways = rng.normal(size=d) * 0.2, rng.normal(size=(2, d)) * 0.4
    weights = common + rng.normal(size=(n_models, 2)) @ ways
    return features, weights, rng.integers(8, size=n)


def test_each_anchor_takes_most_off_the_mean_variance_of_predicted_quality():
    features, weights, _ = family(n=40, d=6)
    prior = prior_of(weights, np.ones(6))
    found = choose_anchors(prior, features, np.zeros(40, int), 4)
    p = sigmoid(features @ prior.mean)
    v = p * (1 - p)
    precision = np.linalg.inv(prior.covariance)
    left = list(range(40))
    for row in found.rows:
        means = []
        for i in left:
            covariance = np.linalg.inv(precision + v[i] * np.outer(features[i], features[i]))
            means.append((v**2 * np.einsum("ij,jk,ik->i", features, covariance, features)).mean())
        assert left[int(np.argmin(means))] == row
        precision += v[row] * np.outer(features[row], features[row])
        left.remove(int(row))
    slope = (features * v[:, None]).mean(axis=0)
    assert found.sd[-1] == pytest.approx(np.sqrt(slope @ np.linalg.inv(precision) @ slope))


def test_no_cell_gives_more_than_twice_its_share():
    features, weights, home = family()
    found = choose_anchors(prior_of(weights, np.ones(30)), features, home, 20)
    assert np.bincount(home[found.rows]).max() <= 5
    assert len(set(found.rows.tolist())) == 20


def test_what_is_known_only_grows():
    features, weights, home = family()
    found = choose_anchors(prior_of(weights, np.ones(30)), features, home, 30)
    assert (np.diff(found.sd) <= 1e-12).all()
    assert found.cell_sd.shape == (31, 8)
    assert found.sd[30] < found.sd[0] / 2


def test_the_predicted_spread_is_the_real_one():
    errors, told = [], []
    features, weights, home = family(n_models=61, n=400)
    for held in range(60):
        prior = prior_of(np.delete(weights, held, axis=0), np.full(30, 10.0), 0.01)
        found = choose_anchors(prior, features, home, 40)
        chance = sigmoid(features @ weights[held])
        answers = (np.random.default_rng(held).random(40) < chance[found.rows]).astype(float)
        mean, sd = mean_quality(join(prior, features[found.rows], answers), features)
        errors.append(mean - chance.mean())
        told.append(sd)
    assert np.std(errors) == pytest.approx(np.mean(told), rel=0.35)
    assert abs(np.mean(errors)) < 0.03


def test_joining_is_the_highest_posterior():
    features, weights, _ = family(n=60, d=8)
    prior = prior_of(weights, np.ones(8))
    scores = (np.random.default_rng(1).random(60) < 0.5).astype(float)
    found = join(prior, features, scores, np.linspace(0.1, 1, 60))
    precision = np.linalg.inv(prior.covariance)
    p = sigmoid(features @ found.mean)
    omega = np.linspace(0.1, 1, 60)
    gradient = features.T @ (omega * (p - scores)) + precision @ (found.mean - prior.mean)
    assert np.abs(gradient).max() < 1e-5
    curvature = precision + (features * (omega * p * (1 - p))[:, None]).T @ features
    assert found.covariance == pytest.approx(np.linalg.inv(curvature), abs=1e-6)


def test_a_model_of_the_family_is_found_from_forty_answers():
    features, weights, home = family()
    prior = prior_of(weights[1:], np.full(30, 10.0), 0.01)
    found = choose_anchors(prior, features, home, 40)
    chance = sigmoid(features @ weights[0])
    answers = (np.random.default_rng(0).random(40) < chance[found.rows]).astype(float)
    before, after = (
        np.abs(sigmoid(features @ belief.mean) - chance).mean()
        for belief in (prior, join(prior, features[found.rows], answers))
    )
    assert after < before / 1.5


def test_one_known_model_is_enough_to_start_from():
    prior = prior_of(np.array([[1.0, 2.0]]), np.array([0.5, 4.0]))
    assert (prior.mean.tolist(), prior.covariance.tolist()) == ([1.0, 2.0], [[2.0, 0.0], [0.0, 0.25]])


def test_the_plan_tells_cost_and_certainty_first():
    features, weights, home = family(n=50)
    found = choose_anchors(prior_of(weights, np.ones(30)), features, home, 30)
    lines = plan_lines(found, [0.001] * 50, (20, 35, 50))
    assert lines[0] == "expected cost of 30 evaluations: $0.0300"
    assert [line[:9] for line in lines[1:]] == ["after   0", "after  20", "after  30"]


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda prior: choose_anchors(prior, np.ones((3, 2)), np.zeros(3, int), 4), "4 of 3 prompts"),
        (lambda prior: choose_anchors(prior, np.ones((3, 5)), np.zeros(3, int), 2), "5 features"),
        (lambda prior: choose_anchors(prior, np.full((3, 2), np.nan), np.zeros(3, int), 2), "finite"),
        (lambda prior: join(prior, np.ones((3, 2)), np.array([0.0, np.nan, 2.0])), "row 1, 2"),
        (lambda prior: join(prior, np.ones((0, 2)), np.empty(0)), "0 scores"),
        (lambda prior: prior_of(np.ones((2, 2)), np.zeros(2)), "cannot be"),
    ],
)
def test_what_cannot_be_chosen_or_joined_is_refused(call, problem):
    with pytest.raises(ValueError, match=problem):
        call(Normal(np.zeros(2), np.eye(2)))
