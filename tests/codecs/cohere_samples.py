"""Answers in Cohere's v2 format, written for the tests."""

import json

from turnout.types.deployment import Deployment, Model, Vendor

HOST = Vendor(name="cohere", base_url="https://cohere.test/v2", codec="cohere")
TO = Deployment(id="c", vendor=HOST, model=Model(id="cohere/c"), upstream_model="command-x")
USAGE = {
    "billed_units": {"input_tokens": 7, "output_tokens": 5, "search_units": 1},
    "tokens": {"input_tokens": 90, "output_tokens": 9, "reasoning_tokens": 2},
    "cached_tokens": 64,
}
CITATION = {
    "start": 0,
    "end": 5,
    "text": "Paris",
    "sources": [
        {"type": "document", "id": "doc:0", "document": {"title": "Atlas", "url": "https://a.test/1"}},
        {"type": "tool", "id": "look:0", "tool_output": {"content": "a city"}},
    ],
    "type": "TEXT_CONTENT",
}
ANNOTATIONS = [
    {
        "type": "url_citation",
        "url_citation": {"start_index": 0, "end_index": 5, "title": "Atlas", "url": "https://a.test/1"},
    },
    {
        "type": "file_citation",
        "file_citation": {"start_index": 0, "end_index": 5, "file_id": "look:0", "filename": ""},
    },
]
CALL = {"id": "look_1", "type": "function", "function": {"name": "look", "arguments": '{"at":"Paris"}'}}
ANSWER = {
    "id": "a1",
    "message": {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Paris"}],
        "citations": [CITATION],
    },
    "finish_reason": "COMPLETE",
    "usage": USAGE,
}
CALLING = {
    "id": "a2",
    "message": {"role": "assistant", "tool_plan": "I will look.", "tool_calls": [CALL]},
    "finish_reason": "TOOL_CALL",
    "usage": USAGE,
}


def body(value):
    return json.dumps(value, ensure_ascii=False).encode()


def message(**members):
    return {"message": members}


def frames(*chunks):
    return b"".join(b"event: %b\ndata: %b\n\n" % (each["type"].encode(), body(each)) for each in chunks)


START = {"type": "message-start", "id": "a1", "delta": message(role="assistant", content=[], tool_calls=[])}
END = {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": USAGE}}
CALLED = {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL", "usage": USAGE}}


def content(kind, text, index=0, *, start=False):
    block = {"type": kind, kind: text} if start else {kind: text}
    return {
        "type": "content-start" if start else "content-delta",
        "index": index,
        "delta": message(content=block),
    }


def call(name, index=0, **members):
    return {"type": name, "index": index, "delta": message(tool_calls=members)}


SPOKEN = (
    frames(
        START,
        content("thinking", "", start=True),
        content("thinking", "Hm."),
        {"type": "content-end", "index": 0},
        content("text", "", 1, start=True),
        content("text", "Par", 1),
        content("text", "is", 1),
        {"type": "citation-start", "index": 0, "delta": message(citations=CITATION)},
        {"type": "citation-end", "index": 0},
        {"type": "content-end", "index": 1},
        END,
    )
    + b"data: [DONE]\n\n"
)
CALLS = frames(
    START,
    {"type": "tool-plan-delta", "delta": message(tool_plan="I will look.")},
    call("tool-call-start", 3, id="look_1", type="function", function={"name": "look", "arguments": ""}),
    call("tool-call-delta", 3, function={"arguments": '{"at":'}),
    call("tool-call-delta", 3, function={"arguments": '"Paris"}'}),
    {"type": "tool-call-end", "index": 3},
    call("tool-call-start", 4, id="now_1", type="function", function={"name": "now", "arguments": ""}),
    {"type": "tool-call-end", "index": 4},
    CALLED,
)
