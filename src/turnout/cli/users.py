"""`turnout users`: who administers. Floor 7."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from turnout.cli.office import at_the_desk, json_option, list_command, show_command, tell
from turnout.cli.options import config_option

if TYPE_CHECKING:
    from turnout.types.account import UserRole

_role = click.Choice(["none", "viewer", "operator", "admin", "owner"])


@click.group("users")
def users() -> None:
    """Invite people, change their roles, disable them.

    Works at the desk, while gateways run and while none does; what they have open ends at once.
    """


@users.command("invite")
@click.argument("email")
@config_option
@click.option("--role", type=_role, required=True, help="What they may from their first sign-in on.")
@click.option("--org", help="Organisation they are of. Default: the installation.")
@click.option("--name", default="", help="For people.")
@json_option
def invite(
    email: str, config_path: Path | None, role: str, org: str | None, name: str, as_json: bool
) -> None:
    """Invite somebody by the address that the provider vouches for."""
    from turnout.govern import users as people
    from turnout.govern.rules import CLI

    fields = {"email": email, "role": role, "organisation": org, "name": name}
    tell(at_the_desk(config_path, lambda office: people.invite(office, CLI, fields)), as_json=as_json)


users.add_command(list_command("user", "List people."))
users.add_command(show_command("user", "Show somebody."))


@users.command("role")
@click.argument("user_id")
@click.argument("role", type=_role)
@config_option
@click.option("--org", help="Organisation they are of from now on. Default: the installation.")
@json_option
def role_(user_id: str, role: "UserRole", config_path: Path | None, org: str | None, as_json: bool) -> None:
    """Give somebody another role; their sessions end."""
    from turnout.govern import users as people
    from turnout.govern.rules import CLI

    to = people.Standing(role=role, organisation=org)
    changed = at_the_desk(config_path, lambda office: people.set_role(office, CLI, user_id, to))
    tell(changed, as_json=as_json)


@users.command("disable")
@click.argument("user_id")
@config_option
@json_option
def disable(user_id: str, config_path: Path | None, as_json: bool) -> None:
    """Keep somebody out until `enable`: sessions and tokens end at once."""
    _switch(config_path, user_id, disabled=True, as_json=as_json)


@users.command("enable")
@click.argument("user_id")
@config_option
@json_option
def enable(user_id: str, config_path: Path | None, as_json: bool) -> None:
    """Let somebody in again."""
    _switch(config_path, user_id, disabled=False, as_json=as_json)


@users.command("sign-out")
@click.argument("user_id")
@config_option
@json_option
def sign_out(user_id: str, config_path: Path | None, as_json: bool) -> None:
    """End all sessions of somebody."""
    from turnout.govern import users as people
    from turnout.govern.rules import CLI

    tell(at_the_desk(config_path, lambda office: people.sign_out(office, CLI, user_id)), as_json=as_json)


@users.command("remove")
@click.argument("user_id")
@config_option
def remove(user_id: str, config_path: Path | None) -> None:
    """Forget somebody, with their tokens; what they did stays on record."""
    from turnout.govern import users as people
    from turnout.govern.rules import CLI

    at_the_desk(config_path, lambda office: people.remove(office, CLI, user_id))


def _switch(config_path: Path | None, user_id: str, *, disabled: bool, as_json: bool) -> None:
    from turnout.govern import users as people
    from turnout.govern.rules import CLI

    fields = {"disabled": disabled}
    changed = at_the_desk(config_path, lambda office: people.change(office, CLI, user_id, fields))
    tell(changed, as_json=as_json)
