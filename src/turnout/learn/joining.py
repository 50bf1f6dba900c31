"""A new model beside those of a fitted router: chosen for, evaluated, and given its own weights. Floor 2.

The fitted models' weights say where a new one may lie (`anchors.prior_of`); its answers say where. Of its
covariance, as of everyone's, what labels say is kept in the stored directions; elsewhere the prior of a fit
stands, which is wider than what is believed. A new model is therefore never thought surer than it is.
"""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from turnout.learn.anchors import Anchors, Normal, choose_anchors, join, prior_of
from turnout.learn.base import Floats, Queries
from turnout.learn.calibrators import KNOTS, Calibrators
from turnout.learn.outcomes import Lengths, conformal_quantile
from turnout.learn.pooled import Pooled, Posterior
from turnout.learn.residual import Memory

COVERAGE: Final = 0.9


def features_of(pooled: Pooled, queries: Queries) -> Floats:
    """Return what the router reads of each prompt."""
    reduced = pooled.scaling.reduced(queries.embeddings)
    return pooled.scaling.features(queries, reduced, pooled.scaling.cells.cosines(reduced))


def anchors_for(pooled: Pooled, queries: Queries, n: int) -> Anchors:
    """Return the prompts that tell most about a model that the router does not know."""
    prior = prior_of(pooled.posterior.weights, 1 / pooled.posterior.scale**2)
    return choose_anchors(prior, features_of(pooled, queries), pooled.home(queries.embeddings), n)


def with_model(pooled: Pooled, name: str, queries: Queries, scores: Floats) -> Pooled:
    """Return the router with one more model.

    Args:
        pooled: The router; its other models stay as they are.
        name: Of the new model.
        queries: Prompts that it was evaluated on.
        scores: Within 0-1, one a prompt.

    Raises:
        ValueError: The model is there already, or a score cannot be used.
    """
    if name in pooled.models:
        raise ValueError(f"{name} is already in the pool")
    prior = prior_of(pooled.posterior.weights, 1 / pooled.posterior.scale**2)
    belief = join(prior, features_of(pooled, queries), scores)
    memory, curves = pooled.memory, pooled.calibrators
    return msgspec.structs.replace(
        pooled,
        models=(*pooled.models, name),
        posterior=_extended(pooled.posterior, belief),
        memory=None if memory is None else Memory(memory.vectors, _with_zeros(memory.errors), memory.starts),
        calibrators=None if curves is None else Calibrators(np.vstack((curves.curves, KNOTS))),
    )


def with_lengths(lengths: Lengths, name: str, queries: Queries, tokens: Floats) -> Lengths:
    """Return the lengths with one more model: the mean of the others, moved to its own answers.

    Args:
        lengths: Of the other models.
        name: Of the new model.
        queries: Prompts that it answered.
        tokens: Of its answers; NaN where not known. Below nine known ones its bound is what was asked for.
    """
    known = ~np.isnan(tokens)
    alone = Lengths(
        models=(name,),
        scaling=lengths.scaling,
        weights=lengths.weights.mean(axis=0, keepdims=True),
        smear=np.ones(1),
        reach=np.zeros(1),
    )
    smear, reach = float(lengths.smear.mean()), np.inf
    if known.any():
        asked = queries.only(known)
        away = np.log(np.maximum(tokens[known], 1.0) / alone.predict(asked).mean[:, 0])
        alone.weights[0, 0] += away.mean()
        off = (away - away.mean()) * away.size / max(away.size - 1, 1)  # as if each had been left out
        smear, reach = float(np.exp(off).mean()), conformal_quantile(off, COVERAGE)
    return msgspec.structs.replace(
        lengths,
        models=(*lengths.models, name),
        weights=np.vstack((lengths.weights, alone.weights)),
        smear=np.append(lengths.smear, smear),
        reach=np.append(lengths.reach, reach),
    )


def _extended(posterior: Posterior, belief: Normal) -> Posterior:
    scale, directions = posterior.scale, posterior.directions.astype(np.float64)
    lost = np.eye(scale.size) - belief.covariance / (scale[:, None] * scale)
    told = (directions.T @ lost @ directions).astype(np.float32)
    return msgspec.structs.replace(
        posterior,
        weights=np.vstack((posterior.weights, belief.mean)),
        told=np.concatenate((posterior.told, told[None])),
    )


def _with_zeros(errors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.hstack((errors, np.zeros((errors.shape[0], 1), dtype=np.float32)))
