"""The section `admin`: what may be changed through it, and how people get in. Floor 5."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from turnout.config.oidc import OidcConfig


class SessionConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a browser stays signed in (SECURITY.md S-08)."""

    idle_s: Annotated[float, Meta(ge=60, le=86_400)] = 1800
    """After it was used last."""
    absolute_s: Annotated[float, Meta(ge=60, le=604_800)] = 43_200
    """After it signed in."""


class ListenConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A listener for administration alone; TLS and proxy are those of `server`."""

    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)]


class AdminConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The admin API (SECURITY.md section 6)."""

    config: Literal["file", "desk"] = "file"
    """`desk` = versions that are proposed and applied through the API lie over this file."""
    listen: ListenConfig | None = None
    """Where the admin API, sign-in and the dashboard are served; the port of `server` then has none of them.
    None = beside the data plane."""
    oidc: OidcConfig | None = None
    """Who vouches for people; None = they sign in with a key or a personal token."""
    session: SessionConfig = SessionConfig()


def problems(admin: AdminConfig, *, has_desk: bool) -> tuple[str, ...]:
    """Return what does not go together, one line each."""
    if admin.oidc is not None and not has_desk:
        return ("admin.oidc: people are kept at the desk; add the section `desk`",)
    return ()
