"""Streams for Anthropic clients, written from events of any origin."""

import json

from hypothesis import given
from hypothesis import strategies as st

from tests.codecs.anthropic_samples import CITED, EVERYTHING, FOUND, stream
from turnout.codecs.anthropic import Anthropic, AnthropicDialect
from turnout.codecs.base import Summary
from turnout.errors import ProviderOverloaded
from turnout.types.chat import ChatRequest, Facts, Native
from turnout.types.event import (
    Finish,
    NativeDelta,
    ReasoningDelta,
    RefusalDelta,
    Start,
    TextDelta,
    ToolDelta,
    UsageUpdate,
)
from turnout.types.usage import Usage

SUMMARY = Summary(request_id="req_7", model="openai/gpt", created=1, provider="openai")
REQUEST = ChatRequest(model="m", messages=(), facts=Facts(n_chars=41))
ZERO = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}


def writer():
    return AnthropicDialect().stream(REQUEST, SUMMARY)


def written(*events, usage=None, summary=SUMMARY):
    encoder = writer()
    return parsed(encoder.feed(events) + encoder.end(usage, summary))


def parsed(data):
    frames = []
    for block in data.decode().split("\n\n")[:-1]:
        event, _, line = block.partition("\n")
        value = json.loads(line.removeprefix("data: "))
        assert event == f"event: {value['type']}"
        frames.append(value)
    return frames


def content(frames):
    """Check the grammar of a stream (WIRE.md 3.3) and fold it into a message."""
    assert frames[0]["type"] == "message_start"
    assert [frame["type"] for frame in frames[-2:]] == ["message_delta", "message_stop"]
    blocks, is_open, signed = [], False, False
    for frame in frames[1:-2]:
        kind = frame["type"]
        if kind == "ping":
            continue
        if kind == "content_block_start":
            assert not is_open
            assert frame["index"] == len(blocks)
            blocks.append({**frame["content_block"], "json": ""})
            is_open, signed = True, False
            continue
        assert is_open
        assert frame["index"] == len(blocks) - 1
        if kind == "content_block_stop":
            assert signed or blocks[-1]["type"] != "thinking"
            is_open = False
            continue
        assert kind == "content_block_delta"
        assert not signed
        signed = fold(blocks[-1], frame["delta"])
    assert not is_open
    for block in blocks:
        text = block.pop("json")
        if text:
            assert block["input"] == {}
            block["input"] = json.loads(text)
    usage = frames[-2]["usage"]
    assert {"input_tokens", "output_tokens", *ZERO} <= usage.keys()
    return blocks


def fold(block, delta):
    allowed = {
        "text": {"text_delta", "citations_delta"},
        "thinking": {"thinking_delta", "signature_delta"},
        "tool_use": {"input_json_delta"},
        "server_tool_use": {"input_json_delta"},
    }
    assert delta["type"] in allowed[block["type"]]
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] = delta["signature"]
            return True
        case "input_json_delta":
            block["json"] += delta["partial_json"]
        case "citations_delta":
            block["citations"].append(delta["citation"])
    return False


def test_a_stream_of_another_format_is_written_frame_by_frame():
    frames = written(
        Start(id="chatcmpl-1", model="gpt"),
        TextDelta("Hel"),
        TextDelta("lo"),
        ToolDelta(index=0, id="c", name="f"),
        ToolDelta(index=0, arguments='{"a":1}'),
        Finish(reason="tool_calls", native="tool_calls"),
        UsageUpdate(Usage(input_uncached=3, output_text=4)),
    )
    block = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
    part = {"type": "input_json_delta", "partial_json": '{"a":1}'}
    assert frames == [
        {
            "type": "message_start",
            "message": {
                "id": "msg_7",
                "type": "message",
                "role": "assistant",
                "model": "openai/gpt",
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": {"input_tokens": 11, "output_tokens": 0, **ZERO},
            },
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": block},
        {"type": "content_block_delta", "index": 1, "delta": part},
        {"type": "content_block_stop", "index": 1},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": {"input_tokens": 3, "output_tokens": 4, **ZERO},
        },
        {"type": "message_stop"},
    ]


def test_frames_have_their_exact_bytes():
    encoder = writer()
    encoder.feed([TextDelta("x")])
    assert encoder.feed([TextDelta('a\n\n"é')]) == (
        b"event: content_block_delta\n"
        b'data: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"text_delta","text":"a\\n\\n\\"\xc3\xa9"}}\n\n'
    )


def test_an_anthropic_stream_comes_out_as_it_went_in():
    decoder, encoder = Anthropic().decoder(), writer()
    events = decoder.feed(stream(*EVERYTHING)) + decoder.end()
    frames = parsed(encoder.feed(events) + encoder.end(None, SUMMARY))
    assert content(frames) == [
        {"type": "thinking", "thinking": "hm ok", "signature": "sig"},
        {"type": "redacted_thinking", "data": "zz"},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "a \n b"}},
        FOUND,
        {"type": "text", "text": "Plain – "},
        {"type": "text", "text": "cited on", "citations": [CITED]},
        {"type": "text", "text": "plain again\n\ndata: x"},
        {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "c2", "name": "g", "input": {}},
    ]
    assert frames[-2]["usage"] == {
        "input_tokens": 9,
        "cache_creation_input_tokens": 3,
        "cache_read_input_tokens": 2,
        "output_tokens": 5,
        "output_tokens_details": {"thinking_tokens": 2},
    }


def test_interleaved_calls_are_untangled():
    frames = written(
        ToolDelta(index=0, id="a", name="f", arguments='{"x"'),
        ToolDelta(index=1, id="b", name="g", arguments='{"y"'),
        TextDelta("meanwhile"),
        ToolDelta(index=0, arguments=":1}"),
        ToolDelta(index=1, arguments=":2}"),
    )
    assert content(frames) == [
        {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
        {"type": "tool_use", "id": "b", "name": "g", "input": {"y": 2}},
        {"type": "text", "text": "meanwhile"},
    ]


def test_a_finished_call_is_closed_as_soon_as_the_next_begins():
    encoder = writer()
    encoder.feed([ToolDelta(index=0, id="a", name="f", arguments="{}")])
    frames = parsed(encoder.feed([ToolDelta(index=1, id="b", name="g", arguments='{"y":')]))
    assert [frame["type"] for frame in frames] == [
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
    ]


def test_a_thought_of_another_provider_is_sealed_when_its_block_ends():
    blocks = content(written(ReasoningDelta(text="hm", wire="openai_chat"), TextDelta("x")))
    assert blocks[0] == {"type": "thinking", "thinking": "hm", "signature": "tn1:openai_chat:s::"}


def test_a_refusal_is_text_and_the_reason_to_stop():
    frames = written(RefusalDelta("No"), RefusalDelta("."), Finish(reason="stop"))
    assert content(frames) == [{"type": "text", "text": "No."}]
    assert frames[-2]["delta"] == {"stop_reason": "refusal", "stop_sequence": None}


def test_an_answer_without_content_is_still_a_message():
    frames = written(Finish(reason="stop", stop_sequence="END"), usage=Usage(input_uncached=1, output_text=0))
    assert content(frames) == []
    assert frames[-2] == {
        "type": "message_delta",
        "delta": {"stop_reason": "stop_sequence", "stop_sequence": "END"},
        "usage": {"input_tokens": 1, "output_tokens": 0, **ZERO},
    }


def test_the_turnout_object_comes_with_the_last_counters_when_it_was_asked_for():
    shown = Summary(request_id="req_7", model="m", created=1, cost_usd="0.5", cost_state="exact", show=True)
    frames = written(TextDelta("x"), summary=shown)
    assert frames[-2]["turnout"]["cost_usd"] == "0.5"


def test_other_choices_and_blocks_of_other_formats_are_not_shown():
    frames = written(
        TextDelta("a"), TextDelta("b", 1), NativeDelta(Native("gemini", {"x": 1})), TextDelta("c")
    )
    assert content(frames) == [{"type": "text", "text": "ac"}]


def test_a_failure_after_commit_is_one_error_frame():
    encoder = writer()
    encoder.feed([TextDelta("x")])
    assert parsed(encoder.fail(ProviderOverloaded("busy"), SUMMARY)) == [
        {
            "type": "error",
            "error": {
                "type": "overloaded_error",
                "message": "busy",
                "turnout": {
                    "class": "provider_overloaded",
                    "domain": "provider",
                    "retryable": True,
                    "request_id": "req_7",
                },
            },
        }
    ]


def test_silence_is_kept_open_by_a_comment_and_then_by_pings():
    encoder = writer()
    before = encoder.keep_alive()
    encoder.feed([TextDelta("x")])
    assert (before, encoder.keep_alive()) == (b": keep-alive\n\n", b'event: ping\ndata: {"type": "ping"}\n\n')


words = st.text(max_size=6)
maybe = st.none() | words
wires = st.sampled_from(["anthropic", "openai_chat", "gemini", ""])
arguments = st.sampled_from(["", "{", "}", '{"a":', "1}", "{}", '{"b": "x"}'])
natives = st.sampled_from([{"type": "x", "id": 1}, {"type": "server_tool_use", "input": {"q": 1}}, FOUND])
extras = st.sampled_from([{}, {"citations": []}, {"citations": [CITED]}, {"citations": ["https://a.test"]}])
events = st.lists(
    st.one_of(
        st.builds(TextDelta, words, st.integers(0, 1), extra=extras),
        st.builds(RefusalDelta, words),
        st.builds(ReasoningDelta, text=words, signature=maybe, redacted=maybe, id=maybe, wire=wires),
        st.builds(ToolDelta, index=st.integers(0, 2), id=maybe, name=maybe, arguments=arguments),
        st.builds(NativeDelta, st.builds(Native, wires, natives)),
        st.builds(UsageUpdate, st.builds(Usage, input_uncached=st.integers(0, 9))),
        st.builds(Finish, reason=st.sampled_from(["stop", "length", "error"]), choice=st.integers(0, 1)),
    ),
    max_size=25,
)


@given(events, st.lists(st.integers(1, 5), max_size=10))
def test_the_grammar_holds_for_any_events_in_any_batches(given_events, sizes):
    encoder, out, rest = writer(), b"", given_events
    for size in [*sizes, len(given_events)]:
        batch, rest = rest[:size], rest[size:]
        out += encoder.feed(batch)
    frames = parsed(out + encoder.end(None, SUMMARY))
    for block in frames[1:-2]:
        delta = block.get("delta", {})
        assert delta.get("partial_json") != ""
    try:
        blocks = content(frames)
    except json.JSONDecodeError:
        return  # the model's own arguments were no JSON: they pass as they are
    shown = [event for event in given_events if getattr(event, "choice", 0) == 0]
    assert "".join(sorted("".join(block.get("text", "") for block in blocks))) == "".join(
        sorted("".join(event.text for event in shown if isinstance(event, TextDelta | RefusalDelta)))
    )


@given(st.permutations([0, 0, 0, 1, 1, 1, 2, 2, 2]))
def test_no_fragment_of_interleaved_calls_is_lost(order):
    fragments = {index: iter(['{"n":', f"{index}", "}"]) for index in range(3)}
    deltas = [
        ToolDelta(index=index, id=f"c{index}", name="f", arguments=next(fragments[index])) for index in order
    ]
    blocks = content(written(*deltas))
    assert sorted((block["id"], block["input"]["n"]) for block in blocks) == [("c0", 0), ("c1", 1), ("c2", 2)]
