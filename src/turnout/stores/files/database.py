"""The SQLite file beside the files. Floor 3.

1. Every call is one `BEGIN IMMEDIATE` transaction; a commit waits for the disk, so that a batch that was
   acknowledged survives a power cut.
2. The directory and what is in it is its user's alone. What is deleted from the database is overwritten.
3. One connection per process, behind a lock: calls come from any thread, and block.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from turnout.errors import ConfigError, StoreUnavailable

SCHEMA_VERSION = 1
BUSY_S = 5.0
OPEN_BUSY_S = 10.0
NAME = "files.db"
CONTENT = "content"
"""Folder of the files themselves."""
_PRAGMAS = ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA secure_delete = ON")
_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS files (id TEXT PRIMARY KEY, owner TEXT NOT NULL, purpose TEXT NOT NULL,
        n_bytes INTEGER NOT NULL, expires_us INTEGER, organisation TEXT, customer TEXT, doc BLOB NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS files_owner ON files (owner, id)",
    "CREATE INDEX IF NOT EXISTS files_expire ON files (expires_us) WHERE expires_us IS NOT NULL",
    """CREATE TABLE IF NOT EXISTS batches (id TEXT PRIMARY KEY, owner TEXT NOT NULL, form TEXT NOT NULL,
        state TEXT NOT NULL, organisation TEXT, customer TEXT, ended_us INTEGER, cancel_us INTEGER,
        holder TEXT, lease_us INTEGER NOT NULL DEFAULT 0, doc BLOB NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS batches_owner ON batches (owner, form, id)",
    "CREATE INDEX IF NOT EXISTS batches_open ON batches (id) WHERE ended_us IS NULL",
    """CREATE TABLE IF NOT EXISTS lines (batch TEXT NOT NULL, n INTEGER NOT NULL, custom_id TEXT NOT NULL,
        body BLOB, job TEXT, kind TEXT, result BLOB, PRIMARY KEY (batch, n))""",
    "CREATE INDEX IF NOT EXISTS lines_waiting ON lines (batch, n) WHERE kind IS NULL AND job IS NULL",
    "CREATE INDEX IF NOT EXISTS lines_running ON lines (batch, n) WHERE kind IS NULL AND job IS NOT NULL",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


class Database:
    """The directory of files with its database. Must be closed."""

    def __init__(self, folder: Path) -> None:
        """Open the directory, making it and its database when they are new.

        Raises:
            ConfigError: It cannot be used, or was written by a newer Turnout.
        """
        self.folder = folder
        self.content = folder / CONTENT
        path = folder / NAME
        self._lock = threading.Lock()
        try:
            self.content.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            self._db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as failure:
            raise ConfigError((f"files.path: cannot open {path}: {failure}",)) from failure
        try:
            self._prepare(path)
        except BaseException as failure:
            self._db.close()
            if isinstance(failure, sqlite3.Error):
                problem = f"files.path: {path} cannot be used as a database: {failure}"
                raise ConfigError((problem,)) from failure
            raise

    def _prepare(self, path: Path) -> None:
        """Run the opening statements; workers that start at once on a new file get in each other's way."""
        give_up_at = time.monotonic() + OPEN_BUSY_S
        while True:
            try:
                for pragma in _PRAGMAS:
                    self._db.execute(pragma)
                (version,) = self._db.execute("PRAGMA user_version").fetchone()
                for statement in _SCHEMA if version == 0 else ():
                    self._db.execute(statement)
            except sqlite3.OperationalError as failure:
                busy = getattr(failure, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() > give_up_at:
                    raise
            else:
                break
            time.sleep(0.02)
        if version > SCHEMA_VERSION:
            newer = f"files.path: {path} has schema {version}, newer than this Turnout knows"
            raise ConfigError((f"{newer}: upgrade Turnout, or name another directory",))

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run statements as one step. Raises `StoreUnavailable`."""
        with self._lock:
            db = self._db
            try:
                db.execute("BEGIN IMMEDIATE")
                try:
                    yield db
                    db.execute("COMMIT")
                except BaseException:
                    if db.in_transaction:
                        db.execute("ROLLBACK")
                    raise
            except sqlite3.Error as failure:
                raise StoreUnavailable(f"the store of files: {failure}", retry_after_s=1) from failure

    def close(self) -> None:
        """Close the connection; the last one to close folds the log into the file."""
        with self._lock:
            self._db.close()
