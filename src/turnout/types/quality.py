"""What of live traffic is listened to: answers that are judged, and signs of displeasure. Floor 0."""

from collections.abc import Mapping

from msgspec import Struct

from turnout.types.usage import NanoUsd


class Judge(Struct, frozen=True):
    """Who judges."""

    deployment: str
    vendor: str
    model: str


class Sample(Struct, frozen=True, kw_only=True):
    """Which answers of one route are judged, and how."""

    route: str
    share: float
    judges: tuple[Judge, ...]
    rubric: str | None = None
    """None = the usual one."""
    against: str | None = None
    """Deployment whose answer it is compared with; None = graded alone."""
    same_vendor: bool = False
    earlier: int = 0
    """Characters of earlier turns that the judge sees; 0 = the last question alone."""


class Listening(Struct, frozen=True, kw_only=True):
    """What one configuration listens to."""

    samples: Mapping[str, Sample] = {}
    """By route."""
    budget_nusd: NanoUsd = NanoUsd(0)
    """A UTC day."""
    max_running: int = 1
    implicit: bool = False

    @property
    def largest_share(self) -> float:
        """Share of the route that draws most: a request's route is not known before it is served."""
        return max((each.share for each in self.samples.values()), default=0.0)


NOTHING_HEARD = Listening()
