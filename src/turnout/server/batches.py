"""`/v1/batches`: many requests in one file, in OpenAI's shape, over any provider. Floor 6.

Source: OpenAI API reference, Batch (seen 2026-11). WIRE.md 3.8.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct

from turnout.codecs.strict import convert, parse
from turnout.errors import Conflict, InvalidRequest
from turnout.server.bulk import Wanted
from turnout.server.bulk_form import BulkForm, id_before
from turnout.server.gemini_batches import GeminiBatches
from turnout.server.paths import GEMINI, OPENAI, SHARED, Paths
from turnout.server.uploads import age_of, found_file, limit_of, owner_of, page
from turnout.server.verbs import Steps, shown
from turnout.server.visit import Visit, no_endpoint, query_of
from turnout.stores.files import ENDED, Batch
from turnout.types.json import Json

MOST_LISTED: Final = 100
Endpoint: TypeAlias = Callable[[Visit], Awaitable[None]]
LONGEST_S: Final = 7 * 86_400
_WINDOW = re.compile(r"([1-9]\d{0,2})([hd])")


class _Age(Struct, frozen=True):
    anchor: str
    seconds: int


class Create(Struct, frozen=True, kw_only=True):
    """What a client says of a batch to be made."""

    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]] | None = None
    output_expires_after: _Age | None = None


class BatchEndpoints(BulkForm):
    """The endpoints at one gateway."""

    def __init__(self, steps: Steps, defers: Callable[[str], bool], jobs: GeminiBatches) -> None:
        """Prepare.

        Args:
            steps: What the gateway does for each of its endpoints.
            defers: Tells whether an endpoint can be asked in the background.
            jobs: What serves clients of Gemini's format at the same paths.
        """
        super().__init__(steps)
        self._defers = defers
        self._jobs = jobs

    def mount(self, paths: Paths[Visit]) -> None:
        """Serve the paths."""
        paths.add("POST", "/batches", self._create, OPENAI)
        jobs = self._jobs
        paths.add("GET", "/batches", _either(self._list, jobs.listed), SHARED)
        paths.add("GET", "/batches/", _either(self._show, jobs.show), SHARED)
        paths.add("POST", "/batches/", _either(self._cancel, jobs.cancel), SHARED)
        paths.add("DELETE", "/batches/", _either(self._no_such, jobs.delete), SHARED)

    async def _create(self, visit: Visit) -> None:
        bulk = self._entered(visit)
        asked = convert(parse(await self._steps.body(visit)), Create)
        if not asked.endpoint.startswith("/v1/") or not self._defers(asked.endpoint):
            raise InvalidRequest(f"endpoint: {asked.endpoint[:64]!r} takes no batches", param="endpoint")
        if asked.metadata is not None and len(asked.metadata) > 16:
            raise InvalidRequest("metadata: at most 16 keys", param="metadata")
        file = await found_file(bulk.shelf, asked.input_file_id, visit.principal)
        if file.purpose != "batch":
            raise InvalidRequest("input_file_id: the file's purpose is not batch", param="input_file_id")
        wanted = Wanted("openai", asked.endpoint, asked.completion_window, _window_s(asked.completion_window))
        wanted.input_file = file.id
        wanted.metadata = asked.metadata
        age = asked.output_expires_after
        wanted.output_expires_s = None if age is None else age_of(age.anchor, age.seconds)
        await self._tell(visit, await bulk.create(visit, wanted))

    async def _list(self, visit: Visit) -> None:
        bulk = self._entered(visit)
        query = query_of(visit)
        limit = limit_of(query.get("limit"), 20, MOST_LISTED)
        owner = owner_of(visit.principal)
        found = await asyncio.to_thread(
            bulk.batches.page, owner, "openai", limit + 1, after=query.get("after")
        )
        await self._send(visit, page([view(batch) for batch in found], limit))

    async def _show(self, visit: Visit) -> None:
        bulk = self._entered(visit)
        await self._tell(visit, await bulk.get(visit.path_rest, visit, "openai"))

    async def _cancel(self, visit: Visit) -> None:
        bulk = self._entered(visit)
        batch_id = id_before("cancel", visit)
        batch = await bulk.get(batch_id, visit, "openai")
        if batch.state in ENDED and batch.state != "cancelled":
            raise Conflict(f"Cannot cancel a batch with status '{batch.state}'.")
        await self._tell(visit, await bulk.cancel(batch_id, visit, "openai"))

    async def _no_such(self, visit: Visit) -> None:
        self._entered(visit)
        raise no_endpoint(visit)

    async def _tell(self, visit: Visit, batch: Batch) -> None:
        await self._send(visit, view(batch))


def _either(openai: Endpoint, gemini: Endpoint) -> Endpoint:
    """Return what serves a path that two formats have, each to its own clients."""

    async def serve(visit: Visit) -> None:
        await (gemini if shown(visit) == GEMINI else openai)(visit)

    return serve


def view(batch: Batch) -> dict[str, Json]:
    """Return a batch as its owner sees it."""
    state = batch.state
    ended = None if batch.ended_at is None else int(batch.ended_at.timestamp())
    cancelling = batch.cancelling_at
    counts = batch.counts
    errors: Json = None
    if batch.errors:
        data = [
            {"code": each.code, "line": each.line, "message": each.message, "param": each.param}
            for each in batch.errors
        ]
        errors = msgspec.to_builtins({"object": "list", "data": data})
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "errors": errors,
        "input_file_id": batch.input_file,
        "completion_window": batch.window,
        "status": "cancelling" if cancelling is not None and state not in ENDED else state,
        "output_file_id": batch.output_file,
        "error_file_id": batch.error_file,
        "created_at": int(batch.created_at.timestamp()),
        "in_progress_at": _at(batch.in_progress_at),
        "expires_at": int(batch.deadline_at.timestamp()),
        "finalizing_at": _at(batch.finalizing_at),
        "completed_at": ended if state == "completed" else None,
        "failed_at": ended if state == "failed" else None,
        "expired_at": ended if state == "expired" else None,
        "cancelling_at": _at(cancelling),
        "cancelled_at": ended if state == "cancelled" else None,
        "request_counts": {
            "total": counts.total,
            "completed": counts.succeeded,
            "failed": counts.errored + counts.expired,
        },
        "metadata": None if batch.metadata is None else dict(batch.metadata),
    }


def _at(instant: datetime | None) -> int | None:
    return None if instant is None else int(instant.timestamp())


def _window_s(text: str) -> float:
    found = _WINDOW.fullmatch(text)
    seconds = 0 if found is None else int(found[1]) * (3600 if found[2] == "h" else 86_400)
    if not 0 < seconds <= LONGEST_S:
        raise InvalidRequest("completion_window: expected 24h, or 1h to 7d", param="completion_window")
    return float(seconds)
