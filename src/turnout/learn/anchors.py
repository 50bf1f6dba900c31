"""Which prompts a new model should be tried on first, what they will tell, and how it joins. Floor 2.

Theory of operation.

1. Models are weight vectors over features; a new one is drawn from where the known ones lie: around their
   mean, spread along the directions in which they differ, and a little in every other (`prior_of`). Fifty
   answers place it along those few directions; they could never fill in hundreds of free weights.
2. Anchors are chosen greedily: each is the prompt whose answer takes most off the mean variance of the
   predicted quality over all prompts, for p at the prior mean. S then shrinks by one rank, and so on. At most
   ⌈2n/cells⌉ come from one cell (ROUTING.md 3.7). The determinant of S, the textbook's criterion, prefers
   strange prompts, which tell much about weights and little about the usual prompt (docs/adr/038).
3. How surely the mean quality will be known after k answers follows from S alone, before anything is spent.
4. Joining is the same Newton step as any fit, with that prior. The other models do not move.
"""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from turnout.learn.base import Floats
from turnout.learn.descent import sigmoid

MAX_STEPS = 40
TOLERANCE = 1e-8
SHARE_OUTSIDE = 0.02
"""Of the freedom that a fit gives each model: what a new one may differ in that the known ones do not."""


class Normal(Struct, frozen=True, eq=False):
    """What is believed of a model's weights."""

    mean: Floats
    covariance: Floats


class Anchors(Struct, frozen=True, eq=False, kw_only=True):
    """Prompts in the order in which they should be evaluated."""

    rows: NDArray[np.int64]
    sd: Floats
    """Of the mean quality over all prompts, after 0, 1, … answers."""
    cell_sd: Floats
    """The same within each cell: answers x cells, in the order of `cells`."""
    cells: NDArray[np.int64]
    """Cells that have prompts."""


def prior_of(weights: Floats, precision: Floats, outside: float = SHARE_OUTSIDE) -> Normal:
    """Return what the known models say of an unknown one.

    Args:
        weights: One row a known model.
        precision: How firmly each weight is held to the common ones when models are fitted.
        outside: Share of that freedom left in every direction. With one known model it is all there is.
    """
    n, d = weights.shape
    if precision.shape != (d,) or not (precision > 0).all() or not np.isfinite(weights).all():
        raise ValueError(f"{precision.size} precisions for {d} weights, or numbers that cannot be")
    mean = weights.mean(axis=0)
    if n == 1:
        return Normal(mean, np.diag(1 / precision))
    away = weights - mean
    # One more than is known: the mean of few models is itself uncertain.
    covariance = away.T @ away / (n - 1) * (1 + 1 / n)
    covariance[np.diag_indices(d)] += outside / precision
    return Normal(mean, covariance)


def choose_anchors(prior: Normal, features: Floats, home: NDArray[np.int64], n: int) -> Anchors:
    """Return the prompts that tell most about a new model.

    Args:
        prior: What is believed of it.
        features: One row a prompt to choose from.
        home: Cell of each prompt.
        n: How many; at most as many as there are prompts.

    Raises:
        ValueError: Nothing to choose from, or shapes disagree.
    """
    size, d = features.shape
    if not 1 <= n <= size or home.shape != (size,) or prior.mean.shape != (d,):
        raise ValueError(f"cannot choose {n} of {size} prompts with {d} features ({prior.mean.size} weights)")
    if not np.isfinite(features).all():
        raise ValueError("features must be finite")
    cells, place = np.unique(home, return_inverse=True)
    cap = -(-2 * n // cells.size)
    p = sigmoid(features @ prior.mean)
    information = p * (1 - p)
    covariance = prior.covariance.copy()
    # Var[σ(u)] is (p(1-p))² φᵀSφ; its mean over prompts is the trace of S times this.
    usual = (features * information[:, None] ** 2).T @ features / size
    weighted = features * information[:, None]
    means = np.stack([weighted[place == c].mean(axis=0) for c in range(cells.size)])
    targets = np.vstack((weighted.mean(axis=0), means))
    free, taken = np.ones(size, dtype=np.bool_), np.zeros(cells.size, dtype=np.int64)
    rows: list[int] = []
    sd = [_sd(covariance, targets)]
    for _ in range(n):
        open_ = free & (taken[place] < cap)
        spread = features @ covariance
        variance = np.einsum("ij,ij->i", spread, features)
        gain = information * np.einsum("ij,ij->i", spread @ usual, spread) / (1 + information * variance)
        # A cap on crowded cells must not end the choice while prompts are left.
        best = int(np.where(open_ if open_.any() else free, gain, -np.inf).argmax())
        reach = spread[best]
        share = information[best] / (1 + information[best] * variance[best])
        covariance -= share * np.outer(reach, reach)
        free[best] = False
        taken[place[best]] += 1
        rows.append(best)
        sd.append(_sd(covariance, targets))
    table = np.array(sd)
    return Anchors(rows=np.array(rows), sd=table[:, 0], cell_sd=table[:, 1:], cells=cells)


def join(prior: Normal, features: Floats, scores: Floats, weights: Floats | None = None) -> Normal:
    """Return what is believed of a model after some answers: Laplace's posterior.

    Args:
        prior: What was believed before.
        features: One row an answered prompt.
        scores: Within 0-1, one a prompt.
        weights: One a prompt; None: 1 each.

    Raises:
        ValueError: Scores are missing or out of range, or shapes disagree.
    """
    if features.shape != (scores.size, prior.mean.size) or not scores.size:
        raise ValueError(f"{scores.size} scores for features {features.shape} and {prior.mean.size} weights")
    bad = np.flatnonzero(~((scores >= 0) & (scores <= 1)))
    if bad.size:
        raise ValueError(f"scores must be within 0-1: row {', '.join(map(str, bad[:5]))}")
    omega = np.ones_like(scores) if weights is None else weights
    # Newton in the span of the answered prompts: n x n instead of d x d, and no inverse of the prior.
    kernel = features @ prior.covariance @ features.T
    offset = features @ prior.mean
    dual = np.zeros_like(scores)
    value = _objective(dual, kernel, offset, scores, omega)
    for _ in range(MAX_STEPS):
        p = sigmoid(offset + kernel @ dual)
        curved = np.maximum(omega * p * (1 - p), 1e-12)
        gradient = dual + omega * (p - scores)
        if np.abs(gradient).max() < TOLERANCE:
            break
        step = np.linalg.solve(np.eye(scores.size) + curved[:, None] * kernel, gradient)
        size = 1.0
        while (
            lower := _objective(dual - size * step, kernel, offset, scores, omega)
        ) > value and size > 1e-6:
            size /= 2
        dual, value = dual - size * step, lower
    p = sigmoid(offset + kernel @ dual)
    curved = np.maximum(omega * p * (1 - p), 1e-12)
    reach = prior.covariance @ features.T
    mean = prior.mean + reach @ dual
    covariance = prior.covariance - reach @ np.linalg.solve(np.diag(1 / curved) + kernel, reach.T)
    return Normal(mean, (covariance + covariance.T) / 2)


def mean_quality(belief: Normal, features: Floats) -> tuple[float, float]:
    """Return the mean quality over some prompts, and its sd."""
    p = sigmoid(features @ belief.mean)
    slope = (features * (p * (1 - p))[:, None]).mean(axis=0)
    return float(p.mean()), float(_sd(belief.covariance, slope[None, :])[0])


def plan_lines(anchors: Anchors, costs_usd: Sequence[float] | None, after: Sequence[int]) -> list[str]:
    """Return what is told before anything is spent: cost, and how surely quality will be known."""
    lines = []
    if costs_usd is not None:
        known = np.array(costs_usd)[anchors.rows]
        lines.append(f"expected cost of {anchors.rows.size} evaluations: ${known.sum():.4f}")
    for k in sorted({0, *(k for k in after if k <= anchors.rows.size), anchors.rows.size}):
        worst = int(anchors.cell_sd[k].argmax())
        lines.append(
            f"after {k:>3} evaluations: mean quality known to ± {anchors.sd[k]:.3f} (1 sd); "
            f"worst cell {int(anchors.cells[worst])} ± {anchors.cell_sd[k, worst]:.3f}"
        )
    return lines


def _objective(dual: Floats, kernel: Floats, offset: Floats, scores: Floats, omega: Floats) -> float:
    away = kernel @ dual
    u = offset + away
    return float((omega * (np.logaddexp(0.0, u) - scores * u)).sum() + 0.5 * dual @ away)


def _sd(covariance: Floats, slopes: Floats) -> Floats:
    found: Floats = np.sqrt(
        np.maximum(np.einsum("ij,jk,ik->i", slopes, covariance, slopes, optimize=True), 0)
    )
    return found
