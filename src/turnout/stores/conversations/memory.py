"""Conversations that live and die with the process. Floor 3.

Used from one event loop, and never gives way to it in the middle, which makes each call atomic.
"""

import time
from collections.abc import Callable

from msgspec import Struct

from turnout.stores.conversations.base import Change, Kept, Room, too_large


class _Held(Struct, frozen=True):
    kept: Kept
    ends_at: float


class _Owner:
    """What one owner keeps, oldest first."""

    __slots__ = ("answers", "items", "n_bytes")

    def __init__(self) -> None:
        self.answers: dict[str, _Held] = {}
        self.items: dict[str, str] = {}
        """Item id -> id of its answer."""
        self.n_bytes = 0

    def add(self, held: _Held) -> None:
        kept = held.kept
        self.remove(kept.id)
        self.answers[kept.id] = held
        self.items.update(dict.fromkeys(kept.items, kept.id))
        self.n_bytes += len(kept.document)

    def remove(self, answer_id: str) -> int:
        """Let go of an answer; return the bytes it took."""
        held = self.answers.pop(answer_id, None)
        if held is None:
            return 0
        for item in held.kept.items:
            if self.items.get(item) == answer_id:
                del self.items[item]
        self.n_bytes -= len(held.kept.document)
        return len(held.kept.document)


class MemoryConversations:
    """`Conversations` in dictionaries."""

    def __init__(self, room: Room | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._room = room or Room()
        self._clock = clock
        self._owners: dict[str, _Owner] = {}
        self._n_bytes = 0

    async def put(self, owner: str, kept: Kept) -> None:
        """Keep an answer; see `Conversations.put`. One that is larger than all the room is not kept."""
        room, now = self._room, self._clock()
        if len(kept.document) > room.max_bytes:
            return
        theirs = self._owners.setdefault(owner, _Owner())
        before = theirs.n_bytes
        theirs.add(_Held(kept, now + room.ttl_s))
        self._n_bytes += theirs.n_bytes - before
        while len(theirs.answers) > room.max_per_owner:
            self._drop(owner, next(iter(theirs.answers)))
        if self._n_bytes > room.max_bytes:
            self._make_room(now)

    async def get(self, owner: str, answer_id: str) -> bytes | None:
        """Return a document; see `Conversations.get`."""
        theirs = self._owners.get(owner)
        held = None if theirs is None else theirs.answers.get(answer_id)
        if held is None:
            return None
        if held.ends_at <= self._clock():
            self._drop(owner, answer_id)
            return None
        return held.kept.document

    async def amend(self, owner: str, answer_id: str, change: Change) -> bool:
        """Change a document; see `Conversations.amend`."""
        document = await self.get(owner, answer_id)
        made = None if document is None else change(document)
        if made is not None:
            if len(made.document) > self._room.max_bytes:
                raise too_large(len(made.document), self._room)
            await self.put(owner, made)
        return document is not None

    async def find(self, owner: str, item_id: str) -> bytes | None:
        """Return the document of an item; see `Conversations.find`."""
        theirs = self._owners.get(owner)
        answer_id = None if theirs is None else theirs.items.get(item_id)
        return None if answer_id is None else await self.get(owner, answer_id)

    async def forget(self, owner: str, answer_id: str) -> bool:
        """Let go of an answer; see `Conversations.forget`."""
        known = await self.get(owner, answer_id) is not None
        if known:
            self._drop(owner, answer_id)
        return known

    async def erase(self, owner: str) -> int:
        """Let go of everything of an owner; see `Conversations.erase`."""
        theirs = self._owners.pop(owner, None)
        if theirs is None:
            return 0
        self._n_bytes -= theirs.n_bytes
        return len(theirs.answers)

    async def close(self) -> None:
        """Return: there is nothing to let go of."""

    def _drop(self, owner: str, answer_id: str) -> None:
        theirs = self._owners[owner]
        self._n_bytes -= theirs.remove(answer_id)
        if not theirs.answers:
            del self._owners[owner]

    def _make_room(self, now: float) -> None:
        for owner, theirs in list(self._owners.items()):
            for answer_id in [key for key, held in theirs.answers.items() if held.ends_at <= now]:
                self._drop(owner, answer_id)
        while self._n_bytes > self._room.max_bytes:
            heaviest = max(self._owners, key=lambda owner: self._owners[owner].n_bytes)
            self._drop(heaviest, next(iter(self._owners[heaviest].answers)))
