"""A desk in one SQLite file. Floor 3.

Calls come from one event loop and are short; each write takes the file's lock first, so those of several
processes come one after the other. A commit waits for the disk: what was answered is kept.
"""

import sqlite3
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from turnout.stores.desk.base import NO_HASH, Change, ConflictError, Document, chained
from turnout.stores.sqlite_file import Form, SqliteFile
from turnout.types.account import Act, AuditEntry, Kind, Passing

BUSY_S: Final = 2.0
SCHEMA_VERSION: Final = 1
_SCHEMA: Final = (
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
)
_FORM: Final = Form(
    key="desk", says="the desk", schema=_SCHEMA, version=SCHEMA_VERSION, part="desk", busy_s=BUSY_S
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
        self._file = SqliteFile(path, _FORM)

    async def get(self, kind: Kind, id: str) -> Document | None:  # noqa: A002
        """Return a document."""
        with self._file.step("BEGIN") as db:
            row = db.execute(_GET, (kind, id)).fetchone()
        return None if row is None else _document(row)

    async def list(
        self, kind: Kind, *, organisation: str | None = None, after: str = "", limit: int = 100
    ) -> tuple[Document, ...]:
        """Return documents in the order of their ids."""
        with self._file.step("BEGIN") as db:
            if organisation is None:
                rows = db.execute(_LIST, (kind, after, limit)).fetchall()
            else:
                rows = db.execute(_LIST_OF, (kind, organisation, after, limit)).fetchall()
        return tuple(map(_document, rows))

    async def write(self, changes: Sequence[Change], act: Act) -> tuple[Document, ...]:
        """Make all changes and log the act, or do neither."""
        with self._file.step() as db:
            written = tuple(map(partial(_change, db), changes))
            _log(db, act)
            db.execute("UPDATE revision SET value = value + 1")
        return written

    async def keep(self, kind: Passing, id: str, body: bytes) -> None:  # noqa: A002
        """Write a document of a kind that passes."""
        with self._file.step() as db:
            db.execute(_PUT, (kind, id, None, body, 1))

    async def swap(self, kind: Passing, id: str, seen: int, body: bytes) -> bool:  # noqa: A002
        """Write a document of a kind that passes if it is at the version that was seen."""
        with self._file.step() as db:
            row = db.execute(_GET, (kind, id)).fetchone()
            if (0 if row is None else row[4]) != seen:
                return False
            db.execute(_PUT, (kind, id, None, body, seen + 1))
            return True

    async def forget(self, kind: Passing, ids: Sequence[str]) -> None:
        """Remove documents of a kind that passes."""
        with self._file.step() as db:
            db.executemany(_REMOVE, [(kind, each) for each in ids])

    async def note(self, act: Act) -> AuditEntry:
        """Log an act that changes no document."""
        with self._file.step() as db:
            return _log(db, act)

    async def audit(
        self, organisation: str = "", *, after: int = 0, limit: int = 1000
    ) -> tuple[AuditEntry, ...]:
        """Return entries of one chain, oldest first."""
        with self._file.step("BEGIN") as db:
            rows = db.execute(_AUDIT, (organisation, after, limit)).fetchall()
        return tuple(
            AuditEntry(seq=seq, act=_decode(act), previous=previous, hash=digest)
            for seq, act, previous, digest in rows
        )

    async def revision(self) -> int:
        """Return a number that grows with every change."""
        with self._file.step("BEGIN") as db:
            (value,) = db.execute("SELECT value FROM revision").fetchone()
        return int(value)

    async def close(self) -> None:
        """Close the file."""
        self._file.close()


def _document(row: tuple[Kind, str, str | None, bytes, int]) -> Document:
    kind, name, organisation, body, version = row
    return Document(kind=kind, id=name, organisation=organisation, body=body, version=version)


def _change(db: sqlite3.Connection, change: Change) -> Document:
    document = change.document
    row = db.execute(_GET, (document.kind, document.id)).fetchone()
    current = 0 if row is None else int(row[4])
    if current != document.version:
        raise ConflictError(document.kind, document.id, current)
    if change.remove:
        db.execute(_REMOVE, (document.kind, document.id))
        return document
    stored = msgspec.structs.replace(document, version=current + 1)
    db.execute(_PUT, (stored.kind, stored.id, stored.organisation, stored.body, stored.version))
    return stored


def _log(db: sqlite3.Connection, act: Act) -> AuditEntry:
    chain = act.organisation or ""
    seq, previous = db.execute(_LAST, (chain,)).fetchone() or (0, NO_HASH)
    entry = chained(act, seq + 1, previous)
    db.execute(_LOG, (chain, entry.seq, _encode(act), entry.previous, entry.hash))
    return entry
