"""`hedge`, `cascade`, `consensus`: more than one call for one answer. Floor 2."""

from msgspec import field

from turnout.plan import Accept, Reduce
from turnout.strategies.pipeline import Pipeline
from turnout.strategies.presets.base import Common
from turnout.strategies.scorers.latency import Latency
from turnout.strategies.scorers.rank import Rank
from turnout.strategies.shapes.cascade import Stepped
from turnout.strategies.shapes.race import Fan, Hedged


class HedgeFastest(Common, frozen=True, tag="hedge", kw_only=True):
    """The fastest, and the runner-up as well when the first is late."""

    delay_s: float | None = None
    """None = the observed 95th percentile of the first."""
    default_delay_s: float = 2.0
    """Taken while too little was observed."""

    def expand(self) -> Pipeline:
        """Return: utility = minus seconds, a race of the first two."""
        return self.pipeline(
            "hedge",
            (Latency(measure="ttft", damp_failures=True), *self.measured(0.0)),
            shape=Hedged(
                delay_s=self.delay_s, default_delay_s=self.default_delay_s, max_fallbacks=self.max_fallbacks
            ),
            because="fastest",
        )


class CheapFirst(Common, frozen=True, tag="cascade", kw_only=True):
    """A cheap answer first; a better model when the acceptor rejects it."""

    accept: Accept
    steps: int = 2
    lambda_: float = field(default=0.0, name="lambda")
    """Quality that one USD is worth when the first step is chosen; 0 = the cheapest."""

    def expand(self) -> Pipeline:
        """Return: utility = quality where it is declared, else the declared order; steps of rising cost."""
        score = self.measured(1.0) if self.quality or self.benchmark else (Rank(),)
        shape = Stepped(
            accept=self.accept, steps=self.steps, lambda_=self.lambda_, max_fallbacks=self.max_fallbacks
        )
        return self.pipeline("cascade", score, shape=shape)


class Consensus(Common, frozen=True, tag="consensus", kw_only=True):
    """Several models at once, reduced to one answer."""

    reduce: Reduce
    k: int = 3
    repeat: bool = False
    """Ask the best model k times instead: the baseline that a mixed panel has to beat."""

    def expand(self) -> Pipeline:
        """Return: utility = quality where it is declared, else the declared order; the first k at once."""
        score = self.measured(1.0) if self.quality or self.benchmark else (Rank(),)
        return self.pipeline(
            "consensus",
            score,
            shape=Fan(reduce=self.reduce, k=self.k, repeat=self.repeat),
            because="consensus",
        )
