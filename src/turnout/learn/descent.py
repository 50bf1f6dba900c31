"""Fits networks with one score a model by seeded descent, on outcomes and comparisons at once. Floor 2.

1. A `Net` turns vectors into one score s a model; σ(s) is the chance of a good answer, σ(s_a - s_b) that
   a's is the better one. Ties enter as halves. The two losses add up, each label with its weight.
2. Steps take prompts in seeded order. A tenth of the prompts is held out and the best epoch's weights are
   kept, so that more epochs never overfit. Same labels, same seed: same weights.
"""

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from turnout.learn.base import Floats, Labels
from turnout.learn.checks import label_weights

Weights: TypeAlias = list[Floats]
Rows: TypeAlias = NDArray[np.int64]

HELD_OUT = 0.1
FEWEST_HELD_OUT = 20
"""Prompts; with fewer, which epoch is best would be noise, and the last one is taken."""
FIRST_MOMENT, SECOND_MOMENT, TINY = 0.9, 0.999, 1e-8
"""Adam's own constants (arXiv 1412.6980, algorithm 1)."""


class Net(Protocol):
    """A differentiable map from vectors to one score a model."""

    def forward(self, weights: Weights, vectors: Floats) -> tuple[Floats, Floats]:
        """Return the scores and what `backward` needs of the way there."""
        ...

    def backward(self, weights: Weights, vectors: Floats, hidden: Floats, slope: Floats) -> Weights:
        """Return the gradient of every weight, given the loss's gradient at the scores."""
        ...


class Pace(Struct, frozen=True, kw_only=True):
    """How far and how carefully."""

    epochs: int
    rate: float
    decay: float
    """Ridge on all weights, in labels."""
    batch: int = 256


class Targets:
    """Labels of some prompts, ready to be taken in any order."""

    def __init__(self, labels: Labels) -> None:
        self.vectors = labels.queries.embeddings
        self.weights = label_weights(labels)
        self.scores = np.nan_to_num(labels.scores)
        pairs = labels.pairs
        order = np.argsort(pairs.query, kind="stable") if pairs is not None else np.empty(0, np.int64)
        none, numbers = np.empty(0), np.empty(0, np.int64)
        self.query = numbers if pairs is None else pairs.query[order]
        self.a = numbers if pairs is None else pairs.a[order]
        self.b = numbers if pairs is None else pairs.b[order]
        self.outcome = none if pairs is None else pairs.outcome[order]
        self.worth = none if pairs is None else pairs.weight[order]
        self.starts = np.searchsorted(self.query, np.arange(labels.queries.n + 1))

    def labelled(self) -> Rows:
        """Return the prompts with a vector and any label."""
        told = (self.weights > 0).any(axis=1) | (np.diff(self.starts) > 0)
        return np.flatnonzero(told & self.vectors.any(axis=1))

    def loss(self, rows: Rows, scores: Floats) -> tuple[float, float, Floats]:
        """Return total loss, total weight, and the loss's gradient at the scores of these prompts."""
        weights, wanted = self.weights[rows], self.scores[rows]
        slope = weights * (sigmoid(scores) - wanted)
        total = float((weights * (np.logaddexp(0.0, scores) - wanted * scores)).sum())
        place, pairs = self._pairs_of(rows)
        if pairs.size:
            a, b, worth, outcome = self.a[pairs], self.b[pairs], self.worth[pairs], self.outcome[pairs]
            gap = scores[place, a] - scores[place, b]
            push = worth * (sigmoid(gap) - outcome)
            np.add.at(slope, (place, a), push)
            np.add.at(slope, (place, b), -push)
            total += float((worth * (np.logaddexp(0.0, gap) - outcome * gap)).sum())
        return total, float(weights.sum() + self.worth[pairs].sum()), slope

    def _pairs_of(self, rows: Rows) -> tuple[Rows, Rows]:
        """Return, for every pair of these prompts, the prompt's place in `rows` and the pair's number."""
        counts = self.starts[rows + 1] - self.starts[rows]
        place = np.repeat(np.arange(rows.size), counts)
        before = np.cumsum(counts) - counts
        return place, np.arange(place.size) - before[place] + self.starts[rows][place]


def sigmoid(u: Floats) -> Floats:
    """Return the logistic function, without overflow."""
    found: Floats = 0.5 * (1 + np.tanh(0.5 * u))
    return found


def win_rates(scores: Floats) -> Floats:
    """Return each model's mean chance to beat the others of the pool: what comparisons alone can tell."""
    n_models = scores.shape[1]
    chances = sigmoid(scores[:, :, None] - scores[:, None, :])
    found: Floats = (chances.sum(axis=2) - 0.5) / (n_models - 1)
    return found


def descend(net: Net, start: Sequence[Floats], targets: Targets, pace: Pace, seed: int) -> Weights:
    """Return the weights of the epoch that held-out labels like best."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(targets.labelled())
    if rows.size == 0:
        raise ValueError("no labelled prompt has a vector")
    n_held = int(rows.size * HELD_OUT)
    held = rows[:n_held] if n_held >= FEWEST_HELD_OUT else rows[:0]
    rows = rows[held.size :]
    weights = [part.copy() for part in start]
    best, lowest = weights, np.inf
    adam = _Adam(weights, pace.rate)
    for _ in range(pace.epochs):
        order = rng.permutation(rows)
        for first in range(0, order.size, pace.batch):
            adam.step(weights, _gradient(net, weights, targets, order[first : first + pace.batch], pace))
        if held.size:
            total, worth, _ = targets.loss(held, net.forward(weights, targets.vectors[held])[0])
            if total / worth < lowest:
                best, lowest = [part.copy() for part in weights], total / worth
    return best if held.size else weights


def _gradient(net: Net, weights: Weights, targets: Targets, rows: Rows, pace: Pace) -> Weights:
    vectors = targets.vectors[rows]
    scores, hidden = net.forward(weights, vectors)
    _, worth, slope = targets.loss(rows, scores)
    gradient = net.backward(weights, vectors, hidden, slope / max(worth, TINY))
    everything = max(targets.weights.sum() + targets.worth.sum(), 1.0)
    return [g + pace.decay / everything * part for g, part in zip(gradient, weights, strict=True)]


class _Adam:
    def __init__(self, weights: Weights, rate: float) -> None:
        self._rate, self._n = rate, 0
        self._first = [np.zeros_like(part) for part in weights]
        self._second = [np.zeros_like(part) for part in weights]

    def step(self, weights: Weights, gradient: Weights) -> None:
        self._n += 1
        scale = self._rate * np.sqrt(1 - SECOND_MOMENT**self._n) / (1 - FIRST_MOMENT**self._n)
        for i, g in enumerate(gradient):
            self._first[i] += (1 - FIRST_MOMENT) * (g - self._first[i])
            self._second[i] += (1 - SECOND_MOMENT) * (g * g - self._second[i])
            weights[i] -= scale * self._first[i] / (np.sqrt(self._second[i]) + TINY)
