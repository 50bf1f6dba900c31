"""Endpoints of usage over time and by group: what a dashboard draws. Floor 6."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, get_args

import msgspec
from msgspec.structs import replace

from turnout.errors import InvalidRequest, NotFound, StoreUnavailable
from turnout.server.admin import spend
from turnout.server.admin.call import Call, Endpoint, Given
from turnout.stores.sums import DIMENSIONS, Dimension
from turnout.stores.sums.usage import (
    HOURS_KEPT,
    MINUTES,
    MINUTES_KEPT,
    WIDTHS,
    Latency,
    Rank,
    UsageQuery,
    Usages,
    Used,
    Width,
)
from turnout.types.json import Json
from turnout.types.usage import usd

MOST_STEPS: Final = 2_000
MOST_ROWS: Final = 20_000
MOST_GROUPS: Final = 2
MOST_TOP: Final = 100
DEFAULT_RANGE: Final = timedelta(days=1)
_RANKS: Final[tuple[Rank, ...]] = get_args(Rank)


async def _series(call: Call) -> Given:
    step = next((each for each in WIDTHS if each == call.query.get("step", "hour")), None)
    if step is None:
        raise InvalidRequest("step: expected minute, hour or day", param="step")
    query = _asked(call, step)
    if (query.until - query.since) / timedelta(minutes=MINUTES[step]) > MOST_STEPS:
        raise InvalidRequest(
            f"step: that makes more than {MOST_STEPS} steps; take a longer one", param="step"
        )
    if "top" in call.query:
        query = replace(query, top=call.number("top", 10, MOST_TOP), rank=_rank(call))
    return await _told(call, query)


async def _totals(call: Call) -> Given:
    return await _told(call, _asked(call, None))


async def _top(call: Call) -> Given:
    query = _asked(call, None)
    query = query if query.by else replace(query, by=("model",))
    return await _told(call, replace(query, top=call.number("limit", 10, MOST_TOP), rank=_rank(call)))


async def _told(call: Call, query: UsageQuery) -> Given:
    journal: object = call.built.journal
    if not isinstance(journal, Usages):
        raise StoreUnavailable("no journal is kept here, or one without usage; set journal.enabled: true")
    rows = await journal.usage(query)
    if len(rows) > MOST_ROWS:
        raise InvalidRequest(f"that makes {len(rows):,} rows, above {MOST_ROWS:,}; ask for less", param="by")
    told: dict[str, Json] = {
        "object": "list",
        "since": spend.written(query.since),
        "until": spend.written(query.until),
        "step": query.step,
        "by": list(query.by),
        "data": rows_of(query, rows),
        "has_more": False,
    }
    return Given(body={**told, "next": None})


def _asked(call: Call, step: Width | None) -> UsageQuery:
    """Read the parameters, narrowed to what the actor reaches."""
    now = datetime.now(UTC)
    until = call.instant("until") or now
    since = call.instant("since") or until - DEFAULT_RANGE
    if since >= until:
        raise InvalidRequest("since: expected an instant before until", param="since")
    if step == "minute" and since < now - MINUTES_KEPT:
        raise InvalidRequest("step: minutes are kept for 31 days; ask for hour or day", param="step")
    query = UsageQuery(
        since=_kept(since, now),
        until=until.astimezone(UTC),
        step=step,
        by=_by(call.query.get("by", "")),
        latencies=_flag(call, "latencies"),
    )
    given = {name: call.query[word] for name in DIMENSIONS if (word := spend.parameter(name)) in call.query}
    query = replace(query, **{**given, "organisation": call.organisation()})
    if call.reach != "own objects":
        return query
    if query.key not in {None, call.actor.id}:
        raise NotFound(f"there is no key {(query.key or '')[:64]!r}")
    return replace(query, key=call.actor.id)


def _kept(since: datetime, now: datetime) -> datetime:
    """Return the beginning of the finest stretch that is still kept there."""
    since = since.astimezone(UTC).replace(second=0, microsecond=0)
    if since < now - HOURS_KEPT + timedelta(hours=1):
        return since.replace(hour=0, minute=0)
    return since.replace(minute=0) if since < now - MINUTES_KEPT + timedelta(hours=1) else since


def _by(text: str) -> tuple[Dimension, ...]:
    found: list[Dimension] = []
    for name in filter(None, text.split(",")):
        known = next((each for each in DIMENSIONS if each == name), None)
        if known is None or known in found:
            raise InvalidRequest(f"by: expected some of {', '.join(DIMENSIONS)}, each once", param="by")
        found.append(known)
    if len(found) > MOST_GROUPS:
        raise InvalidRequest(f"by: at most {MOST_GROUPS} of them", param="by")
    return tuple(found)


def _rank(call: Call) -> Rank:
    found = next((each for each in _RANKS if each == call.query.get("rank", "cost")), None)
    if found is None:
        raise InvalidRequest(f"rank: expected one of {', '.join(_RANKS)}", param="rank")
    return found


def _flag(call: Call, name: str) -> bool:
    if (text := call.query.get(name, "true")) not in {"true", "false"}:
        raise InvalidRequest(f"{name}: expected true or false", param=name)
    return text == "true"


def rows_of(query: UsageQuery, found: Sequence[Used]) -> list[Json]:
    """Return usage as rows: the group, the time where asked for, and the numbers."""
    return [_row(query, each) for each in found]


def _row(query: UsageQuery, of: Used) -> dict[str, Json]:
    strong, routed = of.strong_nusd, of.routed_nusd
    row: dict[str, Json] = {} if of.at is None else {"at": spend.written(of.at)}
    row |= {name: value or None for name, value in zip(query.by, of.group, strict=True)}
    row |= {
        "requests": of.n,
        "failed": of.n_failed,
        "unpriced": of.n_unpriced,
        "cost_usd": usd(of.cost_nusd),
        "always_strong_usd": None if strong is None else usd(strong),
        "saved_usd": None if strong is None or routed is None else usd(strong - routed),
        "input_tokens": of.n_input,
        "output_tokens": of.n_output,
        "cached_tokens": of.n_cached,
        "cache_hits": of.n_hits,
        "guard_hits": of.n_guarded,
        "mean_s": round(of.total_s / of.n, 6) if of.n else None,
    }
    if query.latencies:
        row |= {"ttft_s": _latency(of.ttft), "total_s": _latency(of.total)}
        row["errors"] = None if of.errors is None else dict(of.errors)
    return row


def _latency(of: Latency | None) -> Json:
    tree: Json = msgspec.to_builtins(of)
    return tree


_RANGE: Final = ("since", "until", "by", "latencies", *map(spend.parameter, DIMENSIONS))
ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/usage/series",
        serve=_series,
        summary="Requests, money, savings, tokens, failures and latencies over time",
        query=(*_RANGE, "step", "top", "rank"),
    ),
    Endpoint(
        method="GET",
        path="/usage/totals",
        serve=_totals,
        summary="The same over a whole range, by group",
        query=_RANGE,
    ),
    Endpoint(
        method="GET",
        path="/usage/top",
        serve=_top,
        summary="The groups with most cost, requests, errors or tokens in a range",
        query=(*_RANGE, "rank", "limit"),
    ),
)
