"""What labels and stored arrays must be before anything is computed from them. Floor 2."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from turnout.learn.base import Arrays, Floats, Labels, Pairs, Queries

SHOWN = 5
"""Rows named in a message; the rest is counted."""


def check_labels(labels: Labels, *, pairs_suffice: bool = False) -> None:
    """Refuse labels from which nothing can be learned.

    Args:
        labels: What is to be learned from.
        pairs_suffice: Whether comparisons alone are enough for the method.

    Raises:
        ValueError: One sentence for each problem; rows are counted from 0.
    """
    problems = list(_shape_problems(labels))
    if not problems:
        problems += _query_problems(labels.queries)
        problems += _score_problems(labels)
        problems += [] if labels.pairs is None else _pair_problems(labels.pairs, labels)
    if not problems:
        problems += _coverage_problems(labels, pairs_suffice=pairs_suffice)
    if problems:
        raise ValueError("; ".join(problems))


def has_pairs(labels: Labels) -> bool:
    """Tell whether there is any comparison."""
    return labels.pairs is not None and labels.pairs.query.size > 0


def label_weights(labels: Labels) -> Floats:
    """Return one weight a score, 0 where there is no score."""
    known = ~np.isnan(labels.scores)
    return known.astype(np.float64) if labels.weights is None else np.where(known, labels.weights, 0.0)


def pool_means(labels: Labels, prior: float = 0.0) -> Floats:
    """Return each model's weighted mean score, drawn to the mean of all by `prior` labels."""
    weights, scores = label_weights(labels), np.nan_to_num(labels.scores)
    everyone = float((weights * scores).sum() / max(weights.sum(), np.finfo(np.float64).tiny))
    counts = weights.sum(axis=0)
    means: Floats = ((weights * scores).sum(axis=0) + prior * everyone) / np.maximum(
        counts + prior, np.finfo(np.float64).tiny
    )
    return np.where(counts + prior > 0, means, everyone)


def stored(arrays: Arrays, name: str, shape: tuple[int | None, ...]) -> NDArray[np.generic]:
    """Return one stored array; `None` in the shape stands for any length.

    Raises:
        ValueError: It is missing, of another shape, or not finite where it holds floats.
    """
    if name not in arrays:
        raise ValueError(f"array {name!r} is missing")
    found = arrays[name]
    fits = found.ndim == len(shape) and all(
        want in (None, have) for want, have in zip(shape, found.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"array {name!r} has shape {found.shape}; expected {shape}")
    return found


def stored_floats(arrays: Arrays, name: str, shape: tuple[int | None, ...]) -> Floats:
    """Return one stored array of finite numbers. Raises `ValueError` as `stored` does."""
    found = stored(arrays, name, shape).astype(np.float64)
    if not np.isfinite(found).all():
        raise ValueError(f"array {name!r} holds numbers that are not finite")
    return found


def _shape_problems(labels: Labels) -> Iterator[str]:
    n, models = labels.queries.n, len(labels.models)
    if models < 2:
        yield f"only {models} model ({', '.join(labels.models)}); expected two or more"
    if len(set(labels.models)) < models:
        yield "two models have the same name"
    if n == 0:
        yield "no prompts"
    if labels.scores.shape != (n, models):
        yield f"scores have shape {labels.scores.shape}; expected {(n, models)}"
    if labels.weights is not None and labels.weights.shape != (n, models):
        yield f"weights have shape {labels.weights.shape}; expected {(n, models)}"


def _query_problems(queries: Queries) -> list[str]:
    bad = np.flatnonzero(~np.isfinite(queries.embeddings).all(axis=1))
    return [f"vectors that are not finite: {_rows(bad)}"] if bad.size else []


def _score_problems(labels: Labels) -> list[str]:
    problems = []
    outside = np.isinf(labels.scores) | (labels.scores < 0) | (labels.scores > 1)
    if (bad := np.flatnonzero(outside.any(axis=1))).size:
        problems.append(f"scores outside 0-1: {_rows(bad)}")
    if labels.weights is not None:
        used = ~np.isnan(labels.scores)
        wrong = used & ~((labels.weights >= 0) & np.isfinite(labels.weights))
        if (bad := np.flatnonzero(wrong.any(axis=1))).size:
            problems.append(f"weights below 0 or not finite: {_rows(bad)}")
    return problems


def _pair_problems(pairs: Pairs, labels: Labels) -> list[str]:
    models = len(labels.models)
    sizes = {part.shape for part in (pairs.query, pairs.a, pairs.b, pairs.outcome, pairs.weight)}
    if len(sizes) > 1:
        return ["the columns of the pairs differ in length"]
    checks = (
        ("pairs of prompts that do not exist", (pairs.query < 0) | (pairs.query >= labels.queries.n)),
        (
            "pairs of models that do not exist",
            (np.minimum(pairs.a, pairs.b) < 0) | (np.maximum(pairs.a, pairs.b) >= models),
        ),
        ("pairs of a model with itself", pairs.a == pairs.b),
        ("pairs with an outcome outside 0-1", ~((pairs.outcome >= 0) & (pairs.outcome <= 1))),
        ("pairs with a weight below 0 or not finite", ~((pairs.weight >= 0) & np.isfinite(pairs.weight))),
    )
    return [f"{what}: {_rows(np.flatnonzero(bad))}" for what, bad in checks if bad.any()]


def _coverage_problems(labels: Labels, *, pairs_suffice: bool) -> list[str]:
    known = ~np.isnan(labels.scores)
    weights = label_weights(labels)
    told: NDArray[np.bool_] = np.asarray((weights > 0).any(axis=0))
    if labels.pairs is not None and pairs_suffice:
        counted = labels.pairs.weight > 0
        told[np.concatenate((labels.pairs.a[counted], labels.pairs.b[counted]))] = True
    elif not known.any():
        return ["no scores; this method cannot learn from comparisons alone"]
    problems = []
    if without := [model for model, has in zip(labels.models, told, strict=True) if not has]:
        problems.append(f"no label for {', '.join(without)}")
    values = np.unique(labels.scores[known])
    decided = pairs_suffice and has_pairs(labels)
    if values.size == 1 and not decided:
        problems.append(f"every score is {values[0]:g}; nothing can be learned from constant labels")
    outcomes = np.unique(labels.pairs.outcome) if labels.pairs is not None else np.empty(0)
    if pairs_suffice and not known.any() and outcomes.size == 1 and outcomes[0] == 0.5:
        problems.append("every comparison is a tie; nothing can be learned from constant labels")
    return problems


def _rows(rows: Iterable[np.int64]) -> str:
    numbers = [int(row) for row in rows]
    shown = ", ".join(str(row) for row in numbers[:SHOWN])
    rest = len(numbers) - SHOWN
    return f"row {shown}" + (f" and {rest} more" if rest > 0 else "")
