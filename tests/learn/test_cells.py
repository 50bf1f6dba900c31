"""Cells: found the same every time, soft, and a measure of strangeness."""

import numpy as np
import pytest

from turnout.learn.cells import Cells, find_cells, membership_of


def blobs(n, k, seed=0):
    random = np.random.Generator(np.random.PCG64(seed))
    centres = np.eye(k, 8)
    rows = centres[np.arange(n) % k] + 0.05 * random.normal(size=(n, 8))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_planted_regions_are_found_and_found_again():
    rows = blobs(300, 4)
    found = find_cells(rows, 4, seed=3)
    assert np.abs(found.centres - find_cells(rows, 4, seed=3).centres).max() == 0
    assert len({tuple(np.unique(found.home(rows)[start::4])) for start in range(4)}) == 4
    assert found.nearness(rows).min() > 0.9
    assert found.nearness(np.eye(8)[7:]).max() < 0.3


def test_membership_is_a_share_of_the_nearest():
    shares = membership_of(np.array([[0.9, 0.8, 0.1, -0.5, 0.7]]), nearest=3)
    assert shares[0] == pytest.approx([0.6652, 0.2447, 0, 0, 0.0900], abs=1e-4)
    assert Cells(np.eye(2)).membership(np.eye(2)).sum(axis=1) == pytest.approx([1, 1])


def test_few_prompts_make_few_cells():
    assert find_cells(blobs(35, 4)).k == 3
    assert find_cells(np.ones((40, 4)) / 2).k >= 1


def test_prompts_that_say_nothing_make_none():
    with pytest.raises(ValueError, match="no prompt has a vector"):
        find_cells(np.zeros((5, 3)))
