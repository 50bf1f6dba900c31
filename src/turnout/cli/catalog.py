"""`turnout catalog`: look at the model catalogue, compare it, overlay it. Floor 7.

Nothing here uses the network: a new edition is a file that the user fetched.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from turnout.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from turnout.catalog.catalog import Catalog
    from turnout.catalog.compare import Change, Difference
    from turnout.types.deployment import Model

_SHOWN_LINES: Final = 40
"""Rows of a difference that are printed unless all are asked for."""
_PLAIN_WIDTH: Final = 160
"""Columns used when the output is no terminal, so that a pipe sees whole names."""
_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


class CatalogError(click.ClickException):
    """A failure shown as one line; the hint says what to do."""

    @classmethod
    def of(cls, error: ConfigError) -> "CatalogError":
        """Show the first problem and how many more there are."""
        first, *more = error.problems
        return cls(f"{first} (and {len(more)} more)" if more else first)


@click.group("catalog")
def catalog() -> None:
    """Look at the model catalogue: windows, prices, capabilities, retirement.

    The catalogue comes with Turnout and is never fetched. `diff` compares it with another file, `update`
    turns what is new there into an overlay for the configuration (catalog.overlay).
    """


@catalog.command("show")
@click.argument("model", required=False)
@click.option("--provider", metavar="NAME", help="List the models of one provider.")
@click.option("--overlay", type=_FILE, help="Apply an overlay file first, as the gateway would.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: prices in pico-USD per token or unit.")
def show(model: str | None, provider: str | None, overlay: Path | None, *, as_json: bool) -> None:
    """Show one MODEL, the models of one provider, or (without either) the providers.

    MODEL is provider/model, or a bare id where it is plain whose it is. Prices are USD per million tokens,
    and USD per unit where the name says per_. A dash means: not known. An unknown price is never zero.

    \b
    Examples:
      turnout catalog show anthropic/claude-haiku-4-5
      turnout catalog show gpt-5 --json
      turnout catalog show --provider groq
    """  # noqa: D301 (click reads the control character as "do not wrap")
    if model and provider:
        raise CatalogError("MODEL and --provider exclude each other; give one of them")
    known = _open(overlay)
    if model:
        _show_model(known, model, as_json=as_json)
    elif provider:
        _show_provider(known, provider, as_json=as_json)
    else:
        _show_providers(known, as_json=as_json)


@catalog.command("diff")
@click.argument("file", type=_FILE)
@click.option(
    "--all", "everything", is_flag=True, help=f"Print every line, not only the first {_SHOWN_LINES}."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def diff(file: Path, *, everything: bool, as_json: bool) -> None:
    """Show what FILE says differently: models added and removed, prices and other facts changed.

    FILE is another models.json, or the price map of litellm (model_prices_and_context_window.json).
    """
    from turnout.catalog.compare import compare

    first = _open(None)
    second, _ = _read(file, first)
    difference = compare(first, second)
    if as_json:
        _print_json(difference)
    else:
        _print_difference(difference, everything=everything)


@catalog.command("update")
@click.option("--from", "file", type=_FILE, required=True, help="The new models.json or litellm price map.")
@click.option(
    "--write", type=click.Path(dir_okay=False, path_type=Path), help="Write the overlay to this file."
)
@click.option(
    "--all", "everything", is_flag=True, help=f"Print every line, not only the first {_SHOWN_LINES}."
)
def update(file: Path, write: Path | None, *, everything: bool) -> None:
    """Check a new edition, show what changes, and write it as an overlay.

    The file is checked row by row and nothing is fetched. Without --write nothing is written. The overlay
    holds what is added or changed; models that the new edition lacks stay. Name it in the configuration:

    \b
      catalog:
        overlay: prices.json
    """  # noqa: D301 (click reads the control character as "do not wrap")
    from turnout.catalog.catalog import write_overlay
    from turnout.catalog.compare import as_overlay, compare

    first = _open(None)
    second, refused = _read(file, first)
    difference = compare(first, second)
    _print_difference(difference, everything=everything)
    for problem in refused:
        click.echo(f"left out: {problem}", err=True)
    if write is None:
        click.echo("Nothing written; add --write FILE to keep this as an overlay.")
        return
    overlay = as_overlay(difference, first, second)
    try:
        write.write_bytes(write_overlay(overlay))
    except OSError as error:
        raise CatalogError(f"cannot write {write}: {error.strerror}") from error
    click.echo(f"{len(overlay)} models in {write}; name it in the configuration as catalog.overlay")


def _open(overlay: Path | None) -> "Catalog":
    from turnout.catalog.catalog import Catalog, read_overlay

    known = Catalog.load()
    if overlay is None:
        return known
    try:
        return known.overlay(read_overlay(overlay.read_bytes(), str(overlay)))
    except ConfigError as error:
        raise CatalogError.of(error) from error


def _read(file: Path, first: "Catalog") -> tuple["Catalog", Sequence[str]]:
    from turnout.catalog.edition import read_edition

    today = datetime.now(tz=UTC).date().isoformat()
    try:
        edition = read_edition(file.read_bytes(), str(file), as_of=today, base=first)
    except ConfigError as error:
        named = (line if line.startswith(str(file)) else f"{file}: {line}" for line in error.problems)
        raise CatalogError.of(ConfigError(tuple(named))) from error
    return edition.catalog, edition.refused


def _show_model(known: "Catalog", name: str, *, as_json: bool) -> None:
    from turnout.catalog.compare import describe

    model = known.resolve(name)
    if model is None:
        hint = known.suggest(name) or "; `turnout catalog show` lists the providers"
        if any(each.startswith(f"{name}/") for each in known.names()):
            hint = f"; `turnout catalog show --provider {name}` lists that provider's models"
        raise CatalogError(f"no model {name!r}{hint}")
    if as_json:
        _print_json(model)
        return
    table = _table(model.id, "fact", "value")
    for fact, value in describe(model).items():
        table.add_row(fact, value)
    if model.price is None:
        table.add_row("price", "not known")
    else:
        table.add_row("price source", f"{model.price.source}, {model.price.as_of}".rstrip(", "))
    table.add_row("source", f"{model.source}, {model.as_of}".rstrip(", "))
    _print(table)


def _show_provider(known: "Catalog", provider: str, *, as_json: bool) -> None:
    from turnout.catalog.vendors import find_vendor
    from turnout.registry import did_you_mean

    vendor = find_vendor(provider)
    name = vendor.name if vendor else provider
    models = [model for model in known if model.id.startswith(f"{name}/")]
    if not models:
        providers = {each.partition("/")[0] for each in known.names()}
        hint = did_you_mean(name, providers) or "; `turnout catalog show` lists the providers"
        raise CatalogError(f"the catalogue has no models of {provider!r}{hint}")
    if as_json:
        _print_json(models)
        return
    table = _table(
        f"{len(models)} models of {name}", "model", "window", "max out", "in", "out", "cached", "retires"
    )
    for model in models:
        table.add_row(*_columns(model))
    _print(table)


def _show_providers(known: "Catalog", *, as_json: bool) -> None:
    from turnout.catalog.vendors import vendors

    models = Counter(name.partition("/")[0] for name in known.names())
    priced = Counter(model.id.partition("/")[0] for model in known if model.price)
    rows = vendors()
    names = sorted({*models, *rows})
    if as_json:
        _print_json([{"provider": name, "models": models[name], "priced": priced[name]} for name in names])
        return
    table = _table(f"{len(known)} models, {known.as_of}", "provider", "models", "priced", "address")
    for name in names:
        address = rows[name].base_url if name in rows else "no address: catalogued only"
        table.add_row(name, str(models[name]), str(priced[name]), address)
    _print(table)


def _columns(model: "Model") -> Iterable[str]:
    from turnout.catalog.prices import usd_per_mtok

    price = model.price
    cached = price.cache_read if price else None
    return (
        model.id,
        f"{model.context_window:,}" if model.context_window else "-",
        f"{model.max_output:,}" if model.max_output else "-",
        str(usd_per_mtok(price.input)) if price else "-",
        str(usd_per_mtok(price.output)) if price else "-",
        str(usd_per_mtok(cached)) if cached is not None else "-",
        model.retires_on or "-",
    )


def _print_difference(difference: "Difference", *, everything: bool) -> None:
    prices = [change for change in difference.changed if change.field.startswith("price")]
    others = [change for change in difference.changed if not change.field.startswith("price")]
    _print_changes("prices", prices, everything=everything)
    _print_changes("other facts", others, everything=everything)
    _print_names("added", difference.added, everything=everything)
    _print_names("removed", difference.removed, everything=everything)
    models = len({change.model for change in difference.changed})
    click.echo(f"{len(difference.added)} added, {len(difference.removed)} removed, {models} changed")


def _print_changes(title: str, changes: Sequence["Change"], *, everything: bool) -> None:
    if not changes:
        return
    shown = changes if everything else changes[:_SHOWN_LINES]
    table = _table(f"{len(changes)} changed {title}", "model", "fact", "now", "in the file")
    for change in shown:
        table.add_row(change.model, change.field, change.before or "-", change.after or "-")
    _print(table)
    _print_rest(len(changes) - len(shown))


def _print_names(title: str, names: Sequence[str], *, everything: bool) -> None:
    shown = names if everything else names[:_SHOWN_LINES]
    for name in shown:
        click.echo(f"{title}: {name}")
    _print_rest(len(names) - len(shown))


def _print_rest(n: int) -> None:
    if n:
        click.echo(f"… and {n} more; --all prints them")


def _table(title: str, *columns: str) -> "Table":
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for at, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=at == 0)
    return table


def _print(table: "Table") -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    console.print(table)


def _print_json(value: object) -> None:
    import msgspec

    encoded = msgspec.json.encode(value, order="deterministic")
    click.echo(msgspec.json.format(encoded, indent=2))
