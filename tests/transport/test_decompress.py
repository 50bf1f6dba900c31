"""Content encodings are undone in bounded steps."""

import gzip
import random
import zlib
from itertools import pairwise

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from turnout.errors import ProviderBadResponse
from turnout.transport.decompress import STEP, decode_all, decompressor

LIMIT = 32 << 20


def raw_deflate(data):
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKERS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    " GZIP ": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": raw_deflate,
    "zstd": zstandard.compress,
}


@given(st.sampled_from(sorted(PACKERS)), st.binary(max_size=2000), st.lists(st.integers(0, 2000), max_size=4))
def test_any_split_of_the_packed_bytes_gives_the_same_text(encoding, data, cuts):
    packed = PACKERS[encoding](data)
    decoder = decompressor(encoding)
    out = b""
    edges = [0, *sorted(cut for cut in cuts if cut < len(packed)), len(packed)]
    for start, end in pairwise(edges):
        out += decoder.feed(packed[start:end])
        while decoder.more:
            out += decoder.feed(b"")
    assert (out, decoder.finished) == (data, True)


@pytest.mark.parametrize("encoding", sorted(PACKERS))
def test_large_bodies_come_in_steps(encoding):
    data = random.Random(1).randbytes(STEP) * 3
    assert decode_all(decompressor(encoding), PACKERS[encoding](data), LIMIT) == data


def explode(decoder, bomb):
    n_out = len(decoder.feed(bomb))
    while decoder.more:
        assert n_out <= STEP
        n_out += len(decoder.feed(b""))


@pytest.mark.parametrize("encoding", sorted(PACKERS))
def test_a_bomb_is_stopped_after_one_step(encoding):
    bomb = PACKERS[encoding](b"\0" * (16 << 20))
    decoder = decompressor(encoding)
    with pytest.raises(ProviderBadResponse, match="expands more than 200-fold"):
        explode(decoder, bomb)


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "zstd"])
def test_two_members_are_one_body(encoding):
    packed = PACKERS[encoding](b"one") + PACKERS[encoding](b"two")
    assert decode_all(decompressor(encoding), packed, LIMIT) == b"onetwo"


@pytest.mark.parametrize("encoding", sorted(PACKERS))
def test_damage_and_cuts_are_told(encoding):
    packed = PACKERS[encoding](bytes(range(256)) * 20)
    with pytest.raises(ProviderBadResponse):
        decode_all(decompressor(encoding), packed[:-3], LIMIT)
    with pytest.raises(ProviderBadResponse):
        decode_all(decompressor(encoding), b"<html>no such thing</html>", LIMIT)
    with pytest.raises(ProviderBadResponse, match="longer than 100 bytes"):
        decode_all(decompressor(encoding), packed, 100)


@pytest.mark.parametrize("encoding", ["br", "compress", "gzip, gzip", "gzip,identity", "snappy"])
def test_what_cannot_be_undone_is_refused(encoding):
    with pytest.raises(ProviderBadResponse, match="cannot be decoded"):
        decompressor(encoding)


@pytest.mark.parametrize("encoding", ["", "identity", " Identity "])
def test_nothing_to_undo(encoding):
    assert decompressor(encoding) is None
