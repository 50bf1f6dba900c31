"""`turnout spend`, `turnout usage`, `turnout statement`: what was used and what it cost. Floor 7."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from turnout.cli.journal import JOURNAL, instant, opened

if TYPE_CHECKING:
    from turnout.stores.postgres.rows import PostgresRows
    from turnout.stores.sqlite import SqliteRows
    from turnout.stores.sums import Sum, SumQuery
    from turnout.types.address import Address
    from turnout.types.json import Json

_Command = Callable[..., None]
_DIMENSIONS: Final = (
    *("organisation", "project", "team", "key", "customer", "tag", "route", "model", "provider"),
)
_LEVELS: Final = ("customer", "team", "project", "organisation", "key")


class _Kept:
    """The rows of a file as the functions behind the admin API read them."""

    def __init__(self, rows: "SqliteRows | PostgresRows") -> None:
        self._rows = rows

    async def sums(self, query: "SumQuery") -> "tuple[Sum, ...]":
        """Return sums of the rows."""
        return self._rows.sums(query)


@contextmanager
def _journal(db: "Path | Address") -> Iterator[_Kept]:
    with opened(db) as rows:
        yield _Kept(rows)


def _options(command: _Command) -> _Command:
    for name in reversed(_DIMENSIONS):
        command = click.option(f"--{name}", metavar="ID", help=f"Only with this {name}.")(command)
    options = (
        click.option(
            "--db",
            type=JOURNAL,
            default=Path(".turnout/journal.db"),
            show_default=True,
            help="The journal: its file, or postgres://….",
        ),
        click.option("--by", default="", metavar="LIST", help="Group by up to three of them: team,model."),
        click.option("--per", type=click.Choice(["hour", "day"]), help="Also by hour or day, in UTC."),
        click.option("--since", callback=instant, help="From this hour on: 2026-01-31, 2h, 7d."),
        click.option("--until", callback=instant, help="Before this hour."),
        click.option("--csv", "as_csv", is_flag=True, help="Print CSV."),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@_options
def spend(db: "Path | Address", **given: object) -> None:
    """Sum what was spent, by whoever asked and whatever answered.

    \b
    Examples:
      turnout spend --by team --since 30d
      turnout spend --by customer,model --per day --csv
    """  # noqa: D301 (click reads the control character as "do not wrap")
    _print_sums(db, given, money=True)


@click.command()
@_options
def usage(db: "Path | Address", **given: object) -> None:
    """Sum requests and tokens, by whoever asked and whatever answered."""
    _print_sums(db, given, money=False)


def _print_sums(db: "Path | Address", given: Mapping[str, object], *, money: bool) -> None:
    from turnout.server.admin import spend as told
    from turnout.server.admin.cells import json_lines

    words = {
        name: str(value) for name, value in given.items() if value and name in {"by", "per", *_DIMENSIONS}
    }
    since, until = _hour(given["since"]), _hour(given["until"])
    query = told.asked(words, money=money, since=since, until=until)
    with _journal(db) as journal:
        sums = asyncio.run(told.summed(journal, query))
    rows = told.rows_of(query, sums, money=money)
    if given["as_json"]:
        click.echo(json_lines(rows), nl=False)
    elif given["as_csv"]:
        click.echo(told.as_csv(query, rows, money=money), nl=False)
    else:
        _table(rows)


def _hour(at: object) -> datetime | None:
    """Return the beginning of the hour of an instant: sums are kept by the hour."""
    return at.replace(minute=0, second=0, microsecond=0) if isinstance(at, datetime) else None


def _table(rows: "Sequence[Mapping[str, Json]]") -> None:
    if not rows:
        click.echo("no request matches")
        return
    names = list(rows[0])
    cells = [names, *(["-" if row[name] is None else str(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(names))]
    for line in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


@click.command()
@click.argument("level", type=click.Choice(_LEVELS))
@click.argument("subject", metavar="ID")
@click.option("--month", required=True, metavar="YYYY-MM", help="In UTC.")
@click.option(
    "--db",
    type=JOURNAL,
    default=Path(".turnout/journal.db"),
    show_default=True,
    help="The journal: its file, or postgres://….",
)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV instead of JSON.")
def statement(level: str, subject: str, month: str, db: "Path | Address", *, as_csv: bool) -> None:
    """Say what one customer, team, project, organisation or key spent in a month, model by model.

    \b
    Example:
      turnout statement customer ada --month 2026-01 --csv
    """  # noqa: D301 (click reads the control character as "do not wrap")
    import msgspec

    from turnout.server.admin import spend as told

    named = next(each for each in told.LEVELS if each == level)
    with _journal(db) as journal:
        found = asyncio.run(told.statement(journal, named, subject, month, None))
    if as_csv:
        click.echo(told.statement_csv(found), nl=False)
    else:
        click.echo(msgspec.json.format(msgspec.json.encode(found)))
