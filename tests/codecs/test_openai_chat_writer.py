"""Our streams as an OpenAI client reads them."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from turnout.codecs.base import Summary
from turnout.codecs.openai_chat import CODEC, DIALECT
from turnout.errors import StreamInterrupted
from turnout.types.chat import ChatRequest, Facts, Message, Native, Text, Thinking, Tool
from turnout.types.event import (
    Event,
    Finish,
    NativeDelta,
    ReasoningDelta,
    RefusalDelta,
    Start,
    TextDelta,
    ToolDelta,
    UsageUpdate,
)
from turnout.types.json import Json
from turnout.types.usage import Usage

ASKED = ChatRequest(model="m", messages=(Message("user", (Text("hi"),)),), wire="openai_chat")
LEGACY = ChatRequest(
    model="m", messages=(), tools=(Tool(name="f", extra={"legacy": True}),), facts=Facts(n_tools=1)
)
WITH_REASONING = ChatRequest(model="m", messages=(), thinking=Thinking(extra={"reasoning": {}}))
PLAIN = Summary(request_id="req_1", model="acme/m", created=5)
SHOWN = Summary(
    request_id="req_1",
    model="acme/m",
    created=5,
    provider="acme",
    attempts=2,
    cost_usd="0.0012",
    cost_state="exact",
    show=True,
)
TURNOUT = {
    "request_id": "req_1",
    "model": "acme/m",
    "provider": "acme",
    "attempts": 2,
    "cost_usd": "0.0012",
    "cost_state": "exact",
}
HEAD = {"id": "chatcmpl-1", "created": 5, "model": "acme/m"}
USAGE = Usage(input_uncached=3, cache_read=4, cache_write_5m=1, output_text=2, reasoning=5)
COUNTS = {
    "prompt_tokens": 8,
    "completion_tokens": 7,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0, "cache_write_tokens": 1},
    "completion_tokens_details": {
        "reasoning_tokens": 5,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}


def frames(data: bytes) -> list[Any]:
    lines = data.decode().split("\n\n")
    assert lines.pop() == ""
    assert all(line.startswith("data: ") for line in lines)
    return [line[6:] if line == "data: [DONE]" else json.loads(line[6:]) for line in lines]


def stream(
    *events: Event, request: ChatRequest = ASKED, summary: Summary = PLAIN, usage: Usage | None = USAGE
) -> list[Any]:
    encoder = DIALECT.stream(request, summary)
    return frames(encoder.feed(events) + encoder.end(usage, summary))


def chunk(delta: Json, finish: str | None = None, index: int = 0, **fields: Json) -> dict[str, Json]:
    choice: Json = {"index": index, "delta": delta, "finish_reason": finish}
    return {**HEAD, "object": "chat.completion.chunk", "choices": [choice], **fields}


OPENED = chunk({"role": "assistant", "content": "", "refusal": None})


def test_a_stream_is_written_whole() -> None:
    assert stream(
        Start(id="up", model="upstream"),
        TextDelta("Hel"),
        TextDelta(""),
        TextDelta('l"o\n'),
        UsageUpdate(USAGE),
        Finish(reason="stop", native="end_turn"),
    ) == [OPENED, chunk({"content": "Hel"}), chunk({"content": 'l"o\n'}), chunk({}, "stop"), "[DONE]"]


def test_usage_comes_in_a_last_chunk_and_as_null_before_it() -> None:
    asked = ChatRequest(model="m", messages=(), include_usage=True)
    assert stream(TextDelta("a"), Finish(reason="length"), request=asked, summary=SHOWN) == [
        {**OPENED, "usage": None},
        chunk({"content": "a"}, usage=None),
        chunk({}, "length", usage=None),
        {
            **HEAD,
            "object": "chat.completion.chunk",
            "choices": [],
            "usage": {**COUNTS, "cost": 0.0012},
            "turnout": TURNOUT,
        },
        "[DONE]",
    ]


def test_without_usage_the_last_chunk_carries_the_turnout_object() -> None:
    assert stream(TextDelta("a"), Finish(reason="stop"), summary=SHOWN) == [
        OPENED,
        chunk({"content": "a"}),
        chunk({}, "stop", turnout=TURNOUT),
        "[DONE]",
    ]


def test_a_stream_that_opens_with_a_call_carries_the_role_in_it() -> None:
    opened = {"role": "assistant", "content": None, "refusal": None}
    first = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
    second = {"index": 1, "id": "b", "type": "custom", "custom": {"name": "g", "input": ""}}
    third = {"index": 2, "id": "c", "type": "function", "function": {"name": "h", "arguments": ""}}
    assert stream(
        ToolDelta(index=0, id="a", name="f"),
        ToolDelta(index=0, arguments="{}"),
        ToolDelta(index=1, id="b", name="g", arguments="x", kind="custom"),
        ToolDelta(index=2, id="c", name="h"),
        Finish(reason="tool_calls"),
    ) == [
        chunk({**opened, "tool_calls": [first]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),
        chunk({"tool_calls": [second]}),
        chunk({"tool_calls": [{"index": 1, "custom": {"input": "x"}}]}),
        chunk({"tool_calls": [third]}),
        chunk({"tool_calls": [{"index": 2, "function": {"arguments": "{}"}}]}),
        chunk({}, "tool_calls"),
        "[DONE]",
    ]


def test_a_stream_of_the_old_function_form() -> None:
    opened = {"role": "assistant", "content": None, "refusal": None}
    assert stream(
        ToolDelta(index=0, id="a", name="f"),
        ToolDelta(index=0, arguments="{}"),
        ToolDelta(index=1, id="b", name="g", arguments="{}"),
        Finish(reason="tool_calls"),
        request=LEGACY,
    ) == [
        chunk({**opened, "function_call": {"arguments": "", "name": "f"}}),
        chunk({"function_call": {"arguments": "{}"}}),
        chunk({}, "function_call"),
        "[DONE]",
    ]


def test_other_deltas_are_written() -> None:
    logprobs: Json = {"content": [{"token": "a", "logprob": -0.1}]}
    written = stream(
        ReasoningDelta(text="t", wire="anthropic"),
        ReasoningDelta(signature="s", wire="anthropic"),
        RefusalDelta("no"),
        NativeDelta(Native("openai_chat", {"audio": {"data": "AA"}})),
        NativeDelta(Native("gemini", {"x": 1})),
        TextDelta("a", 0, logprobs, {"annotations": [{"type": "x"}]}),
        TextDelta("b", 1),
    )
    annotated = chunk({"content": "a", "annotations": [{"type": "x"}]})
    annotated["choices"] = [{**annotated["choices"][0], "logprobs": logprobs}]  # type: ignore[index,dict-item,call-overload]
    assert written == [
        OPENED,
        chunk({"reasoning_content": "t"}),
        chunk({"refusal": "no"}),
        chunk({"audio": {"data": "AA"}}),
        annotated,
        chunk({"role": "assistant", "content": "", "refusal": None}, index=1),
        chunk({"content": "b"}, index=1),
        "[DONE]",
    ]


def test_a_client_that_set_reasoning_gets_streamed_details() -> None:
    written = stream(
        ReasoningDelta(text="t", wire="anthropic"),
        ReasoningDelta(signature="s", wire="anthropic"),
        request=WITH_REASONING,
    )
    form = {"format": "anthropic-claude-v1", "index": 0}
    text: Json = [{"type": "reasoning.text", "text": "t", **form}]
    sealed: Json = [{"type": "reasoning.text", "text": "", **form, "signature": "s"}]
    assert written[1:3] == [
        chunk({"reasoning_content": "t", "reasoning": "t", "reasoning_details": text}),
        chunk({"reasoning": "", "reasoning_details": sealed}),
    ]


def test_an_answer_without_content_still_has_role_finish_and_end() -> None:
    assert stream(Finish(reason="content_filter")) == [OPENED, chunk({}, "content_filter"), "[DONE]"]


def test_a_failure_after_the_first_byte_ends_the_stream_in_order() -> None:
    encoder = DIALECT.stream(ASKED, PLAIN)
    encoder.feed([TextDelta("a")])
    assert frames(encoder.fail(StreamInterrupted("the stream broke"), PLAIN)) == [
        {
            **HEAD,
            "object": "chat.completion.chunk",
            "error": {
                "code": 502,
                "message": "the stream broke",
                "metadata": {"error_type": "stream_interrupted", "request_id": "req_1"},
            },
            "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
        },
        "[DONE]",
    ]


def test_a_comment_keeps_a_silent_stream_open() -> None:
    assert DIALECT.stream(ASKED, PLAIN).keep_alive() == b": keep-alive\n\n"


@given(st.text())
def test_no_text_can_start_a_frame(text: str) -> None:
    encoder = DIALECT.stream(ASKED, PLAIN)
    data = encoder.feed([TextDelta(text), Finish(reason="stop")]) + encoder.end(None, PLAIN)
    told = "".join(part["choices"][0]["delta"].get("content", "") for part in frames(data)[:-1])
    assert told == text
    assert b"\r" not in data


EVENTS = st.lists(
    st.one_of(
        st.builds(TextDelta, st.text(min_size=1, max_size=5)),
        st.builds(
            lambda text: ReasoningDelta(text=text, wire="openai_chat"), st.text(min_size=1, max_size=5)
        ),
        st.builds(RefusalDelta, st.text(min_size=1, max_size=5)),
    ),
    max_size=6,
)


@given(EVENTS)
def test_what_we_write_is_what_we_read(events: list[Event]) -> None:
    asked = ChatRequest(model="m", messages=(), include_usage=True)
    encoder = DIALECT.stream(asked, PLAIN)
    sent = [*events, Finish(reason="stop")]
    data = encoder.feed(sent) + encoder.end(Usage(input_uncached=1, output_text=2), PLAIN)
    decoder = CODEC.decoder()
    read = decoder.feed(data) + decoder.end()
    assert read[1:-1] == [*events, Finish(reason="stop", native="stop")]
    assert isinstance(read[-1], UsageUpdate)
    assert (read[-1].usage.n_input, read[-1].usage.n_output) == (1, 2)


def test_a_streamed_call_without_an_id_gets_one() -> None:
    first = stream(ToolDelta(index=0, id="", name="f"))[0]
    assert first["choices"][0]["delta"]["tool_calls"][0]["id"] == "call_1_0_0"
