"""Sums of spend out of the cells of usage, which are far fewer. Floor 3.

Theory of operation.
1. Sums know everybody who asked together with whatever answered: millions of rows a month. Cells know each
   alone, and answer what names no more than one of their cubes does.
2. Cells follow the rows. What they have not counted yet is read from the rows and added here, so that nothing
   is missing; where that would be much, or cells cannot know all, the sums are asked as before.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec.structs import replace

from turnout.stores.columns import EPOCH, Columns
from turnout.stores.sums.base import Sum, SumQuery, ordered
from turnout.stores.sums.memory import summed
from turnout.stores.sums.usage import UsageQuery, Used, cube_of, parts_of

MOST_UNCOUNTED: Final = 10_000
"""Rows that are read because cells have not counted them yet."""
_END: Final = datetime(2300, 1, 1, tzinfo=UTC)
_DAY: Final = timedelta(days=1)
_COUNTED: Final = tuple(name for name in Sum.__struct_fields__ if name not in {"group", "at"})


def usage_of(query: SumQuery) -> UsageQuery | None:
    """Return the same question to cells; None = they cannot tell."""
    asked = UsageQuery(
        since=query.since or EPOCH,
        until=query.until or _END,
        step=query.per,
        by=query.by,
        latencies=False,
        organisation=query.organisation,
        project=query.project,
        team=query.team,
        key=query.key,
        customer=query.customer,
        tag=query.tag,
        route=query.route,
        model=query.model,
        provider=query.provider,
    )
    cuts_a_day = query.per == "day" and any((at - EPOCH) % _DAY for at in (asked.since, asked.until))
    return None if cuts_a_day or cube_of(asked) is None else asked


def begins_before(query: UsageQuery, whole: int, first_hour: int | None) -> bool:
    """Say whether a range has days that cells do not know, or hours that were deleted since.

    Args:
        query: What cells are asked.
        whole: The first day, counted from 1970, that cells know all of.
        first_hour: The first hour that is kept; None = there is none.
    """
    hours = 24 * whole if first_hour is None else first_hour
    return any(
        (part.last > whole and part.first < whole) if part.width == "day" else part.first < hours
        for part in parts_of(query)
    )


def sums_of(found: Iterable[Used], uncounted: Iterable[Columns], query: SumQuery) -> tuple[Sum, ...]:
    """Return what cells know together with what they have not counted yet."""
    held = {(each.at, each.group): _sum(each) for each in found}
    for each in summed(uncounted, query):
        place = (each.at, each.group)
        held[place] = _added(held[place], each) if place in held else each
    return ordered(list(held.values()))


def _sum(of: Used) -> Sum:
    return Sum(**{name: getattr(of, name) for name in Sum.__struct_fields__})


def _added(one: Sum, other: Sum) -> Sum:
    return replace(one, **{name: getattr(one, name) + getattr(other, name) for name in _COUNTED})
