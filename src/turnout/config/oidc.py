"""The section `admin.oidc`: who vouches for people who administer. Floor 5."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from turnout.types.secret import Secret

Text = Annotated[str, Meta(min_length=1, max_length=512)]
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class RoleMapConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of who is what: the first that fits a person's claims decides."""

    claim: Text
    """Name of a claim of the id token, or a path into one: `groups`, `realm_access.roles`."""
    value: Text
    """What the claim is, or what is among its values."""
    role: Literal["viewer", "operator", "admin", "owner"]
    organisation: str | None = None
    """None = the whole installation."""

    def __post_init__(self) -> None:
        if self.role == "owner" and self.organisation is not None:
            raise ValueError("organisation: the role owner is of the whole installation")


class OidcConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sign-in through an OpenID Connect provider: authorization code with PKCE."""

    issuer: Text
    """Its address, as it names itself in its tokens; the rest is found there."""
    client_id: Text
    client_secret: Secret | None = None
    """None = a public client: PKCE alone."""
    redirect_url: Text
    """Where the provider sends people back: `https://<this gateway>/auth/callback`."""
    scopes: tuple[Text, ...] = ("openid", "email", "profile")
    roles: tuple[RoleMapConfig, ...] = ()
    """What claims give which role; whoever none fits must be invited."""
    hosts: tuple[Text, ...] = ()
    """Other origins that the provider serves its endpoints from, such as `https://oauth2.googleapis.com`."""
    trust_email: bool = False
    """Whether an address counts although the provider does not say that it is verified."""
    name: Text = "your organisation"
    """What people are asked to sign in with."""

    def __post_init__(self) -> None:
        for what, url in (("issuer", self.issuer), ("redirect_url", self.redirect_url)):
            parts = urlsplit(url)
            plain = parts.scheme == "http" and parts.hostname in _LOOPBACK
            if not (parts.scheme == "https" or plain) or not parts.hostname or parts.query or parts.fragment:
                raise ValueError(f"{what}: expected an https address without a query")
        if urlsplit(self.redirect_url).path != "/auth/callback":
            raise ValueError("redirect_url: its path is /auth/callback")
        if "openid" not in self.scopes:
            raise ValueError("scopes: openid is missing")
