"""The section `desk`: keys, organisations and limits that change while gateways run. Floor 5."""

from typing import Final

from msgspec import Struct

from turnout.config.stores import SQLITE, check_journal_store
from turnout.types.address import Address
from turnout.types.secret import Secret

DEFAULT_PATH: Final = ".turnout/desk.db"
MIN_SECRET: Final = 32
"""Characters (SECURITY.md S-101)."""
_WELL_KNOWN: Final = ("changeme", "password", "secret", "sk-1234", "turnout", "default", "example", "admin")
_MIN_DISTINCT: Final = 10
"""Different characters: 32 of a random hexadecimal text have fewer once in 5,000 times."""


class DeskConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where keys, organisations, limits and the audit log are kept, and under which secrets."""

    store: Address | None = None
    """`sqlite` = the file at `path`; `postgres://user@host:port/name` = shared by replicas, which then need
    the same `pepper`. None = `sqlite`."""
    path: str = DEFAULT_PATH
    """SQLite file, shared by the workers of this machine."""
    pepper: Secret | None = None
    """What keys are digested under; none = a file beside `path`, made at first use."""
    previous_pepper: Secret | None = None
    """The one before it, still accepted."""
    master_key: Secret | None = None
    """What stored credentials of providers are encrypted under; none = they cannot be stored."""
    previous_master_key: Secret | None = None
    """The one before it, still read."""
    owner_token: Secret | None = None
    """A key with the role `owner`, for installations that are set up by a program; at least 32 characters."""

    def __post_init__(self) -> None:
        check_journal_store(self.where)
        if self.where.is_url and self.pepper is None:
            raise ValueError("pepper: replicas that share a desk need the same; give desk.pepper")

    @property
    def where(self) -> Address:
        """Where it lies."""
        return self.store or SQLITE


def problems(desk: DeskConfig | None) -> tuple[str, ...]:
    """Return what is wrong with the secrets of a desk, one line each; none of them is shown (S-101)."""
    if desk is None:
        return ()
    named = ("pepper", "previous_pepper", "master_key", "previous_master_key", "owner_token")
    return tuple(
        f"desk.{name}: too easy to guess; use at least {MIN_SECRET} random characters, "
        "such as those of `openssl rand -hex 32`"
        for name in named
        if (secret := getattr(desk, name)) is not None and is_weak(secret)
    )


def is_weak(secret: Secret) -> bool:
    """Tell whether a secret is short, monotonous or a well-known default padded."""
    text = secret.reveal().lower()
    rest = text
    for word in _WELL_KNOWN:
        rest = rest.replace(word, "")
    return len(rest) < MIN_SECRET or len(set(text)) < _MIN_DISTINCT
