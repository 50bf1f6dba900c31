"""The desk of a configuration, opened, and what a first start makes. Floor 5.

Theory of operation.

1. A desk is used where the configuration has the section `desk`, or once the file at the default path is
   there: the command line makes it when the first key is issued.
2. A machine's first start with the section `desk` issues an owner's key, once, and shows it on the terminal
   and nowhere else (S-101). Where there is no terminal, nothing is issued: a log is no place for it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from turnout.config import Config, DeskConfig
from turnout.errors import ConfigError
from turnout.govern.holdings import Holdings, read_holdings
from turnout.govern.keys import issue
from turnout.govern.office import Office
from turnout.govern.pepper import Peppers, peppers_in, peppers_of
from turnout.govern.rules import CLI
from turnout.govern.vault import Lent, masters_of, secrets_in
from turnout.stores.desk.base import Desk

FROM_THE_START: Final = DeskConfig()


def desk_config(config: Config) -> DeskConfig:
    """Return the section, or what holds without it."""
    return config.desk or FROM_THE_START


def is_used(config: Config) -> bool:
    """Tell whether there is a desk."""
    return config.desk is not None or is_made(FROM_THE_START)


def is_made(row: DeskConfig) -> bool:
    """Tell whether a desk is there: its file, or a database."""
    return row.where.is_url or Path(row.path).exists()


def open_desk(row: DeskConfig) -> Desk:
    """Open a desk, made if it is not there. Raises `ConfigError`."""
    if row.where.is_url:
        from turnout.parts import open_shared_desk  # noqa: PLC0415  only where it is shared

        return open_shared_desk(row.where)
    from turnout.stores.desk.sqlite import SqliteDesk  # noqa: PLC0415  only where there is a desk

    return SqliteDesk(Path(row.path))


def peppers_for(row: DeskConfig) -> Peppers:
    """Return the peppers of a desk, made if there are none. Raises `ConfigError`."""
    if row.pepper is None:
        if row.previous_pepper is not None:
            raise ConfigError(("desk.previous_pepper: give desk.pepper too",))
        return peppers_in(pepper_path(row))
    return peppers_of([each for each in (row.pepper, row.previous_pepper) if each is not None])


def pepper_path(row: DeskConfig) -> Path:
    """Return where the pepper of a desk lies that the configuration does not name."""
    return Path(row.path).with_suffix(".pepper")


async def first_start(config: Config, show: Callable[[str], None] | None) -> bool:
    """Issue the owner's key where a desk has none; tell whether callers need keys of the desk.

    Args:
        config: What is started.
        show: Writes to the terminal; None = there is none.

    Raises:
        ConfigError: The desk cannot be used.
    """
    if not is_used(config):
        return False
    row = desk_config(config)
    desk = open_desk(row)
    try:
        holdings = await read_holdings(desk)
        if config.desk is not None and row.owner_token is None and show is not None and not _owned(holdings):
            office = Office(desk, peppers_for(row))
            shown, document = await issue(office, CLI, {"role": "owner", "name": "first owner"})
            show(f"owner key {document.id}, shown this once: {shown.reveal()}")
    finally:
        await desk.close()
    return _may_call(holdings)


async def has_keys(config: Config) -> bool:
    """Tell whether callers need keys of the desk; nothing is made. Raises `ConfigError`."""
    row = desk_config(config)
    if not is_made(row):
        return False
    desk = open_desk(row)
    try:
        return _may_call(await read_holdings(desk))
    finally:
        await desk.close()


async def stored_secrets(config: Config) -> Lent:
    """Return the credentials that a desk keeps for providers, decrypted. Raises `ConfigError`."""
    row = desk_config(config)
    if row.master_key is None or not is_made(row):
        return {}
    desk = open_desk(row)
    try:
        return secrets_in(masters_of(row), await desk.list("credential", limit=1000))
    finally:
        await desk.close()


def _may_call(holdings: Holdings) -> bool:
    return any(key.role == "call" for key in holdings.keys)


def _owned(holdings: Holdings) -> bool:
    return any(key.role == "owner" and key.digest and not key.disabled for key in holdings.keys)
