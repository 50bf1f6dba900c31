"""Compares our reading of recorded operations beside conversations and vectors with the raw bytes. Floor 2.

The raw side is read with plain look-ups. Recordings leave long payloads out: an elided one stands for base64,
and a form whose bytes are missing is compared by its answer alone.
"""

import json
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from turnout.codecs.openai_chat.errors import read_error
from turnout.codecs.openai_chat.tasks import decode_task, encode_task, task_tap
from turnout.codecs.openai_chat.wire import WIRE
from turnout.codecs.tasks import OPERATIONS, Operation, parse
from turnout.codecs.verify import Comparison, Exchange
from turnout.types.deployment import Deployment, Model, Quirks, Vendor
from turnout.types.http import HttpResponse
from turnout.types.json import Json, JsonObject
from turnout.types.task import TaskRequest
from turnout.types.usage import Usage

_ALIASES: Final[Mapping[str, str]] = {"/api/v1/images": "/images/generations"}
"""End of an address -> the operation that is served there."""
_ELIDED: Final = re.compile(rb"ELIDED-BASE64-[\w-]+")


def operation_at(url: str) -> Operation | None:
    """Return the operation an address asks for; None = none of these."""
    path = urlsplit(url).path
    for end, name in ({name: name for name in OPERATIONS} | dict(_ALIASES)).items():
        if path.endswith(end):
            return OPERATIONS[name]
    return None


def compare(operation: Operation, record: Exchange, found: Comparison) -> None:
    """Compare one exchange. Raises what reading it raises."""
    http = HttpResponse(record.status, record.response_headers, _ELIDED.sub(b"QUJD", record.response_body))
    request, to = _request(operation, record, found)
    if record.status >= 400:
        found.equal("error", "domain", "caller", read_error(http).domain.value)
        return
    content_type = record.response_headers.get("content-type", "")
    tap = task_tap(content_type, request)
    if tap is not None:
        cuts = range(0, len(http.body), 97)
        passed = b"".join(tap.feed(http.body[at : at + 97]) for at in cuts) + tap.end()
        found.equal("text", "bytes", http.body.decode("latin-1"), passed.decode("latin-1"))
        if content_type.startswith("text/event-stream"):
            _counted(found, _last_usage(http.body), tap.usage or Usage())
        return
    answer = decode_task(http, request, to)
    raw = json.loads(http.body)
    if "audio_data" in raw:
        found.equal("text", "audio_data", "ABC", answer.body.decode())
        return
    told = json.loads(answer.body)
    if request.kind == "rerank":
        rows = raw.get("results", raw.get("data"))
        mine = told.get("results", told.get("data"))
        keys = ("index", "relevance_score")
        found.equal("vectors", "ranking", _only(rows, keys), _only(mine, keys))
    else:
        found.equal("text", "body", raw, told)
    _counted(found, raw.get("usage") or {}, answer.usage)


def _request(operation: Operation, record: Exchange, found: Comparison) -> tuple[TaskRequest, Deployment]:
    if record.request_body.lstrip()[:1] != b"{":
        bare = TaskRequest(kind=operation.kind, path=operation.path, model="recorded")
        return bare, _to("recorded", Quirks(audio_outside_prompt=record.provider == "mistral"))
    raw = json.loads(record.request_body)
    asked = parse(operation, record.request_body).request
    to = _to(str(raw.get("model", "auto")), Quirks(rerank_limit="top_k" if "top_k" in raw else "top_n"))
    written = json.loads(encode_task(asked, to).http.body)
    found.equal("request", "body", {"model": to.upstream_model, **raw}, written)
    return asked, to


def _to(name: str, quirks: Quirks) -> Deployment:
    vendor = Vendor(name="recorded", base_url="https://recorded.invalid/v1", codec=WIRE, quirks=quirks)
    return Deployment(id=name, vendor=vendor, model=Model(id=name), upstream_model=name)


def _only(rows: Json, keys: tuple[str, ...]) -> Json:
    listed = rows if isinstance(rows, list) else []
    return [{key: row[key] for key in keys} for row in listed if isinstance(row, Mapping)]


def _counted(found: Comparison, raw: JsonObject, usage: Usage) -> None:
    for total, of in (("input_tokens", usage.n_input), ("output_tokens", usage.n_output)):
        if total in raw:
            found.equal("usage", total, raw[total], of)
    if "completion_tokens" in raw:
        found.equal("usage", "completion_tokens", raw["completion_tokens"], usage.n_output)
    if "total_tokens" in raw and "completion_tokens" in raw:
        found.equal("usage", "total_tokens", raw["total_tokens"], usage.n_input + usage.n_output)
    seconds = raw.get("seconds", raw.get("prompt_audio_seconds"))
    if seconds is not None:
        found.equal("usage", "seconds", seconds, usage.audio_s)


def _last_usage(body: bytes) -> JsonObject:
    told: JsonObject = {}
    for line in body.splitlines():
        if line.startswith(b"data: {"):
            told = json.loads(line[6:]).get("usage") or told
    return told
