"""One fact about a request. Floor 0."""

from collections.abc import Mapping

from msgspec import Struct

from turnout.types.json import Json


class Signal(Struct, frozen=True):
    """A value with a confidence. `error` set = absent: the strategy's declared default applies.

    `value` goes into the Record, so the words of a conversation are never in it.
    """

    value: Json = None
    confidence: float = 1.0
    error: str | None = None


class Canonical(Signal, frozen=True, kw_only=True):
    """What the user wants, apart from what a harness adds. `value` = counts; the words stay in the fields."""

    intent: str
    """Last user intent, normalised (NFKC, no zero-width characters); case and punctuation kept."""
    windows: tuple[str, ...] = ()
    """The intent in pieces of at most 128 words: the first 8 and the last 8."""
    words: Mapping[str, int] = {}
    """Its words in lower case, punctuation at their ends off, and how often each stands."""
    blocks: tuple[int, ...] = ()
    """Hashes of long paragraphs at the ends of the message, for telling a harness from a user."""


class Tokens(Signal, frozen=True, kw_only=True):
    """How many tokens a request sends. `value` = `largest`."""

    largest: int
    """Over the candidates, so that nothing is called fitting that is not."""
    reference: int
    """In the encoding that estimates are made for, before any correction."""
    per_deployment: Mapping[str, int] = {}
    """Deployment id -> tokens as it counts them."""


class Embedding(Signal, frozen=True, kw_only=True):
    """A text as a vector. `value` = the encoder's id; the vector is data about the prompt and stays out."""

    vector: bytes
    """Little-endian float32, of unit length; all zero where the text says nothing."""


Signals = Mapping[str, Signal]
NO_SIGNALS: Signals = {}
