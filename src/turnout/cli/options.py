"""Options that several commands share. Floor 7."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from turnout.config import Config, load_config

F = TypeVar("F", bound=Callable[..., object])
DEFAULT_FILE = Path("turnout.yaml")

config_option = click.option(
    "-c",
    "--config",
    "config_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Configuration file. Default: ./turnout.yaml where it exists, else every provider whose key is "
    "in the environment.",
)


def share_option(name: str, default: float, text: str) -> Callable[[F], F]:
    """Return an option for a share between 0 and 1, both out of the question."""
    between = click.FloatRange(0, 1, min_open=True, max_open=True)
    return click.option(name, type=between, default=default, show_default=True, help=text)


def confidence_option(default: float) -> Callable[[F], F]:
    """Return `--confidence` of a promise about samples."""
    return share_option("--confidence", default, "Of how many samples the promise holds at least.")


def tell_none(what: str, after: str = "") -> None:
    """Say to whoever looks, and to no pipe, that a list holds nothing (behind `after`)."""
    click.echo(f"no more {what}" if after else f"no {what} yet", err=True)


def find_config(path: Path | None) -> Path | None:
    """Return the configuration file to read; None = there is none, and the environment decides."""
    return DEFAULT_FILE if path is None and DEFAULT_FILE.is_file() else path


def read_config(path: Path | None) -> tuple[Config, Path | None]:
    """Return the configuration and the file it came from, if any. Raises `ConfigError`."""
    found = find_config(path)
    return (Config() if found is None else load_config(found)), found
