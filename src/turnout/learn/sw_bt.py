"""Bradley-Terry strengths, fitted anew for each prompt from the battles on similar ones. Floor 2.

1. A battle is a comparison of two models on one prompt. Outcomes become battles between randomly matched
   models (seeded): the better score wins by as much as it is better.
2. For a query the `nearest` battles count, each by base^(cos / cos_max - 1). The published base is 10
   (arXiv 2406.18665: weights 10·10^(cos/cos_max)), which lets the farthest battle count a tenth of the
   nearest; ours is chosen on held-out battles.
3. Models are grouped into tiers of similar overall strength; strengths are fitted by Newton's method, started
   at and drawn to the overall ones.
4. Strengths say who wins, not how good an answer is. Where outcomes are known, a line fitted on held-out
   prompts turns a strength into a chance of a good answer; otherwise the prediction is the mean chance to
   beat the pool.
"""

from typing import Self

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from turnout.learn.base import Arrays, Floats, Labels, Pairs, Prediction, Queries
from turnout.learn.checks import check_labels, label_weights, stored, stored_floats
from turnout.learn.descent import sigmoid, win_rates
from turnout.types.json import Json

BASES = (1.0, 10.0, 100.0, 1e4, 1e6, 1e9)
"""Tried on held-out battles; 1: similarity says nothing."""
HELD_OUT, MOST_HELD_OUT, FEWEST_PROMPTS = 0.2, 300, 50
"""Share and most of the prompts held out; with fewer prompts than the last, none are."""
MAX_STEPS, TOLERANCE = 20, 1e-5


class Battles(Struct, frozen=True, eq=False, kw_only=True):
    """Comparisons between tiers, by prompt."""

    models: tuple[str, ...]
    vectors: NDArray[np.float32]
    """One a prompt."""
    wins: NDArray[np.float32]
    """Prompts x tiers x tiers: weight of the row's wins over the column on that prompt."""
    counts: NDArray[np.int64]
    """Battles on each prompt."""
    strengths: Floats
    """Overall, one a tier."""
    tier: NDArray[np.int64]
    """Of each model."""
    line: Floats
    """Level and slope from a strength to a quality; NaN: comparisons only."""
    nearest: int
    base: float
    prior: float

    def predict(self, queries: Queries) -> Prediction:
        """Return chances of a good answer, or of beating the pool where that is all it knows."""
        strengths = self.strengths_at(queries.embeddings)[:, self.tier]
        mean = (
            win_rates(strengths)
            if np.isnan(self.line).any()
            else sigmoid(self.line[0] + self.line[1] * strengths)
        )
        return Prediction(mean, np.full_like(mean, np.nan))

    def strengths_at(self, vectors: Floats) -> Floats:
        """Return the tiers' strengths for each vector."""
        found = np.tile(self.strengths, (vectors.shape[0], 1))
        for row in np.flatnonzero(vectors.any(axis=1)):
            found[row] = self._refit(vectors[row].astype(np.float32))
        return found

    def _refit(self, vector: NDArray[np.float32]) -> Floats:
        cosines = self.vectors @ vector
        if (
            self.nearest < cosines.size
        ):  # each prompt has a battle, so no more prompts than battles are needed
            near = np.argpartition(cosines, -self.nearest)[-self.nearest :]
        else:
            near = np.arange(cosines.size)
        near = near[np.argsort(-cosines[near], kind="stable")]
        enough = int(np.searchsorted(np.cumsum(self.counts[near]), self.nearest)) + 1
        near = near[:enough]
        close, top = cosines[near], float(cosines[near[0]])
        closeness = self.base ** (close / top - 1) if top > 0 else np.ones_like(close)
        n = self.strengths.size
        wins = (closeness @ self.wins[near].reshape(near.size, n * n)).reshape(n, n)
        return _newton(wins.astype(np.float64), self.strengths, self.prior)

    def arrays(self) -> Arrays:
        """Return everything but the models' names."""
        return {
            "vectors": self.vectors,
            "wins": self.wins,
            "counts": self.counts,
            "strengths": self.strengths,
            "tier": self.tier,
            "line": self.line,
            "settings": np.array([float(self.nearest), self.base, self.prior]),
        }

    @classmethod
    def of(cls, models: tuple[str, ...], arrays: Arrays) -> Self:
        """Return the model that was written. Raises `ValueError` where an array is missing or misshapen."""
        vectors = stored_floats(arrays, "vectors", (None, None)).astype(np.float32)
        strengths = stored_floats(arrays, "strengths", (None,))
        n, tiers = vectors.shape[0], strengths.size
        tier = stored(arrays, "tier", (len(models),)).astype(np.int64)
        settings = stored_floats(arrays, "settings", (3,))
        if n == 0 or tier.min() < 0 or tier.max() >= tiers:
            raise ValueError("array 'tier' or 'vectors' does not fit the strengths of the tiers")
        return cls(
            models=models,
            vectors=vectors,
            wins=stored_floats(arrays, "wins", (n, tiers, tiers)).astype(np.float32),
            counts=stored(arrays, "counts", (n,)).astype(np.int64),
            strengths=strengths,
            tier=tier,
            line=stored(arrays, "line", (2,)).astype(np.float64),
            nearest=int(settings[0]),
            base=float(settings[1]),
            prior=float(settings[2]),
        )


class SimilarBattles(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keeps battles, groups models into tiers, chooses the base."""

    nearest: int = 1_000
    """Battles that count for a query."""
    tiers: int = 10
    prior: float = 5.0
    """Firmness with which strengths are held to the overall ones."""
    base: float | None = None
    """None: the best of `BASES` on held-out battles."""
    rounds: int = 2
    """Random matches of the whole pool on each prompt with outcomes."""

    def __post_init__(self) -> None:
        if self.nearest < 1 or self.tiers < 2 or self.rounds < 1 or not self.prior > 0:
            raise ValueError("sw_bt: nearest, rounds and prior must be above 0, tiers above 1")
        if self.base is not None and not self.base >= 1:
            raise ValueError(f"sw_bt: base is {self.base}; expected 1 or more")

    @property
    def kind(self) -> str:
        """Name of what it makes."""
        return "sw_bt"

    def fit(self, labels: Labels, seed: int = 0) -> Battles:
        """Return the battles, ready to be weighed. Raises `ValueError` for unusable labels."""
        check_labels(labels, pairs_suffice=True)
        rng = np.random.default_rng(seed)
        pairs = _with_vectors(_battles(labels, self.rounds, rng), labels.queries)
        overall = _strengths(pairs, len(labels.models))
        tier = _tiers(overall, self.tiers)
        battles = self._kept(pairs, labels, tier)
        prompts = rng.permutation(np.unique(pairs.query))
        held = np.sort(prompts[: min(int(prompts.size * HELD_OUT), MOST_HELD_OUT)])
        if prompts.size < FEWEST_PROMPTS:
            return battles if self.base is None else msgspec.structs.replace(battles, base=self.base)
        away = np.isin(pairs.query, held)
        rest = self._kept(_some(pairs, ~away), labels, tier)
        bases = BASES if self.base is None else (self.base,)
        tried = [msgspec.structs.replace(rest, base=base) for base in bases]
        losses = [_battle_loss(battles, labels.queries, _some(pairs, away)) for battles in tried]
        best = int(np.argmin(losses))
        line = _line(tried[best], labels, held)
        return msgspec.structs.replace(battles, base=bases[best], line=line)

    def _kept(self, pairs: Pairs, labels: Labels, tier: NDArray[np.int64]) -> Battles:
        n_tiers = int(tier.max()) + 1
        between = _some(pairs, tier[pairs.a] != tier[pairs.b])  # inside a tier nothing is told apart
        if not between.query.size:
            raise ValueError("no two models of different strength were compared")
        prompts, query = np.unique(between.query, return_inverse=True)
        tiered = Pairs(query, tier[between.a], tier[between.b], between.outcome, between.weight)
        wins = _wins(query, tiered, n_tiers)
        return Battles(
            models=labels.models,
            vectors=labels.queries.embeddings[prompts].astype(np.float32),
            wins=wins.astype(np.float32),
            counts=np.bincount(query).astype(np.int64),
            strengths=_newton(wins.sum(axis=0), np.zeros(n_tiers), 1e-2),
            tier=tier,
            line=np.full(2, np.nan),
            nearest=self.nearest,
            base=10.0,
            prior=self.prior,
        )

    def settings(self) -> dict[str, Json]:
        """Return its settings for the card."""
        found: dict[str, Json] = msgspec.to_builtins(self)
        return found


def _battles(labels: Labels, rounds: int, rng: np.random.Generator) -> Pairs:
    """Return the comparisons, and the outcomes as comparisons."""
    weights = label_weights(labels)
    found = [] if labels.pairs is None else [labels.pairs]
    n_models = len(labels.models)
    for _ in range(min(rounds, n_models - 1)):
        draw = np.where(weights > 0, rng.random(weights.shape), np.inf)
        order = draw.argsort(axis=1)
        for first in range(0, n_models - 1, 2):
            a, b = order[:, first], order[:, first + 1]
            rows = np.flatnonzero((weights[np.arange(a.size), a] > 0) & (weights[np.arange(a.size), b] > 0))
            a, b = a[rows], b[rows]
            gap = labels.scores[rows, a] - labels.scores[rows, b]
            found.append(Pairs(rows, a, b, 0.5 + gap / 2, np.minimum(weights[rows, a], weights[rows, b])))
    columns = [
        np.concatenate([getattr(part, name) for part in found])
        for name in ("query", "a", "b", "outcome", "weight")
    ]
    return Pairs(*columns)


def _with_vectors(pairs: Pairs, queries: Queries) -> Pairs:
    told: NDArray[np.bool_] = np.asarray(queries.embeddings.any(axis=1))
    kept = _some(pairs, told[pairs.query] & (pairs.weight > 0))
    if not kept.query.size:
        raise ValueError("no two models were compared on a prompt with a vector")
    return kept


def _some(pairs: Pairs, mask: NDArray[np.bool_]) -> Pairs:
    return Pairs(pairs.query[mask], pairs.a[mask], pairs.b[mask], pairs.outcome[mask], pairs.weight[mask])


def _strengths(pairs: Pairs, n_models: int) -> Floats:
    wins = _wins(np.zeros_like(pairs.query), pairs, n_models)[0]
    return _newton(wins, np.zeros(n_models), 1e-2)


def _tiers(strengths: Floats, n_tiers: int) -> NDArray[np.int64]:
    """Return each model's tier: as many models in each as in any other, tier 0 the weakest."""
    rank = np.argsort(np.argsort(strengths, kind="stable"))
    n = min(n_tiers, strengths.size)
    tier: NDArray[np.int64] = (rank * n // strengths.size).astype(np.int64)
    return tier


def _wins(place: NDArray[np.int64], pairs: Pairs, n: int) -> Floats:
    """Return places x n x n: the weight of the row's wins over the column there."""
    wins = np.zeros((int(place.max()) + 1, n, n))
    np.add.at(wins, (place, pairs.a, pairs.b), pairs.weight * pairs.outcome)
    np.add.at(wins, (place, pairs.b, pairs.a), pairs.weight * (1 - pairs.outcome))
    return wins


def _newton(wins: Floats, center: Floats, prior: float) -> Floats:
    """Return the strengths of the highest posterior around `center`."""
    met = wins + wins.T
    won = wins.sum(axis=1)
    strengths = center.copy()
    corner = prior * np.eye(center.size)
    for _ in range(MAX_STEPS):
        chances = sigmoid(strengths[:, None] - strengths[None, :])
        gradient = won - (met * chances).sum(axis=1) - prior * (strengths - center)
        if np.abs(gradient).max() <= TOLERANCE * (1 + won.sum()):
            break
        spread = met * chances * (1 - chances)
        curvature = corner - spread
        curvature.flat[:: center.size + 1] += spread.sum(axis=1)
        step = np.linalg.solve(curvature, gradient)
        strengths = strengths + step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
    return strengths


def _battle_loss(battles: Battles, queries: Queries, held: Pairs) -> float:
    prompts, place = np.unique(held.query, return_inverse=True)
    strengths = battles.strengths_at(queries.embeddings[prompts])[:, battles.tier]
    gap = strengths[place, held.a] - strengths[place, held.b]
    return float((held.weight * (np.logaddexp(0.0, gap) - held.outcome * gap)).sum() / held.weight.sum())


def _line(battles: Battles, labels: Labels, held: NDArray[np.int64]) -> Floats:
    """Return level and slope of the logistic line from held-out strengths to scores; NaN without scores."""
    weights = label_weights(labels)[held]
    if not (weights > 0).any():
        return np.full(2, np.nan)
    known = weights > 0
    strengths = battles.strengths_at(labels.queries.embeddings[held])[:, battles.tier][known]
    scores, weight = labels.scores[held][known], weights[known]
    features = np.stack((np.ones_like(strengths), strengths), axis=1)
    line = np.array([0.0, 1.0])
    center = line.copy()
    for _ in range(MAX_STEPS):
        p = sigmoid(features @ line)
        gradient = features.T @ (weight * (p - scores)) + (line - center)
        curvature = (features * (weight * p * (1 - p))[:, None]).T @ features + np.eye(2)
        line = line - np.linalg.solve(curvature, gradient)
    return line
