"""Matrix factorisation: a prompt's and a model's vectors meet in a few hidden directions. Floor 2.

s(m, x) = uᵀ(v̂_m ⊙ (P e(x) + b)) with unit v̂_m; P(a beats b) = σ(s_a - s_b) (form: arXiv 2406.18665,
section 4.2). Made for comparisons; outcomes enter as σ(s_m). Trained on comparisons alone it predicts each
model's mean chance to beat the rest of the pool. It does not know how sure it is.

u, v̂ and P fold into one matrix when the model is built: a prediction is one product.
"""

from typing import Self

import msgspec
import numpy as np
from msgspec import Struct

from turnout.learn.base import Arrays, Floats, Labels, Prediction, Queries
from turnout.learn.checks import check_labels, stored_floats
from turnout.learn.descent import Pace, Targets, Weights, descend, sigmoid, win_rates
from turnout.types.json import Json


class Factors(Struct, frozen=True, eq=False, kw_only=True):
    """Everything folded: a score is linear in the prompt's vector."""

    models: tuple[str, ...]
    directions: Floats
    """Models x dimensions."""
    levels: Floats
    """One a model."""
    is_win_rate: bool
    """Whether it has seen comparisons only."""

    def predict(self, queries: Queries) -> Prediction:
        """Return chances of a good answer, or of beating the pool where that is all it knows."""
        scores = queries.embeddings @ self.directions.T + self.levels
        mean = win_rates(scores) if self.is_win_rate else sigmoid(scores)
        return Prediction(mean, np.full_like(mean, np.nan))

    def arrays(self) -> Arrays:
        """Return everything but the models' names."""
        return {
            "directions": self.directions,
            "levels": self.levels,
            "is_win_rate": np.array([float(self.is_win_rate)]),
        }

    @classmethod
    def of(cls, models: tuple[str, ...], arrays: Arrays) -> Self:
        """Return the model that was written. Raises `ValueError` where an array is missing or misshapen."""
        return cls(
            models=models,
            directions=stored_floats(arrays, "directions", (len(models), None)),
            levels=stored_floats(arrays, "levels", (len(models),)),
            is_win_rate=bool(stored_floats(arrays, "is_win_rate", (1,))[0]),
        )


class MatrixFactorisation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Learns u, v and P by seeded descent."""

    rank: int = 32
    """Hidden directions."""
    epochs: int = 40
    rate: float = 0.01
    decay: float = 10.0

    def __post_init__(self) -> None:
        if self.rank < 1 or self.epochs < 1 or not self.rate > 0 or not self.decay >= 0:
            raise ValueError("mf: rank, epochs and rate must be above 0, decay not below")

    @property
    def kind(self) -> str:
        """Name of what it makes."""
        return "mf"

    def fit(self, labels: Labels, seed: int = 0) -> Factors:
        """Return the factors. Raises `ValueError` for unusable labels."""
        check_labels(labels, pairs_suffice=True)
        rng = np.random.default_rng(seed)
        d, n_models = labels.queries.embeddings.shape[1], len(labels.models)
        start = (
            np.full(self.rank, 1.0),
            rng.normal(size=(n_models, self.rank)),
            rng.normal(size=(self.rank, d)),
            rng.normal(size=self.rank),
        )
        pace = Pace(epochs=self.epochs, rate=self.rate, decay=self.decay)
        u, v, p, b = descend(_Product(), start, Targets(labels), pace, seed)
        mixed = _unit(v)[0] * u
        alone = bool(np.isnan(labels.scores).all())
        return Factors(models=labels.models, directions=mixed @ p, levels=mixed @ b, is_win_rate=alone)

    def settings(self) -> dict[str, Json]:
        """Return its settings for the card."""
        found: dict[str, Json] = msgspec.to_builtins(self)
        return found


class _Product:
    """The net: weights are u, v, P, b."""

    def forward(self, weights: Weights, vectors: Floats) -> tuple[Floats, Floats]:
        u, v, p, b = weights
        hidden = vectors @ p.T + b
        return hidden @ (_unit(v)[0] * u).T, hidden

    def backward(self, weights: Weights, vectors: Floats, hidden: Floats, slope: Floats) -> Weights:
        u, v, _, _ = weights
        unit, length = _unit(v)
        of_mixed = slope.T @ hidden
        of_unit = of_mixed * u
        of_hidden = slope @ (unit * u)
        along = (of_unit * unit).sum(axis=1, keepdims=True)
        return [
            (of_mixed * unit).sum(axis=0),
            (of_unit - along * unit) / length,
            of_hidden.T @ vectors,
            of_hidden.sum(axis=0),
        ]


def _unit(v: Floats) -> tuple[Floats, Floats]:
    length = np.maximum(np.sqrt((v**2).sum(axis=1, keepdims=True)), 1e-12)
    return v / length, length
