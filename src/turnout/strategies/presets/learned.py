"""`learned`: quality as predicted for each request, against cost and time. Floor 2."""

from collections.abc import Mapping
from typing import Literal

from msgspec import field

from turnout.strategies.pipeline import Pipeline
from turnout.strategies.presets.base import Common
from turnout.strategies.scorers.cost import Cost
from turnout.strategies.scorers.latency import Latency
from turnout.strategies.scorers.learned import Learned


class ByLearned(Common, frozen=True, tag="learned", kw_only=True):
    """The highest utility by predicted quality, at the prices written."""

    artifact: str
    """File of arrays that `turnout fit learned` wrote; relative to the configuration file."""
    names: Mapping[str, str] = {}
    """Deployment or model id -> what the artifact calls it, where that differs."""
    missing: Literal["refuse", "prior"] = "refuse"
    on_expired: Literal["refuse", "warn"] = "refuse"
    lambda_: float = field(default=10.0, name="lambda")
    """Quality that one USD is worth."""
    mu: float = 0.01
    """Quality that one second is worth."""

    def __post_init__(self) -> None:
        if self.quality or self.benchmark is not None:
            raise ValueError(
                "quality: the artifact says how good the models are; leave out quality and benchmark"
            )

    def expand(self) -> Pipeline:
        """Return: utility = predicted quality - λ·USD - μ·seconds."""
        predicted = Learned(
            artifact=self.artifact, names=self.names, missing=self.missing, on_expired=self.on_expired
        )
        cost = (Cost(lambda_=self.lambda_),) if self.lambda_ else ()
        latency = (Latency(mu=self.mu),) if self.mu else ()
        return self.pipeline("learned", (predicted, *cost, *latency))
