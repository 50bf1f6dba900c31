"""Writes `:batchEmbedContents` calls and reads their answers. Floor 2."""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from turnout.codecs.base import Encoded
from turnout.codecs.gemini import errors
from turnout.codecs.gemini.request import JSON_TYPE, address
from turnout.codecs.gemini.wire import UNREADABLE, WIRE, UsageMetadata, write
from turnout.codecs.notes import Notes
from turnout.errors import UnsupportedParameter
from turnout.types.deployment import Deployment
from turnout.types.embed import EmbedRequest, EmbedResponse
from turnout.types.http import HttpRequest, HttpResponse
from turnout.types.json import Json
from turnout.types.usage import Usage


class _Vector(Struct, frozen=True):
    values: tuple[float, ...] = ()


class _Answer(Struct, frozen=True, rename="camel"):
    """Of `:batchEmbedContents` (`embeddings`) or of `:embedContent` (`embedding`)."""

    embeddings: tuple[_Vector, ...] | None = None
    embedding: _Vector | None = None
    usage_metadata: UsageMetadata | None = None
    error: msgspec.Raw = msgspec.Raw()


_read_answer = msgspec.json.Decoder(_Answer).decode


def encode_embed(request: EmbedRequest, to: Deployment) -> Encoded:
    """Write one call for all texts. Raises `UnsupportedParameter` for tokens: Gemini takes text only."""
    notes = Notes()
    name = to.upstream_model if "/" in to.upstream_model else f"models/{to.upstream_model}"
    rest: dict[str, Json] = {}
    if request.dimensions is not None:
        rest["outputDimensionality"] = request.dimensions
    if request.wire == WIRE:
        rest |= request.extra
    else:
        for field in request.extra:
            notes.drop(field)
    if request.user:
        notes.drop("user")
    entries: list[Mapping[str, Json]] = []
    for i, text in enumerate(request.input):
        if not isinstance(text, str):
            raise UnsupportedParameter(
                f"input[{i}] is a list of tokens; {to.id} takes text only", param=f"input[{i}]"
            )
        entries.append({"model": name, "content": {"parts": [{"text": text}]}, **rest})
    body = write({"requests": entries})
    headers = (JSON_TYPE, *((k.encode(), v.encode()) for k, v in to.vendor.quirks.extra_headers))
    return notes.encoded(HttpRequest("POST", address(to, "batchEmbedContents"), headers, body))


def decode_embed(response: HttpResponse) -> EmbedResponse:
    """Read vectors in input order. Raises `ProviderBadResponse`, or the class of an error inside a 200."""
    try:
        answer = _read_answer(response.body)
    except UNREADABLE as failure:
        raise errors.unreadable(str(failure), response.body) from failure
    if answer.error:
        raise errors.of_object(answer.error, body=response.body)
    found = answer.embeddings or ((answer.embedding,) if answer.embedding is not None else ())
    if not found or not all(vector.values for vector in found):
        raise errors.unreadable("it has no vectors", response.body)
    counted = answer.usage_metadata
    usage = Usage(input_uncached=counted.prompt_token_count) if counted is not None else Usage()
    return EmbedResponse(model="", vectors=tuple(vector.values for vector in found), usage=usage)
