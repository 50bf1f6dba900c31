"""Answers in one SQLite file, shared by the processes of a machine. Floor 3.

Theory of operation.

1. Every call is one transaction in a thread. A commit does not wait for the disk: a power cut may lose the
   latest answers, not the file.
2. The file holds answers as clients got them, so it is readable by its user alone, and what is deleted is
   overwritten.
3. Room is made when something is kept: what has expired goes first, then what was kept or used longest ago.
   A use is noted at most once a minute, so that a look-up rarely writes.
4. Counting what is there reads an index from end to end: it is done once for one part in `SHARE` of the
   answers there are, and as much room is then made beyond what lacks. In between a process adds up what it
   kept itself. So each of several may keep one part in `SHARE` too much; of fewer answers than that, none.
"""

import asyncio
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from turnout.stores.cache.base import Bounds, Held, Kept, Selector, read, written
from turnout.stores.sqlite_file import Form, SqliteFile

SCHEMA_VERSION: Final = 1
BUSY_S: Final = 1.0
NOTED_S: Final = 60.0
SHARE: Final = 256
_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, expires REAL NOT NULL, used REAL NOT NULL,
        n_bytes INTEGER NOT NULL, route TEXT NOT NULL, organisation TEXT NOT NULL, project TEXT NOT NULL,
        key_id TEXT NOT NULL, hex TEXT NOT NULL, document BLOB NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS answers_used ON answers (used)",
    "CREATE INDEX IF NOT EXISTS answers_end ON answers (expires)",
    # Files of before have none; a Turnout of before does not mind it.
    "CREATE INDEX IF NOT EXISTS answers_size ON answers (n_bytes)",
)
_FORM: Final = Form(
    key="cache.path",
    says="the cache's file",
    schema=_SCHEMA,
    version=SCHEMA_VERSION,
    is_durable=False,
    overwrites=True,
    busy_s=BUSY_S,
)
_GET = "SELECT document, used FROM answers WHERE key = ? AND expires > ?"
_USED = "UPDATE answers SET used = ? WHERE key = ?"
_PUT = "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ENDED = "DELETE FROM answers WHERE expires <= ?"
_TOTAL = "SELECT COUNT(*), COALESCE(SUM(n_bytes), 0) FROM answers"
_OLDEST = "DELETE FROM answers WHERE key IN (SELECT key FROM answers ORDER BY used LIMIT ?)"
_CLEAR = """DELETE FROM answers WHERE (:route IS NULL OR route = :route)
    AND (:organisation IS NULL OR organisation = :organisation) AND (:project IS NULL OR project = :project)
    AND (:key_id IS NULL OR key_id = :key_id) AND substr(hex, 1, length(:prefix)) = :prefix"""
_HELD = """SELECT COUNT(*), COALESCE(SUM(n_bytes), 0) FROM answers WHERE (:route IS NULL OR route = :route)
    AND (:organisation IS NULL OR organisation = :organisation) AND (:project IS NULL OR project = :project)
    AND (:key_id IS NULL OR key_id = :key_id) AND substr(hex, 1, length(:prefix)) = :prefix
    AND expires > :now"""


class SqliteCache:
    """A `CacheStore` in a file."""

    is_near = False

    def __init__(self, path: Path, bounds: Bounds | None = None) -> None:
        """Open the file, making it and its schema when it is new.

        Raises:
            ConfigError: The file cannot be opened, is no database, or was written by a newer Turnout.
        """
        self.path = path
        self._bounds = bounds or Bounds()
        self._reckoned = Held(0, 0)
        """What is there as of the last count, and what was kept here since."""
        self._until_count = 0
        self._file = SqliteFile(path, _FORM)

    async def get(self, key: bytes, now: float) -> Kept | None:
        """Return an answer; see `CacheStore.get`."""
        return await asyncio.to_thread(self._get, key, now)

    async def put(self, kept: Kept, now: float) -> None:
        """Keep an answer; see `CacheStore.put`. One that is larger than all the room is not kept."""
        await asyncio.to_thread(self._put, kept, now)

    async def clear(self, which: Selector) -> int:
        """Let go of answers; see `CacheStore.clear`."""
        return await asyncio.to_thread(self._clear, which)

    async def held(self, which: Selector, now: float) -> Held:
        """Count answers; see `CacheStore.held`."""
        return await asyncio.to_thread(self._held, which, now)

    async def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _get(self, key: bytes, now: float) -> Kept | None:
        with self._file.step("BEGIN") as db:
            row = db.execute(_GET, (key, now)).fetchone()
            if row is None:
                return None
            if now - row[1] > NOTED_S:
                db.execute(_USED, (now, key))
        with suppress(msgspec.DecodeError, msgspec.ValidationError):
            return read(row[0])
        return None  # of another version

    def _put(self, kept: Kept, now: float) -> None:
        bounds, owner, size = self._bounds, kept.owner, kept.n_bytes
        if size > bounds.max_bytes or bounds.max_entries < 1:
            return
        row = (kept.key, kept.expires, now, size, kept.route, owner.organisation, owner.project, owner.key_id)
        with self._file.step() as db:
            db.execute(_ENDED, (now,))
            db.execute(_PUT, (*row, kept.key.hex(), written(kept)))
            self._make_room(db, size)

    def _make_room(self, db: sqlite3.Connection, size: int) -> None:
        """Keep within the bounds after an answer of `size` was kept; see 4."""
        bounds, self._until_count = self._bounds, self._until_count - 1
        held = self._reckoned = Held(self._reckoned.n + 1, self._reckoned.n_bytes + size)
        if self._until_count > 0 and held.n <= bounds.max_entries and held.n_bytes <= bounds.max_bytes:
            return
        n, total = db.execute(_TOTAL).fetchone()
        spare = min(n, bounds.max_entries) // SHARE
        self._until_count = max(1, spare)
        while n > bounds.max_entries or total > bounds.max_bytes:
            beyond = (total - bounds.max_bytes) * n // total if total > bounds.max_bytes else 0
            db.execute(_OLDEST, (max(1, n - bounds.max_entries, beyond) + spare,))
            n, total = db.execute(_TOTAL).fetchone()
        self._reckoned = Held(n, total)

    def _clear(self, which: Selector) -> int:
        with self._file.step() as db:
            return db.execute(_CLEAR, msgspec.structs.asdict(which)).rowcount

    def _held(self, which: Selector, now: float) -> Held:
        with self._file.step("BEGIN") as db:
            row = db.execute(_HELD, {**msgspec.structs.asdict(which), "now": now}).fetchone()
        return Held(*row)
