"""The default router: pooled logistic regression over vector, cells and measures, corrected locally. Floor 2.

Theory of operation (ROUTING.md section 3).

1. φ(x) = [1; e / s; g; z]: the vector over its training norm (long vectors first reduced to their leading
   directions), standardised measures, and soft membership in cells. A measure that is absent is its mean.
2. q_m = σ(w_mᵀφ), where w_m is a Gaussian: Laplace's posterior. Its mean and spread give the score and how
   sure it is; E σ(u) is approximated by σ(û / √(1 + π Var / 8)).
3. Of the posterior covariance, what labels say is kept in the directions in which they say most; in all
   others the prior's own spread stands. That is 16 KB a model instead of half a megabyte, and microseconds.
4. A residual from near labelled prompts and a rising calibration curve are there only where held-out labels
   showed that they help.
"""

import math
from collections.abc import Mapping
from typing import Final, Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from turnout.learn.base import Arrays, Floats, Prediction, Queries
from turnout.learn.calibrators import N_KNOTS, Calibrators
from turnout.learn.cells import Cells, membership_of
from turnout.learn.checks import stored, stored_floats
from turnout.learn.measures import MEASURES
from turnout.learn.residual import Memory

LEAST: Final = 1e-3
"""Predictions stay this far from 0 and 1."""


class Scaling(Struct, frozen=True, eq=False):
    """How raw numbers become features."""

    norm: float
    """Typical length of a training vector."""
    means: Floats
    """Of each measure."""
    deviations: Floats
    """Of each measure; 1 for one that never changes."""
    basis: Floats | None
    """Leading directions of long vectors; None: vectors as they are."""
    cells: Cells

    def reduced(self, embeddings: Floats) -> Floats:
        """Return vectors in the space of the fit."""
        if self.basis is None:
            return embeddings
        if embeddings.shape[0] == 1:  # one request: hashed vectors are nearly all zero
            used = np.flatnonzero(embeddings[0])
            one: Floats = embeddings[:, used] @ self.basis[used]
            return one
        found: Floats = embeddings @ self.basis
        return found

    def features(self, queries: Queries, reduced: Floats, cosines: Floats) -> Floats:
        """Return φ, one row a query."""
        n = reduced.shape[0]
        measured = (queries.measures - self.means) / self.deviations
        measured[np.isnan(measured)] = 0.0
        return np.concatenate(
            (np.ones((n, 1)), reduced * (1 / self.norm), measured, membership_of(cosines)), axis=1
        )


class Posterior(Struct, frozen=True, eq=False):
    """Weights of every model, with how sure they are."""

    weights: Floats
    """Models x features."""
    scale: Floats
    """Prior standard deviation of each feature's weight."""
    directions: NDArray[np.float32]
    """Features x k, orthonormal in units of the prior: where labels say most."""
    told: NDArray[np.float32]
    """Models x k x k: what the labels take off the prior's variance there."""

    def variance(self, features: Floats) -> Floats:
        """Return Var[u], one row a query, one column a model."""
        scaled = features * self.scale
        total = np.einsum("nd,nd->n", scaled, scaled)[:, None]
        inside = scaled.astype(np.float32) @ self.directions
        known = np.einsum("mnk,nk->nm", inside[None] @ self.told, inside)
        found: Floats = np.maximum(total - known, 1e-9 * total)
        return found


class Pooled(Struct, frozen=True, eq=False, kw_only=True):
    """Predicts quality."""

    models: tuple[str, ...]
    scaling: Scaling
    posterior: Posterior
    common: Floats
    """What models without labels are drawn around; further rows: shifts with facts about a model."""
    memory: Memory | None = None
    calibrators: Calibrators | None = None

    def predict(self, queries: Queries) -> Prediction:
        """Return the predicted scores and the deviation of each."""
        reduced = self.scaling.reduced(queries.embeddings)
        cosines = self.scaling.cells.cosines(reduced)
        features = self.scaling.features(queries, reduced, cosines)
        u, variance = features @ self.posterior.weights.T, self.posterior.variance(features)
        mean = 0.5 + 0.5 * np.tanh(0.5 * u / np.sqrt(1 + math.pi / 8 * variance))
        sd = mean * (1 - mean) * np.sqrt(variance)
        if self.memory is not None:
            mean = mean + self.memory.correction(unit(reduced), cosines)
        if self.calibrators is not None:
            mean = self.calibrators.at(mean)
        return Prediction(np.minimum(np.maximum(mean, LEAST), 1 - LEAST), sd)

    def nearest(self, vector: NDArray[np.float32]) -> Mapping[str, float]:
        """Return the training prompts that weigh most in a request's correction: id -> cosine."""
        if self.memory is None or self.memory.ids is None:
            return {}
        reduced = self.scaling.reduced(vector.astype(np.float64)[None])
        cosines = self.scaling.cells.cosines(reduced)[0]
        return self.memory.nearest(unit(reduced)[0].astype(np.float32), cosines.astype(np.float32))

    def nearness(self, embeddings: Floats) -> Floats:
        """Return each vector's cosine to the nearest cell: low means unlike the training prompts."""
        return self.scaling.cells.nearness(self.scaling.reduced(embeddings))

    def home(self, embeddings: Floats) -> NDArray[np.int64]:
        """Return each vector's nearest cell."""
        return self.scaling.cells.home(self.scaling.reduced(embeddings))

    def arrays(self) -> Arrays:
        """Return everything that was learned, in half the digits that the fit had."""
        scaling, posterior = self.scaling, self.posterior
        found: dict[str, NDArray[np.generic]] = {
            "norm": np.array([scaling.norm]),
            "means": scaling.means,
            "deviations": scaling.deviations,
            "centres": scaling.cells.centres.astype(np.float32),
            "weights": posterior.weights.astype(np.float32),
            "scale": posterior.scale,
            "directions": posterior.directions,
            "told": posterior.told,
            "common": self.common.astype(np.float32),
        }
        if scaling.basis is not None:
            found["basis"] = scaling.basis.astype(np.float32)
        if self.memory is not None:
            found |= {"memory.vectors": self.memory.vectors, "memory.errors": self.memory.errors}
            found["memory.starts"] = self.memory.starts
            if self.memory.ids is not None:
                found["memory.ids"] = self.memory.ids
        if self.calibrators is not None:
            found["curves"] = self.calibrators.curves
        return found

    @classmethod
    def of(cls, models: tuple[str, ...], arrays: Arrays) -> Self:
        """Return the model that was written. Raises `ValueError` where an array is missing or misshapen."""
        centres = stored_floats(arrays, "centres", (None, None))
        means = stored_floats(arrays, "means", (len(MEASURES),))
        k, rank = centres.shape
        d, n = 1 + rank + means.size + k, len(models)
        scaling = Scaling(
            norm=float(stored_floats(arrays, "norm", (1,))[0]),
            means=means,
            deviations=stored_floats(arrays, "deviations", (means.size,)),
            basis=stored_floats(arrays, "basis", (None, rank)) if "basis" in arrays else None,
            cells=Cells(centres),
        )
        directions = stored_floats(arrays, "directions", (d, None)).astype(np.float32)
        told = stored_floats(arrays, "told", (n, directions.shape[1], directions.shape[1]))
        posterior = Posterior(
            weights=stored_floats(arrays, "weights", (n, d)),
            scale=stored_floats(arrays, "scale", (d,)),
            directions=directions,
            told=told.astype(np.float32),
        )
        if not (scaling.norm > 0 and (scaling.deviations > 0).all() and (posterior.scale > 0).all()):
            raise ValueError("arrays 'norm', 'deviations' and 'scale' must be above 0")
        return cls(
            models=models,
            scaling=scaling,
            posterior=posterior,
            common=stored_floats(arrays, "common", (None, d)),
            memory=_memory(arrays, rank, n, k),
            calibrators=Calibrators(stored_floats(arrays, "curves", (n, N_KNOTS)))
            if "curves" in arrays
            else None,
        )


def unit(rows: Floats) -> Floats:
    """Return the rows made unit length; zero rows stay."""
    lengths = np.sqrt(np.einsum("nd,nd->n", rows, rows))[:, None]
    found: Floats = rows / np.where(lengths > 0, lengths, 1.0)
    return found


def _memory(arrays: Arrays, rank: int, n_models: int, n_cells: int) -> Memory | None:
    if "memory.vectors" not in arrays:
        return None
    vectors = stored_floats(arrays, "memory.vectors", (None, rank)).astype(np.float32)
    errors = stored_floats(arrays, "memory.errors", (len(vectors), n_models)).astype(np.float32)
    starts = stored(arrays, "memory.starts", (n_cells + 1,)).astype(np.int64)
    if starts[0] != 0 or starts[-1] != len(vectors) or (np.diff(starts) < 0).any():
        raise ValueError("array 'memory.starts' does not divide the memory's rows")
    ids = stored(arrays, "memory.ids", (len(vectors),)) if "memory.ids" in arrays else None
    return Memory(vectors, errors, starts, None if ids is None else ids.astype(np.uint64))
