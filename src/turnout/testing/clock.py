"""An event loop whose time jumps: tests of time limits run in no time, and the same way each time. Floor 6.

Theory of operation.
1. The loop's clock stands still while anything is ready to run. When nothing is, it jumps to the next
   timer instead of waiting for it. So `sleep(60)` takes no time and ends at exactly `start + 60`.
2. When nothing is ready and there is no timer, nothing can ever happen again: that is a `DeadlockError`,
   raised with the names of the tasks that wait. A lost wake-up fails the test instead of hanging it.
3. Work in threads (`run_in_executor`, `to_thread`) is real: while some is under way the clock stands still
   and the loop waits for it.
4. Sockets and pipes are polled, never waited for while a timer is set: the loop is for code whose edges
   are fakes.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, cast

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class DeadlockError(RuntimeError):
    """Every task waits, and nothing that could wake one is left."""


class ClockLoop(asyncio.SelectorEventLoop):
    """An event loop with a clock of its own, starting at 0."""

    def __init__(self) -> None:
        self._now = 0.0
        self._n_threads = 0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        """Return the loop's clock reading in seconds."""
        return self._now

    def next_timer(self) -> float | None:
        """Return when the next timer is due; None = there is none."""
        # The heap is private, but stable from 3.8 to 3.14; the public timeout of `select` is rounded by
        # its subtraction from the clock, and tests compare instants with ==.
        heap = cast("list[asyncio.TimerHandle]", getattr(self, "_scheduled"))  # noqa: B009
        return min((timer.when() for timer in heap if not timer.cancelled()), default=None)

    def jump(self, to: float) -> None:
        """Set the clock forward."""
        self._now = max(self._now, to)

    @property
    def waits_for_threads(self) -> bool:
        """Whether work in threads is under way."""
        return self._n_threads > 0

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> "asyncio.Future[T]":
        """Run in a thread; the clock stands still until it is done."""
        future = super().run_in_executor(executor, func, *args)
        self._n_threads += 1
        future.add_done_callback(self._thread_done)
        return future

    async def shutdown_default_executor(
        self,
        timeout: float | None = None,  # noqa: ASYNC109  the loop's own signature since 3.12
    ) -> None:
        """End the threads; a thread of asyncio's waits for them."""
        self._n_threads += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._n_threads -= 1

    def _thread_done(self, _: "asyncio.Future[Any]") -> None:
        self._n_threads -= 1


class _Jumping(selectors.DefaultSelector):
    """Polls; where a real selector would wait, it moves the loop's clock."""

    def __init__(self, loop: ClockLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready now, or make the next timer due."""
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        loop = self._loop
        if loop.waits_for_threads:
            return super().select(None)
        due = loop.next_timer()
        if due is not None:
            loop.jump(due)
            return []
        if len(self.get_map()) > 1:  # more than the loop's own wake-up pipe
            return super().select(None)
        raise DeadlockError(_describe(loop))


def now() -> float:
    """Return the running loop's clock reading; what code under test gets as its clock."""
    return asyncio.get_running_loop().time()


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in a new `ClockLoop`."""
    with asyncio.Runner(loop_factory=ClockLoop) as runner:
        return runner.run(main)


def _describe(loop: asyncio.AbstractEventLoop) -> str:
    lines = []
    for task in sorted(asyncio.all_tasks(loop), key=asyncio.Task.get_name):
        stack = task.get_stack(limit=1)
        where = f" at {stack[0].f_code.co_filename}:{stack[0].f_lineno}" if stack else ""
        lines.append(f"{task.get_name()} in {getattr(task.get_coro(), '__qualname__', '?')}{where}")
    return (
        f"at {loop.time():g} s nothing is ready and no timer is set; waiting: {'; '.join(lines) or 'no task'}"
    )
