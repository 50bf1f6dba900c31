"""Endpoint of limits as they stand: what is used of each budget and quota, and when it begins anew. Floor 6.

A limit that holds for each of its level has as many accounts as there are subjects; those are told that the
desk or the configuration knows, at most `MOST_EACH` of one limit.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from msgspec import Struct

from turnout.errors import NotFound
from turnout.govern import records
from turnout.server.admin.call import Call, Endpoint, Given
from turnout.server.admin.spend import written
from turnout.stores.ledger.base import FOREVER, Fixed, Take
from turnout.types.account import Kind
from turnout.types.json import Json
from turnout.types.limits import EACH, Budget, Level, Quota
from turnout.types.usage import usd

MOST_EACH: Final = 500
_KINDS: Final[Mapping[Level, Kind]] = {
    "organisation": "organisation",
    "project": "project",
    "team": "team",
    "key": "key",
    "customer": "customer",
}


class Standing(Struct, kw_only=True):
    """What is used of one limit by one subject."""

    object: str = "standing"
    id: str
    """Of the limit."""
    of: str
    """`usd`, or what a quota counts."""
    level: str
    subject: str
    used: str | int
    """Decimal dollars, or a count; what is set aside for requests under way is in it."""
    limit: str | int
    share: float | None
    """Used of the limit; None = the limit is 0."""
    hard: bool
    window: str
    resets_at: str | None
    """None = never, or it slides."""


class Account(NamedTuple):
    """What one subject has used of one limit."""

    limit: Budget | Quota
    subject: str
    take: Take
    used: int


async def accounts(call: Call) -> Sequence[Account]:
    """Return every account of the limits that the actor may see. Raises `StoreUnavailable`."""
    built = call.built
    limits = built.engine.snapshot.limits
    if built.books is None or limits.is_empty:
        return ()
    own = await _visible(call)
    found = [each for each in limits.all() if own is None or each.id in own]
    pairs = [(each, name) for each in found for name in await _subjects(call, each)]
    now = built.books.now()
    takes = [limits.take(each, name, 0, now) for each, name in pairs]
    used = await built.books.ledger.used(takes) if takes else ()
    return [Account(*pair, take, n) for pair, take, n in zip(pairs, takes, used, strict=True)]


async def _standing(call: Call) -> Given:
    return _told([_row(*each) for each in await accounts(call)])


async def _visible(call: Call) -> frozenset[str] | None:
    """Return the ids of the limits that the actor may see; None = all."""
    if call.actor.organisation is None:
        return None
    ids: set[str] = set()
    for kind in ("budget", "quota"):
        found = await records.listing(call.office, call.actor, kind, limit=1000)
        ids.update(document.id for document in found)
    return frozenset(ids)


async def _subjects(call: Call, limit: Budget | Quota) -> Sequence[str]:
    if limit.subject != EACH:
        return (limit.subject,)
    kind = _KINDS.get(limit.level)
    if kind is not None:
        try:
            found = await records.listing(call.office, call.actor, kind, limit=MOST_EACH)
        except NotFound:  # there is no desk
            return ()
        return tuple(document.id for document in found)
    snapshot = call.built.engine.snapshot
    match limit.level:
        case "provider":
            return sorted({each.vendor.name for each in snapshot.deployments.values()})[:MOST_EACH]
        case "model":
            return sorted(snapshot.models)[:MOST_EACH]
        case "route":
            return sorted(snapshot.routes)[:MOST_EACH]
        case _:
            return ()


def _row(limit: Budget | Quota, subject: str, take: Take, used: int) -> Json:
    money = isinstance(limit, Budget)
    most = limit.limit_nusd if isinstance(limit, Budget) else limit.limit
    ends = ends_at(take)
    return {
        "object": "standing",
        "id": limit.id,
        "of": "usd" if isinstance(limit, Budget) else limit.of,
        "level": limit.level,
        "subject": subject,
        "used": usd(used) if money else used,
        "limit": usd(most) if money else most,
        "share": used / most if most else None,
        "hard": limit.hard if isinstance(limit, Budget) else True,
        "window": _window(limit),
        "resets_at": None if ends is None else written(ends),
    }


def ends_at(take: Take) -> datetime | None:
    """Return when an account begins anew; None = never, or it slides."""
    ends = take.span.ends if isinstance(take.span, Fixed) else None
    return None if ends is None or ends >= FOREVER else datetime.fromtimestamp(ends, UTC)


def _window(limit: Budget | Quota) -> str:
    window = limit.window
    if isinstance(limit, Quota) and limit.of == "concurrent":
        return "at once"
    seconds = getattr(window, "seconds", None)
    if seconds is not None:
        return f"any {seconds:g} s"
    return str(getattr(window, "unit", "for good"))


def _told(rows: list[Json]) -> Given:
    return Given(body={"object": "list", "data": rows, "has_more": False, "next": None})


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/standing",
        serve=_standing,
        summary="What is used of each budget and quota, and when it begins anew",
        gives=Standing,
        many=True,
    ),
)
