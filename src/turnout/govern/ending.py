"""Keys and personal tokens that end soon: listed for people, and put on record once. Floor 5."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct

from turnout.govern.holdings import Holdings, read_holdings
from turnout.govern.office import Office, encode
from turnout.govern.rules import Actor
from turnout.govern.tokens import sees
from turnout.stores.desk.base import Change, ConflictError, Document
from turnout.types.account import Key, Kind, Token

WARN_S: Final = 14 * 86_400.0
_GATEWAY: Final = Actor(id="gateway", role="none")


class Ends(Struct, frozen=True, kw_only=True):
    """What ends, and when."""

    kind: Kind
    id: str
    organisation: str | None
    name: str
    prefix: str
    last_four: str
    expires: datetime


def ends_within(holdings: Holdings, now: datetime, seconds: float) -> tuple[Ends, ...]:
    """Return what works now and ends within a time, soonest first."""
    until = now + timedelta(seconds=seconds)
    found = [*_ends("key", holdings.keys, now, until), *_ends("token", holdings.tokens, now, until)]
    return tuple(sorted(found, key=lambda each: (each.expires, each.id)))


def _ends(kind: Kind, held: Iterable[Key | Token], now: datetime, until: datetime) -> Iterable[Ends]:
    for each in held:
        expires = each.expires
        if not each.digest or getattr(each, "disabled", False) or getattr(each, "replaced_by", None):
            continue  # ended, or on its way out on purpose
        if expires is not None and now < expires <= until:
            yield Ends(
                kind=kind,
                id=each.id,
                organisation=each.organisation,
                name=each.name,
                prefix=each.prefix,
                last_four=each.last_four,
                expires=expires,
            )


async def soon(office: Office, actor: Actor, seconds: float) -> tuple[Ends, ...]:
    """Return what of that the actor may see."""
    await office.may_read(actor, "key")
    holdings = await read_holdings(office.desk)
    own = {token.id for token in holdings.tokens if sees(actor, token)}
    return tuple(
        each
        for each in ends_within(holdings, office.now(), seconds)
        if actor.sees(each.organisation) and (each.kind == "key" or each.id in own)
    )


async def warn(office: Office, found: Sequence[Ends]) -> tuple[Ends, ...]:
    """Put on record what ends soon; return what nobody had told before, in any process."""
    told: list[Ends] = []
    for each in found:
        name = f"{each.id}.{each.expires:%Y%m%d%H%M%S}"
        if await office.desk.get("notice", name) is not None:
            continue
        notice = Document(kind="notice", id=name, organisation=each.organisation, body=encode({}))
        act = office.act(
            _GATEWAY, f"{each.kind}.expiring", notice, facts={"expires": each.expires.isoformat()}
        )
        act = msgspec.structs.replace(act, object=f"{each.kind}/{each.id}", after=None)
        with suppress(ConflictError):  # another process was faster
            await office.desk.write([Change(document=notice)], act)
            told.append(each)
    return tuple(told)
