"""Vectors of models behind Bedrock: the bodies of two families under InvokeModel. Floor 2."""

import msgspec

from turnout.codecs.base import Encoded
from turnout.codecs.bedrock.request import http
from turnout.codecs.bedrock.response import read_tree
from turnout.codecs.bedrock.wire import WIRE
from turnout.codecs.failures import unreadable
from turnout.codecs.notes import Notes
from turnout.errors import UnsupportedParameter
from turnout.types.deployment import Deployment
from turnout.types.embed import EmbedRequest, EmbedResponse
from turnout.types.http import HttpResponse
from turnout.types.json import Json
from turnout.types.usage import Usage

_BATCHED = "cohere.embed"
_SINGLE = "titan-embed"
EMBEDS = (_BATCHED, _SINGLE)
"""What a model of one of the families has in its name."""
_PASSED = ("input_type", "truncate", "normalize")


def encode_embed(request: EmbedRequest, to: Deployment) -> Encoded:
    """Write an embeddings call. Raises `UnsupportedParameter` for families and inputs the provider lacks."""
    notes = Notes()
    body = _body(request, to, notes)
    for field, value in request.extra.items():
        if field in _PASSED:
            body[field] = value
        else:
            notes.drop(field)
    if request.user:
        notes.drop("user")
    return notes.encoded(http(body, to, "invoke"))


def _body(request: EmbedRequest, to: Deployment, notes: Notes) -> dict[str, Json]:
    texts = [text for text in request.input if isinstance(text, str)]
    if len(texts) != len(request.input):
        raise UnsupportedParameter(f"{to.id} takes text only", param="input")
    name = f"{to.upstream_model} {to.model.id}"
    size = request.dimensions
    if _BATCHED in name:
        if "input_type" not in request.extra:
            notes.warn("input_type_assumed")
        own: dict[str, Json] = {"texts": texts, "input_type": "search_document"}
        return own if size is None else {**own, "output_dimension": size}
    if _SINGLE not in name:
        raise UnsupportedParameter(f"{to.vendor.name} has no embeddings for {request.model}", param="model")
    if len(texts) != 1:
        raise UnsupportedParameter(f"{to.id} takes one text at a time", param="input")
    single: dict[str, Json] = {"inputText": texts[0]}
    return single if size is None else {**single, "dimensions": size}


def decode_embed(response: HttpResponse) -> EmbedResponse:
    """Read vectors in input order. Raises `ProviderBadResponse`."""
    tree = read_tree(response.body)
    rows: Json = tree.get("embeddings")
    if isinstance(rows, dict):
        rows = rows.get("float")
    if rows is None and "embedding" in tree:
        rows = [tree["embedding"]]
    if not rows:
        raise unreadable("it has no vectors", response.body, WIRE)
    try:
        vectors = msgspec.convert(rows, tuple[tuple[float, ...], ...])
    except msgspec.ValidationError as error:
        raise unreadable(str(error), response.body, WIRE) from error
    counted = tree.get("inputTextTokenCount", response.headers.get("x-amzn-bedrock-input-token-count"))
    n_input = int(counted) if isinstance(counted, int | str) and str(counted).isdecimal() else None
    return EmbedResponse(model="", vectors=vectors, usage=Usage(input_uncached=n_input))
