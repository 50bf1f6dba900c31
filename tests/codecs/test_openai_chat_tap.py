"""Chat completion streams that pass through as bytes while they are read."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given

from tests.codecs.openai_samples import COUNTS, CUTS, DONE, HELLO, ROLE, STREAMS, USAGE, chunk, frame, pieces
from turnout.codecs.base import Plain
from turnout.codecs.openai_chat import CODEC
from turnout.codecs.openai_chat.tap import OpenAIChatTap
from turnout.errors import ProviderBadResponse, ProviderRateLimited, StreamInterrupted, TurnoutError
from turnout.types.json import Json


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


def test_a_usage_member_that_says_null_is_cut_out_for_a_client_that_did_not_ask() -> None:
    said = b'data: {"choices":[{"delta":{"content":"not \\",\\"usage\\":null\\""}}]%s}\n\n'
    spaced, compact = said % b', "usage": null, "p": 1', said % b',"usage":null'
    assert tapped([spaced, compact, DONE], strip_usage=True)[0] == said % b', "p": 1' + said % b"" + DONE
    assert tapped([spaced, compact, DONE])[0] == spaced + compact + DONE


def test_a_usage_chunk_with_a_forged_turnout_object_is_left_out_too() -> None:
    out, tap = tapped([*HELLO[:4], chunk(usage=COUNTS, turnout={"forged": True}), DONE], strip_usage=True)
    assert (out, tap.usage) == (b"".join(HELLO[:4]) + DONE, USAGE)


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


@pytest.mark.parametrize("ended", [False, True])
def test_an_error_after_content_raises_after_what_came_before_it(ended: bool) -> None:
    failed = frame({"error": {"code": 429, "message": "m"}, "choices": []})
    tap = CODEC.tap(strip_usage=False)
    assert tap.feed(HELLO[1] + failed) == HELLO[1]
    with pytest.raises(ProviderRateLimited):
        _ = tap.end() if ended else tap.feed(HELLO[2])


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


def pass_through(parts: Sequence[bytes], *, asked: bool = False) -> Any:
    tap = CODEC.tap(strip_usage=True)
    assert isinstance(tap, Plain)
    out, failed = b"", ""
    try:
        for part in parts:
            out += (tap.plain(part) if asked else b"") or tap.feed(part)
        out += tap.end()
    except TurnoutError as error:
        failed = error.row.word
    if not tap.has_content:  # nothing was sent yet: only the failure counts
        out = b"" if failed else out
    return out, failed, tap.has_content, tap.usage, tap.finish, tap.done, tap.error is None


@given(STREAMS, CUTS)
def test_any_split_passes_the_same_bytes(data: bytes, cuts: list[int]) -> None:
    parts = pieces(data, cuts)
    assert pass_through(parts) == pass_through([data])
    assert pass_through(parts, asked=True) == pass_through([data])


def test_a_frame_is_plain_if_it_changes_nothing_once_content_has_passed() -> None:
    tap = OpenAIChatTap(strip_usage=True)
    text = chunk({"content": "t"}, usage=None)
    told = [
        text,
        chunk({"tool_calls": [{"index": 0}]}),
        text[:-1],
        chunk({}, "stop"),
        DONE,
        b"data: {]\n\n",
        text,
    ]
    before = [tap.plain(each) for each in told]
    tap.feed(HELLO[1])
    after = [tap.plain(each) for each in told]
    tap.feed(chunk({}, "stop"))
    assert before == [b""] * 7
    assert after == [chunk({"content": "t"}), b"", b"", b"", b"", b"", chunk({"content": "t"})]
    assert tap.plain(text) == b""
