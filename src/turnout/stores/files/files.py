"""Files of clients on disk, each under an id of ours. Floor 3.

Theory of operation.

1. A file is written under a name nobody asks for, then moved to its id and noted in the database in one
   transaction: what is in the database is whole on disk. What a dead process left half written is swept.
2. Names on disk are ids made here, never what a client calls its file.
3. Whatever is asked for names its owner; another's file does not exist.
"""

import os
import time
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO, Final

import msgspec

from turnout.errors import QuotaExceeded, StoreUnavailable
from turnout.stores.base import microseconds
from turnout.stores.files.base import File, Room
from turnout.stores.files.database import Database

PART: Final = ".part"
STALE_S: Final = 86_400.0
"""After which a half-written file is nobody's any more."""
MIB: Final = 1024 * 1024

_pack = msgspec.msgpack.Encoder().encode
_file = msgspec.msgpack.Decoder(File).decode
_USED = "SELECT COUNT(*), COALESCE(SUM(n_bytes), 0) FROM files WHERE owner = ? AND id <> ?"
_INSERT = """INSERT OR REPLACE INTO files
    (id, owner, purpose, n_bytes, expires_us, organisation, customer, doc) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
_GET = """SELECT doc FROM files WHERE id = :id AND owner = :owner
    AND (expires_us IS NULL OR expires_us > :now)"""
_PAGE = """SELECT doc FROM files WHERE owner = :owner AND (expires_us IS NULL OR expires_us > :now)
    AND (:purpose IS NULL OR purpose = :purpose)"""
_NEWEST = _PAGE + " AND (:after IS NULL OR id < :after) ORDER BY id DESC LIMIT :limit"
_OLDEST = _PAGE + " AND (:after IS NULL OR id > :after) ORDER BY id LIMIT :limit"
_DELETE = "DELETE FROM files WHERE id = ? AND owner = ? RETURNING id"
_EXPIRED = "DELETE FROM files WHERE expires_us <= ? RETURNING id"
_OF_CUSTOMER = "DELETE FROM files WHERE customer = ? AND organisation IS ? RETURNING id"


class Draft:
    """A file that is being written."""

    __slots__ = ("_out", "n_bytes", "path")

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._out: BinaryIO = os.fdopen(os.open(path, flags, 0o600), "wb", buffering=256 * 1024)
        self.path = path
        self.n_bytes = 0

    def write(self, data: bytes) -> None:
        """Add bytes. Raises `StoreUnavailable` when the disk refuses."""
        try:
            self._out.write(data)
        except OSError as failure:
            raise _refused(failure) from failure
        self.n_bytes += len(data)

    def finish(self) -> None:
        """Have it all on the disk."""
        try:
            self._out.flush()
            os.fsync(self._out.fileno())
            self._out.close()
        except OSError as failure:
            raise _refused(failure) from failure

    def drop(self) -> None:
        """Let go of it, unless it was kept."""
        with suppress(OSError):
            self._out.close()
        with suppress(OSError):
            self.path.unlink()


class Files:
    """The files of a directory. Blocking: called from a thread that may wait."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def draft(self) -> Draft:
        """Begin a file. Raises `StoreUnavailable`."""
        try:
            return Draft(self._database.content / f"{token_hex(12)}{PART}")
        except OSError as failure:
            raise _refused(failure) from failure

    def keep(self, draft: Draft, file: File, room: Room | None = None) -> File:
        """Keep what was written; one of the same id is replaced.

        Args:
            draft: The content, finished.
            file: What is known of it.
            room: What the owner may have; None = it is made here, and always fits.

        Raises:
            QuotaExceeded: The owner has too much, or too many.
        """
        expires_us = None if file.expires_at is None else microseconds(file.expires_at)
        row = (file.id, file.owner, file.purpose, file.n_bytes, expires_us)
        with self._database.transaction() as db:
            n_files, n_bytes = db.execute(_USED, (file.owner, file.id)).fetchone()
            if room is not None and n_files >= room.max_files:
                raise QuotaExceeded(f"{n_files} files are kept already, as many as allowed; delete some")
            if room is not None and n_bytes + file.n_bytes > room.max_bytes:
                most = room.max_bytes / MIB
                raise QuotaExceeded(f"with this file more than {most:g} MiB would be kept; delete some")
            db.execute(_INSERT, (*row, file.organisation, file.customer, _pack(file)))
            try:
                draft.path.replace(self.path(file.id))
            except OSError as failure:
                raise _refused(failure) from failure
        return file

    def path(self, file_id: str) -> Path:
        """Return where the content lies. The id is one that was made here."""
        return self._database.content / file_id

    def get(self, file_id: str, owner: str, now: datetime) -> File | None:
        """Return a file; None = the owner has none of that id."""
        with self._database.transaction() as db:
            row = db.execute(_GET, {"id": file_id, "owner": owner, "now": microseconds(now)}).fetchone()
        return None if row is None else _file(row[0])

    def page(
        self,
        owner: str,
        now: datetime,
        *,
        purpose: str | None = None,
        limit: int,
        after: str | None = None,
        newest: bool = True,
    ) -> list[File]:
        """Return files of an owner; `after` = the last id of the page before."""
        given = {"owner": owner, "now": microseconds(now), "purpose": purpose, "after": after, "limit": limit}
        with self._database.transaction() as db:
            return [_file(row[0]) for row in db.execute(_NEWEST if newest else _OLDEST, given).fetchall()]

    def delete(self, file_id: str, owner: str) -> bool:
        """Delete a file; False = the owner has none of that id."""
        return bool(self._gone(_DELETE, (file_id, owner)))

    def forget_customer(self, customer: str, organisation: str | None) -> int:
        """Delete everything that belongs to an end customer; return how many files that were."""
        return self._gone(_OF_CUSTOMER, (customer, organisation))

    def sweep(self, now: datetime) -> int:
        """Delete what has expired and what was never finished; return how many files expired."""
        stale = time.time() - STALE_S
        with suppress(OSError):
            for path in self._database.content.glob(f"*{PART}"):
                if path.stat().st_mtime < stale:
                    path.unlink(missing_ok=True)
        return self._gone(_EXPIRED, (microseconds(now),))

    def _gone(self, statement: str, values: tuple[object, ...]) -> int:
        with self._database.transaction() as db:
            ids = [row[0] for row in db.execute(statement, values).fetchall()]
        for file_id in ids:
            with suppress(OSError):
                self.path(file_id).unlink()
        return len(ids)


def expiry(created_at: datetime, seconds: float | None) -> datetime | None:
    """Return when a file of this age limit goes."""
    return None if seconds is None else created_at + timedelta(seconds=seconds)


def _refused(failure: OSError) -> StoreUnavailable:
    return StoreUnavailable(f"the store of files: {failure.strerror}", retry_after_s=1)
