"""Chat completion streams of OpenAI-compatible hosts, decoded."""

from collections.abc import Sequence

import pytest
from hypothesis import given

from tests.codecs.openai_samples import COUNTS, CUTS, DONE, HELLO, STREAMS, USAGE, chunk, frame, pieces
from turnout.codecs.openai_chat import CODEC
from turnout.errors import (
    InvalidModelOutput,
    ProviderBadResponse,
    ProviderRateLimited,
    StreamInterrupted,
    TurnoutError,
)
from turnout.types.chat import Native
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


def decode(*pieces: bytes) -> list[Event]:
    decoder = CODEC.decoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.end()


START = Start(id="c-1", model="m", created=5)


def test_text_is_read() -> None:
    assert decode(*HELLO) == [
        START,
        TextDelta("Hel"),
        TextDelta("lo"),
        Finish(reason="stop", native="stop"),
        UsageUpdate(USAGE),
    ]


def test_parallel_tool_calls_are_numbered_from_zero_without_gaps() -> None:
    def call(index: int | None, call_id: str | None, name: str | None, arguments: str) -> bytes:
        function = {"name": name, "arguments": arguments}
        return chunk(
            {"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]}
        )

    expected = [
        START,
        ToolDelta(index=0, id="a", name="f"),
        ToolDelta(index=0, arguments="{"),
        ToolDelta(index=0, arguments="}"),
        ToolDelta(index=1, id="b", name="g", arguments="{}"),
        Finish(reason="tool_calls", native="stop"),
    ]
    for first, second in ((0, 1), (1, 2), (0, 0), (None, None)):
        assert (
            decode(
                call(first, "a", "f", ""),
                call(first, None, None, "{"),
                call(first, None if first is None else "a", None, "}"),
                call(second, "b", "g", "{}"),
                chunk({}, "stop"),
                DONE,
            )
            == expected
        )


def test_custom_and_old_calls_are_read() -> None:
    custom = chunk(
        {"tool_calls": [{"index": 0, "id": "a", "type": "custom", "custom": {"name": "g", "input": "x"}}]}
    )
    assert decode(custom, DONE)[1] == ToolDelta(index=0, id="a", name="g", arguments="x", kind="custom")
    assert decode(
        chunk({"function_call": {"name": "f", "arguments": ""}}),
        chunk({"function_call": {"arguments": "{}"}}),
        chunk({}, "function_call"),
    )[1:] == [
        ToolDelta(index=0, id="", name="f"),
        ToolDelta(index=0, arguments="{}"),
        Finish(reason="tool_calls", native="function_call"),
    ]


@pytest.mark.parametrize(
    ("delta", "events"),
    [
        ({"reasoning_content": "t"}, [ReasoningDelta(text="t", wire="openai_chat")]),
        ({"reasoning": "t", "content": ""}, [ReasoningDelta(text="t", wire="openai_chat")]),
        (
            {
                "reasoning": "t",
                "reasoning_details": [
                    {"type": "reasoning.text", "text": "t", "signature": "s", "format": "anthropic-claude-v1"}
                ],
            },
            [ReasoningDelta(text="t", signature="s", wire="anthropic")],
        ),
        (
            {"reasoning_details": [{"type": "reasoning.encrypted", "data": "x", "id": "r"}]},
            [ReasoningDelta(redacted="x", id="r", wire="openai_chat")],
        ),
        (
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "t"}]},
                    {"type": "text", "text": "a"},
                ]
            },
            [ReasoningDelta(text="t", wire="openai_chat"), TextDelta("a")],
        ),
        ({"refusal": "no"}, [RefusalDelta("no")]),
        (
            {"content": "a", "annotations": [{"type": "url_citation"}]},
            [TextDelta("a", 0, None, {"annotations": [{"type": "url_citation"}]})],
        ),
        ({"audio": {"data": "AA"}}, [NativeDelta(Native("openai_chat", {"audio": {"data": "AA"}}))]),
        ({"audio": {"data": "", "id": ""}, "content": ""}, []),
    ],
)
def test_deltas_come_in_many_spellings(delta: Json, events: list[Event]) -> None:
    assert decode(chunk(delta), chunk({}, "stop"))[1:-1] == events


def test_logprobs_travel_with_their_text() -> None:
    logprobs: Json = {"content": [{"token": "a", "logprob": -0.1}]}
    data = frame(
        {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": "a"}, "logprobs": logprobs}]}
    )
    assert decode(data, DONE)[1] == TextDelta("a", 0, logprobs)


def test_choices_are_kept_apart() -> None:
    assert decode(
        chunk({"content": "a"}),
        chunk({"content": "b"}, index=1),
        chunk({}, "length", index=1),
        chunk({}, "stop"),
    )[1:] == [
        TextDelta("a"),
        TextDelta("b", 1),
        Finish(reason="length", native="length", choice=1),
        Finish(reason="stop", native="stop"),
    ]


def test_azures_first_chunk_without_choices_starts_nothing() -> None:
    azure = frame({"id": "", "model": "", "created": 0, "choices": [], "prompt_filter_results": []})
    assert decode(azure, *HELLO) == decode(*HELLO)


def test_usage_beside_a_choice_and_in_groqs_object_is_read() -> None:
    assert decode(chunk({}, "stop", usage=COUNTS))[-1] == UsageUpdate(USAGE)
    assert decode(chunk({}, "stop", x_groq={"id": "r", "usage": COUNTS}), DONE)[-1] == UsageUpdate(USAGE)


def test_a_host_that_never_says_why_it_stopped_stopped() -> None:
    assert decode(chunk({"content": "a"}), DONE)[-1] == Finish(reason="stop")


def test_a_finish_that_is_said_twice_is_read_once() -> None:
    assert decode(chunk({}, "stop"), chunk({}, "stop"), DONE) == [START, Finish(reason="stop", native="stop")]


def test_a_stream_may_end_without_its_marker_but_not_without_its_finish() -> None:
    assert decode(*HELLO[:-1]) == decode(*HELLO)
    with pytest.raises(StreamInterrupted):
        decode(*HELLO[:3])
    with pytest.raises(StreamInterrupted):
        decode(HELLO[1][:-20])


def test_an_error_frame_raises_its_class() -> None:
    groq = b'event: error\ndata: {"error":{"message":"m","code":"tool_use_failed","status_code":400}}\n\n'
    with pytest.raises(InvalidModelOutput):
        decode(groq)
    with pytest.raises(ProviderRateLimited):
        decode(frame({"error": {"code": 429, "message": "m"}, "choices": []}))
    with pytest.raises(ProviderBadResponse):
        decode(b"data: <html>\n\n")


def test_what_came_before_an_error_is_not_lost() -> None:
    decoder = CODEC.decoder()
    assert decoder.feed(HELLO[1] + frame({"error": {"code": 429, "message": "m"}})) == [
        START,
        TextDelta("Hel"),
    ]
    with pytest.raises(ProviderRateLimited):
        decoder.feed(HELLO[2])
    with pytest.raises(ProviderRateLimited):
        decoder.end()


def outcome(parts: Sequence[bytes]) -> tuple[list[Event], str]:
    decoder = CODEC.decoder()
    events: list[Event] = []
    try:
        for part in parts:
            events += decoder.feed(part)
        events += decoder.end()
    except TurnoutError as error:
        return events, error.row.word
    return events, ""


@given(STREAMS, CUTS)
def test_any_split_gives_the_same_events(data: bytes, cuts: list[int]) -> None:
    assert outcome(pieces(data, cuts)) == outcome([data])
