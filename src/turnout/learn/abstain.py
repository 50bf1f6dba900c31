"""When a learned router had better not route: it ranks nothing, or it may lose. Floor 2.

1. *Gap-AUC*: over the queries on which two models differ, does the predicted gap rank those that the first
   one wins above those it loses? Pooled over all pairs of models, each weighing as many queries as it differs
   on. At most 0.55 is no edge; neither is more that may be chance, its lower 95 % end being at most 0.5: on a
   few hundred differing queries, one in ten routers without any knowledge reaches 0.55.
2. *Non-inferiority*: the mean utility of following the predictions minus that of the best single model. Its
   lower 95 % end below -0.01 means that routing may well lose what one model alone would keep. A router that
   hardly ever left the best model has shown next to nothing, not certainty: its interval is at least 3 / n
   wide to either side (the rule of three for what was not seen in n queries).
3. Predictions have to come from models that never saw the query's labels (cross-validation). Intervals treat
   a group of queries as one observation, and a query's share in several pairs as one: no resampling, no seed.

Source: DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated receiver
operating characteristic curves" (Biometrics 44, 1988), for the variance of the pooled area.
"""

import math
from itertools import combinations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from turnout.learn.base import Floats

LEAST_AUC = 0.55
CHANCE = 0.5
MARGIN = 0.01
"""Utility that a router may lose against the best single model and still count as not worse."""
Z_95 = 1.96
"""Both ends of a 95 % interval of the normal."""
UNSEEN = 3.0
"""Events that may be expected, at 95 %, where none was seen."""
FEWEST = 30
"""Queries below which an interval of this kind means nothing."""

Indices = NDArray[np.intp]


class Range(Struct, frozen=True):
    """A number with its 95 % interval."""

    mean: float
    low: float
    high: float


class Edge(Struct, frozen=True, kw_only=True):
    """What following the predictions is worth, as far as held-out labels show."""

    n: int
    """Queries on which the router and the best single model can be compared."""
    best: int
    """Column of the best single model."""
    gap_auc: Range | None
    """None: no two models ever trade wins, so there is nothing to rank."""
    difference: Range
    """Utility of the router minus that of the best single model."""

    @property
    def reason(self) -> str | None:
        """Why to abstain, in words for a Record; None: the router has an edge."""
        if self.n < FEWEST:
            return f"only {self.n} held-out queries; at least {FEWEST} are needed to show an edge"
        if self.gap_auc is None:
            return "no two models trade wins: there is nothing to choose"
        if self.gap_auc.mean <= LEAST_AUC:
            return f"gap-AUC {self.gap_auc.mean:.3f} is at most {LEAST_AUC}: predictions tell no models apart"
        if self.gap_auc.low <= CHANCE:
            return (
                f"gap-AUC {self.gap_auc.mean:.3f} may be chance: its lower 95 % end is {self.gap_auc.low:.3f}"
            )
        if self.difference.low < -MARGIN:
            return (
                f"not shown to be as good as the best single model: the lower 95 % end of the difference is "
                f"{self.difference.low:+.3f}, below {-MARGIN}"
            )
        return None


def abstain_reason(
    predicted: Floats, scores: Floats, *, charges: Floats | None = None, groups: Indices | None = None
) -> str | None:
    """Return why a router should not route, or None where held-out labels show that it may.

    Args:
        predicted: Held-out predicted scores, one row a query, one column a model.
        scores: Observed, of the same shape; NaN where a model was not evaluated.
        charges: What is subtracted from each score to make it a utility (λ times cost, …); None: nothing.
        groups: Which group a query belongs to (turns, paraphrases); None: each is its own.

    Raises:
        ValueError: The shapes disagree, a number is out of range, or there is only one model.
    """
    return edge(predicted, scores, charges=charges, groups=groups).reason


def edge(
    predicted: Floats, scores: Floats, *, charges: Floats | None = None, groups: Indices | None = None
) -> Edge:
    """Return what `abstain_reason` judges by. Arguments as there."""
    paid = np.zeros_like(scores) if charges is None else charges
    belongs = np.arange(scores.shape[0]) if groups is None else groups
    _check(predicted, scores, paid, belongs)
    value, wish = scores - paid, predicted - paid
    evaluated = ~np.isnan(value)
    counts = evaluated.sum(axis=0)
    means = np.where(counts, np.nansum(value, axis=0) / np.maximum(counts, 1), -math.inf)
    best = int(means.argmax())
    picked = wish.argmax(axis=1)
    rows = np.arange(value.shape[0])
    difference = value[rows, picked] - value[:, best]
    known = ~np.isnan(difference)
    return Edge(
        n=int(known.sum()),
        best=best,
        gap_auc=_pooled_auc(predicted, scores, belongs),
        difference=mean_range(difference[known], belongs[known]),
    )


def mean_range(values: Floats, groups: Indices) -> Range:
    """Return a mean of differences with its interval; queries of one group count as one observation."""
    if values.size == 0:
        return Range(0.0, -math.inf, math.inf)
    mean = float(values.mean())
    _, group = np.unique(groups, return_inverse=True)
    sums = np.bincount(group, weights=values - mean)
    few = sums.size / max(sums.size - 1, 1)
    half = max(Z_95 * math.sqrt(few * float(sums @ sums)) / values.size, UNSEEN / sums.size)
    return Range(mean, mean - half, mean + half)


def _pooled_auc(predicted: Floats, scores: Floats, groups: Indices) -> Range | None:
    n, n_models = scores.shape
    _, group = np.unique(groups, return_inverse=True)
    influence = np.zeros(n)
    area, total = 0.0, 0
    for a, b in combinations(range(n_models), 2):
        won = scores[:, a] - scores[:, b]
        rows = np.flatnonzero((won != 0) & ~np.isnan(won))
        better = won[rows] > 0
        n_better = int(better.sum())
        if n_better in {0, rows.size}:
            continue
        place = _placements(predicted[rows, a] - predicted[rows, b], better)
        auc = float(place[better].mean())
        influence[rows] += rows.size * (place - auc) / np.where(better, n_better, rows.size - n_better)
        area, total = area + rows.size * auc, total + rows.size
    if not total:
        return None
    sums = np.bincount(group, weights=influence) / total
    half = Z_95 * math.sqrt(float(sums @ sums))
    return Range(area / total, area / total - half, area / total + half)


def _placements(gap: Floats, better: NDArray[np.bool_]) -> Floats:
    """Return for each query the share of the other kind that it is ranked rightly against; ties are half."""
    wins, losses = np.sort(gap[better]), np.sort(gap[~better])
    below = (np.searchsorted(losses, gap, "left") + np.searchsorted(losses, gap, "right")) / 2 / losses.size
    above = 1 - (np.searchsorted(wins, gap, "left") + np.searchsorted(wins, gap, "right")) / 2 / wins.size
    return np.where(better, below, above)


def _check(predicted: Floats, scores: Floats, charges: Floats, groups: Indices) -> None:
    if predicted.shape != scores.shape or charges.shape != scores.shape or groups.shape != scores.shape[:1]:
        raise ValueError(
            f"predictions {predicted.shape}, scores {scores.shape}, charges {charges.shape} and groups "
            f"{groups.shape} do not fit together"
        )
    if scores.shape[1] < 2:
        raise ValueError("one model only: there is nothing to choose")
    if not (np.isfinite(predicted).all() and np.isfinite(charges).all()):
        raise ValueError("predictions and charges must be finite")
    known = scores[~np.isnan(scores)]
    if not ((known >= 0) & (known <= 1)).all():
        raise ValueError("scores must be within 0-1, or NaN where a model was not evaluated")
