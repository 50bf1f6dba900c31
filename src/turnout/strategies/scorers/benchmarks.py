"""`benchmarks`: a weighted index of named benchmarks. Floor 2.

Theory of operation.

1. Index of a model: the weighted mean of its normalised scores. Normalised means within the route's declared
   pool, never among the candidates that one request left: otherwise dropping one model would reorder others.
2. `minmax` maps the pool's worst to 0 and its best to 1 (all equal: 0.5); `z` standardises, clips at three
   standard deviations and maps to [0, 1]. A benchmark where lower is better is turned round.
3. A score that is missing, or older than `max_age_days`, is replaced by the declared rule: `low` takes the
   pool's lower quartile, `renormalise` weighs what is there, `regress` predicts it from the model's other
   scores, `exclude` leaves the model without an index.
4. A model whose own scores carry less than `min_coverage` of the weight has no index, whatever the rule.
5. All of this happens when a configuration is loaded; a decision is a look-up. A request that brings its own
   weights is computed from the normalised table.
"""

from collections.abc import Mapping, Sequence
from math import isclose, isfinite, sqrt
from typing import ClassVar, Literal

import msgspec
from msgspec import Struct

from turnout.catalog.benchmarks import unknown_benchmark
from turnout.errors import ConfigError
from turnout.strategies.base import Context, Role, Setting
from turnout.types.deployment import Candidate

NAN = float("nan")
MIN_COMPLETE = 8
"""Models with every score that `regress` needs (ROUTING.md 1.5)."""
RIDGE = 0.1
"""Penalty of the regression, on columns in [0, 1]."""

Column = Mapping[str, float]
"""Deployment id -> number."""


class Benchmarks(Struct, frozen=True, tag="benchmarks", kw_only=True, forbid_unknown_fields=True):
    """Quality as an index over benchmarks."""

    weights: dict[str, float]
    """Benchmark -> weight; they sum to 1, or to 100."""
    normalise: Literal["minmax", "z"] = "minmax"
    missing: Literal["low", "renormalise", "regress", "exclude"] = "low"
    min_coverage: float = 0.5
    max_age_days: int | None = None
    weight: float = 1.0
    index: Column | None = None
    """Filled when a configuration is loaded, as the next two."""
    table: Mapping[str, Column] = {}
    """Benchmark -> deployment id -> normalised number, gaps filled by the rule."""
    observed: Mapping[str, frozenset[str]] = {}
    """Benchmark -> deployment ids with a score of their own."""

    FILLED: ClassVar = frozenset({"index", "table", "observed"})

    def __post_init__(self) -> None:
        bad = [name for name, w in self.weights.items() if not (isfinite(w) and w >= 0)]
        if bad:
            raise ValueError(f"weights.{bad[0]} is {self.weights[bad[0]]}; expected a number of at least 0")
        total = sum(self.weights.values())
        if not (isclose(total, 1, abs_tol=1e-6) or isclose(total, 100, abs_tol=1e-4)):
            raise ValueError(f"weights sum to {total:g}; make them sum to 1")
        if not 0 <= self.min_coverage <= 1:
            raise ValueError(f"min_coverage is {self.min_coverage}; expected between 0 and 1")

    @property
    def name(self) -> str:
        """Word for Records."""
        return "benchmarks"

    @property
    def role(self) -> Role:
        """A quality."""
        return "quality"

    @property
    def needs(self) -> frozenset[str]:
        """No signal."""
        return frozenset()

    def bind(self, setting: Setting) -> "Benchmarks":
        """Compute the index of the pool.

        Raises:
            ConfigError: A benchmark is not known, or no model of the pool has enough scores.
        """
        known = setting.scores.benchmarks
        problems = [
            f"weights.{name}: {unknown_benchmark(name, known)}" for name in self.weights if name not in known
        ]
        if problems:
            raise ConfigError(tuple(problems))
        own = {name: self._normalised(name, setting) for name in self.weights}
        observed = {name: frozenset(column) for name, column in own.items()}
        ids = [d.id for d in setting.pool]
        table: Mapping[str, Column] = own
        if self.missing == "low":
            table = {name: _filled_low(column, ids) for name, column in own.items()}
        elif self.missing == "regress":
            table = _regressed(own, ids)
        made = msgspec.structs.replace(self, table=table, observed=observed)
        index = made.index_of(self.weights, ids)
        if not index:
            share = f"{self.min_coverage:.0%} of the weight"
            raise ConfigError((f"weights: no model of the route has scores for {share}; import scores",))
        return msgspec.structs.replace(made, index=index)

    def index_of(self, weights: Mapping[str, float], ids: Sequence[str]) -> Column:
        """Return the index by deployment id for these weights; what has none is left out."""
        weights = {name: w for name, w in weights.items() if name in self.table and isfinite(w) and w > 0}
        total = sum(weights.values())
        found: dict[str, float] = {}
        for each in ids:
            own = sum(w for name, w in weights.items() if each in self.observed[name])
            scored = {name: w for name, w in weights.items() if each in self.table[name]}
            complete = len(scored) == len(weights) or self.missing == "renormalise"
            if own > 0 and own >= self.min_coverage * total and complete:
                points = sum(w * self.table[name][each] for name, w in scored.items())
                found[each] = points / sum(scored.values())
        return found

    @property
    def highest(self) -> float | None:
        """Best index of the pool; None before binding."""
        return max(self.index.values()) if self.index else None

    def score(self, context: Context, candidates: Sequence[Candidate]) -> list[float]:
        """Return the index of each candidate; NaN where there is none."""
        index = self.index or {}
        if context.ask.prefer.weights:
            index = self.index_of(context.ask.prefer.weights, [c.id for c in candidates]) or index
        return [index.get(c.id, NAN) for c in candidates]

    def _normalised(self, benchmark: str, setting: Setting) -> Column:
        raw: dict[str, float] = {}
        for deployment in setting.pool:
            row = setting.scores.get(benchmark, deployment.model.id)
            if row is not None and not self._is_old((setting.today - row.date).days):
                raw[deployment.id] = row.score if row.higher_is_better else -row.score
        if not raw:
            return raw
        return _by_range(raw) if self.normalise == "minmax" else _by_deviation(raw)

    def _is_old(self, age_days: int) -> bool:
        return self.max_age_days is not None and age_days > self.max_age_days


def _by_range(raw: Column) -> Column:
    low, high = min(raw.values()), max(raw.values())
    if high == low:
        return dict.fromkeys(raw, 0.5)
    return {name: (x - low) / (high - low) for name, x in raw.items()}


def _by_deviation(raw: Column) -> Column:
    mean = sum(raw.values()) / len(raw)
    sd = sqrt(sum((x - mean) ** 2 for x in raw.values()) / len(raw))
    if sd == 0:
        return dict.fromkeys(raw, 0.5)
    return {name: (min(3.0, max(-3.0, (x - mean) / sd)) + 3) / 6 for name, x in raw.items()}


def _filled_low(column: Column, ids: Sequence[str]) -> Column:
    """Fill gaps with the lower quartile of the pool: a model that skipped a test is not given its average."""
    if not column:
        return column
    ordered = sorted(column.values())
    at = 0.25 * (len(ordered) - 1)
    below = int(at)
    quartile = ordered[below] + (at - below) * (ordered[min(below + 1, len(ordered) - 1)] - ordered[below])
    return {name: column.get(name, quartile) for name in ids}


def _regressed(own: Mapping[str, Column], ids: Sequence[str]) -> Mapping[str, Column]:
    """Fill gaps by ridge regression on the other benchmarks, learnt from models that have them all.

    Raises:
        ConfigError: Too few models have them all.
    """
    complete = [each for each in ids if all(each in column for column in own.values())]
    if len(complete) < MIN_COMPLETE:
        need = f"regress needs {MIN_COMPLETE} models with every score, the route has {len(complete)}"
        raise ConfigError((f"missing: {need}; take low",))
    filled = {name: dict(column) for name, column in own.items()}
    for name, column in own.items():
        for each in ids:
            known = [other for other in own if other != name and each in own[other]]
            if each not in column and known:
                filled[name][each] = _predict([own[other] for other in known], column, complete, each)
    return filled


def _predict(others: Sequence[Column], target: Column, complete: Sequence[str], each: str) -> float:
    means = [sum(o[m] for m in complete) / len(complete) for o in others]
    mean = sum(target[m] for m in complete) / len(complete)
    rows = [[o[m] - at for o, at in zip(others, means, strict=True)] for m in complete]
    k = len(others)
    gram = [
        [sum(r[i] * r[j] for r in rows) + (RIDGE if i == j else 0.0) for j in range(k)]
        + [sum(r[i] * (target[m] - mean) for r, m in zip(rows, complete, strict=True))]
        for i in range(k)
    ]
    slopes = _solve(gram)
    own = [o[each] - at for o, at in zip(others, means, strict=True)]
    return min(1.0, max(0.0, mean + sum(s * x for s, x in zip(slopes, own, strict=True))))


def _solve(augmented: list[list[float]]) -> list[float]:
    """Solve a positive definite system by elimination; the ridge keeps every pivot away from zero."""
    k = len(augmented)
    for i in range(k):
        pivot = augmented[i][i]
        augmented[i] = [x / pivot for x in augmented[i]]
        for j in range(k):
            if j != i and augmented[j][i]:
                factor = augmented[j][i]
                augmented[j] = [a - factor * b for a, b in zip(augmented[j], augmented[i], strict=True)]
    return [row[k] for row in augmented]
