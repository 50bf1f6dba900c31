"""Endpoints of the journal: requests, decisions, and stored text for who gives a reason. Floor 6."""

from collections.abc import AsyncIterator
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from turnout.errors import InvalidRequest, NotFound
from turnout.server.admin.audit import noted
from turnout.server.admin.call import CSV, LINES, MOST_LISTED, Call, Endpoint, Given, journal_of, page
from turnout.server.admin.cells import csv_rows
from turnout.server.admin.spend import written
from turnout.server.views import caller_view
from turnout.stores.base import Cursor, Entry, Journal, Query, columns_of
from turnout.types.json import Json
from turnout.types.principal import Principal
from turnout.types.record import Record
from turnout.types.usage import usd

_FILTERS: Final = (
    "organisation",
    "project",
    "team",
    "customer",
    "key_id",
    "model",
    "provider",
    "route",
    "error",
    "tag",
)
_PAGE: Final = 1000
_COLUMNS: Final = (
    *("request_id", "at", "organisation", "project", "team", "customer", "key", "route", "model", "provider"),
    *("error", "cost_usd", "input_tokens", "output_tokens", "ttft_s", "total_s", "attempts", "fallbacks"),
)
_LEAST_REASON: Final = 8
_MOST_REASON: Final = 500


def _asked(call: Call, limit: int) -> Query:
    """Read the filters, narrowed to what the actor reaches."""
    key = call.text("key_id")
    if call.reach == "own objects":
        if key not in {None, call.actor.id}:
            raise NotFound(f"there is no key {(key or '')[:64]!r}")
        key = call.actor.id
    text = call.text("after")
    try:
        after = None if text is None else Cursor.parse(text)
    except ValueError:
        raise InvalidRequest("after: expected `next` of the page before", param="after") from None
    return Query(
        since=call.instant("since"),
        until=call.instant("until"),
        organisation=call.organisation(),
        project=call.text("project"),
        team=call.text("team"),
        customer=call.text("customer"),
        principal=key,
        model=call.text("model"),
        provider=call.text("provider"),
        route=call.text("route"),
        error=call.text("error"),
        tag=call.text("tag"),
        search=call.text("search"),
        order=_order(call),
        after=after,
        limit=limit,
    )


def _order(call: Call) -> Literal["newest", "oldest", "dearest"]:
    match call.text("order"):
        case None | "newest":
            return "newest"
        case "oldest":
            return "oldest"
        case "dearest":
            return "dearest"
        case _:
            raise InvalidRequest("order: expected newest, oldest or dearest", param="order")


def _row(record: Record) -> dict[str, Json]:
    """Return the facts of a request in one flat row."""
    of = columns_of(record)
    values: tuple[Json, ...] = (
        *(of.request_id, written(record.at), of.organisation, of.project, of.team, of.customer),
        *(of.principal, of.route, of.model, of.provider, of.error),
        None if of.cost_nusd is None else usd(of.cost_nusd),
        *(of.n_input, of.n_output, of.ttft_s, of.total_s, of.n_attempts, of.n_fallbacks),
    )
    return dict(zip(_COLUMNS, values, strict=True))


async def _list(call: Call) -> Given:
    limit = call.number("limit", 100, MOST_LISTED)
    found = await journal_of(call).query(_asked(call, limit + 1))
    rows: list[Json] = [{"object": "request", **_row(entry.record)} for entry in found.entries]
    return page(rows, limit, lambda at: str(found.entries[at].cursor))


async def found_request(call: Call) -> Record:
    """Return the request of the path. Raises `NotFound` also for one out of reach."""
    record = await journal_of(call).get(call.id)
    own = record is not None and (
        record.principal == call.actor.id
        if call.reach == "own objects"
        else call.actor.sees(record.organisation)
    )
    if record is None or not own:
        raise NotFound(f"there is no request {call.id[:64]!r}")
    return record


async def _read(call: Call) -> Given:
    record = replace(await found_request(call), content=None)
    tree: dict[str, Json] = {"object": "request", **_row(record), **msgspec.to_builtins(record)}
    if call.reach == "own objects":
        tree.pop("attempts", None)
        tree["decision"] = _decision_view(call, record)
    return Given(body=tree)


async def _decision(call: Call) -> Given:
    return Given(body=_decision_view(call, await found_request(call)))


def _decision_view(call: Call, record: Record) -> Json:
    if record.decision is None:
        raise NotFound(f"the request {record.request_id} was not decided")
    # Operators see all; a caller sees what `explain` would have told it.
    key = record.principal if call.reach == "own objects" else None
    return caller_view(record.decision, Principal(key_id=key))


async def _content(call: Call) -> Given:
    reason = (call.text("reason") or "").strip()
    if not _LEAST_REASON <= len(reason) <= _MOST_REASON:
        raise InvalidRequest(
            f"reason: say why, in {_LEAST_REASON} to {_MOST_REASON} characters; it is put on record",
            param="reason",
        )
    record = await found_request(call)
    if record.content is None:
        raise NotFound(f"no text of the request {record.request_id} was stored")
    await noted(call, f"request/{record.request_id}", {}, reason)
    tree: Json = msgspec.to_builtins(record.content)
    return Given(body={"object": "request.content", "request_id": record.request_id, "content": tree})


async def _export(call: Call) -> Given:
    form = call.query.get("format", "csv")
    if form not in {"csv", "jsonl"}:
        raise InvalidRequest("format: expected csv or jsonl", param="format")
    query = replace(_asked(call, _PAGE), order="oldest")
    await noted(call, "export", {name: call.query[name] for name in sorted(call.query)})
    kind = CSV if form == "csv" else LINES
    return Given(pieces=_pieces(journal_of(call), query, form), content_type=kind, file=f"requests.{form}")


async def _pieces(journal: Journal, query: Query, form: str) -> AsyncIterator[bytes]:
    if form == "csv":
        yield csv_rows([_COLUMNS])
    while True:
        found = await journal.query(query)
        yield _written(found.entries, form)
        if not found.more:
            return
        query = replace(query, after=found.entries[-1].cursor)


def _written(entries: tuple[Entry, ...], form: str) -> bytes:
    rows = [_row(entry.record) for entry in entries]
    if form == "csv":
        return csv_rows([row[name] for name in _COLUMNS] for row in rows)
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows)


_RANGE: Final = ("since", "until", *_FILTERS)
ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/requests",
        serve=_list,
        summary="Requests, newest first: of a range, of somebody, with words of the metadata, the dearest",
        query=(*_RANGE, "search", "order", "limit", "after"),
    ),
    Endpoint(method="GET", path="/requests/{id}", serve=_read, summary="One request, without any text"),
    Endpoint(
        method="GET",
        path="/requests/{id}/content",
        serve=_content,
        summary="The text of one request, where it was stored; put on record with the reason",
        query=("reason",),
    ),
    Endpoint(
        method="GET", path="/decisions/{id}", serve=_decision, summary="Why a request went where it went"
    ),
    Endpoint(
        method="GET",
        path="/exports/requests",
        serve=_export,
        summary="Requests as a file: CSV or JSON lines, oldest first",
        query=(*_RANGE, "format"),
    ),
)
