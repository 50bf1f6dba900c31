"""The command line: one group, each command loaded when it is called. Floor 7."""

import importlib
import sys

import click

COMMANDS = {
    "serve": "turnout.cli.serve:serve",
    "check": "turnout.cli.check:check",
    "route": "turnout.cli.route:route",
    "recommend": "turnout.cli.recommend:recommend",
    "demo": "turnout.cli.demo:demo",
    "catalog": "turnout.cli.catalog:catalog",
    "import": "turnout.cli.import_:import_",
    "journal": "turnout.cli.journal:journal",
    "record": "turnout.cli.record:record",
    "roi": "turnout.cli.roi:roi",
    "replay": "turnout.cli.replay:replay",
    "scores": "turnout.cli.scores:scores",
}


class Lazy(click.Group):
    """Loads a command's module when the command is named, so that `--help` is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every command, in the order a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, importing it."""
        address = COMMANDS.get(cmd_name)
        if address is None:
            return None
        module, _, name = address.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="turnout", prog_name="turnout")
def cli() -> None:
    """Guide each LLM request onto the model that should answer it."""


def main() -> None:
    """Run the command line; every failure a user can cause is one line on stderr."""
    from turnout.errors import ConfigError, TurnoutError

    try:
        cli()
    except ConfigError as error:
        for problem in error.problems:
            click.echo(f"turnout: {problem}", err=True)
        sys.exit(2)
    except TurnoutError as error:
        click.echo(f"turnout: {error.row.word}: {error.message}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(141)
