"""Which strategies are played on which scenario."""

from collections.abc import Mapping, Sequence

from benchmarks.fleet.field import Run
from benchmarks.fleet.scenario import SCENARIOS
from benchmarks.fleet.traffic import Load
from turnout.types.json import Json

FLOOR = 0.72
"""Least quality of `cheapest`: two of eight upstreams are cheaper and below it."""
QUALITY: Mapping[str, Json] = {name: row.quality for name, row in SCENARIOS["mixed"].items()}
PER_S = 40.0
OUTAGE_PER_S = 80.0

STRATEGIES: Mapping[str, Mapping[str, Json]] = {
    "fastest": {"type": "fastest"},
    "cheapest": {"type": "cheapest", "q_floor": FLOOR, "quality": QUALITY},
    "best": {"type": "best", "quality": QUALITY},
    "balanced": {"type": "balanced", "quality": QUALITY, "lambda": 100.0, "mu": 0.05},
    "priority": {"type": "priority"},
    "weighted": {"type": "weighted"},
    "round_robin": {"type": "round_robin"},
    "least_busy": {"type": "least_busy"},
    "two_choices": {"type": "two_choices"},
    "slo_tiers": {"type": "slo_tiers"},
    "hedge": {"type": "hedge"},
    "cascade": {"type": "cascade", "accept": {"type": "finish"}, "quality": QUALITY},
    "consensus": {"type": "consensus", "reduce": {"type": "majority"}, "quality": QUALITY},
}
"""Played on the mixed fleet."""
BY_DEFAULT = ("fastest", "cheapest", "best")
"""Those with a promise. The others are played when they are named: their runs took a third of the time."""
FLOOR_EVERY = 10
"""Beside every so manieth request of `fastest` the harness' own time is measured."""

PROMISES: Mapping[str, tuple[str, str]] = {
    "steady": ("steady", "round_robin"),
    "vendor hangs": ("vendor_hangs", "round_robin"),
    "vendor closes": ("vendor_closes", "round_robin"),
    "all answer 503": ("all_error", "round_robin"),
    "all hang": ("all_hang", "round_robin"),
    "tailed, alone": ("tailed", "fastest"),
    "tailed, hedged": ("tailed", "hedge"),
}
"""Run -> scenario and strategy."""


def plan(n: int, only: Sequence[str], seed: int) -> list[Run]:
    """Return the runs, in the order to play them."""
    wanted = only or BY_DEFAULT
    runs = [
        Run(name=name, scenario="mixed", strategy=STRATEGIES[name], load=_load(n, PER_S, seed, name))
        for name in wanted
    ]
    for name, (scenario, strategy) in PROMISES.items():
        if only and strategy not in only:
            continue
        rate = OUTAGE_PER_S if scenario.startswith("all_") else PER_S
        load = Load(n=n, per_s=rate, seed=seed, long_share=0.0, sensitive_share=0.0)
        runs.append(Run(name=name, scenario=scenario, strategy=STRATEGIES[strategy], load=load))
    return runs


def _load(n: int, per_s: float, seed: int, strategy: str) -> Load:
    """Return the load; a consensus makes three calls of each request and gives no stream."""
    if strategy == "consensus":
        return Load(n=n, per_s=per_s * 0.6, seed=seed, stream=False)
    return Load(n=n, per_s=per_s, seed=seed, floor_every=FLOOR_EVERY if strategy == "fastest" else 0)
