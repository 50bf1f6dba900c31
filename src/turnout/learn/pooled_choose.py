"""How firmly each block of weights is held: chosen by what held-out gaps between models say. Floor 2.

The logistic likelihood is replaced by its quadratic approximation around each model's mean. Then a fold's
answer for any precision is two linear systems, which all models with about as many labels share, and dozens
of settings are tried in the time of one fit. The same solutions are where the exact fits begin.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from turnout.learn.base import Floats
from turnout.learn.calibrators import gap_errors
from turnout.learn.predictor import sigmoid

GRID: Final = (1.0, 3.0, 10.0, 30.0, 100.0)
MEASURES_GRID: Final = (3.0, 30.0, 300.0)
N_FOLDS: Final = 5
SURE: Final = 0.02
"""A mean score is read within this and its complement."""


class Held(Struct, frozen=True, kw_only=True):
    """Precision of each block."""

    intercept: float = 0.1
    embedding: float = 10.0
    measures: float = 3.0
    cells: float = 10.0

    def diagonal(self, sizes: "Sizes") -> Floats:
        """Return one precision a feature."""
        blocks = (
            (self.intercept, 1),
            (self.embedding, sizes.embedding),
            (self.measures, sizes.measures),
            (self.cells, sizes.cells),
        )
        return np.concatenate([np.full(n, precision) for precision, n in blocks])


class Sizes(Struct, frozen=True):
    """Features in each block after the intercept."""

    embedding: int
    measures: int
    cells: int


class Folded(Struct, frozen=True, eq=False):
    """Sufficient statistics of each fold."""

    features: Floats
    scores: Floats
    folds: NDArray[np.int64]
    """Fold of each row."""
    grams: Floats
    """Folds x d x d."""
    sums: Floats
    """Folds x models x d: Φᵀ(y - mean)."""
    ones: Floats
    """Folds x models x d: Φᵀ1 over labelled rows."""
    counts: Floats
    """Folds x models."""
    means: Floats
    """Of each model."""

    def solve(self, precision: Floats, without: int | None) -> Floats:
        """Return approximate weights, models x d, from all folds but one."""
        keep = np.arange(len(self.grams)) != (-1 if without is None else without)
        spread = np.clip(self.means, SURE, 1 - SURE)
        v = spread * (1 - spread)
        right = self.sums[keep].sum(axis=0) + (v * np.log(spread / (1 - spread)))[:, None] * self.ones[
            keep
        ].sum(axis=0)
        gram = self.grams[keep].sum(axis=0)
        share = self.counts[keep].sum(axis=0) / max(float(np.bincount(self.folds)[keep].sum()), 1.0)
        strength = v * share
        common = _solve(gram, float(strength.sum()), precision, right.sum(axis=0)[:, None])[:, 0]
        found: Floats = np.empty_like(right)
        levels = np.round(np.log(np.maximum(strength, 1e-6)) * 5)
        for level in np.unique(levels):
            members = np.flatnonzero(levels == level)
            wanted: Floats = right[members] + precision * common
            found[members] = _solve(gram, float(strength[members].mean()), precision, wanted.T).T
        return found

    def held_out(self, precision: Floats) -> Floats:
        """Return predictions of each row by weights that did not see it."""
        found: Floats = np.empty_like(self.scores)
        for fold in range(len(self.grams)):
            rows = self.folds == fold
            found[rows] = sigmoid(self.features[rows] @ self.solve(precision, fold).T)
        return found


def fold(features: Floats, scores: Floats, folds: NDArray[np.int64]) -> Folded:
    """Return the statistics from which every setting is tried."""
    known = ~np.isnan(scores)
    means = np.where(known, scores, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    away = np.where(known, np.nan_to_num(scores) - means, 0.0)
    parts = [np.flatnonzero(folds == at) for at in range(int(folds.max()) + 1)]
    return Folded(
        features=features,
        scores=scores,
        folds=folds,
        grams=np.stack([features[rows].T @ features[rows] for rows in parts]),
        sums=np.stack([away[rows].T @ features[rows] for rows in parts]),
        ones=np.stack([known[rows].T.astype(np.float64) @ features[rows] for rows in parts]),
        counts=np.stack([known[rows].sum(axis=0) for rows in parts]).astype(np.float64),
        means=means,
    )


def folds_of(embeddings: Floats, seed: int, n_folds: int = N_FOLDS) -> NDArray[np.int64]:
    """Return a fold for each row; equal prompts share one."""
    random = np.random.Generator(np.random.PCG64(seed))
    key = embeddings @ random.normal(size=embeddings.shape[1])
    same: NDArray[np.int64]
    _, same = np.unique(np.round(key, 9), return_inverse=True)
    order = random.permutation(int(same.max()) + 1)
    found: NDArray[np.int64] = (order % n_folds)[same]
    return found


def choose(folded: Folded, sizes: Sizes, held: Held, tuned: Mapping[str, Sequence[float]]) -> Held:
    """Return the precisions with the least held-out gap error: one block after the other, twice."""
    tried: dict[tuple[float, ...], float] = {}

    def loss(at: Held) -> float:
        key = (at.embedding, at.measures, at.cells)
        if key not in tried:
            predicted = folded.held_out(at.diagonal(sizes))
            errors = gap_errors(predicted, folded.scores)
            tried[key] = float(np.nanmean(errors)) if not np.isnan(errors).all() else math.inf
        return tried[key]

    for _ in range(2):
        before = held
        for block, grid in tuned.items():
            held = min((_with(held, block, value) for value in grid), key=loss)
        if held == before:
            break
    return held


def _with(held: Held, block: str, value: float) -> Held:
    blocks = {"embedding": held.embedding, "measures": held.measures, "cells": held.cells, block: value}
    return Held(intercept=held.intercept, **blocks)


def _solve(gram: Floats, strength: float, precision: Floats, right: Floats) -> Floats:
    curvature: Floats = gram * strength
    curvature[np.diag_indices_from(curvature)] += precision
    found: Floats = np.linalg.solve(curvature, right).astype(np.float64, copy=False)
    return found
