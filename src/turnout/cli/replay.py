"""`turnout replay`: decisions of the journal made again, and compared. Floor 7."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from turnout.cli.journal import JOURNAL, opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from turnout.evaluate.replay import Replay
    from turnout.types.address import Address
    from turnout.types.record import Record

PAGE = 1000


@click.command()
@click.option(
    "--db",
    type=JOURNAL,
    required=True,
    help="The journal: its file (journal.path), or postgres://… (journal.store).",
)
@click.option(
    "--config",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("turnout.yaml"),
    show_default=True,
    help="The configuration to decide with; another one than the recorded shows what it would change.",
)
@click.option(
    "--limit", type=click.IntRange(1), default=10_000, show_default=True, help="Latest Records read."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_context
def replay(context: click.Context, db: "Path | Address", path: Path, limit: int, *, as_json: bool) -> None:
    """Decide again from Records alone; nothing is sent. Exit code 1 when a decision came out otherwise."""
    from turnout.compile import compile_snapshot
    from turnout.config import load_config
    from turnout.evaluate.replay import replay_all
    from turnout.parts import load_catalog

    config = load_config(path)
    snapshot = compile_snapshot(config, load_catalog(config), {}, credentials=False)
    found = replay_all(_records(db, limit), snapshot)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        show(found)
    context.exit(1 if found.n_different else 0)


def _records(db: "Path | Address", limit: int) -> "Iterator[Record]":
    from turnout.stores.base import Query

    with opened(db) as rows:
        query = Query(order="newest", limit=min(PAGE, limit))
        while limit > 0:
            page = rows.query(query)
            yield from page.records
            limit -= len(page.entries)
            if not page.more or not page.entries:
                return
            query = msgspec.structs.replace(
                query, after=page.entries[-1].cursor, limit=min(PAGE, max(limit, 1))
            )


def show(found: "Replay") -> None:
    """Print a result for people."""
    click.echo(f"{found.n_equal:,} of {found.n:,} decisions equal")
    if found.n_other_config:
        click.echo(f"{found.n_other_config:,} were made with another configuration than this one")
    for why, n in found.unable.items():
        click.echo(f"{n:,} cannot be made again: {why}")
    if found.n_different:
        click.echo(f"{found.n_different:,} came out otherwise; the first of them:")
    for each in found.different:
        click.echo(f"  {each.request_id}")
        for line in each.differences[:5]:
            click.echo(f"    {line}")
