"""Named hours of the week: `mon-fri 09:00-18:00 Europe/Zurich`. Floor 2."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW: Final = re.compile(
    r"(?:(?P<days>[a-z,-]+)\s+)?(?P<from>\d{2}):(?P<from_m>\d{2})-(?P<to>\d{2}):(?P<to_m>\d{2})(?:\s+(?P<zone>\S+))?"
)
_DAY_MINUTES: Final = 24 * 60


class Window(Struct, frozen=True):
    """Hours on days of the week, in a zone. A window that ends before it begins goes past midnight."""

    days: frozenset[int]
    """0 = Monday; the day on which the window begins."""
    begin: int
    """Minute of the day, included."""
    end: int
    """Minute of the day, excluded."""
    zone: tzinfo

    def holds(self, at: datetime) -> bool:
        """Tell whether an aware instant lies in the window."""
        local = at.astimezone(self.zone)
        minute = 60 * local.hour + local.minute
        if self.begin < self.end:
            return self.begin <= minute < self.end and local.weekday() in self.days
        if minute >= self.begin:
            return local.weekday() in self.days
        return minute < self.end and (local - timedelta(days=1)).weekday() in self.days


def read_window(text: str, zone: str) -> Window:
    """Return the window that a text describes; `zone` is used where it names none.

    Raises:
        ValueError: It is not of the form `[days] HH:MM-HH:MM [zone]`, or the zone is not known.
    """
    match = _WINDOW.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f"{text!r} is not a window; expected [days] HH:MM-HH:MM [zone], as in mon-fri 09:00-18:00"
        )
    begin, end = _minute(match["from"], match["from_m"]), _minute(match["to"], match["to_m"])
    if begin in (end, _DAY_MINUTES):
        raise ValueError(f"{text!r} holds no minute")
    return Window(_days(match["days"] or "mon-sun"), begin, end, read_zone(match["zone"] or zone))


def read_zone(name: str) -> tzinfo:
    """Return a time zone by its IANA name. Raises `ValueError` for one that is not known."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"no time zone {name!r}; expected an IANA name such as Europe/Zurich") from error


def find_window(name: str, windows: Mapping[str, str], zone: str) -> Window:
    """Return a window by its name, or by its text. Raises `ValueError`."""
    return read_window(windows.get(name, name), zone)


def _minute(hour: str, minute: str) -> int:
    at = 60 * int(hour) + int(minute)
    if int(minute) > 59 or at > _DAY_MINUTES:
        raise ValueError(f"{hour}:{minute} is no time of the day")
    return at


def _days(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise ValueError(f"{part!r} is no day or range of days; days are {', '.join(DAYS)}")
        begin = DAYS.index(first)
        length = (DAYS.index(last) - begin) % 7 if dash else 0
        found |= {(begin + step) % 7 for step in range(length + 1)}
    return frozenset(found)
