"""Endpoints of what is kept at the desk: organisations, keys, limits. Floor 6.

They read the call, ask `govern`, and write what it says: who may do what is decided there once more, so that
the table of paths and the rules of documents must both agree.
"""

from collections.abc import Mapping
from typing import Final

from turnout.codecs.strict import convert
from turnout.govern import keys, records
from turnout.server.admin import shapes
from turnout.server.admin.call import MOST_LISTED, Call, Endpoint, Given, Serve, page
from turnout.stores.desk.base import Document
from turnout.types.account import Kind
from turnout.types.json import Json
from turnout.types.secret import Secret

KINDS: Final[Mapping[str, Kind]] = {
    "organisations": "organisation",
    "projects": "project",
    "teams": "team",
    "customers": "customer",
    "budgets": "budget",
    "quotas": "quota",
}
_PAGE: Final = ("organisation", "limit", "after")


def given(document: Document, status: int = 200) -> Given:
    """Answer a document."""
    return Given(body=records.view(document), status=status, version=document.version)


def lists(kind: Kind) -> Serve:
    """Return what lists a kind."""

    async def serve(call: Call) -> Given:
        limit = call.number("limit", 100, MOST_LISTED - 1)
        organisation = call.organisation()
        after = call.text("after") or ""
        if kind == "organisation":
            return await _organisations(call, organisation, after, limit)
        found = await records.listing(
            call.office, call.actor, kind, organisation=organisation, after=after, limit=limit + 1
        )
        return page([records.view(each) for each in found], limit, lambda at: found[at].id)

    return serve


async def _organisations(call: Call, organisation: str | None, after: str, limit: int) -> Given:
    """List organisations: whoever belongs to one sees that one."""
    if organisation is None:
        found = await records.listing(call.office, call.actor, "organisation", after=after, limit=limit + 1)
        return page([records.view(each) for each in found], limit, lambda at: found[at].id)
    own = await records.show(call.office, call.actor, "organisation", organisation)
    return page([records.view(own)] if own.id > after else [], limit, lambda _: own.id)


def _creates(kind: Kind) -> Serve:
    async def serve(call: Call) -> Given:
        return given(await records.create(call.office, call.actor, kind, call.fields), 201)

    return serve


def reads(kind: Kind) -> Serve:
    """Return what shows one of a kind."""

    async def serve(call: Call) -> Given:
        return given(await records.show(call.office, call.actor, kind, call.id))

    return serve


def _changes(kind: Kind) -> Serve:
    async def serve(call: Call) -> Given:
        changed = await records.change(call.office, call.actor, kind, call.id, call.fields, version=call.seen)
        return given(changed)

    return serve


def _removes(kind: Kind) -> Serve:
    async def serve(call: Call) -> Given:
        await records.remove(call.office, call.actor, kind, call.id, version=call.seen)
        return Given(body={"object": f"{kind}.removed", "id": call.id})

    return serve


async def _issue(call: Call) -> Given:
    return shown(*await keys.issue(call.office, call.actor, call.fields), 201)


async def _rotate(call: Call) -> Given:
    wish = convert(call.fields if call.body else {}, shapes.Rotate)
    return shown(
        *await keys.rotate(call.office, call.actor, call.id, overlap_s=wish.overlap_s, version=call.seen)
    )


async def _revoke(call: Call) -> Given:
    return given(await keys.revoke(call.office, call.actor, call.id, version=call.seen))


def shown(text: Secret, document: Document, status: int = 200) -> Given:
    """Answer what was just made, with its text."""
    tree: dict[str, Json] = {"object": "key.shown", "key": text.reveal(), "document": records.view(document)}
    return Given(body=tree, status=status, version=document.version, once=True)


def _endpoints(name: str, kind: Kind) -> list[Endpoint]:
    view, one = shapes.view_of(kind), f"/{name}/{{id}}"
    word = "an organisation" if kind == "organisation" else f"a {kind}"
    return [
        Endpoint(
            method="GET",
            path=f"/{name}",
            serve=lists(kind),
            summary=f"List {name}, in the order of their ids",
            gives=view,
            many=True,
            query=_PAGE,
        ),
        Endpoint(
            method="POST",
            path=f"/{name}",
            serve=_creates(kind),
            summary=f"Make {word}",
            takes=shapes.new_of(kind),
            gives=view,
        ),
        Endpoint(method="GET", path=one, serve=reads(kind), summary=f"Show {word}", gives=view),
        Endpoint(
            method="PATCH",
            path=one,
            serve=_changes(kind),
            summary=f"Change {word}",
            takes=shapes.change_of(kind),
            gives=view,
        ),
        Endpoint(method="DELETE", path=one, serve=_removes(kind), summary=f"Remove {word}"),
    ]


def _key_endpoints() -> list[Endpoint]:
    view = shapes.view_of("key")
    return [
        Endpoint(
            method="GET",
            path="/keys",
            serve=lists("key"),
            summary="List keys, in the order of their ids",
            gives=view,
            many=True,
            query=_PAGE,
        ),
        Endpoint(
            method="POST",
            path="/keys",
            serve=_issue,
            summary="Issue a key; its text is shown this once",
            takes=shapes.new_of("key"),
            gives=shapes.Shown,
        ),
        Endpoint(method="GET", path="/keys/{id}", serve=reads("key"), summary="Show a key", gives=view),
        Endpoint(
            method="PATCH",
            path="/keys/{id}",
            serve=_changes("key"),
            summary="Change a key, or disable it",
            takes=shapes.change_of("key"),
            gives=view,
        ),
        Endpoint(
            method="POST",
            path="/keys/{id}/rotate",
            serve=_rotate,
            summary="Issue a key in the place of this one, which works for a while longer",
            takes=shapes.Rotate,
            gives=shapes.Shown,
        ),
        Endpoint(
            method="POST", path="/keys/{id}/revoke", serve=_revoke, summary="End a key for good", gives=view
        ),
    ]


ENDPOINTS: Final = (
    *(endpoint for name, kind in KINDS.items() for endpoint in _endpoints(name, kind)),
    *_key_endpoints(),
)
