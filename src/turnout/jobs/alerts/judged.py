"""Whether judges like a route's answers less than they used to. Floor 4.

1. Scores are weighed by one over the chance of being drawn, so the mean is that of the route's traffic.
2. A drop counts only as far as chance does not explain it: two standard errors of the difference are taken
   off. A score lies in [0, 1], so its variance is at most 1/4; with that bound nothing is assumed of judges.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from math import sqrt
from typing import Final

from turnout.jobs.alerts.base import Reading
from turnout.jobs.alerts.rules import QualityDrop
from turnout.jobs.alerts.world import World
from turnout.stores.feedback.base import QualityDay

ERRORS: Final = 2.0
VARIANCE: Final = 0.25


async def quality_drop(rule: QualityDrop, world: World, now: datetime) -> tuple[Reading, ...]:
    """Read how each judged route's mean score stands to what is usual. Raises `StoreUnavailable`."""
    if world.feedback is None:
        return ()
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    begin = today - timedelta(days=rule.days)
    before = begin - timedelta(days=rule.usual_days)
    found: list[Reading] = []
    for route in sorted(world.snapshot().listening.samples):
        days = await world.feedback.quality(route, before, None, None)
        recent = [day for day in days if day.at >= begin]
        usual = [day for day in days if day.at < begin]
        if all(sum(day.n for day in each) >= rule.min_samples for each in (recent, usual)):
            found.append(_reading(rule, route, recent, usual))
    return tuple(found)


def _reading(
    rule: QualityDrop, route: str, recent: Sequence[QualityDay], usual: Sequence[QualityDay]
) -> Reading:
    (score, one), (norm, other) = _mean(recent), _mean(usual)
    sure = norm - score - ERRORS * sqrt(one + other)
    return Reading(
        labels={"route": route},
        breach=sure > rule.drop,
        value=score,
        limit=norm - rule.drop,
        text=f"judges score answers of {route} {score:.2f} over {rule.days} days and today "
        f"(usual {norm:.2f}; surely {max(sure, 0.0):.2f} less)",
    )


def _mean(days: Sequence[QualityDay]) -> tuple[float, float]:
    """Return the mean score and the variance of that mean, at most."""
    weight = sum(day.weight for day in days)
    mean = sum(day.total for day in days) / weight
    return mean, VARIANCE * sum(day.weight_squared for day in days) / weight**2
