"""What the commands of administration share: the desk of a configuration, opened for one act. Floor 7."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
import msgspec

from turnout.cli.options import config_option, read_config, tell_none

if TYPE_CHECKING:
    from turnout.govern.office import Office
    from turnout.stores.desk.base import Document
    from turnout.types.account import Kind
    from turnout.types.json import Json
    from turnout.types.secret import Secret

T = TypeVar("T")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def page_options(command: "Callable[..., None]") -> "Callable[..., None]":
    """Add `--after` and `--limit`."""
    limit = click.IntRange(1, 1000)
    after = click.option("--after", default="", help="Begin after this id.")
    return after(
        click.option("--limit", type=limit, default=100, show_default=True, help="At most so many.")(command)
    )


def at_the_desk(config_path: Path | None, work: "Callable[[Office], Awaitable[T]]") -> T:
    """Open the configured desk, made if it is not there, and do one thing at it."""
    from turnout.govern.office import Office
    from turnout.govern.open import desk_config, open_desk, peppers_for

    config, _ = read_config(config_path)
    row = desk_config(config)
    routes = {route.name for route in config.routes}

    async def run() -> T:
        desk = open_desk(row)
        try:
            known = (lambda: routes) if config.routes else None
            return await work(Office(desk, peppers_for(row), routes=known))
        finally:
            await desk.close()

    return asyncio.run(run())


def tell(document: "Document", *, as_json: bool) -> None:
    """Print one document: a line a field, or JSON."""
    from turnout.govern.records import view

    tree = view(document)
    if as_json:
        click.echo(msgspec.json.encode(tree).decode())
        return
    for name, value in tree.items():
        if value not in (None, "", [], False):
            click.echo(f"{name:16} {_plain(value)}")


def tell_all(documents: "tuple[Document, ...]", *, kind: "Kind", as_json: bool, after: str = "") -> None:
    """Print documents of a kind: a line each, or a JSON array. That there are none goes to stderr."""
    from turnout.govern.records import view

    trees = [view(document) for document in documents]
    if as_json:
        click.echo(msgspec.json.encode(trees).decode())
        return
    for tree in trees:
        click.echo("  ".join(part for part in _line(tree) if part))
    if not trees:
        tell_none(f"{kind}s", after)


def show_once(made: "tuple[Secret, Document]", *, as_json: bool) -> None:
    """Print what was just made, with its text."""
    from turnout.govern.records import view

    shown, document = made
    if as_json:
        click.echo(msgspec.json.encode({**view(document), "key": shown.reveal()}).decode())
        return
    click.echo(shown.reveal())
    click.echo(f"{document.id}: shown this once; only its digest is kept", err=True)


def list_command(kind: "Kind", text: str = "List them.") -> click.Command:
    """Return `list` for documents of a kind; `text` is its help."""

    @click.command("list", help=text)
    @config_option
    @click.option("--org", help="Only those of this organisation.")
    @page_options
    @json_option
    def list_(config_path: Path | None, org: str | None, after: str, limit: int, as_json: bool) -> None:
        from turnout.govern.records import listing
        from turnout.govern.rules import CLI

        found = at_the_desk(
            config_path, lambda office: listing(office, CLI, kind, organisation=org, after=after, limit=limit)
        )
        tell_all(found, kind=kind, as_json=as_json, after=after)

    return list_


def show_command(kind: "Kind", text: str = "Show one.") -> click.Command:
    """Return `show` for documents of a kind; `text` is its help."""

    @click.command("show", help=text)
    @click.argument("name", metavar="ID")
    @config_option
    @json_option
    def show(name: str, config_path: Path | None, as_json: bool) -> None:
        from turnout.govern.records import show as shown
        from turnout.govern.rules import CLI

        tell(at_the_desk(config_path, lambda office: shown(office, CLI, kind, name)), as_json=as_json)

    return show


def words(values: tuple[str, ...]) -> list[str]:
    """Return the values of an option that may be repeated, or hold several between commas."""
    return [word.strip() for value in values for word in value.split(",") if word.strip()]


def instant(text: str, now: datetime) -> str:
    """Return an instant given as ISO 8601, or as `90d`, `12h` from now. Raises `click.BadParameter`."""
    from datetime import timedelta

    units = {"m": 60, "h": 3600, "d": 86_400}
    if text[:-1].isdigit() and text[-1:] in units:
        return (now + timedelta(seconds=int(text[:-1]) * units[text[-1]])).isoformat()
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r}: expected 90d, 12h, 30m or an ISO date with time and zone"
        ) from None
    if found.tzinfo is None:
        raise click.BadParameter(f"{text!r}: give the zone too, as in 2027-01-31T12:00:00Z")
    return found.isoformat()


def _line(tree: "dict[str, Json]") -> list[str]:
    state = "revoked" if tree.get("revoked") else "disabled" if tree.get("disabled") else ""
    shown = [f"{tree['id']!s:26}", str(tree.get("organisation") or "-")]
    if tree["object"] == "key":
        expires = tree.get("expires")
        shown += [f"{tree['prefix']}…{tree['last_four']}", str(tree["role"])]
        shown += [f"until {expires}"] if expires and not state else []
    elif tree["object"] == "token":
        shown += [f"{tree['prefix']}…{tree['last_four']}", str(tree["role"]), str(tree["user"])]
        shown += [] if state else [f"until {tree['expires']}"]
    elif tree["object"] == "user":
        shown += [str(tree["role"]), str(tree["email"] or tree["subject"])]
        shown += [] if tree["issuer"] else ["invited"]
    elif tree["object"] == "credential":
        shown += [str(tree["provider"]), f"…{tree['last_four']}"]
    elif "level" in tree:
        amount = f"{tree['usd']} USD" if "usd" in tree else f"{tree['limit']} {tree['of']}"
        shown += [f"{tree['level']}/{tree['subject']}", f"{amount} per {tree['per']}"]
    return [*shown, str(tree.get("name") or ""), state]


def _plain(value: "Json") -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
