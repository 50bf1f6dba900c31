"""Where state lies: what `ledger.store` and `journal.store` may say. Floor 5."""

from typing import TYPE_CHECKING, Final

import msgspec

from turnout.errors import ConfigError
from turnout.types.address import Address

if TYPE_CHECKING:
    from turnout.config.shape import Config

SQLITE: Final = Address("sqlite")
VALKEY: Final = frozenset(("valkey", "valkeys", "redis", "rediss"))
POSTGRES: Final = frozenset(("postgres", "postgresql"))
WORDS: Final = frozenset(("sqlite", "memory"))


def check_ledger_store(store: Address) -> None:
    """Refuse what no ledger can be kept in. Raises `ValueError`."""
    if store.scheme not in (VALKEY | POSTGRES if store.is_url else WORDS):
        raise ValueError(f"store is {_shown(store)}; expected sqlite, memory, valkey://… or postgres://…")


def check_journal_store(store: Address) -> None:
    """Refuse what no journal can be kept in. Raises `ValueError`."""
    if store.scheme not in (POSTGRES if store.is_url else {"sqlite"}):
        raise ValueError(f"store is {_shown(store)}; expected sqlite or postgres://…")


def with_stores(config: "Config", ledger: Address | None, journal: Address | None) -> "Config":
    """Return a configuration with other stores, where given. Raises `ConfigError`."""
    option = "--store"
    try:
        if ledger is not None:
            row = msgspec.structs.replace(config.ledger, store=ledger)
            config = msgspec.structs.replace(config, ledger=row)
        option = "--journal"
        if journal is not None:
            kept = msgspec.structs.replace(config.journal, store=journal)
            config = msgspec.structs.replace(config, journal=kept)
    except ValueError as error:
        raise ConfigError((f"{option}: {error}",)) from None
    return config


def _shown(store: Address) -> str:
    """Name a store by what surely holds no secret."""
    return repr(store.scheme) if store.is_url else "a word that names none"
