import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from turnout.learn.isotonic import fit_isotonic

unit = arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 1, width=32))


def test_falling_neighbours_are_levelled_to_their_mean():
    curve = fit_isotonic(np.array([1.0, 2, 3, 4]), np.array([0.0, 3, 1, 5]))
    assert (curve.x.tolist(), curve.y.tolist()) == ([1, 2, 3, 4], [0, 2, 2, 5])
    assert curve.at(np.array([0.0, 1.5, 9])).tolist() == [0, 1, 5]


def test_points_at_one_place_are_averaged_by_weight():
    curve = fit_isotonic(np.array([1.0, 1, 2]), np.array([0.0, 1, 1]), np.array([3.0, 1, 1]))
    assert curve.y.tolist() == [0.25, 1]


@given(unit)
@settings(derandomize=True, max_examples=100)
def test_the_curve_never_falls_and_keeps_the_mean(y):
    curve = fit_isotonic(np.arange(y.size, dtype=float), y)
    assert (np.diff(curve.y) >= 0).all()
    assert curve.y.mean() == pytest.approx(y.mean())


@given(unit, st.integers(0, 29))
@settings(derandomize=True, max_examples=100)
def test_no_other_rising_curve_is_nearer(y, at):
    curve = fit_isotonic(np.arange(y.size, dtype=float), y)
    moved = curve.y.copy()
    moved[min(at, y.size - 1) :] += 0.01  # still rising
    assert ((curve.y - y) ** 2).sum() <= ((moved - y) ** 2).sum() + 1e-9


@pytest.mark.parametrize(("x", "y"), [([], []), ([1.0], [np.nan]), ([1.0, 2.0], [1.0])])
def test_points_that_cannot_be_fitted_are_refused(x, y):
    with pytest.raises(ValueError, match="needs points"):
        fit_isotonic(np.array(x), np.array(y))
