"""A desk in one SQLite file. Floor 3.

Calls come from one event loop and are short; each write takes the file's lock first, so those of several
processes come one after the other. A commit waits for the disk: what was answered is kept.
"""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from turnout.errors import ConfigError, StoreUnavailable
from turnout.stores.desk.base import NO_HASH, Change, ConflictError, Document, chained
from turnout.types.account import Act, AuditEntry, Kind, Passing

OPEN_BUSY_S: Final = 10.0
SCHEMA_VERSION: Final = 1
_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS turnout_schema (part TEXT PRIMARY KEY, version INTEGER NOT NULL)",
    """CREATE TABLE IF NOT EXISTS documents (
        kind TEXT NOT NULL, id TEXT NOT NULL, organisation TEXT, body BLOB NOT NULL, version INTEGER NOT NULL,
        PRIMARY KEY (kind, id)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS documents_organisation ON documents (kind, organisation, id)",
    """CREATE TABLE IF NOT EXISTS audit (
        organisation TEXT NOT NULL, seq INTEGER NOT NULL, act BLOB NOT NULL, previous TEXT NOT NULL,
        hash TEXT NOT NULL, PRIMARY KEY (organisation, seq)) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS revision (value INTEGER NOT NULL)",
    "INSERT INTO revision SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM revision)",
    # The log is only ever added to, whoever holds the file open.
    """CREATE TRIGGER IF NOT EXISTS audit_stays BEFORE UPDATE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END""",
    """CREATE TRIGGER IF NOT EXISTS audit_whole BEFORE DELETE ON audit
        BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END""",
    "INSERT INTO turnout_schema (part, version) VALUES ('desk', 1) ON CONFLICT (part) DO NOTHING",
)
_SELECT: Final = "SELECT kind, id, organisation, body, version FROM documents "
_GET: Final = _SELECT + "WHERE kind = ? AND id = ?"
_LIST: Final = _SELECT + "WHERE kind = ? AND id > ? ORDER BY id LIMIT ?"
_LIST_OF: Final = _SELECT + "WHERE kind = ? AND organisation = ? AND id > ? ORDER BY id LIMIT ?"
_PUT: Final = """INSERT INTO documents (kind, id, organisation, body, version) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (kind, id) DO UPDATE SET organisation = excluded.organisation, body = excluded.body,
    version = excluded.version"""
_REMOVE: Final = "DELETE FROM documents WHERE kind = ? AND id = ?"
_LAST: Final = "SELECT seq, hash FROM audit WHERE organisation = ? ORDER BY seq DESC LIMIT 1"
_LOG: Final = "INSERT INTO audit (organisation, seq, act, previous, hash) VALUES (?, ?, ?, ?, ?)"
_AUDIT: Final = (
    "SELECT seq, act, previous, hash FROM audit WHERE organisation = ? AND seq > ? ORDER BY seq LIMIT ?"
)
_encode: Final = msgspec.json.Encoder(order="deterministic").encode
_decode: Final = msgspec.json.Decoder(Act).decode


class SqliteDesk:
    """A `Desk` in a file.

    Args:
        path: The database; its folder is made, readable by this user only.

    Raises:
        ConfigError: The file cannot be opened, is no database, or was written by a newer Turnout.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            self._db = sqlite3.connect(path, timeout=OPEN_BUSY_S, isolation_level=None)
        except (OSError, sqlite3.Error) as failure:
            raise ConfigError((f"desk: cannot open {path}: {failure}",)) from failure
        try:
            self._prepare()
        except sqlite3.Error as failure:
            self._db.close()
            raise ConfigError((f"desk: {path} cannot be used as a database: {failure}",)) from failure
        except ConfigError:
            self._db.close()
            raise

    def _prepare(self) -> None:
        give_up_at = time.monotonic() + OPEN_BUSY_S
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError:  # changing to it reports "locked" at once
                if time.monotonic() > give_up_at:
                    raise
            time.sleep(0.02)
        self._db.execute("PRAGMA synchronous = FULL")
        with self._transaction():
            for statement in _SCHEMA:
                self._db.execute(statement)
            (version,) = self._db.execute("SELECT version FROM turnout_schema WHERE part = 'desk'").fetchone()
        if version > SCHEMA_VERSION:
            raise ConfigError((f"desk: {self.path} was written by a newer Turnout (schema {version})",))
        self._db.execute("PRAGMA busy_timeout = 2000")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._available():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @contextmanager
    def _available(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as failure:
            raise StoreUnavailable(f"the desk refuses: {failure}") from failure

    async def get(self, kind: Kind, id: str) -> Document | None:  # noqa: A002
        """Return a document."""
        with self._available():
            row = self._db.execute(_GET, (kind, id)).fetchone()
        return None if row is None else _document(row)

    async def list(
        self, kind: Kind, *, organisation: str | None = None, after: str = "", limit: int = 100
    ) -> tuple[Document, ...]:
        """Return documents in the order of their ids."""
        with self._available():
            if organisation is None:
                rows = self._db.execute(_LIST, (kind, after, limit)).fetchall()
            else:
                rows = self._db.execute(_LIST_OF, (kind, organisation, after, limit)).fetchall()
        return tuple(map(_document, rows))

    async def write(self, changes: Sequence[Change], act: Act) -> tuple[Document, ...]:
        """Make all changes and log the act, or do neither."""
        with self._transaction():
            written = tuple(map(self._change, changes))
            self._log(act)
            self._db.execute("UPDATE revision SET value = value + 1")
        return written

    def _change(self, change: Change) -> Document:
        document = change.document
        row = self._db.execute(_GET, (document.kind, document.id)).fetchone()
        current = 0 if row is None else int(row[4])
        if current != document.version:
            raise ConflictError(document.kind, document.id, current)
        if change.remove:
            self._db.execute(_REMOVE, (document.kind, document.id))
            return document
        stored = msgspec.structs.replace(document, version=current + 1)
        self._db.execute(_PUT, (stored.kind, stored.id, stored.organisation, stored.body, stored.version))
        return stored

    async def keep(self, kind: Passing, id: str, body: bytes) -> None:  # noqa: A002
        """Write a document of a kind that passes."""
        with self._transaction():
            self._db.execute(_PUT, (kind, id, None, body, 1))

    async def swap(self, kind: Passing, id: str, seen: int, body: bytes) -> bool:  # noqa: A002
        """Write a document of a kind that passes if it is at the version that was seen."""
        with self._transaction():
            row = self._db.execute(_GET, (kind, id)).fetchone()
            if (0 if row is None else row[4]) != seen:
                return False
            self._db.execute(_PUT, (kind, id, None, body, seen + 1))
            return True

    async def forget(self, kind: Passing, ids: Sequence[str]) -> None:
        """Remove documents of a kind that passes."""
        with self._transaction():
            self._db.executemany(_REMOVE, [(kind, each) for each in ids])

    async def note(self, act: Act) -> AuditEntry:
        """Log an act that changes no document."""
        with self._transaction():
            return self._log(act)

    def _log(self, act: Act) -> AuditEntry:
        chain = act.organisation or ""
        seq, previous = self._db.execute(_LAST, (chain,)).fetchone() or (0, NO_HASH)
        entry = chained(act, seq + 1, previous)
        self._db.execute(_LOG, (chain, entry.seq, _encode(act), entry.previous, entry.hash))
        return entry

    async def audit(
        self, organisation: str = "", *, after: int = 0, limit: int = 1000
    ) -> tuple[AuditEntry, ...]:
        """Return entries of one chain, oldest first."""
        with self._available():
            rows = self._db.execute(_AUDIT, (organisation, after, limit)).fetchall()
        return tuple(
            AuditEntry(seq=seq, act=_decode(act), previous=previous, hash=digest)
            for seq, act, previous, digest in rows
        )

    async def revision(self) -> int:
        """Return a number that grows with every change."""
        with self._available():
            (value,) = self._db.execute("SELECT value FROM revision").fetchone()
        return int(value)

    async def close(self) -> None:
        """Close the file."""
        self._db.close()


def _document(row: tuple[Kind, str, str | None, bytes, int]) -> Document:
    kind, name, organisation, body, version = row
    return Document(kind=kind, id=name, organisation=organisation, body=body, version=version)
