"""What an hour usually costs, and whether this one costs far more. Floor 4.

Theory of operation.

1. The forecast of an hour is the median of the same hour of the week in the weeks before: weekends and nights
   are their own. With fewer than `LEAST_WEEKS` of them it is the median of the same hour of the last days;
   with fewer than `LEAST_DAYS` of those, nothing is said. Hours before the first request do not count.
2. The spread is the median absolute deviation, scaled to a standard deviation of normal noise (1.4826). One
   wild hour in the past moves neither (breakdown point 50 %), so last week's accident is not today's norm.
3. The limit is the largest of median + factor × spread, median × times, and median + min_usd: the second
   keeps quiet where every week is alike, the third where there is nearly nothing.
4. Looked at are the hour that runs, as it stands, and the last whole one. So money that runs away is seen
   within its hour, and a dear hour stays an alert for the next.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Final

from turnout.jobs.alerts.base import Reading
from turnout.jobs.alerts.rules import Spend
from turnout.jobs.alerts.traffic import usages_of
from turnout.jobs.alerts.world import World
from turnout.stores.sums.usage import UsageQuery

LEAST_WEEKS: Final = 4
LEAST_DAYS: Final = 5
MOST_DAYS: Final = 14
NORMAL: Final = 1.4826
HOUR: Final = timedelta(hours=1)
Hours = Mapping[datetime, float]
"""Beginning of an hour -> USD."""


class Forecast:
    """Spend anomalies; hours that are over are read once an hour."""

    __slots__ = ("_known", "_of", "_read_at")

    def __init__(self) -> None:
        self._of: Spend | None = None
        self._read_at: datetime | None = None
        self._known: Mapping[str, Hours] = {}

    async def readings(self, rule: Spend, world: World, now: datetime) -> tuple[Reading, ...]:
        """Read this hour and the last one against what is usual. Raises `StoreUnavailable`."""
        hour = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        if self._read_at != hour or self._of != rule:
            begin = hour - timedelta(weeks=rule.weeks) - HOUR
            self._known = await _hours(rule, world, begin, hour - HOUR)
            self._of, self._read_at = rule, hour
        fresh = await _hours(rule, world, hour - HOUR, hour + HOUR)
        found: list[Reading] = []
        for name in sorted(fresh.keys() | self._known.keys()):
            past, recent = self._known.get(name, {}), fresh.get(name, {})
            pairs = [(at, recent.get(at, 0.0), limit_of(rule, past, at)) for at in (hour, hour - HOUR)]
            known = [(at, value, limit) for at, value, limit in pairs if limit is not None]
            if known:
                found.append(_reading(rule, name, *max(known, key=lambda each: each[1] / each[2])))
        return tuple(found)


def limit_of(rule: Spend, past: Hours, at: datetime) -> float | None:
    """Return from which cost on an hour is unusual, in USD; None = too little is known."""
    if not past:
        return None
    first = min(past)
    weeks = [at - timedelta(weeks=n) for n in range(1, rule.weeks + 1)]
    days = [at - timedelta(days=n) for n in range(1, MOST_DAYS + 1)]
    values = [past.get(each, 0.0) for each in weeks if each >= first]
    if len(values) < LEAST_WEEKS:
        values = [past.get(each, 0.0) for each in days if each >= first]
        if len(values) < LEAST_DAYS:
            return None
    return _limit(rule, values)


def _limit(rule: Spend, values: Sequence[float]) -> float:
    centre = median(values)
    spread = NORMAL * median(abs(each - centre) for each in values)
    # Above nothing, so that a share of it can be told.
    return max(centre + rule.factor * spread, centre * rule.times, centre + rule.min_usd, 1e-9)


def _reading(rule: Spend, name: str, at: datetime, value: float, limit: float) -> Reading:
    about: dict[str, str] = {} if rule.by == "all" else {rule.by: name}
    who = f" of {name}" if about else ""
    return Reading(
        labels=about,
        breach=value > limit,
        value=value,
        limit=limit,
        text=f"the hour from {at:%Y-%m-%d %H:%M} UTC cost ${value:,.2f}{who} (unusual from ${limit:,.2f})",
    )


async def _hours(rule: Spend, world: World, since: datetime, until: datetime) -> Mapping[str, Hours]:
    by = () if rule.by == "all" else (rule.by,)
    query = UsageQuery(since=since, until=until, step="hour", by=by, latencies=False)
    found: dict[str, dict[datetime, float]] = defaultdict(dict)
    for row in await usages_of(world).usage(query):
        if row.at is not None and (not by or row.group[0]):
            found[row.group[0] if by else ""][row.at] = row.cost_nusd / 1e9
    return found
