"""`latency`: how long a call is expected to take. Floor 2.

Live numbers are the median of the latest few calls, and median and 95th percentile of the last minutes. The
median is the latest few's, because what holds now decides. Other quantiles are read off the log-normal
through the other two, which is what response times look like. Below `MIN_OBSERVED` calls the numbers are
blended with a prior.
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
        if self.measure == "ttft" or (self.measure == "auto" and streamed):
            seconds = [self._ttft(c.stats) for c in candidates]
        else:
            seconds = [self._total(c.stats, context.n_tokens_out) for c in candidates]
        if self.damp_failures:
            seconds = _damped(seconds, candidates)
        return [-s for s in seconds]

    def _ttft(self, stats: Stats) -> float:
        seen = stats.ttft_p50_s
        if seen is None:
            return self.prior_ttft_s
        if self.quantile != 0.5:
            seen = quantile(seen, stats.ttft_p95_s, self.quantile)
        elif stats.ttft_recent_s is not None:
            seen = stats.ttft_recent_s
        return blended(seen, self.prior_ttft_s, stats.n_observed)

    def _total(self, stats: Stats, n_tokens_out: int) -> float:
        seen = stats.total_p50_s
        if seen is None:
            if stats.ttft_p50_s is None or not stats.tokens_per_s:
                return self.prior_total_s
            seen = stats.ttft_p50_s + n_tokens_out / stats.tokens_per_s
        elif self.quantile != 0.5:
            seen = quantile(seen, stats.total_p95_s, self.quantile)
        elif stats.total_recent_s is not None:
            seen = stats.total_recent_s
        return blended(seen, self.prior_total_s, stats.n_observed)


def blended(seen: float, prior: float, n_observed: int) -> float:
    """Return the observed number, mixed with the prior while little was observed."""
    if n_observed >= MIN_OBSERVED:
        return seen
    return (n_observed * seen + (MIN_OBSERVED - n_observed) * prior) / MIN_OBSERVED


def quantile(p50_s: float, p95_s: float | None, at: float) -> float:
    """Return a quantile of the log-normal through a median and a 95th percentile."""
    if p95_s is None or p95_s <= p50_s or p50_s <= 0:
        return p50_s
    return p50_s * exp(log(p95_s / p50_s) / Z_95 * NormalDist().inv_cdf(at))


def _damped(seconds: list[float], candidates: Sequence[Candidate]) -> list[float]:
    """Add what failures cost: the time to fail and the next one's own time (ROUTING.md 1.1, `Sequence`)."""
    if len(seconds) < 2 or all((c.stats.error_ratio or 0.0) <= MIN_FAILING for c in candidates):
        return seconds
    best, second = sorted(seconds)[:2]
    damped: list[float] = []
    for own, candidate in zip(seconds, candidates, strict=True):
        failing = candidate.stats.error_ratio or 0.0
        if failing > MIN_FAILING:
            following = second if own == best else best
            to_fail = max(own, candidate.stats.ttft_p95_s or own)
            own = (1 - failing) * own + failing * (to_fail + following)  # noqa: PLW2901  the damped number
        damped.append(own)
    return damped
