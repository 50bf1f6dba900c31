"""`turnout roi`: what routing saves against always-strong and always-cheap. Floor 7."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from turnout.cli.journal import JOURNAL, instant, opened
from turnout.cli.options import config_option, read_config
from turnout.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from turnout.catalog.catalog import Catalog
    from turnout.config import Config
    from turnout.evaluate.roi import Mix, Report
    from turnout.types.address import Address
    from turnout.types.record import Record
    from turnout.types.usage import Price

EXAMPLE = """\
# A month of requests. Prices are USD per million tokens; leave `prices` out to take the catalogue's.
requests_per_month: 100000
classes:
  - {name: simple, share: 0.6, input_tokens: 1000, model: small}
  - {name: complex, share: 0.4, input_tokens: 1000, model: large}
prices:
  small: {input: 2, output: 2}
  large: {input: 30, output: 30}
"""


def _example(context: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        click.echo(EXAMPLE, nl=False)
        context.exit()


@click.command()
@click.option(
    "--mix", type=click.Path(dir_okay=False, path_type=Path), help="A described mix (YAML). See --example."
)
@click.option("--db", type=JOURNAL, help="A journal instead of a mix: its file, or postgres://….")
@config_option
@click.option("--since", callback=instant, help="With --db: only Records from here on (2026-01-31, 7d, …).")
@click.option("--strong", help="The model to compare with. Default: the dearest.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option(
    "--example",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_example,
    help="Print a mix to start from and stop.",
)
def roi(
    mix: Path | None,
    db: "Path | Address | None",
    config_path: Path | None,
    since: datetime | None,
    strong: str | None,
    as_json: bool,
) -> None:
    """Price the same requests as routed, always on the strongest, on the cheapest, and on each model.

    Prices of the configuration come before those of the catalogue; each is printed with its source and date.
    """
    from turnout.evaluate.roi import from_mix, from_records
    from turnout.parts import load_catalog

    if (mix is None) == (db is None):
        raise click.UsageError("give either --mix FILE or --db FILE; --example prints a mix")
    config, path = read_config(config_path)
    catalog = load_catalog(config)
    configured = _configured(config, path, catalog)
    if mix is not None:
        described = read_mix(mix)
        if strong is not None:
            described = msgspec.structs.replace(described, strong=strong)
        found = from_mix(described, catalog, configured)
    else:
        assert db is not None
        found = from_records(_records(db, since), catalog, configured, strong=strong)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
    else:
        show(found)


def _configured(config: "Config", path: Path | None, catalog: "Catalog") -> "Mapping[str, Price]":
    """Return the prices of a configuration's models; no key is needed for it."""
    if path is None:
        return {}
    from turnout.compile import compile_snapshot
    from turnout.evaluate.roi import configured_prices

    snapshot = compile_snapshot(config, catalog, {}, credentials=False)
    return configured_prices(snapshot.deployments.values(), str(path))


def read_mix(path: Path) -> "Mix":
    """Read a described mix. Raises `ConfigError`."""
    import yaml

    from turnout.evaluate.roi import Mix

    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)  # noqa: S506  strings only: prices stay exact
    except OSError as error:
        raise ConfigError((f"{path}: cannot be read: {error.strerror}",)) from None
    except UnicodeDecodeError:
        raise ConfigError((f"{path}: is not UTF-8 text",)) from None
    except yaml.YAMLError as error:
        raise ConfigError((f"{path}: not valid YAML: {error}",)) from None
    try:
        return msgspec.convert(tree, Mix, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError((f"{path}: {error}",)) from None


def _records(db: "Path | Address", since: datetime | None) -> Iterator["Record"]:
    from turnout.stores.base import Query

    with opened(db) as rows:
        query = Query(since=since, order="oldest", limit=1000)
        while True:
            page = rows.query(query)
            yield from page.records
            if not page.more:
                return
            query = msgspec.structs.replace(query, after=page.entries[-1].cursor)


def show(report: "Report") -> None:
    """Print a report for people."""
    from rich.console import Console
    from rich.table import Table

    from turnout.evaluate.roi import usd

    console = Console()
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("policy", "cost", "of always strong"):
        table.add_column(name, justify="left" if name == "policy" else "right")
    for line in report.lines:
        share = "" if line.share_of_strong is None else f"{line.share_of_strong:.1%}"
        table.add_row(line.policy, usd(line.cost_nusd), share)
    console.print(f"[bold]{report.n_requests:,}[/] requests ({report.period})")
    console.print(table)
    console.print(f"saved against always {report.strong}: [bold green]{usd(report.saved_nusd)}[/]")
    for name, price in report.prices.items():
        console.print(f"price   {name}: {price}", style="dim")
    if report.n_left_out:
        console.print(f"left out: {report.n_left_out:,} requests without usage or price", style="yellow")
    for note in report.notes:
        console.print(note, style="dim")
