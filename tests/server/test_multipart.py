"""Uploads as forms: read the same however they are cut, and never without a bound."""

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.errors import InvalidRequest
from turnout.server.multipart import MOST_HEAD, Begin, Data, Multipart

TYPE = 'multipart/form-data; boundary="b0"'
BODY = (
    b'--b0\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    b'--b0\r\ncontent-disposition: form-data; name="file"; filename="a \\"b\\".jsonl"\r\n'
    b"Content-Type: application/jsonl\r\n\r\nline\r\n--b\r\n--b1\r\n\r\n--b0\r\n"
    b'Content-Disposition: form-data; name="empty"\r\n\r\n\r\n--b0--\r\nafter'
)
PARTS = [
    (Begin("purpose", None), b"batch"),
    (Begin("file", 'a "b".jsonl', "application/jsonl"), b"line\r\n--b\r\n--b1\r\n"),
    (Begin("empty", None), b""),
]


def read(*pieces):
    form = Multipart(TYPE)
    found = []
    for piece in pieces:
        for each in form.feed(piece):
            if isinstance(each, Begin):
                found.append([each, b""])
            elif isinstance(each, Data):
                found[-1][1] += each.data
    form.end()
    return [tuple(each) for each in found]


@given(st.lists(st.integers(0, len(BODY)), max_size=6))
def test_any_split_gives_the_same_parts(cuts):
    at = [0, *sorted(cuts), len(BODY)]
    assert read(*(BODY[a:b] for a, b in pairwise(at))) == PARTS


def test_byte_by_byte_gives_the_same_parts():
    assert read(*(BODY[n : n + 1] for n in range(len(BODY)))) == PARTS


@pytest.mark.parametrize(
    "body",
    [
        BODY[:40],
        BODY.replace(b"--b0--", b"--b0xx"),
        b"hello" + BODY,
        BODY.replace(b'name="purpose"', b"nothing"),
        b"--b0\r\n" + b"x" * (MOST_HEAD + 1),
        b'--b0\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * 65 + b"--b0--",
    ],
)
def test_what_is_cut_broken_or_without_end_is_refused(body):
    with pytest.raises(InvalidRequest):
        read(body)


@given(st.binary(max_size=300))
def test_garbage_raises_nothing_else(body):
    with suppress(InvalidRequest):
        read(b"--b0", body)


@pytest.mark.parametrize(
    "kind", ["application/json", "multipart/form-data", f"multipart/form-data; boundary={'b' * 71}"]
)
def test_another_content_type_is_refused(kind):
    with pytest.raises(InvalidRequest):
        Multipart(kind)
