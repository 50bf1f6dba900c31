"""What a card says of a fit: figures from predictions of rows that were held out. Floor 6.

1. Whether to abstain is judged by utility: quality, less the price of money times what each model costs on
   average in the tables. At price 0 it is quality alone.
2. kNN-100 is the method to beat; its predictions come from folds of the same rows.
3. The area under cost and quality (AIQ over the range of the single models) sweeps the price, each model at
   its recorded mean cost. It is there only where every model's cost is.
"""

import math
from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from turnout.errors import ConfigError
from turnout.evaluate import baselines
from turnout.evaluate.dataset import NANO, Outcome, OutcomeTable
from turnout.evaluate.metrics import aiq_range, apgr, brier, ece, hull, pgr_curve
from turnout.evaluate.queries import Grid, grid
from turnout.learn.abstain import Edge, Range, edge, mean_range
from turnout.learn.artifact import CardModel, Metrics
from turnout.learn.base import Floats, Queries
from turnout.learn.outcomes import Lengths, fit_lengths

FEWEST_IN_DOMAIN: Final = 20
FEWEST_LENGTHS: Final = 20
"""Answers with a number of tokens that each model needs for lengths to be learned."""
MOST_LENGTHS: Final = 3_000
"""Prompts that lengths are learned from; more do not change them."""


def mean_costs(table: OutcomeTable, found: Grid) -> Floats | None:
    """Return what an answer of each model costs on average, in USD; None where it is not known of each."""
    costs = _column(table, found, lambda row: None if row.cost_nusd is None else row.cost_nusd / NANO)
    known = ~np.isnan(costs)
    if not known.any(axis=0).all():
        return None
    means: Floats = np.where(known, costs, 0.0).sum(axis=0) / known.sum(axis=0)
    return means if means.any() else None


def judge(found: Grid, outside: Floats, price: float, costs: Floats | None) -> Edge:
    """Return what following the held-out predictions is worth. Raises `ConfigError`."""
    if price and costs is None:
        raise ConfigError(("lambda: the tables do not say what answers of each model cost (cost_usd)",))
    charges = None if costs is None or not price else np.tile(price * costs, (len(found.items), 1))
    return edge(np.clip(outside, 0.0, 1.0), found.scores, charges=charges, groups=_groups(found))


def _groups(found: Grid) -> NDArray[np.intp]:
    groups = {name: at for at, name in enumerate(dict.fromkeys(item.group for item in found.items))}
    return np.array([groups[item.group] for item in found.items], dtype=np.intp)


def metrics(found: Grid, outside: Floats, rival: Floats | None, costs: Floats | None) -> Metrics:
    """Return the figures.

    Args:
        found: The rows.
        outside: Held-out predictions of them.
        rival: Those of kNN-100; None: it is the method itself, or could not be fitted.
        costs: Mean cost of each model; None: not known.
    """
    judged = edge(np.clip(outside, 0.0, 1.0), found.scores, groups=_groups(found))
    known = ~np.isnan(found.scores)
    complete = known.all(axis=1)
    area: float | None = None
    if len(found.models) == 2:
        strong = int(np.nanmean(found.scores, axis=0).argmax())
        gap = (outside[:, strong] - outside[:, 1 - strong])[complete]
        pair = found.scores[complete]
        if pair[:, strong].mean() > pair[:, 1 - strong].mean():
            area = apgr(pgr_curve(gap, pair[:, strong], pair[:, 1 - strong]))
    best = float(np.nanmean(found.scores[:, judged.best]))
    domains = _domain_gains(found, outside, judged.best)
    worst = min(domains, key=lambda name: domains[name]) if domains else None
    return Metrics(
        gap_auc=None if judged.gap_auc is None else judged.gap_auc.mean,
        brier=brier(outside[known], found.scores[known]),
        ece=ece(outside[known], found.scores[known]),
        apgr=area,
        aiq=None if costs is None else _aiq(found.scores[complete], outside[complete], costs),
        quality=best + judged.difference.mean,
        best_single=best,
        vs_best_single=_finite(judged.difference),
        vs_knn=None if rival is None else _against(found, outside, rival),
        domains=domains,
        worst_domain=worst,
        worst_domain_gain=None if worst is None else domains[worst],
    )


def _aiq(scores: Floats, predicted: Floats, costs: Floats) -> float | None:
    if not len(scores) or costs.min() == costs.max():
        return None
    charges = np.tile(costs, (len(scores), 1))
    rows = np.arange(len(scores))
    points = [(costs[m], scores[:, m].mean()) for m in range(costs.size)]
    for price in baselines.prices(charges).tolist():
        chosen = baselines.choose(predicted, charges, price)
        points.append((costs[chosen].mean(), scores[rows, chosen].mean()))
    curve = hull([cost for cost, _ in points], [quality for _, quality in points])
    return aiq_range(curve, float(costs.min()), float(costs.max()))


def _against(found: Grid, outside: Floats, rival: Floats) -> tuple[float, float] | None:
    rows = np.arange(len(found.items))
    gain = found.scores[rows, outside.argmax(axis=1)] - found.scores[rows, rival.argmax(axis=1)]
    known = ~np.isnan(gain)
    return _finite(mean_range(gain[known], _groups(found)[known]))


def _finite(of: Range) -> tuple[float, float] | None:
    return (of.low, of.high) if math.isfinite(of.low) and math.isfinite(of.high) else None


def _domain_gains(found: Grid, outside: Floats, best: int) -> dict[str, float]:
    """Return what following the predictions gains on the best single model, by domain."""
    rows = np.arange(len(found.items))
    gain = found.scores[rows, outside.argmax(axis=1)] - found.scores[:, best]
    places = np.array([item.domain or item.dataset for item in found.items])
    gains: dict[str, float] = {}
    for name in np.unique(places):
        own = gain[(places == name) & ~np.isnan(gain)]
        if own.size >= FEWEST_IN_DOMAIN:
            gains[str(name) or "all"] = round(float(own.mean()), 6)
    return gains


def card_models(found: Grid) -> tuple[CardModel, ...]:
    """Return what the card says of each model."""
    made = []
    places = np.array([item.domain or item.dataset for item in found.items])
    for m, name in enumerate(found.models):
        known = ~np.isnan(found.scores[:, m])
        scores = found.scores[known, m]
        surfaces = {
            str(place): float(scores[places[known] == place].mean())
            for place in np.unique(places[known])
            if place and (places[known] == place).sum() >= FEWEST_IN_DOMAIN
        }
        made.append(
            CardModel(id=name, n_labels=int(known.sum()), mean=float(scores.mean()), surfaces=surfaces)
        )
    return tuple(made)


def lengths(table: OutcomeTable, found: Grid, asked: Queries) -> Lengths | None:
    """Return what the tables say about output tokens; None where a model has too few."""
    tokens = _column(table, found, lambda row: row.output_tokens)
    if ((~np.isnan(tokens)).sum(axis=0) < FEWEST_LENGTHS).any():
        return None
    kept = np.arange(0, len(tokens), max(1, len(tokens) // MOST_LENGTHS))
    some = asked.only(kept)
    try:
        return fit_lengths(found.models, some, tokens[kept])
    except ValueError:
        return None  # what was kept lacks a model


def _column(table: OutcomeTable, found: Grid, read: Callable[[Outcome], float | None]) -> Floats:
    """Return another column of a table in the places of its scores; NaN: absent."""
    rows = tuple(
        msgspec.structs.replace(row, score=math.nan if (value := read(row)) is None else float(value))
        for row in table.rows
    )
    return grid(msgspec.structs.replace(table, rows=rows), models=found.models).scores
