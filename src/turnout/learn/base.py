"""What learns and predicts, whatever the method. Floor 2.

Theory of operation.

1. An `Encoder` turns a text into a unit vector. Vectors of different `id`s cannot be compared, so an artifact
   names the one it was fitted with.
2. A `QualityModel` predicts, for each query and each model of its pool, the score that the model's answer
   would get. It is fitted from `Labels` by a `Trainer`, written as plain arrays, and read back from them:
   the run time needs numpy alone and no pickles.
3. Every method is one file with one model class and one trainer, named in `turnout.trainers` and
   `turnout.quality_models` (registry.py). The artifact, the command line, the live scorer and the workbench
   know only the protocols here.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, Self, TypeAlias, runtime_checkable

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from turnout.types.json import Json

Floats: TypeAlias = NDArray[np.float64]
Arrays: TypeAlias = Mapping[str, NDArray[np.generic]]


@runtime_checkable
class Encoder(Protocol):
    """A text as a vector. Deterministic."""

    @property
    def id(self) -> str:
        """Name with version and, for weights, their hash."""
        ...

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        ...

    def embed(self, text: str) -> Floats:
        """Return the unit vector of a text; all zero where nothing can be said, which means: abstain."""
        ...

    def embed_all(self, texts: Sequence[str]) -> Floats:
        """Return one vector a row; equal to `embed` of each to 1e-6."""
        ...


class Queries(Struct, frozen=True, eq=False):
    """Prompts as numbers: n rows."""

    embeddings: Floats
    """n x dimensions, unit rows (or zero rows)."""
    measures: Floats
    """n x len(MEASURES), raw numbers of the surface signals (`learn.measures`)."""
    ids: NDArray[np.uint64] | None = None
    """Ids of the prompts as numbers, 0 where one has none; None: nobody has. What keeps rows keeps theirs."""

    @property
    def n(self) -> int:
        """How many."""
        return int(self.embeddings.shape[0])

    def only(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> "Queries":
        """Return some rows, by place or by mask."""
        ids = None if self.ids is None else self.ids[rows]
        return Queries(self.embeddings[rows], self.measures[rows], ids)


class Pairs(Struct, frozen=True, eq=False):
    """Comparisons: which of two answers was better."""

    query: NDArray[np.int64]
    """Row of `Queries`."""
    a: NDArray[np.int64]
    """Column of the pool."""
    b: NDArray[np.int64]
    outcome: Floats
    """1: a won, 0: b won, 0.5: tie."""
    weight: Floats


class Labels(Struct, frozen=True, eq=False, kw_only=True):
    """What is known about which answers were good."""

    models: tuple[str, ...]
    queries: Queries
    scores: Floats
    """n x models within 0-1; NaN: not evaluated."""
    weights: Floats | None = None
    """n x models; None: 1 everywhere."""
    pairs: Pairs | None = None
    covariates: Floats | None = None
    """models x k facts about models (log price, tier, public scores), for priors of new models."""


class Prediction(Struct, frozen=True, eq=False):
    """Predicted scores, one row a query, one column a model."""

    mean: Floats
    """Within 0-1."""
    sd: Floats
    """Of the mean, not of one answer's score; NaN where the method does not know."""


class QualityModel(Protocol):
    """Predicts quality. Immutable once fitted."""

    @property
    def models(self) -> tuple[str, ...]:
        """Its pool, one a column."""
        ...

    def predict(self, queries: Queries) -> Prediction:
        """Return the predicted scores. Fast for one row: this runs inside a decision."""
        ...

    def arrays(self) -> Arrays:
        """Return everything that was learned, except `models`."""
        ...

    @classmethod
    def of(cls, models: tuple[str, ...], arrays: Arrays) -> Self:
        """Return the model that was written.

        Raises:
            ValueError: An array is missing or has a wrong shape.
        """
        ...


class Trainer(Protocol):
    """Fits a `QualityModel`. Frozen; its fields are its settings. Same input, same output."""

    @property
    def kind(self) -> str:
        """Name of the quality model it makes, in `turnout.quality_models`."""
        ...

    def fit(self, labels: Labels, seed: int = 0) -> QualityModel:
        """Return the fitted model.

        Raises:
            ValueError: The labels cannot be used; says why.
        """
        ...

    def settings(self) -> Mapping[str, Json]:
        """Return its settings for the card."""
        ...
