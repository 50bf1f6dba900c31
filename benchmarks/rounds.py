"""Alternating rounds: every case takes its turn in each, so that what drifts, drifts for all."""

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from benchmarks.machine import Unusable, cpu_ns
from benchmarks.native import Load, Native
from benchmarks.peers import Stack

N_CONNECTIONS = 32
PACE = 400.0
"""Requests per second of the latency rounds: far below what any plain proxy can carry."""


class Plan(msgspec.Struct, frozen=True):
    """How long to measure."""

    n_rounds: int
    busy_s: float
    """Closed loop: CPU per request."""
    paced_s: float
    """Open loop: latency."""
    stream_s: float


class Case(msgspec.Struct, frozen=True):
    """One stack answering one kind of request."""

    name: str
    stack: Stack
    body: Path
    stream: bool = False
    measured: bool = True
    """False for the direct path, which has no process between load and upstream."""


class Sample(msgspec.Struct, frozen=True):
    """One case in one round. CPU per request, for streams per frame the client received."""

    cpu_us: float
    per_s: float
    p50_us: float
    p99_us: float


class Result(msgspec.Struct, frozen=True):
    """Medians over the rounds, and how far CPU was spread."""

    name: str
    cpu_us: float
    cpu_low_us: float
    cpu_high_us: float
    per_s: float
    p50_us: float
    p99_us: float


def run(cases: Sequence[Case], native: Native, plan: Plan, tell: Callable[[str], None]) -> tuple[Result, ...]:
    """Measure every case in every round."""
    samples: dict[str, list[Sample]] = {case.name: [] for case in cases}
    for case in cases:
        native.load(case.stack.target, case.body, N_CONNECTIONS, 0.4, 0)  # warms caches and connections
    for n in range(plan.n_rounds):
        turn = cases if n % 2 == 0 else cases[::-1]
        for case in turn:
            tell(f"round {n + 1} of {plan.n_rounds}: {case.name}")
            samples[case.name].append((_stream if case.stream else _whole)(case, native, plan))
    return tuple(_median(name, found) for name, found in samples.items())


def _whole(case: Case, native: Native, plan: Plan) -> Sample:
    busy, cpu_us = _cpu(case, native, plan.busy_s, 0)
    rate = min(PACE, 0.5 * busy.done / busy.wall_s)
    paced = native.load(case.stack.target, case.body, N_CONNECTIONS, plan.paced_s, rate)
    return Sample(cpu_us / max(1, busy.served), busy.done / busy.wall_s, paced.p50_us, paced.p99_us)


def _stream(case: Case, native: Native, plan: Plan) -> Sample:
    seen, cpu_us = _cpu(case, native, plan.stream_s, 0)
    n = max(1, seen.frames)
    return Sample(cpu_us / n, seen.frames / seen.wall_s, seen.first_p50_us, seen.first_p99_us)


def _cpu(case: Case, native: Native, seconds: float, rate: float) -> tuple[Load, float]:
    before = cpu_ns(case.stack.pid)
    seen = native.load(case.stack.target, case.body, N_CONNECTIONS, seconds, rate)
    used_us = (cpu_ns(case.stack.pid) - before) / 1000
    if seen.failed or not seen.served:
        raise Unusable(f"{case.name}: {seen.failed} of {seen.failed + seen.served} requests failed")
    return seen, used_us if case.measured else 0.0


def _median(name: str, samples: Sequence[Sample]) -> Result:
    cpu = [sample.cpu_us for sample in samples]
    return Result(
        name=name,
        cpu_us=statistics.median(cpu),
        cpu_low_us=min(cpu),
        cpu_high_us=max(cpu),
        per_s=statistics.median(sample.per_s for sample in samples),
        p50_us=statistics.median(sample.p50_us for sample in samples),
        p99_us=statistics.median(sample.p99_us for sample in samples),
    )
