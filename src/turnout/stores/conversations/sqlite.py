"""Conversations in one SQLite file, shared by the processes of a machine. Floor 3.

Theory of operation.

1. Every call is one transaction in a thread of its own; `BEGIN IMMEDIATE` where it writes. A commit does not
   wait for the disk: a power cut may lose the latest answers, not the file.
2. The file is readable by its user alone, and so is SQLite's own log beside it. What is deleted is
   overwritten.
3. Room is made when something is kept: what ended goes first, then an owner's oldest, then the oldest of the
   owner who keeps most.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from turnout.stores.conversations.base import Change, Kept, Room, too_large
from turnout.stores.sqlite_file import Form, SqliteFile

SCHEMA_VERSION = 1
BUSY_S = 5.0
_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS answers (owner TEXT NOT NULL, id TEXT NOT NULL, seq INTEGER PRIMARY KEY,
        ends_at REAL NOT NULL, n_bytes INTEGER NOT NULL, document BLOB NOT NULL, UNIQUE (owner, id))""",
    "CREATE INDEX IF NOT EXISTS answers_end ON answers (ends_at)",
    """CREATE TABLE IF NOT EXISTS items (owner TEXT NOT NULL, item TEXT NOT NULL, answer TEXT NOT NULL,
        PRIMARY KEY (owner, item)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS items_answer ON items (owner, answer)",
    """CREATE TRIGGER IF NOT EXISTS answers_gone AFTER DELETE ON answers BEGIN
        DELETE FROM items WHERE owner = OLD.owner AND answer = OLD.id; END""",
)
_FORM = Form(
    key="responses.path",
    says="the store of conversations",
    schema=_SCHEMA,
    version=SCHEMA_VERSION,
    is_durable=False,
    overwrites=True,
    busy_s=BUSY_S,
)
_GET = "SELECT document FROM answers WHERE owner = ? AND id = ? AND ends_at > ?"
_FIND = """SELECT document FROM answers JOIN items
    ON items.owner = answers.owner AND items.answer = answers.id
    WHERE items.owner = ? AND item = ? AND ends_at > ?"""
_PUT = "INSERT INTO answers (owner, id, ends_at, n_bytes, document) VALUES (?, ?, ?, ?, ?)"
_FORGET = "DELETE FROM answers WHERE owner = ? AND id = ?"
_ITEM = "INSERT OR REPLACE INTO items (owner, item, answer) VALUES (?, ?, ?)"
_ENDED = "DELETE FROM answers WHERE ends_at <= ?"
_BEYOND = """DELETE FROM answers WHERE owner = :owner AND seq <= (
    SELECT seq FROM answers WHERE owner = :owner ORDER BY seq DESC LIMIT 1 OFFSET :most)"""
_TOTAL = "SELECT COALESCE(SUM(n_bytes), 0) FROM answers"
_OLDEST = """DELETE FROM answers WHERE seq = (SELECT MIN(seq) FROM answers WHERE owner = (
    SELECT owner FROM answers GROUP BY owner ORDER BY SUM(n_bytes) DESC, owner LIMIT 1))"""


class SqliteConversations:
    """`Conversations` in a file."""

    def __init__(self, path: Path, room: Room | None = None, clock: Callable[[], float] = time.time) -> None:
        """Open the file, making it and its schema when it is new.

        Raises:
            ConfigError: The file cannot be opened, is no database, or was written by a newer Turnout.
        """
        self.path = path
        self._room = room or Room()
        self._clock = clock
        self._file = SqliteFile(path, _FORM)

    async def put(self, owner: str, kept: Kept) -> None:
        """Keep an answer; see `Conversations.put`. One that is larger than all the room is not kept."""
        await asyncio.to_thread(self._put, owner, kept)

    async def get(self, owner: str, answer_id: str) -> bytes | None:
        """Return a document; see `Conversations.get`."""
        return await asyncio.to_thread(self._one, _GET, owner, answer_id)

    async def amend(self, owner: str, answer_id: str, change: Change) -> bool:
        """Change a document; see `Conversations.amend`."""
        return await asyncio.to_thread(self._amend, owner, answer_id, change)

    async def find(self, owner: str, item_id: str) -> bytes | None:
        """Return the document of an item; see `Conversations.find`."""
        return await asyncio.to_thread(self._one, _FIND, owner, item_id)

    async def forget(self, owner: str, answer_id: str) -> bool:
        """Let go of an answer; see `Conversations.forget`."""
        return await asyncio.to_thread(self._forget, owner, answer_id)

    async def erase(self, owner: str) -> int:
        """Let go of everything of an owner; see `Conversations.erase`."""
        return await asyncio.to_thread(self._erase, owner)

    async def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _put(self, owner: str, kept: Kept) -> None:
        if len(kept.document) > self._room.max_bytes:
            return
        with self._file.step() as db:
            self._write(db, owner, kept)

    def _amend(self, owner: str, answer_id: str, change: Change) -> bool:
        with self._file.step() as db:
            row = db.execute(_GET, (owner, answer_id, self._clock())).fetchone()
            made = None if row is None else change(bytes(row[0]))
            if made is not None:
                if len(made.document) > self._room.max_bytes:
                    raise too_large(len(made.document), self._room)
                self._write(db, owner, made)
        return row is not None

    def _write(self, db: sqlite3.Connection, owner: str, kept: Kept) -> None:
        room, now, size = self._room, self._clock(), len(kept.document)
        db.execute(_ENDED, (now,))
        db.execute(_FORGET, (owner, kept.id))
        db.execute(_PUT, (owner, kept.id, now + room.ttl_s, size, kept.document))
        db.executemany(_ITEM, [(owner, item, kept.id) for item in kept.items])
        db.execute(_BEYOND, {"owner": owner, "most": room.max_per_owner})
        while db.execute(_TOTAL).fetchone()[0] > room.max_bytes:
            db.execute(_OLDEST)

    def _one(self, statement: str, owner: str, key: str) -> bytes | None:
        with self._file.step("BEGIN") as db:
            row = db.execute(statement, (owner, key, self._clock())).fetchone()
        return None if row is None else bytes(row[0])

    def _forget(self, owner: str, answer_id: str) -> bool:
        with self._file.step() as db:
            known = db.execute(_GET, (owner, answer_id, self._clock())).fetchone() is not None
            db.execute(_FORGET, (owner, answer_id))
        return known

    def _erase(self, owner: str) -> int:
        with self._file.step() as db:
            return db.execute("DELETE FROM answers WHERE owner = ?", (owner,)).rowcount
