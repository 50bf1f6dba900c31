"""Fits the default router from labels. Floor 2.

1. Features are fixed without labels: scaling, leading directions, cells.
2. Precisions are chosen by five folds inside the training rows (`pooled_choose`).
3. The exact fit follows (`predictor`), and, for each fold, one exact step from the approximate solution: its
   predictions of rows it did not see are what residual, calibration and the card's figures are made from.
4. A row without a vector says nothing here and is left out.
"""

from typing import Final, Literal

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from turnout.learn import calibrators, predictor, residual
from turnout.learn.base import Floats, Labels, Queries
from turnout.learn.basis import principal
from turnout.learn.calibrators import gap_errors, improves
from turnout.learn.cells import N_CELLS, find_cells
from turnout.learn.checks import check_labels
from turnout.learn.pooled import Pooled, Posterior, Scaling, unit
from turnout.learn.pooled_choose import GRID, MEASURES_GRID, Folded, Held, Sizes, choose, fold, folds_of
from turnout.learn.residual import Memory
from turnout.types.json import Json

N_DIRECTIONS: Final = 64
"""Directions in which the posterior is kept; beyond, labels said next to nothing."""
FACTS_FROM: Final = 4
ALL_FACTS_FROM: Final = 21
"""Models from which their first fact (log price), and all facts, move the common weights."""


class PooledLogistic(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The default trainer."""

    cells: int = N_CELLS
    embedding: float | None = None
    """Precision of the vector's weights; None: chosen by cross-validation."""
    regions: float | None = None
    """Of the cells'."""
    measures: float | None = None
    """Of the measures'."""
    residual: Literal["auto", "off"] = "auto"
    calibration: Literal["auto", "off"] = "auto"

    def __post_init__(self) -> None:
        if self.cells < 1:
            raise ValueError(f"pooled: cells is {self.cells}; expected at least 1")
        for name, value in (
            ("embedding", self.embedding),
            ("regions", self.regions),
            ("measures", self.measures),
        ):
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"pooled: {name} is {value}; expected above 0")

    @property
    def kind(self) -> str:
        """Name of what it makes."""
        return "pooled"

    def settings(self) -> dict[str, Json]:
        """Return its settings for the card."""
        found: dict[str, Json] = msgspec.to_builtins(self)
        return found

    def fit(self, labels: Labels, seed: int = 0) -> Pooled:
        """Return the fitted router. Raises `ValueError` for unusable labels."""
        return self.fit_held_out(labels, seed)[0]

    def fit_held_out(self, labels: Labels, seed: int = 0) -> tuple[Pooled, Floats]:
        """Return the fitted router, and what routers like it predict of rows that they did not see.

        Raises:
            ValueError: The labels cannot be used.
        """
        check_labels(labels)
        rows = np.flatnonzero(labels.queries.embeddings.any(axis=1) & ~np.isnan(labels.scores).all(axis=1))
        scores = labels.scores[rows]
        scaling, ready = _prepared(labels.queries, rows, self.cells, seed)
        folds = folds_of(labels.queries.embeddings[rows], seed)
        folded = fold(ready.features, scores, folds)
        held = self._held(folded, ready.sizes)
        weights = None if labels.weights is None else labels.weights[rows]
        precision = held.diagonal(ready.sizes)
        found = predictor.fit(
            labels.models,
            ready.features,
            scores,
            precision,
            predictor.Beside(facts=_facts(labels), weights=weights, start=folded.solve(precision, None)),
        )
        common = found.common[None] if found.slopes is None else np.vstack((found.common, found.slopes))
        outside = _held_out(folded, precision, weights)
        ids = None if labels.queries.ids is None else labels.queries.ids[rows]
        memory, outside = self._remember(scaling, ready, scores, outside, (folds, ids))
        curves, outside = self._straighten(outside, scores, folds)
        made = Pooled(
            models=labels.models,
            scaling=scaling,
            posterior=_posterior(found, precision),
            common=common,
            memory=memory,
            calibrators=curves,
        )
        everywhere = np.tile(np.nanmean(labels.scores, axis=0), (labels.queries.n, 1))
        everywhere[rows] = np.clip(outside, 0.0, 1.0)
        return Pooled.of(labels.models, made.arrays()), everywhere

    def _held(self, folded: Folded, sizes: Sizes) -> Held:
        fixed = {"embedding": self.embedding, "cells": self.regions, "measures": self.measures}
        grids = {"embedding": GRID, "cells": GRID, "measures": MEASURES_GRID}
        told = {name: value for name, value in fixed.items() if value is not None}
        tuned = {name: grid for name, grid in grids.items() if name not in told}
        return choose(folded, sizes, Held(**told), tuned) if tuned else Held(**told)

    def _remember(
        self,
        scaling: Scaling,
        ready: "_Ready",
        scores: Floats,
        outside: Floats,
        marks: tuple[NDArray[np.int64], NDArray[np.uint64] | None],
    ) -> tuple[Memory | None, Floats]:
        """Return the memory of near prompts if it lowers the held-out gap error, and the corrected rows.

        `marks`: the fold of each row, and its id.
        """
        folds, ids = marks
        if self.residual == "off" or scores.shape[0] < residual.FEWEST:
            return None, outside
        vectors, errors = unit(ready.reduced), scores - outside
        cosines = scaling.cells.cosines(ready.reduced)
        memory, rows = residual.remember(vectors, scaling.cells, cosines, errors, ids)
        corrected = outside + memory.correction(vectors, cosines, np.concatenate((folds, folds[rows])))
        if not improves(gap_errors(outside, scores), gap_errors(corrected, scores)):
            return None, outside
        return memory, corrected

    def _straighten(
        self, outside: Floats, scores: Floats, folds: NDArray[np.int64]
    ) -> tuple[calibrators.Calibrators | None, Floats]:
        if self.calibration == "off":
            return None, outside
        masks = [(folds == at).astype(np.float64) for at in range(int(folds.max()) + 1)]
        kind = calibrators.choose(outside, scores, masks)
        if kind is None:
            return None, outside
        return calibrators.fit_calibrators(kind, outside, scores), calibrators.held_out(
            kind, outside, scores, masks
        )


class _Ready(Struct, frozen=True, eq=False):
    reduced: Floats
    features: Floats
    sizes: Sizes


def _prepared(queries: Queries, rows: NDArray[np.intp], n_cells: int, seed: int) -> tuple[Scaling, _Ready]:
    vectors, measures = queries.embeddings[rows], queries.measures[rows]
    basis = principal(vectors, seed=seed)
    reduced = vectors if basis is None else vectors @ basis
    cells = find_cells(unit(reduced), n_cells, seed)
    present = ~np.isnan(measures)
    counts = np.maximum(present.sum(axis=0), 1)
    means = np.where(present, measures, 0.0).sum(axis=0) / counts
    deviations = np.sqrt(np.where(present, (measures - means) ** 2, 0.0).sum(axis=0) / counts)
    norm = float(np.sqrt(np.einsum("nd,nd->n", reduced, reduced).mean()))
    scaling = Scaling(norm, means, np.where(deviations > 1e-9, deviations, 1.0), basis, cells)
    asked = Queries(vectors, measures)
    features = scaling.features(asked, reduced, cells.cosines(reduced))
    return scaling, _Ready(reduced, features, Sizes(reduced.shape[1], measures.shape[1], cells.k))


def _facts(labels: Labels) -> Floats | None:
    """Return what moves the common weights, standardised; None where the models are too few."""
    n = len(labels.models)
    if labels.covariates is None or n < FACTS_FROM:
        return None
    facts = labels.covariates if n >= ALL_FACTS_FROM else labels.covariates[:, :1]
    present = ~np.isnan(facts)
    counts = np.maximum(present.sum(axis=0), 1)
    means = np.where(present, facts, 0.0).sum(axis=0) / counts
    away = np.where(present, facts - means, 0.0)
    deviations = np.sqrt((away**2).sum(axis=0) / counts)
    return away / np.where(deviations > 0, deviations, 1.0)


def _held_out(folded: Folded, precision: Floats, weights: Floats | None) -> Floats:
    """Return predictions of rows by weights that did not see them: one exact step from the approximation."""
    found = np.empty_like(folded.scores)
    worth = np.where(np.isnan(folded.scores), 0.0, 1.0 if weights is None else weights)
    targets = np.nan_to_num(folded.scores)
    for at in range(len(folded.grams)):
        held = folded.folds == at
        features = folded.features[~held]
        narrow = features.astype(np.float32)
        start = folded.solve(precision, at)
        center = start.mean(axis=0)
        p = predictor.sigmoid(features @ start.T)
        slope = (worth[~held] * (p - targets[~held])).T @ features + precision * (start - center)
        bend = worth[~held] * p * (1 - p)
        for m in range(start.shape[0]):
            start[m] -= np.linalg.solve(predictor.bent(narrow, bend[:, m], precision), slope[m])
        found[held] = predictor.sigmoid(folded.features[held] @ start.T)
    return found


def _posterior(found: predictor.Predictor, precision: Floats) -> Posterior:
    """Return the posterior with its covariance kept where labels say most."""
    scale = 1 / np.sqrt(precision)
    whitened = found.covariances.astype(np.float64) / (scale[:, None] * scale)
    lost = np.eye(precision.size) - whitened
    _, vectors = np.linalg.eigh(lost.mean(axis=0))
    directions = vectors[:, ::-1][:, :N_DIRECTIONS]
    told = np.einsum("dk,mde,el->mkl", directions, lost, directions, optimize=True)
    return Posterior(found.weights, scale, directions.astype(np.float32), told.astype(np.float32))
