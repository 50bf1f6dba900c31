"""Constraints: who may be chosen, what binds, what is given up. Floor 2."""

from collections.abc import Mapping, Sequence
from math import exp, isfinite, log
from statistics import NormalDist

from msgspec import Struct

from turnout.errors import NoEligibleModel
from turnout.strategies.base import Z_90, Context
from turnout.types.chat import ChatRequest
from turnout.types.deployment import Candidate, Stats

Z_95 = 1.6449
MIN_OBSERVED = 20
"""Calls from which an observed tail counts against a deployment: too few prove nothing."""
RELAXING = ("pacing", "slo", "floor")
"""What is given up first, second and last (ROUTING.md 1.2)."""


class Limit(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How slow an answer may be, and how often it may be slower."""

    ttft_s: float | None = None
    total_s: float | None = None
    eta: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.eta < 1:
            raise ValueError(f"eta is {self.eta}; expected between 0 and 1")
        for name, value in (("ttft_s", self.ttft_s), ("total_s", self.total_s)):
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"{name} is {value}; expected positive seconds")


class Feasible(Struct, frozen=True):
    """Who satisfies which constraints."""

    eligible: Sequence[int]
    tail: Sequence[int] = ()
    """May still serve as fallbacks."""
    sd: Sequence[float] | None = None
    binding: tuple[str, ...] = ()
    relaxed: tuple[str, ...] = ()
    floor: float | None = None
    last: Sequence[int] = ()
    """Would be chosen among without the certificate: asked only where everybody else failed."""


class Bounds(Struct, frozen=True, kw_only=True):
    """The constraints in force for one request."""

    floor: float | None = None
    slack: float | None = None
    limit: Limit | None = None
    cap_usd: float | None = None

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return not (self.floor is None and self.slack is None and self.limit is None and self.cap_usd is None)


def bounds(
    context: Context, q_floor: float | None, q_slack: float | None, slo: Limit | None, cap_usd: float | None
) -> Bounds:
    """Return the strictest of what strategy, surface, caller and pacer ask for."""
    surface, least = context.surface, context.ask.prefer.min_quality
    if surface is None and least is None:
        return Bounds(floor=q_floor, slack=q_slack, limit=slo, cap_usd=cap_usd)
    floors = [f for f in (q_floor, least, surface.q_floor if surface else None) if f is not None]
    limit = slo
    if surface is not None and (surface.ttft_s is not None or surface.total_s is not None):
        limit = Limit(
            ttft_s=_least(surface.ttft_s, slo.ttft_s if slo else None),
            total_s=_least(surface.total_s, slo.total_s if slo else None),
            eta=min(surface.eta, slo.eta) if slo else surface.eta,
        )
    return Bounds(floor=max(floors) if floors else None, slack=q_slack, limit=limit, cap_usd=cap_usd)


def _least(one: float | None, other: float | None) -> float | None:
    return min(x for x in (one, other) if x is not None) if (one, other) != (None, None) else None


class Facts(Struct, frozen=True):
    """Columns that constraints look at."""

    utilities: Sequence[float]
    quality: Sequence[float] | None
    sd: Sequence[float] | None
    usd: Sequence[float] | None
    """Minus the expected USD."""


def feasible(
    context: Context, candidates: Sequence[Candidate], facts: Facts, bound: Bounds, *, refuse: bool
) -> Feasible:
    """Return who satisfies the constraints, relaxed as little as necessary.

    Raises:
        NoEligibleModel: Nobody does and `refuse` is set.
    """
    failing = _failing(context, candidates, facts, bound)
    everyone = range(len(candidates))
    failed = {i for indices in failing.values() for i in indices}
    if not failed:
        return Feasible(everyone, sd=facts.sd, floor=bound.floor)
    binding = _binding(facts.utilities, failing, failed)
    eligible: Sequence[int] = [i for i in everyone if i not in failed]
    relaxed: list[str] = []
    for name in RELAXING if not eligible else ():
        if name not in failing:
            continue
        if refuse:
            raise NoEligibleModel(f"no candidate satisfies {', '.join(failing)}; on_infeasible is refuse")
        relaxed.append(name)
        kept = _nearest(facts) if name == "floor" else everyone
        out = {i for other, indices in failing.items() if other not in relaxed for i in indices}
        eligible = [i for i in kept if i not in out]
        if eligible:
            break
    tail = _tail(failing, relaxed, set(eligible)) if "slo" in failing else ()
    return Feasible(eligible, tail, facts.sd, binding, tuple(relaxed), bound.floor)


def _failing(
    context: Context, candidates: Sequence[Candidate], facts: Facts, bound: Bounds
) -> Mapping[str, frozenset[int]]:
    """Return, by constraint, who does not satisfy it."""
    found: dict[str, frozenset[int]] = {}
    if bound.cap_usd is not None and facts.usd is not None:
        cap = -bound.cap_usd
        found["pacing"] = frozenset(i for i, usd in enumerate(facts.usd) if not usd >= cap)
    if bound.limit is not None:
        found["slo"] = _slow(context, candidates, bound.limit)
    floor = _floor(facts, bound)
    if floor is not None:
        lcb = lower_bounds(facts) or [0.0] * len(candidates)
        found["floor"] = frozenset(i for i, least in enumerate(lcb) if not least >= floor - 1e-12)
    return {name: indices for name, indices in found.items() if indices}


def _floor(facts: Facts, bound: Bounds) -> float | None:
    floor = bound.floor
    if bound.slack is not None and facts.quality is not None:
        best = max((q for q in facts.quality if isfinite(q)), default=0.0)
        floor = max(best - bound.slack, floor or 0.0)
    return floor


def lower_bounds(facts: Facts) -> Sequence[float] | None:
    """Return the quality each candidate reaches with 90 % confidence; NaN where it is not known."""
    if facts.quality is None or facts.sd is None:
        return facts.quality
    return [q - Z_90 * sd for q, sd in zip(facts.quality, facts.sd, strict=True)]


def _nearest(facts: Facts) -> Sequence[int]:
    """Return who comes nearest to the floor: giving it up must not let the worst in."""
    lcb = lower_bounds(facts)
    known = [least for least in lcb or () if isfinite(least)]
    if lcb is None or not known:
        return range(len(facts.utilities))
    best = max(known)
    return [i for i, least in enumerate(lcb) if least == best]


def _slow(context: Context, candidates: Sequence[Candidate], limit: Limit) -> frozenset[int]:
    request = context.request
    streamed = isinstance(request, ChatRequest) and request.stream
    most_s = limit.ttft_s if streamed else limit.total_s
    if most_s is None:
        return frozenset()
    z = Z_95 if limit.eta == 0.05 else NormalDist().inv_cdf(1 - limit.eta)
    return frozenset(i for i, c in enumerate(candidates) if _tail_s(c.stats, z, streamed=streamed) > most_s)


def _tail_s(stats: Stats, z: float, *, streamed: bool) -> float:
    """Return the quantile at `z` of the log-normal through the observed quantiles; 0 when unproven."""
    p50, p95 = (stats.ttft_p50_s, stats.ttft_p95_s) if streamed else (stats.total_p50_s, stats.total_p95_s)
    if p50 is None or p95 is None or stats.n_observed < MIN_OBSERVED:
        return 0.0
    if z == Z_95 or p50 <= 0 or p95 <= p50:
        return p95
    return p50 * exp(log(p95 / p50) / Z_95 * z)


def _binding(
    utilities: Sequence[float], failing: Mapping[str, frozenset[int]], failed: set[int]
) -> tuple[str, ...]:
    finite = [i for i, u in enumerate(utilities) if isfinite(u)]
    if not finite:
        return ()
    best = max(finite, key=utilities.__getitem__)
    return tuple(name for name in RELAXING if best in failing.get(name, ())) if best in failed else ()


def _tail(failing: Mapping[str, frozenset[int]], relaxed: Sequence[str], eligible: set[int]) -> Sequence[int]:
    """Return who misses only the latency limit: slow, but a right answer when nobody else gives one."""
    if "floor" in relaxed:
        return ()
    hard = {i for name, indices in failing.items() if name != "slo" for i in indices}
    return sorted(failing["slo"] - hard - eligible)
