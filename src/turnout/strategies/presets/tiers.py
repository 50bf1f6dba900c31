"""`complexity`, `threshold`, `slo_tiers`: the tier a request needs. Floor 2.

A threshold on how hard a request is has no natural value: it is either written, or read off the share of
traffic that may go to the stronger tier and the values observed on own traffic (ROUTING.md 1.5).
"""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Literal

import msgspec

from turnout.strategies.orders.best import EXACT, Best
from turnout.strategies.orders.tiers import Tiers
from turnout.strategies.pipeline import Pipeline
from turnout.strategies.presets.base import Common
from turnout.strategies.scorers.complexity import Complexity
from turnout.strategies.scorers.cost import Cost
from turnout.strategies.scorers.rank import Constant
from turnout.strategies.shapes.fallback import Chain

TIE_LAMBDA = 1e-6
"""Price of money that orders models of one tier by cost and never outweighs a tier."""
UNKNOWN_USD = 1.0
"""What a call is reckoned at whose price is not known: behind any known one of its tier, and in its tier."""
MIN_SAMPLE = 500
"""Own requests a share is read off (ROUTING.md 1.5)."""


class ByComplexity(Common, frozen=True, tag="complexity", kw_only=True):
    """The tier of models that the request's complexity asks for; the cheapest within a tier."""

    tiers: tuple[tuple[str, ...], ...]
    """Deployment or model ids, least capable tier first."""
    thresholds: tuple[float, ...] | None = None
    """Rising; one fewer than tiers. None = from `shares`."""
    shares: tuple[float, ...] | None = None
    """Share of requests for each tier; they sum to 1. Needs `sample`."""
    sample: tuple[float, ...] = ()
    """The signal's values on at least 500 own requests (`turnout journal export` has them)."""
    signal: str = "complexity"
    default: float = 0.5
    """Taken when the signal is absent."""

    def __post_init__(self) -> None:
        if (self.thresholds is None) == (self.shares is None):
            raise ValueError("thresholds: give either thresholds or shares")
        if self.shares is not None:
            _check_shares(self.shares, len(self.tiers), self.sample)

    def expand(self) -> Pipeline:
        """Return: utility = fit of the tier, cost within a tier."""
        thresholds = self.thresholds
        if thresholds is None:
            thresholds = thresholds_for(self.shares or (), self.sample)
        fit = Complexity(tiers=self.tiers, thresholds=thresholds, signal=self.signal, default=self.default)
        return self.pipeline(
            "complexity",
            (fit, Cost(lambda_=TIE_LAMBDA, unknown_usd=UNKNOWN_USD), *self.measured(0.0)),
            shape=Chain(max_fallbacks=self.max_fallbacks, vendor_first=False),
        )


class Threshold(Common, frozen=True, tag="threshold", kw_only=True):
    """Two models: the strong one where the score says it is needed."""

    weak: str
    strong: str
    threshold: float | None = None
    """At or above it, the strong one. None = from `strong_share`."""
    strong_share: float | None = None
    """Share of requests for the strong one. Needs `sample`."""
    sample: tuple[float, ...] = ()
    """Values of the signal, or predicted gaps, on at least 500 own requests."""
    signal: str = "complexity"
    default: float = 0.5
    artifact: str | None = None
    """File that `turnout fit learned` wrote: the score is then the strong model's predicted quality minus
    the weak one's. None = the signal is the score."""
    names: Mapping[str, str] = {}
    """Deployment or model id -> what the artifact calls it, where that differs."""
    on_expired: Literal["refuse", "warn"] = "refuse"

    def __post_init__(self) -> None:
        if (self.threshold is None) == (self.strong_share is None):
            raise ValueError("threshold: give either threshold or strong_share")
        if self.strong_share is not None:
            _check_shares((1 - self.strong_share, self.strong_share), 2, self.sample)

    def expand(self) -> Pipeline:
        """Return the two tiers; with an artifact: utility = predicted quality, the weak one's raised by τ."""
        if self.artifact is not None:
            return self._learned(self.artifact)
        shares = None if self.strong_share is None else (1 - self.strong_share, self.strong_share)
        return msgspec.structs.replace(
            ByComplexity(
                tiers=((self.weak,), (self.strong,)),
                thresholds=None if self.threshold is None else (self.threshold,),
                shares=shares,
                sample=self.sample,
                signal=self.signal,
                default=self.default,
                q_floor=self.q_floor,
                quality=self.quality,
                benchmark=self.benchmark,
                slo=self.slo,
                on_infeasible=self.on_infeasible,
                max_fallbacks=self.max_fallbacks,
                modify=self.modify,
            ).expand(),
            label="threshold",
        )

    def _learned(self, artifact: str) -> Pipeline:
        threshold = self.threshold
        if threshold is None:
            share = self.strong_share or 0.0
            threshold = thresholds_for((1 - share, share), self.sample)[0]
        # Imported here: tiers by a signal need no numpy.
        from turnout.strategies.scorers.learned import Learned  # noqa: PLC0415

        predicted = Learned(artifact=artifact, names=self.names, on_expired=self.on_expired)
        # Exactly at the threshold the strong one is asked, although equal utilities go to the cheaper.
        raised = Constant(values={self.weak: threshold - 2 * EXACT})
        return self.pipeline("threshold", (predicted, raised), order=Best(tie_band=0.0))


class SloTiers(Common, frozen=True, tag="slo_tiers", kw_only=True):
    """The first latency tier that somebody keeps; the cheapest within it."""

    limits_s: tuple[float, ...] = (1.5, 3.0, 10.0)
    unknown: int = 1
    """Tier of a deployment without enough observations, counted from 0."""

    def expand(self) -> Pipeline:
        """Return: utility = minus USD, ordered by tier first."""
        return self.pipeline(
            "slo_tiers",
            (Cost(), *self.measured(0.0)),
            order=Tiers(limits_s=self.limits_s, unknown=self.unknown),
            because="fastest",
        )


def _check_shares(shares: Sequence[float], n_tiers: int, sample: Sequence[float]) -> None:
    if len(shares) != n_tiers or any(not 0 <= share <= 1 for share in shares):
        raise ValueError("shares: expected one between 0 and 1 for each tier")
    if abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"shares sum to {sum(shares):g}; make them sum to 1")
    if len(sample) < MIN_SAMPLE:
        raise ValueError(f"sample: {len(sample)} values given; a share is read off at least {MIN_SAMPLE}")
    if not all(isfinite(value) for value in sample):
        raise ValueError("sample: expected numbers")


def thresholds_for(shares: Sequence[float], sample: Sequence[float]) -> tuple[float, ...]:
    """Return the thresholds that cut a sample into these shares, least capable tier first.

    Equal thresholds are pushed apart by the smallest step: a tier of share 0 then gets nothing.
    """
    ordered, below, found = sorted(sample), 0.0, list[float]()
    for share in shares[:-1]:
        below += share
        at = round(below * len(ordered))
        value = ordered[at] if at < len(ordered) else min(1.0, ordered[-1] + 1e-9)
        if found and value <= found[-1]:
            value = found[-1] + 1e-9
        found.append(value)
    return tuple(found)
