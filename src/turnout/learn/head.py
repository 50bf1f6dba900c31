"""A small network over sentence vectors: the classifier head of a BERT-style router. Floor 2.

One hidden layer of rectified units (none: a logistic regression a model), one score a model: σ(s) is the
chance of a good answer, σ(s_a - s_b) that of a's being better. Over MiniLM vectors this is the classifier
that published BERT routers are, with the encoder left as it is. It does not know how sure it is.
"""

from typing import Self

import msgspec
import numpy as np
from msgspec import Struct

from turnout.learn.base import Arrays, Floats, Labels, Prediction, Queries
from turnout.learn.checks import check_labels, stored_floats
from turnout.learn.descent import Pace, Targets, Weights, descend, sigmoid, win_rates
from turnout.types.json import Json


class Head(Struct, frozen=True, eq=False, kw_only=True):
    """The layers. Without a hidden one, `inner` has no rows and `outer` reads the vector itself."""

    models: tuple[str, ...]
    inner: Floats
    """Hidden x dimensions."""
    inner_levels: Floats
    outer: Floats
    """Models x hidden."""
    levels: Floats
    is_win_rate: bool
    """Whether it has seen comparisons only."""

    def predict(self, queries: Queries) -> Prediction:
        """Return chances of a good answer, or of beating the pool where that is all it knows."""
        hidden = queries.embeddings
        if self.inner.shape[0]:
            hidden = np.maximum(hidden @ self.inner.T + self.inner_levels, 0.0)
        scores = hidden @ self.outer.T + self.levels
        mean = win_rates(scores) if self.is_win_rate else sigmoid(scores)
        return Prediction(mean, np.full_like(mean, np.nan))

    def arrays(self) -> Arrays:
        """Return everything but the models' names."""
        return {
            "inner": self.inner,
            "inner_levels": self.inner_levels,
            "outer": self.outer,
            "levels": self.levels,
            "is_win_rate": np.array([float(self.is_win_rate)]),
        }

    @classmethod
    def of(cls, models: tuple[str, ...], arrays: Arrays) -> Self:
        """Return the model that was written. Raises `ValueError` where an array is missing or misshapen."""
        inner = stored_floats(arrays, "inner", (None, None))
        hidden, d = inner.shape
        return cls(
            models=models,
            inner=inner,
            inner_levels=stored_floats(arrays, "inner_levels", (hidden,)),
            outer=stored_floats(arrays, "outer", (len(models), hidden or d)),
            levels=stored_floats(arrays, "levels", (len(models),)),
            is_win_rate=bool(stored_floats(arrays, "is_win_rate", (1,))[0]),
        )


class ClassifierHead(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Learns the layers by seeded descent."""

    hidden: int = 64
    """Units of the hidden layer; 0: a logistic regression a model."""
    epochs: int = 40
    rate: float = 0.003
    decay: float = 3.0

    def __post_init__(self) -> None:
        if self.hidden < 0 or self.epochs < 1 or not self.rate > 0 or not self.decay >= 0:
            raise ValueError("head: epochs and rate must be above 0, hidden and decay not below")

    @property
    def kind(self) -> str:
        """Name of what it makes."""
        return "head"

    def fit(self, labels: Labels, seed: int = 0) -> Head:
        """Return the fitted head. Raises `ValueError` for unusable labels."""
        check_labels(labels, pairs_suffice=True)
        rng = np.random.default_rng(seed)
        d, n_models = labels.queries.embeddings.shape[1], len(labels.models)
        inner = rng.normal(size=(self.hidden, d)) * np.sqrt(2.0)  # unit vectors: each unit starts at spread 1
        width = self.hidden or d
        outer = rng.normal(size=(n_models, width)) / np.sqrt(width) * 0.1
        start = (inner, np.zeros(self.hidden), outer, np.zeros(n_models))
        pace = Pace(epochs=self.epochs, rate=self.rate, decay=self.decay)
        inner, inner_levels, outer, levels = descend(_Layers(), start, Targets(labels), pace, seed)
        return Head(
            models=labels.models,
            inner=inner,
            inner_levels=inner_levels,
            outer=outer,
            levels=levels,
            is_win_rate=bool(np.isnan(labels.scores).all()),
        )

    def settings(self) -> dict[str, Json]:
        """Return its settings for the card."""
        found: dict[str, Json] = msgspec.to_builtins(self)
        return found


class _Layers:
    """The net: weights are those of `Head`, in its order."""

    def forward(self, weights: Weights, vectors: Floats) -> tuple[Floats, Floats]:
        inner, inner_levels, outer, levels = weights
        hidden = np.maximum(vectors @ inner.T + inner_levels, 0.0) if inner.shape[0] else vectors
        return hidden @ outer.T + levels, hidden

    def backward(self, weights: Weights, vectors: Floats, hidden: Floats, slope: Floats) -> Weights:
        inner, inner_levels, outer, _ = weights
        of_outer, of_levels = slope.T @ hidden, slope.sum(axis=0)
        if not inner.shape[0]:
            return [np.zeros_like(inner), np.zeros_like(inner_levels), of_outer, of_levels]
        of_hidden = (slope @ outer) * (hidden > 0)
        return [of_hidden.T @ vectors, of_hidden.sum(axis=0), of_outer, of_levels]
