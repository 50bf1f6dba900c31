"""Who asks. Floor 0."""

from typing import Literal

from msgspec import Struct

RoleName = Literal["none", "call", "viewer", "operator", "admin", "owner", "scrape"]


class Principal(Struct, frozen=True, kw_only=True):
    """The authenticated caller of one request."""

    role: RoleName = "call"
    key_id: str | None = None
    """Id of the Turnout key; never the key."""
    organisation: str | None = None
    project: str | None = None
    team: str | None = None
    allow: tuple[str, ...] = ()
    """Globs over model and provider names; empty = all."""
    default_route: str | None = None


ANONYMOUS = Principal()
"""The caller of a gateway that runs without keys on loopback, and of the SDK."""
