"""`turnout db`: bring stores to the form needed, check them, back them up. Floor 7."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from turnout.cli.options import config_option, read_config

if TYPE_CHECKING:
    from turnout.config import Config
    from turnout.types.address import Address

_store = click.option(
    "--store", envvar="TURNOUT_STORE", metavar="URL", help="In place of ledger.store of the file."
)
_journal = click.option(
    "--journal", envvar="TURNOUT_JOURNAL", metavar="URL", help="In place of journal.store of the file."
)

LEDGER = "ledger"


class DbError(click.ClickException):
    """A store that is not in order, in one line."""


@click.group("db")
def db() -> None:
    """Look after the stores of journal, ledger and desk, wherever the configuration says they are."""


@db.command("migrate")
@config_option
@_store
@_journal
def migrate(config_path: Path | None, store: str | None, journal: str | None) -> None:
    """Bring PostgreSQL databases to the form that this Turnout needs.

    Safe to run again, and at once from several places. SQLite files are brought forward when a gateway opens
    them, and Valkey needs nothing.
    """
    config = _config(config_path, store, journal)
    for address in _databases(config):
        from turnout.stores.postgres.migrate import migrate as make

        made = make(address.reveal())
        click.echo(f"{address}: {', '.join(made) + ' made' if made else 'nothing to do'}")
    for name, path in _files(config):
        click.echo(f"{name} {path}: brought forward when it is opened")


@db.command("check")
@config_option
@_store
@_journal
def check(config_path: Path | None, store: str | None, journal: str | None) -> None:
    """Verify every store; exit with status 1 when one is not in order. Changes nothing."""
    config = _config(config_path, store, journal)
    problems = 0
    for name, path in _files(config):
        problem = _problem_of_ledger(path) if name == LEDGER else _problem_of_file(path)
        click.echo(f"{name} {path}: {problem or 'intact'}")
        problems += problem is not None
    for address in _databases(config):
        problem = _problem_of_database(address)
        click.echo(f"{address}: {problem or 'in the form needed'}")
        problems += problem is not None
    if config.ledger.where.is_url and config.ledger.where not in _databases(config):
        problem = _problem_of_valkey(config.ledger.where)
        click.echo(f"{config.ledger.where}: {problem or 'answers, and evicts nothing'}")
        problems += problem is not None
    if problems:
        raise DbError(f"{problems} of the stores not in order; nothing was changed")


@db.command("backup")
@config_option
@_store
@_journal
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder to write into; made if it is not there.",
)
@click.option("--force", is_flag=True, help="Write over copies that the folder holds.")
def backup(
    config_path: Path | None, store: str | None, journal: str | None, out: Path, *, force: bool
) -> None:
    """Copy every store while gateways run: SQLite as files, PostgreSQL as what `pg_restore` reads.

    Put SQLite files back while no gateway runs, and remove the folder `ledger.db-log` when you put a
    ledger back: the copy holds what is in it. PostgreSQL needs `pg_dump` on the PATH. Valkey is left out:
    its own snapshots are the copy of it.
    """
    config = _config(config_path, store, journal)
    files = [(name, path, out / f"{name}.db") for name, path in _files(config)]
    databases = [(each, out / f"postgres-{at}.dump") for at, each in enumerate(_databases(config))]
    targets = [*(target for *_, target in files), *(target for _, target in databases)]
    taken = [] if force else [str(target) for target in targets if target.exists()]
    if taken:  # said before anything is written: half of an old copy and half of a new one help nobody
        raise DbError(f"there already: {', '.join(taken)}; give another folder, or --force to write over")
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, path, target in files:
        (_copy_ledger if name == LEDGER else _copy)(path, target)
        click.echo(f"{name} {path}: {target}")
    for address, target in databases:
        _dump(address, target)
        click.echo(f"{address}: {target}")


def _config(path: Path | None, store: str | None, journal: str | None) -> "Config":
    from turnout.config.stores import with_stores
    from turnout.types.address import Address

    config, _ = read_config(path)
    given = [None if text is None else Address(text) for text in (store, journal)]
    return with_stores(config, *given)


def _databases(config: "Config") -> "list[Address]":
    """Return every PostgreSQL that is named, once."""
    from turnout.config.stores import POSTGRES

    named = [config.journal.where, config.ledger.where]
    if config.desk is not None:
        named.append(config.desk.where)
    return list(dict.fromkeys(each for each in named if each.is_url and each.scheme in POSTGRES))


def _files(config: "Config") -> Iterator[tuple[str, Path]]:
    """Yield the SQLite files that are there, with what lies in them."""
    rows = [("journal", config.journal.where, config.journal.path)]
    rows.append((LEDGER, config.ledger.where, config.ledger.path))
    if config.desk is not None:
        rows.append(("desk", config.desk.where, config.desk.path))
    for name, where, path in rows:
        if where.scheme == "sqlite" and Path(path).exists():
            yield name, Path(path)


def _problem_of_file(path: Path) -> str | None:
    from turnout.stores.sqlite_file import problem_of

    return problem_of(path)


def _problem_of_ledger(path: Path) -> str | None:
    from turnout.stores.ledger.care import problem_of

    return problem_of(path)


def _problem_of_database(address: "Address") -> str | None:
    from turnout.errors import StoreUnavailable
    from turnout.stores.postgres.connect import connect
    from turnout.stores.postgres.migrate import state_of

    try:
        with connect(address.reveal()) as found:
            return state_of(found).problem
    except StoreUnavailable as failure:
        return failure.message


def _problem_of_valkey(address: "Address") -> str | None:
    """Say what is wrong: a server that evicts keys forgets what was spent."""
    import asyncio

    from turnout.errors import StoreUnavailable
    from turnout.stores.valkey.client import Client

    async def ask() -> str:
        client = Client(address.reveal(), timeout_s=5)
        try:
            found = await client.call("INFO", "memory")
        finally:
            await client.close()
        return found.decode(errors="replace") if isinstance(found, bytes) else ""

    try:
        said = dict(line.partition(":")[::2] for line in asyncio.run(ask()).splitlines())
    except StoreUnavailable as failure:
        return failure.message
    policy = said.get("maxmemory_policy", "noeviction")
    if policy == "noeviction" or said.get("maxmemory") == "0":
        return None
    return f"maxmemory-policy is {policy}: it would forget what was spent; set noeviction"


def _copy(path: Path, target: Path) -> None:
    from turnout.stores.sqlite_file import copy

    try:
        copy(path, target)
    except (sqlite3.Error, OSError) as failure:
        raise DbError(f"{path} cannot be copied: {failure}") from failure


def _copy_ledger(path: Path, target: Path) -> None:
    """Copy a ledger with what its log holds, as one file."""
    from turnout.errors import ConfigError
    from turnout.stores.ledger.care import copy

    try:
        copy(path, target)
    except (ConfigError, sqlite3.Error, OSError) as failure:
        raise DbError(f"{path} cannot be copied: {failure}") from failure


def _dump(address: "Address", target: Path) -> None:
    """Have `pg_dump` write a database; its address goes through the environment, where no `ps` shows it."""
    from psycopg.conninfo import conninfo_to_dict

    program = shutil.which("pg_dump")
    if program is None:
        raise DbError(f"{address}: pg_dump is not on the PATH; it comes with PostgreSQL's client")
    parts = {name: str(value) for name, value in conninfo_to_dict(address.reveal()).items()}
    names = {"dbname": "DATABASE"}
    env = {f"PG{names.get(name, name.upper())}": value for name, value in parts.items()}
    done = subprocess.run(  # noqa: S603  a program of the operator's own
        [program, "--format=custom", f"--file={target}"],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise DbError(f"{address}: {' '.join(done.stderr.split())[:300]}")
    target.chmod(0o600)
