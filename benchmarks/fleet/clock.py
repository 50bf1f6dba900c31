"""Two event loops with clocks of their own: a script of minutes runs in seconds, on real sockets.

Theory of operation.

The clock of work (`WorkLoop`): both ends of every socket live on one loop, in one process.

1. `time()` is the processor time of the thread plus the time that was skipped. What Python and the kernel
   really do for a request costs it as much latency as on an idle machine.
2. When nothing is ready, nothing can become ready but by a timer: the kernel delivers over the loopback while
   it sends. So the wait for the next timer is skipped, after `LOOKS` looks. A real wait, however short, would
   give the processor away: on a busy machine that took two thirds of a run.
3. Time in which the machine does something else does not count: a busy machine changes how long a run takes,
   and not what it measures.

The compressed clock (`ScaledLoop`): for two processes, on wall-clock time.

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

LOOKS = 4
"""Looks at the sockets before a wait is skipped; what were missed by all would be late by that wait."""
SCALE = float(os.environ.get("FLEET_SCALE", "12"))
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


class _Skipping(selectors.EpollSelector):
    def __init__(self) -> None:
        super().__init__()
        self.skipped_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready, or skip the wait."""
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        for _ in range(LOOKS):
            ready = super().select(0)
            if ready:
                return ready
        self.skipped_s += timeout
        return []


class WorkLoop(asyncio.SelectorEventLoop):
    """A selector loop on the clock of work."""

    def __init__(self) -> None:
        self._waits = _Skipping()
        super().__init__(self._waits)

    def time(self) -> float:
        """Return the clock reading in seconds of the script."""
        return time.thread_time() + self._waits.skipped_s


def run_by_work(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in a new `WorkLoop`."""
    with asyncio.Runner(loop_factory=WorkLoop) as runner:
        return runner.run(main)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in a new `ScaledLoop`."""
    with asyncio.Runner(loop_factory=ScaledLoop) as runner:
        return runner.run(main)
