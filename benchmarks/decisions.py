"""What a routing decision costs: strategies at 1, 10, 100 and 1,000 deployments.

    .venv/bin/python -m benchmarks.decisions [results.json]

Prints microseconds per decision: the median of the rounds, and the least of them, which is what the code
costs when nobody else wants the core. `choose` is the strategy alone on candidates that are there already.
PERFORMANCE.md asks for at most 15 µs at up to 10 deployments; beyond, every candidate is looked at once, and
what counts is the cost of one more.
"""

import json
import os
import platform
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter

from turnout.catalog.benchmarks import Score, Scores
from turnout.engine.lot import Lot
from turnout.strategies.base import Context, Setting, Strategy
from turnout.strategies.rows import ready
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest, Facts, Message, Text
from turnout.types.deployment import Candidate, Deployment, Model, Stats, Vendor
from turnout.types.usage import PicoUsd, Price

SIZES = (1, 5, 10, 100, 1000)
ROUNDS = 25
STRATEGIES: dict[str, dict[str, object]] = {
    "priority": {"type": "priority"},
    "weighted": {"type": "weighted"},
    "cheapest": {"type": "cheapest"},
    "cheapest, q_floor": {"type": "cheapest", "q_floor": 0.3, "benchmark": "b1"},
    "fastest": {"type": "fastest", "epsilon": 0},
    "fastest, explored": {"type": "fastest"},
    "benchmarks": {"type": "benchmarks", "weights": {"b1": 0.5, "b2": 0.5}},
    "balanced": {"type": "balanced", "benchmark": "b1"},
    "round_robin": {"type": "round_robin"},
    "least_busy": {"type": "least_busy"},
    "two_choices": {"type": "two_choices"},
    "slo_tiers": {"type": "slo_tiers"},
    "hedge": {"type": "hedge"},
    "cascade": {"type": "cascade", "accept": {"type": "finish"}},
}


class Draw:
    """A generator made on first use, as an exchange has it."""

    def __init__(self) -> None:
        self._rng: Random | None = None

    @property
    def rng(self) -> Random:
        if self._rng is None:
            self._rng = Lot(7)
        return self._rng


def pool(n: int) -> tuple[Candidate, ...]:
    rng = Random(n)
    found = []
    for i in range(n):
        model = Model(
            id=f"v{i % 4}/m{i}",
            price=Price(
                input=PicoUsd(rng.randrange(10, 5000) * 1000), output=PicoUsd(rng.randrange(10, 9000) * 1000)
            ),
        )
        vendor = Vendor(name=f"v{i % 4}", base_url="https://x", codec="openai_chat")
        p50 = rng.uniform(0.2, 2)
        stats = Stats(
            n_observed=200, in_flight=rng.randrange(9), error_ratio=0.0, ttft_p50_s=p50, ttft_p95_s=2 * p50,
            total_p50_s=4 * p50, total_p95_s=9 * p50, tokens_per_s=80.0,
        )  # fmt: skip
        found.append(
            Candidate(Deployment(id=model.id, vendor=vendor, model=model, upstream_model="m"), stats)
        )
    return tuple(found)


def scores(candidates: tuple[Candidate, ...]) -> Scores:
    rng = Random(1)
    return Scores(
        Score(
            model=c.deployment.model.id,
            benchmark=b,
            score=rng.uniform(30, 95),
            date=date(2026, 1, 1),
            source="made",
        )
        for c in candidates
        for b in ("b1", "b2")
    )


def context() -> Context:
    request = ChatRequest(
        model="turnout/r",
        messages=(Message("user", (Text("hi"),)),),
        stream=True,
        facts=Facts(n_chars=400, n_messages=1),
    )
    return Context(
        request=request, ask=Ask(request_id="req_x"), n_tokens_in=1300, n_tokens_out=400, max_tokens_out=1024
    )


def microseconds(call: Callable[[], object]) -> tuple[float, float]:
    """Return the median and the least of the rounds."""
    call()
    began = perf_counter()
    n = 0
    while perf_counter() - began < 0.005:
        call()
        n += 1
    n = max(n, 3)
    rounds = []
    for _ in range(ROUNDS):
        began = perf_counter()
        for _ in range(n):
            call()
        rounds.append((perf_counter() - began) / n * 1e6)
    return median(rounds), min(rounds)


def made(row: dict[str, object], candidates: tuple[Candidate, ...]) -> Strategy:
    problems: list[str] = []
    setting = Setting(
        pool=tuple(c.deployment for c in candidates), scores=scores(candidates), today=date(2026, 2, 1)
    )
    strategy = ready(row, "strategy", setting, problems)  # type: ignore[arg-type]
    if strategy is None:
        raise SystemExit("; ".join(problems))
    return strategy


def main() -> None:
    given = context()
    found: dict[str, dict[str, tuple[float, float]]] = {}
    print(f"{'µs per decision':20}" + "".join(f"{n:>16,}" for n in SIZES))
    for name, row in STRATEGIES.items():
        cells = []
        for n in SIZES:
            candidates = pool(n)
            strategy = made(row, candidates)
            cells.append(microseconds(lambda s=strategy, c=candidates: s.choose(given, c, Draw())))
        found[name] = {
            str(n): (round(mid, 2), round(low, 2)) for n, (mid, low) in zip(SIZES, cells, strict=True)
        }
        print(f"{name:20}" + "".join(f"{mid:>8.1f}{low:>8.1f}" for mid, low in cells))
        sys.stdout.flush()
    if len(sys.argv) > 1:
        told = {
            "unit": "microseconds per decision: median, least of rounds",
            "python": platform.python_version(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "date": datetime.now(UTC).date().isoformat(),
            "budget_us_at_10": 15,
            "decisions": found,
        }
        Path(sys.argv[1]).write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
