"""The SQLite file beside the files. Floor 3.

1. Every call is one `BEGIN IMMEDIATE` transaction; a commit waits for the disk, so that a batch that was
   acknowledged survives a power cut.
2. The directory and what is in it is its user's alone. What is deleted from the database is overwritten.
3. One connection per process, behind a lock: calls come from any thread, and block.
"""

import sqlite3
from contextlib import AbstractContextManager
from pathlib import Path

from turnout.errors import ConfigError
from turnout.stores.sqlite_file import Form, SqliteFile

SCHEMA_VERSION = 1
BUSY_S = 5.0
NAME = "files.db"
CONTENT = "content"
"""Folder of the files themselves."""
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
)
_FORM = Form(
    key="files.path",
    says="the store of files",
    schema=_SCHEMA,
    version=SCHEMA_VERSION,
    overwrites=True,
    busy_s=BUSY_S,
    instead="name another directory",
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
        try:
            self.content.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as failure:
            raise ConfigError((f"files.path: cannot open {folder}: {failure}",)) from failure
        self._file = SqliteFile(folder / NAME, _FORM)

    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        """Run statements as one step. Raises `StoreUnavailable`."""
        return self._file.step()

    def close(self) -> None:
        """Close the connection; the last one to close folds the log into the file."""
        self._file.close()
