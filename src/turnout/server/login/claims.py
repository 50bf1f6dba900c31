"""What an id token says, checked and made an identity. Floor 6. No I/O, no clocks.

Source: OpenID Connect Core 1.0, section 3.1.3.7 (ID Token Validation).
"""

import hmac
from collections.abc import Mapping
from typing import Final

from turnout.config.oidc import OidcConfig, RoleMapConfig
from turnout.govern.users import Identity
from turnout.types.json import Json

LEEWAY_S: Final = 60.0
"""By which the provider's clock may differ."""
_MOST_SUBJECT: Final = 255
_MOST_EMAIL: Final = 254


class ClaimError(Exception):
    """The token is not for this sign-in. The message names the claim, never its value."""


def check(claims: Mapping[str, Json], config: OidcConfig, nonce: str, now: float) -> None:
    """Refuse a token that is of another issuer, for another client, of another sign-in, or not of now.

    Args:
        claims: Of a token whose signature holds.
        config: Whom to trust, and who we are.
        nonce: Of the sign-in.
        now: Unix seconds.

    Raises:
        ClaimError: It is none for this sign-in.
    """
    if claims.get("iss") != config.issuer:
        raise ClaimError("iss is another issuer")
    audience = claims.get("aud")
    names = audience if isinstance(audience, list) else [audience]
    if config.client_id not in names:
        raise ClaimError("aud is another client")
    party = claims.get("azp")
    if (len(names) > 1 or party is not None) and party != config.client_id:
        raise ClaimError("azp is another client")
    _check_times(claims, now)
    said = claims.get("nonce")
    if not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
        raise ClaimError("nonce is of another sign-in")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= _MOST_SUBJECT:
        raise ClaimError("sub is missing")


def _check_times(claims: Mapping[str, Json], now: float) -> None:
    expires, issued = _number(claims, "exp"), _number(claims, "iat")
    if now >= expires + LEEWAY_S:
        raise ClaimError("exp is past")
    if issued > now + LEEWAY_S:
        raise ClaimError("iat is to come")
    if "nbf" in claims and _number(claims, "nbf") > now + LEEWAY_S:
        raise ClaimError("nbf is to come")


def _number(claims: Mapping[str, Json], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ClaimError(f"{name} is no instant")
    return float(value)


def identity_of(claims: Mapping[str, Json], config: OidcConfig) -> Identity:
    """Return who checked claims are about, with the role that the configuration gives them."""
    email, name = claims.get("email"), claims.get("name")
    vouched = claims.get("email_verified") is True or (
        config.trust_email and claims.get("email_verified") is not False
    )
    mapped = next((row for row in config.roles if _fits(row, claims)), None)
    subject = claims["sub"]
    assert isinstance(subject, str)
    return Identity(
        issuer=config.issuer,
        subject=subject,
        email=email.strip().lower()[:_MOST_EMAIL] if isinstance(email, str) and vouched else "",
        name=name if isinstance(name, str) else "",
        role=None if mapped is None else mapped.role,
        organisation=None if mapped is None else mapped.organisation,
    )


def _fits(row: RoleMapConfig, claims: Mapping[str, Json]) -> bool:
    value = _claim(claims, row.claim)
    if isinstance(value, list):
        return row.value in value
    if isinstance(value, bool):
        return row.value == str(value).lower()
    return isinstance(value, str) and row.value == value


def _claim(claims: Mapping[str, Json], name: str) -> Json:
    """Return a claim by its name, which may hold dots, or else by a path into one."""
    if name in claims:
        return claims[name]
    found: Json = dict(claims)
    for part in name.split("."):
        if not isinstance(found, dict):
            return None
        found = found.get(part)
    return found
