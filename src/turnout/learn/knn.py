"""The k nearest prompts vote, drawn to each model's mean. Floor 2.

q̂ = (Σ κ_j y_jm + κ₀ q̄_m) / (Σ κ_j + κ₀) over the k nearest labelled prompts, κ_j = exp((cos_j - 1)/τ)
(ROUTING.md 1.5). Far neighbours weigh nothing, so that a prompt unlike all others gets the means. The spread
is that of a Beta distribution with as many observations as the neighbours weigh.

Comparisons carry no scores and are not read. Time grows with the number of prompts kept: `limit` bounds it.
"""

from collections.abc import Mapping
from typing import Self

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from turnout.learn.base import Arrays, Floats, Labels, Prediction, Queries
from turnout.learn.checks import check_labels, label_weights, pool_means, stored, stored_floats
from turnout.learn.residual import named
from turnout.types.json import Json

CHUNK = 256
"""Prompts predicted at once: bounds the memory of a large table."""


class NearestPrompts(Struct, frozen=True, eq=False, kw_only=True):
    """Labelled prompts and what each model scored on them."""

    models: tuple[str, ...]
    vectors: NDArray[np.float32]
    """One a prompt."""
    scored: NDArray[np.float32]
    """Weight times score, prompts x models; 0 where there is no label."""
    weights: NDArray[np.float32]
    """Prompts x models; 0 where there is no label."""
    means: Floats
    """Of each model."""
    k: int
    width: float
    prior: float
    ids: NDArray[np.uint64] | None = None
    """Of the prompts, 0 where one has none; None: fitted without."""

    def nearest(self, vector: NDArray[np.float32]) -> Mapping[str, float]:
        """Return the prompts that weigh most in a request's vote: id -> cosine, the nearest first."""
        if self.ids is None:
            return {}
        return named(self.ids, np.arange(len(self.vectors)), self.vectors @ vector)

    def predict(self, queries: Queries) -> Prediction:
        """Return the neighbours' votes."""
        means = np.empty((queries.n, len(self.models)))
        spreads = np.empty_like(means)
        for start in range(0, queries.n, CHUNK):
            rows = slice(start, start + CHUNK)
            means[rows], counted = self._vote(queries.embeddings[rows].astype(np.float32))
            spreads[rows] = np.sqrt(means[rows] * (1 - means[rows]) / (counted + self.prior + 1))
        return Prediction(means, spreads)

    def _vote(self, vectors: NDArray[np.float32]) -> tuple[Floats, Floats]:
        cosines = vectors @ self.vectors.T
        k = self.k
        if k < cosines.shape[1]:
            near = np.argpartition(cosines, -k, axis=1)[:, -k:]
            kernels = np.exp((np.take_along_axis(cosines, near, axis=1) - 1) / self.width)[:, None, :]
            weight = np.matmul(kernels, self.weights[near])[:, 0].astype(np.float64)
            scored = np.matmul(kernels, self.scored[near])[:, 0]
        else:
            kernels = np.exp((cosines - 1) / self.width)
            weight, scored = (kernels @ self.weights).astype(np.float64), kernels @ self.scored
        mean: Floats = (scored + self.prior * self.means) / (weight + self.prior)
        return np.clip(mean, 0.0, 1.0), weight

    def arrays(self) -> Arrays:
        """Return everything but the models' names."""
        settings = np.array([float(self.k), self.width, self.prior])
        ids = {} if self.ids is None else {"ids": self.ids}
        return {
            **ids,
            "vectors": self.vectors,
            "scored": self.scored,
            "weights": self.weights,
            "means": self.means,
            "settings": settings,
        }

    @classmethod
    def of(cls, models: tuple[str, ...], arrays: Arrays) -> Self:
        """Return the model that was written. Raises `ValueError` where an array is missing or misshapen."""
        vectors = stored_floats(arrays, "vectors", (None, None)).astype(np.float32)
        shape = (vectors.shape[0], len(models))
        settings = stored_floats(arrays, "settings", (3,))
        if settings[0] < 1 or settings[1] <= 0 or settings[2] <= 0 or shape[0] == 0:
            raise ValueError(
                "array 'settings' or 'vectors' holds what a model of nearest prompts cannot have"
            )
        ids = stored(arrays, "ids", (vectors.shape[0],)).astype(np.uint64) if "ids" in arrays else None
        return cls(
            ids=ids,
            models=models,
            vectors=vectors,
            scored=stored(arrays, "scored", shape).astype(np.float32),
            weights=stored(arrays, "weights", shape).astype(np.float32),
            means=stored_floats(arrays, "means", (len(models),)),
            k=int(settings[0]),
            width=float(settings[1]),
            prior=float(settings[2]),
        )


class Knn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keeps labelled prompts as they are."""

    k: int = 100
    """Neighbours asked."""
    width: float = 0.1
    """Of the kernel, in cosine."""
    prior: float = 5.0
    """Neighbours that each model's mean is worth."""
    limit: int = 20_000
    """Prompts kept; more are sampled down."""

    def __post_init__(self) -> None:
        if self.k < 1 or self.limit < 1 or not self.width > 0 or not self.prior > 0:
            raise ValueError("knn: k, limit, width and prior must be above 0")

    @property
    def kind(self) -> str:
        """Name of what it makes."""
        return "knn"

    def fit(self, labels: Labels, seed: int = 0) -> NearestPrompts:
        """Return the labelled prompts, ready to vote. Raises `ValueError` for unusable labels."""
        check_labels(labels)
        weights = label_weights(labels)
        # A prompt without a vector is nobody's neighbour, and one without a label has no vote.
        rows = np.flatnonzero((weights > 0).any(axis=1) & (labels.queries.embeddings != 0).any(axis=1))
        if rows.size == 0:
            raise ValueError("no labelled prompt has a vector")
        if rows.size > self.limit:
            rows = np.sort(np.random.default_rng(seed).choice(rows, self.limit, replace=False))
        return NearestPrompts(
            ids=None if labels.queries.ids is None else labels.queries.ids[rows],
            models=labels.models,
            vectors=np.ascontiguousarray(labels.queries.embeddings[rows], dtype=np.float32),
            scored=(weights * np.nan_to_num(labels.scores))[rows].astype(np.float32),
            weights=weights[rows].astype(np.float32),
            means=pool_means(labels, self.prior),
            k=min(self.k, rows.size),
            width=self.width,
            prior=self.prior,
        )

    def settings(self) -> dict[str, Json]:
        """Return its settings for the card."""
        found: dict[str, Json] = msgspec.to_builtins(self)
        return found
