"""`turnout credentials`: keys of providers, kept encrypted at the desk. Floor 7."""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from turnout.cli.office import at_the_desk, json_option, tell, tell_all
from turnout.cli.options import config_option, read_config

if TYPE_CHECKING:
    from turnout.govern.office import Office
    from turnout.govern.vault import Masters

T = TypeVar("T")


@click.group("credentials")
def credentials() -> None:
    """Store keys of providers, encrypted under desk.master_key. They take turns with those configured."""


@credentials.command("add")
@click.argument("provider")
@config_option
@click.option("--name", default="", help="For people.")
@json_option
def add(provider: str, config_path: Path | None, name: str, as_json: bool) -> None:
    """Store a key of a provider, read from standard input: an argument would stand in the process list."""
    from turnout.govern.rules import CLI
    from turnout.govern.vault import store
    from turnout.types.secret import Secret

    text = sys.stdin.readline().strip()
    made = _with_masters(
        config_path, lambda office, masters: store(office, CLI, masters, provider, Secret(text), name=name)
    )
    tell(made, as_json=as_json)


@credentials.command("list")
@config_option
@json_option
def list_(config_path: Path | None, as_json: bool) -> None:
    """List stored credentials: their providers and last four characters."""
    from turnout.govern.records import listing
    from turnout.govern.rules import CLI

    found = at_the_desk(config_path, lambda office: listing(office, CLI, "credential"))
    tell_all(found, kind="credential", as_json=as_json)


@credentials.command("disable")
@click.argument("credential_id")
@config_option
@json_option
def disable(credential_id: str, config_path: Path | None, as_json: bool) -> None:
    """Take a credential out of service."""
    _switch(config_path, credential_id, disabled=True, as_json=as_json)


@credentials.command("enable")
@click.argument("credential_id")
@config_option
@json_option
def enable(credential_id: str, config_path: Path | None, as_json: bool) -> None:
    """Put a credential back into service."""
    _switch(config_path, credential_id, disabled=False, as_json=as_json)


@credentials.command("remove")
@click.argument("credential_id")
@config_option
def remove(credential_id: str, config_path: Path | None) -> None:
    """Forget a credential."""
    from turnout.govern.records import remove as removed
    from turnout.govern.rules import CLI

    at_the_desk(config_path, lambda office: removed(office, CLI, "credential", credential_id))


@credentials.command("rewrap")
@config_option
def rewrap(config_path: Path | None) -> None:
    """Put all under desk.master_key, once it is a new one and the old is desk.previous_master_key."""
    from turnout.govern.rules import CLI
    from turnout.govern.vault import rewrap_all

    n_done = _with_masters(config_path, lambda office, masters: rewrap_all(office, CLI, masters))
    click.echo(f"{n_done} re-wrapped")


def _switch(config_path: Path | None, name: str, *, disabled: bool, as_json: bool) -> None:
    from turnout.govern.records import change
    from turnout.govern.rules import CLI

    done = at_the_desk(
        config_path, lambda office: change(office, CLI, "credential", name, {"disabled": disabled})
    )
    tell(done, as_json=as_json)


def _with_masters(config_path: Path | None, work: "Callable[[Office, Masters], Awaitable[T]]") -> T:
    from turnout.govern.open import desk_config
    from turnout.govern.vault import masters_of

    config, _ = read_config(config_path)
    masters = masters_of(desk_config(config))
    return at_the_desk(config_path, lambda office: work(office, masters))
