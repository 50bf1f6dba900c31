"""Whether a series goes up: the slope of a line through block means, with its 95 % interval.

Neighbouring samples of a process's memory resemble each other, so that a line through all of them looks more
certain than it is. Means of blocks longer than that likeness are nearly independent.
"""

from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist, fmean

from msgspec import Struct

N_BLOCKS = 15


class Slope(Struct, frozen=True):
    """Change per unit of x."""

    value: float
    low: float
    high: float


def slope(points: Sequence[tuple[float, float]], n_blocks: int = N_BLOCKS) -> Slope:
    """Return the slope of points in the order of x; at least three blocks of them."""
    size = len(points) // n_blocks or 1
    blocks = [points[at : at + size] for at in range(0, size * (len(points) // size), size)]
    if len(blocks) < 3:
        raise ValueError(f"{len(points)} points are too few for a slope")
    at = [fmean(x for x, _ in block) for block in blocks]
    of = [fmean(y for _, y in block) for block in blocks]
    middle, mean = fmean(at), fmean(of)
    width = sum((x - middle) ** 2 for x in at)
    rise = sum((x - middle) * (y - mean) for x, y in zip(at, of, strict=True)) / width
    free = len(blocks) - 2
    rest = sum((y - mean - rise * (x - middle)) ** 2 for x, y in zip(at, of, strict=True)) / free
    margin = _student(free) * sqrt(rest / width)
    return Slope(rise, rise - margin, rise + margin)


def _student(free: int) -> float:
    """Return Student's 97.5 % point: the first terms of its expansion around the normal one."""
    z = NormalDist().inv_cdf(0.975)
    if free < 3:
        return {1: 12.706, 2: 4.303}[free]
    return z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
