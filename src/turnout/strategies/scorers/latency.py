"""`latency`: how long a call is expected to take. Floor 2.

Theory of operation.

1. Live numbers are the median of the latest few calls, and median and 95th percentile of the last minutes.
   The median is the latest few's, because what holds now decides. Other quantiles are read off the
   log-normal through the other two, which is what response times look like.
2. Below `MIN_OBSERVED` calls a number is blended with the least that is known of any candidate. So few calls
   prove little, and what may be faster has to be asked again before it is known to be slower.
3. A deployment that nobody has called is expected to be a little faster than the fastest known, as long as
   nobody waits for it: it gets one call, whose number then speaks for it. While it is waited for, and where
   nothing is known of anybody, its prior holds.
"""

from collections.abc import Sequence
from math import exp, log
from statistics import NormalDist
from typing import Literal

from msgspec import Struct

from turnout.strategies.base import Context, Role
from turnout.types.chat import ChatRequest
from turnout.types.deployment import Candidate, Stats

MIN_OBSERVED = 20
"""Calls from which live numbers stand alone (ROUTING.md 3.6)."""
HOPE, BUSY = 0.99, 1.01
"""Factors that put an unknown deployment just before the fastest known, or just behind its like."""
Z_95 = 1.6449
MIN_FAILING = 0.02
"""Share of failed calls from which a deployment counts as falling back often (ROUTING.md 3.8)."""


class Latency(Struct, frozen=True, tag="latency", kw_only=True, forbid_unknown_fields=True):
    """Minus the expected seconds: to the first content for a stream, to the end otherwise."""

    mu: float = 1.0
    """Quality that one second is worth."""
    measure: Literal["auto", "ttft", "total"] = "auto"
    quantile: float = 0.5
    prior_ttft_s: float = 1.0
    """Expected of a deployment nobody has called yet."""
    prior_total_s: float = 8.0
    damp_failures: bool = False
    """Charge a deployment that fails often with the time its failures cost."""

    def __post_init__(self) -> None:
        if not 0 <= self.mu < float("inf"):
            raise ValueError(f"mu is {self.mu}; expected a number of at least 0")
        if not 0 < self.quantile < 1:
            raise ValueError(f"quantile is {self.quantile}; expected between 0 and 1")
        if not (0 < self.prior_ttft_s < float("inf") and 0 < self.prior_total_s < float("inf")):
            raise ValueError("prior_ttft_s and prior_total_s must be positive seconds")

    @property
    def name(self) -> str:
        """Word for Records."""
        return "latency"

    @property
    def role(self) -> Role:
        """Its weight is μ."""
        return "latency"

    @property
    def weight(self) -> float:
        """μ."""
        return self.mu

    @property
    def needs(self) -> frozenset[str]:
        """No signal."""
        return frozenset()

    def score(self, context: Context, candidates: Sequence[Candidate]) -> list[float]:
        """Return minus the expected seconds of each call."""
        request = context.request
        streamed = isinstance(request, ChatRequest) and request.stream
        first = self.measure == "ttft" or (self.measure == "auto" and streamed)
        seen, stand_alone = self._seen(context, candidates, first=first)
        if not stand_alone:
            known = [own for own in seen if own is not None]
            least, prior = min(known, default=None), self.prior_ttft_s if first else self.prior_total_s
            seen = [
                own
                if own is not None and candidate.stats.n_observed >= MIN_OBSERVED
                else expected(own, candidate.stats, prior, least)
                for own, candidate in zip(seen, candidates, strict=True)
            ]
        seconds = [own for own in seen if own is not None]
        if self.damp_failures:
            seconds = _damped(seconds, [candidate.stats for candidate in candidates])
        return [-s for s in seconds]

    def _seen(
        self, context: Context, candidates: Sequence[Candidate], *, first: bool
    ) -> tuple[list[float | None], bool]:
        """Return what was seen of each, and whether every number stands alone, as it usually does."""
        usual, stand_alone = self.quantile == 0.5, True
        seen: list[float | None] = []
        for candidate in candidates:
            stats = candidate.stats
            own = (stats.ttft_recent_s if first else stats.total_recent_s) if usual else None
            if own is None:
                own = self._ttft(stats) if first else self._total(stats, context.n_tokens_out)
            seen.append(own)
            if own is None or stats.n_observed < MIN_OBSERVED:
                stand_alone = False
        return seen, stand_alone

    def _ttft(self, stats: Stats) -> float | None:
        if self.quantile != 0.5 and stats.ttft_p50_s is not None:
            return quantile(stats.ttft_p50_s, stats.ttft_p95_s, self.quantile)
        return stats.ttft_p50_s if stats.ttft_recent_s is None else stats.ttft_recent_s

    def _total(self, stats: Stats, n_tokens_out: int) -> float | None:
        if self.quantile != 0.5 and stats.total_p50_s is not None:
            return quantile(stats.total_p50_s, stats.total_p95_s, self.quantile)
        if stats.total_recent_s is not None:
            return stats.total_recent_s
        if stats.total_p50_s is None and stats.ttft_p50_s is not None and stats.tokens_per_s:
            return stats.ttft_p50_s + n_tokens_out / stats.tokens_per_s
        return stats.total_p50_s


def expected(seen: float | None, stats: Stats, prior: float, least: float | None) -> float:
    """Return the seconds to reckon with.

    Args:
        seen: The deployment's own number; None = nobody has called it.
        stats: Its live numbers.
        prior: What to expect where nothing is known.
        least: The least number known of any candidate.
    """
    if seen is None:
        if least is None:
            return prior * BUSY if stats.in_flight else prior
        return max(prior, least * BUSY) if stats.in_flight else min(prior, least * HOPE)
    n = max(stats.n_observed, 1)
    if n >= MIN_OBSERVED or least is None:
        return seen
    return (n * seen + (MIN_OBSERVED - n) * least) / MIN_OBSERVED


def quantile(p50_s: float, p95_s: float | None, at: float) -> float:
    """Return a quantile of the log-normal through a median and a 95th percentile."""
    if p95_s is None or p95_s <= p50_s or p50_s <= 0:
        return p50_s
    return p50_s * exp(log(p95_s / p50_s) / Z_95 * NormalDist().inv_cdf(at))


def _damped(seconds: list[float], stats: Sequence[Stats]) -> list[float]:
    """Add what failures cost: the time to fail and the next one's own time (ROUTING.md 1.1, `Sequence`)."""
    ratios = [s.error_ratio or 0.0 for s in stats]
    if len(seconds) < 2 or max(ratios) <= MIN_FAILING:
        return seconds
    best, second = sorted(seconds)[:2]
    damped: list[float] = []
    for own, of, failing in zip(seconds, stats, ratios, strict=True):
        if failing > MIN_FAILING:
            following = second if own == best else best
            to_fail = max(own, of.ttft_p95_s or own)
            own = (1 - failing) * own + failing * (to_fail + following)  # noqa: PLW2901  the damped number
        damped.append(own)
    return damped
