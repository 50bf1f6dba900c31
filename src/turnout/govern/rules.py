"""Who may do what to which documents, as tables. Floor 5.

The tables are SECURITY.md section 6. What is not in them is refused (S-05).
"""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from msgspec import Struct

from turnout.types.account import Kind
from turnout.types.principal import Principal, RoleName

_OWNER: Final[frozenset[RoleName]] = frozenset(("owner",))
_ADMINS: Final[frozenset[RoleName]] = frozenset(("admin", "owner"))
_OPERATORS: Final[frozenset[RoleName]] = frozenset(("operator", "admin", "owner"))
_VIEWERS: Final[frozenset[RoleName]] = frozenset(("viewer", "operator", "admin", "owner"))

READS: Final[Mapping[Kind, frozenset[RoleName]]] = {
    "organisation": _ADMINS,
    "project": _VIEWERS,
    "team": _VIEWERS,
    "customer": _VIEWERS,
    "key": _VIEWERS,
    "budget": _VIEWERS,
    "quota": _VIEWERS,
    "credential": _VIEWERS,
    "user": _VIEWERS,
    "token": _VIEWERS,
}
WRITES: Final[Mapping[Kind, frozenset[RoleName]]] = {
    "organisation": _OWNER,
    "project": _ADMINS,
    "team": _ADMINS,
    "customer": _ADMINS,
    "key": _ADMINS,
    "budget": _ADMINS,
    "quota": _ADMINS,
    "credential": _OPERATORS,
    "user": _ADMINS,
    "token": _VIEWERS,
}
GRANTS: Final[Mapping[RoleName, frozenset[RoleName]]] = {
    "admin": frozenset(("call", "viewer", "operator")),
    "owner": frozenset(("call", "viewer", "operator", "admin", "owner", "scrape")),
}
"""Role -> roles of the keys it may issue, and of the people it may invite. That of a key never changes:
another key is issued; that of a person is changed by an act of its own."""
RANKS: Final[Sequence[RoleName]] = ("none", "call", "scrape", "viewer", "operator", "admin", "owner")
"""Roles by what they may, least first; those between which a person's token can choose are ordered."""

CHANGES: Final[Mapping[Kind, frozenset[str]]] = {
    "organisation": frozenset(("name", "retention_days", "content_days", "disabled")),
    "project": frozenset(("name", "retention_days", "content_days", "content", "disabled")),
    "team": frozenset(("name", "disabled")),
    "customer": frozenset(("name", "disabled")),
    "key": frozenset(
        (
            *("name", "tags", "models", "routes", "endpoints", "networks", "default_route", "expires"),
            *("names_customers", "disabled"),
        )
    ),
    "budget": frozenset(("usd", "per", "zone", "thresholds", "hard")),
    "quota": frozenset(("limit", "per", "zone")),
    "credential": frozenset(("disabled",)),
    "user": frozenset(("name", "email", "disabled")),
    "token": frozenset(),
}
"""Fields that may be written, whoever may write at all. Scope and role are not among them: they are given
when a document is made, and stay."""
MAKES: Final[Mapping[Kind, frozenset[str]]] = {
    "organisation": frozenset(("id",)) | CHANGES["organisation"],
    "project": frozenset(("id", "organisation")) | CHANGES["project"],
    "team": frozenset(("id", "organisation")) | CHANGES["team"],
    "customer": frozenset(("id", "organisation")) | CHANGES["customer"],
    "key": frozenset(("organisation", "role", "project", "team", "customer")) | CHANGES["key"] - {"disabled"},
    "budget": frozenset(("id", "organisation", "level", "subject")) | CHANGES["budget"],
    "quota": frozenset(("id", "organisation", "level", "subject", "of")) | CHANGES["quota"],
    "user": frozenset(("organisation", "role", "email", "name", "issuer", "subject")),
    "token": frozenset(("name", "role", "expires")),
}
"""Fields that may be given when a document is made."""
ENDPOINTS: Final = (
    *("chat", "embeddings", "rerank", "images", "audio", "moderations"),
    *("models", "explain", "recommend", "feedback", "background", "admin"),
)
"""What a key may be limited to. `chat` is every endpoint that asks chat models, in any dialect."""


class Actor(Struct, frozen=True, kw_only=True):
    """Who acts, and what they hold themselves."""

    id: str
    """Of a key or a user; `cli` = the command line on the machine itself."""
    role: RoleName
    organisation: str | None = None
    """None = the whole installation; every role but `owner` of the installation is of one organisation."""
    address: str = ""
    models: tuple[str, ...] = ()
    """Globs; empty = all."""
    routes: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    user: str | None = None
    """The person, where it is one: signed in, or with a personal token."""
    via: str = ""
    """How a person acts: `session`, or the id of the token."""

    def sees(self, organisation: str | None) -> bool:
        """Tell whether what belongs to an organisation (None = to the installation) exists for the actor."""
        return self.organisation is None or self.organisation == organisation


CLI: Final = Actor(id="cli", role="owner")
"""Whoever runs commands on the machine: can read and write the desk's file anyway."""


def actor_of(principal: Principal, address: str = "") -> Actor:
    """Return the holder of an authenticated key, or of a personal token, as an actor."""
    return Actor(
        id=principal.user or principal.key_id or "",
        user=principal.user,
        via="" if principal.user is None else principal.key_id or "",
        role=principal.role,
        organisation=principal.organisation,
        address=address,
        models=principal.allow,
        routes=principal.routes,
        networks=principal.networks,
    )


def lower(one: RoleName, other: RoleName) -> RoleName:
    """Return the role that may less."""
    return min(one, other, key=RANKS.index)


def covers(held: Sequence[str], granted: Sequence[str]) -> bool:
    """Tell whether everything that some globs over models let through, others do too; errs towards no.

    Args:
        held: Globs; empty = all.
        granted: Globs; empty = all.
    """
    return not held or (bool(granted) and all(any(_covered(g, h) for h in held) for g in granted))


def _covered(granted: str, held: str) -> bool:
    """Tell whether one glob lets through only what another does.

    With `*` as the only wildcard of `held`, and no character class in `granted`, a glob that matches as plain
    text does so in every expansion: what stands for it falls to a `*`. A glob without a slash names a
    provider as well, and covers its models.
    """
    if granted == held:
        return True
    if "?" in held or "[" in held or "[" in granted:
        return False
    provider, slash, _ = granted.partition("/")
    return fnmatchcase(granted, held) or (bool(slash) and "*" not in provider and fnmatchcase(provider, held))


def within(held: Sequence[str], granted: Sequence[str]) -> bool:
    """Tell whether some names are among others; empty = all."""
    return not held or (bool(granted) and set(granted) <= set(held))


def inside(held: Sequence[str], granted: Sequence[str]) -> bool:
    """Tell whether some address ranges lie inside others; empty = anywhere. Raises `ValueError`."""
    outer = [ip_network(each) for each in held]
    inner = [ip_network(each) for each in granted]
    return not outer or (bool(inner) and all(any(_lies_in(i, o) for o in outer) for i in inner))


def _lies_in(inner: IPv4Network | IPv6Network, outer: IPv4Network | IPv6Network) -> bool:
    match inner, outer:
        case IPv4Network(), IPv4Network():
            return inner.subnet_of(outer)
        case IPv6Network(), IPv6Network():
            return inner.subnet_of(outer)
        case _:
            return False


def not_yours(kind: Kind, extra: Iterable[str], allowed: Iterable[str]) -> str:
    """Say that fields are not written by whoever asks, and which are."""
    return (
        f"{kind}: the field {min(extra)[:64]!r} is not yours to write; those are {', '.join(sorted(allowed))}"
    )
