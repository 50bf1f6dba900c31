"""Hours of the week in which a deployment is cheaper. Floor 0."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from functools import cache
from typing import Final, Literal
from zoneinfo import ZoneInfo

from msgspec import Struct

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: Final[tuple[Day, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY: Final = timedelta(days=1)
_HOURS: Final = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")
_DAY_MINUTES: Final = 24 * 60


class Slot(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hours on some days, in a zone, and what a call costs then.

    Hours past midnight belong to the day they begin on. Spans are wall-clock times: a change of daylight
    saving moves them with the clocks of the zone.
    """

    name: str
    hours: str = "00:00-24:00"
    """`HH:MM-HH:MM`; the second is the first minute outside."""
    days: tuple[Day, ...] = DAYS
    zone: str = "UTC"
    """IANA name."""
    price_factor: float
    """Price in these hours as a share of the price outside them."""
    models: tuple[str, ...] = ()
    """Globs over deployment, model and provider names; empty = all."""

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("name: expected at least one character")
        if not self.days:
            raise ValueError("days: name at least one")
        if not 0 <= self.price_factor < float("inf"):
            raise ValueError(f"price_factor is {self.price_factor}; expected a number of at least 0")
        _span(self.hours)
        _zone(self.zone)

    def holds(self, at: datetime) -> bool:
        """Tell whether an aware instant lies inside."""
        begin, end = _span(self.hours)
        local = at.astimezone(_zone(self.zone))
        minute = local.hour * 60 + local.minute
        if begin < end:
            return begin <= minute < end and DAYS[local.weekday()] in self.days
        if minute >= begin:
            return DAYS[local.weekday()] in self.days
        return minute < end and DAYS[local.weekday() - 1] in self.days

    def opens(self, after: datetime) -> datetime:
        """Return the next instant, in UTC, later than `after` at which it begins."""
        return self._next(after, _span(self.hours)[0])

    def closes(self, after: datetime) -> datetime:
        """Return the next instant, in UTC, later than `after` at which it ends."""
        begin, end = _span(self.hours)
        return self._next(after, end if end > begin else end + _DAY_MINUTES)

    def _next(self, after: datetime, minute: int) -> datetime:
        """Return the next instant so many minutes into one of its days."""
        zone = _zone(self.zone)
        day = after.astimezone(zone).date() - DAY
        for _ in range(
            10
        ):  # yesterday, whose hours may reach into today, and a week with a day on either side
            if DAYS[day.weekday()] in self.days:
                on = day + DAY * (minute // _DAY_MINUTES)
                clock = time(minute % _DAY_MINUTES // 60, minute % 60)
                found = datetime.combine(on, clock, zone).astimezone(UTC)
                if found > after:
                    return found
            day += DAY
        raise AssertionError("a slot opens and closes every week")


def price_factor(slots: Iterable[Slot], at: datetime) -> float:
    """Return the share of the plain price that holds at an instant: the least of the open slots, else 1."""
    return min((slot.price_factor for slot in slots if slot.holds(at)), default=1.0)


@cache
def _span(hours: str) -> tuple[int, int]:
    found = _HOURS.fullmatch(hours)
    if found is None:
        raise ValueError(f"hours: {hours!r} is no span of hours; expected HH:MM-HH:MM, as in 22:00-06:00")
    h, m, to_h, to_m = map(int, found.groups())
    begin, end = 60 * h + m, 60 * to_h + to_m
    if m > 59 or to_m > 59 or begin >= _DAY_MINUTES or end > _DAY_MINUTES:
        raise ValueError(f"hours: {hours!r} holds no time of the day")
    if begin == end:
        raise ValueError(f"hours: {hours!r} is empty; leave it out for the whole day")
    return begin, end


@cache
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        raise ValueError(f"zone: {name!r} is no known IANA zone, such as Europe/Berlin") from None
