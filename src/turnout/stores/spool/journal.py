"""The journal that loses nothing: a spool in front of rows, and the thread between them. Floor 3.

Theory of operation.
1. The rows are a copy of the spool, never the other way round. A Record is kept once `Spool.append` has
   returned; whether, when and how often it reaches the rows is the writer's business alone.
2. The writer thread reads frames back from the spool's files instead of a queue of objects. So memory does
   not grow while a database is slow or gone, and recovery after a crash is the ordinary path, run over the
   segments of workers that died.
3. The writer rests until something is appended, then waits `batch_s` for company, then carries everything
   over, one transaction per segment. `flush` and `close` cut the wait short.
4. A frame is settled after its rows are committed. Dying between the two repeats the insert at the next
   start; the request id is unique in the rows, so a Record is there exactly once.
5. When the rows refuse (locked, full, gone), the spool grows, the writer tries again with growing pauses,
   and `stats().error` says why. Nothing is given up.
6. Power cuts: with `never`, what the kernel had not written is lost. With `interval`, commits are synced,
   and frames that the rows refuse are synced every `fsync_interval_s`: at most about that much is lost.
   With `always`, `append` itself waits for the disk: nothing is lost, at milliseconds per request.
7. A worker opens its own journal after any fork: threads, locks and file positions do not survive one.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import datetime
from pathlib import Path
from typing import Literal

from turnout.errors import ConfigError, StoreUnavailable
from turnout.stores.base import Page, Query, Rows, Stats, Stored, encode
from turnout.stores.glance.base import PartT, PayloadRows, parts_of
from turnout.stores.private.base import PrivateRows, Whose
from turnout.stores.spool.segments import SEGMENT_BYTES, Adopted, Spool, adopt
from turnout.stores.sums import Sum, SumQuery
from turnout.stores.sums.base import SumRows
from turnout.stores.sums.usage import UsageQuery, UsageRows, Used
from turnout.types.record import Record

Fsync = Literal["never", "interval", "always"]

BATCH_S = 0.5
"""A transaction costs 0.7 ms whatever is in it: as much as 30 Records."""
SWEEP_S = 5.0
"""Between looks for workers that died: a folder listing."""
FIRST_PAUSE_S = 0.2
"""After the rows refused; doubles up to the fsync interval, so that syncing is not late either."""

log = logging.getLogger("turnout.journal")


class SpooledJournal:
    """A `Journal` over any `Rows`. `append` may be called from any thread."""

    def __init__(
        self,
        rows: Rows,
        folder: Path,
        *,
        fsync: Fsync = "interval",
        fsync_interval_s: float = 1.0,
        batch_s: float = BATCH_S,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        """Start the writer; it first adopts what dead workers left in `folder`.

        Raises:
            ConfigError: The folder cannot be written.
        """
        self._rows = rows
        self._folder = folder
        self._fsync = fsync
        self._fsync_interval_s = fsync_interval_s
        self._batch_s = batch_s
        self._spool = Spool(folder, segment_bytes=segment_bytes, sync_each=fsync == "always")
        try:
            self._spool.claim()
        except OSError as failure:
            raise ConfigError(
                (f"journal: cannot write to the spool folder {folder}: {failure.strerror}",)
            ) from failure
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._lock = threading.Lock()
        self._waiters: list[Future[None]] = []
        self._closing = False
        self._closed = False
        self._swept_at = float("-inf")
        self._synced_at = time.monotonic()
        self._pause_s = 0.0
        self._carried = 0
        self._written = 0
        self._damaged = 0
        self._adopted = Adopted()
        self._unreadable = 0
        self._error: str | None = None
        self._thread = threading.Thread(target=self._run, name="turnout-journal", daemon=True)
        self._thread.start()

    def append(self, record: Record) -> None:
        """Write the Record to the spool. See `Journal.append` for the promise."""
        self.append_payload(encode(record))

    def append_payload(self, payload: bytes) -> None:
        """Write a Record that is encoded to the spool: about 5 µs."""
        self._spool.append(payload)
        if not self._wake.is_set():
            self._wake.set()

    async def flush(self) -> None:
        """Wait until the writer has carried over everything appended before."""
        if self._closed:
            raise StoreUnavailable("the journal is closed; what was appended is in its spool")
        waiter: Future[None] = Future()
        with self._lock:
            self._waiters.append(waiter)
        self._hurry.set()
        self._wake.set()
        await asyncio.wrap_future(waiter)

    async def close(self) -> None:
        """Carry over what the rows take, stop the writer, and leave the rest to the next start."""
        if self._closed:
            return
        self._closed = self._closing = True
        self._hurry.set()
        self._wake.set()
        await asyncio.to_thread(self._finish)

    async def query(self, query: Query) -> Page:
        """Ask the rows, from a thread."""
        return await asyncio.to_thread(self._rows.query, query)

    async def glance(self, query: Query, part: type[PartT]) -> tuple[PartT, ...]:
        """Ask the rows, from a thread; see `stores.glance`."""
        rows = self._rows
        if not isinstance(rows, PayloadRows):
            raise StoreUnavailable("this journal does not give Records as they are stored")
        return await asyncio.to_thread(parts_of, rows, query, part)

    async def get(self, request_id: str) -> Record | None:
        """Ask the rows, from a thread."""
        return await asyncio.to_thread(self._rows.get, request_id)

    async def sums(self, query: SumQuery) -> tuple[Sum, ...]:
        """Ask the rows, from a thread."""
        rows = self._rows
        if not isinstance(rows, SumRows):
            raise StoreUnavailable("this journal keeps no sums")
        return await asyncio.to_thread(rows.sums, query)

    async def usage(self, query: UsageQuery) -> tuple[Used, ...]:
        """Ask the rows, from a thread."""
        return await asyncio.to_thread(self._usages().usage, query)

    async def prune_usage(self, now: datetime, most: int) -> int:
        """Delete from the rows, from a thread."""
        return await asyncio.to_thread(self._usages().prune_usage, now, most)

    async def owners(self) -> tuple[Whose, ...]:
        """Ask the rows, from a thread."""
        return await asyncio.to_thread(self._private().owners)

    async def expire(self, whose: Whose, before: datetime, most: int) -> int:
        """Delete from the rows, from a thread."""
        return await asyncio.to_thread(self._private().expire, whose, before, most)

    async def strip(self, whose: Whose, before: datetime, most: int) -> int:
        """Remove from the rows, from a thread."""
        return await asyncio.to_thread(self._private().strip, whose, before, most)

    async def anonymise(self, customer: str, organisation: str | None, name: str, most: int) -> int:
        """Change the rows, from a thread."""
        return await asyncio.to_thread(self._private().anonymise, customer, organisation, name, most)

    def _private(self) -> PrivateRows:
        if not isinstance(self._rows, PrivateRows):
            raise StoreUnavailable("this journal cannot forget")
        return self._rows

    def _usages(self) -> UsageRows:
        if not isinstance(self._rows, UsageRows):
            raise StoreUnavailable("this journal keeps no usage")
        return self._rows

    def stats(self) -> Stats:
        """Say how spool and writer are doing."""
        spool = self._spool
        return Stats(
            appended=spool.appended,
            written=self._written,
            queued=spool.appended - spool.dropped - self._carried,
            spooled_bytes=spool.waiting_bytes,
            held=spool.n_held,
            dropped=spool.dropped,
            adopted=self._adopted.new,
            damaged=self._damaged + self._adopted.damaged,
            unreadable=self._unreadable,
            error=self._error or spool.error,
        )

    def _finish(self) -> None:
        self._thread.join()
        with self._lock:
            late, self._waiters = self._waiters, []
        _resolve(late, StoreUnavailable("the journal was closed"))
        if self._spool.n_held:
            log.error("journal: %d records lost: the disk refused them until the end", self._spool.n_held)
        self._spool.close()
        self._rows.close()

    def _run(self) -> None:
        while True:
            with self._lock:
                waiters, self._waiters = self._waiters, []
                self._hurry.clear()
            # Cleared before the spool is read, so that an append during the reading wakes us again;
            # `_closing` is read after, so that it cannot be set and its wake-up lost in between.
            self._wake.clear()
            closing = self._closing
            failure = self._carry_over()
            _resolve(waiters, failure)
            if closing:
                return
            self._rest(failure)

    def _rest(self, failure: StoreUnavailable | None) -> None:
        if failure is not None:
            self._pause_s = min(max(FIRST_PAUSE_S, self._pause_s * 2), self._fsync_interval_s)
            self._hurry.wait(self._pause_s)
            return
        self._pause_s = 0.0
        if self._wake.wait(SWEEP_S if self._spool.n_held == 0 else FIRST_PAUSE_S):
            self._hurry.wait(self._batch_s)

    def _carry_over(self) -> StoreUnavailable | None:
        failure: StoreUnavailable | None = None
        try:
            self._spool.retry_held()
            self._drain()
        except StoreUnavailable as refusal:
            failure = refusal
        except Exception as defect:
            # The writer must outlive its own defects: the spool keeps everything until one is mended.
            log.exception("journal: the writer failed; trying again")
            failure = StoreUnavailable(f"the journal's writer failed: {type(defect).__name__}")
        if failure is not None and self._error is None:
            log.warning("journal: rows refused, the spool grows: %s", failure.message)
        elif failure is None and self._error is not None:
            log.warning("journal: rows accept again")
        self._error = failure.message if failure else None
        if failure is not None:
            self._sync_when_due()
        return failure

    def _drain(self) -> None:
        if time.monotonic() - self._swept_at >= SWEEP_S:
            found = adopt(self._folder, self._insert)
            self._adopted = Adopted(
                records=self._adopted.records + found.records,
                new=self._adopted.new + found.new,
                damaged=self._adopted.damaged + found.damaged,
            )
            self._swept_at = time.monotonic()
        while chunk := self._spool.read():
            if chunk.payloads:
                self._insert(chunk.payloads)
            self._spool.settle(chunk)
            self._carried += len(chunk.payloads)
            self._damaged += chunk.damaged
            self._spool.clear()
        self._spool.clear()

    def _insert(self, payloads: Sequence[bytes]) -> Stored:
        stored = self._rows.insert(payloads)
        self._written += stored.new
        self._unreadable += stored.unreadable
        return stored

    def _sync_when_due(self) -> None:
        now = time.monotonic()
        if self._fsync == "never" or now - self._synced_at < self._fsync_interval_s:
            return
        try:
            self._spool.sync()
        except OSError as failure:
            log.warning("journal: cannot sync the spool: %s", failure.strerror)
        self._synced_at = now


def _resolve(waiters: list[Future[None]], failure: StoreUnavailable | None) -> None:
    for waiter in waiters:
        if not waiter.set_running_or_notify_cancel():
            continue
        if failure is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(failure)
