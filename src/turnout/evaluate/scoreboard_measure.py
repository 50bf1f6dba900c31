"""What a scoreboard says beyond `metrics.py`: intervals of curves, published composite scores. Floor 6.

Definitions are those of ROUTING.md section 4.2. Resamples draw whole groups, and every policy compared is
evaluated on the same draws.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from turnout.evaluate.metrics import N_RESAMPLES, Curve, Floats, Interval, aiq_range, ece, generator, hull

Columns = NDArray[np.intp]
AT_ONCE = 100
ARENA_MOST = 200.0
ARENA_LEAST = 0.0044
"""USD per 1,000 queries between which RouterArena scales cost."""
ARENA_BETA = 0.1
NEAR = 0.1
"""Predicted gaps below this are near the decision boundary."""
MAX_PAIRS = 66
"""All pairs of 12 models; in larger pools only pairs with the best model are compared."""


class Arena(Struct, frozen=True, kw_only=True):
    """RouterArena's score and its parts."""

    score: float
    accuracy: float
    usd_per_1k: float
    cost_score: float


class Optimal(Struct, frozen=True, kw_only=True):
    """Against the cheapest model that is right; only together do the three mean anything."""

    selected: float
    """Share of solvable items on which that model was picked."""
    cost: float
    """Its cost over the router's, on the solvable items."""
    accuracy: float
    """The router's score over its, on the solvable items."""


class Gap(Struct, frozen=True, kw_only=True):
    """How right predicted differences between models are."""

    auc: float | None
    brier: float
    ece_near: float | None
    """Calibration error where the predicted gap is below 0.1; None: it never is."""


class Gains(Struct, frozen=True, kw_only=True):
    """Relative gains, each data set weighing the same."""

    at_random: float | None
    at_best: float | None
    at_oracle: float | None
    """What is left up to the oracle."""


def arena(accuracy: float, usd_per_1k: float) -> Arena:
    """Return RouterArena's score: a weighted harmonic mean of accuracy and log cost.

    Source: RouterArena, `router_evaluation`: beta 0.1, cost from 0.0044 to 200 USD per 1,000 queries.
    """
    cost = min(max(usd_per_1k, ARENA_LEAST), ARENA_MOST)
    cheap = (math.log2(ARENA_MOST) - math.log2(cost)) / (math.log2(ARENA_MOST) - math.log2(ARENA_LEAST))
    bottom = ARENA_BETA * accuracy + cheap
    score = (1 + ARENA_BETA) * accuracy * cheap / bottom if bottom else 0.0
    return Arena(score=score, accuracy=accuracy, usd_per_1k=usd_per_1k, cost_score=cheap)


def optimal(scores: Floats, costs: Floats, chosen: Columns) -> Optimal | None:
    """Return how near the choices are to the cheapest model with score 1; None: no item is solved."""
    solved = (scores >= 1).any(axis=1)
    if not solved.any():
        return None
    best = np.where(scores >= 1, costs, np.inf)[solved].argmin(axis=1)
    rows = np.flatnonzero(solved)
    paid = float(costs[rows, chosen[rows]].sum())
    return Optimal(
        selected=float((best == chosen[rows]).mean()),
        cost=float(costs[rows, best].sum()) / paid if paid > 0 else math.nan,
        accuracy=float(scores[rows, chosen[rows]].sum() / scores[rows, best].sum()),
    )


def gains(mine: Floats, table: Floats, best: Floats, datasets: ArrayLike) -> Gains:
    """Return the relative gains over random choice and the best single model, and the gap to the oracle."""
    _, home = np.unique(np.asarray(datasets), return_inverse=True)
    sizes = np.bincount(home)
    means = [
        np.bincount(home, weights=values) / sizes
        for values in (mine, table.mean(axis=1), best, table.max(axis=1))
    ]
    got, at_random, single, top = means
    return Gains(
        at_random=_relative(got - at_random, at_random),
        at_best=_relative(got - single, single),
        at_oracle=_relative(top - got, top),
    )


def _relative(differences: Floats, base: Floats) -> float | None:
    return float((differences / base).mean()) if (base > 0).all() else None


def entropy(chosen: Columns) -> float:
    """Return the entropy of the shares in which models were chosen, in bits: 0 = always one model."""
    shares = np.unique(chosen, return_counts=True)[1] / chosen.size
    return float(-(shares * np.log2(shares)).sum()) + 0.0


def cpt_interp(curve: Floats, target: float) -> float:
    """Return the share of strong calls for a target as the published code interpolates it.

    It reads the share off the deciles of the curve as if that never fell; where it does, this is not `cpt`.
    """
    shares = np.linspace(0, 1, 11)
    deciles = np.interp(shares, np.linspace(0, 1, curve.size), curve)
    return float(np.interp(target, deciles, shares))


def cheapest_with(curve: Curve, quality: float) -> float | None:
    """Return the least cost at which a curve reaches a quality; None: it never does."""
    reached = np.flatnonzero(curve.qualities >= quality - 1e-12)
    if not reached.size:
        return None
    i = int(reached[0])
    if i == 0:
        return float(curve.costs[0])
    (x0, x1), (y0, y1) = curve.costs[i - 1 : i + 1], curve.qualities[i - 1 : i + 1]
    return float(x0 + (quality - y0) / (y1 - y0) * (x1 - x0))


def pareto_distance(cost: float, quality: float, frontier: Curve) -> float:
    """Return how far a point lies below a frontier, both axes scaled to the frontier's own range; 0 on it."""
    wide = float(frontier.costs[-1] - frontier.costs[0]) or 1.0
    high = float(frontier.qualities[-1] - frontier.qualities[0]) or 1.0
    if quality >= frontier.at(cost):
        return 0.0
    grid = np.linspace(frontier.costs[0], frontier.costs[-1], 401)
    best = np.interp(grid, frontier.costs, frontier.qualities)
    return float(np.hypot(np.maximum(cost - grid, 0) / wide, np.maximum(best - quality, 0) / high).min())


def gap_measures(predicted: Floats, scores: Floats) -> Gap:
    """Return how right the predicted differences are, over all pairs of models that matter."""
    gaps = [(predicted[:, a] - predicted[:, b], scores[:, a] - scores[:, b]) for a, b in _pairs(scores)]
    errors = [float(((mine - true) ** 2).mean()) for mine, true in gaps]
    near = [(mine, true) for mine, true in ((m[abs(m) < NEAR], t[abs(m) < NEAR]) for m, t in gaps)]
    close = np.concatenate([mine for mine, _ in near])
    seen = np.concatenate([true for _, true in near])
    return Gap(
        auc=_pooled_auc(gaps),
        brier=sum(errors) / len(errors),
        ece_near=ece(close, seen) if close.size else None,
    )


def _pairs(scores: Floats) -> Sequence[tuple[int, int]]:
    m = scores.shape[1]
    if m * (m - 1) // 2 <= MAX_PAIRS:
        return [(a, b) for a in range(m) for b in range(a + 1, m)]
    best = int(scores.mean(axis=0).argmax())
    return [(best, other) for other in range(m) if other != best]


def _pooled_auc(gaps: Sequence[tuple[Floats, Floats]]) -> float | None:
    """Return the mean area over pairs, each weighing as many items as it differs on; ties count half."""
    total = area = 0.0
    for mine, true in gaps:
        won, lost = np.sort(mine[true > 0]), np.sort(mine[true < 0])
        if not (won.size and lost.size):
            continue
        wins = np.searchsorted(lost, won, "left") + np.searchsorted(lost, won, "right")
        n = won.size + lost.size
        area += n * float(wins.mean()) / (2 * lost.size)
        total += n
    return area / total if total else None


# Intervals


def draws(groups: ArrayLike, name: str, seed: int, n_resamples: int) -> Iterator[Floats]:
    """Yield weights of items, a row a resample: how often each one's group was drawn."""
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    n = int(group.max()) + 1
    random = generator(name, seed)
    for start in range(0, n_resamples, AT_ONCE):
        rows = min(AT_ONCE, n_resamples - start)
        drawn = random.integers(0, n, size=(rows, n))
        drawn += n * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
        yield counts[:, group].astype(np.float64)


def mean_intervals(
    values: Floats, groups: ArrayLike, *, name: str, seed: int = 0, n_resamples: int = N_RESAMPLES
) -> list[Interval]:
    """Return the mean of each column with its interval, all on the same resamples of groups."""
    found = np.concatenate(
        [
            (weights @ values) / weights.sum(axis=1)[:, None]
            for weights in draws(groups, name, seed, n_resamples)
        ]
    )
    return [_interval(float(values[:, k].mean()), found[:, k]) for k in range(values.shape[1])]


def apgr_intervals(
    wishes: Sequence[Floats],
    scores: tuple[Floats, Floats],
    groups: ArrayLike,
    *,
    name: str,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
) -> list[tuple[Interval, Interval]]:
    """Return each wish's area with its interval, and its difference from the first one's with its own.

    Args:
        wishes: A router's wish to use the strong model, per item; the first is what others are compared to.
        scores: Of the strong and of the weak model.
        groups: What is resampled together.
        name: What is compared; with `seed` it fixes the random numbers.
        seed: Of the comparison.
        n_resamples: Number of resamples.
    """
    gain = scores[0] - scores[1]
    areas = [_area(wish, gain) for wish in wishes]
    whole = np.array([area(np.ones((1, gain.size)))[0] for area in areas])
    found = np.concatenate(
        [
            np.stack([area(weights) for area in areas], axis=1)
            for weights in draws(groups, name, seed, n_resamples)
        ]
    )
    found = found[np.isfinite(found).all(axis=1)]
    return [
        (
            _interval(float(whole[i]), found[:, i]),
            _interval(float(whole[0] - whole[i]), found[:, 0] - found[:, i]),
        )
        for i in range(len(areas))
    ]


def _area(wish: Floats, gain: Floats) -> Callable[[Floats], Floats]:
    """Return the area under a wish's curve as a function of the items' weights; ties are averaged."""
    order = np.argsort(-wish, kind="stable")
    starts = np.flatnonzero(np.concatenate(([True], np.diff(wish[order]) != 0)))

    def area(weights: Floats) -> Floats:
        ranked = weights[:, order]
        n = np.add.reduceat(ranked, starts, axis=1)
        got = np.add.reduceat(ranked * gain[order], starts, axis=1)
        after = got.cumsum(axis=1)
        total = after[:, -1]
        with np.errstate(divide="ignore", invalid="ignore"):
            found: Floats = (n * (after - got / 2)).sum(axis=1) / (n.sum(axis=1) * total)
        return np.where(total > 0, found, np.nan)

    return area


class Sweep(Struct, frozen=True, eq=False):
    """Scores and costs of every item at each setting of a router (or of each single model)."""

    name: str
    scores: Floats
    """Settings x items."""
    costs: Floats


def aiq_intervals(
    sweeps: Sequence[Sweep],
    groups: ArrayLike,
    *,
    name: str,
    singles: Sweep,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
) -> list[Interval]:
    """Return the interval of the first sweep's AIQ-range minus that of each other one; None others: empty.

    The range of costs is that of the single models, drawn anew with each resample.
    """
    ones = np.ones((1, singles.scores.shape[1]))
    whole = _aiqs(sweeps, singles, ones)[0]
    found = np.concatenate(
        [_aiqs(sweeps, singles, weights) for weights in draws(groups, name, seed, n_resamples)]
    )
    return [_interval(float(whole[0] - whole[i]), found[:, 0] - found[:, i]) for i in range(1, len(sweeps))]


def _aiqs(sweeps: Sequence[Sweep], singles: Sweep, weights: Floats) -> Floats:
    totals = weights.sum(axis=1)
    pool = (weights @ singles.costs.T) / totals[:, None]
    found = np.empty((weights.shape[0], len(sweeps)))
    for s, sweep in enumerate(sweeps):
        costs = (weights @ sweep.costs.T) / totals[:, None]
        qualities = (weights @ sweep.scores.T) / totals[:, None]
        for b in range(weights.shape[0]):
            curve = hull(costs[b], qualities[b])
            found[b, s] = aiq_range(curve, float(pool[b].min()), float(pool[b].max()))
    return found


def curve_band(
    sweep: Sweep, groups: ArrayLike, grid: Floats, *, name: str, n_resamples: int
) -> tuple[Floats, Floats]:
    """Return the pointwise 95 % band of a sweep's hull at the costs of `grid`."""
    rows = []
    for weights in draws(groups, name, 0, n_resamples):
        totals = weights.sum(axis=1)[:, None]
        costs, qualities = (weights @ sweep.costs.T) / totals, (weights @ sweep.scores.T) / totals
        for c, q in zip(costs, qualities, strict=True):
            curve = hull(c, q)
            rows.append(np.interp(grid, curve.costs, curve.qualities))
    low, high = np.quantile(np.array(rows), (0.025, 0.975), axis=0)
    return low, high


def _interval(mean: float, found: Floats) -> Interval:
    low, high = np.quantile(found, (0.025, 0.975)) if found.size else (math.nan, math.nan)
    return Interval(mean, float(low), float(high))
