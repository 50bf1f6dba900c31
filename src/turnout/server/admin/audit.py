"""Endpoints of the audit log, and entries for acts that change no document. Floor 6."""

from collections.abc import AsyncIterator, Mapping
from typing import Final

import msgspec

from turnout.server.admin.call import LINES, Call, Endpoint, Given, page
from turnout.stores.desk.base import NO_HASH, Desk, broken
from turnout.types.account import Act, AuditEntry
from turnout.types.json import Json

PAGE: Final = 1000


async def noted(call: Call, about: str, facts: Mapping[str, Json], reason: str = "") -> None:
    """Put an act on record before it is done: what cannot be recorded does not happen (S-103)."""
    await call.office.desk.note(
        Act(
            at=call.office.now(),
            actor=call.actor.id,
            role=call.actor.role,
            address=call.actor.address,
            action=call.permit.action,
            object=about,
            organisation=call.actor.organisation,
            reason=reason,
            facts=dict(facts),
        )
    )


async def verified(desk: Desk, organisation: str) -> tuple[int, int | None]:
    """Return how many entries a chain has, and the number of the first that is not as it was written."""
    seq, previous = 0, NO_HASH
    while entries := await desk.audit(organisation, after=seq, limit=PAGE):
        at = broken(entries, previous, seq)
        if at is not None:
            return seq, at
        seq, previous = entries[-1].seq, entries[-1].hash
    return seq, None


class Listed(Act, frozen=True, kw_only=True):
    """An act with its number and its hash in the chain; `object` is what was acted on."""

    seq: int
    hash: str


def _shown(entry: AuditEntry) -> Json:
    return {"seq": entry.seq, **msgspec.to_builtins(entry.act), "hash": entry.hash}


async def _list(call: Call) -> Given:
    limit = call.number("limit", 100, PAGE)
    after = call.number("after", 0, 10**9)
    entries = await call.office.desk.audit(call.organisation() or "", after=after, limit=limit + 1)
    return page([_shown(entry) for entry in entries], limit, lambda at: str(entries[at].seq))


async def _verify(call: Call) -> Given:
    chain = call.organisation() or ""
    n, at = await verified(call.office.desk, chain)
    told: dict[str, Json] = {"object": "audit.verification", "chain": chain, "intact": at is None}
    return Given(body={**told, "entries": n, "broken_at": at})


async def _export(call: Call) -> Given:
    chain = call.organisation() or ""
    await noted(call, f"audit/{chain}", {})

    async def pieces() -> AsyncIterator[bytes]:
        after = 0
        while entries := await call.office.desk.audit(chain, after=after, limit=PAGE):
            yield b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries)
            after = entries[-1].seq

    return Given(pieces=pieces(), content_type=LINES, file="audit.jsonl")


_CHAIN: Final = "of one organisation, or (owner, without `organisation`) of the installation"
ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/audit",
        serve=_list,
        summary=f"The audit log {_CHAIN}",
        gives=Listed,
        many=True,
        query=("organisation", "limit", "after"),
    ),
    Endpoint(
        method="GET",
        path="/audit/verify",
        serve=_verify,
        summary="Whether no entry was changed, left out or moved",
        query=("organisation",),
    ),
    Endpoint(
        method="GET",
        path="/exports/audit",
        serve=_export,
        summary="The audit log as JSON lines, as it is hashed",
        query=("organisation",),
    ),
)
