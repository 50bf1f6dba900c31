"""Prompts in cells; each model has a mean score in each. Floor 2.

Cells are those of `learn.cells`. A query belongs to its `nearest` cells by
softmax(β cos); a cell's mean is drawn to the model's overall mean by `prior` labels (ROUTING.md 1.5).

`variant: avengers` is the published cluster score, α minmax(accuracy) + (1 - α)(1 - cost / largest cost)
inside each cell (arXiv 2508.12631: 25 cells, 3 nearest, β = 9). It mixes cost in, and its min-max makes α
mean something else in every cell: a baseline, not the default. Comparisons carry no scores and are not read.
"""

from typing import Literal, Self

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from turnout.learn.base import Arrays, Floats, Labels, Prediction, Queries
from turnout.learn.cells import find_cells, membership_of
from turnout.learn.checks import check_labels, label_weights, pool_means, stored_floats
from turnout.types.json import Json


class CellMeans(Struct, frozen=True, eq=False, kw_only=True):
    """Cells with every model's mean score inside."""

    models: tuple[str, ...]
    centres: Floats
    """Unit vectors, one a cell."""
    means: Floats
    """Cells x models."""
    variances: Floats
    """Of those means, cells x models; NaN where the value is not a mean score."""
    overall: Floats
    """What a prompt without a vector is predicted by."""
    nearest: int
    sharpness: float

    def predict(self, queries: Queries) -> Prediction:
        """Return the means of the nearest cells, mixed."""
        cosines = queries.embeddings @ self.centres.T
        shares = membership_of(cosines, self.nearest, self.sharpness)
        mean, variance = shares @ self.means, shares**2 @ self.variances
        if not (known := queries.embeddings.any(axis=1)).all():
            mean[~known] = self.overall
        return Prediction(np.clip(mean, 0.0, 1.0), np.sqrt(variance))

    def arrays(self) -> Arrays:
        """Return everything but the models' names."""
        settings = np.array([float(self.nearest), self.sharpness])
        return {
            "centres": self.centres,
            "means": self.means,
            "variances": self.variances,
            "overall": self.overall,
            "settings": settings,
        }

    @classmethod
    def of(cls, models: tuple[str, ...], arrays: Arrays) -> Self:
        """Return the model that was written. Raises `ValueError` where an array is missing or misshapen."""
        centres = stored_floats(arrays, "centres", (None, None))
        shape = (centres.shape[0], len(models))
        settings = stored_floats(arrays, "settings", (2,))
        variances = np.asarray(arrays.get("variances", np.empty(0)), dtype=np.float64)
        if variances.shape != shape or shape[0] == 0 or settings[0] < 1:
            raise ValueError(f"arrays 'variances' and 'settings' do not fit {shape[0]} cells")
        return cls(
            models=models,
            centres=centres,
            means=stored_floats(arrays, "means", shape),
            variances=variances,
            overall=stored_floats(arrays, "overall", (len(models),)),
            nearest=int(settings[0]),
            sharpness=float(settings[1]),
        )


class KMeans(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Averages labels by cell."""

    cells: int = 64
    nearest: int = 3
    sharpness: float = 9.0
    """β: how much the nearest cell counts above the next."""
    prior: float = 5.0
    """Labels that a model's overall mean is worth in each cell."""
    variant: Literal["means", "avengers"] = "means"
    alpha: float = 1.0
    """`avengers` only: how much accuracy counts against cost. Below 1, the first covariate of the labels must
    be the log price of each model."""

    def __post_init__(self) -> None:
        if self.cells < 1 or self.nearest < 1 or not self.sharpness > 0 or not self.prior > 0:
            raise ValueError("kmeans: cells, nearest, sharpness and prior must be above 0")
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"kmeans: alpha is {self.alpha}; expected 0-1")
        if self.alpha < 1 and self.variant == "means":
            raise ValueError("kmeans: alpha has a meaning with variant: avengers only")

    @property
    def kind(self) -> str:
        """Name of what it makes."""
        return "kmeans"

    def fit(self, labels: Labels, seed: int = 0) -> CellMeans:
        """Return the cells with their means. Raises `ValueError` for unusable labels."""
        check_labels(labels)
        vectors = labels.queries.embeddings
        known = np.flatnonzero(vectors.any(axis=1))
        if known.size == 0:
            raise ValueError("no prompt has a vector")
        centres = find_cells(vectors[known], self.cells, seed).centres
        home = (vectors[known] @ centres.T).argmax(axis=1)
        weights, scores = label_weights(labels)[known], np.nan_to_num(labels.scores)[known]
        overall = pool_means(labels, self.prior)
        counts, sums = _by_cell(weights, home, len(centres)), _by_cell(weights * scores, home, len(centres))
        means = (sums + self.prior * overall) / (counts + self.prior)
        variances = means * (1 - means) / (counts + self.prior + 1)
        if self.variant == "avengers":
            means, overall = self._ranked(means, labels), self._ranked(overall[None, :], labels)[0]
            variances = np.full_like(means, np.nan)
        return CellMeans(
            models=labels.models,
            centres=centres,
            means=means,
            variances=variances,
            overall=overall,
            nearest=min(self.nearest, len(centres)),
            sharpness=self.sharpness,
        )

    def _ranked(self, means: Floats, labels: Labels) -> Floats:
        low, high = means.min(axis=1, keepdims=True), means.max(axis=1, keepdims=True)
        even = high == low
        ranked: Floats = np.where(even, 0.5, (means - low) / np.where(even, 1.0, high - low))
        if self.alpha == 1:
            return ranked
        if labels.covariates is None or not np.isfinite(labels.covariates[:, 0]).all():
            raise ValueError("kmeans: alpha below 1 needs every model's log price as first covariate")
        price = np.exp(labels.covariates[:, 0] - labels.covariates[:, 0].max())
        mixed: Floats = self.alpha * ranked + (1 - self.alpha) * (1 - price)
        return mixed

    def settings(self) -> dict[str, Json]:
        """Return its settings for the card."""
        found: dict[str, Json] = msgspec.to_builtins(self)
        return found


def _by_cell(values: Floats, home: NDArray[np.int64], n_cells: int) -> Floats:
    """Return the sums of rows by cell."""
    member = np.zeros((n_cells, home.size))
    member[home, np.arange(home.size)] = 1.0
    sums: Floats = member @ values
    return sums
