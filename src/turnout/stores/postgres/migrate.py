"""Brings a database to the form this Turnout works with, step by step. Floor 3.

All missing steps run in one transaction, under a lock: whoever comes second finds them done, and a step that
fails leaves the database as it was.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

import psycopg
from msgspec import Struct

from turnout.errors import ConfigError, StoreUnavailable
from turnout.stores.postgres.connect import Connection, check_url, connect, unavailable
from turnout.stores.postgres.steps import STEPS, Step

MIGRATE_TIMEOUT_S: Final = 3600.0
"""An index on a large table takes its time."""
_LOCK: Final = "SELECT pg_advisory_xact_lock(1953857902, 1)"
_TABLE: Final = """CREATE TABLE IF NOT EXISTS turnout_steps (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, digest TEXT NOT NULL,
    at TIMESTAMPTZ NOT NULL DEFAULT now())"""
_DONE: Final = "SELECT number, digest FROM turnout_steps ORDER BY number"
_NOTE: Final = "INSERT INTO turnout_steps (number, name, digest) VALUES (%s, %s, %s)"


class State(Struct, frozen=True):
    """How a database stands to the steps."""

    done: int
    """Number of the last step that was made."""
    known: int
    """Number of the last step this Turnout knows."""
    changed: tuple[int, ...] = ()
    """Steps that were another text when they were made."""

    @property
    def problem(self) -> str | None:
        """What is wrong, with what to do; None = nothing."""
        if self.changed:
            return f"step {self.changed[0]} is not the one that was made here: another build of Turnout was"
        if self.done > self.known:
            return f"is at step {self.done}, newer than the {self.known} of this Turnout: upgrade Turnout"
        if self.done < self.known:
            return f"is at step {self.done} of {self.known}: run `turnout db migrate`"
        return None


def migrate(url: str, steps: Sequence[Step] = STEPS) -> tuple[str, ...]:
    """Make the missing steps; return their names.

    Raises:
        ConfigError: The database is newer, or was made by other steps.
        StoreUnavailable: It cannot be reached, or refuses; it is as before.
    """
    check_url(url)
    with connect(url, timeout_s=MIGRATE_TIMEOUT_S) as db:
        try:
            with db.transaction():
                db.execute(_LOCK)
                db.execute(_TABLE)
                state = _compared(db, steps)
                if state.changed or state.done > state.known:
                    raise ConfigError((f"the database {state.problem}",))
                missing = [step for step in steps if step.number > state.done]
                for step in missing:
                    db.execute(step.sql.encode())
                    db.execute(_NOTE, (step.number, step.name, _digest(step)))
        except psycopg.Error as failure:
            raise unavailable(failure) from failure
    return tuple(step.name for step in missing)


def state_of(db: Connection, steps: Sequence[Step] = STEPS) -> State:
    """Compare a database with the steps. Raises `StoreUnavailable`."""
    try:
        if db.execute("SELECT to_regclass('turnout_steps')").fetchone() == (None,):
            return State(0, steps[-1].number)
        return _compared(db, steps)
    except psycopg.Error as failure:
        raise unavailable(failure) from failure


def check_steps(url: str) -> None:
    """Refuse a database that was not brought to the form needed; one that cannot be reached passes.

    Raises `ConfigError`.
    """
    check_url(url)
    try:
        with connect(url) as db:
            state = state_of(db)
    except StoreUnavailable:
        return
    if state.problem is not None:
        raise ConfigError((f"the database {state.problem}",))


def _compared(db: Connection, steps: Sequence[Step]) -> State:
    done: dict[int, str] = dict(db.execute(_DONE).fetchall())
    changed = tuple(s.number for s in steps if s.number in done and done[s.number] != _digest(s))
    return State(max(done, default=0), steps[-1].number, changed)


def _digest(step: Step) -> str:
    return hashlib.sha256(step.sql.encode()).hexdigest()
