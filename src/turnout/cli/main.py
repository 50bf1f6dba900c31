"""The command line: one group, each command loaded when it is called. Floor 7."""

import os
import sys

import click

from turnout.cli.lazy import Lazy

COMMANDS = {
    "serve": "turnout.cli.serve:serve",
    "check": "turnout.cli.check:check",
    "route": "turnout.cli.route:route",
    "recommend": "turnout.cli.recommend:recommend",
    "demo": "turnout.cli.demo:demo",
    "catalog": "turnout.cli.catalog:catalog",
    "import": "turnout.cli.import_:import_",
    "journal": "turnout.cli.journal:journal",
    "db": "turnout.cli.db:db",
    "spend": "turnout.cli.spend:spend",
    "usage": "turnout.cli.spend:usage",
    "statement": "turnout.cli.spend:statement",
    "config": "turnout.cli.versions:config",
    "record": "turnout.cli.record:record",
    "roi": "turnout.cli.roi:roi",
    "replay": "turnout.cli.replay:replay",
    "scores": "turnout.cli.scores:scores",
    "background": "turnout.cli.background:background",
    "collect": "turnout.cli.collect:collect",
    "fit": "turnout.cli.fit:fit",
    "cache": "turnout.cli.cache:cache",
    "calibrate": "turnout.cli.calibrate:calibrate",
    "eval": "turnout.cli.eval:eval_",
    "compress": "turnout.cli.compress:compress",
    "guard": "turnout.cli.guard:guard",
    "keys": "turnout.cli.keys:keys",
    "users": "turnout.cli.users:users",
    "tokens": "turnout.cli.tokens:tokens",
    "pepper": "turnout.cli.pepper:pepper",
    "org": "turnout.cli.owners:org",
    "project": "turnout.cli.owners:project",
    "team": "turnout.cli.owners:team",
    "customer": "turnout.cli.owners:customer",
    "budget": "turnout.cli.owners:budget",
    "quota": "turnout.cli.owners:quota",
    "credentials": "turnout.cli.credentials:credentials",
    "openapi": "turnout.cli.openapi:openapi",
    "audit": "turnout.cli.audit:audit",
    "alerts": "turnout.cli.alerts:alerts",
    "privacy": "turnout.cli.privacy:privacy",
    "bench": "turnout.cli.bench:bench",
    "top": "turnout.cli.top:top",
}


@click.group(
    cls=Lazy,
    addresses=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="turnout", prog_name="turnout")
def cli() -> None:
    """Guide each LLM request onto the model that should answer it."""


def main() -> None:
    """Run the command line; every failure a user can cause is one line on stderr."""
    from turnout.errors import ConfigError, TurnoutError

    # Before numpy is there. Its matrices are small here, and gateways have a process on each core: threads
    # would only wait for each other (a fit took twice the processor time with two).
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        status = cli(prog_name="turnout", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        _tell(_sentence(error))
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except ConfigError as error:
        for problem in error.problems:
            _tell(problem)
        sys.exit(2)
    except TurnoutError as error:
        _tell(f"{error.row.word}: {error.message}")
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(141)
    except OSError as error:  # a full disk, a folder that is not there or not to be written
        where = "" if error.filename is None else f"{error.filename}: "
        _tell(f"{where}{error.strerror or error}")
        sys.exit(1)
    sys.exit(status if isinstance(status, int) else 0)


def _tell(line: str) -> None:
    click.echo(f"turnout: {' '.join(line.split())}", err=True)


def _sentence(error: click.ClickException) -> str:
    """Write what click found wrong on one line, with where to look."""
    text = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    return text if context is None else f"{text}; see `{context.command_path} --help`"
