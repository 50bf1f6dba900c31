"""People who administer: invited, let in, changed. Floor 5.

Theory of operation.

1. A person is identified by what one issuer calls them (`issuer`, `subject`) and by nothing else. An
   invitation names an e-mail address; whoever the provider vouches to have it takes the invitation up, once.
2. Whose claims the configuration maps to a role is taken in with that role, and has what the claims say at
   every sign-in (`source: claims`). Whoever is left takes up an invitation and has the role that it gives
   (`hand`): so nobody can be drawn into an organisation by an invitation that they did not need.
3. A session holds the `generation` of its beginning. Whatever must end sessions (another role, disabled,
   signed out everywhere) raises it in the same write, so there is no moment in between (S-08).
4. Nobody makes, changes or ends somebody whose role they could not grant, nor themselves (S-04).
"""

import hashlib
import re
from collections.abc import AsyncIterator
from typing import Final

import msgspec
from msgspec import Struct

from turnout.errors import Conflict, Forbidden, InvalidRequest
from turnout.govern.office import Office, encode
from turnout.govern.records import new_id, owner_named, read_body
from turnout.govern.rules import CHANGES, GRANTS, MAKES, Actor, not_yours
from turnout.stores.desk.base import Change, Document
from turnout.types.account import User, UserRole
from turnout.types.json import Json, JsonObject

_MOST: Final = 500
_N_DERIVED: Final = 20
"""Hexadecimal digits: two first sign-ins of one person at once make one user."""
_ADDRESS: Final = re.compile(r"[^@\s]+@[^@\s]+")
_read: Final = msgspec.json.Decoder(User).decode


class Identity(Struct, frozen=True, kw_only=True):
    """Somebody for whom a provider vouches."""

    issuer: str
    subject: str
    email: str = ""
    """In lower case; "" = the provider does not vouch for one."""
    name: str = ""
    role: UserRole | None = None
    """What the configuration makes of their claims; None = nothing."""
    organisation: str | None = None


class Standing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person is to be, and where."""

    role: UserRole
    organisation: str | None = None
    """None = the whole installation."""


class _Old(Struct, frozen=True):
    """What a user was before a change."""

    document: Document | None = None
    """None = nobody knew them."""
    version: int | None = None
    """The one that the actor named."""


_NEW: Final = _Old()


async def invite(office: Office, actor: Actor, fields: JsonObject) -> Document:
    """Know somebody before they sign in for the first time.

    Raises:
        Forbidden: The actor may not, or would grant more than they hold.
        Conflict: They are known already in this organisation.
    """
    action = "user.create"
    await office.may_write(actor, "user", action)
    await _only(office, actor, fields, MAKES["user"], action)
    if actor.organisation is not None and fields.keys() & {"issuer", "subject"}:
        await office.deny(actor, action, "user/", "user: who an issuer means is for the installation to say")
    if "organisation" not in fields and actor.organisation is not None:
        fields = {**fields, "organisation": actor.organisation}
    organisation = await owner_named(office, actor, fields, action)
    made = {"id": new_id(office, "user"), "created": office.now().isoformat()}
    user = read_body("user", {**fields, **made})
    assert isinstance(user, User)
    user = msgspec.structs.replace(user, email=user.email.strip().lower(), organisation=organisation)
    if not user.email and not (user.issuer and user.subject):
        raise InvalidRequest("email: give one, or issuer and subject", param="email")
    _expect_address(user.email)
    await _grants(office, actor, user.role, organisation, action)
    async for row, other in everybody(office, organisation):
        same = (other.issuer, other.subject) == (user.issuer, user.subject) if user.subject else False
        if row.organisation == organisation and (same or (user.email and other.email == user.email)):
            raise Conflict(f"that is {other.id} already")
    return await _written(office, actor, action, user, facts={"role": user.role})


async def change(
    office: Office, actor: Actor, name: str, fields: JsonObject, *, version: int | None = None
) -> Document:
    """Give somebody another name or address, or disable them, which ends their sessions and tokens."""
    action = "user.update"
    await office.may_write(actor, "user", action, name)
    old = await office.load(actor, "user", name, action)
    await _only(office, actor, fields, CHANGES["user"], action)
    before = read_user(old)
    await _theirs(office, actor, before, action)
    after = read_body("user", {**msgspec.json.decode(old.body), **fields})
    assert isinstance(after, User)
    ends = after.disabled and not before.disabled
    after = msgspec.structs.replace(
        after, email=after.email.strip().lower(), generation=before.generation + ends
    )
    if after.email != before.email:
        _expect_address(after.email)
    facts: dict[str, Json] = {"fields": sorted(fields)}
    return await _written(office, actor, action, after, _Old(old, version), facts)


async def set_role(
    office: Office, actor: Actor, name: str, to: Standing, *, version: int | None = None
) -> Document:
    """Give somebody another role, from now on by hand; their sessions end."""
    action = "user.role"
    await office.may_write(actor, "user", action, name)
    old = await office.load(actor, "user", name, action)
    before = read_user(old)
    await _theirs(office, actor, before, action)
    # Whoever is of one organisation means that one.
    named = to.organisation if to.organisation is not None else actor.organisation
    organisation = await owner_named(office, actor, {"organisation": named}, action)
    await _grants(office, actor, to.role, organisation, action)
    after = msgspec.structs.replace(
        before, role=to.role, organisation=organisation, source="hand", generation=before.generation + 1
    )
    facts: dict[str, Json] = {"role": to.role, "was": before.role}
    return await _written(office, actor, action, after, _Old(old, version), facts)


async def sign_out(office: Office, actor: Actor, name: str) -> Document:
    """End all sessions of somebody; their tokens stay. Everybody may do it to themselves."""
    action = "user.sign_out"
    if actor.user != name:
        await office.may_write(actor, "user", action, name)
    old = await office.load(actor, "user", name, action)
    before = read_user(old)
    if actor.user != name:
        await _theirs(office, actor, before, action)
    after = msgspec.structs.replace(before, generation=before.generation + 1)
    return await _written(office, actor, action, after, _Old(old))


async def remove(office: Office, actor: Actor, name: str, *, version: int | None = None) -> None:
    """Forget somebody, with their tokens. What they did stays on record, under their id."""
    action = "user.remove"
    await office.may_write(actor, "user", action, name)
    old = await office.load(actor, "user", name, action)
    await _theirs(office, actor, read_user(old), action)
    seen = msgspec.structs.replace(old, version=old.version if version is None else version)
    gone = [Change(document=seen, remove=True)]
    after = ""
    while rows := await office.desk.list("token", after=after, limit=_MOST):
        owned = [row for row in rows if msgspec.json.decode(row.body)["user"] == name]
        gone += [Change(document=row, remove=True) for row in owned]
        after = rows[-1].id
    act = msgspec.structs.replace(office.act(actor, action, old, old), after=None)
    await office.write(gone, act, version)


async def signed_in(office: Office, who: Identity, address: str) -> Document:
    """Return the user that an identity is from now on.

    Raises:
        Forbidden: They were not invited and nothing maps them to a role, or they are disabled. On record.
    """
    old = await _known(office, who, address)
    if old is None:
        if who.role is None:
            await _refuse(office, who, address, "nobody invited this person, and no claim gives a role")
        digest = hashlib.sha256(f"{who.issuer}\n{who.subject}".encode()).hexdigest()[:_N_DERIVED]
        before = User(id=f"user_{digest}", created=office.now(), source="claims", generation=0)
    else:
        before = read_user(old)
    if before.disabled:
        await _refuse(office, who, address, f"{before.id} is disabled")
    after = _as_vouched(before, who, office)
    if after.role == "none":
        if old is not None and after != before:  # their claims gave a role once: whatever is open ends
            await _written(office, _self(before, address), "user.role", after, _Old(old))
        await _refuse(office, who, address, f"{before.id} has no role any more")
    if after.organisation is not None and not await is_open(office, after.organisation):
        await _refuse(
            office, who, address, f"the organisation {after.organisation} is not there, or disabled"
        )
    after = msgspec.structs.replace(after, last_login=office.now())
    facts: dict[str, Json] = {"issuer": who.issuer, "role": after.role}
    return await _written(office, _self(after, address), "login", after, _Old(old), facts)


async def is_open(office: Office, organisation: str) -> bool:
    """Tell whether an organisation is there and not disabled."""
    document = await office.desk.get("organisation", organisation)
    return document is not None and not msgspec.json.decode(document.body).get("disabled", False)


async def everybody(office: Office, organisation: str | None = None) -> AsyncIterator[tuple[Document, User]]:
    """Yield everybody there is, or those of one organisation."""
    after = ""
    while rows := await office.desk.list("user", organisation=organisation, after=after, limit=_MOST):
        for row in rows:
            yield row, read_user(row)
        after = rows[-1].id


def read_user(document: Document) -> User:
    """Return a user's document as a user."""
    return _read(document.body)


async def _known(office: Office, who: Identity, address: str) -> Document | None:
    """Return the user an identity was before, or the one invitation that it takes up."""
    invited: list[Document] = []
    async for row, user in everybody(office):
        if (user.issuer, user.subject) == (who.issuer, who.subject):
            return row
        if who.role is None and not user.issuer and who.email and user.email == who.email:
            invited.append(row)
    if len(invited) > 1:
        await _refuse(office, who, address, f"{len(invited)} invitations name {who.email}; one must remain")
    return invited[0] if invited else None


def _as_vouched(before: User, who: Identity, office: Office) -> User:
    after = msgspec.structs.replace(
        before,
        issuer=who.issuer,
        subject=who.subject,
        email=(who.email or before.email)[:254],
        name=(who.name or before.name)[:128],
    )
    if before.source == "hand":
        return after
    role, organisation = who.role or "none", who.organisation if who.role else before.organisation
    moved = (role, organisation) != (before.role, before.organisation)
    return msgspec.structs.replace(
        after, role=role, organisation=organisation, generation=before.generation + moved
    )


def _expect_address(email: str) -> None:
    """Refuse text that nobody can be written to: no provider could vouch for it."""
    if email and not _ADDRESS.fullmatch(email):
        raise InvalidRequest(
            f"email: {email!r} is no e-mail address; expected one such as ada@example.com", param="email"
        )


def _self(user: User, address: str) -> Actor:
    return Actor(id=user.id, role=user.role, organisation=user.organisation, address=address, user=user.id)


async def _refuse(office: Office, who: Identity, address: str, why: str) -> None:
    stranger = Actor(id="stranger", role="none", address=address)
    try:
        await office.deny(stranger, "login", f"subject/{who.subject}", why)
    except Forbidden:
        # Why is for the log: whoever knocks is told only that they are not let in.
        raise Forbidden("you are known to the provider, but not let in here; ask an administrator") from None


async def _theirs(office: Office, actor: Actor, user: User, action: str) -> None:
    """Refuse acts upon oneself, and upon somebody whose role the actor could not grant."""
    if actor.user == user.id:
        raise Conflict("nobody changes their own standing; somebody else has to")
    if user.role != "none" and user.role not in GRANTS.get(actor.role, frozenset()):
        await office.deny(actor, action, f"user/{user.id}", "that person has a role above what you may grant")


async def _grants(
    office: Office, actor: Actor, role: UserRole, organisation: str | None, action: str
) -> None:
    if role != "none" and role not in GRANTS.get(actor.role, frozenset()):
        await office.deny(actor, action, "user/", "nobody grants a role above their own")
    if role == "owner" and organisation is not None:
        raise InvalidRequest("the role owner is of the whole installation", param="organisation")


async def _only(
    office: Office, actor: Actor, fields: JsonObject, allowed: frozenset[str], action: str
) -> None:
    if extra := set(fields) - allowed:
        await office.deny(actor, action, "user/", not_yours("user", extra, allowed))


async def _written(
    office: Office, actor: Actor, action: str, user: User, old: _Old = _NEW, facts: JsonObject | None = None
) -> Document:
    before, version = old.document, old.version
    seen = 0 if before is None else before.version if version is None else version
    new = Document(kind="user", id=user.id, organisation=user.organisation, body=encode(user), version=seen)
    act = office.act(actor, action, new, before, facts or {})
    (written,) = await office.write([Change(document=new)], act, version)
    return written
