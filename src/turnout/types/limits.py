"""What somebody may spend and use, and for how long that is counted. Floor 0."""

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from turnout.types.usage import NanoUsd

Level = Literal[
    "organisation", "project", "team", "key", "customer", "tag", "surface", "provider", "model", "route"
]
"""Whom or what a limit is about."""
EACH: Final = "*"
"""Subject of a limit that holds for every one of its level by itself."""
Share = Annotated[float, Meta(gt=0, le=1)]
Unit = Literal["minute", "hour", "day", "week", "month", "year"]


class Rolling(Struct, frozen=True, tag_field="type", tag="rolling"):
    """The last so many seconds, at every moment."""

    seconds: Annotated[float, Meta(gt=0)]


class Calendar(Struct, frozen=True, tag_field="type", tag="calendar"):
    """From one turn of the calendar to the next, as clocks in a zone show it."""

    unit: Unit
    zone: str = "UTC"
    """IANA name."""


class Lifetime(Struct, frozen=True, tag_field="type", tag="lifetime"):
    """For good."""


Window = Rolling | Calendar | Lifetime


class Threshold(Struct, frozen=True, kw_only=True):
    """What happens once a share of a budget is used."""

    at: Share
    action: Literal["alert", "downgrade", "block"] = "alert"
    route: str | None = None
    """Where `downgrade` sends requests."""


class Budget(Struct, frozen=True, kw_only=True):
    """Money for somebody."""

    id: str
    level: Level
    subject: str = EACH
    limit_nusd: Annotated[NanoUsd, Meta(ge=0)]
    window: Window
    thresholds: tuple[Threshold, ...] = ()
    hard: bool = True
    """Whether what does not fit is refused. A soft budget only counts and alerts."""


class Quota(Struct, frozen=True, kw_only=True):
    """Requests or tokens for somebody."""

    id: str
    level: Level
    subject: str = EACH
    of: Literal["requests", "tokens", "tokens_in", "tokens_out", "concurrent"]
    limit: Annotated[int, Meta(ge=0)]
    window: Rolling | Calendar = Rolling(60.0)
    """Of no meaning for `concurrent`."""
