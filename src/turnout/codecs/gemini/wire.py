"""Words and shapes of the generateContent wire format. Floor 2.

Sources: Gemini API reference (ai.google.dev/api/generate-content) and Vertex AI reference, seen 2025-11;
field names and values were checked against recorded traffic of both hosts.
"""

from datetime import datetime
from hashlib import blake2b
from typing import NamedTuple

import msgspec
from msgspec import Raw, Struct
from msgspec.json import Decoder

from turnout.types.chat import FinishReason
from turnout.types.json import Json, JsonObject
from turnout.types.usage import Usage

WIRE = "gemini"

SIGNATURE = "thoughtSignature"
TYPE = "@type"

FINISH_NUMBERS = (
    "FINISH_REASON_UNSPECIFIED",
    "STOP",
    "MAX_TOKENS",
    "SAFETY",
    "RECITATION",
    "OTHER",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MALFORMED_FUNCTION_CALL",
    "MODEL_ARMOR",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
    "IMAGE_OTHER",
    "UNEXPECTED_TOOL_CALL",
    "NO_IMAGE",
)
"""Enum order of the Vertex API, the host that was recorded answering with numbers (`enum-encoding=int`)."""

FILTERED = frozenset(
    {
        "SAFETY",
        "RECITATION",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "MODEL_ARMOR",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
    }
)
"""The provider's filter stopped the answer: a finish, not an error."""

BROKEN_OUTPUT = frozenset(
    {"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MALFORMED_RESPONSE"}
)
"""The model wrote something that cannot be used."""

NO_ANSWER = frozenset({"OTHER", "LANGUAGE", "IMAGE_OTHER", "NO_IMAGE", "MISSING_THOUGHT_SIGNATURE"})
"""The provider gave up without saying more."""

MINTED = "gcall_"
"""Prefix of tool call ids that this codec makes where Gemini gave none. They are taken off again on the way
back to Gemini, so a conversation returns as it came without any table of ids being kept."""

END_MARK = b"[DONE]"
"""Ends the streams of some compatible hosts; never of Google's."""

NO_RAW = Raw()

UNREADABLE = (ValueError, RecursionError)
"""What reading JSON raises: malformed, of another shape, not UTF-8, too deep."""


class FunctionCall(Struct, frozen=True):
    """A `functionCall` as an answer carries it."""

    name: str = ""
    args: Raw = NO_RAW
    id: str | None = None


class Blob(Struct, frozen=True, rename="camel"):
    """Inline media."""

    mime_type: str | None = None
    data: str = ""
    display_name: str | None = None


class Content(Struct, frozen=True):
    """Parts of one turn, each still field by field in its own bytes."""

    parts: list[dict[str, Raw]] = []


class PromptFeedback(Struct, frozen=True, rename="camel"):
    """Why a prompt got no answer."""

    block_reason: str | int | None = None
    block_reason_message: str | None = None


class ModalityCount(Struct, frozen=True, rename="camel"):
    """Tokens of one modality: a word, or its number (4 = `AUDIO`)."""

    modality: str | int = 0
    token_count: int = 0


class UsageMetadata(Struct, frozen=True, rename="camel"):
    """Counters of one answer; cumulative on a stream."""

    prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    total_token_count: int | None = None
    prompt_tokens_details: tuple[ModalityCount, ...] = ()
    cache_tokens_details: tuple[ModalityCount, ...] = ()
    candidates_tokens_details: tuple[ModalityCount, ...] = ()
    tool_use_prompt_tokens_details: tuple[ModalityCount, ...] = ()


class Frame(Struct, frozen=True, rename="camel"):
    """A GenerateContentResponse: a whole answer, or one frame of a stream."""

    candidates: list[dict[str, Raw]] | None = None
    usage_metadata: Raw = NO_RAW
    model_version: str = ""
    response_id: str = ""
    create_time: str | None = None
    prompt_feedback: PromptFeedback | None = None
    error: Raw = NO_RAW


class Finished(NamedTuple):
    """How a candidate ended."""

    reason: FinishReason
    native: str | None


read_frame = Decoder(Frame).decode
read_content = Decoder(Content).decode
read_call = Decoder(FunctionCall).decode
read_blob = Decoder(Blob).decode
read_usage = Decoder(UsageMetadata).decode
read_str = Decoder(str).decode
read_int = Decoder(int).decode
read_word = Decoder(str | int).decode
read_json = Decoder(Json).decode
write = msgspec.json.Encoder().encode


def finish_word(raw: str | int | None) -> str | None:
    """Return a finish reason as its word, whether it came as word or as number."""
    if not isinstance(raw, int):
        return raw
    return FINISH_NUMBERS[raw] if 0 <= raw < len(FINISH_NUMBERS) else str(raw)


def finished(word: str | None, *, n_calls: int) -> Finished:
    """Translate the word of a natural or filtered end; words of an error are for `errors.of_finish`."""
    if word == "MAX_TOKENS":
        return Finished("length", word)
    if word in FILTERED:
        return Finished("content_filter", word)
    return Finished("tool_calls" if n_calls else "stop", word)


def usage_of(raw: Raw) -> Usage | None:
    """Read the counters of an answer; None where it has none.

    Zero counters are left out by the provider: once the prompt is counted, a missing candidates counter is 0.
    """
    if not bytes(raw):
        return None
    counted = read_usage(raw)
    prompt, cached = counted.prompt_token_count, counted.cached_content_token_count
    out = counted.candidates_token_count
    if prompt is None and out is None and counted.thoughts_token_count is None:
        return None
    audio_in = audio_out = image_out = None
    total_in = None if prompt is None else prompt + (counted.tool_use_prompt_token_count or 0) - (cached or 0)
    if counted.prompt_tokens_details and total_in is not None:
        heard = _audio(counted.prompt_tokens_details) + _audio(counted.tool_use_prompt_tokens_details)
        heard -= _audio(counted.cache_tokens_details)
        audio_in = max(0, min(heard, total_in)) or None
        total_in -= audio_in or 0
    if out is None and prompt is not None:
        out = 0
    if counted.candidates_tokens_details and out:
        audio_out = min(_audio(counted.candidates_tokens_details), out) or None
        out -= audio_out or 0
        image_out = min(_drawn(counted.candidates_tokens_details), out) or None
        out -= image_out or 0
    return Usage(
        input_uncached=total_in,
        cache_read=cached,
        output_text=out,
        reasoning=counted.thoughts_token_count,
        audio_in=audio_in,
        audio_out=audio_out,
        image_out=image_out,
    )


def _drawn(counts: tuple[ModalityCount, ...]) -> int:
    return sum(count.token_count for count in counts if count.modality in {"IMAGE", 2})


def _audio(counts: tuple[ModalityCount, ...]) -> int:
    n_tokens = 0
    for count in counts:
        if count.modality in {"AUDIO", 4}:
            n_tokens += count.token_count
    return n_tokens


def usage_metadata(usage: Usage) -> JsonObject:
    """Write counters as Gemini names them; unknown ones are left out."""
    out: dict[str, Json] = {}
    if usage.input_uncached is not None or usage.n_input:
        out["promptTokenCount"] = usage.n_input
    if usage.cache_read:
        out["cachedContentTokenCount"] = usage.cache_read
    if usage.output_text is not None or usage.audio_out:
        drawn = usage.image_out or 0
        out["candidatesTokenCount"] = (usage.output_text or 0) + (usage.audio_out or 0) + drawn
    if usage.reasoning:
        out["thoughtsTokenCount"] = usage.reasoning
    if out:
        out["totalTokenCount"] = usage.n_input + usage.n_output
    if usage.audio_in:
        out["promptTokensDetails"] = _details(usage.n_input - usage.audio_in, usage.audio_in)
    if usage.audio_out:
        out["candidatesTokensDetails"] = _details(usage.output_text or 0, usage.audio_out)
    return out


def _details(text: int, audio: int) -> list[Json]:
    spoken: dict[str, Json] = {"modality": "AUDIO", "tokenCount": audio}
    return [{"modality": "TEXT", "tokenCount": text}, spoken] if text else [spoken]


def unix_seconds(create_time: str | None) -> int | None:
    """Read `createTime` (RFC 3339); None where it is missing or cannot be read."""
    if not create_time:
        return None
    try:
        return int(datetime.fromisoformat(create_time).timestamp())
    except ValueError:
        return None


def mint_id(seed: str) -> str:
    """Make a call id for a seed that is unique in its conversation; the same seed gives the same id."""
    return MINTED + blake2b(seed.encode(), digest_size=12).hexdigest()


def arguments_of(args: Raw) -> str:
    """Return a call's arguments as JSON text: the provider's own, without the white space between tokens."""
    text = bytes(args)
    if not text or text == b"null":
        return "{}"
    return msgspec.json.format(text, indent=-1).decode()
