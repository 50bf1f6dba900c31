"""Who there is: organisations, projects, teams, customers, keys, and what an administrator did. Floor 0.

These are the documents behind the admin API, kept by a desk (`stores.desk`). What a request needs of them is
a `Principal`, made once from a key's document and held in memory.
"""

from datetime import datetime
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from turnout.types.json import Json
from turnout.types.principal import RoleName

Kind = Literal[
    "organisation",
    "project",
    "team",
    "customer",
    "key",
    "user",
    "budget",
    "quota",
    "credential",
    "price",
    "config",
    "session",
    "token",
    "pepper",
    "notice",
    "alerts",
    "erasure",
]
"""What a desk keeps documents of."""
Passing = Literal["session", "alerts", "erasure"]
"""Kinds that come and go without an act: nothing is written when one is used, or ends by itself."""
Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
KEY_PREFIX: Final = "tn_"
TOKEN_PREFIX: Final = "tnp_"  # noqa: S105  how one begins
"""Of a personal token, so that people and scanners tell it from a key."""
UserRole = Literal["none", "viewer", "operator", "admin", "owner"]
"""What a person may be; `none` = known, and let in nowhere."""


class Organisation(Struct, frozen=True, kw_only=True):
    """The outermost owner: nothing is visible across organisations."""

    id: Id
    name: str = ""
    retention_days: Annotated[int, Meta(ge=0, le=36_500)] | None = None
    """How long Records are kept; None = as the installation says."""
    content_days: Annotated[int, Meta(ge=0, le=36_500)] | None = None
    """How long stored text is kept; None likewise."""
    disabled: bool = False


class Project(Struct, frozen=True, kw_only=True):
    """Something an organisation builds, with its own retention."""

    id: Id
    organisation: Id
    name: str = ""
    retention_days: Annotated[int, Meta(ge=0, le=36_500)] | None = None
    """How long Records are kept; None = as the organisation says."""
    content_days: Annotated[int, Meta(ge=0, le=36_500)] | None = None
    """How long stored text is kept; None likewise."""
    content: bool = False
    """Whether text may be stored for it at all."""
    disabled: bool = False


class Team(Struct, frozen=True, kw_only=True):
    """People who share budgets."""

    id: Id
    organisation: Id
    name: str = ""
    disabled: bool = False


class Customer(Struct, frozen=True, kw_only=True):
    """An end customer of an organisation."""

    id: Id
    organisation: Id
    name: str = ""
    disabled: bool = False


class Key(Struct, frozen=True, kw_only=True):
    """A Turnout key. The key itself is shown once and never kept."""

    id: Id
    organisation: Id | None = None
    """None = of the installation: an owner's, or where there are no organisations."""
    name: str = ""
    digest: str
    """HMAC-SHA-256 of the key under the pepper `pepper_id`, in hex. Never shown; "" = revoked for good."""
    pepper_id: str
    prefix: str
    """First characters, for people to recognise it by."""
    last_four: str
    role: RoleName = "call"
    project: Id | None = None
    team: Id | None = None
    customer: Id | None = None
    names_customers: bool = False
    tags: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    """Globs over model and provider names; empty = all."""
    routes: tuple[str, ...] = ()
    """Names of routes; empty = all."""
    endpoints: tuple[str, ...] = ()
    """Closed words: chat, embeddings, responses, …; empty = all."""
    networks: tuple[str, ...] = ()
    """Address ranges it may be used from; empty = anywhere."""
    default_route: str | None = None
    created: datetime
    expires: datetime | None = None
    disabled: bool = False
    replaced_by: Id | None = None
    """The key that a rotation made; this one works until `expires`."""


class User(Struct, frozen=True, kw_only=True):
    """Somebody who administers: signs in, or holds personal tokens."""

    id: Id
    organisation: Id | None = None
    """None = the whole installation."""
    role: UserRole = "none"
    email: Annotated[str, Meta(max_length=254)] = ""
    """In lower case; an invitation is found by it, once, if the provider vouches for it."""
    name: Annotated[str, Meta(max_length=128)] = ""
    issuer: str = ""
    """Who vouches for the person; "" = nobody yet: an invitation."""
    subject: str = ""
    """What the issuer calls them: the only thing that identifies them from then on."""
    source: Literal["hand", "claims"] = "hand"
    """`claims` = role and organisation follow what the provider says, at each sign-in."""
    generation: int = 1
    """Sessions hold that of their beginning, and end when it grows: role changed, disabled, signed out."""
    created: datetime
    last_login: datetime | None = None
    disabled: bool = False


class Token(Struct, frozen=True, kw_only=True):
    """A personal token: its holder administers with it, and calls nothing. Shown once and never kept."""

    id: Id
    organisation: Id | None = None
    """The user's when it was made."""
    user: Id
    name: Annotated[str, Meta(max_length=128)] = ""
    role: UserRole
    """At most that of the user: what counts is the lower of the two."""
    digest: str
    """As of a key; "" = revoked for good."""
    pepper_id: str
    prefix: str
    last_four: str
    created: datetime
    expires: datetime


class Session(Struct, frozen=True, kw_only=True):
    """A browser that is signed in. Its document's id is the SHA-256 of the cookie."""

    user: Id | None = None
    """Who signed in through a provider; None = with a key or a token."""
    key: Id | None = None
    """The key or the personal token that was shown."""
    generation: int = 0
    """Of the user; 0 = of a key."""
    created: datetime
    seen: datetime
    """When it was used last, within a minute or so."""
    expires: datetime
    """When it ends, however often it is used."""


class Act(Struct, frozen=True, kw_only=True):
    """What somebody did or tried, before it has a place in the audit log."""

    at: datetime
    actor: str
    """Id of a key or a user; `cli` for the command line on the machine itself."""
    role: RoleName
    address: str = ""
    action: str
    """Closed word: `key.create`, `config.apply`, `login.failed`, …"""
    object: str = ""
    """`kind/id`."""
    organisation: str | None = None
    before: str | None = None
    """SHA-256 of the document before; None = there was none."""
    after: str | None = None
    reason: str = ""
    result: Literal["done", "denied", "failed"] = "done"
    facts: dict[str, Json] = {}
    """Closed set of harmless facts by action; never a secret, never content."""


class AuditEntry(Struct, frozen=True, kw_only=True):
    """An act with its place in the chain of its organisation."""

    seq: int
    """From 1, without gaps."""
    act: Act
    previous: str
    """Hash of the entry before; 64 zeros for the first."""
    hash: str
    """SHA-256 over the canonical JSON of seq, act and previous, in hex."""
