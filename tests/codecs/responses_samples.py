"""Hand-written traffic of the responses format."""

import json
from collections.abc import Mapping, Sequence

import msgspec

from turnout.codecs.base import Summary
from turnout.codecs.openai_responses import CODEC, DIALECT
from turnout.types.chat import ChatRequest
from turnout.types.deployment import Deployment, Model, Quirks, Vendor
from turnout.types.event import Event
from turnout.types.http import HttpResponse
from turnout.types.json import Json
from turnout.types.usage import Usage

COUNTS: dict[str, Json] = {
    "input_tokens": 12,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
    "output_tokens": 9,
    "output_tokens_details": {"reasoning_tokens": 3},
    "total_tokens": 21,
}
USAGE = Usage(input_uncached=8, cache_read=4, cache_write_5m=0, output_text=6, reasoning=3)
SUMMARY = Summary(request_id="req_7", model="acme/m", created=5)


def vendor(**quirks: object) -> Vendor:
    return Vendor(
        name="acme",
        base_url="http://127.0.0.1:9/v1",
        codec="openai_responses",
        quirks=msgspec.convert(quirks, Quirks),
    )


def deployment(capabilities: frozenset[str] | None = None, **quirks: object) -> Deployment:
    model = Model(id="acme/m", capabilities=capabilities)
    return Deployment(id="acme/m", vendor=vendor(**quirks), model=model, upstream_model="m-1")


def frame(kind: str, **members: Json) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


def response(status: str = "completed", output: Sequence[Json] = (), **members: Json) -> dict[str, Json]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 5,
        "model": "m-1",
        "status": status,
        "error": None,
        "incomplete_details": None,
        "output": list(output),
        "usage": COUNTS if status in ("completed", "incomplete") else None,
        **members,
    }


def message(text: str, **members: Json) -> dict[str, Json]:
    part: Json = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    head = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant"}
    return {**head, "content": [part], **members}


def call(arguments: str = '{"a":1}', **members: Json) -> dict[str, Json]:
    return {
        "id": "fc_1",
        "type": "function_call",
        "status": "completed",
        "call_id": "call_1",
        "name": "f",
        "arguments": arguments,
        **members,
    }


def thought(text: str = "hm", encrypted: str | None = "opaque") -> dict[str, Json]:
    summary: Json = [{"type": "summary_text", "text": text}] if text else []
    item: dict[str, Json] = {"id": "rs_1", "type": "reasoning", "summary": summary}
    return item if encrypted is None else {**item, "encrypted_content": encrypted}


def text(delta: str, at: int = 0) -> bytes:
    return frame("response.output_text.delta", item_id="msg_1", output_index=at, content_index=0, delta=delta)


def added(item: Json, at: int = 0) -> bytes:
    return frame("response.output_item.added", output_index=at, item=item)


def done(item: Json, at: int = 0) -> bytes:
    return frame("response.output_item.done", output_index=at, item=item)


def completed(*output: Json, status: str = "completed", **members: Json) -> bytes:
    return frame(f"response.{status}", response=response(status, output, **members))


CREATED = frame("response.created", response=response("in_progress"))
HELLO = [
    CREATED,
    frame("response.in_progress", response=response("in_progress")),
    added(message("", content=[], status="in_progress")),
    text("Hel"),
    text("lo"),
    frame("response.output_text.done", output_index=0, content_index=0, text="Hello"),
    done(message("Hello")),
    completed(message("Hello")),
]
CALLS = [
    CREATED,
    added(thought("", None)),
    frame("response.reasoning_summary_text.delta", output_index=0, summary_index=0, delta="h"),
    frame("response.reasoning_summary_text.delta", output_index=0, summary_index=0, delta="m"),
    done(thought()),
    added(call(""), 1),
    frame("response.function_call_arguments.delta", output_index=1, delta='{"a"'),
    frame("response.function_call_arguments.delta", output_index=1, delta=":1}"),
    frame("response.function_call_arguments.done", output_index=1, arguments='{"a":1}'),
    done(call(), 1),
    completed(thought(), call()),
]
STREAMS = {"hello": HELLO, "calls": CALLS}


def decode_stream(*pieces: bytes) -> list[Event]:
    decoder = CODEC.decoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.end()


def http(body: Json, status: int = 200) -> HttpResponse:
    return HttpResponse(status, {}, json.dumps(body).encode())


def parse(**members: Json) -> ChatRequest:
    return DIALECT.parse(json.dumps({"model": "m", **members}).encode()).request


def sent(request: ChatRequest, to: Deployment | None = None) -> Mapping[str, Json]:
    tree: Mapping[str, Json] = json.loads(CODEC.encode(request, to or deployment()).http.body)
    return tree
