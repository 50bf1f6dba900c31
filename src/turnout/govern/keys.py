"""Keys issued, rotated and revoked. Floor 5.

The text of a key exists in the answer to whoever asked for it, and nowhere else (S-62).
"""

from datetime import timedelta
from typing import Final

import msgspec

from turnout.errors import Conflict, InvalidRequest
from turnout.govern.office import Office, encode
from turnout.govern.records import check, new_id, owner_named, read_body
from turnout.govern.rules import GRANTS, MAKES, Actor, not_yours
from turnout.govern.token import N_RANDOM, make_key, shown_prefix
from turnout.stores.desk.base import Change, Document
from turnout.types.account import Key
from turnout.types.json import JsonObject
from turnout.types.secret import Secret

OVERLAP_S: Final = 86_400.0
"""For how long both keys work after a rotation (S-111)."""
_LONGEST_OVERLAP_S: Final = 30 * 86_400.0
_N_LAST: Final = 4
_INSTALLATION_ROLES: Final = frozenset(("owner", "scrape"))


async def issue(office: Office, actor: Actor, fields: JsonObject) -> tuple[Secret, Document]:
    """Issue a key; return its text, for this once, and its document.

    Raises:
        Forbidden: The actor may not, or would grant more than they hold.
        InvalidRequest: A field cannot be read, or names what is not there.
    """
    action = "key.create"
    await office.may_write(actor, "key", action)
    extra = set(fields) - MAKES["key"]
    if extra:
        await office.deny(actor, action, "key/", not_yours("key", extra, MAKES["key"]))
    role = fields.get("role", "call")
    if not isinstance(role, str):
        raise InvalidRequest("role: expected a string", param="role")
    if role not in GRANTS.get(actor.role, frozenset()):
        await office.deny(actor, action, "key/", "nobody grants a role above their own")
    if "organisation" not in fields and role not in _INSTALLATION_ROLES:
        fields = {**fields, "organisation": actor.organisation}
    organisation = await owner_named(office, actor, fields, action)
    if role in _INSTALLATION_ROLES and organisation is not None:
        raise InvalidRequest(f"the role {role} is of the whole installation", param="organisation")
    shown, made = _made(office)
    key = read_body("key", {**fields, **made})
    assert isinstance(key, Key)
    if key.expires is not None and key.expires.tzinfo is not None and key.expires <= office.now():
        raise InvalidRequest("expires: is past", param="expires")
    await check(office, actor, key, organisation, action)
    document = _document(key)
    act = office.act(actor, action, document, facts={"role": key.role, "prefix": key.prefix})
    (written,) = await office.write([Change(document=document)], act)
    return shown, written


async def rotate(
    office: Office, actor: Actor, name: str, *, overlap_s: float = OVERLAP_S, version: int | None = None
) -> tuple[Secret, Document]:
    """Issue a key in the place of another one, which works for a while longer.

    Args:
        office: Where.
        actor: Who.
        name: Id of the key to replace.
        overlap_s: For how long the old one still works; 0 = it ends now.
        version: Of the old one, as it was seen.

    Raises:
        Conflict: The key is revoked, or was rotated before.
    """
    action = "key.rotate"
    if not 0 <= overlap_s <= _LONGEST_OVERLAP_S:
        raise InvalidRequest("overlap_s: expected 0 to 2592000 (30 days)", param="overlap_s")
    await office.may_write(actor, "key", action, name)
    old = await office.load(actor, "key", name, action)
    before = read_key(old)
    if not before.digest or before.replaced_by is not None:
        why = "is revoked" if not before.digest else f"was replaced by {before.replaced_by}"
        raise Conflict(f"key {name} {why}; issue a new one")
    if before.expires is not None and before.expires <= office.now():
        raise Conflict(f"key {name} has expired; issue a new one")
    if before.role not in GRANTS[actor.role]:
        await office.deny(actor, action, f"key/{name}", "nobody grants a role above their own")
    shown, made = _made(office)
    after = msgspec.convert({**msgspec.to_builtins(before), **made}, Key)
    await check(office, actor, after, old.organisation, action)
    ends = office.now() + timedelta(seconds=overlap_s)
    ends = ends if before.expires is None else min(ends, before.expires)
    ending = msgspec.structs.replace(before, expires=ends, replaced_by=after.id)
    new = _document(after)
    changed = _again(old, ending, version)
    act = office.act(actor, action, changed, old, {"replaced_by": after.id, "overlap_s": overlap_s})
    written, _ = await office.write([Change(document=new), Change(document=changed)], act, version)
    return shown, written


async def revoke(office: Office, actor: Actor, name: str, *, version: int | None = None) -> Document:
    """End a key for good: its digest is forgotten, its document stays. Doing it twice is as once."""
    action = "key.revoke"
    await office.may_write(actor, "key", action, name)
    old = await office.load(actor, "key", name, action)
    key = read_key(old)
    if not key.digest:
        return old
    if key.role not in GRANTS[actor.role]:
        await office.deny(actor, action, f"key/{name}", "that key has a role above yours")
    new = _again(old, msgspec.structs.replace(key, digest="", disabled=True), version)
    (written,) = await office.write([Change(document=new)], office.act(actor, action, new, old), version)
    return written


def read_key(document: Document) -> Key:
    """Return a key's document as a key."""
    return msgspec.json.decode(document.body, type=Key)


def _made(office: Office) -> tuple[Secret, JsonObject]:
    """Return the text of a new key, and the fields that come of it."""
    text = make_key(office.random(N_RANDOM))
    pepper = office.peppers.newest
    return Secret(text), {
        "id": new_id(office, "key"),
        "digest": pepper.digest(text).hex(),
        "pepper_id": pepper.id,
        "prefix": shown_prefix(text),
        "last_four": text[-_N_LAST:],
        "created": office.now().isoformat(),
    }


def _document(key: Key) -> Document:
    return Document(kind="key", id=key.id, organisation=key.organisation, body=encode(key))


def _again(old: Document, key: Key, version: int | None) -> Document:
    seen = old.version if version is None else version
    return msgspec.structs.replace(old, body=encode(key), version=seen)
