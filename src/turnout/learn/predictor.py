"""How well each model would answer: a pooled logistic regression and each model's difference. Floor 2.

1. Every model's weights are drawn around common weights, which may shift with facts about the model (its log
   price, its public scores). A model with few labels stays near them, one with many leaves them: that is the
   whole idea of pooling (ROUTING.md section 3.2).
2. Labels are scores within 0-1 and enter the Bernoulli likelihood as fractions. NaN means: not evaluated.
3. The fit is convex and deterministic: Newton's method with step halving, no random numbers.
4. The posterior is Laplace's: a Gaussian at the optimum, with the inverse curvature as covariance.
"""

import math
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

MAX_STEPS = 25
MAX_HALVINGS = 20
TOLERANCE = 1e-6
"""Largest gradient per label at the optimum."""
ROUNDS = 3
"""Times that models and common weights are fitted in turn."""


class Precisions(Struct, frozen=True, kw_only=True):
    """How firmly each block of weights is held to the common ones."""

    intercept: float = 0.1
    embedding: float = 10.0
    signals: float = 3.0

    def diagonal(self, n_embedding: int, n_signals: int) -> Floats:
        """Return one precision a feature, in the order of `Scaling.features`."""
        blocks = ((self.intercept, 1), (self.embedding, n_embedding), (self.signals, n_signals))
        return np.concatenate([np.full(n, precision) for precision, n in blocks])


class Prediction(Struct, frozen=True, eq=False):
    """Predicted scores, one row a query, one column a model."""

    mean: Floats
    lower: Floats
    """Lower confidence bound of the score."""


class Predictor(Struct, frozen=True, eq=False):
    """Fitted weights with their uncertainty."""

    models: tuple[str, ...]
    common: Floats
    """What a model without labels is predicted by."""
    weights: Floats
    """One row a model."""
    covariances: NDArray[np.float32]
    """One matrix a model."""
    slopes: Floats | None = None
    """How the common weights shift with each standardised fact about a model, one row a fact."""

    def predict(self, features: Floats, delta: float = 0.1) -> Prediction:
        """Return the mean score and its lower bound at level 1 - delta."""
        u = features @ self.weights.T
        spreads = [((features @ covariance) * features).sum(axis=1) for covariance in self.covariances]
        variance = np.maximum(np.stack(spreads, axis=1), 0.0)
        z = NormalDist().inv_cdf(1 - delta)
        return Prediction(
            sigmoid(u / np.sqrt(1 + math.pi * variance / 8)), sigmoid(u - z * np.sqrt(variance))
        )


class Beside(Struct, frozen=True, eq=False, kw_only=True):
    """What a fit may know beside scores."""

    facts: Floats | None = None
    """One row a model, standardised; None: all models are drawn around the same weights."""
    weights: Floats | None = None
    """What each score counts; None: 1."""
    start: Floats | None = None
    """Weights to begin with, one row a model: a guess makes it quicker, not different."""


NOTHING = Beside()


def fit(
    models: tuple[str, ...], features: Floats, scores: Floats, precision: Floats, beside: Beside = NOTHING
) -> Predictor:
    """Return the predictor of some models.

    Args:
        models: Their names, one a column of `scores`.
        features: One row a query, the first feature being 1.
        scores: Within 0-1, one row a query, one column a model; NaN where the model was not evaluated.
        precision: One a feature (`Precisions.diagonal`).
        beside: What else is known.

    Raises:
        ValueError: The shapes disagree, a score is out of range, or a model has no label.
    """
    _check(models, features, scores, precision)
    facts, weights, start = beside.facts, beside.weights, beside.start
    worth = np.ones_like(scores) if weights is None else weights
    known = [~np.isnan(column) & (counts > 0) for column, counts in zip(scores.T, worth.T, strict=True)]
    centers = np.tile(_pooled(features, scores, worth, precision, start), (len(models), 1))
    found = centers.copy() if start is None else start.copy()
    curvatures = np.empty((len(models), precision.size, precision.size))
    coefficients = centers[:1]
    narrow = features.astype(np.float32)
    for turn in range(ROUNDS):
        for m, mask in enumerate(known):
            rows: NDArray[np.bool_] | slice = slice(None) if mask.all() else mask  # a slice copies nothing
            data = _Data(features[rows], narrow[rows], scores[rows, m], worth[rows, m])
            found[m], curvatures[m] = _newton(data, precision, centers[m], found[m])
        if turn < ROUNDS - 1:
            coefficients = _common(found, curvatures, precision, facts)
            centers = _design(len(models), facts) @ coefficients
    covariances = np.linalg.inv(curvatures).astype(np.float32)
    return Predictor(models, coefficients[0], found, covariances, None if facts is None else coefficients[1:])


def _pooled(
    features: Floats, scores: Floats, worth: Floats, precision: Floats, start: Floats | None
) -> Floats:
    """Return the weights of all models' labels together: a prompt's scores enter as their mean."""
    counts = np.where(np.isnan(scores), 0.0, worth)
    total = counts.sum(axis=1)
    rows = total > 0
    mean = (counts * np.nan_to_num(scores)).sum(axis=1)[rows] / total[rows]
    begin = np.zeros_like(precision) if start is None else start.mean(axis=0)
    data = _Data(features[rows], features[rows].astype(np.float32), mean, total[rows])
    return _newton(data, precision, np.zeros_like(precision), begin)[0]


class _Data(Struct, frozen=True, eq=False):
    """Labels of one model."""

    features: Floats
    narrow: NDArray[np.float32]
    """The same, for curvatures."""
    scores: Floats
    worth: Floats


def _newton(data: _Data, precision: Floats, center: Floats, start: Floats) -> tuple[Floats, Floats]:
    """Return the weights of the highest posterior and the curvature there."""
    w = start.copy()
    value = _objective(data, precision, center, w)
    for _ in range(MAX_STEPS):
        p = sigmoid(data.features @ w)
        gradient = data.features.T @ (data.worth * (p - data.scores)) + precision * (w - center)
        curvature = _curvature(data, p, precision)
        if float(np.abs(gradient).max()) < TOLERANCE * data.scores.size:
            return w, curvature
        step = np.linalg.solve(curvature, gradient)
        for halving in range(MAX_HALVINGS):
            candidate = w - step / 2**halving
            lower = _objective(data, precision, center, candidate)
            if lower <= value:
                break
        else:
            return w, curvature  # rounding, not the function, decides from here on
        w, value = candidate, lower
    return w, _curvature(data, sigmoid(data.features @ w), precision)


def _objective(data: _Data, precision: Floats, center: Floats, weights: Floats) -> float:
    u = data.features @ weights
    loss = data.worth @ (np.logaddexp(0.0, u) - data.scores * u)
    return float(loss + 0.5 * (precision * (weights - center) ** 2).sum())


def _curvature(data: _Data, p: Floats, precision: Floats) -> Floats:
    return bent(data.narrow, data.worth * p * (1 - p), precision)


def bent(narrow: NDArray[np.float32], bend: Floats, precision: Floats) -> Floats:
    """Return Φᵀ diag(bend) Φ + diag(precision).

    Most of a fit is spent here. As a matrix times its own transpose, in half the digits, it takes
    under a third of it. Steps are a millionth off then, and end where the gradient, in all digits, is 0.
    """
    rows = narrow * np.sqrt(bend).astype(np.float32)[:, None]
    curvature: Floats = (rows.T @ rows).astype(np.float64)
    curvature[np.diag_indices_from(curvature)] += precision
    return curvature


def _design(n_models: int, facts: Floats | None) -> Floats:
    ones = np.ones((n_models, 1))
    return ones if facts is None else np.hstack((ones, facts))


def _common(weights: Floats, curvatures: Floats, precision: Floats, facts: Floats | None) -> Floats:
    """Return the common weights, below them their shifts with the facts; a model counts by its labels.

    One ridge a feature: ridge 1 on the shifts, so that few models cannot make a fact look decisive.
    """
    told = np.maximum(np.diagonal(curvatures, axis1=1, axis2=2) - precision, 0.0)
    # 0: says nothing beyond the common weights; towards 1: all its own.
    reliability = told / (told + precision)
    design = _design(weights.shape[0], facts)
    inner = np.einsum("mi,md,mj->dij", design, reliability, design)
    ridge = np.diag([np.finfo(np.float64).tiny, *[1.0] * (design.shape[1] - 1)])
    right = np.einsum("mi,md->di", design, reliability * weights)
    silent = inner[:, 0, 0] <= 0  # no model says anything about these features
    inner[silent], right[silent] = np.eye(design.shape[1]), 0.0
    found: Floats = np.linalg.solve(inner + ridge, right[..., None])[..., 0].T
    found[0, silent] = weights.mean(axis=0)[silent]
    return found


def sigmoid(u: Floats) -> Floats:
    """Return the logistic function, without overflow."""
    positive: Floats = 0.5 * (1 + np.tanh(0.5 * u))
    return positive


def _check(models: tuple[str, ...], features: Floats, scores: Floats, precision: Floats) -> None:
    n, d = features.shape
    if scores.shape != (n, len(models)) or precision.shape != (d,):
        raise ValueError(
            f"{n} rows of {d} features, scores {scores.shape} and {precision.size} precisions for "
            f"{len(models)} models do not fit together"
        )
    if not np.isfinite(features).all() or not (precision > 0).all():
        raise ValueError("features must be finite and precisions above 0")
    known = ~np.isnan(scores)
    if not ((scores[known] >= 0) & (scores[known] <= 1)).all():
        raise ValueError("scores must be within 0-1, or NaN where a model was not evaluated")
    if without := [model for model, column in zip(models, known.T, strict=True) if not column.any()]:
        raise ValueError(f"no label for {', '.join(without)}")
