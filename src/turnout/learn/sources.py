"""How much each source of labels may say beside the gold ones. Floor 2.

1. *Gold* labels are those that the router will be judged by. A source is anything else: comparisons, a judge,
   thumbs, another benchmark. All speak of the same pool.
2. A source's weight is one of `WEIGHTS`, chosen by the log loss on gold labels held out in folds: 0 drops it.
   Sources are taken one after the other, in their order, each beside those already chosen.
3. A weight above 0 must lower the loss by more than one standard error of the paired difference: ten thousand
   thumbs cannot drown three hundred gold labels, and a source that is wrong loses its voice.
4. It must also beat its own placebo, the same labels with their verdicts shuffled, by as much: any labels at
   all draw predictions towards the middle, which alone can help few gold labels.
5. What a source says about a held-out prompt itself is left out while that prompt is judged on.
"""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from turnout.learn.base import Floats, Labels, Pairs, QualityModel, Queries
from turnout.learn.checks import check_labels, label_weights

WEIGHTS: Final = (0.0, 0.03, 0.1, 0.3, 1.0)
FOLDS: Final = 5
CAUTION: Final = 1.0
"""Standard errors that a weight has to win by."""
FEWEST_GOLD: Final = 50
"""Prompts below which a held-out loss says nothing about a source."""
SUREST: Final = 1e-3
"""Predictions are read within this and its complement, so that one miss cannot be infinitely bad."""

Fit: TypeAlias = Callable[[Labels], QualityModel]


class Source(Struct, frozen=True, kw_only=True):
    """Labels that are not gold."""

    name: str
    labels: Labels
    cap: float = 1.0
    """Largest weight it may get (`links.link_judge` tells one for a judge)."""


class Trial(Struct, frozen=True, kw_only=True):
    """One weight of one source, tried beside those chosen before."""

    source: str
    weight: float
    loss: float
    """Mean log loss of held-out gold labels."""
    change: float
    """Against weight 0; below 0 is better."""
    error: float
    """Standard error of that change, over prompts."""


class Weighing(Struct, frozen=True, kw_only=True):
    """The weights, and every trial that led to them."""

    weights: dict[str, float]
    trials: tuple[Trial, ...]
    gold_loss: float
    """With gold labels alone."""
    loss: float
    """With the sources as weighed."""


def choose_weights(fit: Fit, gold: Labels, sources: Sequence[Source], seed: int = 0) -> Weighing:
    """Return what each source may say.

    Args:
        fit: Makes a model of labels; must honour weights, and comparisons where a source has them
            (`links.fit_linked`).
        gold: Labels with scores.
        sources: In the order in which they are tried.
        seed: Of the folds.

    Raises:
        ValueError: Pools differ, two sources share a name, or gold labels are too few.
    """
    check_labels(gold)
    _check_sources(gold, sources)
    fold = np.random.default_rng(seed).permutation(gold.queries.n) % FOLDS
    chosen: list[tuple[Source, float]] = []
    base = first = held_out_losses(fit, gold, chosen, fold)
    trials: list[Trial] = []
    for source in sources:
        better: list[tuple[float, float, Floats]] = []
        for weight in (weight for weight in WEIGHTS if weight <= source.cap):
            losses = base if weight == 0 else held_out_losses(fit, gold, [*chosen, (source, weight)], fold)
            change, error = _paired(losses, base)
            trials.append(_trial(source.name, weight, losses, change, error))
            if change < -CAUTION * error:
                better.append((change, weight, losses))
        placebo = _shuffled(source, seed) if better else source
        for _, weight, losses in sorted(better, key=lambda each: each[:2]):
            change, error = _paired(losses, held_out_losses(fit, gold, [*chosen, (placebo, weight)], fold))
            if change < -CAUTION * error:
                chosen.append((source, weight))
                base = losses
                break
    weights = dict.fromkeys((source.name for source in sources), 0.0)
    weights |= {source.name: weight for source, weight in chosen}
    return Weighing(
        weights=weights,
        trials=tuple(trials),
        gold_loss=float(np.nanmean(first)),
        loss=float(np.nanmean(base)),
    )


def pool(gold: Labels, chosen: Sequence[tuple[Source, float]]) -> Labels:
    """Return one set of labels: the gold ones, and each source's at its weight."""
    parts = [(gold, 1.0), *((source.labels, weight) for source, weight in chosen if weight > 0)]
    starts = np.cumsum([0, *(labels.queries.n for labels, _ in parts)])
    queries = Queries(
        np.vstack([labels.queries.embeddings for labels, _ in parts]),
        np.vstack([labels.queries.measures for labels, _ in parts]),
        np.concatenate([_ids(labels.queries) for labels, _ in parts]),
    )
    pairs = [
        Pairs(p.query + start, p.a, p.b, p.outcome, p.weight * weight)
        for (labels, weight), start in zip(parts, starts[:-1], strict=True)
        if (p := labels.pairs) is not None
    ]
    return Labels(
        models=gold.models,
        queries=queries,
        scores=np.vstack([labels.scores for labels, _ in parts]),
        weights=np.vstack([label_weights(labels) * weight for labels, weight in parts]),
        pairs=_joined(pairs) if pairs else None,
        covariates=gold.covariates,
    )


def held_out_losses(
    fit: Fit, gold: Labels, chosen: Sequence[tuple[Source, float]], fold: NDArray[np.int64]
) -> Floats:
    """Return each gold prompt's log loss, predicted by a fit that did not see it; NaN without labels."""
    losses = np.full(gold.queries.n, np.nan)
    for k in range(int(fold.max()) + 1):
        away = fold == k
        held = {row.tobytes() for row in gold.queries.embeddings[away]}
        others = [(_without(source, held), weight) for source, weight in chosen]
        model = fit(pool(_rows(gold, ~away), others))
        losses[away] = log_losses(_rows(gold, away), model)
    return losses


def log_losses(labels: Labels, model: QualityModel) -> Floats:
    """Return each prompt's weighted mean log loss; NaN without labels."""
    p = np.clip(model.predict(labels.queries).mean, SUREST, 1 - SUREST)
    weights, y = label_weights(labels), np.nan_to_num(labels.scores)
    loss = -(y * np.log(p) + (1 - y) * np.log(1 - p))
    total = weights.sum(axis=1)
    mean: Floats = (weights * loss).sum(axis=1) / np.where(total > 0, total, np.nan)
    return mean


def table(weighing: Weighing) -> str:
    """Return the trials as text, a line each: what a card or a report prints."""
    lines = [f"gold labels alone: log loss {weighing.gold_loss:.4f}; as weighed: {weighing.loss:.4f}"]
    for trial in weighing.trials:
        mark = " <" if trial.weight == weighing.weights[trial.source] else ""
        lines.append(
            f"{trial.source:20} weight {trial.weight:<4g} log loss {trial.loss:.4f} "
            f"change {trial.change:+.4f} ± {trial.error:.4f}{mark}"
        )
    return "\n".join(lines)


def _trial(name: str, weight: float, losses: Floats, change: float, error: float) -> Trial:
    return Trial(source=name, weight=weight, loss=float(np.nanmean(losses)), change=change, error=error)


def _paired(losses: Floats, base: Floats) -> tuple[float, float]:
    difference = (losses - base)[~np.isnan(losses)]
    return float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(difference.size))


def _check_sources(gold: Labels, sources: Sequence[Source]) -> None:
    if gold.queries.n < FEWEST_GOLD:
        raise ValueError(f"{gold.queries.n} prompts with gold labels; weighing sources needs {FEWEST_GOLD}")
    names = [source.name for source in sources]
    if len(set(names)) < len(names):
        raise ValueError("two sources have the same name")
    for source in sources:
        if source.labels.models != gold.models:
            raise ValueError(f"source {source.name!r} speaks of other models than the gold labels")
        same = ("embeddings", "measures")
        for name in same:
            here, there = getattr(source.labels.queries, name), getattr(gold.queries, name)
            if here.shape[1] != there.shape[1]:
                raise ValueError(f"source {source.name!r}: {name} of another length than the gold labels'")


def _rows(labels: Labels, mask: NDArray[np.bool_]) -> Labels:
    weights = None if labels.weights is None else labels.weights[mask]
    pairs = None
    if labels.pairs is not None:
        p, place = labels.pairs, np.cumsum(mask) - 1
        kept = mask[p.query]
        pairs = Pairs(place[p.query[kept]], p.a[kept], p.b[kept], p.outcome[kept], p.weight[kept])
    return Labels(
        models=labels.models,
        queries=labels.queries.only(mask),
        scores=labels.scores[mask],
        weights=weights,
        pairs=pairs,
        covariates=labels.covariates,
    )


def _without(source: Source, held: set[bytes]) -> Source:
    mask = np.array([row.tobytes() not in held for row in source.labels.queries.embeddings], dtype=np.bool_)
    return Source(name=source.name, labels=_rows(source.labels, mask), cap=source.cap)


def _shuffled(source: Source, seed: int) -> Source:
    """Return a source that says the same things about other answers."""
    rng, labels = np.random.default_rng(seed), source.labels
    scores, pairs = labels.scores.copy(), labels.pairs
    known = ~np.isnan(scores)
    scores[known] = rng.permutation(scores[known])
    if pairs is not None:
        pairs = Pairs(pairs.query, pairs.a, pairs.b, rng.permutation(pairs.outcome), pairs.weight)
    return Source(
        name=source.name, cap=source.cap, labels=msgspec.structs.replace(labels, scores=scores, pairs=pairs)
    )


def _ids(queries: Queries) -> NDArray[np.uint64]:
    return np.zeros(queries.n, np.uint64) if queries.ids is None else queries.ids


def _joined(parts: Sequence[Pairs]) -> Pairs:
    return Pairs(
        np.concatenate([part.query for part in parts]),
        np.concatenate([part.a for part in parts]),
        np.concatenate([part.b for part in parts]),
        np.concatenate([part.outcome for part in parts]),
        np.concatenate([part.weight for part in parts]),
    )
