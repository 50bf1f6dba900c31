"""Options that several commands share. Floor 7."""

from pathlib import Path

import click

from turnout.config import Config, load_config

DEFAULT_FILE = Path("turnout.yaml")

config_option = click.option(
    "-c",
    "--config",
    "config_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Configuration file. Default: ./turnout.yaml where it exists, else every provider whose key is "
    "in the environment.",
)


def find_config(path: Path | None) -> Path | None:
    """Return the configuration file to read; None = there is none, and the environment decides."""
    return DEFAULT_FILE if path is None and DEFAULT_FILE.is_file() else path


def read_config(path: Path | None) -> tuple[Config, Path | None]:
    """Return the configuration and the file it came from, if any. Raises `ConfigError`."""
    found = find_config(path)
    return (Config() if found is None else load_config(found)), found
