"""`turnout tokens`: personal tokens of people who administer. Floor 7."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from turnout.cli.office import at_the_desk, instant, json_option, page_options, show_once, tell_all
from turnout.cli.options import config_option

if TYPE_CHECKING:
    from turnout.govern.office import Office
    from turnout.stores.desk.base import Document
    from turnout.types.json import Json
    from turnout.types.secret import Secret


@click.group("tokens")
def tokens() -> None:
    """Make, list and revoke personal tokens for the admin API."""


@tokens.command("create")
@click.argument("user_id")
@config_option
@click.option("--name", default="", help="For people.")
@click.option(
    "--role",
    type=click.Choice(["viewer", "operator", "admin", "owner"]),
    help="At most the person's own. Default: that.",
)
@click.option(
    "--expires", default="30d", show_default=True, help="90d, 12h, 30m from now, or an ISO instant."
)
@json_option
def create(
    user_id: str, config_path: Path | None, name: str, role: str | None, expires: str, as_json: bool
) -> None:
    """Make a token for somebody, and show it this once."""
    from turnout.govern.rules import CLI
    from turnout.govern.tokens import issue

    async def work(office: "Office") -> "tuple[Secret, Document]":
        fields: dict[str, Json] = {"name": name, "expires": instant(expires, office.now())}
        if role is not None:
            fields["role"] = role
        return await issue(office, CLI, fields, user=user_id)

    show_once(at_the_desk(config_path, work), as_json=as_json)


@tokens.command("list")
@config_option
@click.option("--user", help="Only those of this person.")
@page_options
@json_option
def list_(config_path: Path | None, user: str | None, after: str, limit: int, as_json: bool) -> None:
    """List tokens: their beginnings and ends, never the tokens."""
    from turnout.govern.rules import CLI
    from turnout.govern.tokens import listing

    found = at_the_desk(config_path, lambda office: listing(office, CLI, user=user, after=after, limit=limit))
    tell_all(found, kind="token", as_json=as_json, after=after)


@tokens.command("revoke")
@click.argument("token_ids", nargs=-1, required=True)
@config_option
@json_option
def revoke(token_ids: tuple[str, ...], config_path: Path | None, as_json: bool) -> None:
    """End tokens for good."""
    from turnout.govern.rules import CLI
    from turnout.govern.tokens import revoke as revoked

    async def work(office: "Office") -> "tuple[Document, ...]":
        return tuple([await revoked(office, CLI, each) for each in token_ids])

    tell_all(at_the_desk(config_path, work), kind="token", as_json=as_json)
