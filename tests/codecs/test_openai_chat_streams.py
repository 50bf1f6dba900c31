"""Chat completion streams of OpenAI-compatible hosts: decoded, and passed through."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.codecs.openai_chat import CODEC
from turnout.codecs.openai_chat.tap import OpenAIChatTap
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
from turnout.types.usage import Usage

DONE = b"data: [DONE]\n\n"
COUNTS: Json = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
USAGE = Usage(input_uncached=3, output_text=2)


def frame(tree: Json) -> bytes:
    return b"data: " + json.dumps(tree, separators=(",", ":")).encode() + b"\n\n"


def chunk(delta: Json = None, finish: str | None = None, index: int = 0, **fields: Json) -> bytes:
    choices: Json = [] if delta is None and finish is None else [{"index": index, "delta": delta or {}, "finish_reason": finish}]
    return frame({"id": "c-1", "object": "chat.completion.chunk", "created": 5, "model": "m", "choices": choices, **fields})


def decode(*pieces: bytes) -> list[Event]:
    decoder = CODEC.decoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.end()


START = Start(id="c-1", model="m", created=5)
ROLE = chunk({"role": "assistant", "content": "", "refusal": None})
HELLO = [
    ROLE,
    chunk({"content": "Hel"}),
    chunk({"content": "lo"}),
    chunk({}, "stop"),
    chunk(usage=COUNTS),
    DONE,
]


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
        return chunk({"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]})

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
    custom = chunk({"tool_calls": [{"index": 0, "id": "a", "type": "custom", "custom": {"name": "g", "input": "x"}}]})
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
            {"reasoning": "t", "reasoning_details": [{"type": "reasoning.text", "text": "t", "signature": "s", "format": "anthropic-claude-v1"}]},
            [ReasoningDelta(text="t", signature="s", wire="anthropic")],
        ),
        (
            {"reasoning_details": [{"type": "reasoning.encrypted", "data": "x", "id": "r"}]},
            [ReasoningDelta(redacted="x", id="r", wire="openai_chat")],
        ),
        (
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "t"}]}, {"type": "text", "text": "a"}]},
            [ReasoningDelta(text="t", wire="openai_chat"), TextDelta("a")],
        ),
        ({"refusal": "no"}, [RefusalDelta("no")]),
        ({"content": "a", "annotations": [{"type": "url_citation"}]}, [TextDelta("a", 0, None, {"annotations": [{"type": "url_citation"}]})]),
        ({"audio": {"data": "AA"}}, [NativeDelta(Native("openai_chat", {"audio": {"data": "AA"}}))]),
        ({"audio": {"data": "", "id": ""}, "content": ""}, []),
    ],
)  # fmt: skip
def test_deltas_come_in_many_spellings(delta: Json, events: list[Event]) -> None:
    assert decode(chunk(delta), chunk({}, "stop"))[1:-1] == events


def test_logprobs_travel_with_their_text() -> None:
    logprobs: Json = {"content": [{"token": "a", "logprob": -0.1}]}
    data = frame({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": "a"}, "logprobs": logprobs}]})
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
    assert decoder.feed(HELLO[1] + frame({"error": {"code": 429, "message": "m"}})) == [START, TextDelta("Hel")]
    with pytest.raises(ProviderRateLimited):
        decoder.feed(HELLO[2])
    with pytest.raises(ProviderRateLimited):
        decoder.end()


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[a:b] for a, b in zip(edges, edges[1:], strict=False)]


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


FRAMES = st.sampled_from(
    [
        *HELLO,
        b": OPENROUTER PROCESSING\n\n",
        HELLO[1].replace(b"\n", b"\r\n"),
        chunk({"content": "\u2028 ünï"}),
        chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}),
        chunk({}, "tool_calls"),
        frame({"error": {"code": 429, "message": "m"}}),
        b"data: {nonsense\n\n",
        chunk({"content": "x"}, turnout={"forged": True}),
    ]
)
STREAMS = st.lists(FRAMES, max_size=8).map(b"".join)
CUTS = st.lists(st.integers(0, 2000), max_size=10)


@given(STREAMS, CUTS)
def test_any_split_gives_the_same_events(data: bytes, cuts: list[int]) -> None:
    assert outcome(pieces(data, cuts)) == outcome([data])


def tapped(parts: Sequence[bytes], *, strip_usage: bool = False) -> tuple[bytes, OpenAIChatTap]:
    tap = CODEC.tap(strip_usage=strip_usage)
    out = b"".join(tap.feed(part) for part in parts)
    return out + tap.end(), tap


def test_a_stream_passes_through_untouched_while_it_is_read() -> None:
    out, tap = tapped([b": comment\n\n", *HELLO])
    assert out == b": comment\n\n" + b"".join(HELLO)
    assert (tap.has_content, tap.usage, tap.finish, tap.done) == (True, USAGE, "stop", True)
    assert (tap.upstream_id, tap.model, tap.error) == ("c-1", "m", None)


def test_content_commits_and_a_role_does_not() -> None:
    tap = CODEC.tap(strip_usage=False)
    seen = []
    for piece in HELLO[:2]:
        tap.feed(piece)
        seen.append(tap.has_content)
    assert seen == [False, True]


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": "t"},
        {"reasoning": "t"},
        {"refusal": "t"},
        {"tool_calls": [{"index": 0}]},
        {"function_call": {"name": "f"}},
        {"audio": {"data": "AA"}},
        {"content": [{"type": "text", "text": "t"}]},
    ],
)
def test_all_kinds_of_content_commit(delta: Json) -> None:
    tap = CODEC.tap(strip_usage=False)
    tap.feed(chunk(delta))
    assert tap.has_content


def test_a_usage_chunk_nobody_asked_for_is_left_out() -> None:
    out, tap = tapped(HELLO, strip_usage=True)
    assert (out, tap.usage) == (b"".join(HELLO[:4]) + DONE, USAGE)
    together, _ = tapped([b"".join(HELLO)], strip_usage=True)
    assert together == out


def test_usage_beside_a_choice_is_not_left_out() -> None:
    last = chunk({}, "stop", usage=COUNTS)
    out, tap = tapped([HELLO[1], last, DONE], strip_usage=True)
    assert (out, tap.usage) == (HELLO[1] + last + DONE, USAGE)


@pytest.mark.parametrize("name", [b'"turnout"', b'"\\u0074urnout"'])
def test_a_forged_turnout_object_is_taken_out_of_its_frame(name: bytes) -> None:
    plain = chunk({"content": "x"})
    forged = plain[:-3] + b"," + name + b':{"model":"other"}}\n\n'
    for parts in ([HELLO[1], forged, *HELLO[3:]], [b"".join([HELLO[1], forged, *HELLO[3:]])]):
        out, _ = tapped(parts)
        assert out == b"".join([HELLO[1], plain, *HELLO[3:]])


def test_text_that_speaks_of_turnout_passes_untouched() -> None:
    data = chunk({"content": 'say "turnout": {} and "error" and [DONE]'})
    out, tap = tapped([data, chunk({}, "stop"), DONE])
    assert (out, tap.error) == (data + chunk({}, "stop") + DONE, None)


def test_an_error_before_content_raises() -> None:
    tap = CODEC.tap(strip_usage=False)
    assert tap.feed(ROLE) == ROLE
    with pytest.raises(ProviderRateLimited):
        tap.feed(frame({"error": {"code": 429, "message": "m"}}))


def test_an_error_after_content_passes_and_is_noted() -> None:
    failed = frame({"error": {"code": 429, "message": "m"}, "choices": []})
    out, tap = tapped([HELLO[1], failed])
    assert out == HELLO[1] + failed
    assert isinstance(tap.error, ProviderRateLimited)


def test_garbage_after_content_raises_after_what_came_before_it() -> None:
    tap = CODEC.tap(strip_usage=False)
    assert tap.feed(HELLO[1] + b"data: <html>\n\n") == HELLO[1]
    with pytest.raises(ProviderBadResponse):
        tap.feed(HELLO[2])


def test_a_missing_marker_is_added_and_a_missing_finish_is_an_interruption() -> None:
    out, tap = tapped(HELLO[:-1])
    assert (out, tap.done) == (b"".join(HELLO), True)
    for cut in (HELLO[:3], [*HELLO[:2], HELLO[2][:-10]]):
        with pytest.raises(StreamInterrupted):
            tapped(cut)


def test_a_natural_end_after_calls_is_tool_calls() -> None:
    call = chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]})
    _, tap = tapped([call, chunk({}, "stop"), DONE])
    assert tap.finish == "tool_calls"


def pass_through(parts: Sequence[bytes]) -> Any:
    tap = CODEC.tap(strip_usage=True)
    out, failed = b"", ""
    try:
        for part in parts:
            out += tap.feed(part)
        out += tap.end()
    except TurnoutError as error:
        failed = error.row.word
    if not tap.has_content:  # nothing was sent yet: only the failure counts
        out = b"" if failed else out
    return out, failed, tap.has_content, tap.usage, tap.finish, tap.done, tap.error is None


@given(STREAMS, CUTS)
def test_any_split_passes_the_same_bytes(data: bytes, cuts: list[int]) -> None:
    assert pass_through(pieces(data, cuts)) == pass_through([data])
