"""Who asks. Floor 0."""

from typing import Literal

from msgspec import Struct

RoleName = Literal["none", "call", "viewer", "operator", "admin", "owner", "scrape"]


class Principal(Struct, frozen=True, kw_only=True):
    """The authenticated caller of one request."""

    role: RoleName = "call"
    key_id: str | None = None
    """Id of the Turnout key; never the key."""
    user: str | None = None
    """The person whose personal token it is."""
    organisation: str | None = None
    project: str | None = None
    team: str | None = None
    customer: str | None = None
    """The end customer the key belongs to."""
    names_customers: bool = False
    """Whether the end user named in a request is believed and counted as the customer (S-94)."""
    tags: tuple[str, ...] = ()
    """Of the key; those in a request select no budget."""
    allow: tuple[str, ...] = ()
    """Globs over model and provider names; empty = all."""
    stores_text: bool = True
    """Whether text of its requests may be stored, where a route asks for it: its project says so."""
    default_route: str | None = None
    routes: tuple[str, ...] = ()
    """Names of routes it may use; empty = all."""
    endpoints: tuple[str, ...] = ()
    """Closed words: chat, embeddings, models, …; empty = all."""
    networks: tuple[str, ...] = ()
    """Address ranges it may be used from; empty = anywhere."""


ANONYMOUS = Principal()
"""The caller of a gateway that runs without keys on loopback, and of the SDK."""
