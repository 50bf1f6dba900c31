"""Frames of the event-stream encoding."""

import struct
from contextlib import suppress
from random import Random
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.codecs.eventstream import (
    MAX_FRAME,
    EventFrame,
    EventStreamParser,
    write_event,
    write_exception,
    write_frame,
)
from turnout.errors import ProviderBadResponse

EMPTY = bytes.fromhex("000000100000000005c248eb7d98c8ff")
"""The frame without headers and payload, as the encoding's own description gives it."""
FRAMES = write_event("a", b'{"x":1}') + write_exception("b", b"{}") + write_frame({}, b"")


def test_the_published_empty_frame_is_written_and_read():
    assert write_frame({}, b"") == EMPTY
    assert EventStreamParser().feed(EMPTY) == [EventFrame({}, b"")]


def test_an_event_and_an_exception_tell_their_names():
    event, exception, empty = EventStreamParser().feed(FRAMES)
    assert (event.name, event.is_event, event.payload) == ("a", True, b'{"x":1}')
    assert (exception.name, exception.is_event) == ("b", False)
    assert (empty.name, empty.is_event) == ("", True)


@given(st.lists(st.integers(0, len(FRAMES)), max_size=6))
def test_any_split_gives_the_same_frames(cuts):
    parser, cuts = EventStreamParser(), sorted(cuts)
    pieces = [FRAMES[a:b] for a, b in zip([0, *cuts], [*cuts, len(FRAMES)], strict=True)]
    assert [frame for piece in pieces for frame in parser.feed(piece)] == EventStreamParser().feed(FRAMES)
    assert parser.is_between_frames


def test_every_type_of_header_is_read():
    block = b"".join(
        b"\x01" + name + value
        for name, value in (
            (b"a", b"\x00"),
            (b"b", b"\x01"),
            (b"c", b"\x02\xff"),
            (b"d", b"\x03\x00\x07"),
            (b"e", b"\x04\x00\x00\x00\x07"),
            (b"f", b"\x05" + b"\x00" * 7 + b"\x07"),
            (b"g", b"\x06\x00\x02\xab\xcd"),
            (b"h", b"\x07\x00\x02hi"),
            (b"i", b"\x08" + b"\x00" * 7 + b"\x07"),
            (b"j", b"\x09" + b"\x11" * 16),
        )
    )
    assert EventStreamParser().feed(frame(block))[0].headers == {
        "a": "true",
        "b": "false",
        "c": "-1",
        "d": "7",
        "e": "7",
        "f": "7",
        "g": "abcd",
        "h": "hi",
        "i": "7",
        "j": "11" * 16,
    }


def frame(block, payload=b""):
    prelude = struct.pack(">II", len(block) + len(payload) + 16, len(block))
    whole = prelude + struct.pack(">I", crc32(prelude)) + block + payload
    return whole + struct.pack(">I", crc32(whole))


@pytest.mark.parametrize(
    "block", [b"\x01", b"\x01a", b"\x01a\x07", b"\x01a\x07\x00\x09x", b"\x01a\x0b", b"\x01\xff\x00"]
)
def test_headers_that_do_not_fit_are_a_bad_response(block):
    with pytest.raises(ProviderBadResponse):
        EventStreamParser().feed(frame(block))


def test_a_length_is_believed_only_with_its_checksum():
    huge = struct.pack(">II", MAX_FRAME + 1, 0)
    with pytest.raises(ProviderBadResponse, match="checksum"):
        EventStreamParser().feed(huge + b"\x00\x00\x00\x00")
    with pytest.raises(ProviderBadResponse, match="16,777,217 bytes"):
        EventStreamParser().feed(huge + struct.pack(">I", crc32(huge)))


def test_a_flipped_bit_anywhere_is_noticed_and_stays():
    rng = Random(0)
    for _ in range(100):
        bad = bytearray(FRAMES)
        bad[rng.randrange(len(EMPTY), len(bad))] ^= 1 << rng.randrange(8)
        parser = EventStreamParser()
        with suppress(ProviderBadResponse):
            parser.feed(bytes(bad))
        with pytest.raises(ProviderBadResponse):
            parser.feed(FRAMES)


def test_frames_in_front_of_a_damaged_one_are_given_out_first():
    parser = EventStreamParser()
    assert parser.feed(EMPTY + b"\x00" * 12) == [EventFrame({}, b"")]
    with pytest.raises(ProviderBadResponse):
        parser.feed(b"")
