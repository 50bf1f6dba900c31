"""`turnout import`: another tool's configuration as Turnout's, with a report of every key. Floor 7."""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from turnout.errors import ConfigError
from turnout.types.json import Json

if TYPE_CHECKING:
    from turnout.catalog.catalog import Catalog
    from turnout.importers.report import Imported

_COLOURS = {"mapped": "green", "approximated": "yellow", "ignored": "", "refused": "red"}
_file = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
_out = click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write here instead of stdout."
)


@click.group(name="import")
def import_() -> None:
    """Turn another tool's configuration into Turnout's.

    The configuration goes to stdout or --out, the report to stderr. Exit status 2 when anything was refused.
    """


@import_.command()
@_file
@_out
def litellm(file: Path, out: Path | None) -> None:
    """Import a LiteLLM config.yaml."""
    from turnout.importers.litellm import import_litellm

    _import(file, out, import_litellm)


@import_.command()
@_file
@_out
def openrouter(file: Path, out: Path | None) -> None:
    """Import OpenRouter presets or request bodies (JSON): one, several by name, or the API's list."""
    from turnout.importers.openrouter import import_openrouter

    _import(file, out, import_openrouter)


@import_.command()
@_file
@_out
def portkey(file: Path, out: Path | None) -> None:
    """Import Portkey gateway configurations (JSON): one, or several by name."""
    from turnout.importers.portkey import import_portkey

    _import(file, out, import_portkey)


@import_.command()
@_file
@_out
def rules(file: Path, out: Path | None) -> None:
    """Import a map of routing_rules (JSON or YAML)."""
    from turnout.importers.rules import import_rules

    _import(file, out, import_rules)


def _import(file: Path, out: Path | None, read: "Callable[[Json, Catalog], Imported]") -> None:
    import yaml

    from turnout.catalog.catalog import Catalog

    try:
        tree: Json = yaml.safe_load(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise ConfigError((f"{file}: is not UTF-8 text",)) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError((f"{file}: {at}{error.problem}",)) from None
    except yaml.YAMLError as error:
        raise ConfigError((f"{file}: cannot be read: {error}",)) from None
    catalog = Catalog.load()
    try:
        found = read(tree, catalog)
    except ConfigError as error:
        raise ConfigError(tuple(f"{file}: {problem}" for problem in error.problems)) from None
    text = yaml.safe_dump(found.config, sort_keys=False, allow_unicode=True, width=110)
    _check(text, catalog)
    if out is None:
        click.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")
    _report(found, text)
    if found.refused:
        sys.exit(2)


def _check(text: str, catalog: "Catalog") -> None:
    """Make sure that what is written can be used once its variables are set. Raises `ConfigError`."""
    from turnout.compile import compile_snapshot
    from turnout.config import parse_config

    config = parse_config(text, env=_Set())
    compile_snapshot(config, catalog, {}, credentials=False)


class _Set(Mapping[str, str]):
    """An environment in which every variable has a value that can be an address as well."""

    def __getitem__(self, name: str) -> str:
        return "https://unset.invalid"

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _report(found: "Imported", text: str) -> None:
    for note in found.notes:
        fate = click.style(f"{note.fate:<12}", fg=_COLOURS[note.fate] or None)
        click.echo(f"{fate} {note.path}" + (f": {note.say}" if note.say else ""), err=True)
    counts = {fate: sum(note.fate == fate for note in found.notes) for fate in _COLOURS}
    click.echo("turnout: " + ", ".join(f"{n} {fate}" for fate, n in counts.items()), err=True)
    names = sorted(set(re.findall(r"\$\{env:([^}]*)\}", text)))
    if names:
        click.echo(f"turnout: set {', '.join(names)} before it is used", err=True)
