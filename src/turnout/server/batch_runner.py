"""Runs batches: their lines become background jobs, the jobs' answers become files. Floor 6.

Theory of operation.

1. One process has the lease on a batch, and renews it however long a step takes; every step is in the
   database before the next begins. Who finds a lease run out goes on with the lines as they stand. Steps may
   be taken twice and say the same.
2. A line is handed to the background queue under an idempotency key made of the batch and the line's number,
   so that one taken twice is one job. Its answer is first written beside the line, then collected.
3. At most `ahead` lines of a batch are in the queue. The queue decides when and where they run, within its
   own limit of runs at once; the end of the completion window is the deadline of each.
4. What stops a batch (a cancellation, the end of its window) ends the lines nobody was asked about and calls
   back those under way. What was answered by then is in the output file.
5. Files are written when no line is open, under ids made of the batch's own: written again, they replace
   themselves.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, Protocol

import msgspec

from turnout.codecs.base import Dialect
from turnout.config.files import BatchesConfig
from turnout.errors import CapacityExhausted, NotFound, StoreUnavailable, TurnoutError
from turnout.server.batch_lines import WRITERS, chunked, is_output, read_file
from turnout.server.defects import note_defect
from turnout.server.deferred import Asked, Deferred
from turnout.server.ids import new_request_id
from turnout.server.paths import dialect_of
from turnout.server.uploads import PIECE, Shelf
from turnout.stores.files import Batch, Batches, BatchState, Defect, File, Line, Result
from turnout.stores.files.files import expiry
from turnout.stores.queue import Job, Sent, Served

log = logging.getLogger("turnout.batches")

BEATS_PER_LEASE: Final = 3
SHORTEST_S, LONGEST_S = 0.05, 0.4
"""Between two looks while something is under way: short after something happened, longer each time not."""
IDLE_S: Final = 10.0
"""Between two looks for batches that another process left."""
SWEEP_S: Final = 60.0
ROWS: Final = 200
"""Results read from the database at once."""
CANCELED = Result(
    "canceled", code="batch_cancelled", message="This request was not executed: its batch was cancelled."
)
EXPIRED = Result(
    "expired",
    code="batch_expired",
    message="This request could not be executed before the completion window expired.",
)


class Native(Protocol):
    """Hands batches to providers that have such a thing."""

    async def step(self, holder: str, batch: Batch) -> bool:
        """Go one step; False = the batch is not, or no more, with a provider."""
        ...


class BatchRunner:
    """Runs the batches of a directory in this process."""

    def __init__(
        self,
        batches: Batches,
        shelf: Shelf,
        deferred: Deferred,
        dialects: Mapping[str, Dialect],
        config: Callable[[], BatchesConfig],
        lease_s: Callable[[], float],
    ) -> None:
        self.batches = batches
        self.shelf = shelf
        self.config = config
        self.native: Native | None = None
        self._lease_s = lease_s
        self._deferred = deferred
        self._dialects = dialects
        self._holder = new_request_id()
        self._wake = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._swept_at = 0.0

    def start(self) -> None:
        """Take up what is there, from now on."""
        self._running = asyncio.get_running_loop().create_task(self._run(), name="batches")

    def wake(self) -> None:
        """Look again: there is something new."""
        self._wake.set()

    async def close(self) -> None:
        """Stop, and let others go on."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait((self._running,))
            self._running = None
            try:
                await asyncio.to_thread(self.batches.release, self._holder)
            except StoreUnavailable as failure:
                log.warning("%s", failure.message)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._lease_s() / BEATS_PER_LEASE)
            try:
                await asyncio.to_thread(self.batches.renew, self._holder, _now(), self._lease_s())
            except StoreUnavailable as failure:
                log.warning("%s", failure.message)

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._beat())
            await self._go()

    async def _go(self) -> None:
        pause_s = SHORTEST_S
        while True:
            self._wake.clear()
            try:
                busy, moved = await self.look()
            except StoreUnavailable as failure:
                log.warning("%s", failure.message)
                busy, moved = True, False
            except Exception as error:  # noqa: BLE001  the boundary of batches: noted, and the gateway serves on
                note_defect("batches", error)
                busy, moved = True, False
            pause_s = SHORTEST_S if moved else min(pause_s * 2, LONGEST_S)
            try:
                async with asyncio.timeout(pause_s if busy else min(IDLE_S, self._lease_s())):
                    await self._wake.wait()
                pause_s = SHORTEST_S
            except TimeoutError:
                pass

    async def look(self) -> tuple[bool, bool]:
        """Take one step with every batch; return whether there is any, and whether anything happened."""
        loop = asyncio.get_running_loop()
        if loop.time() >= self._swept_at + SWEEP_S:
            self._swept_at = loop.time()
            await asyncio.to_thread(self.shelf.files.sweep, _now())
            await asyncio.to_thread(self.batches.sweep, _now(), self.config().keep_s)
        held = await asyncio.to_thread(self.batches.claim, self._holder, _now(), self._lease_s())
        moved = False
        for batch in held:
            moved |= await self._step(batch)
        return bool(held), moved

    async def _step(self, batch: Batch) -> bool:
        match batch.state:
            case "validating":
                await self._validate(batch)
                return True
            case "in_progress":
                if self.native is not None and await self.native.step(self._holder, batch):
                    return False
                return await self._advance(batch)
            case _:
                await asyncio.to_thread(self._finalize, batch)
                return True

    async def _save(self, batch: Batch, lines: list[Line] | None = None) -> None:
        await asyncio.to_thread(self.batches.save, self._holder, batch, lines)

    async def _validate(self, batch: Batch) -> None:
        now = _now()
        if batch.cancelling_at is not None:
            await self._save(msgspec.structs.replace(batch, state="cancelled", ended_at=now))
            return
        lines: list[Line] = []
        file = await asyncio.to_thread(self.shelf.files.get, batch.input_file, batch.owner, now)
        if file is None:
            defects = [Defect("file_not_found", "the input file is not there any more")]
        else:
            path = self.shelf.files.path(file.id)
            try:
                lines, defects = await asyncio.to_thread(
                    read_file, path, batch.endpoint, self.config().max_lines
                )
            except OSError as failure:
                defects = [Defect("file_not_found", f"the input file cannot be read: {failure.strerror}")]
        if defects:
            failed = msgspec.structs.replace(batch, state="failed", ended_at=now, errors=tuple(defects))
            await self._save(failed)
            return
        await self._save(msgspec.structs.replace(batch, state="in_progress", in_progress_at=now), lines)

    async def _advance(self, batch: Batch) -> bool:
        """Take in answers, hand out lines; return whether anything happened."""
        running = await asyncio.to_thread(self.batches.running, batch.id)
        over = self._over(batch)
        if over is not None:
            await self._call_back(batch, running, over)
        n_ended = await self._take_in(batch, running)
        n_handed = 0
        if over is None:
            n_handed = await self._hand_out(batch, self.config().ahead - len(running) + n_ended)
        counts = await asyncio.to_thread(self.batches.counts, batch.id)
        if counts.open == 0:
            await self._save(msgspec.structs.replace(batch, state="finalizing", finalizing_at=_now()))
            return True
        return n_ended > 0 or n_handed > 0

    def _over(self, batch: Batch) -> Result | None:
        if batch.cancelling_at is not None:
            return CANCELED
        return EXPIRED if _now() >= batch.deadline_at else None

    async def _call_back(self, batch: Batch, running: list[Line], over: Result) -> None:
        await asyncio.to_thread(self.batches.end_rest, batch.id, over)
        for line in running:
            try:
                await self._deferred.cancel(line.job or "", batch.key_id)
            except NotFound:
                continue

    async def _take_in(self, batch: Batch, running: list[Line]) -> int:
        """Note the answers of jobs that have ended."""
        by_job = {line.job or "": line.n for line in running}
        ended = await self._deferred.ended(tuple(by_job)) if by_job else []
        if not ended:
            return 0
        over = self._over(batch)
        results: list[tuple[int, Result]] = []
        for job_id in ended:
            job, served = await self._deferred.outcome(job_id)
            results.append((by_job[job_id], _result(job, served, over)))
        await asyncio.to_thread(self.batches.settle, batch.id, results)
        for job_id in ended:
            await self._deferred.collect(job_id)
        return len(results)

    async def _hand_out(self, batch: Batch, room: int) -> int:
        """Hand lines to the queue, as many as there is room for."""
        if room <= 0:
            return 0
        lines = await asyncio.to_thread(self.batches.waiting, batch.id, room)
        jobs: list[tuple[int, str]] = []
        refused: list[tuple[int, Result]] = []
        for line in lines:
            asked = Asked(
                sent=Sent(batch.endpoint, batch.headers, line.body),
                owner=batch.key_id,
                deadline=batch.deadline_at,
                key=f"{batch.id}/{line.n}",
            )
            try:
                jobs.append((line.n, (await self._deferred.submit(asked)).id))
            except (CapacityExhausted, StoreUnavailable) as failure:
                log.info("batch %s waits: %s", batch.id, failure.message)
                break
            except TurnoutError as error:
                refused.append((line.n, self._refused(batch, error)))
        if jobs:
            await asyncio.to_thread(self.batches.hand, batch.id, jobs)
        if refused:
            await asyncio.to_thread(self.batches.settle, batch.id, refused)
        return len(jobs) + len(refused)

    def _refused(self, batch: Batch, error: TurnoutError) -> Result:
        """Return what a line's endpoint says of it."""
        request_id = new_request_id()
        dialect = self._dialects[dialect_of(batch.endpoint)]
        status, body = dialect.error(error, request_id)
        return Result("errored", status, request_id, body)

    def _finalize(self, batch: Batch) -> None:
        """Write the files of a batch and end it. Blocking."""
        counts = self.batches.counts(batch.id)
        output = self._write(batch, is_error=False)
        error = self._write(batch, is_error=True)
        state: BatchState = "completed"
        if batch.cancelling_at is not None:
            state = "cancelled"
        elif counts.expired:
            state = "expired"
        ended = msgspec.structs.replace(
            batch,
            state=state,
            ended_at=_now(),
            counts=counts,
            output_file=output,
            error_file=error,
            finalizing_at=batch.finalizing_at or _now(),
        )
        self.batches.save(self._holder, ended)

    def _write(self, batch: Batch, *, is_error: bool) -> str | None:
        """Write one file; None = it would be empty."""
        files = self.shelf.files
        draft = files.draft()
        try:
            for piece in chunked(self._lines(batch, is_error=is_error), PIECE):
                draft.write(piece)
            if not draft.n_bytes:
                return None
            draft.finish()
            now = _now()
            kept_s = batch.output_expires_s or self.shelf.config().keep_s
            rest = batch.id.rpartition("_")[2]
            file = File(
                id=f"file-{rest}{'e' if is_error else 'o'}",
                owner=batch.owner,
                purpose="batch_output",
                name=f"{batch.id}_{'error' if is_error else 'output'}.jsonl",
                n_bytes=draft.n_bytes,
                created_at=now,
                expires_at=expiry(now, kept_s),
                organisation=batch.organisation,
                customer=batch.customer,
            )
            files.keep(draft, file)
            return file.id
        finally:
            draft.drop()

    def _lines(self, batch: Batch, *, is_error: bool) -> Iterator[bytes]:
        write = WRITERS[batch.form]
        after = 0
        while page := self.batches.results(batch.id, after, ROWS):
            for line in page:
                if is_output(batch.form, line.result) is not is_error:
                    yield write(batch.id, line)
            after = page[-1].n


def _result(job: Job | None, served: Served | None, over: Result | None) -> Result:
    """Return what a line's job came to."""
    if job is None:
        return Result("errored", code="server_error", message="its background job is no longer there")
    if job.state == "cancelled":
        return over or CANCELED
    if job.state == "expired":
        return EXPIRED
    if served is None:
        return Result("errored", code="server_error", message=f"its background job is {job.state}")
    answer = (served.status, job.request_id, served.body)
    return Result("succeeded", *answer) if job.state == "done" else Result("errored", *answer)


def _now() -> datetime:
    return datetime.now(UTC)
