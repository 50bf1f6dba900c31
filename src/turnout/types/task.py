"""An operation beside conversations and vectors: ranking, pictures, speech, hearing, moderation. Floor 0.

One pair for all of them (ADR 082): what routing, guards and money must know has fields, and the rest is the
client's own JSON or form, so that an upstream of the same format gets fields nobody here has heard of.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, get_args

from msgspec import Struct
from msgspec.structs import replace

from turnout.types.chat import NOTHING, Facts
from turnout.types.json import Json, JsonObject
from turnout.types.usage import Price, Usage

TaskKind = Literal["rerank", "image", "speech", "transcription", "moderation", "compaction"]
"""Also the words by which models and vendors declare what they can do."""
KINDS: Final[frozenset[str]] = frozenset(get_args(TaskKind))
TEXTS: Final[Mapping[TaskKind, tuple[str, ...]]] = {
    "rerank": ("query", "documents"),
    "image": ("prompt",),
    "speech": ("input", "instructions"),
    "transcription": ("prompt",),
    "moderation": ("input",),
    "compaction": ("instructions", "input"),
}
"""Kind -> members that hold what a person wrote: what guards look at and sizes are taken from."""

CHARS_PER_TOKEN: Final = 3.6
DOCUMENTS_PER_SEARCH: Final = 100
"""A search unit ranks so many documents (docs.cohere.com, "How does Cohere's pricing work?", 2026-11)."""
PICTURE_TOKENS: Final = 6_240
"""Output tokens of the dearest picture sold by the token: large, in high quality."""
BYTES_PER_SECOND: Final = 8_000
"""Of compressed sound, 64 kbit/s: sound that is not compressed is reckoned longer than it is."""
AUDIO_TOKENS_PER_SECOND: Final = 10
"""Of sound heard: recorded transcriptions of 3.7 s counted 37."""
SPOKEN_TOKENS_PER_CHAR: Final = 1.5
"""Of sound made: a minute is about 900 characters and 1,250 tokens."""
COMPACTED_TOKENS: Final = 4_096
"""Output tokens reckoned for a conversation that is made short."""


class FormPart(Struct, frozen=True):
    """One part of a `multipart/form-data` body."""

    name: str
    value: bytes
    filename: str | None = None
    """None = a field, not a file."""
    mime: str = ""


class Form(Struct, frozen=True):
    """A body of parts, in their order."""

    boundary: bytes
    parts: tuple[FormPart, ...]


class TaskRequest(Struct, frozen=True, kw_only=True):
    """What a client wants done."""

    kind: TaskKind
    path: str
    """Path beneath a base address in OpenAI's API, such as `/images/edits`: which operation of its kind."""
    model: str
    body: JsonObject = NOTHING
    """Its other members as OpenAI's API names them; to rank, as Cohere's v2 does. Empty for a form."""
    form: Form | None = None
    """None = it is JSON."""
    stream: bool = False
    n: int = 1
    """Pictures wanted; documents to rank; else 1."""
    n_bytes: int = 0
    """Of the files in the form."""
    response_format: str | None = None
    user: str | None = None
    facts: Facts = Facts()


class TaskResponse(Struct, frozen=True, kw_only=True):
    """A complete answer, ready for a client of OpenAI's API (to rank, of Cohere's)."""

    body: bytes
    content_type: str = "application/json"
    usage: Usage = Usage()
    """What the upstream counted; what it did not tell is reckoned from the request."""
    upstream_id: str | None = None


class Ranked(Struct, frozen=True):
    """One document in the order of its relevance."""

    index: int
    """Place in the request."""
    relevance_score: float


def certain(request: TaskRequest) -> Usage:
    """Return what a call uses whatever the upstream says: the characters it is asked to speak."""
    said = request.body.get("input")
    if request.kind == "speech" and isinstance(said, str):
        return Usage(characters=len(said))
    return Usage()


def reckoned(request: TaskRequest, price: Price | None) -> Usage:
    """Return the most a call is expected to use, in the units that the price is made in."""
    n_in = _tokens(request)
    by_unit = price is not None and _unit_price(request.kind, price) is not None
    match request.kind:
        case "rerank" if by_unit:
            return Usage(search_units=-(-request.n // DOCUMENTS_PER_SEARCH))
        case "image" if by_unit:
            return Usage(images=request.n, input_uncached=n_in)
        case "image":
            return Usage(input_uncached=n_in, image_out=request.n * PICTURE_TOKENS)
        case "speech" if by_unit:
            return certain(request)
        case "speech":
            return Usage(input_uncached=n_in, audio_out=int(request.facts.n_chars * SPOKEN_TOKENS_PER_CHAR))
        case "transcription" if by_unit:
            return Usage(audio_s=_seconds(request))
        case "transcription":
            heard = _seconds(request) * AUDIO_TOKENS_PER_SECOND
            return Usage(input_uncached=n_in, audio_in=heard, output_text=heard)
        case "compaction":
            return Usage(input_uncached=n_in, output_text=COMPACTED_TOKENS)
        case _:
            return Usage(input_uncached=n_in)


def billed(request: TaskRequest, told: Usage, price: Price | None) -> tuple[Usage, bool]:
    """Return what a call used as the price counts it, and whether any of it is only reckoned."""
    known = merged(told, certain(request))
    if price is not None and _is_free(price):
        return known, False
    guess = reckoned(request, price)
    if price is not None and _unit_price(request.kind, price) is not None:
        unit = _UNITS[request.kind]
        lacks = getattr(known, unit) is None
        guess = replace(Usage(), **{unit: getattr(guess, unit)})
    else:
        lacks = known.n_input == 0 and known.n_output == 0
    return (merged(known, guess), True) if lacks else (known, False)


def merged(first: Usage, second: Usage) -> Usage:
    """Return counters of both; where both have one, the first's."""
    if first == Usage():
        return second
    missing = {
        name: count
        for name in Usage.__struct_fields__
        if getattr(first, name) is None and (count := getattr(second, name)) is not None
    }
    return replace(first, **missing) if missing else first


def words(request: TaskRequest) -> list[str]:
    """Return every text that a person wrote into a request."""
    names = TEXTS[request.kind]
    if request.form is None:
        return [text for name in names for text in texts(request.body.get(name))]
    parts = [part for part in request.form.parts if part.name in names and part.filename is None]
    return [part.value.decode("utf-8", "replace") for part in parts]


def texts(value: Json) -> list[str]:
    """Return what a person wrote in a member: itself, or what lies in lists and under `text`."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return texts(value.get("text"))
    return [text for item in value for text in texts(item)] if isinstance(value, Sequence) else []


_UNITS: Final[Mapping[TaskKind, str]] = {
    "rerank": "search_units",
    "image": "images",
    "speech": "characters",
    "transcription": "audio_s",
    "moderation": "input_uncached",
    "compaction": "input_uncached",
}


def _unit_price(kind: TaskKind, price: Price) -> int | None:
    match kind:
        case "rerank":
            return price.per_search
        case "image":
            return price.per_image
        case "speech":
            return price.per_character
        case "transcription":
            return price.per_second
        case _:
            return None


def _is_free(price: Price) -> bool:
    return not (price.input or price.output or price.audio_in or price.audio_out or price.image_out) and (
        not (price.per_image or price.per_search or price.per_character or price.per_second)
    )


def _tokens(request: TaskRequest) -> int:
    return -(-request.facts.n_chars * 10 // int(CHARS_PER_TOKEN * 10))


def _seconds(request: TaskRequest) -> int:
    return max(1, -(-request.n_bytes // BYTES_PER_SECOND))
