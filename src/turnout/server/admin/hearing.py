"""Endpoints of feedback and judged quality. Floor 6."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from turnout.codecs.strict import convert
from turnout.errors import InvalidRequest, NotFound
from turnout.learn.feedback import wilson
from turnout.server.admin.audit import noted
from turnout.server.admin.call import MOST_LISTED, Call, Endpoint, Given, page
from turnout.server.hearing import Heard, Said, Speaker, hear
from turnout.stores.feedback import FeedbackQuery, FeedbackStore, Place
from turnout.types.feedback import Signal
from turnout.types.json import Json


class OperatorSaid(Struct, kw_only=True, forbid_unknown_fields=True):
    """A word of an operator on an answer."""

    request_id: Annotated[str, Meta(min_length=1, max_length=256)]
    kind: Signal
    value: Json = None
    scale: tuple[float, float] | None = None
    comment: Annotated[str, Meta(max_length=16_384)] | None = None


def _store(call: Call) -> FeedbackStore:
    store = call.built.quality.store
    if store is None:
        raise NotFound("no journal is kept here; set journal.enabled: true")
    return store


async def _list(call: Call) -> Given:
    limit, text = call.number("limit", 100, MOST_LISTED), call.text("after")
    try:
        after = None if text is None else Place.parse(text)
    except ValueError:
        raise InvalidRequest("after: expected `next` of the page before", param="after") from None
    query = FeedbackQuery(
        since=call.instant("since"),
        until=call.instant("until"),
        request_id=call.text("request_id"),
        route=call.text("route"),
        kind=call.text("kind"),
        organisation=call.organisation(),
        after=after,
        limit=limit + 1,
    )
    found = await _store(call).query(query)
    rows: list[Json] = []
    for told in found:
        tree = msgspec.to_builtins(told.feedback)
        # Text is for who gives a reason, at the request's own content.
        rows.append({"object": "feedback", **tree, "text": None, "has_text": told.feedback.text is not None})
    return page(rows, limit, lambda at: str(found[at].place))


async def _say(call: Call) -> Given:
    said = convert(call.fields, OperatorSaid)
    actor = call.actor
    speaker = Speaker(name="operator", key_id=actor.id, organisation=actor.organisation, sees_all=True)
    word = Said(
        signal=said.kind, value=said.value, request_id=said.request_id, scale=said.scale, comment=said.comment
    )
    heard = await hear(call.built, word, speaker)
    if call.has_office:
        await noted(call, f"request/{heard.request_id}", {"kind": said.kind, "score": heard.score})
    return Given(body=msgspec.to_builtins(heard), status=201)


async def _quality(call: Call) -> Given:
    route = call.text("route")
    if route is None:
        raise InvalidRequest("route: name the route whose answers were judged", param="route")
    since, until = call.instant("since"), call.instant("until")
    rows: list[Json] = []
    for day in await _store(call).quality(route, since, until, call.organisation()):
        found = wilson(day.total, day.weight, day.weight_squared, day.squares)
        if found is not None:
            told: dict[str, Json] = msgspec.to_builtins(found)
            rows.append({"at": day.at.isoformat().replace("+00:00", "Z"), **told, "n": day.n})
    return Given(body={"object": "list", "data": rows, "has_more": False, "next": None})


ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/feedback",
        serve=_list,
        summary="What was said of answers, newest first, without any text",
        query=("request_id", "route", "kind", "organisation", "since", "until", "limit", "after"),
    ),
    Endpoint(
        method="POST",
        path="/feedback",
        serve=_say,
        summary="Say how an answer was",
        takes=OperatorSaid,
        gives=Heard,
    ),
    Endpoint(
        method="GET",
        path="/quality",
        serve=_quality,
        summary="Judged quality of a route by the day, with 95 % intervals",
        query=("route", "organisation", "since", "until"),
    ),
)
