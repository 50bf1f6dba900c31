"""What the endpoints of files and batches work on, opened as configured. Floor 6."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

from turnout.build import Built
from turnout.config.files import BatchesConfig
from turnout.errors import InvalidRequest, NotFound, TurnoutError
from turnout.server.background import Came, as_job
from turnout.server.batch_native import NativeBatches
from turnout.server.batch_runner import BatchRunner
from turnout.server.deferred import Deferred
from turnout.server.ids import new_request_id
from turnout.server.till import Till
from turnout.server.uploads import Shelf, owner_of
from turnout.server.visit import Visit
from turnout.stores.files import ENDED, Batch, Batches, Database, Files, Form, Line
from turnout.types.principal import Principal

WINDOW_S: Final = 86_400.0
"""Time in which a batch is to be done, unless the client says otherwise."""


class Bulk:
    """The batches of one gateway process."""

    __slots__ = ("batches", "config", "runner", "shelf")

    def __init__(
        self, batches: Batches, shelf: Shelf, runner: BatchRunner, config: Callable[[], BatchesConfig]
    ) -> None:
        self.batches = batches
        self.shelf = shelf
        self.runner = runner
        self.config = config

    async def create(self, visit: Visit, wanted: "Wanted", lines: Sequence[Line] = ()) -> Batch:
        """Take in a batch. Raises `CapacityExhausted`."""
        who, now = visit.principal, datetime.now(UTC)
        rest = new_request_id().removeprefix("req_")
        scope = visit.scope
        headers = as_job(b"{}", Came(scope["path"], scope["headers"], "", None), says_how=False).sent.headers
        batch = Batch(
            id=f"{'msgbatch' if wanted.form == 'anthropic' else 'batch'}_{rest}",
            owner=owner_of(who),
            key_id=who.key_id or "",
            form=wanted.form,
            endpoint=wanted.endpoint,
            state="in_progress" if lines else "validating",
            in_progress_at=now if lines else None,
            created_at=now,
            deadline_at=now + timedelta(seconds=wanted.window_s),
            window=wanted.window,
            input_file=wanted.input_file,
            metadata=wanted.metadata,
            headers=headers,
            output_expires_s=wanted.output_expires_s,
            organisation=who.organisation,
            customer=who.customer,
        )
        await asyncio.to_thread(self.batches.create, batch, lines, self.config().max_open)
        self.runner.wake()
        return await self.get(batch.id, visit, wanted.form)

    async def get(self, batch_id: str, visit: Visit, form: Form) -> Batch:
        """Return a batch of the caller. Raises `NotFound`."""
        found = await asyncio.to_thread(self.batches.get, batch_id, owner_of(visit.principal), form)
        if found is None:
            raise NotFound(f"No such batch: {batch_id[:128]}", param="id")
        return found

    async def cancel(self, batch_id: str, visit: Visit, form: Form) -> Batch:
        """Tell a batch to stop; return it as it stands then. Raises `NotFound`."""
        await self.get(batch_id, visit, form)
        await asyncio.to_thread(self.batches.cancel, batch_id, datetime.now(UTC))
        self.runner.wake()
        return await self.get(batch_id, visit, form)

    async def delete(self, batch_id: str, visit: Visit, form: Form, param: str = "id") -> Batch:
        """Delete a batch that has ended, with its answers; return it. Raises `NotFound`, `InvalidRequest`."""
        batch = await self.get(batch_id, visit, form)
        if batch.state not in ENDED:
            raise InvalidRequest("a batch is deleted when it has ended; cancel it first", param=param)
        if batch.output_file is not None:
            await asyncio.to_thread(self.shelf.files.delete, batch.output_file, batch.owner)
        await asyncio.to_thread(self.batches.delete, batch.id)
        return batch

    def forget_customer(self, customer: str, organisation: str | None) -> int:
        """Delete every file and batch of an end customer; return how many there were. Blocking."""
        n_batches = self.batches.forget_customer(customer, organisation)
        return n_batches + self.shelf.files.forget_customer(customer, organisation)


class Wanted:
    """What a client asks of a batch."""

    __slots__ = ("endpoint", "form", "input_file", "metadata", "output_expires_s", "window", "window_s")

    def __init__(self, form: Form, endpoint: str, window: str = "24h", window_s: float = WINDOW_S) -> None:
        self.form = form
        self.endpoint = endpoint
        self.window = window
        self.window_s = window_s
        self.input_file = ""
        self.metadata: Mapping[str, str] | None = None
        self.output_expires_s: float | None = None


class Serves(Protocol):
    """Endpoints of files and batches."""

    who: Callable[[str], Principal]
    """Whom the id of a key stands for."""

    def serve_from(self, shelf: Shelf | None, bulk: Bulk | None) -> None:
        """From now on keep files and batches there; None = nowhere."""
        ...


class Opened:
    """What was opened. Must be closed, before the queue of background jobs is."""

    __slots__ = ("_database", "runner")

    def __init__(self, database: Database, runner: BatchRunner | None) -> None:
        self._database = database
        self.runner = runner

    async def close(self) -> None:
        """Stop running batches, and close the database."""
        if self.runner is not None:
            await self.runner.close()
        self._database.close()


def open_bulk(built: Built, endpoints: Serves, deferred: Deferred | None) -> Opened | None:
    """Open the configured files, and batches where there is a queue; None = there are none.

    Raises:
        ConfigError: They cannot be used.
    """
    path = built.config.files.path
    if path is None:
        return None
    database = Database(Path(path))
    shelf = Shelf(Files(database), lambda: built.config.files)
    runner = None
    bulk = None
    if deferred is not None:
        batches = Batches(database)
        lease_s = lambda: built.config.background.lease_s  # noqa: E731  as for the jobs it hands out
        runner = BatchRunner(batches, shelf, deferred, built.dialects, lambda: built.config.batches, lease_s)
        till, who = Till(built), endpoints.who
        runner.native = NativeBatches(batches, deferred, till, who, lambda: built.config.batches)
        bulk = Bulk(batches, shelf, runner, lambda: built.config.batches)
        runner.start()
    endpoints.serve_from(shelf, bulk)
    return Opened(database, runner)


def enabled(bulk: Bulk | None) -> Bulk:
    """Return the batches. Raises `NotFound`, saying what to configure."""
    if bulk is None:
        raise _off()
    return bulk


def _off() -> TurnoutError:
    return NotFound("batches are off at this gateway; its operator can set files.path and background.path")
