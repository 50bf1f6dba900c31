"""Endpoints of providers' stored credentials: written, never read back. Floor 6.

They serve every organisation, so they are for keys of no organisation.
"""

from typing import Annotated, Final

from msgspec import Meta, Struct

from turnout.codecs.strict import convert
from turnout.errors import ConfigError, InvalidRequest
from turnout.govern import records, vault
from turnout.server.admin.call import MOST_LISTED, Call, Endpoint, Given, page
from turnout.server.admin.documents import given
from turnout.types.secret import Secret


class NewCredential(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key of a provider."""

    provider: Annotated[str, Meta(min_length=1, max_length=64)]
    """Name of a provider of the configuration."""
    secret: Annotated[str, Meta(min_length=1, max_length=8192)]
    """Kept encrypted, and shown by nothing."""
    name: Annotated[str, Meta(max_length=128)] = ""


class ChangeCredential(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether it is used. Another secret is another credential: add it, then disable this one."""

    disabled: bool


class Credential(Struct, kw_only=True):
    """What is shown of a credential."""

    object: str
    id: str
    provider: str
    name: str = ""
    last_four: str = ""
    created: str
    disabled: bool = False
    version: int


async def _list(call: Call) -> Given:
    limit = call.number("limit", 100, MOST_LISTED - 1)
    found = await records.listing(
        call.office, call.actor, "credential", after=call.text("after") or "", limit=limit + 1
    )
    return page([records.view(each) for each in found], limit, lambda at: found[at].id)


async def _create(call: Call) -> Given:
    new = convert(call.fields, NewCredential)
    desk = call.built.config.desk
    if desk is None or desk.master_key is None:
        raise InvalidRequest("credentials are stored under desk.master_key, which is not configured here")
    if new.provider not in {each.vendor.name for each in call.built.engine.snapshot.deployments.values()}:
        raise InvalidRequest(f"provider: nothing is served by {new.provider!r}", param="provider")
    try:
        masters = vault.masters_of(desk)
    except ConfigError as error:
        raise InvalidRequest("; ".join(error.problems)) from None
    made = await vault.store(
        call.office, call.actor, masters, new.provider, Secret(new.secret), name=new.name
    )
    return given(made, 201)


async def _read(call: Call) -> Given:
    return given(await records.show(call.office, call.actor, "credential", call.id))


async def _change(call: Call) -> Given:
    changed = await records.change(
        call.office, call.actor, "credential", call.id, call.fields, version=call.seen
    )
    return given(changed)


async def _remove(call: Call) -> Given:
    await records.remove(call.office, call.actor, "credential", call.id, version=call.seen)
    return Given(body={"object": "credential.removed", "id": call.id})


_ONE: Final = "/credentials/{id}"
ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/credentials",
        serve=_list,
        summary="Stored keys of providers, by their last four characters",
        gives=Credential,
        many=True,
        query=("limit", "after"),
    ),
    Endpoint(
        method="POST",
        path="/credentials",
        serve=_create,
        summary="Store a key of a provider, encrypted",
        takes=NewCredential,
        gives=Credential,
    ),
    Endpoint(method="GET", path=_ONE, serve=_read, summary="Show a credential, without it", gives=Credential),
    Endpoint(
        method="PATCH",
        path=_ONE,
        serve=_change,
        summary="Disable a credential, or use it again",
        takes=ChangeCredential,
        gives=Credential,
    ),
    Endpoint(method="DELETE", path=_ONE, serve=_remove, summary="Remove a credential for good"),
)
