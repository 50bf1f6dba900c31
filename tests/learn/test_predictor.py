"""The pooled predictor: optimal, honest about little data, and better than chance at ranking gaps."""

import numpy as np
import pytest

from turnout.learn.features import HashEmbedder, scaling
from turnout.learn.predictor import Precisions, fit

D = 6
PRECISION = Precisions(embedding=1.0).diagonal(D - 1, 0)
TRUE = np.array([[1.0, 1.5, 0, 0, -1, 0], [0.0, -1.5, 0, 1, -1, 0]])


def world(n, seed=0):
    random = np.random.Generator(np.random.PCG64(seed))
    features = np.hstack((np.ones((n, 1)), random.normal(size=(n, D - 1))))
    chance = 1 / (1 + np.exp(-features @ TRUE.T))
    return features, (random.random(chance.shape) < chance).astype(float), chance


def test_the_fit_is_where_the_gradient_vanishes():
    features, scores, _ = world(500)
    found = fit(("a", "b"), features, scores, PRECISION)
    for m in range(2):
        p = 1 / (1 + np.exp(-features @ found.weights[m]))
        gradient = features.T @ (p - scores[:, m]) + PRECISION * (found.weights[m] - found.common)
        assert np.abs(gradient).max() < 1e-6 * 500
        curvature = (features * (p * (1 - p))[:, None]).T @ features + np.diag(PRECISION)
        assert found.covariances[m] == pytest.approx(np.linalg.inv(curvature), abs=1e-6)


def test_it_finds_what_was_planted():
    features, scores, _ = world(4000)
    found = fit(("a", "b"), features, scores, PRECISION)
    assert found.weights == pytest.approx(TRUE, abs=0.2)
    new, _, chance = world(2000, seed=1)
    assert np.abs(found.predict(new).mean - chance).mean() < 0.03


def test_lower_bounds_hold_as_often_as_stated():
    shares = []
    for seed in range(30):
        features, scores, _ = world(300, seed)
        new, _, chance = world(500, seed=100 + seed)
        shares.append((fit(("a", "b"), features, scores, PRECISION).predict(new).lower <= chance).mean())
    assert np.mean(shares) == pytest.approx(0.9, abs=0.03)


def test_a_model_with_few_labels_stays_near_the_common_weights():
    features, scores, _ = world(1000)
    few = scores.copy()
    few[5:, 1] = np.nan
    found = fit(("a", "b"), features, few, Precisions(embedding=30.0).diagonal(D - 1, 0))
    assert np.linalg.norm((found.weights[1] - found.common)[1:]) < 0.2
    width = np.trace(found.covariances[1]) / np.trace(found.covariances[0])
    assert width > 3


def test_half_a_score_is_half_a_success():
    features = np.ones((40, 1))
    halves, whole = np.full((40, 1), 0.5), np.tile([[0.0], [1.0]], (20, 1))
    one, other = (fit(("a",), features, s, np.array([0.1])) for s in (halves, whole))
    assert one.weights == pytest.approx(other.weights, abs=1e-6)
    assert one.predict(np.ones((1, 1))).mean == pytest.approx(0.5, abs=1e-6)


def test_separable_data_stays_finite():
    features = np.array([[1.0, -2], [1, -1], [1, 1], [1, 2]] * 10)
    scores = (features[:, 1:] > 0).astype(float)
    found = fit(("a",), features, scores, np.array([0.1, 1.0]))
    assert np.isfinite(found.weights).all()
    assert found.predict(features).mean.round().tolist() == scores.tolist()


def test_the_same_data_gives_the_same_weights():
    features, scores, _ = world(200)
    first, second = (fit(("a", "b"), features, scores, PRECISION) for _ in range(2))
    assert first.weights.tobytes() == second.weights.tobytes()


@pytest.mark.parametrize(
    ("scores", "problem"),
    [
        (np.ones((3, 1)), "do not fit together"),
        (np.full((4, 2), 1.5), "within 0-1"),
        (np.array([[1.0, np.nan]] * 4), "no label for b"),
    ],
)
def test_labels_that_cannot_be_are_refused(scores, problem):
    with pytest.raises(ValueError, match=problem):
        fit(("a", "b"), np.ones((4, 1)), scores, np.ones(1))


def test_it_ranks_the_gap_from_words_alone():
    texts = [f"{word} question number {i}" for i in range(60) for word in ("algebra", "poetry")]
    scores = np.array([[1.0, 0.0], [0.0, 1.0]] * 60)
    vectors, none = HashEmbedder().embed_all(texts), np.empty((120, 0))
    features = scaling(vectors, none).features(vectors, none)
    found = fit(("a", "b"), features, scores, Precisions(embedding=1.0).diagonal(256, 0))
    asked = HashEmbedder().embed_all(["a new algebra task", "a new poetry task"])
    mean = found.predict(scaling(vectors, none).features(asked, np.empty((2, 0)))).mean
    assert (mean.argmax(axis=1).tolist(), mean[0, 0] > 0.6) == ([0, 1], True)
