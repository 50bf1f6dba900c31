"""A desk in PostgreSQL, shared by replicas. Floor 3.

Each write holds the row of the revision until it is committed, so writes come one after the other: versions,
chains and revisions need no further lock. A commit waits for the disk: what was answered is kept.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from turnout.stores.desk.base import NO_HASH, Change, ConflictError, Document, chained
from turnout.stores.postgres.connect import TIMEOUT_S, AsyncConnection, Pool, Row
from turnout.types.account import Act, AuditEntry, Kind, Passing

_SELECT: Final = "SELECT kind, id, organisation, body, version FROM desk_documents "
_GET: Final = _SELECT + "WHERE kind = %s AND id = %s"
_LIST: Final = _SELECT + "WHERE kind = %s AND id > %s ORDER BY id LIMIT %s"
_LIST_OF: Final = _SELECT + "WHERE kind = %s AND organisation = %s AND id > %s ORDER BY id LIMIT %s"
_PUT: Final = """INSERT INTO desk_documents (kind, id, organisation, body, version)
    VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (kind, id) DO UPDATE SET organisation = excluded.organisation, body = excluded.body,
    version = excluded.version"""
_SWAP: Final = """UPDATE desk_documents SET body = %s, version = version + 1
    WHERE kind = %s AND id = %s AND version = %s"""
_NEW: Final = """INSERT INTO desk_documents (kind, id, body, version) VALUES (%s, %s, %s, 1)
    ON CONFLICT (kind, id) DO NOTHING"""
_REMOVE: Final = "DELETE FROM desk_documents WHERE kind = %s AND id = %s"
_FORGET: Final = "DELETE FROM desk_documents WHERE kind = %s AND id = ANY(%s)"
_LAST: Final = "SELECT seq, hash FROM desk_audit WHERE organisation = %s ORDER BY seq DESC LIMIT 1"
_LOG: Final = "INSERT INTO desk_audit (organisation, seq, act, previous, hash) VALUES (%s, %s, %s, %s, %s)"
_AUDIT: Final = """SELECT seq, act, previous, hash FROM desk_audit
    WHERE organisation = %s AND seq > %s ORDER BY seq LIMIT %s"""
_TURN: Final = "SELECT value FROM desk_revision FOR UPDATE"
_RAISE: Final = "UPDATE desk_revision SET value = value + 1"
_REVISION: Final = "SELECT value FROM desk_revision"
_encode: Final = msgspec.json.Encoder(order="deterministic").encode
_decode: Final = msgspec.json.Decoder(Act).decode


class PostgresDesk:
    """A `Desk` in PostgreSQL. The database must have been brought to its form (`migrate`).

    Args:
        url: Where it is; see `Pool`.
        timeout_s: Of one statement.
    """

    def __init__(self, url: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self._pool = Pool(url, timeout_s=timeout_s, max_connections=4)

    async def get(self, kind: Kind, id: str) -> Document | None:  # noqa: A002
        """Return a document."""
        rows = await self._pool.fetch(_GET, (kind, id))
        return _document(rows[0]) if rows else None

    async def list(
        self, kind: Kind, *, organisation: str | None = None, after: str = "", limit: int = 100
    ) -> tuple[Document, ...]:
        """Return documents in the order of their ids."""
        if organisation is None:
            rows = await self._pool.fetch(_LIST, (kind, after, limit))
        else:
            rows = await self._pool.fetch(_LIST_OF, (kind, organisation, after, limit))
        return tuple(map(_document, rows))

    async def write(self, changes: Sequence[Change], act: Act) -> tuple[Document, ...]:
        """Make all changes and log the act, or do neither."""
        async with self._turn() as db:
            written = [await _change(db, change) for change in changes]
            await _log(db, act)
            await db.execute(_RAISE)
        return tuple(written)

    async def keep(self, kind: Passing, id: str, body: bytes) -> None:  # noqa: A002
        """Write a document of a kind that passes."""
        async with self._pool.connection() as db:
            await db.execute(_PUT.encode(), (kind, id, None, body, 1))

    async def swap(self, kind: Passing, id: str, seen: int, body: bytes) -> bool:  # noqa: A002
        """Write a document of a kind that passes if it is at the version that was seen."""
        async with self._pool.connection() as db:
            if seen:
                written = await db.execute(_SWAP.encode(), (body, kind, id, seen))
            else:
                written = await db.execute(_NEW.encode(), (kind, id, body))
            return written.rowcount == 1

    async def forget(self, kind: Passing, ids: Sequence[str]) -> None:
        """Remove documents of a kind that passes."""
        async with self._pool.connection() as db:
            await db.execute(_FORGET.encode(), (kind, list(ids)))

    async def note(self, act: Act) -> AuditEntry:
        """Log an act that changes no document."""
        async with self._turn() as db:
            return await _log(db, act)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[AsyncConnection]:
        """Run statements as one step, after all others that write."""
        async with self._pool.connection() as db, db.transaction():
            await db.execute(_TURN)
            yield db

    async def audit(
        self, organisation: str = "", *, after: int = 0, limit: int = 1000
    ) -> tuple[AuditEntry, ...]:
        """Return entries of one chain, oldest first."""
        rows = await self._pool.fetch(_AUDIT, (organisation, after, limit))
        return tuple(
            AuditEntry(seq=seq, act=_decode(act), previous=previous, hash=digest)
            for seq, act, previous, digest in rows
        )

    async def revision(self) -> int:
        """Return a number that grows with every change."""
        ((value,),) = await self._pool.fetch(_REVISION, ())
        return int(value)

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()


async def _first(db: AsyncConnection, statement: str, values: Sequence[Any]) -> Row | None:
    return await (await db.execute(statement.encode(), values)).fetchone()


async def _change(db: AsyncConnection, change: Change) -> Document:
    document = change.document
    row = await _first(db, _GET, (document.kind, document.id))
    current = 0 if row is None else int(row[4])
    if current != document.version:
        raise ConflictError(document.kind, document.id, current)
    if change.remove:
        await db.execute(_REMOVE, (document.kind, document.id))
        return document
    stored = msgspec.structs.replace(document, version=current + 1)
    await db.execute(_PUT, (stored.kind, stored.id, stored.organisation, stored.body, stored.version))
    return stored


async def _log(db: AsyncConnection, act: Act) -> AuditEntry:
    chain = act.organisation or ""
    seq, previous = await _first(db, _LAST, (chain,)) or (0, NO_HASH)
    entry = chained(act, seq + 1, previous)
    await db.execute(_LOG, (chain, entry.seq, _encode(act), entry.previous, entry.hash))
    return entry


def _document(row: Row) -> Document:
    kind, name, organisation, body, version = row
    return Document(kind=kind, id=name, organisation=organisation, body=bytes(body), version=version)
