"""A ledger in one SQLite file, shared by the workers of one machine. Floor 3.

Theory of operation.

1. Every call is one transaction that begins by taking the write lock, so calls of all processes come one
   after the other; each is over in some tens of microseconds and runs on the event loop's own thread.
2. A commit goes to the write-ahead log without waiting for the disk: a killed process loses nothing; a power
   cut may lose the last moments of the machine, for which `durable` waits.
3. What a reservation wrote is kept with it, so that a settlement finds its cells whichever process makes it.
4. A commit writes whole pages, and that is half of what it costs: pages are small, and reservations, of which
   there are as many as calls under way, have no second index.
"""

import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from turnout.errors import ConfigError, StoreUnavailable
from turnout.stores.ledger.base import (
    KEPT_S,
    Granted,
    Held,
    Refused,
    Skewed,
    Take,
    cells_of,
    is_outside,
    wait_for,
)

T = TypeVar("T")
OPEN_BUSY_S: Final = 10.0
SCHEMA_VERSION: Final = 1
_PAGES: Final = "PRAGMA page_size = 1024"
"""Of a file that is made now; one that is there keeps its own."""
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS turnout_schema (part TEXT PRIMARY KEY, version INTEGER NOT NULL)",
    """CREATE TABLE IF NOT EXISTS cells (
        account TEXT NOT NULL, cell INTEGER NOT NULL, used INTEGER NOT NULL, ends REAL NOT NULL,
        PRIMARY KEY (account, cell)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS cells_ends ON cells (ends)",
    """CREATE TABLE IF NOT EXISTS reservations (
        id TEXT PRIMARY KEY, takes BLOB NOT NULL, ends REAL NOT NULL, swept INTEGER NOT NULL
        ) WITHOUT ROWID""",
    "DROP INDEX IF EXISTS reservations_ends",
    "INSERT INTO turnout_schema (part, version) VALUES ('ledger', 1) ON CONFLICT (part) DO NOTHING",
)
_SUM: Final = "SELECT COALESCE(SUM(used), 0) FROM cells WHERE account = ? AND cell BETWEEN ? AND ?"
_ONE: Final = "SELECT used FROM cells WHERE account = ? AND cell = ?"
_CELLS: Final = "SELECT cell, used FROM cells WHERE account = ? AND cell BETWEEN ? AND ? ORDER BY cell"
_ADD: Final = """INSERT INTO cells (account, cell, used, ends) VALUES (?, ?, ?, ?)
    ON CONFLICT (account, cell) DO UPDATE SET used = used + excluded.used"""
_CORRECT: Final = "UPDATE cells SET used = used + ? WHERE account = ? AND cell = ?"
_KNOWN: Final = "SELECT 1 FROM reservations WHERE id = ?"
_OPEN: Final = (
    "INSERT INTO reservations (id, takes, ends, swept) VALUES (?, ?, ?, 0) ON CONFLICT (id) DO NOTHING"
)
_CLOSE: Final = "DELETE FROM reservations WHERE id = ? RETURNING takes, swept"
_ENDED: Final = "SELECT id, takes, swept FROM reservations WHERE ends <= ? ORDER BY ends LIMIT 1000"
_SWEPT: Final = "UPDATE reservations SET swept = 1, ends = ? WHERE id = ?"
_FORGET_RESERVATION: Final = "DELETE FROM reservations WHERE id = ?"
_FORGET_CELLS: Final = "DELETE FROM cells WHERE ends <= ?"
_ALL_OPEN: Final = "SELECT takes FROM reservations WHERE swept = 0"
_ZERO: Final = "UPDATE cells SET used = 0 WHERE account = ?"

Written = tuple[str, int, int, bool]
"""Account, cell, amount, and whether it is only held."""
_ENCODE: Final = msgspec.msgpack.Encoder().encode
_DECODE: Final = msgspec.msgpack.Decoder(tuple[Written, ...]).decode


class SqliteLedger:
    """A `Ledger` in a file.

    Args:
        path: The database; its folder is made, readable by this user only.
        durable: Whether a commit waits for the disk, so that it survives a power cut.
        now: Unix seconds.

    Raises:
        ConfigError: The file cannot be opened, is no database, or was written by a newer Turnout.
    """

    def __init__(self, path: Path, *, durable: bool = False, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self.path = path
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            self._db = sqlite3.connect(path, timeout=OPEN_BUSY_S, isolation_level=None)
        except (OSError, sqlite3.Error) as failure:
            raise ConfigError((f"ledger: cannot open {path}: {failure}",)) from failure
        try:
            self._prepare(durable=durable)
        except sqlite3.Error as failure:
            self._db.close()
            raise ConfigError((f"ledger: {path} cannot be used as a database: {failure}",)) from failure
        except ConfigError:
            self._db.close()
            raise

    def _prepare(self, *, durable: bool) -> None:
        self._db.execute(_PAGES)
        give_up_at = time.monotonic() + OPEN_BUSY_S
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError:  # changing to it reports "locked" at once
                if time.monotonic() > give_up_at:
                    raise
            time.sleep(0.02)
        self._db.execute("PRAGMA synchronous = FULL" if durable else "PRAGMA synchronous = NORMAL")
        version = self._in_one_step(self._migrate)
        if version > SCHEMA_VERSION:
            raise ConfigError((f"ledger: {self.path} was written by a newer Turnout (schema {version})",))
        self._db.execute("PRAGMA busy_timeout = 1000")

    def _migrate(self) -> int:
        for statement in _SCHEMA:
            self._db.execute(statement)
        (version,) = self._db.execute("SELECT version FROM turnout_schema WHERE part = 'ledger'").fetchone()
        return int(version)

    def _in_one_step(self, work: Callable[[], T]) -> T:
        """Run statements as one step. Raises `StoreUnavailable`; then nothing was changed."""
        run = self._db.execute
        try:
            run("BEGIN IMMEDIATE")
            try:
                done = work()
            except BaseException:
                run("ROLLBACK")
                raise
            run("COMMIT")
        except sqlite3.Error as failure:
            raise StoreUnavailable(f"the ledger refuses: {failure}") from failure
        return done

    async def reserve(
        self, reservation: str, takes: Sequence[Take], *, lease_s: float
    ) -> Granted | Refused | Skewed:
        """Take from all accounts, or from none."""
        return self._in_one_step(partial(self._reserve, reservation, takes, lease_s))

    def _reserve(self, reservation: str, takes: Sequence[Take], lease_s: float) -> Granted | Refused | Skewed:
        run, now = self._db.execute, self._now()
        for take in takes:
            if is_outside(take.span, now):
                return Skewed(now)
        before = [self._used(take, now) for take in takes]
        for index, (take, (used, _)) in enumerate(zip(takes, before, strict=True)):
            if take.limit is not None and used + take.amount > take.limit:
                if run(_KNOWN, (reservation,)).fetchone():
                    break
                first, last, _ = cells_of(take.span, now)
                return Refused(
                    index, used, wait_for(take, run(_CELLS, (take.account, first, last)).fetchall(), now)
                )
        written, upserts = _cells(takes, before, now)
        if not run(_OPEN, (reservation, _ENCODE(written), now + lease_s)).rowcount:
            return Granted(tuple([used for used, _ in before]))  # it was there already
        self._db.executemany(_ADD, upserts)
        return Granted(tuple([used + take.amount for (used, _), take in zip(before, takes, strict=True)]))

    async def settle(self, reservation: str, amounts: Sequence[int]) -> bool:
        """Replace what was set aside by what was used."""
        return self._in_one_step(partial(self._settle, reservation, amounts))

    def _settle(self, reservation: str, amounts: Sequence[int]) -> bool:
        row = self._db.execute(_CLOSE, (reservation,)).fetchone()
        if row is None:
            return False
        corrections: list[tuple[int, str, int]] = []
        for (account, cell, taken, held), amount in zip(_DECODE(row[0]), amounts, strict=True):
            by = (0 if row[1] else -taken) if held else amount - taken
            if by:
                corrections.append((by, account, cell))
        self._db.executemany(_CORRECT, corrections)
        return True

    async def used(self, takes: Sequence[Take]) -> tuple[int, ...]:
        """Return what is used of each account now."""
        now = self._now()
        try:
            return tuple([self._used(take, now)[0] for take in takes])
        except sqlite3.Error as failure:
            raise StoreUnavailable(f"the ledger refuses: {failure}") from failure

    def _used(self, take: Take, now: float) -> tuple[int, bool]:
        """Return what is used, and whether the cell that is written now is surely there."""
        first, last, _ = cells_of(take.span, now)
        if first == last:
            row = self._db.execute(_ONE, (take.account, last)).fetchone()
            return (0, False) if row is None else (row[0], True)
        (used,) = self._db.execute(_SUM, (take.account, first, last)).fetchone()
        return used, False

    async def sweep(self) -> tuple[str, ...]:
        """Close reservations whose lease has ended; return their ids. Forgets cells that count no more."""
        return self._in_one_step(self._sweep)

    def _sweep(self) -> tuple[str, ...]:
        run, now = self._db.execute, self._now()
        swept = []
        for reservation, takes, is_swept in run(_ENDED, (now,)).fetchall():
            if is_swept:
                run(_FORGET_RESERVATION, (reservation,))
                continue
            for account, cell, amount, held in _DECODE(takes):
                if held:
                    run(_CORRECT, (-amount, account, cell))
            run(_SWEPT, (now + KEPT_S, reservation))
            swept.append(reservation)
        run(_FORGET_CELLS, (now,))
        return tuple(swept)

    async def reset(self, accounts: Sequence[str]) -> None:
        """Forget what was used of accounts, reservations under way aside."""
        self._in_one_step(partial(self._reset, frozenset(accounts)))

    def _reset(self, named: frozenset[str]) -> None:
        for account in named:
            self._db.execute(_ZERO, (account,))
        for (takes,) in self._db.execute(_ALL_OPEN).fetchall():
            for account, cell, amount, _ in _DECODE(takes):
                if account in named:
                    self._db.execute(_CORRECT, (amount, account, cell))

    async def close(self) -> None:
        """Close the file."""
        self._db.close()


def _cells(
    takes: Sequence[Take], before: Sequence[tuple[int, bool]], now: float
) -> tuple[list[Written], list[tuple[str, int, int, float]]]:
    """Return what a reservation writes, and rows for it: to add nothing to what is there takes none."""
    written: list[Written] = []
    rows: list[tuple[str, int, int, float]] = []
    for take, (_, is_there) in zip(takes, before, strict=True):
        _, cell, ends = cells_of(take.span, now)
        written.append((take.account, cell, take.amount, isinstance(take.span, Held)))
        if take.amount or not is_there:
            rows.append((take.account, cell, take.amount, ends))
    return written, rows
