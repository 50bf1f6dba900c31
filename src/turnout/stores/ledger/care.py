"""Checking and copying a ledger's files while gateways run. Floor 3."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from turnout.errors import ConfigError
from turnout.stores import sqlite_file
from turnout.stores.ledger import kept
from turnout.stores.ledger.log import GapError, folder_of, numbers, replayed
from turnout.stores.ledger.state import State

T = TypeVar("T")
ATTEMPTS: Final = 5
"""The copy may move on while the log is read; each attempt takes about as long as a start."""
PAUSE_S: Final = 0.1


def problem_of(path: Path) -> str | None:
    """Say what is wrong with a ledger; None = it is intact. Changes nothing."""
    if (problem := sqlite_file.problem_of(path)) is not None:
        return problem
    try:
        with closing(sqlite_file.read_only(path)) as found:
            version = kept.version_of(found)
        if version > kept.SCHEMA_VERSION:
            return kept.newer(path, version)
        state_of(path)
    except sqlite3.Error as failure:
        return str(failure)
    except ConfigError as error:
        return "; ".join(error.problems).removeprefix("ledger: ")
    return None


def state_of(path: Path) -> State | None:
    """Read a ledger as it is now; None = it is of a release without a log. Changes nothing.

    Raises:
        ConfigError: It is damaged.
        sqlite3.Error: It cannot be read.
    """
    return _retried(_state, path)


def _state(path: Path) -> State | None:
    with closing(sqlite_file.read_only(path)) as found:
        try:
            loaded = kept.load(found)
        except (msgspec.MsgspecError, TypeError) as failure:
            raise ConfigError((f"ledger: {path} is damaged: {failure}",)) from failure
    if loaded is not None:
        _apply(loaded.state, path, loaded.lineage, loaded.through)
    return None if loaded is None else loaded.state


def copy(path: Path, target: Path) -> None:
    """Write a ledger with all its log holds into one file, a ledger of its own, readable by this user only.

    Raises:
        ConfigError: It is damaged.
        sqlite3.Error: It cannot be read or written.
    """

    def once(path: Path) -> None:
        sqlite_file.copy(path, target)
        copied = kept.Kept(target)
        try:
            loaded = copied.load()
            _apply(loaded.state, path, loaded.lineage, loaded.through)
        finally:
            copied.close()
        kept.write_alone(target, loaded.state)

    _retried(once, path)


def _apply(state: State, path: Path, lineage: str, through: int) -> None:
    for _, step in replayed(folder_of(path), lineage, through):
        state.apply(step)


def _retried(work: Callable[[Path], T], path: Path) -> T:
    for _ in range(ATTEMPTS):
        try:
            return work(path)
        except GapError:
            time.sleep(PAUSE_S)
    there = numbers(folder_of(path))
    raise ConfigError((f"ledger: {path} does not reach to file {min(there)} of {folder_of(path)}",))
