"""Personal tokens: what people administer with where there is no browser. Floor 5.

A token may at most what its holder may at the moment, in the holder's organisation, and ends by itself. Its
text exists in the answer to whoever made it, and nowhere else (S-62).
"""

from datetime import timedelta
from typing import Final

import msgspec

from turnout.errors import Conflict, Forbidden, InvalidRequest, NotFound
from turnout.govern.office import Office, encode
from turnout.govern.records import new_id, read_body
from turnout.govern.rules import GRANTS, MAKES, RANKS, Actor, lower, not_yours
from turnout.govern.token import N_RANDOM, make_key, shown_prefix
from turnout.govern.users import read_user
from turnout.stores.desk.base import Change, Document
from turnout.types.account import TOKEN_PREFIX, Token, User
from turnout.types.json import JsonObject
from turnout.types.secret import Secret

LIFE_S: Final = 30 * 86_400.0
"""Of a token whose end is not given."""
LONGEST_S: Final = 366 * 86_400.0
_N_LAST: Final = 4
_PAGE: Final = 500
_ELSE: Final = frozenset(("admin", "owner"))
"""Roles that see and end other people's tokens."""


async def issue(
    office: Office, actor: Actor, fields: JsonObject, *, user: str | None = None
) -> tuple[Secret, Document]:
    """Make a token; return its text, for this once, and its document.

    Args:
        office: Where.
        actor: Who: somebody signed in, for themselves.
        fields: Name, role and end.
        user: Whose; only the command line on the machine makes one for others.

    Raises:
        Conflict: The actor is nobody who could have one.
        Forbidden: It would be above the holder's role, or the actor themselves uses a token.
    """
    action = "token.create"
    await office.may_write(actor, "token", action)
    if extra := set(fields) - MAKES["token"]:
        await office.deny(actor, action, "token/", not_yours("token", extra, MAKES["token"]))
    if actor.user is not None and actor.via != "session":
        await office.deny(actor, action, "token/", "a token makes no token; sign in")
    holder = await _holder(office, actor, user)
    now = office.now()
    defaults: JsonObject = {"role": holder.role, "expires": (now + timedelta(seconds=LIFE_S)).isoformat()}
    text = make_key(office.random(N_RANDOM), TOKEN_PREFIX)
    pepper = office.peppers.newest
    made: JsonObject = {
        "id": new_id(office, "token"),
        "organisation": holder.organisation,
        "user": holder.id,
        "digest": pepper.digest(text).hex(),
        "pepper_id": pepper.id,
        "prefix": shown_prefix(text),
        "last_four": text[-_N_LAST:],
        "created": now.isoformat(),
    }
    token = read_body("token", {**defaults, **fields, **made})
    assert isinstance(token, Token)
    if token.expires.tzinfo is None or not now < token.expires <= now + timedelta(seconds=LONGEST_S):
        raise InvalidRequest("expires: expected an instant with its zone, within a year", param="expires")
    if RANKS.index(token.role) > RANKS.index(lower(holder.role, actor.role)):
        await office.deny(actor, action, "token/", "nobody grants a role above their own")
    document = Document(kind="token", id=token.id, organisation=token.organisation, body=encode(token))
    act = office.act(actor, action, document, facts={"user": holder.id, "role": token.role})
    (written,) = await office.write([Change(document=document)], act)
    return Secret(text), written


async def revoke(office: Office, actor: Actor, name: str, *, version: int | None = None) -> Document:
    """End a token for good: its digest is forgotten, its document stays. Doing it twice is as once."""
    action = "token.revoke"
    await office.may_write(actor, "token", action, name)
    old = await show(office, actor, name, action)
    token = read_token(old)
    if not token.digest:
        return old
    if token.user != actor.user and token.role not in GRANTS.get(actor.role, frozenset()):
        await office.deny(actor, action, f"token/{name}", "that token has a role above yours")
    seen = old.version if version is None else version
    new = msgspec.structs.replace(old, body=encode(msgspec.structs.replace(token, digest="")), version=seen)
    (written,) = await office.write([Change(document=new)], office.act(actor, action, new, old), version)
    return written


async def show(office: Office, actor: Actor, name: str, action: str = "token.read") -> Document:
    """Return a token's document. Raises `NotFound` also for somebody else's that the actor may not see."""
    await office.may_read(actor, "token")
    document = await office.load(actor, "token", name, action)
    if not sees(actor, read_token(document)):
        raise NotFound(f"there is no token {name[:64]!r}")
    return document


async def listing(
    office: Office, actor: Actor, *, user: str | None = None, after: str = "", limit: int = 100
) -> tuple[Document, ...]:
    """Return tokens in the order of their ids: one's own; for who may administer people, theirs too."""
    await office.may_read(actor, "token")
    found: list[Document] = []
    while rows := await office.desk.list("token", organisation=actor.organisation, after=after, limit=_PAGE):
        for row in rows:
            token = read_token(row)
            if sees(actor, token) and user in (None, token.user):
                found.append(row)
                if len(found) == limit:
                    return tuple(found)
        after = rows[-1].id
    return tuple(found)


def read_token(document: Document) -> Token:
    """Return a token's document as a token."""
    return msgspec.json.decode(document.body, type=Token)


def sees(actor: Actor, token: Token) -> bool:
    """Tell whether a token is the actor's own, or of somebody whom the actor may administer."""
    return actor.role in _ELSE or (actor.user is not None and token.user == actor.user)


async def _holder(office: Office, actor: Actor, user: str | None) -> User:
    name = actor.user if user is None else user
    if name is None:
        raise Conflict("only somebody who signed in has personal tokens; this is a key: issue another key")
    if user is not None and actor.id != "cli":
        raise Forbidden("a personal token is made by the person themselves")
    document = await office.desk.get("user", name)
    if document is None:
        raise NotFound(f"there is no user {name[:64]!r}")
    holder = read_user(document)
    if holder.disabled or holder.role == "none":
        raise Conflict(f"{name} is disabled, or has no role")
    return holder
