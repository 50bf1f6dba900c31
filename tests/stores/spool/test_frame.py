"""Frames: whatever happens to a file, every whole frame is found."""

from hypothesis import given, settings
from hypothesis import strategies as st

from turnout.stores.spool.frame import MARK, frame, scan

PAYLOADS = st.lists(
    st.one_of(st.binary(max_size=60), st.just(MARK * 3), st.just(frame(b"inner")[:-1])), max_size=6
)


def test_a_frame_is_mark_length_payload_and_checksum():
    assert frame(b"abc") == b"\xc1TR1" + b"\x03\x00\x00\x00" + b"abc" + b"0\xdc\x11U"


def test_nothing_holds_nothing():
    assert (scan(b"").payloads, scan(b"").damaged) == ((), 0)


@settings(derandomize=True, deadline=None)
@given(payloads=PAYLOADS)
def test_what_was_framed_is_found(payloads):
    found = scan(b"".join(map(frame, payloads)))
    assert (found.payloads, found.damaged) == (tuple(payloads), 0)


@settings(derandomize=True, deadline=None)
@given(payloads=PAYLOADS, data=st.data())
def test_a_file_cut_at_any_byte_keeps_every_frame_before_the_cut(payloads, data):
    frames = [frame(payload) for payload in payloads]
    cut = data.draw(st.integers(0, sum(map(len, frames))))
    whole, n = 0, 0
    while n < len(frames) and whole + len(frames[n]) <= cut:
        whole += len(frames[n])
        n += 1
    found = scan(b"".join(frames)[:cut])
    assert (found.payloads, found.damaged) == (tuple(payloads[:n]), int(cut > whole))


@settings(derandomize=True, deadline=None)
@given(payloads=PAYLOADS.filter(bool), data=st.data())
def test_a_damaged_byte_costs_the_frame_it_is_in_and_no_other(payloads, data):
    frames = [frame(payload) for payload in payloads]
    hit = data.draw(st.integers(0, len(frames) - 1))
    at = data.draw(st.integers(0, len(frames[hit]) - 1))
    broken = bytearray(frames[hit])
    broken[at] ^= data.draw(st.integers(1, 255))
    found = scan(b"".join([*frames[:hit], bytes(broken), *frames[hit + 1 :]]))
    assert (found.payloads, found.damaged) == (tuple(payloads[:hit] + payloads[hit + 1 :]), 1)
