"""Embeddings, both directions."""

import json
from typing import Any

import pytest

from turnout.codecs.base import EmbedBody, Summary
from turnout.codecs.openai_chat import CODEC, DIALECT
from turnout.errors import InvalidRequest, ProviderBadResponse, ProviderRateLimited
from turnout.types.ask import Preferences, Wire
from turnout.types.chat import Facts
from turnout.types.deployment import Deployment, Model, Quirks, Vendor
from turnout.types.embed import EmbedRequest, EmbedResponse
from turnout.types.http import HttpResponse
from turnout.types.json import Json
from turnout.types.usage import Usage

SUMMARY = Summary(request_id="req_1", model="acme/e", created=5)


def at(**quirks: Any) -> Deployment:
    vendor = Vendor(
        name="acme", base_url="https://acme.test/v1", codec="openai_chat", quirks=Quirks(**quirks)
    )
    return Deployment(id="acme/e", vendor=vendor, model=Model(id="acme/e"), upstream_model="e-1")


def decode(tree: Any) -> EmbedResponse:
    return CODEC.decode_embed(
        HttpResponse(200, {}, tree if isinstance(tree, bytes) else json.dumps(tree).encode())
    )


def test_a_request_is_read() -> None:
    tree = {
        "model": "e",
        "input": ["a", "bc"],
        "dimensions": 8,
        "encoding_format": "base64",
        "user": "u",
        "input_type": "query",
    }
    assert DIALECT.parse_embed(json.dumps(tree | {"turnout": {"tags": ["t"]}}).encode()) == EmbedBody(
        request=EmbedRequest(
            model="e",
            input=("a", "bc"),
            dimensions=8,
            encoding="base64",
            user="u",
            wire="openai_chat",
            extra={"input_type": "query"},
            facts=Facts(n_chars=3, n_messages=2),
        ),
        prefer=Preferences(),
        wire=Wire("openai_chat", tree),
        tags=("t",),
        session="u",
        ours=frozenset({"tags"}),
    )


@pytest.mark.parametrize(
    ("given", "read"), [("a", ("a",)), (["a"], ("a",)), ([1, 2], ((1, 2),)), ([[1], [2, 3]], ([1], [2, 3]))]
)
def test_texts_and_tokens_are_read(given: Json, read: Any) -> None:
    assert DIALECT.parse_embed(json.dumps({"model": "e", "input": given}).encode()).request.input == read


@pytest.mark.parametrize(
    ("given", "param"),
    [([], "input"), (["a", 1], "input"), (7, "input"), ([1.5], "input[0]"), (None, "input")],
)
def test_other_inputs_are_refused(given: Json, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        DIALECT.parse_embed(json.dumps({"model": "e", "input": given}).encode())
    assert caught.value.param == param


def test_a_call_is_written() -> None:
    request = EmbedRequest(
        model="e", input=("a",), dimensions=8, encoding="base64", user="u", wire="openai_chat", extra={"x": 1}
    )
    encoded = CODEC.encode_embed(request, at(unsupported=frozenset({"user"})))
    assert (encoded.http.url, json.loads(encoded.http.body), encoded.dropped) == (
        "https://acme.test/v1/embeddings",
        {"model": "e-1", "input": ["a"], "encoding_format": "base64", "dimensions": 8, "x": 1},
        ("user",),
    )


def test_fields_of_other_formats_are_named() -> None:
    encoded = CODEC.encode_embed(EmbedRequest(model="e", input=("a",), wire="gemini", extra={"x": 1}), at())
    assert (json.loads(encoded.http.body), encoded.dropped) == ({"model": "e-1", "input": ["a"]}, ("x",))


def test_vectors_come_in_input_order_from_floats_and_base64() -> None:
    tree = {
        "object": "list",
        "data": [{"index": 1, "embedding": [0.25, 1]}, {"index": 0, "embedding": "AACAPwAAAMA="}],
        "model": "e-1",
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
        "id": "x",
    }
    assert decode(tree) == EmbedResponse(
        model="e-1", vectors=((1.0, -2.0), (0.25, 1.0)), usage=Usage(input_uncached=3), extra={"id": "x"}
    )


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"data":[{"embedding":"!"}]}', b'{"data":[{"embedding":"AAA="}]}']
)
def test_garbage_is_a_bad_response(body: bytes) -> None:
    with pytest.raises(ProviderBadResponse):
        decode(body)


def test_an_error_inside_a_200_is_an_error() -> None:
    with pytest.raises(ProviderRateLimited):
        decode({"error": {"code": 429, "message": "slow down"}})


def test_vectors_are_written_as_the_client_wants_them() -> None:
    response = EmbedResponse(model="e-1", vectors=((1.0, -2.0),), usage=Usage(input_uncached=3))
    rendered = [
        json.loads(
            DIALECT.render_embed(response, EmbedRequest(model="e", input=("a",), encoding=encoding), SUMMARY)
        )
        for encoding in ("float", "base64")
    ]
    expected = {
        "id": "req_1",
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [1.0, -2.0]}],
        "model": "acme/e",
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }
    in_base64 = expected | {"data": [{"object": "embedding", "index": 0, "embedding": "AACAPwAAAMA="}]}
    assert rendered == [expected, in_base64]
