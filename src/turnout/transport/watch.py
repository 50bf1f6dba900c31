"""One coarse timer for everything that may not wait for ever. Floor 3.

Theory of operation.
1. A timer per request would cost more than the request's own bookkeeping; so a single tick every
   `tick_s` asks each watched thing whether its time is up. Limits are therefore met with a delay of at most
   two ticks, never early.
2. The timer runs only while something is watched; without load it slows down to `SLOW_S` for
   housekeeping of idle connections, and stops when there are none.
3. `check` must not raise: it ends what it belongs to.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

SLOW_S = 5.0
"""Between two rounds of housekeeping."""


class Watched(Protocol):
    """Something with a deadline."""

    def check(self, now: float) -> None:
        """End this when its time is up. `now` is loop time."""
        ...


class Watch:
    """The timer. `items` is public so that the hot path adds and removes without a call."""

    __slots__ = ("_handle", "_housekeep", "_loop", "_next_round", "_tick_s", "fast", "items")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, tick_s: float, housekeep: Callable[[float], bool]
    ) -> None:
        self._loop = loop
        self._tick_s = tick_s
        self._housekeep = housekeep
        """Closes what idled too long; tells whether anything is left to look after."""
        self._handle: asyncio.TimerHandle | None = None
        self._next_round = 0.0
        self.items: set[Watched] = set()
        self.fast = False
        """Whether the tick runs at full pace; when it does not, whoever adds an item calls `start`."""

    def start(self) -> None:
        """Run at full pace from now on."""
        if self._handle is not None:
            self._handle.cancel()
        self.fast = True
        self._handle = self._loop.call_later(self._tick_s, self._tick)

    def stop(self) -> None:
        """Stop for good."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self.fast = False

    def _tick(self) -> None:
        now = self._loop.time()
        for item in tuple(self.items):
            item.check(now)
        keep = True
        if now >= self._next_round:
            self._next_round = now + SLOW_S
            keep = self._housekeep(now)
        self.fast = bool(self.items)
        if self.fast:
            self._handle = self._loop.call_later(self._tick_s, self._tick)
        elif keep:
            self._handle = self._loop.call_later(SLOW_S, self._tick)
        else:
            self._handle = None
