"""An event loop whose seconds are shorter: a script of minutes runs in as many seconds.

Theory of operation.

1. `time()` is the machine's monotonic clock times `SCALE`, and every timer is set on that clock. So all that
   runs on the loop (time limits, breakers, back-off, windows of live numbers) keeps its production settings,
   and a second of the script lasts 1/SCALE of a real one.
2. The monotonic clock is the same for every process of a machine, so the loop of the upstreams and the loop
   of the engine agree on what time it is.
3. `epoll` rounds waits up to a whole millisecond, which is SCALE milliseconds of the script. So the wait is a
   `select`, exact to a microsecond, on the one descriptor of the epoll itself.
4. What is not scaled is the work itself: a millisecond of Python costs SCALE milliseconds of the script. All
   reported latencies include it.
"""

import asyncio
import os
import select
import selectors
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

SCALE = float(os.environ.get("FLEET_SCALE", "20"))
"""Seconds of the script per real second. A busy machine needs less: what it delays is multiplied too."""

T = TypeVar("T")


class _Scaled(selectors.EpollSelector):
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for a scaled time."""
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        select.select([self.fileno()], [], [], timeout / SCALE)
        return super().select(0)


class ScaledLoop(asyncio.SelectorEventLoop):
    """A selector loop on the faster clock."""

    def __init__(self) -> None:
        super().__init__(_Scaled())

    def time(self) -> float:
        """Return the clock reading in seconds of the script."""
        return time.monotonic() * SCALE


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in a new `ScaledLoop`."""
    with asyncio.Runner(loop_factory=ScaledLoop) as runner:
        return runner.run(main)
