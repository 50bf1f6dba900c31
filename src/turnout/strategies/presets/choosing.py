"""`fastest`, `cheapest`, `best`, `balanced`, `benchmarks`: the best by one measure or a mix. Floor 2."""

from typing import Literal

from msgspec import field

from turnout.strategies.filters import Priced
from turnout.strategies.orders.best import Best
from turnout.strategies.pipeline import Pipeline
from turnout.strategies.presets.base import Common
from turnout.strategies.scorers.benchmarks import Benchmarks
from turnout.strategies.scorers.cost import Cost
from turnout.strategies.scorers.latency import Latency
from turnout.strategies.scorers.quality import Quality
from turnout.strategies.shapes.fallback import Chain


class Fastest(Common, frozen=True, tag="fastest", kw_only=True):
    """The least time, to the first content or to the end of what does not stream, above the floor."""

    quantile: float = 0.5
    measure: Literal["auto", "ttft", "total"] = "auto"
    """`auto`: to the first content for a stream, to the end for an answer in one piece."""
    epsilon: float = 0.02
    """Share of requests that go to another candidate, so that the numbers of all stay fresh."""
    damp_failures: bool = True
    """Charge a deployment that fails often with the time its failures cost."""
    prior_ttft_s: float = 1.0

    def expand(self) -> Pipeline:
        """Return: utility = minus seconds (μ → ∞, λ = 0)."""
        latency = Latency(
            measure=self.measure,
            quantile=self.quantile,
            damp_failures=self.damp_failures,
            prior_ttft_s=self.prior_ttft_s,
        )
        return self.pipeline(
            "fastest",
            (latency, *self.measured(0.0)),
            order=Best(epsilon=self.epsilon, epsilon_q=1.0),
            because="fastest",
        )


class Cheapest(Common, frozen=True, tag="cheapest", kw_only=True):
    """The least expected cost among those above the floor; the next dearer one when it fails."""

    max_cost_per_1k: float | None = None
    """USD per 1,000 tokens of the request's mix; what costs more is not asked at all."""
    max_cost_usd: float | None = None
    """Worst case of one call."""

    def __post_init__(self) -> None:
        Priced(max_cost_usd=self.max_cost_usd, max_cost_per_1k=self.max_cost_per_1k)

    def expand(self) -> Pipeline:
        """Return: utility = minus USD (λ → ∞, μ = 0), fallbacks by rising cost."""
        capped = self.max_cost_per_1k is not None or self.max_cost_usd is not None
        caps = Priced(max_cost_usd=self.max_cost_usd, max_cost_per_1k=self.max_cost_per_1k)
        return self.pipeline(
            "cheapest",
            (Cost(), *self.measured(0.0)),
            shape=Chain(max_fallbacks=self.max_fallbacks, vendor_first=False),
            because="cheapest_above_floor",
            filters=(caps,) if capped else (),
        )


class BestQuality(Common, frozen=True, tag="best", kw_only=True):
    """The highest quality, whatever it costs; the next best when it fails."""

    sd: float = 0.0
    """Standard deviation of the qualities; what lies within it of the best counts as equally good."""

    def expand(self) -> Pipeline:
        """Return: utility = quality (λ = μ = 0)."""
        return self.pipeline(
            "best",
            (Quality(values=self.quality, benchmark=self.benchmark, sd=self.sd),),
            shape=Chain(max_fallbacks=self.max_fallbacks, vendor_first=False),
        )


class Balanced(Common, frozen=True, tag="balanced", kw_only=True):
    """Quality against cost and time, at the prices written."""

    lambda_: float = field(default=10.0, name="lambda")
    """Quality that one USD is worth."""
    mu: float = 0.01
    """Quality that one second is worth."""

    def expand(self) -> Pipeline:
        """Return: utility = quality - λ·USD - μ·seconds."""
        return self.pipeline(
            "balanced", (*self.measured(1.0), Cost(lambda_=self.lambda_), Latency(mu=self.mu))
        )


class ByBenchmarks(Common, frozen=True, tag="benchmarks", kw_only=True):
    """The highest weighted index of named benchmarks."""

    weights: dict[str, float]
    """Benchmark -> weight; they sum to 1, or to 100."""
    normalise: Literal["minmax", "z"] = "minmax"
    missing: Literal["low", "renormalise", "regress", "exclude"] = "low"
    min_coverage: float = 0.5
    max_age_days: int | None = None
    lambda_: float = field(default=0.0, name="lambda")
    mu: float = 0.0

    def expand(self) -> Pipeline:
        """Return: utility = index - λ·USD - μ·seconds."""
        index = Benchmarks(
            weights=self.weights,
            normalise=self.normalise,
            missing=self.missing,
            min_coverage=self.min_coverage,
            max_age_days=self.max_age_days,
        )
        cost = (Cost(lambda_=self.lambda_),) if self.lambda_ else ()
        latency = (Latency(mu=self.mu),) if self.mu else ()
        return self.pipeline("benchmarks", (index, *cost, *latency))
