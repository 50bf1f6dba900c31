"""Everything a desk keeps that serving needs, read at once. Floor 5."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import msgspec
from msgspec import Struct

from turnout.config.limits import BudgetConfig, QuotaConfig
from turnout.stores.desk.base import Desk, Document
from turnout.types.account import Key, Kind, Token, User
from turnout.types.limits import Budget, Quota

PAGE: Final = 500
"""Documents read between two turns of the event loop: a millisecond or two."""
_OWNERS: Final[tuple[Kind, ...]] = ("organisation", "project", "team", "customer")
_key: Final = msgspec.json.Decoder(Key).decode
_user: Final = msgspec.json.Decoder(User).decode
_token: Final = msgspec.json.Decoder(Token).decode
_budget: Final = msgspec.json.Decoder(BudgetConfig).decode
_quota: Final = msgspec.json.Decoder(QuotaConfig).decode


class _Owner(Struct):
    """What matters here of an organisation, a project, a team or a customer."""

    disabled: bool = False
    content: bool = False


_owner: Final = msgspec.json.Decoder(_Owner).decode


class Holdings(Struct, frozen=True, kw_only=True):
    """A desk at one revision."""

    revision: int
    keys: tuple[Key, ...] = ()
    """All of them, those that ended included."""
    tokens: tuple[Token, ...] = ()
    """All of them, those that ended included."""
    users: tuple[User, ...] = ()
    active: frozenset[tuple[Kind, str]] = frozenset()
    """Organisations, projects, teams and customers that are there and not disabled."""
    disabled: frozenset[tuple[Kind, str]] = frozenset()
    """Those that are there and disabled."""
    texts: frozenset[str] = frozenset()
    """Projects whose text may be stored."""
    budgets: tuple[Budget, ...] = ()
    quotas: tuple[Quota, ...] = ()
    credentials: tuple[Document, ...] = ()
    """Still sealed."""


async def read_holdings(desk: Desk) -> Holdings:
    """Read a desk. Raises `StoreUnavailable`.

    A change that comes while it is read may be in it or not; the revision is that from before, so it is read
    again.
    """
    revision = await desk.revision()
    active: set[tuple[Kind, str]] = set()
    disabled: set[tuple[Kind, str]] = set()
    texts: set[str] = set()
    for kind in _OWNERS:
        async for row in _all(desk, kind):
            owner = _owner(row.body)
            (disabled if owner.disabled else active).add((kind, row.id))
            if kind == "project" and owner.content:
                texts.add(row.id)
    return Holdings(
        revision=revision,
        keys=tuple([_key(row.body) async for row in _all(desk, "key")]),
        tokens=tuple([_token(row.body) async for row in _all(desk, "token")]),
        users=tuple([_user(row.body) async for row in _all(desk, "user")]),
        active=frozenset(active),
        disabled=frozenset(disabled),
        texts=frozenset(texts),
        budgets=tuple([_budget(row.body).budget async for row in _all(desk, "budget")]),
        quotas=tuple([_quota(row.body).quota async for row in _all(desk, "quota")]),
        credentials=tuple([row async for row in _all(desk, "credential")]),
    )


async def _all(desk: Desk, kind: Kind) -> AsyncIterator[Document]:
    after = ""
    while rows := await desk.list(kind, after=after, limit=PAGE):
        for row in rows:
            yield row
        if len(rows) < PAGE:
            return
        after = rows[-1].id
        await asyncio.sleep(0)  # a desk of ten thousand keys must not hold up requests
