"""Server-sent events are the same however the bytes are split."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.codecs.sse import MAX_FRAME, Frame, FrameBuffer, SseSplitter, frames
from turnout.errors import ProviderBadResponse


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def read(pieces: list[bytes]) -> list[Frame]:
    splitter = SseSplitter()
    return [frame for piece in pieces for frame in splitter.feed(piece)] + splitter.end()


def test_one_line_frames() -> None:
    assert read([b"data: a\n\ndata:b\n\n"]) == [
        Frame("", b"a", b"data: a\n\n"),
        Frame("", b"b", b"data:b\n\n"),
    ]


def test_named_frames() -> None:
    assert read([b"event: ping\ndata: {}\n\nevent:x\nid: 7\ndata: 1\ndata: 2\n\n"]) == [
        Frame("ping", b"{}", b"event: ping\ndata: {}\n\n"),
        Frame("x", b"1\n2", b"event:x\nid: 7\ndata: 1\ndata: 2\n\n"),
    ]


def test_carriage_returns_belong_to_the_line_ends() -> None:
    assert read([b"data: a\r\n\r\nevent: e\r\ndata: b\r\n\r\n"]) == [
        Frame("", b"a", b"data: a\r\n\r\n"),
        Frame("e", b"b", b"event: e\r\ndata: b\r\n\r\n"),
    ]


def test_comments_have_no_data_and_keep_their_bytes() -> None:
    assert read([b": OPENROUTER PROCESSING\n\ndata: a\n\n"]) == [
        Frame("", b"", b": OPENROUTER PROCESSING\n\n"),
        Frame("", b"a", b"data: a\n\n"),
    ]


def test_the_last_frame_may_lack_its_blank_line() -> None:
    assert read([b"data: a\n\ndata: b"]) == [Frame("", b"a", b"data: a\n\n"), Frame("", b"b", b"data: b\n\n")]


def test_a_byte_order_mark_is_skipped() -> None:
    assert read([b"\xef\xbb", b"\xbfdata: a\n\n"]) == [Frame("", b"a", b"data: a\n\n")]


def test_empty_lines_between_frames_mean_nothing() -> None:
    assert [frame.data for frame in read([b"\n\ndata: a\n\n\n\n\ndata: b\n\n"])] == [b"a", b"b"]


def test_the_buffer_returns_whole_frames_verbatim() -> None:
    buffer = FrameBuffer()
    assert buffer.take(b"data: a\n\ndata: b\n") == b"data: a\n\n"
    assert buffer.take(b"") == b""
    assert buffer.take(b"\ndata: c\r\n\r") == b"data: b\n\n"
    assert buffer.take(b"\n") == b"data: c\r\n\r\n"
    assert buffer.rest() == b""


@pytest.mark.parametrize("size", [65_536, MAX_FRAME + 20])
def test_an_endless_frame_is_refused(size: int) -> None:
    with pytest.raises(ProviderBadResponse):
        read([b"data: " + b"x" * size] * (MAX_FRAME // size + 2))


def test_a_frame_too_large_is_refused_even_when_it_came_at_once() -> None:
    with pytest.raises(ProviderBadResponse):
        SseSplitter().feed(b"data: " + b"x" * MAX_FRAME + b"\n\n")


def test_a_frame_that_arrives_byte_by_byte_is_read_in_linear_time() -> None:
    data = b"data: " + b"x" * 200_000 + b"\n\n"
    assert [len(frame.data) for frame in read([data[i : i + 1] for i in range(len(data))])] == [200_000]


LINE = st.sampled_from(
    [b"data: {}", b"data:x", b"data", b"event: e", b": c", b"id: 1", b"\xef\xbb\xbf", b"data: a\rb", b""]
)
END = st.sampled_from([b"\n", b"\r\n"])


@given(st.lists(st.tuples(LINE, END), max_size=12), st.lists(st.integers(0, 300), max_size=8))
def test_any_split_gives_the_same_frames(lines: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    data = b"".join(line + end for line, end in lines)
    assert read(split(data, cuts)) == read([data])


@given(st.lists(st.tuples(LINE, END), max_size=12), st.lists(st.integers(0, 300), max_size=8))
def test_the_buffer_loses_no_byte(lines: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    data = b"".join(line + end for line, end in lines)
    buffer = FrameBuffer()
    kept = b"".join([*(buffer.take(piece) for piece in split(data, cuts)), buffer.rest()])
    assert kept == data.removeprefix(b"\xef\xbb\xbf")


def test_frames_is_a_pure_function_of_whole_frames() -> None:
    whole = b"data: a\n\nevent: b\ndata: c\n\n"
    assert frames(whole) == frames(b"data: a\n\n") + frames(b"event: b\ndata: c\n\n")


@pytest.mark.parametrize("eol", [b"\n", b"\r\n"])
@pytest.mark.parametrize("name", [b"", b"event: e"])
def test_a_frame_like_the_one_before_is_known_without_looking_for_others(name: bytes, eol: bytes) -> None:
    head = name + eol if name else b""
    splitter = SseSplitter()
    assert splitter.alone(head + b"data: a" + eol * 2) is None
    splitter.feed(head + b"data: a" + eol * 2)
    assert splitter.alone(head + b"data: b" + eol * 2) == b"b"
    others = [
        b"data: b" + eol,  # not whole
        b"data: b" + eol * 2 + head + b"data: c" + eol * 2,
        b"data: b" + eol + b"data: c" + eol * 2,
        b"data: b\r" + eol * 2,
        b"data: b\n\r\n",
        b"data: " + eol * 2,
    ]
    assert [splitter.alone(head + other) for other in others] == [None] * 6
    assert splitter.feed(b"data: x") == []
    assert splitter.alone(head + b"data: b" + eol * 2) is None
