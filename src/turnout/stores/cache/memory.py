"""Answers in process, the least recently used going first. Floor 3.

Not a plain dict: from one whose front is taken away again and again, the next first one is found only by
walking over the places of all that went before, some 10,000 of them in a cache of 10,000 answers.
"""

from collections import OrderedDict

from turnout.stores.cache.base import ALL, Bounds, Held, Kept, Selector


class MemoryCache:
    """A `CacheStore` in memory."""

    __slots__ = ("_bounds", "_kept", "_n_bytes")
    is_near = True

    def __init__(self, bounds: Bounds | None = None) -> None:
        self._bounds = bounds or Bounds()
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()
        """The least recently used first."""
        self._n_bytes = 0

    async def get(self, key: bytes, now: float) -> Kept | None:
        """Return an answer; see `CacheStore.get`."""
        return self.look(key, now)

    def look(self, key: bytes, now: float) -> Kept | None:
        """Return an answer, at once."""
        found = self._kept.get(key)
        if found is None:
            return None
        if found.expires <= now:
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return found

    async def put(self, kept: Kept, now: float) -> None:
        """Keep an answer; see `CacheStore.put`."""
        self.keep(kept, now)

    def keep(self, kept: Kept, now: float) -> None:
        """Keep an answer, at once. One that is larger than all the room is not kept."""
        self._drop(kept.key)
        size, bounds = kept.n_bytes, self._bounds
        if size > bounds.max_bytes or bounds.max_entries < 1:
            return
        while self._kept and (
            len(self._kept) >= bounds.max_entries or self._n_bytes + size > bounds.max_bytes
        ):
            self._n_bytes -= self._kept.popitem(last=False)[1].n_bytes
        self._kept[kept.key] = kept
        self._n_bytes += size

    async def clear(self, which: Selector) -> int:
        """Let go of answers; see `CacheStore.clear`."""
        gone = list(self._kept) if which == ALL else [k for k, v in self._kept.items() if which.takes(v)]
        for key in gone:
            self._drop(key)
        return len(gone)

    async def held(self, which: Selector, now: float) -> Held:
        """Count answers; see `CacheStore.held`."""
        found = [each.n_bytes for each in self._kept.values() if each.expires > now and which.takes(each)]
        return Held(len(found), sum(found))

    async def close(self) -> None:
        """Let go of every answer."""
        self._kept.clear()
        self._n_bytes = 0

    def _drop(self, key: bytes) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            self._n_bytes -= found.n_bytes
