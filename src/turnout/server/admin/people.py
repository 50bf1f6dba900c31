"""Endpoints of people, their personal tokens, and of what ends soon. Floor 6."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from turnout.codecs.strict import convert
from turnout.govern import ending, records, tokens, users
from turnout.server.admin import shapes
from turnout.server.admin.call import MOST_LISTED, Call, Endpoint, Given, page
from turnout.server.admin.documents import given, lists, reads, shown
from turnout.types.account import Id
from turnout.types.json import Json

_DAYS: Final = 14
_MOST_DAYS: Final = 366


class Ending(Struct, kw_only=True):
    """A key or a personal token that works today and ends soon."""

    object: str
    id: Id
    organisation: str | None = None
    name: str = ""
    prefix: str
    last_four: str
    expires: datetime


async def _invite(call: Call) -> Given:
    return given(await users.invite(call.office, call.actor, call.fields), 201)


async def _change(call: Call) -> Given:
    return given(await users.change(call.office, call.actor, call.id, call.fields, version=call.seen))


async def _set_role(call: Call) -> Given:
    to = convert(call.fields, users.Standing)
    return given(await users.set_role(call.office, call.actor, call.id, to, version=call.seen))


async def _sign_out(call: Call) -> Given:
    return given(await users.sign_out(call.office, call.actor, call.id))


async def _remove(call: Call) -> Given:
    await users.remove(call.office, call.actor, call.id, version=call.seen)
    return Given(body={"object": "user.removed", "id": call.id})


async def _tokens(call: Call) -> Given:
    limit = call.number("limit", 100, MOST_LISTED - 1)
    after = call.text("after") or ""
    found = await tokens.listing(
        call.office, call.actor, user=call.text("user"), after=after, limit=limit + 1
    )
    return page([records.view(each) for each in found], limit, lambda at: found[at].id)


async def _issue(call: Call) -> Given:
    return shown(*await tokens.issue(call.office, call.actor, call.fields), 201)


async def _token(call: Call) -> Given:
    return given(await tokens.show(call.office, call.actor, call.id))


async def _revoke(call: Call) -> Given:
    return given(await tokens.revoke(call.office, call.actor, call.id, version=call.seen))


async def _expiring(call: Call) -> Given:
    days = call.number("days", _DAYS, _MOST_DAYS)
    found: Sequence[ending.Ends] = await ending.soon(call.office, call.actor, days * 86_400.0)
    rows: list[Json] = [
        {
            "object": each.kind,
            "id": each.id,
            "organisation": each.organisation,
            "name": each.name,
            "prefix": each.prefix,
            "last_four": each.last_four,
            "expires": each.expires.isoformat(),
        }
        for each in found
    ]
    return Given(body={"object": "list", "data": rows, "has_more": False, "next": None})


_USER: Final = shapes.view_of("user")
_TOKEN: Final = shapes.view_of("token")
_PAGE: Final = ("organisation", "limit", "after")
ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/expiring",
        serve=_expiring,
        summary="Keys and personal tokens that end soon, soonest first",
        gives=Ending,
        many=True,
        query=("days",),
    ),
    Endpoint(
        method="GET",
        path="/users",
        serve=lists("user"),
        summary="List people, in the order of their ids",
        gives=_USER,
        many=True,
        query=_PAGE,
    ),
    Endpoint(
        method="POST",
        path="/users",
        serve=_invite,
        summary="Invite somebody: they have this role from their first sign-in on",
        takes=shapes.new_of("user"),
        gives=_USER,
    ),
    Endpoint(method="GET", path="/users/{id}", serve=reads("user"), summary="Show somebody", gives=_USER),
    Endpoint(
        method="PATCH",
        path="/users/{id}",
        serve=_change,
        summary="Change name or address, or disable somebody: their sessions and tokens end",
        takes=shapes.change_of("user"),
        gives=_USER,
    ),
    Endpoint(
        method="DELETE",
        path="/users/{id}",
        serve=_remove,
        summary="Forget somebody, with their tokens; what they did stays on record",
    ),
    Endpoint(
        method="POST",
        path="/users/{id}/role",
        serve=_set_role,
        summary="Give somebody another role, or another organisation; their sessions end",
        takes=users.Standing,
        gives=_USER,
    ),
    Endpoint(
        method="POST",
        path="/users/{id}/sign-out",
        serve=_sign_out,
        summary="End all sessions of somebody",
        gives=_USER,
    ),
    Endpoint(
        method="GET",
        path="/tokens",
        serve=_tokens,
        summary="List one's own personal tokens; with the role admin or owner, those of others too",
        gives=_TOKEN,
        many=True,
        query=("user", "limit", "after"),
    ),
    Endpoint(
        method="POST",
        path="/tokens",
        serve=_issue,
        summary="Make oneself a personal token; its text is shown this once",
        takes=shapes.new_of("token"),
        gives=shapes.Shown,
    ),
    Endpoint(method="GET", path="/tokens/{id}", serve=_token, summary="Show a personal token", gives=_TOKEN),
    Endpoint(
        method="POST",
        path="/tokens/{id}/revoke",
        serve=_revoke,
        summary="End a personal token for good",
        gives=_TOKEN,
    ),
)
