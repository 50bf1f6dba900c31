"""Answers and streams for clients of the responses format."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.codecs.responses_samples import COUNTS, SUMMARY, USAGE, decode_stream, parse
from turnout.codecs.base import Summary
from turnout.codecs.openai_responses import DIALECT
from turnout.codecs.openai_responses.seal import unseal
from turnout.errors import ModelNotFound, ProviderRateLimited, StreamInterrupted
from turnout.types.chat import ChatResponse, Choice, Native, Reasoning, Refusal, Text, ToolCall
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

ASKED = parse(input="Hi", instructions="Be brief.", metadata={"a": "b"}, temperature=0.5)
CITATION = {"type": "url_citation", "url_citation": {"url": "https://a.invalid", "title": "A"}}


def rendered(*parts, finish="stop", summary=SUMMARY, request=ASKED, **members):
    choice = Choice(parts=tuple(parts), finish=finish, **members)
    answer = ChatResponse(id="up_1", model="m", choices=(choice,), usage=USAGE)
    return json.loads(DIALECT.render(answer, request, summary))


def streamed(*events, summary=SUMMARY):
    writer = DIALECT.stream(ASKED, summary)
    return read(writer.feed([Start(id="up_1", model="m"), *events]) + writer.end(USAGE, summary))


def read(out):
    found = []
    for block in out.decode().split("\n\n")[:-1]:
        head, data = block.split("\n")
        tree = json.loads(data.removeprefix("data: "))
        assert head == f"event: {tree['type']}"
        found.append(tree)
    return found


def checked(frames):
    """Assert the grammar of a stream (WIRE.md 3.2); return its items as the frames told them."""
    assert [tree["sequence_number"] for tree in frames] == list(range(len(frames)))
    assert [tree["type"] for tree in frames[:2]] == ["response.created", "response.in_progress"]
    assert frames[-1]["type"] in ("response.completed", "response.incomplete")
    items, ended, texts = [], {}, {}
    for tree in frames[2:-1]:
        kind, at = tree["type"], tree["output_index"]
        if kind == "response.output_item.added":
            assert at == len(items)
            items.append(tree["item"]["id"])
            continue
        assert at < len(items)
        assert at not in ended
        if kind == "response.output_item.done":
            ended[at] = tree["item"]
            assert tree["item"]["id"] == items[at]
            continue
        assert tree["item_id"] == items[at]
        if kind.endswith(".delta"):
            key = (at, kind, tree.get("content_index"), tree.get("summary_index"))
            texts[key] = texts.get(key, "") + tree["delta"]
        elif kind.endswith(("text.done", "arguments.done")):
            key = (at, kind[:-5] + ".delta", tree.get("content_index"), tree.get("summary_index"))
            assert tree.get("text", tree.get("arguments")) in (texts.get(key, ""), "{}")
    assert len(set(items)) == len(items)
    assert frames[-1]["response"]["output"] == [ended[at] for at in range(len(items))]
    return frames[-1]["response"]


def test_a_complete_answer_is_written():
    body = rendered(Text("Hello"))
    assert {key: body[key] for key in ("id", "object", "created_at", "status", "model", "usage")} == {
        "id": "resp_7",
        "object": "response",
        "created_at": 5,
        "status": "completed",
        "model": "acme/m",
        "usage": COUNTS,
    }
    assert (body["instructions"], body["metadata"], body["temperature"]) == ("Be brief.", {"a": "b"}, 0.5)
    assert body["output"] == [
        {
            "id": "msg_7_0",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}],
        }
    ]
    assert "turnout" not in body


def test_thoughts_calls_and_refusals_are_items():
    signed = Reasoning(text="hm", signature="sig", wire="anthropic")
    body = rendered(
        signed,
        Text("a", {"annotations": [CITATION]}),
        Refusal("no"),
        ToolCall(id="", name="f", arguments="", signature="tok"),
        ToolCall(id="c2", name="g", arguments="free", kind="custom"),
        Native("openai_responses", {"type": "web_search_call", "id": "ws_1"}),
        Native("anthropic", {"type": "server_tool_use"}),
        finish="tool_calls",
    )
    kinds = [item["type"] for item in body["output"]]
    assert kinds == [
        *("reasoning", "message", "reasoning", "function_call", "custom_tool_call", "web_search_call")
    ]
    thought, said, token, called, custom, _ = body["output"]
    assert thought["summary"] == [{"type": "summary_text", "text": "hm"}]
    held = unseal(thought["encrypted_content"])
    assert (held.wire, held.text, held.signature) == ("anthropic", "hm", "sig")
    assert [part["type"] for part in said["content"]] == ["output_text", "refusal"]
    assert said["content"][0]["annotations"] == [
        {"type": "url_citation", "url": "https://a.invalid", "title": "A"}
    ]
    assert (called["call_id"], called["arguments"]) == ("call_7_0", "{}")
    held = unseal(token["encrypted_content"])
    assert (held.call, held.signature) == ("call_7_0", "tok")
    assert (custom["call_id"], custom["input"]) == ("c2", "free")


def test_openais_own_thoughts_go_back_as_they_came():
    own = Reasoning(text="hm", redacted="opaque", id="rs_9", wire="openai_responses")
    (item,) = rendered(own)["output"]
    assert item == {
        "id": "rs_9",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "hm"}],
        "encrypted_content": "opaque",
    }


@pytest.mark.parametrize(
    ("finish", "parts", "status", "details"),
    [
        ("stop", (Text("x"),), "completed", None),
        ("length", (Text("x"),), "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", (Text("x"),), "incomplete", {"reason": "content_filter"}),
        ("content_filter", (Refusal("x"),), "completed", None),
        ("tool_calls", (ToolCall(id="c", name="f", arguments="{}"),), "completed", None),
    ],
)
def test_how_it_ended(finish, parts, status, details):
    body = rendered(*parts, finish=finish)
    assert (body["status"], body["incomplete_details"]) == (status, details)


def test_the_summary_is_shown_when_it_was_asked_for():
    shown = Summary(request_id="req_7", model="acme/m", created=5, provider="acme", cost_usd="0.1", show=True)
    assert rendered(Text("x"), summary=shown)["turnout"]["cost_usd"] == "0.1"
    assert streamed(TextDelta("x"), summary=shown)[-1]["response"]["turnout"]["provider"] == "acme"


def test_text_streams_as_the_format_says():
    frames = streamed(TextDelta("Hel"), TextDelta("lo"), Finish(reason="stop"))
    assert [tree["type"] for tree in frames] == [
        *("response.created", "response.in_progress", "response.output_item.added"),
        *("response.content_part.added", "response.output_text.delta", "response.output_text.delta"),
        *("response.output_text.done", "response.content_part.done", "response.output_item.done"),
        "response.completed",
    ]
    response = checked(frames)
    assert response["output"][0]["content"][0]["text"] == "Hello"
    assert response["usage"] == COUNTS
    assert all(tree.get("response", {}).get("usage") is None for tree in frames[:-1])


def test_interleaved_calls_keep_their_arguments_apart():
    frames = streamed(
        ReasoningDelta(text="hm", wire="anthropic"),
        ReasoningDelta(signature="sig", wire="anthropic"),
        TextDelta("I will."),
        ToolDelta(index=0, id="a", name="f"),
        ToolDelta(index=1, id="b", name="g", signature="tok"),
        ToolDelta(index=0, arguments='{"x"'),
        ToolDelta(index=1, arguments="{}"),
        ToolDelta(index=0, arguments=":1}"),
        Finish(reason="tool_calls"),
    )
    output = checked(frames)["output"]
    assert [item["type"] for item in output] == [
        *("reasoning", "message", "function_call", "reasoning", "function_call")
    ]
    assert unseal(output[0]["encrypted_content"]).signature == "sig"
    assert [(item["call_id"], item["arguments"]) for item in output if item["type"] == "function_call"] == [
        ("a", '{"x":1}'),
        ("b", "{}"),
    ]
    assert unseal(output[3]["encrypted_content"]).call == "b"


def test_a_call_without_arguments_is_an_empty_object():
    output = checked(streamed(ToolDelta(index=0, id="a", name="f"), Finish(reason="tool_calls")))["output"]
    assert output[0]["arguments"] == "{}"


def test_a_failure_after_content_is_told_in_the_stream():
    writer = DIALECT.stream(ASKED, SUMMARY)
    out = writer.feed([TextDelta("x")]) + writer.fail(ProviderRateLimited("slow down"), SUMMARY)
    frames = read(out)
    assert [tree["sequence_number"] for tree in frames] == list(range(len(frames)))
    error, failed = frames[-2:]
    assert (error["type"], error["code"], error["message"]) == ("error", "rate_limit_exceeded", "slow down")
    assert (failed["type"], failed["response"]["status"]) == ("response.failed", "failed")
    assert failed["response"]["error"]["code"] == "rate_limit_exceeded"
    assert failed["response"]["error"]["turnout"]["class"] == "provider_rate_limited"
    with pytest.raises(ProviderRateLimited):
        decode_stream(writer.fail(ProviderRateLimited("slow down"), SUMMARY))


def test_errors_before_the_first_byte():
    status, body = DIALECT.error(ModelNotFound("no model x"), "req_7")
    assert (status, json.loads(body)["error"]["code"]) == (400, "model_not_found")
    status, body = DIALECT.error(StreamInterrupted("cut"), "req_7")
    assert (status, json.loads(body)["error"]["turnout"]["class"]) == (502, "stream_interrupted")


EVENTS = st.lists(
    st.one_of(
        st.builds(TextDelta, st.text(max_size=4)),
        st.builds(RefusalDelta, st.text(min_size=1, max_size=4)),
        st.builds(
            ReasoningDelta,
            text=st.text(max_size=4),
            signature=st.sampled_from([None, None, "s"]),
            wire=st.sampled_from(["anthropic", "openai_responses", ""]),
        ),
        st.builds(
            ToolDelta,
            index=st.integers(0, 2),
            id=st.just("i"),
            name=st.just("f"),
            arguments=st.sampled_from(["", "{}", '{"a":']),
            kind=st.just("function"),
        ),
        st.just(NativeDelta(Native("openai_responses", {"type": "web_search_call", "id": "ws"}))),
        st.just(TextDelta("", 0, None, {"annotations": [CITATION]})),
        st.just(UsageUpdate(USAGE)),
    ),
    max_size=14,
).filter(lambda events: sum(isinstance(event, NativeDelta) for event in events) < 2)


@given(events=EVENTS, cut=st.integers(0, 14))
def test_any_events_make_a_stream_of_the_grammar_that_reads_back_as_it_was(events, cut):
    writer = DIALECT.stream(ASKED, SUMMARY)
    out = writer.feed(events[:cut]) + writer.feed(events[cut:]) + writer.end(None, SUMMARY)
    checked(read(out))
    back = decode_stream(out)
    for kind in (TextDelta, RefusalDelta):
        assert "".join(event.text for event in back if isinstance(event, kind)) == "".join(
            event.text for event in events if isinstance(event, kind)
        )
    for index in {event.index for event in events if isinstance(event, ToolDelta)}:
        assert any(isinstance(event, ToolDelta) for event in back), index
