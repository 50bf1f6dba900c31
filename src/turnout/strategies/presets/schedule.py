"""`schedule`: another strategy at other hours. Floor 2.

Theory of operation.

1. A window is days of the week and a time span in an IANA zone; `from` later than `to` goes over midnight and
   belongs to the day it begins on. Spans are wall-clock times, so a change of daylight saving moves them with
   the clocks of the zone.
2. The first window that holds the moment, and whose visibility is the request's, decides; none = `otherwise`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import Struct, field

from turnout.errors import ConfigError
from turnout.strategies.base import Bindable, Choice, Context, Draw, Setting, Strategy
from turnout.types.deployment import Candidate

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Window(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hours of some days, and the strategy that holds then."""

    strategy: Strategy
    days: tuple[Day, ...] = DAYS
    from_: str | int = field(default="00:00", name="from")
    """HH:MM, or minutes since midnight, as which YAML reads an unquoted 18:00; the first minute inside."""
    to: str | int = "24:00"
    """The first minute outside."""
    zone: str = "UTC"
    """IANA name."""
    visibility: Literal["any", "user", "background"] = "any"

    def __post_init__(self) -> None:
        if not self.days:
            raise ValueError("days: name at least one")
        begin, end = minutes(self.from_), minutes(self.to)
        if begin == end:
            raise ValueError(f"from {self.from_} to {self.to} is empty; leave both out for the whole day")
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"zone: {self.zone!r} is no known IANA zone, such as Europe/Berlin") from None

    def holds(self, at: datetime) -> bool:
        """Tell whether an instant lies inside."""
        local = at.astimezone(ZoneInfo(self.zone))
        now, begin, end = local.hour * 60 + local.minute, minutes(self.from_), minutes(self.to)
        if begin < end:
            return begin <= now < end and DAYS[local.weekday()] in self.days
        if now >= begin:
            return DAYS[local.weekday()] in self.days
        return now < end and DAYS[local.weekday() - 1] in self.days


def minutes(text: str | int) -> int:
    """Return the minutes since midnight of HH:MM, 24:00 included. Raises `ValueError`."""
    if isinstance(text, int):
        if not 0 <= text <= 24 * 60:
            raise ValueError(f"{text} is not a time; expected HH:MM in quotes")
        return text
    hours, colon, rest = text.partition(":")
    if not (colon and len(rest) == 2 and hours.isdigit() and rest.isdigit()):
        raise ValueError(f"{text!r} is not a time; expected HH:MM")
    found = int(hours) * 60 + int(rest)
    if int(rest) > 59 or found > 24 * 60:
        raise ValueError(f"{text!r} is not a time; expected 00:00 to 24:00")
    return found


class Schedule(Struct, frozen=True, tag="schedule", kw_only=True, forbid_unknown_fields=True):
    """The strategy of the first window that holds, else another."""

    windows: tuple[Window, ...]
    otherwise: Strategy

    def __post_init__(self) -> None:
        if not self.windows:
            raise ValueError("windows: name at least one")

    @property
    def name(self) -> str:
        """Word for Records."""
        return "schedule"

    @property
    def needs(self) -> frozenset[str]:
        """What any of the strategies needs: which one holds is known only with the request."""
        return self.otherwise.needs.union(*(window.strategy.needs for window in self.windows))

    def bind(self, setting: Setting) -> Self:
        """Make every strategy ready. Raises `ConfigError`."""
        problems: list[str] = []
        windows = tuple(
            msgspec.structs.replace(
                window, strategy=_bound(window.strategy, f"windows[{at}].strategy.", setting, problems)
            )
            for at, window in enumerate(self.windows)
        )
        otherwise = _bound(self.otherwise, "otherwise.", setting, problems)
        if problems:
            raise ConfigError(tuple(problems))
        return msgspec.structs.replace(self, windows=windows, otherwise=otherwise)

    def choose(self, context: Context, candidates: Sequence[Candidate], draw: Draw) -> Choice:
        """Let the strategy of the hour decide."""
        return self.strategy_for(context).choose(context, candidates, draw)

    def strategy_for(self, context: Context) -> Strategy:
        """Return the strategy that holds for a request."""
        visibility = context.ask.visibility or (
            "user" if context.surface is None else context.surface.visibility
        )
        for window in self.windows:
            if window.visibility in ("any", visibility) and window.holds(context.at):
                return window.strategy
        return self.otherwise


def _bound(strategy: Strategy, path: str, setting: Setting, problems: list[str]) -> Strategy:
    try:
        return strategy.bind(setting) if isinstance(strategy, Bindable) else strategy
    except ConfigError as error:
        problems.extend(path + problem for problem in error.problems)
        return strategy
