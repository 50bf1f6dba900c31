"""A rising curve through noisy points: pool adjacent violators. Floor 2.

The least-squares fit among all functions that never fall; between its knots it is drawn straight, beyond them
it stays level. Source: Barlow, Bartholomew, Bremner and Brunk, "Statistical Inference under Order
Restrictions" (1972), chapter 1.
"""

import numpy as np
from msgspec import Struct

from turnout.learn.base import Floats


class Isotonic(Struct, frozen=True, eq=False):
    """A rising, piecewise straight curve."""

    x: Floats
    """Knots, strictly rising."""
    y: Floats
    """Values at the knots, never falling."""

    def at(self, x: Floats) -> Floats:
        """Return the curve's values."""
        return np.interp(x, self.x, self.y)


def fit_isotonic(x: Floats, y: Floats, weights: Floats | None = None) -> Isotonic:
    """Return the rising curve nearest to the points.

    Args:
        x: Where, in any order; equal ones are averaged first.
        y: Values there.
        weights: Above 0; None = all equal.

    Raises:
        ValueError: No points, or numbers that are not finite.
    """
    if x.size == 0 or x.shape != y.shape or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("an isotonic fit needs points, all of them finite")
    w = np.ones_like(x) if weights is None else weights
    places, group = np.unique(x, return_inverse=True)
    total = np.bincount(group, weights=w)
    values = np.bincount(group, weights=w * y) / total
    blocks: list[tuple[float, float, int]] = []
    """Value, weight and number of places of each level stretch."""
    for value, weight in zip(values.tolist(), total.tolist(), strict=True):
        level, mass, n = value, weight, 1
        while blocks and blocks[-1][0] >= level:
            before, its, m = blocks.pop()
            level = (before * its + level * mass) / (its + mass)
            mass, n = its + mass, m + n
        blocks.append((level, mass, n))
    fitted = np.repeat([level for level, _, _ in blocks], [n for _, _, n in blocks])
    return Isotonic(places, fitted)
