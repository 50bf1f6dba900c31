"""`turnout org`, `project`, `team`, `customer`, `budget`, `quota`: a group of commands each. Floor 7."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from turnout.cli.office import at_the_desk, json_option, list_command, show_command, tell
from turnout.cli.options import config_option
from turnout.types.account import Kind

if TYPE_CHECKING:
    from turnout.types.json import Json


def _group(name: str, kind: Kind, text: str) -> click.Group:
    """Return the commands for documents of a kind."""
    group = click.Group(name, help=text)
    for make in (_create, list_command, show_command, _set, _remove):
        group.add_command(make(kind))
    return group


def _create(kind: Kind) -> click.Command:
    owned = kind != "organisation"

    @click.command("create", help=f"Make one: `turnout {kind} create ID field=value …`.")
    @click.argument("name", metavar="ID")
    @click.argument("fields", nargs=-1)
    @click.option("--org", help="Organisation it belongs to.", hidden=not owned)
    @config_option
    @json_option
    def create(
        name: str, fields: tuple[str, ...], org: str | None, config_path: Path | None, as_json: bool
    ) -> None:
        from turnout.govern.records import create as created
        from turnout.govern.rules import CLI

        wanted = {"id": name, **_read(fields)}
        if org is not None:
            wanted["organisation"] = org
        tell(at_the_desk(config_path, lambda office: created(office, CLI, kind, wanted)), as_json=as_json)

    return create


def _set(kind: Kind) -> click.Command:
    @click.command("set", help=f"Change fields: `turnout {kind} set ID disabled=true`.")
    @click.argument("name", metavar="ID")
    @click.argument("fields", nargs=-1, required=True)
    @config_option
    @json_option
    def set_(name: str, fields: tuple[str, ...], config_path: Path | None, as_json: bool) -> None:
        from turnout.govern.records import change
        from turnout.govern.rules import CLI

        work = at_the_desk(config_path, lambda office: change(office, CLI, kind, name, _read(fields)))
        tell(work, as_json=as_json)

    return set_


def _remove(kind: Kind) -> click.Command:
    @click.command("remove", help="Remove one that nothing belongs to.")
    @click.argument("name", metavar="ID")
    @config_option
    def remove(name: str, config_path: Path | None) -> None:
        from turnout.govern.records import remove as removed
        from turnout.govern.rules import CLI

        at_the_desk(config_path, lambda office: removed(office, CLI, kind, name))

    return remove


def _read(fields: tuple[str, ...]) -> "dict[str, Json]":
    """Return `field=value` words as fields: values as JSON where they are, else as text."""
    found: dict[str, Json] = {}
    for word in fields:
        name, equals, text = word.partition("=")
        if not equals:
            raise click.BadParameter(f"{word!r}: expected field=value")
        try:
            found[name] = msgspec.json.decode(text)
        except msgspec.DecodeError:
            found[name] = text
    return found


org = _group("org", "organisation", "Organisations: nothing is visible across them.")
project = _group("project", "project", "Projects: what an organisation builds.")
team = _group("team", "team", "Teams: people who share budgets.")
customer = _group("customer", "customer", "End customers of an organisation.")
budget = _group("budget", "budget", "Budgets that change while gateways run: level=team subject=red usd=10.")
quota = _group("quota", "quota", "Quotas that change while gateways run: level=team subject=red of=requests.")
