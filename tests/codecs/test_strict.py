"""The strict parser refuses what two parsers could read differently."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.codecs.strict import MAX_DEPTH, convert, parse
from turnout.errors import InvalidRequest


def refused(body: bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        parse(body)
    return caught.value


def test_a_compact_body_is_read() -> None:
    assert parse(b'{"a":1,"b":[true,null,"\xc3\xa9"]}') == {"a": 1, "b": [True, None, "é"]}


@pytest.mark.parametrize(
    "body",
    [b'{ "a" : 1 }', b'{"a":1.0}', b'{"a":"\\u00e9"}', b'{"a":1e-05}', b'\n{"a":"b\\/c"}\n'],
    ids=["spaced", "float", "escaped", "exponent", "slash"],
)
def test_a_body_our_encoder_would_write_differently_is_read(body: bytes) -> None:
    assert parse(body) == json.loads(body)


def test_a_repeated_key_is_refused_with_its_path() -> None:
    error = refused(
        b'{"model":"a","messages":[{"role":"user"},{"role":"user","content":"x","role":"system"}]}'
    )
    assert (error.message, error.param, error.code) == (
        "messages[1].role is given twice",
        "messages[1].role",
        "duplicate_key",
    )


def test_a_repeated_key_is_found_behind_an_escape() -> None:
    assert refused(b'{"model":"a","mod\\u0065l":"b"}').param == "model"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is not valid JSON: it is empty"),
        (b"[1]", "the body must be a JSON object, not an array"),
        (b'"x"', "the body must be a JSON object, not a string"),
        (b"true", "the body must be a JSON object, not a boolean"),
        (b'{"a":NaN}', "the body is not valid JSON: invalid character (byte 5)"),
        (b'{"a":Infinity}', "the body is not valid JSON: invalid character (byte 5)"),
        (b'{"a":1}x', "the body is not valid JSON: trailing characters (byte 8)"),
        (b'{"a":1e999}', "the body is not valid JSON: number out of range"),
        (b'{"a":"\xff"}', "the body is not valid UTF-8 (invalid start byte)"),
        (b'{"a":', "the body is not valid JSON: input data was truncated"),
    ],
)
def test_what_is_no_json_object_is_refused(body: bytes, message: str) -> None:
    assert refused(body).message == message


@pytest.mark.parametrize(
    ("body", "where", "half"),
    [
        (rb'{"a":[{"b":"x\ud800"}]}', "a[0].b", "ud800"),
        (rb'{"a":"x\uD83D and more", "c":1}', "a", "ud83d"),
        (rb'{"a":"\udc00\ud800 in the wrong order"}', "a", "udc00"),
        (rb'{"a":{"b\udfff":1}}', "a", "udfff"),
        (rb'{"b\udfff":1}', None, "udfff"),
    ],
)
def test_half_of_a_surrogate_pair_is_told_at_its_place(body: bytes, where: str | None, half: str) -> None:
    error = refused(body)
    said = f"{where or 'the body'}: \\{half} is half of a surrogate pair, and no character by itself"
    assert (error.message, error.param) == (said, where)
    assert refused(body[:-1]).message.startswith("the body is not valid JSON: ")
    assert parse(rb'{"a":"\ud83d\ude00"}') == {"a": "\U0001f600"}


def test_depth_is_limited() -> None:
    deepest = MAX_DEPTH - 1
    assert parse(b'{"a":' + b"[" * deepest + b"]" * deepest + b"}")
    assert "deeper than 64" in refused(b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}").message
    assert "deeper than 64" in refused(b"[" * 100_000).message


def test_brackets_inside_strings_are_not_depth() -> None:
    assert parse(b'{"a":"' + b"[{" * 500 + b'"}') == {"a": "[{" * 500}


def test_the_number_of_keys_is_limited() -> None:
    body = msgspec.json.encode({"a": [{str(i): 0 for i in range(1000)} for _ in range(101)]})
    assert refused(body).message == "the body has more than 100,000 keys"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), JSON), st.booleans())
def test_every_object_without_repeated_keys_is_read_as_the_standard_library_reads_it(
    tree: dict[str, object], ascii_only: bool
) -> None:
    body = json.dumps(tree, ensure_ascii=ascii_only).encode()
    assert parse(body) == json.loads(body)


@given(st.dictionaries(st.text(), JSON, min_size=1), st.data())
def test_any_repeated_key_is_refused(tree: dict[str, object], data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(tree)))
    body = json.dumps(tree)[:-1] + "," + json.dumps(key) + ":0}"
    assert refused(body.encode()).param == key


class Point(msgspec.Struct):
    x: int
    tags: list[str] = []


@pytest.mark.parametrize(
    ("value", "at", "message", "param"),
    [
        ({"x": "1"}, "", "x: expected `int`, got `str`", "x"),
        ({"x": 1, "tags": ["a", 2]}, "point", "point.tags[1]: expected `str`, got `int`", "point.tags[1]"),
        ({}, "point", "point.x is missing", "point.x"),
        ([], "", "the body: expected `object`, got `array`", None),
    ],
)
def test_a_field_that_does_not_fit_is_named(value: object, at: str, message: str, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as caught:
        convert(value, Point, at)  # type: ignore[arg-type]
    assert (caught.value.message, caught.value.param) == (message, param)
