"""`/v1/messages/batches`: many requests at once, in Anthropic's shape, over any provider. Floor 6.

Source: Anthropic API reference, Message Batches (seen 2026-11). WIRE.md 3.8.
"""

import asyncio
from datetime import datetime
from typing import Final

from turnout.errors import NotFound
from turnout.server.batch_lines import read_requests
from turnout.server.bulk import Bulk, Wanted
from turnout.server.bulk_form import BulkForm, id_before
from turnout.server.paths import ANTHROPIC, Paths
from turnout.server.uploads import found_file, limit_of, owner_of, send_file
from turnout.server.visit import Visit, no_endpoint, query_of
from turnout.stores.files import ENDED, Batch
from turnout.types.json import Json

MOST_LISTED: Final = 1000
ENDPOINT: Final = "/v1/messages"
PLACE: Final = "/v1/messages/batches"


class MessageBatches(BulkForm):
    """The endpoints at one gateway."""

    def mount(self, paths: Paths[Visit]) -> None:
        """Serve the paths."""
        paths.add("POST", "/messages/batches", self._create, ANTHROPIC)
        paths.add("GET", "/messages/batches", self._list, ANTHROPIC)
        paths.add("GET", "/messages/batches/", self._show, ANTHROPIC)
        paths.add("POST", "/messages/batches/", self._cancel, ANTHROPIC)
        paths.add("DELETE", "/messages/batches/", self._delete, ANTHROPIC)

    async def _create(self, visit: Visit) -> None:
        bulk = self._entered(visit)
        raw = await self._steps.body(visit)
        lines = await asyncio.to_thread(read_requests, raw, bulk.config().max_lines)
        await self._send(visit, view(await bulk.create(visit, Wanted("anthropic", ENDPOINT), lines)))

    async def _list(self, visit: Visit) -> None:
        bulk = self._entered(visit)
        query = query_of(visit)
        limit = limit_of(query.get("limit"), 20, MOST_LISTED)
        before, after = query.get("before_id"), query.get("after_id")
        owner = owner_of(visit.principal)
        found = await asyncio.to_thread(
            bulk.batches.page, owner, "anthropic", limit + 1, after=after, before=before
        )
        shown = found[-limit:] if before is not None else found[:limit]
        data: list[Json] = [view(batch) for batch in shown]
        await self._send(
            visit,
            {
                "data": data,
                "has_more": len(found) > limit,
                "first_id": shown[0].id if shown else None,
                "last_id": shown[-1].id if shown else None,
            },
        )

    async def _show(self, visit: Visit) -> None:
        bulk = self._entered(visit)
        batch_id, slash, what = visit.path_rest.partition("/")
        if slash and what != "results":
            raise no_endpoint(visit)
        batch = await bulk.get(batch_id, visit, "anthropic")
        if slash:
            await self._results(visit, bulk, batch)
        else:
            await self._send(visit, view(batch))

    async def _results(self, visit: Visit, bulk: Bulk, batch: Batch) -> None:
        if batch.state not in ENDED or batch.output_file is None:
            raise NotFound(f"the batch {batch.id} has no results yet", param="id")
        file = await found_file(bulk.shelf, batch.output_file, visit.principal)
        headers = [(b"content-type", b"application/x-jsonl"), *self._steps.ids(visit.request_id)]
        await send_file(visit, bulk.shelf, file, headers)

    async def _cancel(self, visit: Visit) -> None:
        bulk = self._entered(visit)
        batch_id = id_before("cancel", visit)
        await self._send(visit, view(await bulk.cancel(batch_id, visit, "anthropic")))

    async def _delete(self, visit: Visit) -> None:
        bulk = self._entered(visit)
        batch = await bulk.delete(visit.path_rest, visit, "anthropic")
        await self._send(visit, {"id": batch.id, "type": "message_batch_deleted"})

    def _headers(self, visit: Visit) -> list[tuple[bytes, bytes]]:
        return [*super()._headers(visit), (b"request-id", visit.request_id.encode())]


def view(batch: Batch) -> dict[str, Json]:
    """Return a batch as its owner sees it; lines are counted when it has ended, as at Anthropic."""
    counts, ended = batch.counts, batch.state in ENDED
    running = "in_progress" if batch.cancelling_at is None else "canceling"
    return {
        "id": batch.id,
        "type": "message_batch",
        "processing_status": "ended" if ended else running,
        "request_counts": {
            "processing": 0 if ended else counts.total,
            "succeeded": counts.succeeded if ended else 0,
            "errored": counts.errored if ended else 0,
            "canceled": counts.canceled if ended else 0,
            "expired": counts.expired if ended else 0,
        },
        "created_at": _at(batch.created_at),
        "expires_at": _at(batch.deadline_at),
        "ended_at": _at(batch.ended_at),
        "cancel_initiated_at": _at(batch.cancelling_at),
        "archived_at": None,
        # Relative: the official clients put it behind the address they were given.
        "results_url": f"{PLACE}/{batch.id}/results" if ended else None,
    }


def _at(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat().replace("+00:00", "Z")
