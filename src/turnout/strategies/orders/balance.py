"""`round_robin`, `two_choices`, `least_busy`: spreading calls over equals. Floor 2."""

from collections.abc import Sequence
from functools import lru_cache
from math import gcd

from msgspec import Struct

from turnout.strategies.base import Arranged, Context, Draw, Slate
from turnout.types.deployment import Candidate

GRAIN = 100
"""Weights are told apart to a hundredth."""
MAX_PERIOD = 10_000
"""Length of a rotation; weights that need a longer one are rounded."""
PRIOR_S = 1.0
"""Latency taken for a deployment nobody has called yet."""


class RoundRobin(Struct, frozen=True, tag="round_robin", kw_only=True, forbid_unknown_fields=True):
    """Takes turns by weight, evenly spread: 2:1:1 is a b a c, never a a b c.

    The place in the rotation is the request's number in its route, so the order itself keeps no state.
    """

    @property
    def name(self) -> str:
        """Word for Records."""
        return "round_robin"

    @property
    def explores(self) -> bool:
        """It spreads or ranks; it does not explore."""
        return False

    def arrange(self, context: Context, slate: Slate, draw: Draw) -> Arranged:
        """Return whose turn it is, and the others in the order of their turns to come."""
        eligible = slate.eligible
        turns = rotation(tuple(round(slate.candidates[i].deployment.weight * GRAIN) for i in eligible))
        at = context.sequence % len(turns)
        order = tuple(dict.fromkeys(turns[at:] + turns[:at]))
        idle = [i for i in range(len(eligible)) if i not in order] if len(order) < len(eligible) else []
        return Arranged(
            indices=[eligible[i] for i in (*order, *idle)], propensity=None, reason="weighted_draw"
        )


@lru_cache(maxsize=1024)
def rotation(weights: tuple[int, ...]) -> tuple[int, ...]:
    """Return one period of the smooth weighted rotation: each index as often as its weight says.

    Source: the rule nginx calls smooth weighted round robin (upstream module, 2012): each step everyone gains
    its weight, the richest is taken and pays the total.
    """
    weights = tuple(max(0, w) for w in weights)
    if not any(weights):
        weights = (1,) * len(weights)
    factor = gcd(*weights)
    weights = tuple(w // factor for w in weights)
    total = sum(weights)
    if total > MAX_PERIOD:
        weights = tuple(max(1, w * MAX_PERIOD // total) if w else 0 for w in weights)
        total = sum(weights)
    if len(set(weights)) == 1:
        return tuple(range(len(weights)))
    held, turns = [0] * len(weights), []
    for _ in range(total):
        held = [have + gain for have, gain in zip(held, weights, strict=True)]
        taken = held.index(max(held))
        held[taken] -= total
        turns.append(taken)
    return tuple(turns)


class TwoChoices(Struct, frozen=True, tag="two_choices", kw_only=True, forbid_unknown_fields=True):
    """Draws two distinct candidates and takes the one with less expected wait."""

    @property
    def name(self) -> str:
        """Word for Records."""
        return "two_choices"

    @property
    def explores(self) -> bool:
        """It spreads or ranks; it does not explore."""
        return False

    def arrange(self, context: Context, slate: Slate, draw: Draw) -> Arranged:
        """Return the winner of the pair first; the rest by expected wait.

        The candidate of load rank r among n wins with probability 2(n-r)/(n(n-1)) (ROUTING.md 6.1).
        """
        eligible, n = slate.eligible, len(slate.eligible)
        if n == 1:
            return Arranged(indices=eligible)
        candidates = slate.candidates
        waits = {i: wait(candidates[i]) for i in eligible}
        ranked = sorted(eligible, key=waits.__getitem__)
        if not slate.explorable:
            return Arranged(indices=ranked)
        rng = draw.rng
        one, other = rng.randrange(n), rng.randrange(n - 1)
        at = min(one, other + (other >= one))
        return Arranged(
            indices=[ranked[at], *ranked[:at], *ranked[at + 1 :]],
            propensity=2 * (n - 1 - at) / (n * (n - 1)),
            reason="weighted_draw",
        )


def wait(candidate: Candidate) -> float:
    """Return the latency of a call times the calls it would stand among."""
    stats = candidate.stats
    latency = stats.peak_ewma_s or stats.total_p50_s or stats.ttft_p50_s or PRIOR_S
    return latency * (stats.in_flight + 1)


class LeastBusy(Struct, frozen=True, tag="least_busy", kw_only=True, forbid_unknown_fields=True):
    """The candidate with the smallest share of its limit in flight; equals by lot."""

    limit: int = 100
    """Stands in for a deployment that declares none."""

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ValueError(f"limit is {self.limit}; expected at least 1")

    @property
    def name(self) -> str:
        """Word for Records."""
        return "least_busy"

    @property
    def explores(self) -> bool:
        """It spreads or ranks; it does not explore."""
        return False

    def arrange(self, context: Context, slate: Slate, draw: Draw) -> Arranged:
        """Return the candidates by rising load."""
        eligible, candidates = slate.eligible, slate.candidates
        loads = {i: _load(candidates[i], self.limit) for i in eligible}
        ranked = sorted(eligible, key=loads.__getitem__)
        least = loads[ranked[0]]
        n_idle = _n_equal(ranked, loads, least)
        if n_idle == 1 or not slate.explorable:
            return Arranged(indices=ranked)
        at = draw.rng.randrange(n_idle)
        return Arranged(
            indices=[ranked[at], *(i for place, i in enumerate(ranked) if place != at)],
            propensity=1 / n_idle,
            reason="weighted_draw",
            tie_break="lot",
        )


def _load(candidate: Candidate, limit: int) -> float:
    return candidate.stats.in_flight / (candidate.deployment.limits.max_concurrency or limit)


def _n_equal(ranked: Sequence[int], loads: dict[int, float], least: float) -> int:
    for place, i in enumerate(ranked):
        if loads[i] > least:
            return place
    return len(ranked)
