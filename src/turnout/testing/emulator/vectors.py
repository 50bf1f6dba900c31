"""Emulated embeddings: unit vectors made of each text's digest, stable and meaningless. Floor 6."""

import hashlib
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from turnout.codecs.base import Dialect, Embeds, Summary
from turnout.errors import InvalidRequest
from turnout.testing.emulator.script import count_tokens
from turnout.types.embed import EmbedResponse
from turnout.types.json import Json
from turnout.types.usage import Usage

N_DIMENSIONS = 32


class Vectors(Struct, frozen=True):
    """An answer to an embeddings call."""

    model: str
    n_tokens: int
    body: bytes


class _Content(Struct, frozen=True):
    parts: tuple[dict[str, Json], ...] = ()

    @property
    def text(self) -> str:
        return "\n".join(str(part.get("text", "")) for part in self.parts)


class _One(Struct, frozen=True):
    content: _Content = _Content()


class _Batch(Struct, frozen=True):
    requests: tuple[_One, ...] | None = None
    content: _Content = _Content()


_read_batch = msgspec.json.Decoder(_Batch).decode


def embed(dialect: Dialect, path: str, body: bytes) -> Vectors:
    """Answer an embeddings call. Raises `InvalidRequest`."""
    model, _, verb = path.partition("/models/")[2].rpartition(":")
    if verb in ("embedContent", "batchEmbedContents"):
        return _by_address(model, body)
    if not isinstance(dialect, Embeds):
        raise InvalidRequest("this format has no embeddings")
    request = dialect.parse_embed(body).request
    texts = [item if isinstance(item, str) else " ".join(map(str, item)) for item in request.input]
    n_tokens = sum(count_tokens(text) for text in texts)
    response = EmbedResponse(
        model=request.model,
        vectors=tuple(vector(text, request.dimensions or N_DIMENSIONS) for text in texts),
        usage=Usage(input_uncached=n_tokens),
    )
    summary = Summary(request_id="emulator", model=request.model, created=0)
    return Vectors(request.model, n_tokens, dialect.render_embed(response, request, summary))


def _by_address(model: str, body: bytes) -> Vectors:
    try:
        asked = _read_batch(body)
    except msgspec.MsgspecError as error:
        raise InvalidRequest(str(error)) from error
    contents = [one.content for one in asked.requests] if asked.requests is not None else [asked.content]
    texts = [content.text for content in contents]
    n_tokens = sum(count_tokens(text) for text in texts)
    values = [{"values": vector(text, N_DIMENSIONS)} for text in texts]
    found: Mapping[str, object] = (
        {"embedding": values[0]} if asked.requests is None else {"embeddings": values}
    )
    counted = {"promptTokenCount": n_tokens}
    return Vectors(model, n_tokens, msgspec.json.encode({**found, "usageMetadata": counted}))


def vector(text: str, n: int) -> tuple[float, ...]:
    """Return the unit vector of a text."""
    digest = hashlib.shake_256(text.encode()).digest(n)
    length = sum((byte - 127.5) ** 2 for byte in digest) ** 0.5
    return tuple((byte - 127.5) / length for byte in digest)
