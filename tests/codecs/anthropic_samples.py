"""Streams in the Anthropic format, written for the tests."""

import json

START = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 9, "output_tokens": 1, "cache_read_input_tokens": 2},
    },
}
PING = {"type": "ping"}
STOP = {"type": "message_stop"}
CITED = {"type": "char_location", "cited_text": "é", "document_index": 0}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"type": "web_search_result"}]}


def frame(data, *, newline="\n"):
    text = json.dumps(data, ensure_ascii=False)
    return f"event: {data['type']}{newline}data: {text}{newline}{newline}".encode()


def stream(*frames, newline="\n"):
    return b"".join(frame(data, newline=newline) for data in frames)


def begin(index, **block):
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index, kind, **fields):
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def stop(index):
    return {"type": "content_block_stop", "index": index}


def finish(word="end_turn", sequence=None, **usage):
    said = {"stop_reason": word, "stop_sequence": sequence}
    return {"type": "message_delta", "delta": said, "usage": {"output_tokens": 5, **usage}}


def error(kind="overloaded_error", message="Overloaded"):
    return {"type": "error", "error": {"type": kind, "message": message}}


EVERYTHING = (
    START,
    PING,
    begin(0, type="thinking", thinking="", signature=""),
    delta(0, "thinking_delta", thinking="hm"),
    delta(0, "thinking_delta", thinking=" ok"),
    delta(0, "signature_delta", signature="sig"),
    stop(0),
    begin(1, type="redacted_thinking", data="zz"),
    stop(1),
    begin(2, type="server_tool_use", id="s", name="web_search", input={}),
    delta(2, "input_json_delta", partial_json='{"query"'),
    delta(2, "input_json_delta", partial_json=':"a \\n b"}'),
    stop(2),
    begin(3, **FOUND),
    stop(3),
    begin(4, type="text", text=""),
    delta(4, "text_delta", text="Plain – "),
    stop(4),
    begin(5, type="text", text="", citations=[]),
    delta(5, "citations_delta", citation=CITED),
    delta(5, "text_delta", text="cited"),
    delta(5, "text_delta", text=" on"),
    stop(5),
    begin(6, type="text", text=""),
    delta(6, "text_delta", text="plain again\n\ndata: x"),
    stop(6),
    begin(7, type="tool_use", id="c1", name="f", input={}),
    delta(7, "input_json_delta", partial_json=""),
    delta(7, "input_json_delta", partial_json='{"a":'),
    delta(7, "input_json_delta", partial_json="1}"),
    stop(7),
    begin(8, type="tool_use", id="c2", name="g", input={}),
    delta(8, "input_json_delta", partial_json=""),
    stop(8),
    finish("tool_use", cache_creation_input_tokens=3, output_tokens_details={"thinking_tokens": 2}),
    STOP,
)
"""One of every kind of block."""
