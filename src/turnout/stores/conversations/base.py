"""What a store of conversations promises. Floor 3.

Everything is kept per owner: an id of another owner is as unknown as one that never was. What is kept ends
after its time, and makes room when there is too much: an owner's oldest for the owner's newest, and beyond
that the oldest of whoever keeps most, so that no owner can push out the others.
"""

from typing import Protocol

from msgspec import Struct


class Room(Struct, frozen=True, kw_only=True):
    """How much is kept, and for how long."""

    ttl_s: float = 86_400.0
    max_bytes: int = 64 * 1024 * 1024
    """Over all owners."""
    max_per_owner: int = 1_000


class Kept(Struct, frozen=True):
    """One answer with what led to it."""

    id: str
    document: bytes
    items: tuple[str, ...] = ()
    """Ids of the answer's items, by which they can be found too."""


class Conversations(Protocol):
    """Keeps answers, so that a client need not send again what was said."""

    async def put(self, owner: str, kept: Kept) -> None:
        """Keep an answer in place of any other with this id."""
        ...

    async def get(self, owner: str, answer_id: str) -> bytes | None:
        """Return a document, or None."""
        ...

    async def find(self, owner: str, item_id: str) -> bytes | None:
        """Return the document of the answer that has an item, or None."""
        ...

    async def forget(self, owner: str, answer_id: str) -> bool:
        """Let go of an answer; False = there was none."""
        ...

    async def close(self) -> None:
        """Let go of every resource. May be called twice."""
        ...
