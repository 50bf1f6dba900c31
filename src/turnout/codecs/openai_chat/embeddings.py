"""OpenAI embeddings, both directions. Floor 2."""

import sys
from array import array
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from turnout.codecs import extras, strict
from turnout.codecs.base import EmbedBody, Encoded, Summary
from turnout.codecs.openai_chat.encode import post
from turnout.codecs.openai_chat.errors import error_in
from turnout.codecs.openai_chat.quirks import adapt
from turnout.codecs.openai_chat.wire import WIRE
from turnout.codecs.openai_errors import unreadable
from turnout.errors import InvalidRequest, ProviderBadResponse
from turnout.types.ask import Wire
from turnout.types.chat import Facts
from turnout.types.deployment import Deployment
from turnout.types.embed import EmbedRequest, EmbedResponse
from turnout.types.http import HttpResponse
from turnout.types.json import Json, JsonObject
from turnout.types.usage import Usage

_encode = msgspec.json.Encoder().encode
_KNOWN_ANSWER = frozenset({"object", "data", "model", "usage", "turnout"})


class _Request(Struct, frozen=True):
    model: Annotated[str, Meta(min_length=1, max_length=512)]
    input: str | Annotated[list[str | int | list[int]], Meta(min_length=1)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    user: str | None = None


class _Vector(Struct, frozen=True):
    embedding: list[float] | str
    index: int | None = None


class _Answer(Struct, frozen=True):
    data: list[_Vector] | None = None
    model: str | None = None
    usage: dict[str, object] | None = None
    error: object = None


def parse_embed(body: bytes) -> EmbedBody:
    """Read an embeddings request. Raises `InvalidRequest` with the path of the offending field."""
    tree = strict.parse(body)
    wishes = extras.read(tree)
    tree = extras.without(tree, wishes)
    return wishes.onto(EmbedBody(request=_read(tree), wire=Wire(WIRE, tree)))


def _read(tree: JsonObject) -> EmbedRequest:
    asked = strict.convert(tree, _Request)
    texts = _texts(asked.input)
    return EmbedRequest(
        model=asked.model,
        input=texts,
        dimensions=asked.dimensions,
        encoding=asked.encoding_format or "float",
        user=asked.user,
        wire=WIRE,
        extra={key: value for key, value in tree.items() if key not in _Request.__struct_fields__},
        facts=Facts(n_chars=sum(len(text) for text in texts), n_messages=len(texts)),
    )


def _texts(given: str | Sequence[str | int | list[int]]) -> Sequence[str] | Sequence[Sequence[int]]:
    if isinstance(given, str):
        return (given,)
    texts = tuple(item for item in given if isinstance(item, str))
    tokens = tuple(item for item in given if isinstance(item, int))
    lists = tuple(item for item in given if isinstance(item, list))
    if len(texts) == len(given):
        return texts
    if len(tokens) == len(given):
        return (tokens,)
    if len(lists) == len(given):
        return lists
    raise InvalidRequest("input must hold only strings, only tokens or only lists of tokens", param="input")


def encode_embed(request: EmbedRequest, to: Deployment) -> Encoded:
    """Write an embeddings call."""
    body: dict[str, Json] = {"model": to.upstream_model, "input": list(request.input)}
    if request.encoding != "float":
        body["encoding_format"] = request.encoding
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    if request.user is not None:
        body["user"] = request.user
    dropped: tuple[str, ...] = ()
    if request.wire == WIRE:
        body |= request.extra
    else:
        dropped = tuple(request.extra)
    dropped += adapt(body, to.vendor.quirks)
    return Encoded(post(body, to, "/embeddings"), dropped)


def decode_embed(response: HttpResponse) -> EmbedResponse:
    """Read vectors in input order. Raises `ProviderBadResponse`."""
    try:
        tree = msgspec.json.decode(response.body)
        answer = msgspec.convert(tree, _Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable(error) from error
    if answer.error is not None:
        raise error_in(answer.error, response)
    if answer.data is None:
        raise ProviderBadResponse("the provider's answer holds no vectors")
    placed = sorted(enumerate(answer.data), key=lambda at: at[0] if at[1].index is None else at[1].index)
    return EmbedResponse(
        model=answer.model or "",
        vectors=tuple(_floats(vector.embedding) for _, vector in placed),
        usage=_usage(answer.usage or {}),
        extra={key: value for key, value in tree.items() if key not in _KNOWN_ANSWER},
    )


def render_embed(response: EmbedResponse, request: EmbedRequest, summary: Summary) -> bytes:
    """Write vectors as the client wants them encoded."""
    n_input = response.usage.n_input
    body: dict[str, Json] = {
        "id": summary.request_id,  # Mistral's client reads no answer without one
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": i,
                "embedding": _base64(vector) if request.encoding == "base64" else vector,
            }
            for i, vector in enumerate(response.vectors)
        ],
        "model": summary.model,
        "usage": {"prompt_tokens": n_input, "total_tokens": n_input},
    }
    if summary.show:
        body["turnout"] = summary.told()
    return _encode(body)


def _usage(raw: dict[str, object]) -> Usage:
    for key in ("prompt_tokens", "total_tokens"):
        count = raw.get(key)
        if isinstance(count, int) and count >= 0:
            return Usage(input_uncached=count)
    return Usage()


def _floats(value: list[float] | str) -> tuple[float, ...]:
    if not isinstance(value, str):
        return tuple(value)
    try:
        numbers = array("f", b64decode(value, validate=True))
    except (Base64Error, ValueError) as error:
        raise ProviderBadResponse("the provider's vectors are not base64 of 32-bit floats") from error
    return tuple(_little_endian(numbers))


def _base64(vector: Sequence[float]) -> str:
    return b64encode(_little_endian(array("f", vector)).tobytes()).decode()


def _little_endian(numbers: "array[float]") -> "array[float]":
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
