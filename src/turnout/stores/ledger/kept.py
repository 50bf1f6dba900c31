"""The durable copy of a ledger: one SQLite file, written behind its log. Floor 3.

Theory of operation.

1. It holds every account and every open reservation as they were when the log's file `through` ended. A write
   replaces whole accounts, so it may be made by any worker, twice, or not at all.
2. A write names the file that it reaches to. One that comes late, after another that reaches further, does
   nothing. A log file is removed only when a write that reaches it is on the disk.
3. `lineage` names the ledger. The files of a log bear it too, so that a copy that was put back is never
   mistaken for the beginning of a log that it does not belong to.
4. Files of schema 1, in which each call was a transaction on the rows, are taken over as they are. Their
   tables are dropped: a process of the release before, still running, is refused instead of counting apart.
   As it was, the file is kept beside, so that one can go back (`kept_before`).
"""

import secrets
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from turnout.errors import ConfigError
from turnout.stores.ledger.state import Account, Open, State
from turnout.stores.ledger.steps import WRITTEN, Written
from turnout.stores.sqlite_file import Form, copy, opened, transaction

BUSY_S: Final = 10.0
SCHEMA_VERSION: Final = 2
_SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS ledger_accounts (
        account TEXT PRIMARY KEY, ends REAL NOT NULL, cells BLOB NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS ledger_open (
        id TEXT PRIMARY KEY, written BLOB NOT NULL, ends REAL NOT NULL, swept INTEGER NOT NULL
        ) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS ledger_log (lineage TEXT NOT NULL, through INTEGER NOT NULL)",
)
_INSTEAD: Final = (
    "stop every gateway, remove its -log folder and put back what was kept beside it "
    f"(-schema{SCHEMA_VERSION}): what was counted since is not in that"
)
_ENDED: Final = "SELECT account FROM ledger_accounts WHERE ends <= ?"
_ENCODE: Final = msgspec.msgpack.Encoder().encode
_CELLS: Final = msgspec.msgpack.Decoder(dict[int, int])
_BEFORE: Final = msgspec.msgpack.Decoder(tuple[tuple[str, int, int, bool], ...])
"""What a reservation of schema 1 wrote."""


class Loaded(Struct, frozen=True):
    """What the copy holds."""

    state: State
    lineage: str
    through: int


class Changed(Struct, frozen=True):
    """What a write replaces."""

    accounts: Sequence[tuple[str, float, bytes]]
    open: Sequence[tuple[str, bytes, float, bool]]
    """All of them: what is not here is settled."""
    named: frozenset[str]
    """Accounts of those."""


class Kept:
    """The copy, open.

    Args:
        path: The database; its folder is made, readable by this user only.

    Raises:
        ConfigError: The file cannot be opened, is no database, or was written by a newer Turnout.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = opened(path, _FORM)

    def load(self) -> Loaded:
        """Read all of it. Raises `ConfigError` where it is damaged."""
        try:
            return _load(self._db)
        except (sqlite3.Error, msgspec.MsgspecError, TypeError) as failure:
            raise ConfigError((f"ledger: {self.path} is damaged: {failure}",)) from failure

    def through(self) -> int:
        """Return the number of the log's file that it reaches to. Raises `sqlite3.Error`."""
        return int(self._db.execute("SELECT through FROM ledger_log").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def changed_since(state: State, through: int) -> Changed:
    """Return what a state has that a copy which reaches to a file has not; files are marks."""
    return Changed(
        [
            (name, account.ends, _ENCODE(account.cells))
            for name, account in state.accounts.items()
            if account.mark > through
        ],
        [(name, _ENCODE(each.written), each.ends, each.swept) for name, each in state.open.items()],
        state.named(),
    )


def write(path: Path, changed: Changed, through: int, forget: float) -> None:
    """Bring the copy forward, and wait for the disk.

    Args:
        path: The database.
        changed: What to replace.
        through: The log's file whose end this is.
        forget: Accounts that ended by then count no more, in Unix seconds.

    Raises:
        sqlite3.Error: It stays as it was.
    """
    with closing(_connect(path)) as db:
        db.execute("PRAGMA synchronous = FULL")
        with transaction(db):
            if db.execute("SELECT through FROM ledger_log").fetchone()[0] >= through:
                return
            _replace(db, changed)
            ended = {name for (name,) in db.execute(_ENDED, (forget,))} - changed.named
            db.executemany("DELETE FROM ledger_accounts WHERE account = ?", [(name,) for name in ended])
            db.execute("UPDATE ledger_log SET through = ?", (through,))


def write_alone(path: Path, state: State) -> None:
    """Make a copy whole by itself: the beginning of a ledger of its own. Raises `sqlite3.Error`."""
    with closing(_connect(path)) as db:
        db.execute("PRAGMA synchronous = FULL")
        with transaction(db):
            _replace(db, changed_since(state, -1))
            db.execute("UPDATE ledger_log SET through = 0, lineage = ?", (secrets.token_hex(8),))


def load(db: sqlite3.Connection) -> Loaded | None:
    """Read an open copy; None = it is of a release without a log.

    Raises:
        sqlite3.Error: It cannot be read.
        msgspec.MsgspecError: It is damaged.
    """
    named = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'ledger_log'").fetchone()
    return None if named is None else _load(db)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)


def kept_before(path: Path, version: int) -> Path:
    """Return where the file as a release before wrote it is kept, once a newer one took it over."""
    return path.with_name(f"{path.name}-schema{version}")


def _keep_before(db: sqlite3.Connection, version: int) -> None:
    """Copy the file as it is, from within the step that takes it over: nobody else writes meanwhile."""
    path = Path(db.execute("PRAGMA database_list").fetchone()[2])
    target = kept_before(path, version)
    if target.exists():
        return
    part = target.with_name(f"{target.name}.part")
    try:
        copy(path, part)
        part.replace(target)
    except OSError as failure:
        problem = f"ledger: {path} is not taken over, as it cannot be copied to {target}: {failure}"
        raise ConfigError((problem,)) from failure


def newer(path: Path, version: int) -> str:
    """Say what is wrong with a file that a newer Turnout wrote, and what to do."""
    return f"{path} has schema {version}, newer than this Turnout knows: upgrade Turnout, or {_INSTEAD}"


def version_of(db: sqlite3.Connection) -> int:
    """Return the schema of an open file; 0 = nothing is in it. Raises `sqlite3.Error`."""
    named = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'turnout_schema'").fetchone()
    row = named and db.execute("SELECT version FROM turnout_schema WHERE part = 'ledger'").fetchone()
    return int(row[0]) if row else 0


def _take_over(db: sqlite3.Connection, version: int) -> None:
    """Begin a ledger with what a file of schema 1 holds, if there is one."""
    db.execute("INSERT INTO ledger_log VALUES (?, 0)", (secrets.token_hex(8),))
    if version == 0:
        return
    _keep_before(db, version)
    state = State()
    for name, cell, used, ends in db.execute("SELECT account, cell, used, ends FROM cells"):
        account = state.accounts.setdefault(name, Account({}, ends))
        account.cells[cell] = used
        account.ends = max(account.ends, ends)
    for name, takes, ends, swept in db.execute("SELECT id, takes, ends, swept FROM reservations"):
        written: tuple[Written, ...] = tuple([(*each, 0.0) for each in _BEFORE.decode(takes)])
        state.open[name] = Open(written, ends, swept=bool(swept))
    _replace(db, changed_since(state, -1))
    db.execute("DROP TABLE cells")
    db.execute("DROP TABLE reservations")


_FORM: Final = Form(
    key="ledger",
    says="the ledger",
    schema=_SCHEMA,
    version=SCHEMA_VERSION,
    part="ledger",
    take_over=_take_over,
    busy_s=BUSY_S,
    instead=_INSTEAD,
)


def _replace(db: sqlite3.Connection, changed: Changed) -> None:
    db.executemany("INSERT OR REPLACE INTO ledger_accounts VALUES (?, ?, ?)", changed.accounts)
    db.execute("DELETE FROM ledger_open")
    db.executemany("INSERT INTO ledger_open VALUES (?, ?, ?, ?)", changed.open)


def _load(db: sqlite3.Connection) -> Loaded:
    state = State()
    with transaction(db, "BEGIN"):  # of one moment, whoever writes beside
        lineage, through = db.execute("SELECT lineage, through FROM ledger_log").fetchone()
        for name, ends, cells in db.execute("SELECT account, ends, cells FROM ledger_accounts"):
            state.accounts[name] = Account(_CELLS.decode(cells), ends)
        for name, written, ends, swept in db.execute("SELECT id, written, ends, swept FROM ledger_open"):
            state.open[name] = Open(WRITTEN.decode(written), ends, swept=bool(swept))
    state.forget_empty()  # of releases that never did
    return Loaded(state, str(lineage), int(through))
