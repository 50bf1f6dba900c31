"""`turnout pepper`: the secret under which keys are kept. Floor 7."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from turnout.cli.office import at_the_desk
from turnout.cli.options import config_option, read_config

if TYPE_CHECKING:
    from turnout.govern.office import Office


@click.group("pepper")
def pepper() -> None:
    """Look at the pepper's ids, and replace it."""


@pepper.command("show")
@config_option
def show(config_path: Path | None) -> None:
    """Show the ids of the accepted peppers, and how many keys are kept under each."""
    from turnout.govern.rotation import census

    async def work(office: "Office") -> list[str]:
        counted = await census(office)
        known = [each.id for each in office.peppers.accepted]
        gone = sum(n for name, n in counted.items() if name not in known)
        words = ["newest", "previous"]
        lines = [f"{name}  {words[at]:8}  {counted.get(name, 0)} keys" for at, name in enumerate(known)]
        return [*lines, *([f"{'-':12}  {'gone':8}  {gone} keys that do not work any more"] if gone else [])]

    for line in at_the_desk(config_path, work):
        click.echo(line)


@pepper.command("rotate")
@config_option
@click.option("--ending", is_flag=True, help="Also when keys end by it that nobody used since the last time.")
def rotate(config_path: Path | None, ending: bool) -> None:
    """Put a new pepper in the place of the present one, which is accepted until the next time.

    Keys go on working, and follow when they are used. Gateways take the new one up within seconds.
    """
    from turnout.errors import ConfigError
    from turnout.govern.open import desk_config, pepper_path
    from turnout.govern.rotation import rotate as rotated
    from turnout.govern.rules import CLI

    config, _ = read_config(config_path)
    row = desk_config(config)
    if row.pepper is not None:
        problem = (
            "desk.pepper: is given by the configuration; name a new one there, and this one previous_pepper"
        )
        raise ConfigError((problem,))
    click.echo(at_the_desk(config_path, lambda office: rotated(office, CLI, pepper_path(row), ending=ending)))
