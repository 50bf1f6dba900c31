"""What a store of conversations promises. Floor 3.

Everything is kept per owner: an id of another owner is as unknown as one that never was. What is kept ends
after its time, and makes room when there is too much: an owner's oldest for the owner's newest, and beyond
that the oldest of whoever keeps most, so that no owner can push out the others.
"""

from collections.abc import Callable
from typing import Protocol, TypeAlias

from msgspec import Struct

from turnout.errors import RequestTooLarge


class Room(Struct, frozen=True, kw_only=True):
    """How much is kept, and for how long."""

    ttl_s: float = 86_400.0
    max_bytes: int = 64 * 1024 * 1024
    """Over all owners."""
    max_per_owner: int = 1_000


def too_large(n_bytes: int, room: Room) -> RequestTooLarge:
    """Say that a document does not fit."""
    most = room.max_bytes
    return RequestTooLarge(f"the conversation would take {n_bytes} bytes; at most {most} are kept here")


class Kept(Struct, frozen=True):
    """One answer with what led to it."""

    id: str
    document: bytes
    items: tuple[str, ...] = ()
    """Ids of the answer's items, by which they can be found too."""


Change: TypeAlias = Callable[[bytes], Kept | None]
"""What a document becomes; None = it stays as it is. Without I/O, and may run in another thread."""


class Conversations(Protocol):
    """Keeps answers and conversations, so that a client need not send again what was said."""

    async def put(self, owner: str, kept: Kept) -> None:
        """Keep an answer in place of any other with this id."""
        ...

    async def get(self, owner: str, answer_id: str) -> bytes | None:
        """Return a document, or None."""
        ...

    async def amend(self, owner: str, answer_id: str, change: Change) -> bool:
        """Put what `change` makes of a document in its place, with nobody in between; False = there was none.

        Its time begins anew. Raises `RequestTooLarge` for what is larger than all the room, and whatever
        `change` raises; the document then stays as it was.
        """
        ...

    async def find(self, owner: str, item_id: str) -> bytes | None:
        """Return the document of the answer that has an item, or None."""
        ...

    async def forget(self, owner: str, answer_id: str) -> bool:
        """Let go of an answer; False = there was none."""
        ...

    async def erase(self, owner: str) -> int:
        """Let go of everything of an owner; return how much it was."""
        ...

    async def close(self) -> None:
        """Let go of every resource. May be called twice."""
        ...
