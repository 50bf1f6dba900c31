"""One request at a time: the same predictions as by the table, in tens of microseconds. Floor 2.

Theory of operation.

1. `Pooled.predict` is written for thousands of rows; for one, calling numpy costs more than its sums. Here
   all that is linear in the vector (cosines to the cells, latent of each model, place in the posterior's
   directions) is one matrix, and likewise for measures and cells. Scalings are inside the matrices.
2. Numbers are float32 as they lie in the file. Means agree with `predict` to 1e-5, which the tests hold.
3. What is not the default router, or has vectors that are first reduced, takes the way of tables.
"""

import math
from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from turnout.learn.artifact import Artifact, Located
from turnout.learn.base import Floats, Queries
from turnout.learn.calibrators import Calibrators
from turnout.learn.cells import N_NEAREST, SHARPNESS
from turnout.learn.pooled import LEAST, Pooled
from turnout.learn.residual import Memory

Narrow: TypeAlias = NDArray[np.float32]
_SQUEEZE: Final = math.pi / 8
"""E σ(u) is about σ(û / √(1 + π Var / 8))."""


class Single(Struct, frozen=True, eq=False):
    """What is expected of each model for one request."""

    mean: list[float]
    sd: list[float]
    """NaN where the method does not know."""
    nearness: float
    """Cosine to the nearest cell; 1 where there are none."""


Predict: TypeAlias = Callable[[Narrow, Floats], Single]
"""From a unit vector and raw measures."""


def single_of(artifact: Artifact) -> Predict:
    """Return how to predict one request by an artifact."""
    model = artifact.model
    if isinstance(model, Pooled):
        return _packed(model).predict
    place = model if isinstance(model, Located) else artifact.cells

    def predict(vector: Narrow, measured: Floats) -> Single:
        row = vector.astype(np.float64)[None]
        found = model.predict(Queries(row, measured[None]))
        nearness = 1.0 if place is None else float(place.nearness(row)[0])
        return Single(found.mean[0].tolist(), found.sd[0].tolist(), nearness)

    return predict


class _Packed(Struct, frozen=True, eq=False, kw_only=True):
    """A pooled model's arrays, laid out for one row.

    Columns of `of_vector` are: cells, models, directions. Rows of the others are: models, directions.
    """

    n_cells: int
    n_models: int
    basis: Narrow | None
    of_vector: Narrow
    of_measures: Narrow
    of_cells: Narrow
    of_one: Narrow
    means: Floats
    rates: Floats
    """One over the deviations."""
    prior: tuple[float, Narrow, Narrow, Narrow]
    """What one, vector, measures and cells are multiplied with for the prior's variance."""
    told: Narrow
    """(models · k) x k."""
    memory: Memory | None
    calibrators: Calibrators | None

    def predict(self, vector: Narrow, measured: Floats) -> Single:
        """Return what is expected of each model."""
        if self.basis is not None:
            used = vector.nonzero()[0]  # hashed vectors are nearly all zero
            vector = vector[used] @ self.basis[used]
        spoken = self.of_vector @ vector
        cosines = spoken[: self.n_cells]
        cells, shares, nearness = _nearest(cosines)
        g = ((measured - self.means) * self.rates).astype(np.float32)
        if math.isnan(g.sum()):
            g[np.isnan(g)] = 0.0
        both = spoken[self.n_cells :] + self.of_one + g @ self.of_measures + shares @ self.of_cells[cells]
        n = self.n_models
        u, variance = both[:n], self._variance(both[n:], vector, g, shares, cells)
        mean = 0.5 + 0.5 * np.tanh(0.5 * u / np.sqrt(1 + _SQUEEZE * variance))
        sd = (mean - mean * mean) * np.sqrt(variance)
        if self.memory is not None:
            length = math.sqrt(float(vector @ vector)) or 1.0
            direction = np.asarray(vector / length, np.float32)
            mean = mean + self.memory.correction(direction[None], np.asarray(cosines[None], np.float32))[0]
        if self.calibrators is not None:
            mean = self.calibrators.at(mean[None])[0]
        means = np.minimum(np.maximum(mean, LEAST), 1 - LEAST)
        return Single(means.tolist(), sd.tolist(), nearness)

    def _variance(
        self, inside: Narrow, vector: Narrow, g: Narrow, shares: Narrow, cells: NDArray[np.int64]
    ) -> Narrow:
        one, of_vector, of_measures, of_cells = self.prior
        v, m, c = vector * of_vector, g * of_measures, shares * of_cells[cells]
        total = one + float(v @ v) + float(m @ m) + float(c @ c)
        known = (self.told @ inside).reshape(self.n_models, -1) @ inside
        found: Narrow = np.maximum(total - known, 1e-9 * total)
        return found


def _nearest(cosines: Narrow) -> tuple[NDArray[np.int64], Narrow, float]:
    """Return the nearest cells, the shares in them as `cells.membership_of` gives them, and the best cosine.

    Three numbers: the interpreter is done with them before numpy has begun.
    """
    k = cosines.shape[0]
    cells = cosines.argpartition(k - N_NEAREST)[k - N_NEAREST :] if k > N_NEAREST else np.arange(k)
    near: list[float] = cosines[cells].tolist()
    best = max(near)
    weights = [math.exp(SHARPNESS * (each - best)) for each in near]
    total = sum(weights)
    return cells, np.array([each / total for each in weights], np.float32), best


def _packed(model: Pooled) -> _Packed:
    scaling, posterior = model.scaling, model.posterior
    n_cells, n_models = scaling.cells.k, len(model.models)
    scale = posterior.scale
    columns = np.concatenate((posterior.weights, posterior.directions.T * scale), axis=0)
    rank = columns.shape[1] - 1 - len(scaling.means) - n_cells
    of_one, of_vector, of_measures, of_cells = np.split(
        columns, np.cumsum((1, rank, len(scaling.means))), axis=1
    )
    parts = np.split(scale, np.cumsum((1, rank, len(scaling.means))))
    k = posterior.directions.shape[1]
    return _Packed(
        n_cells=n_cells,
        n_models=n_models,
        basis=None if scaling.basis is None else _narrow(scaling.basis),
        of_vector=_narrow(np.concatenate((scaling.cells.centres, of_vector / scaling.norm), axis=0)),
        of_measures=_narrow(of_measures.T),
        of_cells=_narrow(of_cells.T),
        of_one=_narrow(of_one[:, 0]),
        means=scaling.means,
        rates=1 / scaling.deviations,
        prior=(
            float(parts[0][0] ** 2),
            _narrow(parts[1] / scaling.norm),
            _narrow(parts[2]),
            _narrow(parts[3]),
        ),
        told=_narrow(posterior.told.reshape(n_models * k, k)),
        memory=model.memory,
        calibrators=model.calibrators,
    )


def _narrow(array: NDArray[np.floating]) -> Narrow:
    return np.ascontiguousarray(array, dtype=np.float32)
