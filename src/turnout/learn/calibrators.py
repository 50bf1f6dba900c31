"""Straightens predicted scores where held-out labels show that it helps. Floor 2.

Each model gets two numbers (Platt: slope and offset of the log odds) or a rising curve (isotonic). Either is
adopted only if it lowers the held-out error of the *gaps* between models by more than one standard error:
what routing needs is which model is better here, not a pretty level (ROUTING.md 3.5).
"""

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
from msgspec import Struct

from turnout.learn.base import Floats
from turnout.learn.isotonic import fit_isotonic

N_KNOTS: Final = 33
"""A curve is stored at this many places, evenly over 0-1."""
KNOTS: Final = np.linspace(0.0, 1.0, N_KNOTS)
FEWEST: Final = 50
"""Labels of a model below which it is left as it is."""
RIDGE: Final = 1.0
"""Draws slope to 1 and offset to 0."""
EDGE: Final = 1e-3
MAX_STEPS: Final = 20

Kind = Literal["platt", "isotonic"]


class Calibrators(Struct, frozen=True, eq=False):
    """One rising curve a model, drawn through `KNOTS`."""

    curves: Floats
    """Models x knots."""

    def at(self, means: Floats) -> Floats:
        """Return the straightened scores."""
        place = np.clip(means, 0.0, 1.0) * (N_KNOTS - 1)
        left = np.minimum(place.astype(np.int64), N_KNOTS - 2)
        column = np.arange(means.shape[1])
        low, high = self.curves[column, left], self.curves[column, left + 1]
        found: Floats = low + (high - low) * (place - left)
        return found


def gap_errors(predicted: Floats, scores: Floats) -> Floats:
    """Return for each row the mean squared error of the gaps between its models; NaN with fewer than two."""
    known = ~np.isnan(scores)
    count = known.sum(axis=1)
    error = np.where(known, predicted - np.nan_to_num(scores), 0.0)
    mean = error.sum(axis=1) / np.maximum(count, 1)
    squares = np.where(known, (error - mean[:, None]) ** 2, 0.0).sum(axis=1)
    # Over pairs: Σ_{a<b} (d_a - d_b)² = count · Σ (d - mean)², of count (count - 1) / 2 pairs.
    return np.where(count > 1, 2 * squares / np.maximum(count - 1, 1), np.nan)


def improves(before: Floats, after: Floats) -> bool:
    """Tell whether errors fell by more than one standard error."""
    change = before - after
    change = change[~np.isnan(change)]
    if change.size < FEWEST:
        return False
    return bool(change.mean() > change.std(ddof=1) / np.sqrt(change.size))


def choose(predicted: Floats, scores: Floats, folds: Sequence[Floats]) -> Kind | None:
    """Return the kind that held-out gaps like best; None: none helps.

    Args:
        predicted: Held-out predictions.
        scores: Labels; NaN: none.
        folds: Masks of rows; each fold is straightened by the others.
    """
    before = gap_errors(predicted, scores)
    best: tuple[float, Kind] | None = None
    for kind in _KINDS:
        straight = held_out(kind, predicted, scores, folds)
        after = gap_errors(straight, scores)
        if improves(before, after) and (best is None or np.nanmean(after) < best[0]):
            best = (float(np.nanmean(after)), kind)
    return None if best is None else best[1]


def held_out(kind: Kind, predicted: Floats, scores: Floats, folds: Sequence[Floats]) -> Floats:
    """Return predictions straightened by what other folds show."""
    found = predicted.copy()
    for fold in folds:
        rest, held = np.flatnonzero(fold == 0), np.flatnonzero(fold != 0)
        found[held] = fit_calibrators(kind, predicted[rest], scores[rest]).at(predicted[held])
    return found


def fit_calibrators(kind: Kind, predicted: Floats, scores: Floats) -> Calibrators:
    """Return the curves of one kind; a model with few labels keeps its predictions."""
    curves = np.tile(KNOTS, (predicted.shape[1], 1))
    for m in range(predicted.shape[1]):
        known = ~np.isnan(scores[:, m])
        if known.sum() < FEWEST:
            continue
        x, y = predicted[known, m], scores[known, m]
        curves[m] = _platt(x, y) if kind == "platt" else fit_isotonic(x, y).at(KNOTS)
    return Calibrators(curves)


def _platt(x: Floats, y: Floats) -> Floats:
    u = _logit(x)
    design = np.stack([u, np.ones_like(u)], axis=1)
    w, prior = np.array([1.0, 0.0]), np.array([1.0, 0.0])
    for _ in range(MAX_STEPS):
        p = 0.5 * (1 + np.tanh(0.5 * (design @ w)))
        gradient = design.T @ (p - y) + RIDGE * (w - prior)
        step = np.linalg.solve((design * (p * (1 - p))[:, None]).T @ design + RIDGE * np.eye(2), gradient)
        w = w - step
        if np.abs(step).max() < 1e-8:
            break
    curve: Floats = 0.5 * (1 + np.tanh(0.5 * (max(w[0], 0.0) * _logit(KNOTS) + w[1])))
    return curve


def _logit(p: Floats) -> Floats:
    inside = np.clip(p, EDGE, 1 - EDGE)
    found: Floats = np.log(inside / (1 - inside))
    return found


_KINDS: Final[tuple[Kind, ...]] = ("platt", "isotonic")
