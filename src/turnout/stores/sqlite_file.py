"""The SQLite file of a store: opened, changed step by step, read and copied beside its writers. Floor 3.

Theory of operation.

1. A file and the folder made for it are readable by their user alone; SQLite's own logs inherit that. What is
   there is opened by SQLite alone: closing it otherwise would drop the locks that this process holds on it.
2. Workers that start at once on a new file get in each other's way: changing to the write-ahead log reports
   "locked" at once, whatever the time-out. So opening is tried again for `OPEN_BUSY_S`.
3. The schema is made in one transaction that begins by asking which is there. So one worker makes it, and a
   file of a newer Turnout is refused with its tables as they were.
4. A step is one transaction behind a lock, so calls may come from any thread. An error that ends one leaves
   no transaction open, whether or not SQLite had rolled back by itself.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from msgspec import MsgspecError, Struct

from turnout.errors import ConfigError, StoreUnavailable

OPEN_BUSY_S: Final = 10.0
RETRY_S: Final = 0.02
_PARTS: Final = "CREATE TABLE IF NOT EXISTS turnout_schema (part TEXT PRIMARY KEY, version INTEGER NOT NULL)"
_PART: Final = "SELECT version FROM turnout_schema WHERE part = ?"
_SET_PART: Final = "INSERT OR REPLACE INTO turnout_schema VALUES (?, ?)"
_KIND: Final = 0xFF
"""The kind of a result code; what is above says more about it."""


class Form(Struct, frozen=True, kw_only=True):
    """What the file of a store is."""

    key: str
    """What names it in the configuration: complaints about the file begin with it."""
    says: str
    """What it is, in words: so it is called where a step fails."""
    schema: tuple[str, ...]
    """Makes the tables, and leaves those that are there as they are."""
    version: int
    part: str | None = None
    """Its name among the stores that share a file; None = it has the file to itself."""
    take_over: Callable[[sqlite3.Connection, int], None] | None = None
    """Fills new tables from the version before; 0 = there was none."""
    is_durable: bool = True
    """Whether a commit waits for the disk, so that it survives a power cut."""
    overwrites: bool = False
    """Whether what is deleted is overwritten."""
    busy_s: float = 5.0
    """How long a step waits for another process."""
    instead: str = "name another file"
    """What else to do about a file that a newer Turnout wrote."""


class SqliteFile:
    """The file of a store, for calls from any thread. Must be closed."""

    def __init__(self, path: Path, form: Form) -> None:
        """Open the file; see `opened`. Raises `ConfigError`."""
        self._says = form.says
        self._lock = threading.Lock()
        self._db = opened(path, form)

    @contextmanager
    def step(self, begin: str = "BEGIN IMMEDIATE") -> Iterator[sqlite3.Connection]:
        """Run statements as one step; `BEGIN` for one that only reads. Raises `StoreUnavailable`."""
        try:
            with self._lock, transaction(self._db, begin) as db:
                yield db
        except sqlite3.Error as failure:
            raise StoreUnavailable(f"{self._says} refuses: {failure}", retry_after_s=1) from failure

    def close(self) -> None:
        """Close the file; the last one to close folds SQLite's log into it."""
        with self._lock:
            self._db.close()


def opened(path: Path, form: Form) -> sqlite3.Connection:
    """Open a file, making it, its folder and its tables when they are new.

    Raises:
        ConfigError: The file cannot be opened, is no database, or was written by a newer Turnout.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        db = sqlite3.connect(path, timeout=OPEN_BUSY_S, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as failure:
        raise ConfigError((f"{form.key}: cannot open {path}: {failure}",)) from failure
    try:
        _prepare(db, path, form)
    except BaseException as failure:
        db.close()
        if isinstance(failure, (sqlite3.Error, MsgspecError)):
            problem = f"{form.key}: {path} cannot be used as a database: {failure}"
            raise ConfigError((problem,)) from failure
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path, form: Form) -> None:
    give_up_at = time.monotonic() + OPEN_BUSY_S
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            with transaction(db):
                _make(db, path, form)
        except sqlite3.OperationalError as failure:
            code = getattr(failure, "sqlite_errorcode", 0) & _KIND
            if code != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                raise
        else:
            break
        time.sleep(RETRY_S)
    for setting in _settings(form):
        db.execute(setting)


def _settings(form: Form) -> tuple[str, ...]:
    """Return what holds for one connection; a pragma takes no bound values."""
    return (
        "PRAGMA synchronous = FULL" if form.is_durable else "PRAGMA synchronous = NORMAL",
        *(("PRAGMA secure_delete = ON",) if form.overwrites else ()),
        f"PRAGMA busy_timeout = {round(form.busy_s * 1000)}",
    )


def _make(db: sqlite3.Connection, path: Path, form: Form) -> None:
    """Make the tables. Raises `ConfigError` where a newer Turnout made them."""
    version = _version(db, form.part)
    if version > form.version:
        newer = f"{form.key}: {path} has schema {version}, newer than this Turnout knows"
        raise ConfigError((f"{newer}: upgrade Turnout, or {form.instead}",))
    for statement in form.schema:
        db.execute(statement)
    if version == form.version:
        return
    if form.take_over is not None:
        form.take_over(db, version)
    if form.part is None:
        noted = f"PRAGMA user_version = {form.version:d}"
        db.execute(noted)
    else:
        db.execute(_SET_PART, (form.part, form.version))


def _version(db: sqlite3.Connection, part: str | None) -> int:
    if part is None:
        found = db.execute("PRAGMA user_version").fetchone()
    else:
        db.execute(_PARTS)
        found = db.execute(_PART, (part,)).fetchone()
    return 0 if found is None else int(found[0])


def read_only(path: Path, busy_s: float = OPEN_BUSY_S) -> sqlite3.Connection:
    """Open a file that others may be writing. Raises `sqlite3.Error`."""
    address = f"file:{quote(str(path))}?mode=ro"
    return sqlite3.connect(address, uri=True, timeout=busy_s, isolation_level=None)


@contextmanager
def transaction(db: sqlite3.Connection, begin: str = "BEGIN IMMEDIATE") -> Iterator[sqlite3.Connection]:
    """Run statements as one; an error rolls all of them back. Raises `sqlite3.Error`."""
    db.execute(begin)
    try:
        yield db
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def problem_of(path: Path) -> str | None:
    """Say what is wrong with the pages of a file; None = they are intact. Changes nothing."""
    try:
        with closing(read_only(path)) as found:
            (said,) = found.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as failure:
        return str(failure)
    return None if said == "ok" else str(said)


def copy(path: Path, target: Path) -> None:
    """Copy a file while others write it, readable by this user only. Raises `sqlite3.Error`, `OSError`."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    with closing(read_only(path)) as found, closing(sqlite3.connect(target)) as made:
        found.backup(made)
