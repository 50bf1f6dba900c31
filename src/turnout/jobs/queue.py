"""Runs the jobs of a queue: when they are due, a few at a time, each to its end. Floor 4.

Theory of operation.

1. One loop claims what is due, sleeps until the next job is, and never longer than a lease: another process
   that dies leaves its jobs to whoever looks next. Whatever ends or is handed in here wakes it.
2. A heartbeat renews the leases of what runs here. A job that is no longer ours (cancelled elsewhere, or
   taken over because this process stood still for too long) is broken off; what it would have said is
   refused anyway.
3. A run that failed for a reason that may pass is booked again, later each time, until the deadline or
   `max_tries`; any other failure is the job's answer.
4. `stop` claims nothing more, lets what runs go on for a grace period, then breaks it off and queues it
   again. A killed process does none of this, and its leases run out.
5. A broken-off run left a Record, so the next run has a request id of its own; one that was killed left
   none, and its successor takes the id over.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import ParamSpec, TypeVar

import msgspec
from msgspec import Struct

from turnout.errors import StoreUnavailable, TimeoutTotal, TurnoutError
from turnout.stores.queue import Booking, Claimed, Ending, Job, Queue, Served

log = logging.getLogger("turnout.jobs")

P = ParamSpec("P")
T = TypeVar("T")

BACKOFF_S = 15.0
"""Wait after the first failed run; doubled after each further one."""
MOST_BACKOFF_S = 1800.0
STORE_WAIT_S = 1.0
"""Wait before a store that refused is asked again."""
BEATS_PER_LEASE = 3


class Rules(Struct, frozen=True, kw_only=True):
    """Limits in force; read again each time."""

    max_running: int = 4
    max_tries: int = 5
    lease_s: float = 30.0
    retention_s: float = 86_400.0
    keep_s: float = 604_800.0


class Ran(Struct, frozen=True):
    """How one run ended."""

    served: Served
    error: str | None = None
    """Class word of the failure; None = it was answered."""
    may_pass: bool = False
    """Whether the same request may succeed later."""
    retry_after_s: float = 0.0


class Runner:
    """Runs jobs in this process."""

    __slots__ = (
        "_holder",
        "_left",
        "_new_request_id",
        "_now",
        "_queue",
        "_rebook",
        "_rules",
        "_running",
        "_serve",
        "_stopping",
        "_wake",
    )

    def __init__(
        self,
        queue: Queue,
        serve: Callable[[Claimed], Awaitable[Ran]],
        rebook: Callable[[Claimed, datetime], Awaitable[Booking]],
        *,
        rules: Callable[[], Rules],
        now: Callable[[], datetime],
        new_request_id: Callable[[], str],
    ) -> None:
        """Prepare; nothing runs before `run`.

        Args:
            queue: Where jobs are.
            serve: Runs one; answers every failure instead of raising it.
            rebook: Plans another run, no earlier than an instant. May raise a `TurnoutError`.
            rules: Limits in force.
            now: Aware UTC.
            new_request_id: Makes the id of a further run; the first names this process as a holder.
        """
        self._queue = queue
        self._serve = serve
        self._rebook = rebook
        self._rules = rules
        self._now = now
        self._new_request_id = new_request_id
        self._holder = new_request_id()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._left: list[Job] = []
        """Broken off, to be queued again."""
        self._wake = asyncio.Event()
        self._stopping: float | None = None
        """Grace period, once told to stop."""

    @property
    def n_running(self) -> int:
        """Jobs under way here."""
        return len(self._running)

    def wake(self) -> None:
        """Look again: something may be due."""
        self._wake.set()

    def drop(self, job_id: str) -> None:
        """Break off a job that was cancelled, if it runs here."""
        task = self._running.get(job_id)
        if task is not None:
            task.cancel()

    def stop(self, grace_s: float) -> None:
        """Claim nothing more; `run` returns when what runs has ended or the grace period is over."""
        self._stopping = grace_s
        self._wake.set()

    async def run(self) -> None:
        """Run jobs until told to stop."""
        try:
            async with asyncio.TaskGroup() as tasks:
                beat = tasks.create_task(self._beat())
                while self._stopping is None:
                    self._wake.clear()
                    pause_s = await self._look(tasks)
                    await _at_most(self._wake.wait(), pause_s)
                if self._running:
                    await asyncio.wait(tuple(self._running.values()), timeout=self._stopping)
                for task in tuple(self._running.values()):
                    task.cancel()
                if self._running:
                    await asyncio.wait(tuple(self._running.values()))
                beat.cancel()
        finally:
            for job in self._left:
                await self._insist(self._queue.release, self._holder, job)
            self._left.clear()

    async def _look(self, tasks: asyncio.TaskGroup) -> float:
        """Start what is due; return how long to sleep."""
        rules, now = self._rules(), self._now()
        try:
            claimed = await asyncio.to_thread(
                self._queue.claim, self._holder, now, rules.lease_s, rules.max_running
            )
            for each in claimed:
                task = tasks.create_task(self._one(each), name=each.job.id)
                self._running[each.job.id] = task
            await asyncio.to_thread(self._queue.sweep, now, rules.retention_s, rules.keep_s)
            due = await asyncio.to_thread(self._queue.due, now)
        except StoreUnavailable as failure:
            log.warning("%s", failure.message)
            return STORE_WAIT_S
        if due is None:
            return rules.lease_s
        return min(rules.lease_s, max(0.0, (due - self._now()).total_seconds()))

    async def _one(self, claimed: Claimed) -> None:
        job = claimed.job
        try:
            ran = await self._serve(claimed)
            task = asyncio.current_task()
            if task is None or not task.cancelling():  # else it answered that the gateway shuts down
                await self._settle(claimed, ran)
                return
            self._leave(job)
        except asyncio.CancelledError:
            self._leave(job)
            raise
        finally:
            del self._running[job.id]
            self._wake.set()

    def _leave(self, job: Job) -> None:
        self._left.append(msgspec.structs.replace(job, request_id=self._new_request_id()))

    async def _settle(self, claimed: Claimed, ran: Ran) -> None:
        now = self._now()
        job = msgspec.structs.replace(claimed.job, n_runs=claimed.job.n_runs + 1, error=ran.error)
        if ran.error is not None and ran.may_pass and job.n_runs < self._rules().max_tries:
            again = await self._again(claimed, job, now, ran.retry_after_s)
            if again is not None:
                await self._insist(self._queue.release, self._holder, again)
                return
        ending: Ending = "done" if ran.error is None else "failed"
        if ran.error == TimeoutTotal.row.word and now >= job.deadline_at:
            ending = "expired"
        await self._insist(self._queue.finish, self._holder, job, ending, ran.served, now)

    async def _again(self, claimed: Claimed, job: Job, now: datetime, wait_s: float) -> Job | None:
        """Return the job with a later start; None = there is no time left for another run."""
        backoff_s = min(MOST_BACKOFF_S, BACKOFF_S * 2 ** (job.n_runs - 1))
        start = now + timedelta(seconds=max(backoff_s, wait_s))
        if claimed.promoted:
            start = min(start, now + timedelta(seconds=max(1.0, wait_s)))
        if start >= job.deadline_at:
            return None
        try:
            booking = await self._rebook(claimed, start)
        except TurnoutError:
            return None
        return msgspec.structs.replace(job, booking=booking, request_id=self._new_request_id())

    async def _beat(self) -> None:
        while True:
            lease_s = self._rules().lease_s
            await asyncio.sleep(lease_s / BEATS_PER_LEASE)
            if not self._running:
                continue
            mine = tuple(self._running)
            try:
                held = await asyncio.to_thread(self._queue.renew, self._holder, mine, self._now(), lease_s)
            except StoreUnavailable as failure:
                log.warning("%s", failure.message)
                continue
            for job_id in mine:
                if job_id not in held:
                    self.drop(job_id)

    async def _insist(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Ask the store until it does not refuse: while it does, nobody else can take the job either."""
        while True:
            try:
                return await asyncio.to_thread(call, *args, **kwargs)
            except StoreUnavailable as failure:
                log.warning("%s", failure.message)
            await asyncio.sleep(STORE_WAIT_S)


async def _at_most(waiting: Awaitable[object], seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await waiting
    except TimeoutError:
        pass
