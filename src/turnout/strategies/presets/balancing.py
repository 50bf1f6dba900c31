"""`round_robin`, `least_busy`, `two_choices`: spreading calls over equally good deployments. Floor 2."""

from turnout.strategies.orders.balance import LeastBusy, RoundRobin, TwoChoices
from turnout.strategies.pipeline import Pipeline
from turnout.strategies.presets.base import Common


class Rotating(Common, frozen=True, tag="round_robin", kw_only=True):
    """Takes turns by weight."""

    def expand(self) -> Pipeline:
        """Return: no score, smooth weighted rotation."""
        return self.pipeline("round_robin", self.measured(0.0), order=RoundRobin())


class LeastLoaded(Common, frozen=True, tag="least_busy", kw_only=True):
    """The deployment with the smallest share of its limit in flight."""

    limit: int = 100
    """Stands in for a deployment that declares none."""

    def expand(self) -> Pipeline:
        """Return: no score, order by load."""
        return self.pipeline("least_busy", self.measured(0.0), order=LeastBusy(limit=self.limit))


class PowerOfTwo(Common, frozen=True, tag="two_choices", kw_only=True):
    """Of two drawn at random, the one with less expected wait: latency times calls in flight."""

    def expand(self) -> Pipeline:
        """Return: no score, order by two choices."""
        return self.pipeline("two_choices", self.measured(0.0), order=TwoChoices())
