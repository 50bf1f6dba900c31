"""What a router is worth, in numbers whose definitions are written down. Floor 6.

Conventions (ROUTING.md section 4.2): n queries; scores within [0, 1], higher is better; `strong_first` is a
router's wish to use the strong model, higher meaning sooner. Costs are mean cost per query in any one unit.
Tied wishes are worth the mean over their orders, so no result depends on the order of rows.
"""

import hashlib
import math
from typing import TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]

N_RESAMPLES = 2_000
N_BINS = 15
RESAMPLES_AT_ONCE = 50
"""Bounds the memory of a bootstrap: 50 rows of one integer a group."""


class Interval(Struct, frozen=True):
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float

    @property
    def contains_zero(self) -> bool:
        """Whether the data shows no difference."""
        return self.low <= 0 <= self.high


class Curve(Struct, frozen=True, eq=False):
    """A piecewise linear function of cost, from its first point on; flat to the right."""

    costs: Floats
    qualities: Floats

    def at(self, cost: float) -> float:
        """Return the quality at a cost; 0 where nothing is that cheap."""
        return 0.0 if cost < self.costs[0] else float(np.interp(cost, self.costs, self.qualities))


def generator(name: str, seed: int) -> np.random.Generator:
    """Return the random numbers of a named step: the same on every run and machine."""
    digest = hashlib.sha256(f"{name}|{seed}".encode()).hexdigest()
    return np.random.Generator(np.random.PCG64(int(digest[:16], 16)))


# Two models: how much of the gap is recovered with how many strong calls


def pgr_curve(strong_first: ArrayLike, strong: ArrayLike, weak: ArrayLike) -> Floats:
    """Return the performance gap recovered with 0, 1, … n strong calls.

    Args:
        strong_first: The router's wish per query.
        strong: Score of the strong model per query.
        weak: Score of the weak model per query.

    Raises:
        ValueError: There is no gap to recover.
    """
    wish, gains = _floats(strong_first), _floats(strong) - _floats(weak)
    if gains.sum() <= 0:
        raise ValueError("the strong model is not better than the weak one: there is no gap to recover")
    _, group = np.unique(-wish, return_inverse=True)
    sizes = np.bincount(group)
    gains_in_order = np.repeat(np.bincount(group, weights=gains) / sizes, sizes)
    curve: Floats = np.concatenate(([0.0], np.cumsum(gains_in_order))) / gains.sum()
    return curve


def apgr(curve: Floats) -> float:
    """Return the mean gap recovered over all shares of strong calls: 0.5 for a random router."""
    return float((curve[:-1] + curve[1:]).mean() / 2)


def apgr_10(curve: Floats) -> float:
    """Return the mean gap recovered at 10 %, 20 %, … 100 % strong calls.

    Source: Ong et al., "RouteLLM" (arXiv 2406.18665), section 3.1. A random router has 0.55.
    """
    return float(np.interp(np.arange(1, 11) / 10, np.linspace(0, 1, curve.size), curve).mean())


def apgr_quantiles(strong_first: ArrayLike, strong: ArrayLike, weak: ArrayLike) -> float:
    """Return the trapezoid over the router's deciles: thresholds at its own scores, tied ones merged."""
    wish = _floats(strong_first)
    curve = pgr_curve(wish, strong, weak)
    edges = np.unique(np.quantile(wish, np.linspace(0, 1, 11)))
    calls = np.array([0, *sorted(int((wish >= edge).sum()) for edge in edges)])
    return _area(calls / wish.size, curve[calls])


def cpt(curve: Floats, target: float) -> float | None:
    """Return the smallest share of strong calls that recovers `target` of the gap; None if none does."""
    reached = np.flatnonzero(curve >= target - 1e-12)
    return float(reached[0]) / (curve.size - 1) if reached.size else None


# Many models: quality against cost


def hull(costs: ArrayLike, qualities: ArrayLike) -> Curve:
    """Return the best that mixing the points at random can do: upper convex hull, never falling.

    Of the single models it is the *zero router*, which any router must beat.
    """
    points = sorted(zip(_floats(costs).tolist(), _floats(qualities).tolist(), strict=True))
    if not points:
        raise ValueError("a hull needs at least one point")
    kept: list[tuple[float, float]] = []
    for point in points:
        if kept and point[1] <= kept[-1][1]:
            continue  # dearer and no better: below the running maximum
        while kept and (
            kept[-1][0] == point[0] or (len(kept) > 1 and not _turns_down(kept[-2], kept[-1], point))
        ):
            kept.pop()
        kept.append(point)
    return Curve(np.array([cost for cost, _ in kept]), np.array([quality for _, quality in kept]))


def _turns_down(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    return (b[0] - a[0]) * (c[1] - a[1]) < (b[1] - a[1]) * (c[0] - a[0])


def aiq_range(curve: Curve, cheapest: float, dearest: float) -> float:
    """Return the mean of a hull over the costs from the cheapest to the dearest single model.

    The range belongs to the pool, not to the router, which makes routers comparable.
    """
    costs, qualities = _within(curve, cheapest, dearest)
    return _area(costs, qualities) / (dearest - cheapest)


def aiq_range_log(curve: Curve, cheapest: float, dearest: float) -> float:
    """Return the same mean with every doubling of the cost weighing the same."""
    if cheapest <= 0:
        raise ValueError(f"the cheapest model costs {cheapest}; a logarithm needs it above 0")
    costs, qualities = _within(curve, cheapest, dearest)
    total = 0.0
    for i in range(costs.size - 1):
        (x0, x1), (y0, y1) = costs[i : i + 2], qualities[i : i + 2]
        if x1 > x0:  # a line in cost, integrated over log cost
            slope = (y1 - y0) / (x1 - x0)
            total += (y0 - slope * x0) * math.log(x1 / x0) + slope * (x1 - x0)
    return float(total) / math.log(dearest / cheapest)


def aiq_repo(curve: Curve, dearest: float) -> float:
    """Return the area from the router's own cheapest point, divided by the dearest cost.

    The convention of the published code; not comparable between routers, which start at different costs.
    """
    costs, qualities = _within(curve, float(curve.costs[0]), dearest)
    return _area(costs, qualities) / dearest


def _within(curve: Curve, low: float, high: float) -> tuple[Floats, Floats]:
    """Return the curve's corners between two costs, both ends included; a jump is two points at one cost."""
    if not low < high:
        raise ValueError(f"the costs range from {low} to {high}; expected a range")
    first = float(curve.costs[0])
    inner = curve.costs[(curve.costs > max(low, first)) & (curve.costs < high)]
    before = [low, first] if low < first < high else [low]
    costs = np.array([*before, *([first] if low < first < high else []), *inner.tolist(), high])
    qualities = np.array([curve.at(cost) for cost in costs.tolist()])
    qualities[: len(before)] = [curve.at(low), 0.0][: len(before)]
    return costs, qualities


class Deferral(Struct, frozen=True):
    """A sweep over the price of cost, relative to the best single model."""

    audc: float
    """Area under quality against relative cost, over the sweep's own range."""
    qnc: float
    """Smallest relative cost at which the best single model's quality is reached; infinite if never."""
    peak: float
    """Best quality of the sweep."""


def deferral(costs: ArrayLike, qualities: ArrayLike, best_cost: float, best_quality: float) -> Deferral:
    """Return the sweep's figures.

    Args:
        costs: Mean cost at each setting.
        qualities: Mean score at each setting.
        best_cost: Mean cost of the best single model, which was chosen on training data.
        best_quality: Its mean score.
    """
    relative, quality = _floats(costs) / best_cost, _floats(qualities)
    order = np.lexsort((quality, relative))
    enough = relative[quality >= best_quality - 1e-12]
    return Deferral(
        audc=_area(relative[order], quality[order]),
        qnc=float(enough.min()) if enough.size else math.inf,
        peak=float(quality.max()),
    )


def regret(values: ArrayLike, chosen: ArrayLike) -> float:
    """Return what the best choice per query would have added, on average.

    Args:
        values: Score or utility, one row a query, one column a model.
        chosen: Column chosen for each query.
    """
    table = _floats(values)
    picked = table[np.arange(table.shape[0]), np.asarray(chosen, dtype=np.intp)]
    return float((table.max(axis=1) - picked).mean())


# Predictions: are they right, and do they tell models apart


def brier(predicted: ArrayLike, observed: ArrayLike) -> float:
    """Return the mean squared error of predicted scores."""
    return float(((_floats(predicted) - _floats(observed)) ** 2).mean())


def ece(predicted: ArrayLike, observed: ArrayLike, n_bins: int = N_BINS) -> float:
    """Return the expected calibration error over bins of equal mass."""
    p, y = _floats(predicted), _floats(observed)
    order = np.argsort(p, kind="stable")
    bins = [part for part in np.array_split(order, n_bins) if part.size]
    return float(sum(part.size * abs(p[part].mean() - y[part].mean()) for part in bins) / p.size)


def gap_auc(predicted_gap: ArrayLike, observed_gap: ArrayLike) -> float | None:
    """Return how well a predicted gap ranks the queries on which two models differ; 0.5 is chance.

    Args:
        predicted_gap: Predicted score of one model minus that of the other.
        observed_gap: The same difference as observed.

    Returns:
        None where one of the models never wins: there is nothing to rank.
    """
    gap, won = _floats(predicted_gap), _floats(observed_gap)
    differ = won != 0
    gap, better = gap[differ], won[differ] > 0
    n_better, n_worse = int(better.sum()), int((~better).sum())
    if not (n_better and n_worse):
        return None
    _, group = np.unique(gap, return_inverse=True)
    sizes = np.bincount(group)
    ranks = (np.cumsum(sizes) - (sizes - 1) / 2)[group]
    return float((ranks[better].sum() - n_better * (n_better + 1) / 2) / (n_better * n_worse))


# Differences between two policies


def paired_bootstrap(
    difference: ArrayLike, groups: ArrayLike, *, name: str, seed: int = 0, n_resamples: int = N_RESAMPLES
) -> Interval:
    """Return the mean difference with its 95 % percentile interval, resampling whole groups.

    Args:
        difference: One policy's value minus the other's, per query.
        groups: What belongs together (turns, paraphrases, repeats of a prompt), per query.
        name: What is compared; with `seed` it fixes the random numbers.
        seed: Of the comparison.
        n_resamples: Number of resamples.
    """
    values = _floats(difference)
    if values.size == 0:
        raise ValueError(f"{name}: no queries to compare on")
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    sizes = np.bincount(group).astype(np.float64)
    sums = np.bincount(group, weights=values)
    random = generator(name, seed)
    means = []
    for start in range(0, n_resamples, RESAMPLES_AT_ONCE):
        n = min(RESAMPLES_AT_ONCE, n_resamples - start)
        drawn = random.integers(0, sizes.size, size=(n, sizes.size))
        means.append(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    low, high = np.quantile(np.concatenate(means), (0.025, 0.975))
    return Interval(float(values.mean()), float(low), float(high))


def _area(x: Floats, y: Floats) -> float:
    return float((np.diff(x) * (y[:-1] + y[1:])).sum() / 2)


def _floats(values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise ValueError("values must be finite")
    return array
