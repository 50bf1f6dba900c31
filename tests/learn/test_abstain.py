"""A router without an edge says so: shuffled labels, look-alike pools, losses it cannot rule out."""

import numpy as np
import pytest

from turnout.learn.abstain import Edge, Range, abstain_reason, edge


def folded(features, scores, n_folds=5, ridge=50.0):
    """Ridge regression, each row predicted by a fit that never saw it."""
    found = np.empty_like(scores)
    fold = np.arange(len(scores)) % n_folds
    for k in range(n_folds):
        x, y = features[fold != k], scores[fold != k]
        mean = y.mean(axis=0)
        weights = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ (y - mean))
        found[fold == k] = features[fold == k] @ weights + mean
    return found


def pool(seed, n=1200, n_features=16, tilt=1.2):
    """Three models, each good at something else; the first the best overall."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(n, n_features))
    weights = random.normal(size=(n_features, 3)) * tilt / np.sqrt(n_features)
    chances = 1 / (1 + np.exp(-(features @ weights + np.array([0.9, 0.5, 0.0]))))
    return features, (random.random((n, 3)) < chances).astype(float)


def test_a_router_that_knows_its_models_routes():
    assert [abstain_reason(folded(*pool(seed)), pool(seed)[1]) for seed in range(20)] == [None] * 20


def test_shuffled_labels_make_it_abstain():
    reasons = []
    for seed in range(100):
        features, scores = pool(seed)
        shuffled = np.random.default_rng(seed).permutation(scores)
        reasons.append(abstain_reason(folded(features, shuffled), shuffled))
    assert sum(reason is not None for reason in reasons) >= 95


def test_look_alike_models_make_it_abstain():
    reasons = []
    for seed in range(100):
        random = np.random.default_rng(seed)
        features = random.normal(size=(1200, 16))
        chance = 1 / (1 + np.exp(-(features @ random.normal(size=16) / 4 + 0.5)))
        scores = (random.random((1200, 4)) < chance[:, None]).astype(float)
        reasons.append(abstain_reason(folded(features, scores), scores))
    assert sum(reason is not None for reason in reasons) >= 95


def test_few_labels_are_no_excuse_for_luck():
    reasons = []
    for seed in range(100):
        features, scores = pool(seed, n=200)
        shuffled = np.random.default_rng(seed).permutation(scores)
        reasons.append(abstain_reason(folded(features, shuffled), shuffled))
    assert sum(reason is not None for reason in reasons) >= 95


def test_the_gap_auc_of_two_models_is_the_share_of_pairs_in_order_and_ties_count_half():
    predicted = np.array([[0.9, 0.1], [0.5, 0.5], [0.5, 0.5], [0.2, 0.9], [0.9, 0.9]])
    scores = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    assert edge(predicted, scores).gap_auc.mean == pytest.approx(3.5 / 4)


def test_queries_of_one_group_count_as_one():
    features, scores = pool(1, n=300)
    predicted = folded(features, scores)
    once = edge(predicted, scores)
    twice = edge(np.tile(predicted, (4, 1)), np.tile(scores, (4, 1)), groups=np.tile(np.arange(300), 4))
    assert twice.gap_auc.low == pytest.approx(once.gap_auc.low)
    assert twice.difference.low == pytest.approx(once.difference.low)


def test_charges_make_the_cheap_model_the_best_single_one():
    scores = np.tile([[1.0, 0.9]], (100, 1))
    assert edge(scores, scores).best == 0
    assert edge(scores, scores, charges=np.tile([[0.3, 0.0]], (100, 1))).best == 1


def test_rows_where_a_model_was_not_evaluated_are_left_out():
    features, scores = pool(2)
    holed = scores.copy()
    holed[:200, 0] = np.nan
    assert edge(folded(features, scores), holed).n == 1000


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"n": 12}, "only 12 held-out queries; at least 30 are needed to show an edge"),
        ({"gap_auc": None}, "no two models trade wins: there is nothing to choose"),
        (
            {"gap_auc": Range(0.53, 0.51, 0.55)},
            "gap-AUC 0.530 is at most 0.55: predictions tell no models apart",
        ),
        ({"gap_auc": Range(0.6, 0.48, 0.72)}, "gap-AUC 0.600 may be chance: its lower 95 % end is 0.480"),
        (
            {"difference": Range(0.0, -0.02, 0.02)},
            (
                "not shown to be as good as the best single model: the lower 95 % end of the difference is "
                "-0.020, below -0.01"
            ),
        ),
        ({}, None),
    ],
)
def test_each_reason_has_its_words(changes, reason):
    base = {"n": 500, "best": 0, "gap_auc": Range(0.65, 0.6, 0.7), "difference": Range(0.01, 0.0, 0.02)}
    assert Edge(**{**base, **changes}).reason == reason


def test_a_router_that_never_left_the_best_model_is_not_thereby_certain():
    scores = np.tile([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], (100, 1))
    predicted = np.tile([[0.9, 0.1]], (300, 1))
    assert edge(predicted, scores).difference == Range(0.0, -0.01, 0.01)


@pytest.mark.parametrize(
    ("predicted", "scores", "problem"),
    [
        (np.zeros((3, 2)), np.zeros((4, 2)), "do not fit together"),
        (np.zeros((3, 1)), np.zeros((3, 1)), "one model only"),
        (np.full((3, 2), np.nan), np.zeros((3, 2)), "must be finite"),
        (np.zeros((3, 2)), np.full((3, 2), 1.5), "within 0-1"),
    ],
)
def test_tables_that_cannot_be_judged_are_refused(predicted, scores, problem):
    with pytest.raises(ValueError, match=problem):
        abstain_reason(predicted, scores)
