"""What an answer will cost and how long it will take: predicted tokens of output, and seconds. Floor 2.

log n = θ_mᵀφ + ε, a ridge regression a model on vector and measures of the prompt (ROUTING.md 3.6). The mean
of n is exp(μ)·mean(exp ε) (smearing: no shape is assumed for ε). The upper bound is exp(μ + the conformal
quantile of ε): it holds as often as stated whatever the shape, on prompts like those it was fitted on.
Residuals are leave-one-out, which a ridge gives in closed form. Seconds are a line in tokens.
"""

from typing import Final, Self

import numpy as np
from msgspec import Struct

from turnout.learn.base import Arrays, Floats, Queries
from turnout.learn.checks import stored, stored_floats
from turnout.learn.features import Scaling, scaling

RIDGES: Final = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Tried for each model by leave-one-out error."""
COVERAGE: Final = 0.9
"""Share of answers that the upper bound is to hold for."""
LONGEST: Final = 1e6
"""Tokens: no prediction goes beyond."""
MOST_SD: Final = 3.0
"""Standard deviations beyond which a measure is read as this: lengths are exponentials of it."""
_ROUNDS = 50


class LengthPrediction(Struct, frozen=True, eq=False):
    """Tokens of output, one row a query, one column a model."""

    mean: Floats
    upper: Floats
    """Holds for `COVERAGE` of answers; `max_tokens` where too little is known."""


class Lengths(Struct, frozen=True, eq=False, kw_only=True):
    """Predicts how long each model's answer will be."""

    models: tuple[str, ...]
    scaling: Scaling
    weights: Floats
    """Models x features."""
    smear: Floats
    """Mean of exp(residual), one a model."""
    reach: Floats
    """Conformal quantile of the residual; infinite below nine answers."""

    def predict(self, queries: Queries, max_tokens: float = LONGEST) -> LengthPrediction:
        """Return the predicted lengths, none above `max_tokens`."""
        log_n = _features(self.scaling, queries) @ self.weights.T
        limit = np.log(max_tokens)
        mean = np.exp(np.minimum(log_n + np.log(self.smear), limit))
        return LengthPrediction(mean, np.exp(np.minimum(log_n + self.reach, limit)))

    def arrays(self) -> Arrays:
        """Return everything but the models' names."""
        return {
            "norm": np.array([self.scaling.embedding_norm]),
            "means": self.scaling.means,
            "deviations": self.scaling.deviations,
            "weights": self.weights,
            "smear": self.smear,
            "reach": self.reach,
        }

    @classmethod
    def of(cls, models: tuple[str, ...], arrays: Arrays) -> Self:
        """Return what was written. Raises `ValueError` where an array is missing or misshapen."""
        means = stored_floats(arrays, "means", (None,))
        reach = stored(arrays, "reach", (len(models),)).astype(np.float64)
        norm, smear = stored_floats(arrays, "norm", (1,)), stored_floats(arrays, "smear", (len(models),))
        deviations = stored_floats(arrays, "deviations", means.shape)
        if np.isnan(reach).any() or not (smear > 0).all() or norm[0] <= 0 or not (deviations > 0).all():
            raise ValueError("arrays 'reach', 'smear', 'norm' or 'deviations' hold what lengths cannot have")
        return cls(
            models=models,
            scaling=Scaling(float(norm[0]), means, deviations),
            weights=stored_floats(arrays, "weights", (len(models), None)),
            smear=smear,
            reach=reach,
        )


class Speeds(Struct, frozen=True, eq=False, kw_only=True):
    """How long each model's answers take: a level and seconds a token."""

    models: tuple[str, ...]
    first_s: Floats
    per_token_s: Floats

    def seconds(self, n_out: Floats) -> Floats:
        """Return seconds to the complete answers, for tokens x models."""
        found: Floats = self.first_s + n_out * self.per_token_s
        return found


def fit_lengths(models: tuple[str, ...], queries: Queries, lengths: Floats) -> Lengths:
    """Return the predictor of some models' lengths.

    Args:
        models: One a column.
        queries: Prompts.
        lengths: Tokens (or characters) of output, reasoning included; NaN where not known.

    Raises:
        ValueError: Shapes disagree, a length is negative, or a model has none.
    """
    _check(models, queries, lengths)
    known_measures = ~np.isnan(queries.measures)
    counts = np.maximum(known_measures.sum(axis=0), 1)
    means = np.where(known_measures, queries.measures, 0.0).sum(axis=0) / counts
    scale = scaling(queries.embeddings, np.where(known_measures, queries.measures, means))
    features = _features(scale, queries)
    parts = [
        _ridge(features[rows], np.log(np.maximum(column[rows], 1.0)))
        for column in lengths.T
        for rows in (~np.isnan(column),)
    ]
    return Lengths(
        models=models,
        scaling=scale,
        weights=np.stack([weights for weights, _ in parts]),
        smear=np.array([float(np.exp(residuals).mean()) for _, residuals in parts]),
        reach=np.array([conformal_quantile(residuals, COVERAGE) for _, residuals in parts]),
    )


def fit_speeds(models: tuple[str, ...], n_out: Floats, seconds: Floats) -> Speeds:
    """Return each model's median line from tokens to seconds; neither part below 0.

    Medians, because latencies hold retries that no token explains.

    Raises:
        ValueError: Shapes disagree or a model has fewer than two answers with both numbers.
    """
    if n_out.shape != seconds.shape or n_out.shape[1:] != (len(models),):
        raise ValueError(f"{n_out.shape} tokens and {seconds.shape} seconds for {len(models)} models")
    lines = []
    for m, model in enumerate(models):
        both = ~(np.isnan(n_out[:, m]) | np.isnan(seconds[:, m]))
        if both.sum() < 2:
            raise ValueError(f"{model}: {int(both.sum())} answers with tokens and seconds; two needed")
        lines.append(_median_line(n_out[both, m], seconds[both, m]))
    table = np.array(lines)
    return Speeds(models=models, first_s=table[:, 0], per_token_s=table[:, 1])


def conformal_quantile(residuals: Floats, coverage: float) -> float:
    """Return what a new residual stays below this often; infinite where too few are known."""
    rank = int(np.ceil((residuals.size + 1) * coverage - 1e-9))
    return float(np.sort(residuals)[rank - 1]) if rank <= residuals.size else np.inf


def pinball(actual: Floats, predicted: Floats, quantile: float) -> float:
    """Return the mean pinball loss: lowest where the prediction is that quantile."""
    off = actual - predicted
    return float(np.maximum(quantile * off, (quantile - 1) * off).mean())


def _features(scale: Scaling, queries: Queries) -> Floats:
    measured = np.where(np.isnan(queries.measures), scale.means, queries.measures)
    features = scale.features(queries.embeddings, measured)
    if n := measured.shape[
        1
    ]:  # together they weigh as much as the vector, and none runs away with a prediction
        features[:, -n:] = np.clip(features[:, -n:], -MOST_SD, MOST_SD) / np.sqrt(n)
    return features


def _ridge(features: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return the weights of the best ridge and their leave-one-out residuals; the level is not drawn to 0."""
    level = y.mean()
    if y.size < 2:
        weights = np.zeros(features.shape[1])
        weights[0] = level
        return weights, np.zeros(y.size)
    center = features[:, 1:].mean(axis=0)
    x, away = features[:, 1:] - center, y - level
    squares, directions = np.linalg.eigh(x.T @ x)
    squares, seen = np.maximum(squares, 0.0), x @ directions
    told = seen.T @ away
    best: tuple[float, Floats, Floats] | None = None
    for ridge in RIDGES:
        held = 1 / (squares + ridge)
        hat = seen**2 @ held + 1 / y.size
        residuals = (away - seen @ (held * told)) / np.maximum(1 - hat, 1e-3)
        error = float((residuals**2).mean())
        if best is None or error < best[0]:
            best = (error, directions @ (held * told), residuals)
    assert best is not None
    _, slope, residuals = best
    return np.concatenate(([level - center @ slope], slope)), residuals


def _median_line(x: Floats, y: Floats) -> tuple[float, float]:
    """Return level and slope of least absolute error: least squares, reweighted until it stands still."""
    weight = np.ones_like(y)
    level, slope = 0.0, 0.0
    for _ in range(_ROUNDS):
        total = weight.sum()
        mean_x, mean_y = float(weight @ x / total), float(weight @ y / total)
        spread = float(weight @ (x - mean_x) ** 2)
        slope = max(float(weight @ ((x - mean_x) * (y - mean_y))) / spread, 0.0) if spread > 0 else 0.0
        level = mean_y - slope * mean_x
        if level < 0:
            level, slope = 0.0, float(weight @ (x * y) / max(float(weight @ x**2), 1e-12))
        weight = 1 / np.maximum(np.abs(y - level - slope * x), 1e-6 * max(float(y.max()), 1e-9))
    return level, slope


def _check(models: tuple[str, ...], queries: Queries, lengths: Floats) -> None:
    if lengths.shape != (queries.n, len(models)):
        raise ValueError(f"lengths have shape {lengths.shape}; expected {(queries.n, len(models))}")
    bad = np.flatnonzero((np.isinf(lengths) | (lengths < 0)).any(axis=1))
    if bad.size:
        raise ValueError(f"lengths below 0 or infinite: row {', '.join(map(str, bad[:5]))}")
    if not np.isfinite(queries.embeddings).all():
        raise ValueError("vectors must be finite")
    known: list[bool] = np.asarray((~np.isnan(lengths)).any(axis=0)).tolist()
    if without := [model for model, has in zip(models, known, strict=True) if not has]:
        raise ValueError(f"no length for {', '.join(without)}")
