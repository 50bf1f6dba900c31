"""What every desk promises: documents with versions, and an audit log in the same transaction. Floor 3.

Theory of operation.

1. A document is JSON under a kind and an id. Its version counts its changes; a writer says which one it saw,
   and a stale one is a conflict (`If-Match` of the admin API).
2. A change and its audit entry are one transaction: what cannot be logged does not happen (S-103). What
   changes nothing (a denial, an export) is logged by itself.
3. Entries are chained by hash, one chain an organisation and one (`""`) for the installation. Nothing here
   updates or deletes an entry.
4. `revision` grows with every change. Processes ask for it often and read again what they hold when it has
   grown: that is how a revoked key stops working everywhere.
5. Sessions come and go without a transaction of that kind (`keep`, `forget`): they are asked for one by one
   and held by nobody, so the revision stays. That somebody signed in is logged beside.
"""

import hashlib
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from turnout.types.account import Act, AuditEntry, Kind, Passing

NO_HASH: Final = "0" * 64
_ENCODE: Final = msgspec.json.Encoder(order="deterministic").encode


class Document(Struct, frozen=True, kw_only=True):
    """What is kept under a kind and an id."""

    kind: Kind
    id: str
    organisation: str | None = None
    body: bytes
    """JSON of the kind's type."""
    version: int = 0
    """0 = not stored yet."""

    @property
    def digest(self) -> str:
        """SHA-256 of the body, for the audit log and the ETag."""
        return hashlib.sha256(self.body).hexdigest()


class Change(Struct, frozen=True, kw_only=True):
    """One document written or removed."""

    document: Document
    """Its version is the one that was seen; 0 = it must not exist."""
    remove: bool = False


class ConflictError(Exception):
    """A document changed since it was seen, or exists already. `current`: its version, 0 = it is gone."""

    def __init__(self, kind: Kind, id: str, current: int) -> None:  # noqa: A002  as the document calls it
        super().__init__(f"{kind}/{id} is at version {current}")
        self.kind = kind
        self.id = id
        self.current = current


class Desk(Protocol):
    """Keeps documents and the audit log. Every call is atomic. All raise `StoreUnavailable`."""

    async def get(self, kind: Kind, id: str) -> Document | None:  # noqa: A002
        """Return a document."""
        ...

    async def list(
        self, kind: Kind, *, organisation: str | None = None, after: str = "", limit: int = 100
    ) -> tuple[Document, ...]:
        """Return documents in the order of their ids, after `after`; where named, of one organisation."""
        ...

    async def write(self, changes: Sequence[Change], act: Act) -> tuple[Document, ...]:
        """Make all changes and log the act, or do neither; return the documents as they are now.

        Raises:
            ConflictError: One of them is not at the version that was seen.
        """
        ...

    async def keep(self, kind: Passing, id: str, body: bytes) -> None:  # noqa: A002
        """Write a document of a kind that passes: without an act, whatever was there."""
        ...

    async def swap(self, kind: Passing, id: str, seen: int, body: bytes) -> bool:  # noqa: A002
        """Write a document of a kind that passes if it is at the version that was seen (0 = not there).

        Tells whether it was: of several writers that saw the same, one is told yes.
        """
        ...

    async def forget(self, kind: Passing, ids: Sequence[str]) -> None:
        """Remove documents of a kind that passes; those that are not there do not matter."""
        ...

    async def note(self, act: Act) -> AuditEntry:
        """Log an act that changes no document."""
        ...

    async def audit(
        self, organisation: str = "", *, after: int = 0, limit: int = 1000
    ) -> tuple[AuditEntry, ...]:
        """Return entries of one chain, oldest first."""
        ...

    async def revision(self) -> int:
        """Return a number that grows with every change. Cheap."""
        ...

    async def close(self) -> None:
        """Let go of every resource. May be called twice."""
        ...


def chained(act: Act, seq: int, previous: str) -> AuditEntry:
    """Return an act as the entry that follows another one."""
    digest = hashlib.sha256(_ENCODE((seq, act, previous))).hexdigest()
    return AuditEntry(seq=seq, act=act, previous=previous, hash=digest)


def broken(entries: Sequence[AuditEntry], previous: str = NO_HASH, seq: int = 0) -> int | None:
    """Return the number of the first entry that was changed, left out or moved; None = the chain holds.

    Args:
        entries: In order.
        previous: Hash of the entry before the first.
        seq: Its number.
    """
    for entry in entries:
        if entry != chained(entry.act, seq + 1, previous):
            return seq + 1
        seq, previous = entry.seq, entry.hash
    return None
