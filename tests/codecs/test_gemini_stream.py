"""generateContent streams: decoded into events, and tapped while they pass."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.codecs.gemini_samples import frame, sse
from turnout.codecs.gemini import Gemini
from turnout.codecs.gemini.wire import mint_id
from turnout.errors import (
    ContentFiltered,
    InvalidModelOutput,
    ProviderBadResponse,
    ProviderRateLimited,
    StreamInterrupted,
    TurnoutError,
)
from turnout.types.chat import Native
from turnout.types.event import Finish, NativeDelta, ReasoningDelta, Start, TextDelta, ToolDelta, UsageUpdate
from turnout.types.usage import Usage

START = Start(id="r1", model="gemini-2.5-flash")
PROMPT = {"promptTokenCount": 4, "thoughtsTokenCount": 2}
FRAMES = (
    frame({"text": "hm", "thought": True}, usage=PROMPT),
    frame({"text": "Pärìs — 巴黎"}, usage={**PROMPT, "candidatesTokenCount": 1}),
    frame(
        {"functionCall": {"name": "f", "args": {"q": 'a{"}\\'}}, "thoughtSignature": "s1"},
        {"functionCall": {"id": "c2", "name": "g"}},
    ),
    frame({"executableCode": {"code": "1"}}, {"inlineData": {"mimeType": "image/png", "data": "QQ=="}}),
    frame({"text": "", "thoughtSignature": "s2"}, finish="STOP", usage={**PROMPT, "candidatesTokenCount": 9}),
)
EVENTS = [
    START,
    ReasoningDelta(text="hm", wire="gemini"),
    UsageUpdate(Usage(input_uncached=4, output_text=0, reasoning=2)),
    TextDelta("Pärìs — 巴黎"),
    UsageUpdate(Usage(input_uncached=4, output_text=1, reasoning=2)),
    ToolDelta(index=0, id=mint_id("r1|0|0"), name="f", arguments='{"q":"a{\\"}\\\\"}', signature="s1"),
    ToolDelta(index=1, id="c2", name="g", arguments="{}"),
    NativeDelta(Native("gemini", {"executableCode": {"code": "1"}})),
    NativeDelta(Native("gemini", {"inlineData": {"mimeType": "image/png", "data": "QQ=="}})),
    TextDelta("", extra={"thoughtSignature": "s2"}),
    UsageUpdate(Usage(input_uncached=4, output_text=9, reasoning=2)),
    Finish(reason="tool_calls", native="STOP"),
]
FORMS = {
    "crlf": sse(*FRAMES),
    "lf": sse(*FRAMES, newline=b"\n"),
    "unended": sse(*FRAMES).rstrip(),
    "comments": b": hello\r\n\r\n"
    + sse(*FRAMES[:2])
    + b": ping\n\n"
    + sse(*FRAMES[2:])
    + b"data: [DONE]\n\n",
    "array": json.dumps(FRAMES, indent=1).encode(),
    "array unescaped": json.dumps(FRAMES, ensure_ascii=False).encode() + b"\n",
}


def decoded(pieces):
    decoder = Gemini().decoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.end()


def tapped(pieces):
    tap = Gemini().tap(strip_usage=False)
    return b"".join(tap.feed(piece) for piece in pieces) + tap.end(), tap


def cut(data, places):
    marks = sorted({place % (len(data) + 1) for place in places})
    return [data[start:end] for start, end in zip([0, *marks], [*marks, len(data)], strict=True)]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_stream_gives_the_same_events(form):
    assert decoded([FORMS[form]]) == EVENTS


@given(st.sampled_from(sorted(FORMS)), st.lists(st.integers(0, 5000), max_size=12))
def test_any_split_gives_the_same_events(form, places):
    assert decoded(cut(FORMS[form], places)) == EVENTS


@pytest.mark.parametrize("form", ["crlf", "lf", "array unescaped"])
def test_bytes_may_come_one_by_one(form):
    data = FORMS[form]
    assert decoded([data[at : at + 1] for at in range(len(data))]) == EVENTS


@given(st.sampled_from(["crlf", "lf", "unended", "comments"]), st.lists(st.integers(0, 5000), max_size=12))
def test_a_tap_passes_every_byte_however_it_is_split(form, places):
    passed, tap = tapped(cut(FORMS[form], places))
    assert passed == FORMS[form]
    assert (tap.usage, tap.finish, tap.done) == (
        Usage(input_uncached=4, output_text=9, reasoning=2),
        "tool_calls",
        True,
    )
    assert (tap.upstream_id, tap.model, tap.has_content, tap.error) == ("r1", "gemini-2.5-flash", True, None)


def test_what_a_candidate_says_about_its_text_rides_on_the_text():
    stream = sse(
        frame({"text": "a"}, groundingMetadata={"x": 1}, avgLogprobs=-1),
        frame({"text": ""}, finish="STOP", citationMetadata={"y": 2}),
    )
    assert decoded([stream])[1:] == [
        TextDelta("a", extra={"groundingMetadata": {"x": 1}}),
        TextDelta("", extra={"citationMetadata": {"y": 2}}),
        Finish(reason="stop", native="STOP"),
    ]


def test_log_probabilities_ride_on_the_text():
    result = {"chosenCandidates": [{"token": "a", "logProbability": -1.0}]}
    delta = decoded([sse(frame({"text": "a"}, finish="STOP", logprobsResult=result))])[1]
    assert delta == TextDelta(
        "a", 0, {"content": [{"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": []}]}
    )


def test_a_finish_reason_on_every_frame_finishes_once():
    stream = sse(frame({"text": "a"}, finish="STOP"), frame({"text": "b"}, finish="STOP"))
    assert decoded([stream]) == [START, TextDelta("a"), TextDelta("b"), Finish(reason="stop", native="STOP")]


def test_candidates_are_told_apart():
    stream = sse(
        frame({"text": "a"}),
        frame({"text": "b"}, index=1),
        frame(finish="STOP"),
        frame(finish="MAX_TOKENS", index=1),
    )
    assert decoded([stream])[1:] == [
        TextDelta("a"),
        TextDelta("b", 1),
        Finish(reason="stop", native="STOP"),
        Finish(reason="length", native="MAX_TOKENS", choice=1),
    ]


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        sse(frame({"text": "a"})),
        sse(frame({"text": "a"}, finish="STOP"), frame({"text": "b"}, index=1)),
        sse(frame({"text": "a"}, finish="STOP"))[:-30],
        b"<html>busy</html>",
        b"[" + json.dumps(frame({"text": "a"})).encode(),
    ],
)
def test_a_stream_without_its_end_is_interrupted(stream):
    with pytest.raises((StreamInterrupted, ProviderBadResponse)):
        decoded([stream])
    if stream[:1] != b"[":
        with pytest.raises((StreamInterrupted, ProviderBadResponse)):
            tapped([stream])


def test_a_cut_stream_still_told_its_usage():
    tap = Gemini().tap(strip_usage=False)
    tap.feed(sse(frame({"text": "a"}, usage={"promptTokenCount": 4, "candidatesTokenCount": 1})))
    with pytest.raises(StreamInterrupted):
        tap.end()
    assert tap.usage == Usage(input_uncached=4, output_text=1)


FAILURES = [
    (
        {
            "error": {
                "code": 429,
                "status": "RESOURCE_EXHAUSTED",
                "message": "x",
                "details": [{"@type": "t", "retryDelay": "2.5s"}],
            }
        },
        ProviderRateLimited,
    ),
    ({"promptFeedback": {"blockReason": "SAFETY"}}, ContentFiltered),
    (frame({"text": "half"}, finish="MALFORMED_FUNCTION_CALL"), InvalidModelOutput),
    ({"candidates": 1}, ProviderBadResponse),
]


@pytest.mark.parametrize(("body", "kind"), FAILURES)
@pytest.mark.parametrize("read", [decoded, tapped])
def test_a_failure_before_content_raises_its_class(body, kind, read):
    with pytest.raises(kind) as caught:
        read([sse(body)])
    assert type(caught.value) is kind


def test_a_failure_alone_in_a_json_body_is_found_too():
    with pytest.raises(ProviderRateLimited) as caught:
        decoded([json.dumps([FAILURES[0][0]]).encode()])
    assert caught.value.retry_after_s == 2.5


@pytest.mark.parametrize(("body", "kind"), FAILURES)
def test_a_failure_after_content_lets_the_content_out_first(body, kind):
    decoder = Gemini().decoder()
    assert decoder.feed(sse(frame({"text": "a"}), body))[:2] == [START, TextDelta("a")]
    with pytest.raises(kind):
        decoder.feed(b"")
    with pytest.raises(kind):
        decoder.end()


@pytest.mark.parametrize(("body", "kind"), [FAILURES[0], *FAILURES[2:]])
def test_a_failure_after_content_passes_the_tap_and_is_noted(body, kind):
    stream = sse(frame({"text": "a"}), body)
    passed, tap = tapped([stream])
    assert passed == stream
    assert type(tap.error) is kind


@given(st.lists(st.integers(0, 2000), max_size=8))
def test_any_split_of_a_failing_stream_gives_the_same_events_and_failure(places):
    stream = sse(FRAMES[0], FRAMES[1], FAILURES[2][0], FRAMES[3])
    decoder, events, failures = Gemini().decoder(), [], []
    for piece in [*cut(stream, places), b""]:
        try:
            events += decoder.feed(piece)
        except TurnoutError as failure:
            failures.append(type(failure))
    assert events == EVENTS[:5]
    assert set(failures) == {InvalidModelOutput}


def test_a_tap_commits_with_the_first_frame_that_says_something():
    tap = Gemini().tap(strip_usage=True)
    tap.feed(
        sse(frame({"text": ""}, usage={"promptTokenCount": 1}), {"usageMetadata": {"promptTokenCount": 1}})
    )
    assert (tap.has_content, tap.done) == (False, False)
    tap.feed(sse(frame({"text": "", "thoughtSignature": "s"})))
    assert tap.has_content
    tap.feed(sse(frame({"text": ""}, finish="STOP")))
    assert (tap.done, tap.finish) == (True, "stop")


def test_a_tap_takes_foreign_turnout_members_out_and_leaves_other_frames_alone():
    first, second = frame({"text": 'the word "turnout"'}), frame({"text": "b"}, finish="STOP")
    forged = {**second, "turnout": {"cost_usd": "0"}}
    passed, _ = tapped([sse(first, forged)])
    head = sse(first)
    assert passed[: len(head)] == head
    assert json.loads(passed[len(head) :].removeprefix(b"data: ")) == second


def test_an_endless_frame_is_refused():
    pieces = [b'[{"a": "', *[b"x" * (1 << 20)] * 9]
    with pytest.raises(ProviderBadResponse, match="8 MiB"):
        decoded(pieces)
