"""What any router has to beat, computed on the same items. Floor 6.

1. A *forecast* predicts every model's score; what it chooses follows from a price λ as with any router.
   The forecasts: kNN, k-means, logistic regression, prompt length alone, category look-up.
2. A *run* is what a policy came to, item by item. Without a forecast: oracle, dataset oracle, best single
   model chosen on the training items, cheapest, random, and the best random mixture at a given cost.
3. Whatever is chosen or fitted sees the training items only, except the oracles, which say so by their name.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from turnout.engine.route import CHARS_PER_TOKEN
from turnout.evaluate.metrics import Floats, hull
from turnout.evaluate.scoreboard_measure import Columns, Sweep
from turnout.evaluate.simulate_table import Bench, fitted_prices
from turnout.learn import features, predictor
from turnout.learn.base import Labels, Queries, Trainer
from turnout.learn.kmeans import KMeans
from turnout.learn.knn import Knn

BINS = 20
"""Of prompt length."""
PRIOR = 5.0
"""Items that a model's mean is worth in a bin or category."""
N_PRICES = 57


class Fold(Struct, frozen=True, eq=False, kw_only=True):
    """What may be learned from, and what is reported on."""

    train: Bench
    test: Bench
    asked_train: Queries
    asked_test: Queries
    charges: Floats | None = None
    """Expected USD of each model on each test item; None: costs are not known."""

    @property
    def labels(self) -> Labels:
        """The training items as trainers read them."""
        return Labels(models=self.train.models, queries=self.asked_train, scores=self.train.scores)


Forecaster: TypeAlias = Callable[[Fold], Floats]
"""Fits on the training items; returns predicted scores of the test items, a column a model."""


class Run(Struct, frozen=True, eq=False, kw_only=True):
    """What a policy came to on each item."""

    name: str
    scores: Floats
    costs: Floats
    """USD; NaN: not known."""
    latency: Floats
    chosen: Columns
    """Column of the model that answered; -1: none of them, or a mixture."""


def picked(name: str, bench: Bench, chosen: Columns) -> Run:
    """Return the run of a policy that asks one model per item."""
    rows = np.arange(bench.n)
    return Run(
        name=name,
        scores=bench.scores[rows, chosen],
        costs=bench.costs[rows, chosen],
        latency=bench.latency[rows, chosen],
        chosen=chosen,
    )


def joined(runs: Sequence[Run]) -> Run:
    """Return the runs of several folds as one."""
    if len(runs) == 1:
        return runs[0]
    return Run(
        name=runs[0].name,
        scores=np.concatenate([run.scores for run in runs]),
        costs=np.concatenate([run.costs for run in runs]),
        latency=np.concatenate([run.latency for run in runs]),
        chosen=np.concatenate([run.chosen for run in runs]),
    )


# Policies without a forecast


def best_single(fold: Fold) -> int:
    """Return the column of the model with the highest mean score in training; the cheaper one of equals."""
    means = np.nanmean(fold.train.scores, axis=0)
    costs = _mean_costs(fold.train)
    return int(np.lexsort((costs, -means))[0])


def cheapest(fold: Fold) -> int | None:
    """Return the column of the model with the lowest mean cost in training; None: costs are not known."""
    costs = _mean_costs(fold.train)
    return int(costs.argmin()) if np.isfinite(costs).all() and costs.any() else None


def _mean_costs(bench: Bench) -> Floats:
    known = ~np.isnan(bench.costs)
    counts = known.sum(axis=0)
    sums = np.where(known, bench.costs, 0.0).sum(axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)


def oracle(bench: Bench) -> Run:
    """Return the best answer of each item, the cheapest of equals: no router can do better."""
    costs = np.nan_to_num(bench.costs, nan=0.0)
    top = bench.scores.max(axis=1, keepdims=True)
    chosen = np.where(bench.scores >= top - 1e-12, costs, np.inf).argmin(axis=1)
    return picked("oracle", bench, chosen)


def dataset_oracle(bench: Bench) -> Run:
    """Return the model that is best on each domain of the test items: what a domain classifier could do."""
    places, home = np.unique(bench.places, return_inverse=True)
    best = np.array([int(bench.scores[home == at].mean(axis=0).argmax()) for at in range(places.size)])
    return picked("dataset oracle", bench, best[home])


def random_choice(bench: Bench) -> Run:
    """Return the expectation over a uniform choice."""
    return Run(
        name="random",
        scores=bench.scores.mean(axis=1),
        costs=bench.costs.mean(axis=1),
        latency=bench.latency.mean(axis=1),
        chosen=np.full(bench.n, -1),
    )


def mixture(bench: Bench, cost: float) -> Run:
    """Return the best random mixture of single models that costs as much on average (or less, at the top)."""
    costs, qualities = bench.costs.mean(axis=0), bench.scores.mean(axis=0)
    curve = hull(costs, qualities)
    at = [_corner(costs, qualities, x, y) for x, y in zip(curve.costs, curve.qualities, strict=True)]
    right = int(np.searchsorted(curve.costs, cost, side="left"))
    if right == 0:
        share, a, b = 0.0, at[0], at[0]
    elif right == len(at):
        share, a, b = 0.0, at[-1], at[-1]
    else:
        a, b = at[right - 1], at[right]
        share = (cost - curve.costs[right - 1]) / (curve.costs[right] - curve.costs[right - 1])
    columns = ((1 - share, a), (share, b))
    return Run(
        name="random mix at equal cost",
        scores=_mixed(columns, bench.scores),
        costs=_mixed(columns, bench.costs),
        latency=_mixed(columns, bench.latency),
        chosen=np.full(bench.n, -1),
    )


def _corner(costs: Floats, qualities: Floats, x: float, y: float) -> int:
    return int(np.flatnonzero((costs == x) & (qualities == y))[0])


def _mixed(columns: Sequence[tuple[float, int]], values: Floats) -> Floats:
    total = np.zeros(values.shape[0])
    for share, at in columns:
        if share:
            total += share * values[:, at]
    return total


# Forecasts


def knn(k: int) -> Forecaster:
    """Return the forecast of the k nearest training items."""
    return trained(Knn(k=k))


def trained(trainer: Trainer, seed: int = 0) -> Forecaster:
    """Return the forecast of what a trainer makes of the training items."""

    def forecast(fold: Fold) -> Floats:
        return trainer.fit(fold.labels, seed).predict(fold.asked_test).mean

    return forecast


def logistic(fold: Fold) -> Floats:
    """Return a logistic regression for each model around common weights, at its default precisions."""
    asked, labels = fold.asked_train, fold.labels
    scale = features.scaling(asked.embeddings, np.nan_to_num(asked.measures))
    rows = scale.features(asked.embeddings, np.nan_to_num(asked.measures))
    width = asked.embeddings.shape[1]
    precision = predictor.Precisions().diagonal(width, rows.shape[1] - 1 - width)
    model = predictor.fit(labels.models, rows, labels.scores, precision)
    test = scale.features(fold.asked_test.embeddings, np.nan_to_num(fold.asked_test.measures))
    return model.predict(test).mean


def length(fold: Fold) -> Floats:
    """Return each model's mean score among training prompts of about the same length."""
    lengths = np.array([len(item.prompt) for item in fold.train.items])
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, BINS + 1))[1:-1])
    home = np.searchsorted(edges, lengths, side="right")
    mine = np.searchsorted(edges, [len(item.prompt) for item in fold.test.items], side="right")
    return _means(fold.train.scores, home, edges.size + 1)[mine]


def category(fold: Fold) -> Floats:
    """Return each model's mean score in the item's category; over all training items in a new one."""
    names = np.unique(fold.train.places)
    home = np.searchsorted(names, fold.train.places)
    table = _means(fold.train.scores, home, names.size + 1)
    known = {str(name): at for at, name in enumerate(names)}
    return table[[known.get(item.place, names.size) for item in fold.test.items]]


def _means(scores: Floats, home: NDArray[np.intp], n: int) -> Floats:
    """Return mean scores by place, drawn towards the models' means; an empty place has those."""
    known = ~np.isnan(scores)
    overall = np.nanmean(scores, axis=0)
    found = np.empty((n, scores.shape[1]))
    for m in range(scores.shape[1]):
        rows = known[:, m]
        sums = np.bincount(home[rows], weights=scores[rows, m], minlength=n)
        counts = np.bincount(home[rows], minlength=n)
        found[:, m] = (sums + PRIOR * overall[m]) / (counts + PRIOR)
    return found


FORECASTS: Mapping[str, Forecaster] = {
    "kNN-20": knn(20),
    "kNN-100": knn(100),
    "k-means-64": trained(KMeans(cells=64)),
    "logistic": logistic,
    "prompt length": length,
    "category": category,
}


# From a forecast to choices


def prices(charges: Floats) -> Floats:
    """Return the values of λ of a sweep: 0, then evenly on a log scale around 1 / spread of costs."""
    spread = float((charges.max(axis=1) - charges.min(axis=1)).mean())
    grid = np.logspace(-3, 3, N_PRICES) / (spread or 1.0)
    return np.concatenate(([0.0], grid))


def choose(quality: Floats, charges: Floats | None, price: float) -> Columns:
    """Return the model with the highest utility per item; the cheaper one of equals, then the first."""
    if charges is None:
        return np.asarray(quality.argmax(axis=1))
    utility = quality - price * charges
    top = utility.max(axis=1, keepdims=True)
    return np.asarray(np.where(utility >= top - 1e-12, charges, np.inf).argmin(axis=1))


def charges_of(train: Bench, test: Bench) -> Floats | None:
    """Return the expected USD of each model on each test item by the prices fitted to the training items."""
    found = fitted_prices(train)
    if len(found) < len(train.models) or not train.costs.any():
        return None
    tokens = np.array([len(item.prompt) // CHARS_PER_TOKEN + 4 for item in test.items])
    columns = [found[name] for name in train.models]
    pico = [tokens * price.input + (price.per_request or 0) for price in columns]
    return np.asarray(np.ceil(np.stack(pico, axis=1) / 1000) * 1e-9)


def sweep(name: str, bench: Bench, settings: Sequence[Columns]) -> Sweep:
    """Return what a list of choices came to, a row a setting."""
    rows = np.arange(bench.n)
    return Sweep(
        name,
        np.array([bench.scores[rows, chosen] for chosen in settings]),
        np.array([bench.costs[rows, chosen] for chosen in settings]),
    )


def thinned(sweep: Sweep) -> Sweep:
    """Return a sweep without the settings that come to the same as the one before."""
    same = (sweep.scores[1:] == sweep.scores[:-1]).all(axis=1)
    same &= (sweep.costs[1:] == sweep.costs[:-1]).all(axis=1)
    kept = np.concatenate(([True], ~same))
    return Sweep(sweep.name, sweep.scores[kept], sweep.costs[kept])


def singles(bench: Bench) -> Sweep:
    """Return the single models as a sweep."""
    return Sweep("single models", np.ascontiguousarray(bench.scores.T), np.ascontiguousarray(bench.costs.T))
