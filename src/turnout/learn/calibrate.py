"""How bold a router may be without losing more than was promised. Floor 2.

Theory of operation (ROUTING.md section 5).

1. Policies are ordered from safe to bold: policy j routes away from the reference every request whose
   predicted gap is at most threshold j. Losses are reference score minus policy score, within [-1, 1].
2. For each policy in that order a bettor with wealth 1 bets against "the mean loss is at least epsilon". A
   bet depends on earlier losses only, so where the statement is true the wealth is a non-negative
   supermartingale: it reaches 1/delta with probability at most delta (Ville; Markov for averaged orders).
3. Testing stops at the first policy that cannot be shown safe. The last one before it is the answer; since
   each policy is tested only after all safer ones passed, the error of the whole sequence stays at delta.
4. Nothing is assumed about the predictor. What is assumed: calibration items are exchangeable with the
   traffic, none trained the predictor, and thresholds come from other, unlabelled items.

Source: Angelopoulos et al., "Learn then Test" (arXiv 2110.01052); Waudby-Smith and Ramdas, "Estimating means
of bounded random variables by betting" (arXiv 2010.09686); "Conformal Risk Control" (arXiv 2208.02814).
"""

import math
from collections.abc import Callable, Iterable
from typing import Literal, TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from turnout.learn.monitor import LEVEL, N_BETTORS, stakes

Floats: TypeAlias = NDArray[np.float64]
Order: TypeAlias = Literal["averaged", "hashed"]

N_THRESHOLDS = 50
N_ORDERS = 40
FIRST_VARIANCE = 0.05
"""What a bettor assumes of losses before seeing any: about one in twenty requests differs."""
LARGEST_STAKE = 0.9
"""Share of the wealth that the worst possible loss may take; below 1 so that nobody is ever ruined."""


class Promise(Struct, frozen=True, kw_only=True):
    """What is to be shown: the mean loss is at most `epsilon`, wrong with probability at most `delta`."""

    epsilon: float
    """Largest mean loss of quality, in points of score; 0.02 is two points."""
    delta: float = 0.1
    order: Order = "averaged"
    """`averaged` over 40 orders of the items: stable. `hashed`: one order, more power where n is small."""

    def __post_init__(self) -> None:
        if not 0 < self.epsilon < 1:
            raise ValueError(f"epsilon is {self.epsilon}; expected above 0 and below 1")
        if not 0 < self.delta < 1:
            raise ValueError(f"delta is {self.delta}; expected above 0 and below 1")


class Boundary(Struct, frozen=True, kw_only=True):
    """How far the sequence of tests got."""

    index: int
    """Of the boldest policy shown safe; -1 for none: route nothing."""
    evidence: tuple[float, ...]
    """Log wealth of each policy that was tested, the last being the one that failed, if one did."""


def items_needed(promise: Promise) -> int:
    """Return the fewest items with which the bets can show anything, even without a single loss."""
    gain = math.log1p(LARGEST_STAKE * promise.epsilon / (1 - promise.epsilon))
    return math.ceil(math.log(1 / promise.delta) / gain)


def items_needed_by_any_method(promise: Promise) -> int:
    """Return the floor under `items_needed`: with fewer, no losses at all prove nothing."""
    return math.ceil(math.log(1 / promise.delta) / -math.log1p(-promise.epsilon))


def thresholds(gaps: Floats, n: int = N_THRESHOLDS) -> Floats:
    """Return the quantiles 1/n … 1 of predicted gaps, rising, each once.

    Args:
        gaps: Predictions for items that are *not* in the calibration set; needs no labels.
        n: Number of quantiles.
    """
    if gaps.size == 0 or not np.isfinite(gaps).all():
        raise ValueError("thresholds need at least one predicted gap, all finite")
    last = (np.arange(1, n + 1) * gaps.size + n - 1) // n - 1  # in whole numbers: a quantile is an item
    return np.unique(np.sort(gaps)[last])


def losses_at(gaps: Floats, losses: Floats, grid: Floats) -> Floats:
    """Return the losses of every policy: one row a threshold, one column an item.

    Args:
        gaps: Predicted gap of each item.
        losses: Reference score minus the other model's score, per item: what routing it away costs.
        grid: Thresholds, rising.
    """
    routed: Floats = np.where(gaps[None, :] <= grid[:, None], losses[None, :], 0.0)
    return routed


def picks_at(gaps: Floats, wishes: Floats, grid: Floats) -> NDArray[np.intp]:
    """Return whom every policy asks where there are several models: one row a threshold, one column an item.

    Of the models whose predicted gap is within the threshold the one wished for most; -1: the reference.

    Args:
        gaps: Predicted gap to the reference, one row an item, one column a model; infinite: not on offer.
        wishes: Utility of each model for each item; ties go to the first column.
        grid: Thresholds, rising.
    """
    within = gaps[None, :, :] <= grid[:, None, None]
    best = np.where(within, wishes[None, :, :], -np.inf).argmax(axis=2)
    return np.where(within.any(axis=2), best, -1)


def losses_of(picks: NDArray[np.intp], losses: Floats) -> Floats:
    """Return the losses of every policy, as `losses_at` does.

    Args:
        picks: Whom each policy asks (`picks_at`).
        losses: Reference score minus the model's, one row an item, one column a model.
    """
    items = np.arange(losses.shape[0])
    found: Floats = np.where(picks >= 0, losses[items[None, :], np.maximum(picks, 0)], 0.0)
    return found


def log_wealth(losses: Floats, promise: Promise) -> Floats:
    """Return the log wealth after each loss, along the last axis; leading axes are separate games."""
    n = losses.shape[-1]
    count = np.arange(2, n + 2, dtype=np.float64)
    mean = np.cumsum(losses, axis=-1) / count
    variance = (FIRST_VARIANCE + np.cumsum((losses - mean) ** 2, axis=-1)) / count
    before = np.empty_like(variance)
    before[..., 0] = FIRST_VARIANCE
    before[..., 1:] = variance[..., :-1]
    stake = np.sqrt(2 * math.log(1 / promise.delta) / n / before)
    np.minimum(stake, LARGEST_STAKE / (1 - promise.epsilon), out=stake)
    wealth: Floats = np.cumsum(np.log1p(-stake * (losses - promise.epsilon)), axis=-1)
    return wealth


def log_evidence(losses: Floats, promise: Promise, orders: NDArray[np.intp]) -> float:
    """Return the log evidence that the mean loss is below epsilon; enough at log(1/delta).

    Args:
        losses: One policy's losses within [-1, 1].
        promise: What is to be shown.
        orders: Permutations of the items, one a row; fixed before the losses were looked at.
    """
    if promise.order == "hashed":
        return float(log_wealth(losses[orders[0]], promise).max())
    final = log_wealth(losses[orders], promise)[:, -1]
    top = float(final.max())
    return top + math.log(float(np.exp(final - top).mean()))


def orders_of(n: int, promise: Promise, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return the permutations that `log_evidence` uses. Seed `rng` from the data's hash: never choose."""
    return np.stack([rng.permutation(n) for _ in range(1 if promise.order == "hashed" else N_ORDERS)])


def log_alarm(losses: Floats, epsilon: float) -> Floats:
    """Return the log evidence that the mean loss is above epsilon, after each loss along the last axis.

    What `monitor.LossWatch` computes one loss at a time, for many games at once.
    """
    found: Floats = np.full(losses.shape, -np.inf)
    for stake in stakes(epsilon):
        np.logaddexp(found, np.cumsum(np.log1p(stake * (losses - epsilon)), axis=-1), out=found)
    return found - math.log(N_BETTORS)


def alarm_delay(losses: Floats, epsilon: float) -> int | None:
    """Return the median number of losses until the alarm; None where most games end without one.

    Args:
        losses: One game a row, of which the true mean is above epsilon.
        epsilon: What was promised.
    """
    alarmed = log_alarm(losses, epsilon) >= -math.log(LEVEL)
    if alarmed.any(axis=-1).mean() <= 0.5:
        return None
    first = np.where(alarmed.any(axis=-1), alarmed.argmax(axis=-1) + 1, losses.shape[-1] + 1)
    return int(np.median(first))


def certify_by_betting(losses: Floats, promise: Promise, rng: np.random.Generator) -> Boundary:
    """Return how bold a policy may be: the betting bound within fixed-sequence testing.

    Args:
        losses: One row a policy from safe to bold, one column an item (see `losses_at`).
        promise: What is to be shown.
        rng: Seeded from the hash of the data.
    """
    _check(losses)
    orders = orders_of(losses.shape[1], promise, rng)
    needed = math.log(1 / promise.delta)
    return _fixed_sequence((log_evidence(row, promise, orders) for row in losses), lambda e: e >= needed)


def certify_by_binomial(failures: Floats, promise: Promise) -> Boundary:
    """Return how bold a policy may be where an item either fails (1) or does not (0): Clopper-Pearson.

    Stricter than the betting bound on signed losses: items that only the cheap model solves earn nothing.
    The evidence is the negative log of the p-value.

    Args:
        failures: One row a policy from safe to bold, one column an item.
        promise: What is to be shown.
    """
    _check(failures)
    if not np.isin(failures, (0.0, 1.0)).all():
        raise ValueError("failures hold something other than 0 and 1; use the betting bound")
    n = failures.shape[1]
    evidence = (-_log_binomial_cdf(int(row.sum()), n, promise.epsilon) for row in failures)
    needed = math.log(1 / promise.delta)
    return _fixed_sequence(evidence, lambda e: e >= needed)


def tune_by_conformal_risk(losses: Floats, epsilon: float) -> int:
    """Return the boldest policy whose *expected* positive loss is at most epsilon; -1 for none.

    A tool for tuning, not a promise about this calibration set: it bounds the mean over calibration sets.
    Wins are counted as no loss, which makes the loss grow with the routed set, as the method requires.

    Args:
        losses: One row a policy from safe to bold with nested routed sets, one column an item.
        epsilon: Largest expected loss.
    """
    _check(losses)
    n = losses.shape[1]
    bounds = (np.maximum(losses, 0.0).sum(axis=1) + 1.0) / (n + 1)
    within = np.flatnonzero(bounds <= epsilon)
    return int(within[-1]) if within.size else -1


def tune_naively(losses: Floats, epsilon: float) -> int:
    """Return the boldest policy whose observed mean loss is at most epsilon: the number to compare with.

    It keeps no promise: about every second calibration set leads it past epsilon.
    """
    _check(losses)
    within = np.flatnonzero(losses.mean(axis=1) <= epsilon)
    return int(within[-1]) if within.size else -1


def clopper_pearson_upper(failures: int, n: int, delta: float) -> float:
    """Return the exact upper confidence bound of a failure rate, one-sided at level 1 - delta."""
    if not 0 <= failures <= n or n < 1:
        raise ValueError(f"{failures} failures of {n}; expected 0 to n of at least 1")
    low, high = failures / n, 1.0
    if failures == n:
        return 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _log_binomial_cdf(failures, n, middle) > math.log(delta):
            low = middle
        else:
            high = middle
    return high


def _log_binomial_cdf(k: int, n: int, p: float) -> float:
    """Return log P(Bin(n, p) <= k) for 0 < p < 1, from log-gamma: no overflow at any n."""
    if k >= n:
        return 0.0
    chances = [
        math.lgamma(n + 1)
        - math.lgamma(i + 1)
        - math.lgamma(n - i + 1)
        + i * math.log(p)
        + (n - i) * math.log1p(-p)
        for i in range(k + 1)
    ]
    top = max(chances)
    return min(0.0, top + math.log(math.fsum(math.exp(chance - top) for chance in chances)))


def _fixed_sequence(evidence: Iterable[float], is_enough: Callable[[float], bool]) -> Boundary:
    """Test until the first failure: what comes after it is not even looked at."""
    seen: list[float] = []
    for value in evidence:
        seen.append(value)
        if not is_enough(value):
            return Boundary(index=len(seen) - 2, evidence=tuple(seen))
    return Boundary(index=len(seen) - 1, evidence=tuple(seen))


def _check(losses: Floats) -> None:
    if losses.ndim != 2 or losses.size == 0:
        raise ValueError(
            f"losses have shape {losses.shape}; expected policies by items, at least one of each"
        )
    if not (np.abs(losses) <= 1).all():
        raise ValueError("losses must be finite and within -1 and 1")
