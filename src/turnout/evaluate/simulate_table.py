"""An outcome table laid out for evaluation: one row an item, one column a model. Floor 6.

1. An item's turns are one thing: their scores are averaged, their costs and times added. Repeated samples of
   a model are averaged in the matrices and kept apart for the simulator.
2. Where a table holds outcomes without a judge beside rows that name one, the latter are that judge's
   readings of the same answers, for acceptors to ask; otherwise they are outcomes.
3. Rows marked as contaminated are left out. Money is USD here, as metrics are ratios of means.
4. A price that nobody declares is fitted to the training items: so much a call, and so much a token of input.
"""

import csv
import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from turnout.engine.route import CHARS_PER_TOKEN
from turnout.errors import ConfigError
from turnout.evaluate.dataset import NANO, Outcome, OutcomeTable
from turnout.evaluate.simulate import Recorded
from turnout.types.chat import ChatRequest, Facts, Message, Text
from turnout.types.deployment import Stats
from turnout.types.usage import PicoUsd, Price

Floats = NDArray[np.float64]
Key = tuple[str, str, str]

LEAST_COVERAGE = 0.95
"""Models with outcomes for a smaller share of the items are left out, unless they are asked for by name."""
PICO = 1e12


class Asked(Struct, frozen=True, kw_only=True):
    """One item."""

    prompt: str
    prompt_id: str
    item_id: str = ""
    dataset: str = ""
    domain: str = ""
    split: str = ""
    group: str = ""

    @property
    def request(self) -> ChatRequest:
        """The item as a user would send it: a conversation's only message."""
        return ChatRequest(
            model="auto",
            messages=(Message("user", (Text(self.prompt),)),),
            facts=Facts(n_chars=len(self.prompt), n_messages=1),
        )

    @property
    def place(self) -> str:
        """Where it belongs in tables by domain."""
        return self.domain or self.dataset or "all"


class Bench(Struct, frozen=True, eq=False, kw_only=True):
    """Items that every model of the pool was asked, and those that some were not."""

    models: tuple[str, ...]
    items: tuple[Asked, ...]
    scores: Floats
    """Items x models; NaN: not recorded."""
    costs: Floats
    """USD; NaN: not recorded."""
    latency: Floats
    """Seconds; NaN: not recorded."""
    rows: tuple[tuple[Outcome, ...], ...]
    """All that was recorded of each item."""
    judged: bool = False
    """Whether rows that name a judge are its readings instead of outcomes."""
    sha256: str
    warnings: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """How many items."""
        return len(self.items)

    @property
    def groups(self) -> NDArray[np.str_]:
        """What is resampled together, per item."""
        return np.array([item.group for item in self.items])

    @property
    def places(self) -> NDArray[np.str_]:
        """Domain (or data set) per item."""
        return np.array([item.place for item in self.items])

    @property
    def priced(self) -> bool:
        """Whether every model's cost is recorded for every complete item."""
        return bool(self.n) and not np.isnan(self.costs[self.complete]).any() and bool(self.costs.any())

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Items with an outcome of every model."""
        return np.asarray(~np.isnan(self.scores).any(axis=1))

    def recorded(self, i: int) -> Recorded:
        """Return what was recorded of an item, as the simulator reads it."""
        samples: dict[str, dict[int, list[Outcome]]] = {}
        readings: dict[tuple[str, str, int], Outcome] = {}
        for row in self.rows[i]:
            if self.judged and row.judge:
                readings[row.judge, row.model, row.sample_id] = row
            else:
                samples.setdefault(row.model, {}).setdefault(row.sample_id, []).append(row)
        answers = {name: tuple(_turns(own[at]) for at in sorted(own)) for name, own in samples.items()}
        return Recorded(answers, readings)

    def only(self, rows: NDArray[np.bool_]) -> "Bench":
        """Return some of the items."""
        kept = np.flatnonzero(rows).tolist()
        return msgspec.structs.replace(
            self,
            items=tuple(self.items[i] for i in kept),
            rows=tuple(self.rows[i] for i in kept),
            scores=self.scores[kept],
            costs=self.costs[kept],
            latency=self.latency[kept],
        )

    def pool(self, models: Sequence[str]) -> "Bench":
        """Return some of the models, in the order asked for."""
        if unknown := [name for name in models if name not in self.models]:
            raise ConfigError((f"no outcomes of {', '.join(unknown)}; known: {', '.join(self.models)}",))
        at = [self.models.index(name) for name in models]
        return msgspec.structs.replace(
            self,
            models=tuple(models),
            scores=self.scores[:, at],
            costs=self.costs[:, at],
            latency=self.latency[:, at],
        )


def bench(
    table: OutcomeTable, *, models: Sequence[str] = (), rates: Mapping[str, tuple[float, float]] | None = None
) -> Bench:
    """Lay a table out.

    Args:
        table: Outcomes.
        models: The pool; none: every model with enough outcomes.
        rates: Model -> USD per million tokens in and out, in place of the recorded costs.
    """
    judged = not all(row.judge for row in table.rows)
    at: dict[Key, int] = {}
    items: list[Asked] = []
    rows: list[list[Outcome]] = []
    for row in table.rows:
        if row.contaminated:
            continue
        i = at.setdefault((row.dataset, row.prompt_id, row.item_id), len(items))
        if i == len(items):
            items.append(_asked(row))
            rows.append([])
        rows[i].append(_priced(row, rates))
    if not items:
        raise ConfigError(("the table has no outcomes that may be evaluated (all are contaminated)",))
    pool, warnings = _pool(table, rows, models)
    found = Bench(
        models=pool,
        items=tuple(items),
        scores=np.full((len(items), len(pool)), np.nan),
        costs=np.full((len(items), len(pool)), np.nan),
        latency=np.full((len(items), len(pool)), np.nan),
        rows=tuple(map(tuple, rows)),
        judged=judged,
        sha256=table.sha256,
        warnings=(*table.warnings, *warnings),
    )
    _fill(found)
    return found


def _fill(found: Bench) -> None:
    """Write the matrices of a bench that is being made."""
    columns = {name: m for m, name in enumerate(found.models)}
    for i in range(found.n):
        for name, answers in found.recorded(i).answers.items():
            m = columns.get(name)
            if m is not None:
                found.scores[i, m] = _mean([each.score for each in answers])
                found.costs[i, m] = _mean([each.cost_nusd for each in answers]) / NANO
                found.latency[i, m] = _mean([each.latency_s for each in answers])


def _mean(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else math.nan


def _asked(row: Outcome) -> Asked:
    return Asked(
        prompt=row.prompt,
        prompt_id=row.prompt_id,
        item_id=row.item_id,
        dataset=row.dataset,
        domain=row.domain,
        split=row.split,
        group=row.group,
    )


def _priced(row: Outcome, rates: Mapping[str, tuple[float, float]] | None) -> Outcome:
    if rates is None:
        return row
    rate = rates.get(row.model)
    if rate is None or row.input_tokens is None or row.output_tokens is None:
        return msgspec.structs.replace(row, cost_nusd=None)
    usd = (row.input_tokens * rate[0] + row.output_tokens * rate[1]) / 1e6
    return msgspec.structs.replace(row, cost_nusd=math.ceil(usd * NANO - 1e-9))


def _turns(rows: Sequence[Outcome]) -> Outcome:
    """Return a conversation as one outcome."""
    if len(rows) == 1:
        return rows[0]
    ordered = sorted(rows, key=lambda row: row.turn)
    costs = [row.cost_nusd for row in rows if row.cost_nusd is not None]
    times = [row.latency_s for row in rows if row.latency_s is not None]
    return msgspec.structs.replace(
        ordered[0],
        score=sum(row.score for row in rows) / len(rows),
        cost_nusd=sum(costs) if len(costs) == len(rows) else None,
        latency_s=sum(times) if len(times) == len(rows) else None,
    )


def _pool(
    table: OutcomeTable, rows: Sequence[Sequence[Outcome]], models: Sequence[str]
) -> tuple[tuple[str, ...], list[str]]:
    if models:
        if unknown := [name for name in models if name not in table.models]:
            raise ConfigError((f"no outcomes of {', '.join(unknown)}; known: {', '.join(table.models)}",))
        return tuple(models), []
    counts = Counter(name for item in rows for name in {row.model for row in item})
    kept = tuple(name for name in sorted(counts) if counts[name] >= LEAST_COVERAGE * len(rows))
    left = ", ".join(f"{name} ({counts[name]})" for name in sorted(counts) if name not in kept)
    if len(kept) < 2:
        raise ConfigError(
            (f"fewer than two models cover {LEAST_COVERAGE:.0%} of {len(rows)} items: {left}; name a pool",)
        )
    return kept, [f"left out, for too few of {len(rows)} items: {left}"] if left else []


def read_rates(path: Path) -> dict[str, tuple[float, float]]:
    """Read prices: CSV with `model`, `input_usd_per_mtok`, `output_usd_per_mtok`.

    Raises:
        ConfigError: A column is missing or a price is no number; with its row.
    """
    names = ("model", "input_usd_per_mtok", "output_usd_per_mtok")
    reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")))
    if missing := [name for name in names if name not in (reader.fieldnames or ())]:
        raise ConfigError((f"{path}: no column {', '.join(missing)}",))
    found: dict[str, tuple[float, float]] = {}
    for n, row in enumerate(reader, start=1):
        try:
            price = (float(row[names[1]]), float(row[names[2]]))
        except (TypeError, ValueError) as error:
            raise ConfigError((f"{path}: row {n}: {error}",)) from error
        if not all(0 <= usd < math.inf for usd in price):
            raise ConfigError((f"{path}: row {n}: a price is {min(price)}; expected at least 0",))
        found[row["model"]] = price
    return found


def fitted_prices(train: Bench) -> dict[str, Price]:
    """Return prices that reproduce the recorded costs: least squares in the estimated tokens of input."""
    tokens = np.array([len(item.prompt) // CHARS_PER_TOKEN + 4 for item in train.items], dtype=np.float64)
    return {
        name: _line(tokens, train.costs[:, m])
        for m, name in enumerate(train.models)
        if not np.isnan(train.costs[:, m]).all()
    }


def _line(tokens: Floats, costs: Floats) -> Price:
    known = ~np.isnan(costs)
    x, y = tokens[known], costs[known]
    spread = float(((x - x.mean()) ** 2).sum())
    slope = float(((x - x.mean()) * (y - y.mean())).sum()) / spread if spread > 0 else 0.0
    slope = max(slope, 0.0)
    if slope * x.mean() > y.mean():  # a call would have a negative price: all of it is for tokens
        slope = float(y.mean() / x.mean())
    fixed = max(float(y.mean() - slope * x.mean()), 0.0)
    return Price(
        input=PicoUsd(round(slope * PICO)), output=PicoUsd(0), per_request=PicoUsd(round(fixed * PICO))
    )


def observed(train: Bench) -> dict[str, Stats]:
    """Return the latencies of the training items as the live numbers that a deployment would show."""
    found: dict[str, Stats] = {}
    for m, name in enumerate(train.models):
        seen = train.latency[:, m][~np.isnan(train.latency[:, m])]
        if seen.size:
            p50, p95 = (float(q) for q in np.quantile(seen, (0.5, 0.95)))
            found[name] = Stats(
                n_observed=int(seen.size), ttft_p50_s=p50, ttft_p95_s=p95, total_p50_s=p50, total_p95_s=p95
            )
    return found
