"""Calibration and the residual: adopted when held-out gaps get better, and only then."""

import numpy as np
import pytest

from turnout.learn.calibrators import choose, fit_calibrators, gap_errors, held_out, improves
from turnout.learn.cells import Cells
from turnout.learn.residual import remember


def bent(n, seed=0):
    random = np.random.Generator(np.random.PCG64(seed))
    chance = random.random((n, 2))
    scores = (random.random((n, 2)) < chance).astype(float)
    masks = [(np.arange(n) % 5 == at).astype(float) for at in range(5)]
    return chance, scores, masks


def test_gap_errors_are_means_over_pairs():
    predicted = np.array([[0.5, 0.2, 0.9], [0.5, 0.2, 0.9]])
    scores = np.array([[1.0, 0.0, 0.0], [1.0, np.nan, np.nan]])
    pairs = [((0.5 - 0.2) - 1) ** 2, ((0.5 - 0.9) - 1) ** 2, (0.2 - 0.9) ** 2]
    found = gap_errors(predicted, scores)
    assert found[0] == pytest.approx(np.mean(pairs))
    assert np.isnan(found[1])


def test_scores_that_are_already_straight_are_left_alone():
    chance, scores, masks = bent(2000)
    assert choose(chance, scores, masks) is None


def test_overconfident_scores_are_straightened():
    chance, scores, masks = bent(2000)
    boasting = 1 / (1 + np.exp(-3 * np.log(chance / (1 - chance))))
    kind = choose(boasting, scores, masks)
    assert kind is not None
    straight = fit_calibrators(kind, boasting, scores).at(boasting)
    assert np.abs(straight - chance).mean() < 0.05
    assert improves(gap_errors(boasting, scores), gap_errors(held_out(kind, boasting, scores, masks), scores))


def test_few_labels_leave_a_model_as_it_is():
    chance, scores, _ = bent(60)
    scores[30:, 1] = np.nan
    found = fit_calibrators("isotonic", chance, scores)
    np.testing.assert_allclose(found.at(chance)[:, 1], chance[:, 1], atol=1e-12)


def test_near_prompts_correct_and_far_ones_do_not():
    vectors = np.repeat(np.eye(2, 4), 200, axis=0)
    cells = Cells(np.eye(2, 4))
    errors = np.zeros((400, 2))
    errors[:200, 0] = 0.3
    ids = np.repeat(np.array([7, 0], np.uint64), 200)
    memory, rows = remember(vectors, cells, cells.cosines(vectors), errors, ids)
    asked = np.eye(2, 4)
    assert memory.nearest(np.float32([1, 0, 0, 0]), np.float32([1, 0])) == {"0000000000000007": 1.0}
    found = memory.correction(asked, cells.cosines(asked))
    assert found[0, 0] == pytest.approx(0.3 * 100 / 164)
    assert abs(found[1, 0]) < 1e-3
    own = np.concatenate(([0, 1], np.repeat([0, 1], 200)[rows]))
    assert abs(memory.correction(asked, cells.cosines(asked), own)[0, 0]) < 1e-6


def test_an_evaluated_nowhere_row_teaches_nothing():
    cells = Cells(np.eye(1, 4))
    vectors = np.tile(np.eye(1, 4), (10, 1))
    memory, _ = remember(vectors, cells, cells.cosines(vectors), np.full((10, 2), np.nan))
    assert not memory.correction(vectors, cells.cosines(vectors)).any()
