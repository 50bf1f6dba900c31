"""Documents made, changed, shown and removed, under the rules of `rules`. Floor 5."""

from collections.abc import Mapping
from typing import Final

import msgspec

from turnout.config.limits import BudgetConfig, QuotaConfig, problems
from turnout.errors import Conflict, InvalidRequest
from turnout.govern.office import Office, encode, owner_of
from turnout.govern.rules import CHANGES, ENDPOINTS, GRANTS, MAKES, Actor, covers, inside, not_yours, within
from turnout.stores.desk.base import Change, Document
from turnout.types.account import Customer, Key, Kind, Organisation, Project, Team, Token, User
from turnout.types.json import Json, JsonObject
from turnout.types.limits import EACH

Body = Organisation | Project | Team | Customer | Key | BudgetConfig | QuotaConfig | User | Token
TYPES: Final[Mapping[Kind, type[Body]]] = {
    "organisation": Organisation,
    "project": Project,
    "team": Team,
    "customer": Customer,
    "key": Key,
    "budget": BudgetConfig,
    "quota": QuotaConfig,
    "user": User,
    "token": Token,
}
"""What the body of a kind's document holds."""
HIDDEN: Final = frozenset(("digest", "pepper_id", "sealed", "generation"))
"""Fields that nobody is shown."""
_OWNED_LEVELS: Final[Mapping[str, Kind]] = {
    "organisation": "organisation",
    "project": "project",
    "team": "team",
    "customer": "customer",
    "key": "key",
}
"""Level of a limit -> kind of its subject, where that belongs to an organisation."""
_CHILDREN: Final[tuple[Kind, ...]] = ("project", "team", "customer", "key", "budget", "quota", "user")
_APART: Final[frozenset[Kind]] = frozenset(("key", "user", "token"))
"""Kinds with rules of their own: `keys`, `users`, `tokens`."""
_MOST: Final = 1000
_PREFIX: Final[Mapping[Kind, str]] = {"budget": "bud", "quota": "quo", "customer": "cus"}


async def create(office: Office, actor: Actor, kind: Kind, fields: JsonObject) -> Document:
    """Make a document of a kind other than `key`; without `id` it gets one.

    Raises:
        Forbidden: The actor may not, or grants more than they hold.
        Conflict: The id is taken.
        InvalidRequest: A field cannot be read, or names what is not there.
    """
    if kind not in TYPES or kind in _APART:
        raise InvalidRequest(f"a {kind} is not made here", param="kind")
    action = f"{kind}.create"
    await office.may_write(actor, kind, action)
    await _only(office, actor, kind, fields, MAKES[kind], action)
    fields = {"id": new_id(office, kind), **fields}
    if kind != "organisation" and "organisation" not in fields:
        fields["organisation"] = actor.organisation
    organisation = await owner_named(office, actor, fields, action)
    if kind in ("budget", "quota"):
        fields = {name: value for name, value in fields.items() if name != "organisation"}
    body = read_body(kind, fields)
    owner = body.id if isinstance(body, Organisation) else organisation
    await check(office, actor, body, owner, action)
    document = Document(kind=kind, id=body.id, organisation=owner, body=encode(body))
    (written,) = await office.write([Change(document=document)], office.act(actor, action, document))
    return written


async def change(
    office: Office, actor: Actor, kind: Kind, name: str, fields: JsonObject, *, version: int | None = None
) -> Document:
    """Give fields of a document other values.

    Raises:
        Forbidden: The actor may not, or a field is not one that is changed.
        NotFound: It is not there for the actor.
        PreconditionFailed: It is no longer at `version`.
        InvalidRequest: A value cannot be read.
    """
    if kind in _APART and kind != "key":
        raise InvalidRequest(f"a {kind} is not changed here", param="kind")
    action = f"{kind}.update"
    await office.may_write(actor, kind, action, name)
    old = await office.load(actor, kind, name, action)
    await _only(office, actor, kind, fields, CHANGES[kind], action)
    tree: JsonObject = {**msgspec.json.decode(old.body), **fields}
    if kind == "credential":
        if not isinstance(fields.get("disabled"), bool):
            raise InvalidRequest("credential: disabled is true or false", code="invalid_field")
        body = encode(tree)
    else:
        body = await _checked(office, actor, read_body(kind, tree), old.organisation, action)
    new = msgspec.structs.replace(old, body=body, version=old.version if version is None else version)
    facts: dict[str, Json] = {"fields": sorted(fields)}
    act = office.act(actor, action, new, old, facts)
    (written,) = await office.write([Change(document=new)], act, version)
    return written


async def remove(office: Office, actor: Actor, kind: Kind, name: str, *, version: int | None = None) -> None:
    """Remove a document that nothing depends on. Keys and what keys name are disabled instead.

    Raises:
        Conflict: Something belongs to it.
    """
    action = f"{kind}.remove"
    await office.may_write(actor, kind, action, name)
    old = await office.load(actor, kind, name, action)
    if kind in _APART:
        raise Conflict(f"a {kind} stays on the books; end it instead")
    await _unused(office, old)
    seen = msgspec.structs.replace(old, version=old.version if version is None else version)
    act = msgspec.structs.replace(office.act(actor, action, old, old), after=None)
    await office.write([Change(document=seen, remove=True)], act, version)


async def show(office: Office, actor: Actor, kind: Kind, name: str) -> Document:
    """Return a document. Raises `Forbidden`, and `NotFound` also for another organisation's."""
    await office.may_read(actor, kind)
    return await office.load(actor, kind, name, f"{kind}.read")


async def listing(
    office: Office,
    actor: Actor,
    kind: Kind,
    *,
    organisation: str | None = None,
    after: str = "",
    limit: int = 100,
) -> tuple[Document, ...]:
    """Return documents in the order of their ids: of one organisation, or of all that the actor sees."""
    await office.may_read(actor, kind)
    if organisation is not None and not actor.sees(organisation):
        return ()
    limit = min(max(limit, 1), _MOST)
    return await office.desk.list(
        kind, organisation=organisation or actor.organisation, after=after, limit=limit
    )


def view(document: Document) -> dict[str, Json]:
    """Return a document as JSON for people: with its version, without digests and secrets."""
    tree: dict[str, Json] = msgspec.json.decode(document.body)
    shown = {name: value for name, value in tree.items() if name not in HIDDEN}
    if document.kind in ("key", "token"):
        shown["revoked"] = not tree.get("digest")
    return {"object": document.kind, **shown, "organisation": owner_of(document), "version": document.version}


def read_body(kind: Kind, fields: JsonObject) -> Body:
    """Return fields as a kind's type. Raises `InvalidRequest` with the path of what is wrong."""
    try:
        return msgspec.convert(fields, TYPES[kind])
    except (msgspec.ValidationError, RecursionError) as error:
        raise InvalidRequest(_told(kind, str(error)), code="invalid_field") from None


def _told(kind: Kind, complaint: str) -> str:
    """Write what msgspec says as the configuration's problems are written: place, then fault."""
    said, _, place = complaint.replace("`", "").partition(" - at $.")
    missing = said.removeprefix("Object missing required field ")
    where = ".".join(filter(None, (kind, place, "" if missing == said else missing)))
    return f"{where}: {said[:1].lower() + said[1:] if missing == said else 'is missing'}"


def new_id(office: Office, kind: Kind) -> str:
    """Return an id that nobody has."""
    return f"{_PREFIX.get(kind, kind)}_{office.random(10).hex()}"


async def owner_named(office: Office, actor: Actor, fields: JsonObject, action: str) -> str | None:
    """Return the organisation that a new document is to belong to; it must be there and be the actor's."""
    named = fields.get("organisation")
    if named is None and actor.organisation is None:
        return None
    if not isinstance(named, str) or not actor.sees(named):
        await office.deny(actor, action, "organisation/", "that is not your organisation")
    if await office.desk.get("organisation", named) is None:
        raise InvalidRequest(f"there is no organisation {named[:64]!r}", param="organisation")
    return named


async def check(office: Office, actor: Actor, body: Body, organisation: str | None, action: str) -> None:
    """Check what a type cannot: that what is named is there, and no more is granted than is held.

    Raises:
        Forbidden: More is granted than the actor holds.
        InvalidRequest: Something named is not there, or not of this organisation.
    """
    if isinstance(body, Key):
        await _check_key(office, actor, body, action)
    elif isinstance(body, BudgetConfig | QuotaConfig):
        await _check_limit(office, actor, body, organisation, action)


async def _checked(office: Office, actor: Actor, body: Body, organisation: str | None, action: str) -> bytes:
    """Return what a document holds from now on, once it may be so."""
    if isinstance(body, Key):
        await _still_theirs(office, actor, body, action)
    await check(office, actor, body, organisation, action)
    return encode(body)


async def _still_theirs(office: Office, actor: Actor, key: Key, action: str) -> None:
    """Refuse a change to a key that ended for good, and to one that the actor could not have issued.

    So nobody widens or prolongs the very key they hold, unless they could make themselves another.
    """
    if not key.digest:
        raise Conflict(f"key {key.id} is revoked; issue a new one")
    if key.role not in GRANTS.get(actor.role, frozenset()):
        await office.deny(actor, action, f"key/{key.id}", "you could not have issued a key of that role")


async def _check_key(office: Office, actor: Actor, key: Key, action: str) -> None:
    owners: tuple[tuple[Kind, str | None], ...] = (
        ("project", key.project),
        ("team", key.team),
        ("customer", key.customer),
    )
    for kind, name in owners:
        if name is not None:
            await _belongs(office, kind, name, key.organisation)
    if unknown := set(key.endpoints) - set(ENDPOINTS):
        raise InvalidRequest(
            f"endpoints: {min(unknown)[:64]!r} is none of {', '.join(ENDPOINTS)}", param="endpoints"
        )
    if key.expires is not None and key.expires.tzinfo is None:
        raise InvalidRequest("expires: give it with its zone, as 2027-01-31T12:00:00Z", param="expires")
    _check_routes(office, [*key.routes, *([key.default_route] if key.default_route else [])])
    if key.default_route is not None and not within(key.routes, [key.default_route]):
        raise InvalidRequest("default_route: is not among routes", param="default_route")
    try:
        from_there = inside(actor.networks, key.networks)
    except ValueError as error:
        raise InvalidRequest(f"networks: {error}", param="networks") from None
    if not (from_there and covers(actor.models, key.models) and within(actor.routes, key.routes)):
        await office.deny(actor, action, f"key/{key.id}", "nobody grants more than they hold")


async def _check_limit(
    office: Office, actor: Actor, body: BudgetConfig | QuotaConfig, organisation: str | None, action: str
) -> None:
    kind = _OWNED_LEVELS.get(body.level)
    whole = kind is None or body.subject == EACH
    if actor.organisation is not None and whole:
        why = f"a limit on {body.level} {body.subject} concerns others too; name a subject of your own"
        await office.deny(actor, action, f"limit/{body.id}", why)
    if organisation is not None and kind is not None and not whole:
        await _belongs(office, kind, body.subject, organisation)
    if isinstance(body, BudgetConfig):
        routes = [each.route for each in body.thresholds if each.route is not None]
        known = frozenset(routes) if office.routes is None else frozenset(office.routes())
        if found := problems((body,), (), known):
            raise InvalidRequest(found[0].partition("].")[2], param="thresholds")


def _check_routes(office: Office, named: list[str]) -> None:
    if office.routes is not None and (unknown := set(named) - set(office.routes())):
        raise InvalidRequest(f"there is no route {min(unknown)[:64]!r}", param="routes")


async def _belongs(office: Office, kind: Kind, name: str, organisation: str | None) -> None:
    found = await office.desk.get(kind, name)
    if found is None or owner_of(found) != organisation:
        raise InvalidRequest(f"there is no {kind} {name[:64]!r} in this organisation", param=kind)


async def _only(
    office: Office, actor: Actor, kind: Kind, fields: JsonObject, allowed: frozenset[str], action: str
) -> None:
    extra = set(fields) - allowed
    if extra:
        await office.deny(actor, action, f"{kind}/", not_yours(kind, extra, allowed))


async def _unused(office: Office, document: Document) -> None:
    """Raise `Conflict` while anything belongs to a document."""
    if document.kind == "organisation":
        for kind in _CHILDREN:
            if await office.desk.list(kind, organisation=document.id, limit=1):
                raise Conflict(f"organisation {document.id} still has a {kind}; disable it instead")
    elif document.kind in ("project", "team", "customer"):
        after = ""
        while rows := await office.desk.list("key", after=after, limit=_MOST):
            for row in rows:
                if getattr(msgspec.json.decode(row.body, type=Key), document.kind) == document.id:
                    raise Conflict(f"{document.kind} {document.id} still has keys; disable it instead")
            after = rows[-1].id
