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
]
"""What a desk keeps documents of."""
Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
KEY_PREFIX: Final = "tn_"


class Organisation(Struct, frozen=True, kw_only=True):
    """The outermost owner: nothing is visible across organisations."""

    id: Id
    name: str = ""
    disabled: bool = False


class Project(Struct, frozen=True, kw_only=True):
    """Something an organisation builds, with its own retention."""

    id: Id
    organisation: Id
    name: str = ""
    retention_days: Annotated[int, Meta(ge=0, le=36_500)] | None = None
    """How long Records are kept; None = as the installation says."""
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
