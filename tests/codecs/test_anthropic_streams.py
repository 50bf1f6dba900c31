"""Streams of an Anthropic upstream: read as events, and tapped while they pass."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.codecs.anthropic_samples import (
    CITED,
    EVERYTHING,
    FOUND,
    PING,
    START,
    STOP,
    begin,
    delta,
    error,
    finish,
    frame,
    stop,
    stream,
)
from turnout.codecs.anthropic import Anthropic
from turnout.codecs.base import Plain
from turnout.errors import ProviderBadResponse, ProviderOverloaded, StreamInterrupted
from turnout.types.chat import Native
from turnout.types.event import Finish, NativeDelta, ReasoningDelta, Start, TextDelta, ToolDelta, UsageUpdate
from turnout.types.usage import Usage

CODEC = Anthropic()
BEGUN = Start(id="msg_1", model="claude-x", usage=Usage(input_uncached=9, cache_read=2, output_text=1))
ENDED = UsageUpdate(Usage(input_uncached=9, cache_read=2, output_text=5))
TEXT = (begin(0, type="text", text=""), delta(0, "text_delta", text="Hi"), stop(0))


def decoded(data):
    decoder = CODEC.decoder()
    return [*decoder.feed(data), *decoder.end()]


def pieces(data, cuts):
    marks = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(marks)]


cuts = st.lists(st.integers(0, 10_000), max_size=30)
newlines = st.sampled_from(["\n", "\r\n"])


def test_one_of_everything_becomes_events():
    searched = Native(
        "anthropic",
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "a \n b"}},
    )
    assert decoded(stream(*EVERYTHING)) == [
        BEGUN,
        ReasoningDelta(text="hm", wire="anthropic"),
        ReasoningDelta(text=" ok", wire="anthropic"),
        ReasoningDelta(signature="sig", wire="anthropic"),
        ReasoningDelta(redacted="zz", wire="anthropic"),
        NativeDelta(searched),
        NativeDelta(Native("anthropic", FOUND)),
        TextDelta("Plain – "),
        TextDelta("cited", extra={"citations": [CITED]}),
        TextDelta(" on"),
        TextDelta("plain again\n\ndata: x", extra={"citations": []}),
        ToolDelta(index=0, id="c1", name="f"),
        ToolDelta(index=0, arguments='{"a":'),
        ToolDelta(index=0, arguments="1}"),
        ToolDelta(index=1, id="c2", name="g"),
        ToolDelta(index=1, arguments="{}"),
        UsageUpdate(Usage(input_uncached=9, cache_read=2, cache_write_5m=3, output_text=3, reasoning=2)),
        Finish(reason="tool_calls", native="tool_use"),
    ]


@given(cuts, newlines)
def test_any_split_of_the_bytes_gives_the_same_events(marks, newline):
    data = stream(*EVERYTHING, newline=newline)
    decoder = CODEC.decoder()
    events = [event for piece in pieces(data, marks) for event in decoder.feed(piece)]
    assert events + decoder.end() == decoded(data)


@given(cuts, st.integers(0, len(stream(*EVERYTHING)) - 3))
def test_a_cut_stream_is_interrupted_wherever_it_was_cut(marks, length):
    decoder = CODEC.decoder()
    with pytest.raises(StreamInterrupted):  # noqa: PT012 - any of the calls may raise, the last one must
        for piece in pieces(stream(*EVERYTHING)[:length], marks):
            decoder.feed(piece)
        while decoder.end():
            pass


def test_block_starts_do_not_commit():
    opened = (START, begin(0, type="text", text=""), begin(1, type="tool_use", id="c", name="f", input={}))
    assert CODEC.decoder().feed(stream(*opened)) == [BEGUN]
    tap = CODEC.tap(strip_usage=False)
    tap.feed(stream(*opened))
    assert not tap.has_content


def test_a_call_whose_input_came_with_its_start_or_never_is_whole_at_its_stop():
    calls = (
        begin(0, type="tool_use", id="a", name="f", input={"x": 1}), stop(0),
        begin(1, type="tool_use", id="b", name="g", input={}), stop(1),
    )  # fmt: skip
    assert decoded(stream(START, *calls, STOP))[1:] == [
        ToolDelta(index=0, id="a", name="f", arguments='{"x":1}'),
        ToolDelta(index=1, id="b", name="g", arguments="{}"),
        Finish(reason="tool_calls"),
    ]


def test_text_that_came_with_the_start_of_its_block_is_not_lost():
    blocks = (begin(0, type="text", text="Hi"), stop(0), begin(1, type="thinking", thinking="hm"), stop(1))
    assert decoded(stream(START, *blocks, STOP))[1:3] == [
        TextDelta("Hi"),
        ReasoningDelta(text="hm", wire="anthropic"),
    ]


def test_a_delta_of_an_unknown_kind_is_kept_in_its_block():
    blocks = (
        begin(0, type="compaction", content=None),
        delta(0, "compaction_delta", content="ab"),
        delta(0, "compaction_delta", content="c"),
        stop(0),
    )
    assert decoded(stream(START, *blocks, STOP))[1] == NativeDelta(
        Native("anthropic", {"type": "compaction", "content": "abc"})
    )


def test_the_last_count_of_each_counter_counts():
    done = finish(input_tokens=100, cache_read_input_tokens=None)
    assert UsageUpdate(Usage(input_uncached=100, cache_read=2, output_text=5)) in decoded(
        stream(START, *TEXT, done, STOP)
    )


def test_pings_comments_and_a_foreign_end_mark_mean_nothing():
    data = b": hello\n\n" + stream(START, PING, *TEXT, PING, finish(), STOP) + b"data: [DONE]\n\n"
    assert decoded(data) == [BEGUN, TextDelta("Hi"), ENDED, Finish(reason="stop", native="end_turn")]


def test_an_error_before_content_is_raised_at_once():
    with pytest.raises(ProviderOverloaded):
        CODEC.decoder().feed(stream(START, error()))
    with pytest.raises(ProviderOverloaded):
        CODEC.tap(strip_usage=False).feed(stream(START, error()))


def test_an_error_behind_content_waits_for_the_next_call():
    decoder = CODEC.decoder()
    assert decoder.feed(stream(START, *TEXT, error())) == [BEGUN, TextDelta("Hi")]
    with pytest.raises(ProviderOverloaded):
        decoder.end()


@pytest.mark.parametrize("garbage", [b"data: {oops}\n\n", b"data: []\n\n", b'data: {"type":1}\n\n'])
def test_a_frame_that_is_none_is_a_bad_response(garbage):
    for reader in (CODEC.decoder(), CODEC.tap(strip_usage=False)):
        with pytest.raises(ProviderBadResponse):
            reader.feed(frame(START) + garbage)


def test_a_delta_without_its_block_is_a_bad_response():
    with pytest.raises(ProviderBadResponse):
        CODEC.decoder().feed(stream(START, delta(0, "text_delta", text="x")))


def seen(tap):
    return (tap.has_content, tap.usage, tap.finish, tap.done, tap.upstream_id, tap.model, tap.error)


def passing(tap, parts, *, asked):
    """Give a stream to a tap; `asked`: only what it does not find plain."""
    assert isinstance(tap, Plain)
    return b"".join((asked and tap.plain(part)) or tap.feed(part) for part in parts) + tap.end()


@given(cuts, newlines, st.booleans())
def test_a_tapped_stream_passes_untouched_and_is_read_alike_however_it_is_split(marks, newline, asked):
    data = stream(*EVERYTHING, newline=newline)
    tap = CODEC.tap(strip_usage=False)
    passed = passing(tap, pieces(data, marks), asked=asked)
    assert passed == data
    usage = Usage(input_uncached=9, cache_read=2, cache_write_5m=3, output_text=3, reasoning=2)
    assert seen(tap) == (True, usage, "tool_calls", True, "msg_1", "claude-x", None)


def test_text_is_plain_once_content_has_passed_and_whatever_may_say_more_is_not():
    tap = CODEC.tap(strip_usage=False)
    text, half = frame(TEXT[1]), frame(TEXT[1])[:-1]
    told = [text, half, frame(finish()), frame(error()), text]
    before = [tap.plain(each) for each in told]
    tap.feed(stream(START, *TEXT[:2]))
    assert (before, [tap.plain(each) for each in told]) == ([b""] * 5, [text, b"", b"", b"", text])


def test_a_tap_hands_on_whole_frames_only():
    tap = CODEC.tap(strip_usage=False)
    data = frame(START)
    assert (tap.feed(data[:20]), tap.feed(data[20:-1]), tap.feed(data[-1:])) == (b"", b"", data)


def test_a_tap_commits_with_the_first_delta_or_a_block_that_came_whole():
    tap = CODEC.tap(strip_usage=False)
    tap.feed(stream(START, PING, begin(0, type="text", text="")))
    before = tap.has_content
    tap.feed(frame(delta(0, "text_delta", text="x")))
    assert (before, tap.has_content) == (False, True)
    tap = CODEC.tap(strip_usage=False)
    tap.feed(stream(START, begin(0, **FOUND), stop(0)))
    assert tap.has_content


@given(cuts, st.booleans())
def test_an_error_behind_content_passes_and_is_told(marks, asked):
    data = stream(START, *TEXT, error())
    tap = CODEC.tap(strip_usage=False)
    assert passing(tap, pieces(data, marks), asked=asked) == data
    assert (type(tap.error), tap.done) == (ProviderOverloaded, False)


@given(cuts, st.booleans())
def test_a_forged_turnout_member_never_passes(marks, asked):
    forged = {**finish(), "turnout": {"cost_usd": "0"}}
    sneaky = frame(delta(0, "text_delta", text="Hi", turnout=1)).replace(b"turnout", b"\\u0074urnout")
    data = stream(START, TEXT[0]) + frame(TEXT[1]) + sneaky + stream(stop(0), forged, STOP)
    passed = passing(CODEC.tap(strip_usage=False), pieces(data, marks), asked=asked)
    assert b"urnout" not in passed
    assert decoded(passed)[1:] == [
        TextDelta("Hi"),
        TextDelta("Hi"),
        ENDED,
        Finish(reason="stop", native="end_turn"),
    ]


def test_words_that_look_like_marks_pass_as_text():
    text = 'say "turnout", "error" and "message_stop" or \\u0074'
    data = stream(START, TEXT[0], delta(0, "text_delta", text=text), stop(0), finish(), STOP)
    tap = CODEC.tap(strip_usage=False)
    assert tap.feed(data) == data
    assert (tap.done, tap.error) == (True, None)


def test_a_stream_without_its_end_is_interrupted_and_half_a_frame_is_not_sent():
    tap = CODEC.tap(strip_usage=False)
    tap.feed(stream(START, *TEXT) + b'event: message_delta\ndata: {"type"')
    with pytest.raises(StreamInterrupted):
        tap.end()


def test_a_last_frame_without_its_blank_line_still_counts():
    data = stream(START, *TEXT, finish(), STOP)[:-1]
    tap = CODEC.tap(strip_usage=False)
    assert (tap.feed(data) + tap.end()).rstrip() == data.rstrip()
    assert tap.done
    assert decoded(data)[-1] == Finish(reason="stop", native="end_turn")
