"""Alternating rounds: every case takes its turn in each, so that what drifts, drifts for all.

A case that fails (a gateway that refuses, a peer that cannot stream) drops out with its reason; the others go
on. Ratios are taken within a round and their median is told: a neighbour that comes for one round moves both.
"""

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
WARM_S = 0.4


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
    ratio: float = 0.0
    """CPU relative to the reference's of the same round; 0 = there was none."""
    ratio_low: float = 0.0
    ratio_high: float = 0.0


class Run(msgspec.Struct, frozen=True):
    """What was measured, and what dropped out."""

    results: tuple[Result, ...]
    dropped: dict[str, str]


def run(
    cases: Sequence[Case], native: Native, plan: Plan, tell: Callable[[str], None], reference: str = "envoy"
) -> Run:
    """Measure every case in every round."""
    samples: dict[str, list[Sample]] = {case.name: [] for case in cases}
    dropped: dict[str, str] = {}
    for case in cases:
        try:
            _warm(case, native)
        except Unusable as why:
            dropped[case.name] = str(why)
    for n in range(plan.n_rounds):
        for case in cases if n % 2 == 0 else cases[::-1]:
            if case.name in dropped:
                continue
            tell(f"round {n + 1} of {plan.n_rounds}: {case.name}")
            try:
                samples[case.name].append((_stream if case.stream else _whole)(case, native, plan))
            except Unusable as why:
                dropped[case.name] = str(why)
    kept = {name: found for name, found in samples.items() if name not in dropped and found}
    return Run(tuple(_median(name, found, kept.get(reference, [])) for name, found in kept.items()), dropped)


def _warm(case: Case, native: Native) -> None:
    seen = native.load(case.stack.target, case.body, N_CONNECTIONS, WARM_S, 0)
    if not seen.served:
        raise Unusable(f"none of {seen.failed} requests was answered")


def _whole(case: Case, native: Native, plan: Plan) -> Sample:
    busy, cpu_us = _cpu(case, native, plan.busy_s)
    rate = min(PACE, 0.5 * max(1, busy.done) / busy.wall_s)
    paced = native.load(case.stack.target, case.body, N_CONNECTIONS, plan.paced_s, rate)
    return Sample(cpu_us / max(1, busy.served), busy.done / busy.wall_s, paced.p50_us, paced.p99_us)


def _stream(case: Case, native: Native, plan: Plan) -> Sample:
    seen, cpu_us = _cpu(case, native, plan.stream_s)
    n = max(1, seen.frames)
    return Sample(cpu_us / n, seen.frames / seen.wall_s, seen.first_p50_us, seen.first_p99_us)


def _cpu(case: Case, native: Native, seconds: float) -> tuple[Load, float]:
    before = cpu_ns(case.stack.pid)
    seen = native.load(case.stack.target, case.body, N_CONNECTIONS, seconds, 0)
    used_us = (cpu_ns(case.stack.pid) - before) / 1000
    if seen.failed or not seen.served:
        raise Unusable(f"{seen.failed} of {seen.failed + seen.served} requests failed")
    return seen, used_us if case.measured else 0.0


def _median(name: str, samples: Sequence[Sample], reference: Sequence[Sample]) -> Result:
    cpu = [sample.cpu_us for sample in samples]
    pairs = zip(samples, reference, strict=False)
    ratios = [own.cpu_us / other.cpu_us for own, other in pairs if other.cpu_us] or [0.0]
    return Result(
        name=name,
        cpu_us=statistics.median(cpu),
        cpu_low_us=min(cpu),
        cpu_high_us=max(cpu),
        per_s=statistics.median(sample.per_s for sample in samples),
        p50_us=statistics.median(sample.p50_us for sample in samples),
        p99_us=statistics.median(sample.p99_us for sample in samples),
        ratio=statistics.median(ratios),
        ratio_low=min(ratios),
        ratio_high=max(ratios),
    )
