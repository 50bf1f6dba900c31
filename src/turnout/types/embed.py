"""Vectors for texts. Floor 0."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from turnout.types.chat import NOTHING, Facts
from turnout.types.json import Json
from turnout.types.usage import Usage


class EmbedRequest(Struct, frozen=True, kw_only=True):
    """Texts to embed."""

    model: str
    input: Sequence[str] | Sequence[Sequence[int]]
    """Texts, or texts already tokenised for the model."""
    dimensions: int | None = None
    encoding: str = "float"
    """How the client wants vectors written: `float` or `base64` (little-endian float32)."""
    user: str | None = None
    wire: str = ""
    extra: Mapping[str, Json] = NOTHING
    facts: Facts = Facts()
    alone: bool = False
    """The client used a form that holds one text, and is answered in the form of one vector."""


class EmbedResponse(Struct, frozen=True, kw_only=True):
    """Vectors in input order."""

    model: str
    vectors: tuple[tuple[float, ...], ...]
    usage: Usage = Usage()
    extra: Mapping[str, Json] = NOTHING
