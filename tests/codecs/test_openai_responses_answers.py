"""Answers and streams of upstreams that speak responses, decoded, and passed through."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.codecs.responses_samples import (
    CALLS,
    COUNTS,
    CREATED,
    HELLO,
    STREAMS,
    USAGE,
    added,
    call,
    completed,
    decode_stream,
    deployment,
    done,
    frame,
    http,
    message,
    response,
    text,
    thought,
)
from turnout.codecs.openai_responses import CODEC
from turnout.errors import (
    ContentFiltered,
    ProviderAuth,
    ProviderBadResponse,
    ProviderFailed,
    ProviderModelUnavailable,
    ProviderRateLimited,
    StreamInterrupted,
    TurnoutError,
)
from turnout.testing.codec import check_codec
from turnout.types.chat import Choice, Native, Reasoning, Refusal, Text, ToolCall
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

START = Start(id="resp_1", model="m-1", created=5)
END = [UsageUpdate(USAGE), Finish(reason="stop", native="completed")]
SEARCH = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search"}}
CITATION = {
    "type": "url_citation",
    "url": "https://a.invalid",
    "title": "A",
    "start_index": 0,
    "end_index": 1,
}
NESTED = {"type": "url_citation", "url_citation": {k: v for k, v in CITATION.items() if k != "type"}}


def choice(*output, **members):
    return CODEC.decode(http(response(output=output, **members))).choices[0]


def test_a_complete_answer_is_read():
    decoded = CODEC.decode(http(response(output=[thought(), message("Hello"), call()])))
    assert (decoded.id, decoded.model, decoded.created, decoded.usage) == ("resp_1", "m-1", 5, USAGE)
    found = decoded.choices[0]
    assert found.finish == "tool_calls"
    reasoning, words, called = found.parts
    assert isinstance(reasoning, Reasoning)
    assert (reasoning.text, reasoning.redacted, reasoning.id) == ("hm", "opaque", "rs_1")
    assert reasoning.wire == "openai_responses"
    assert words == Text("Hello")
    assert called == ToolCall(
        id="call_1", name="f", arguments='{"a":1}', extra={"id": "fc_1", "status": "completed"}
    )


@pytest.mark.parametrize(
    ("members", "reason", "native"),
    [
        ({}, "stop", "completed"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length", None),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            "content_filter",
            None,
        ),
        ({"status": "incomplete", "incomplete_details": {"reason": "tired"}}, "stop", "tired"),
        ({"status": "incomplete"}, "stop", "incomplete"),
        ({"status": "queued"}, "stop", "queued"),
    ],
)
def test_how_it_ended(members, reason, native):
    found = CODEC.decode(http({**response(output=[message("x")]), **members})).choices[0]
    expected = native or members["incomplete_details"]["reason"]
    assert (found.finish, found.native_finish) == (reason, expected)


def test_a_refusal_is_content():
    refusal = message("", content=[{"type": "refusal", "refusal": "no"}])
    assert choice(refusal) == Choice(
        parts=(Refusal("no"),), finish="content_filter", native_finish="completed"
    )


def test_what_only_this_format_knows_is_kept_as_it_is():
    assert choice(SEARCH).parts == (Native("openai_responses", SEARCH),)


def test_citations_take_the_form_that_chat_clients_read():
    cited = message("", content=[{"type": "output_text", "text": "x", "annotations": [CITATION]}])
    assert choice(cited).parts == (Text("x", {"annotations": [NESTED]}),)


def test_probabilities_take_the_form_that_chat_clients_read():
    token = {"token": "x", "logprob": -0.5, "bytes": [120], "top_logprobs": []}
    said = message("", content=[{"type": "output_text", "text": "x", "logprobs": [token]}])
    assert choice(said).logprobs == {"content": [token]}
    streamed = frame("response.output_text.delta", output_index=0, delta="x", logprobs=[token])
    assert decode_stream(CREATED, streamed, completed())[1] == TextDelta("x", 0, {"content": [token]})


def test_free_text_calls_are_custom_calls():
    custom = {"id": "c", "type": "custom_tool_call", "call_id": "call_9", "name": "g", "input": "free text"}
    (found,) = choice(custom).parts
    assert found == ToolCall(id="call_9", name="g", arguments="free text", kind="custom", extra={"id": "c"})
    assert decode_stream(CREATED, added({**custom, "input": ""}), done(custom), completed(custom))[1:3] == [
        ToolDelta(index=0, id="call_9", name="g", kind="custom"),
        ToolDelta(index=0, arguments="free text", kind="custom"),
    ]


def test_counts_that_are_odd_never_go_below_zero():
    odd = {"input_tokens": 3, "input_tokens_details": {"cached_tokens": 9}, "output_tokens": 1.0}
    odd["output_tokens_details"] = {"reasoning_tokens": 5}
    assert CODEC.decode(http(response(usage=odd))).usage == Usage(
        input_uncached=0, cache_read=3, output_text=0, reasoning=1
    )


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "server_error", "message": "oops"}, ProviderFailed),
        ({"code": "rate_limit_exceeded", "message": "slow down"}, ProviderRateLimited),
        ({"code": "invalid_prompt", "message": "no"}, ContentFiltered),
        (None, ProviderFailed),
    ],
)
def test_a_failed_response_is_the_error_it_holds(error, kind):
    with pytest.raises(kind):
        CODEC.decode(http(response("failed", error=error)))
    with pytest.raises(kind):
        CODEC.glance(http(response("failed", error=error)))
    with pytest.raises(kind):
        decode_stream(CREATED, frame("response.failed", response=response("failed", error=error)))


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (401, {"message": "Incorrect API key provided", "code": "invalid_api_key"}, ProviderAuth),
        (400, {"message": "The requested model 'x' does not exist.", "code": "model_not_found"}, None),
        (429, {"message": "later", "code": "rate_limit_exceeded"}, ProviderRateLimited),
    ],
)
def test_errors_are_mapped_to_their_class(status, error, kind):
    found = CODEC.error(http({"error": error}, status))
    assert type(found) is (kind or ProviderModelUnavailable)
    assert found.upstream is not None
    assert found.upstream.wire == "openai_responses"


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"{}", b'{"output": 3}', b"\xff"])
def test_what_is_no_response_is_a_bad_response(body):
    from turnout.types.http import HttpResponse

    for read in (CODEC.decode, CODEC.glance):
        with pytest.raises(ProviderBadResponse):
            read(HttpResponse(200, {}, body))


def test_a_forged_turnout_member_is_taken_out():
    glance = CODEC.glance(http({**response(output=[message("x")]), "turnout": {"request_id": "forged"}}))
    assert "turnout" not in json.loads(glance.body)
    assert (glance.finish, glance.usage) == ("stop", USAGE)
    tap = CODEC.tap(strip_usage=False)
    out = tap.feed(b"".join([CREATED, text("x"), completed(turnout={"request_id": "forged"})])) + tap.end()
    assert b"forged" not in out


def test_text_is_read():
    assert decode_stream(*HELLO) == [START, TextDelta("Hel"), TextDelta("lo"), *END]


def test_thoughts_and_calls_are_read():
    assert decode_stream(*CALLS) == [
        START,
        ReasoningDelta(text="h", wire="openai_responses"),
        ReasoningDelta(text="m", wire="openai_responses"),
        ReasoningDelta(redacted="opaque", id="rs_1", wire="openai_responses"),
        ToolDelta(index=0, id="call_1", name="f"),
        ToolDelta(index=0, arguments='{"a"'),
        ToolDelta(index=0, arguments=":1}"),
        UsageUpdate(USAGE),
        Finish(reason="tool_calls", native="completed"),
    ]


def test_what_came_only_whole_is_said_once():
    whole = [CREATED, done(message("Hello")), done(call(), 1), completed(message("Hello"), call())]
    assert decode_stream(*whole)[1:4] == [
        TextDelta("Hello"),
        ToolDelta(index=0, id="call_1", name="f"),
        ToolDelta(index=0, arguments='{"a":1}'),
    ]


def test_items_that_come_only_with_the_end_are_read_from_there():
    items = (thought("hm", None), message("Hello"), call(), SEARCH)
    assert decode_stream(completed(*items)) == [
        START,
        ReasoningDelta(text="hm", id="rs_1", wire="openai_responses"),
        TextDelta("Hello"),
        ToolDelta(index=0, id="call_1", name="f", arguments='{"a":1}'),
        NativeDelta(Native("openai_responses", SEARCH)),
        UsageUpdate(USAGE),
        Finish(reason="tool_calls", native="completed"),
    ]


def test_refusals_citations_and_searches_stream():
    refusal = frame("response.refusal.delta", output_index=0, content_index=0, delta="no")
    whole = frame("response.refusal.done", output_index=0, content_index=0, refusal="no")
    note = frame("response.output_text.annotation.added", output_index=0, annotation=CITATION)
    assert decode_stream(CREATED, refusal, whole, note, done(SEARCH, 1), completed()) == [
        START,
        RefusalDelta("no"),
        TextDelta("", 0, None, {"annotations": [NESTED]}),
        NativeDelta(Native("openai_responses", SEARCH)),
        UsageUpdate(USAGE),
        Finish(reason="content_filter", native="completed"),
    ]


def test_parts_of_a_summary_are_told_apart():
    def part(at, delta):
        return frame("response.reasoning_summary_text.delta", output_index=0, summary_index=at, delta=delta)

    events = decode_stream(CREATED, part(0, "one"), part(1, "two"), part(1, "!"), completed())
    assert [event.text for event in events if isinstance(event, ReasoningDelta)] == ["one", "\n\ntwo", "!"]


def test_events_nobody_knows_mean_nothing():
    odd = frame("response.something.new", output_index=0, delta="x")
    assert decode_stream(*HELLO[:4], odd, b": comment\n\n", *HELLO[4:]) == decode_stream(*HELLO)


@pytest.mark.parametrize("event_line", [True, False])
def test_an_error_event_is_raised(event_line):
    error = {"type": "error", "code": "rate_limit_exceeded", "message": "slow", "param": None}
    data = b"data: " + json.dumps(error).encode() + b"\n\n"
    with pytest.raises(ProviderRateLimited):
        decode_stream(CREATED, (b"event: error\n" if event_line else b"") + data)


def test_events_before_an_error_are_not_lost():
    decoder = CODEC.decoder()
    both = text("x") + frame("error", error={"message": "oops", "code": "server_error"})
    assert decoder.feed(CREATED + both) == [START, TextDelta("x")]
    with pytest.raises(ProviderFailed):
        decoder.feed(b"")


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_cut_stream_is_interrupted(name, share):
    whole = b"".join(STREAMS[name][:-1])
    with pytest.raises(StreamInterrupted):
        decode_stream(whole[: int(len(whole) * share)])
    tap = CODEC.tap(strip_usage=False)
    tap.feed(whole[: int(len(whole) * share)])
    with pytest.raises(StreamInterrupted):
        tap.end()


@given(name=st.sampled_from(sorted(STREAMS)), cuts=st.lists(st.integers(0, 3000), max_size=12))
def test_any_split_gives_the_same_events_and_bytes(name, cuts):
    whole = b"".join(STREAMS[name])
    at = sorted({cut % len(whole) for cut in cuts})
    pieces = [whole[a:b] for a, b in zip([0, *at], [*at, len(whole)], strict=True)]
    assert decode_stream(*pieces) == decode_stream(whole)
    tap = CODEC.tap(strip_usage=False)
    out = b"".join(tap.feed(piece) for piece in pieces) + tap.end()
    assert out == whole
    assert (tap.done, tap.usage, tap.upstream_id, tap.model) == (True, USAGE, "resp_1", "m-1")


@given(
    name=st.sampled_from(sorted(STREAMS)),
    places=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=6),
    end=st.integers(0, 5000),
)
def test_garbage_raises_nothing_but_our_own(name, places, end):
    body = bytearray(b"".join(STREAMS[name]))
    for at, byte in places:
        body[at % len(body)] = byte
    body = body[: end % len(body)] if end % 3 == 0 else body
    for reader in (CODEC.decoder(), CODEC.tap(strip_usage=False)):
        with suppress(TurnoutError):
            reader.feed(bytes(body))
            reader.end()
    from turnout.types.http import HttpResponse

    raw = bytearray(json.dumps(response(output=[thought(), message("x"), call()])).encode())
    for at, byte in places:
        raw[at % len(raw)] = byte
    for read in (CODEC.decode, CODEC.glance, CODEC.error):
        with suppress(TurnoutError):
            read(HttpResponse(200, {}, bytes(raw)))


def test_the_tap_sees_content_finish_and_usage():
    tap = CODEC.tap(strip_usage=False)
    seen = [(tap.feed(piece), tap.has_content)[1] for piece in CALLS]
    assert seen.index(True) == 2
    assert tap.end() == b""
    assert (tap.finish, tap.usage, tap.done, tap.error) == ("tool_calls", USAGE, True, None)


def test_the_tap_raises_a_failure_before_content_and_passes_it_after():
    failed = frame(
        "response.failed", response=response("failed", error={"code": "server_error", "message": "x"})
    )
    early = CODEC.tap(strip_usage=False)
    with pytest.raises(ProviderFailed):
        early.feed(CREATED + failed)
    late = CODEC.tap(strip_usage=False)
    late.feed(CREATED + text("x"))
    assert late.feed(failed) == failed
    assert isinstance(late.error, ProviderFailed)
    assert late.done


def test_the_tap_leaves_out_a_done_mark_of_another_format():
    tap = CODEC.tap(strip_usage=False)
    out = tap.feed(b"".join(HELLO) + b"data: [DONE]\n\n") + tap.end()
    assert out == b"".join(HELLO)


def test_counts_add_up():
    assert (USAGE.n_input, USAGE.n_output) == (COUNTS["input_tokens"], COUNTS["output_tokens"])


def test_the_codec_keeps_the_contract():
    answers = [json.dumps(response(output=[thought(), message("x"), call()])).encode()]
    check_codec(CODEC, deployment(), streams=[b"".join(HELLO), b"".join(CALLS)], answers=answers)
