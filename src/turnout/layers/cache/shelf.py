"""The store of answers as the layer uses it: nothing that it does can fail or hold up a request. Floor 4.

1. A look-up at a distant store has a time limit, and what fails is a miss. After `FAILURES` failures in a row
   the store is left alone for `PAUSE_S`; then one look-up tries it.
2. Keeping at a distant store is never waited for: a task does it, of which there are at most `MOST_TASKS`;
   beyond, an answer is not kept.
3. A store in memory is asked at once, and nothing else happens.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Final

from turnout.engine.exchange import Clock
from turnout.errors import StoreUnavailable
from turnout.stores.cache.base import CacheStore, Held, Kept, NearStore, Selector

FAILURES: Final = 3
PAUSE_S: Final = 5.0
MOST_TASKS: Final = 256
CLOSING_S: Final = 2.0
log = logging.getLogger("turnout.cache")


class Shelf:
    """Where answers are kept.

    Args:
        store: Keeps them.
        clock: Monotonic seconds.
        wall: Unix seconds.
        timeout_s: Of one look-up at a distant store.

    Attributes:
        n_failed: Calls of the store that failed.
        n_unkept: Answers that were not kept, as too many waited.
    """

    def __init__(
        self, store: CacheStore, clock: Clock, wall: Callable[[], float], *, timeout_s: float = 0.05
    ) -> None:
        self.store = store
        self.near: NearStore | None = store if isinstance(store, NearStore) else None
        """The store, where nobody need wait for it: then `look` and `keep` do."""
        self.wall = wall
        self._clock = clock
        self._timeout_s = timeout_s
        self._in_a_row = 0
        self._down_until = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self.n_failed = 0
        self.n_unkept = 0

    @property
    def is_down(self) -> bool:
        """Whether the store is left alone."""
        return self._clock() < self._down_until

    async def get(self, key: bytes) -> Kept | None:
        """Return an answer; None also where the store fails."""
        if self.near is not None:
            return self.near.look(key, self.wall())
        if self.is_down:
            return None
        try:
            async with asyncio.timeout(self._timeout_s):
                found = await self.store.get(key, self.wall())
        except (StoreUnavailable, TimeoutError) as failure:
            self._failed(failure)
            return None
        self._in_a_row = 0
        return found

    async def put(self, kept: Kept) -> None:
        """Keep an answer, now or soon."""
        self.keep(kept)

    def keep(self, kept: Kept) -> None:
        """Keep an answer: now in memory, soon at a distant store."""
        if self.near is not None:
            self.near.keep(kept, self.wall())
        elif not self.is_down:
            self._begin(self._put(kept))

    async def clear(self, which: Selector) -> int:
        """Let go of answers. Raises `StoreUnavailable`."""
        return await self.store.clear(which)

    async def held(self, which: Selector) -> Held:
        """Count answers. Raises `StoreUnavailable`."""
        return await self.store.held(which, self.wall())

    async def close(self) -> None:
        """Wait a moment for what is being kept; let go of the store."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSING_S)
        for task in self._tasks:
            task.cancel()
        await self.store.close()

    async def _put(self, kept: Kept) -> None:
        try:
            await self.store.put(kept, self.wall())
        except StoreUnavailable as failure:
            self._failed(failure)

    def _begin(self, call: Coroutine[None, None, None]) -> None:
        if len(self._tasks) >= MOST_TASKS:
            call.close()
            self.n_unkept += 1
            return
        task = asyncio.get_running_loop().create_task(call)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _failed(self, failure: Exception) -> None:
        self.n_failed += 1
        self._in_a_row += 1
        if self._in_a_row >= FAILURES:
            self._in_a_row = FAILURES - 1  # the next failure, of the one that tries, suffices
            self._down_until = self._clock() + PAUSE_S
            log.warning("the cache is left alone for %g s: %s", PAUSE_S, type(failure).__name__)
