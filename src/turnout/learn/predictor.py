"""How well each model would answer: a pooled logistic regression and each model's difference. Floor 2.

1. Every model's weights are drawn around common weights. A model with few labels stays near them, one with
   many leaves them: that is the whole idea of pooling (ROUTING.md section 3.2).
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

    def predict(self, features: Floats, delta: float = 0.1) -> Prediction:
        """Return the mean score and its lower bound at level 1 - delta."""
        u = features @ self.weights.T
        spreads = [((features @ covariance) * features).sum(axis=1) for covariance in self.covariances]
        variance = np.maximum(np.stack(spreads, axis=1), 0.0)
        z = NormalDist().inv_cdf(1 - delta)
        return Prediction(
            _sigmoid(u / np.sqrt(1 + math.pi * variance / 8)), _sigmoid(u - z * np.sqrt(variance))
        )


def fit(models: tuple[str, ...], features: Floats, scores: Floats, precision: Floats) -> Predictor:
    """Return the predictor of some models.

    Args:
        models: Their names, one a column of `scores`.
        features: One row a query, the first feature being 1.
        scores: Within 0-1, one row a query, one column a model; NaN where the model was not evaluated.
        precision: One a feature (`Precisions.diagonal`).

    Raises:
        ValueError: The shapes disagree, a score is out of range, or a model has no label.
    """
    _check(models, features, scores, precision)
    known = [~np.isnan(column) for column in scores.T]
    pooled_rows = np.concatenate([np.flatnonzero(mask) for mask in known])
    pooled_scores = np.concatenate([column[mask] for column, mask in zip(scores.T, known, strict=True)])
    common, _ = _newton(features[pooled_rows], pooled_scores, precision, np.zeros_like(precision))
    weights = np.tile(common, (len(models), 1))
    curvatures = np.empty((len(models), precision.size, precision.size))
    for turn in range(ROUNDS):
        for m, mask in enumerate(known):
            weights[m], curvatures[m] = _newton(
                features[mask], scores[mask, m], precision, common, start=weights[m]
            )
        if turn < ROUNDS - 1:
            common = _common(weights, curvatures, precision)
    covariances = np.linalg.inv(curvatures).astype(np.float32)
    return Predictor(models, common, weights, covariances)


def _newton(
    features: Floats, scores: Floats, precision: Floats, center: Floats, start: Floats | None = None
) -> tuple[Floats, Floats]:
    """Return the weights of the highest posterior and the curvature there."""
    w = center.copy() if start is None else start.copy()
    value = _objective(features, scores, precision, center, w)
    for _ in range(MAX_STEPS):
        p = _sigmoid(features @ w)
        gradient = features.T @ (p - scores) + precision * (w - center)
        if float(np.abs(gradient).max()) < TOLERANCE * scores.size:
            break
        step = np.linalg.solve(_curvature(features, p, precision), gradient)
        for halving in range(MAX_HALVINGS):
            candidate = w - step / 2**halving
            lower = _objective(features, scores, precision, center, candidate)
            if lower <= value:
                break
        else:
            break  # rounding, not the function, decides from here on
        w, value = candidate, lower
    return w, _curvature(features, _sigmoid(features @ w), precision)


def _objective(features: Floats, scores: Floats, precision: Floats, center: Floats, weights: Floats) -> float:
    u = features @ weights
    loss = np.logaddexp(0.0, u).sum() - scores @ u
    return float(loss + 0.5 * (precision * (weights - center) ** 2).sum())


def _curvature(features: Floats, p: Floats, precision: Floats) -> Floats:
    curvature: Floats = (features * (p * (1 - p))[:, None]).T @ features
    curvature[np.diag_indices_from(curvature)] += precision
    return curvature


def _common(weights: Floats, curvatures: Floats, precision: Floats) -> Floats:
    """Return the models' weights averaged, each by how much its own labels say about it."""
    told = np.maximum(np.diagonal(curvatures, axis1=1, axis2=2) - precision, 0.0)
    reliability = told / (
        told + precision
    )  # 0: says nothing beyond the common weights; towards 1: all its own
    total = reliability.sum(axis=0)
    mean: Floats = (reliability * weights).sum(axis=0) / np.maximum(total, np.finfo(np.float64).tiny)
    return np.where(total > 0, mean, weights.mean(axis=0))


def _sigmoid(u: Floats) -> Floats:
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
