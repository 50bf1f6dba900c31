"""Gemini's batch jobs, of answers and of vectors, and `/v1beta/batches`, over any provider. Floor 6.

A job is an operation: `metadata` says how it stands, `response` holds the answers of one that ended, in the
order of its requests, each with the `metadata` its request came with. Requests come in the body; files of
Google's own store cannot be named. Source: Gemini API reference, Batch (seen 2026-11). WIRE.md 3.8.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from secrets import token_hex
from typing import BinaryIO, Final

import msgspec
from msgspec import Raw, Struct

from turnout.codecs.strict import convert, parse
from turnout.errors import InvalidRequest, NotFound, UnsupportedParameter
from turnout.server.bulk import Wanted
from turnout.server.bulk_form import BulkForm, id_before
from turnout.server.paths import GEMINI, Paths
from turnout.server.uploads import PIECE, found_file, limit_of, owner_of
from turnout.server.visit import Visit, query_of
from turnout.stores.files import ENDED, Batch, Line
from turnout.types.json import Json

MOST_LISTED: Final = 1000
MOST_NAME: Final = 512
MOST_METADATA: Final = 8 * 1024
VERBS: Final[Mapping[str, str]] = {
    ":batchGenerateContent": ":generateContent",
    ":asyncBatchEmbedContent": ":embedContent",
}
"""End of the address that makes a job -> that of the address which each of its lines asks."""
PLACE: Final = "/v1beta/batches"
_TYPE: Final = "type.googleapis.com/google.ai.generativelanguage.v1main."
_TYPES: Final[Mapping[str, str]] = {
    ":generateContent": f"{_TYPE}GenerateContentBatch",
    ":embedContent": f"{_TYPE}EmbedContentBatch",
}
_STATES: Final[Mapping[str, str]] = {
    "validating": "BATCH_STATE_PENDING",
    "completed": "BATCH_STATE_SUCCEEDED",
    "failed": "BATCH_STATE_FAILED",
    "cancelled": "BATCH_STATE_CANCELLED",
    "expired": "BATCH_STATE_EXPIRED",
}
_write = msgspec.json.Encoder().encode
_keep = msgspec.json.Encoder(order="sorted").encode


class _Entry(Struct, frozen=True):
    request: dict[str, Json]
    metadata: dict[str, Json] = {}


class _Entries(Struct, frozen=True):
    requests: list[_Entry] = []


class _Input(Struct, frozen=True, rename="camel"):
    requests: _Entries | None = None
    file_name: str | None = None


class _Asked(Struct, frozen=True, rename="camel", kw_only=True):
    input_config: _Input
    display_name: str = ""
    model: str = ""


class _Wrapped(Struct, frozen=True):
    batch: _Asked


class GeminiBatches(BulkForm):
    """The endpoints at one gateway."""

    def mount(self, paths: Paths[Visit]) -> None:
        """Serve the paths under `/v1beta`; those under `/v1` are OpenAI's too (`batches.py`)."""
        for verb in VERBS:
            paths.add("POST", f"/models/*{verb}", self._create, GEMINI)
        paths.add_root(PLACE, self.listed, ("GET",), GEMINI)
        paths.add_under(f"{PLACE}/", self.show, GEMINI, ("GET",))
        paths.add_under(f"{PLACE}/", self.cancel, GEMINI, ("POST",))
        paths.add_under(f"{PLACE}/", self.delete, GEMINI, ("DELETE",))

    async def _create(self, visit: Visit) -> None:
        bulk = self._entered(visit)
        place, _, verb = visit.path_rest.rpartition(":")
        model = place.removeprefix("models/")
        raw = await self._steps.body(visit)
        name, lines = await asyncio.to_thread(read_job, raw, model, bulk.config().max_lines)
        wanted = Wanted("gemini", endpoint_of(model, VERBS[f":{verb}"]))
        wanted.metadata = {"displayName": name}
        await self._send(visit, operation(await bulk.create(visit, wanted, lines)))

    async def listed(self, visit: Visit) -> None:
        """List jobs, newest first."""
        bulk = self._entered(visit)
        query = query_of(visit)
        limit = limit_of(query.get("pageSize"), 50, MOST_LISTED)
        found = await asyncio.to_thread(
            bulk.batches.page, owner_of(visit.principal), "gemini", limit + 1, after=query.get("pageToken")
        )
        shown = found[:limit]
        told: dict[str, object] = {"operations": [operation(batch) for batch in shown]}
        if len(found) > limit:
            told["nextPageToken"] = shown[-1].id
        await self._send(visit, told)

    async def show(self, visit: Visit) -> None:
        """Show a job, with its answers once it has ended."""
        bulk = self._entered(visit)
        batch = await bulk.get(visit.path_rest, visit, "gemini")
        source: BinaryIO | None = None
        if batch.state in ENDED and batch.output_file is not None:
            with suppress(NotFound, FileNotFoundError):  # its time is over, or its owner deleted it
                file = await found_file(bulk.shelf, batch.output_file, visit.principal)
                source = await asyncio.to_thread(bulk.shelf.files.path(file.id).open, "rb")
        if source is None:
            await self._send(visit, operation(batch))
            return
        with source:
            await self._send_with(visit, batch, source, file.n_bytes)

    async def cancel(self, visit: Visit) -> None:
        """Tell a job to stop."""
        bulk = self._entered(visit)
        await bulk.cancel(id_before("cancel", visit, ":"), visit, "gemini")
        await self._send(visit, {})

    async def delete(self, visit: Visit) -> None:
        """Delete a job that has ended."""
        bulk = self._entered(visit)
        await bulk.delete(visit.path_rest, visit, "gemini", "name")
        await self._send(visit, {})

    async def _send_with(self, visit: Visit, batch: Batch, source: BinaryIO, n_bytes: int) -> None:
        """Send a job with its answers, piece by piece: they may be larger than memory."""
        place = b'"%s"' % token_hex(16).encode()
        first, *rest = _write(operation(batch, Raw(place))).split(place)
        await visit.send({"type": "http.response.start", "status": 200, "headers": self._headers(visit)})
        await visit.send({"type": "http.response.body", "body": first + b"[", "more_body": True})
        for at, part in enumerate(rest, start=1):
            left = n_bytes - 1  # the last line feed stands between nothing
            source.seek(0)
            while left > 0 and (data := await asyncio.to_thread(source.read, min(left, PIECE))):
                left -= len(data)
                await visit.send({"type": "http.response.body", "body": joined(data), "more_body": True})
            more = at < len(rest)
            end = b"]" + part + (b"[" if more else b"")
            await visit.send({"type": "http.response.body", "body": end, "more_body": more})


def endpoint_of(model: str, verb: str) -> str:
    """Return the path that each line of a job asks."""
    return f"/v1beta/models/{model}{verb}"


def model_of(endpoint: str) -> str:
    """Return the model of a job."""
    return endpoint.removeprefix("/v1beta/models/").rpartition(":")[0]


def read_job(raw: bytes, model: str, most: int) -> tuple[str, list[Line]]:
    """Read a job: its name, and its requests as lines. Raises `InvalidRequest` with the place of a defect."""
    asked = convert(parse(raw), _Wrapped).batch
    given = asked.input_config
    if given.file_name is not None:
        raise UnsupportedParameter(
            "files of Google's store cannot be read here; send the requests inline",
            param="batch.inputConfig.fileName",
        )
    entries = given.requests.requests if given.requests is not None else []
    place = "batch.inputConfig.requests.requests"
    if not 0 < len(entries) <= most:
        raise InvalidRequest(f"{place}: expected 1–{most}", param=place)
    if len(asked.display_name) > MOST_NAME:
        raise InvalidRequest(f"batch.displayName: at most {MOST_NAME} characters", param="batch.displayName")
    return asked.display_name, [_line(entry, at, model) for at, entry in enumerate(entries)]


def _line(entry: _Entry, at: int, model: str) -> Line:
    """Return a request as a line; its metadata are what it is known by."""
    place = f"batch.inputConfig.requests.requests[{at}]"
    named = entry.request.get("model")
    if isinstance(named, str) and named.removeprefix("models/") != model:
        raise InvalidRequest(f"{place}.request.model: expected {model}, as in the address", param=place)
    mark = _keep(entry.metadata)
    if len(mark) > MOST_METADATA:
        raise InvalidRequest(f"{place}.metadata: at most {MOST_METADATA} bytes", param=f"{place}.metadata")
    body = {key: value for key, value in entry.request.items() if key != "model"}
    return Line(at + 1, mark.decode(), _write(body))


def operation(batch: Batch, answers: Raw | None = None) -> dict[str, object]:
    """Return a job as its owner sees it; `answers` are an array."""
    counts, ended = batch.counts, batch.state in ENDED
    numbers = {
        "requestCount": counts.total,
        "successfulRequestCount": counts.succeeded,
        "failedRequestCount": counts.errored + counts.canceled + counts.expired,
        "pendingRequestCount": counts.open,
    }
    name = f"batches/{batch.id}"
    last = batch.ended_at or batch.finalizing_at or batch.in_progress_at or batch.created_at
    about: dict[str, object] = {
        "@type": _TYPES[":" + batch.endpoint.rpartition(":")[2]],
        "model": f"models/{model_of(batch.endpoint)}",
        "displayName": (batch.metadata or {}).get("displayName", ""),
        "createTime": batch.created_at,
        "updateTime": last,
        "batchStats": {key: str(n) for key, n in numbers.items() if n},
        "state": _STATES.get(batch.state, "BATCH_STATE_RUNNING"),
        "name": name,
    }
    told: dict[str, object] = {"name": name, "metadata": about}
    if ended:
        about["endTime"] = batch.ended_at
        told["done"] = True
    if answers is not None:
        told["response"] = about["output"] = {"inlinedResponses": {"inlinedResponses": answers}}
    return told


def joined(lines: bytes) -> bytes:
    """Return a piece of a file of lines, without its last line feed, as a piece of an array's items."""
    return lines.replace(b"\n", b",")
