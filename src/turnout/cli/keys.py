"""`turnout keys`: who may call, by key. Floor 7."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from turnout.cli.office import (
    at_the_desk,
    instant,
    json_option,
    list_command,
    show_command,
    show_once,
    tell,
    tell_all,
    words,
)
from turnout.cli.options import config_option

if TYPE_CHECKING:
    from turnout.govern.office import Office
    from turnout.stores.desk.base import Document
    from turnout.types.json import Json
    from turnout.types.secret import Secret


@click.group("keys")
def keys() -> None:
    """Issue, rotate and revoke keys.

    Works on the file of desk.path, while gateways run and while none does; they follow within seconds.
    """


@keys.command("create")
@config_option
@click.option("--name", default="", help="For people.")
@click.option("--org", help="Organisation it belongs to. Default: the installation.")
@click.option("--project", help="Whose budgets and retention apply.")
@click.option("--team", help="Whose budgets apply.")
@click.option("--customer", help="The end customer whose key it is.")
@click.option(
    "--role",
    type=click.Choice(["call", "viewer", "operator", "admin", "owner", "scrape"]),
    default="call",
    show_default=True,
    help="`call` asks models; the others administer, and ask none.",
)
@click.option("--model", multiple=True, help="Glob of models or providers it may use. Default: all.")
@click.option("--route", multiple=True, help="Route it may use. Default: all, and models by name.")
@click.option("--endpoint", multiple=True, help="chat, embeddings, models, … Default: all.")
@click.option("--network", multiple=True, help="Address range it may be used from. Default: anywhere.")
@click.option("--tag", multiple=True, help="Tag whose budgets apply.")
@click.option("--default-route", help="Route that `auto` means for it.")
@click.option("--expires", help="90d, 12h, 30m from now, or an ISO instant. Default: never.")
@json_option
def create(config_path: Path | None, expires: str | None, as_json: bool, **given: object) -> None:
    """Issue a key, and show it this once."""
    from turnout.govern.keys import issue
    from turnout.govern.rules import CLI

    async def work(office: "Office") -> "tuple[Secret, Document]":
        fields = _fields(given)
        if expires is not None:
            fields["expires"] = instant(expires, office.now())
        return await issue(office, CLI, fields)

    show_once(at_the_desk(config_path, work), as_json=as_json)


keys.add_command(list_command("key", "List keys: their beginnings and ends, never the keys."))
keys.add_command(show_command("key", "Show what a key may do, never the key."))


@keys.command("rotate")
@click.argument("key_id")
@config_option
@click.option(
    "--overlap-h",
    type=click.FloatRange(0, 720),
    default=24.0,
    show_default=True,
    help="Hours for which the old key still works.",
)
@json_option
def rotate(key_id: str, config_path: Path | None, overlap_h: float, as_json: bool) -> None:
    """Issue a key in the place of another, which works a while longer."""
    from turnout.govern.keys import rotate as rotated
    from turnout.govern.rules import CLI

    made = at_the_desk(config_path, lambda office: rotated(office, CLI, key_id, overlap_s=overlap_h * 3600))
    show_once(made, as_json=as_json)


@keys.command("expiring")
@config_option
@click.option(
    "--days", type=click.IntRange(1, 366), default=14, show_default=True, help="How far to look ahead."
)
@json_option
def expiring(config_path: Path | None, days: int, as_json: bool) -> None:
    """List keys and personal tokens that end soon."""
    from turnout.govern.ending import soon
    from turnout.govern.rules import CLI

    found = at_the_desk(config_path, lambda office: soon(office, CLI, days * 86_400.0))
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    for each in found:
        click.echo(
            f"{each.id:26}  {each.prefix}…{each.last_four}  until {each.expires.isoformat()}  {each.name}"
        )
    if not found:
        click.echo(f"none ends within {days} days", err=True)


@keys.command("disable")
@click.argument("key_id")
@config_option
@json_option
def disable(key_id: str, config_path: Path | None, as_json: bool) -> None:
    """Let a key rest until `enable`."""
    _switch(config_path, key_id, disabled=True, as_json=as_json)


@keys.command("enable")
@click.argument("key_id")
@config_option
@json_option
def enable(key_id: str, config_path: Path | None, as_json: bool) -> None:
    """Let a disabled key work again."""
    _switch(config_path, key_id, disabled=False, as_json=as_json)


@keys.command("revoke")
@click.argument("key_ids", nargs=-1, required=True)
@config_option
@json_option
def revoke(key_ids: tuple[str, ...], config_path: Path | None, as_json: bool) -> None:
    """End keys for good."""
    from turnout.govern.keys import revoke as revoked
    from turnout.govern.rules import CLI

    async def work(office: "Office") -> "tuple[Document, ...]":
        return tuple([await revoked(office, CLI, each) for each in key_ids])

    tell_all(at_the_desk(config_path, work), kind="key", as_json=as_json)


def _switch(config_path: Path | None, key_id: str, *, disabled: bool, as_json: bool) -> None:
    from turnout.govern.records import change
    from turnout.govern.rules import CLI

    work = at_the_desk(config_path, lambda office: change(office, CLI, "key", key_id, {"disabled": disabled}))
    tell(work, as_json=as_json)


def _fields(given: dict[str, object]) -> "dict[str, Json]":
    """Return the fields of a key as options give them."""
    named = {"org": "organisation", "default_route": "default_route"}
    several = {"model": "models", "route": "routes", "endpoint": "endpoints", "network": "networks"}
    several["tag"] = "tags"
    fields: dict[str, Json] = {}
    for name, value in given.items():
        if isinstance(value, tuple):
            fields[several[name]] = words(value)
        elif isinstance(value, str):
            fields[named.get(name, name)] = value
    return fields
