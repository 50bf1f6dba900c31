"""`tiers`: the first latency tier that somebody meets. Floor 2."""

from bisect import bisect_left
from itertools import pairwise

from msgspec import Struct

from turnout.strategies.base import Arranged, Context, Draw, Slate
from turnout.types.chat import ChatRequest
from turnout.types.deployment import Stats

MIN_OBSERVED = 20
"""Calls below which a tail is not known and the prior tier applies."""


class Tiers(Struct, frozen=True, tag="tiers", kw_only=True, forbid_unknown_fields=True):
    """Groups candidates by the first limit their 95th percentile keeps; best utility first within a group.

    Who keeps no limit comes last. The next tier is asked when one fails.
    """

    limits_s: tuple[float, ...] = (1.5, 3.0, 10.0)
    """Rising; of the time to the first content for a stream, of the whole answer otherwise."""
    unknown: int = 1
    """Tier of a deployment without enough observations, counted from 0."""

    def __post_init__(self) -> None:
        rising = all(low < high for low, high in pairwise((0.0, *self.limits_s, float("inf"))))
        if not self.limits_s or not rising:
            raise ValueError("limits_s: expected rising positive seconds")
        if not 0 <= self.unknown <= len(self.limits_s):
            raise ValueError(f"unknown is {self.unknown}; expected 0 to {len(self.limits_s)}")

    @property
    def name(self) -> str:
        """Word for Records."""
        return "tiers"

    @property
    def explores(self) -> bool:
        """It spreads or ranks; it does not explore."""
        return False

    def arrange(self, context: Context, slate: Slate, draw: Draw) -> Arranged:
        """Return the eligible candidates by tier, then by falling utility."""
        request = context.request
        streamed = isinstance(request, ChatRequest) and request.stream
        candidates, utilities, eligible = slate.candidates, slate.utilities, slate.eligible
        limits, unknown = self.limits_s, self.unknown
        stats = [candidates[i].stats for i in eligible]
        tails = [s.ttft_p95_s for s in stats] if streamed else [s.total_p95_s for s in stats]
        ranked = [
            (
                unknown if tail is None or s.n_observed < MIN_OBSERVED else bisect_left(limits, tail),
                -utilities[i],
                i,
            )
            for i, s, tail in zip(eligible, stats, tails, strict=True)
        ]
        ranked.sort()
        return Arranged(indices=[i for _, _, i in ranked])

    def tier(self, stats: Stats, *, streamed: bool) -> int:
        """Return the first tier whose limit the deployment keeps 19 times out of 20."""
        tail = stats.ttft_p95_s if streamed else stats.total_p95_s
        if tail is None or stats.n_observed < MIN_OBSERVED:
            return self.unknown
        return bisect_left(self.limits_s, tail)
