"""Words, counters and names of Bedrock's Converse format. Floor 2.

Sources: Converse, ConverseStream, InvokeModel and "Structured outputs" in the Bedrock API reference and
user guide (docs.aws.amazon.com, seen 2026-11), checked against recorded traffic.
"""

import re
from collections.abc import Mapping
from hashlib import blake2b

import msgspec

from turnout.types.chat import FinishReason
from turnout.types.json import Json, JsonObject
from turnout.types.usage import Usage

WIRE = "bedrock"
TYPE = (b"content-type", b"application/json")
FINISHES: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
WORDS: Mapping[FinishReason, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "content_filtered",
    "error": "malformed_model_output",
}
MALFORMED = frozenset({"malformed_model_output", "malformed_tool_use"})
UNKNOWN_KEYWORDS = frozenset(
    {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"}
    | {
        "minItems",
        "maxItems",
        "uniqueItems",
        "contains",
        "minProperties",
        "maxProperties",
        "patternProperties",
    }
)
"""JSON Schema that structured output refuses."""
FORMATS: Mapping[str, str] = {
    "image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp",
    "application/pdf": "pdf", "text/csv": "csv", "application/msword": "doc", "text/html": "html",
    "text/plain": "txt", "text/markdown": "md", "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "video/mp4": "mp4", "video/quicktime": "mov", "video/x-matroska": "mkv", "video/webm": "webm",
    "video/x-flv": "flv", "video/mpeg": "mpeg", "video/x-ms-wmv": "wmv", "video/3gpp": "three_gp",
}  # fmt: skip
"""Media type -> the format's word for it."""
MIMES: Mapping[str, str] = {word: mime for mime, word in FORMATS.items()} | {"mpg": "video/mpeg"}
_GOOD_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")

write = msgspec.json.Encoder().encode
read = msgspec.json.Decoder().decode


def tool_id(given: str) -> str:
    """Return an id the API takes: the given one, or a stable stand-in."""
    if _GOOD_ID.fullmatch(given):
        return given
    return "tooluse_" + blake2b(given.encode(), digest_size=12).hexdigest()


def finish_of(word: str | None, *, has_calls: bool) -> FinishReason:
    """Return the reason for an upstream's word; calls and a natural stop are `tool_calls`."""
    reason = FINISHES.get(word or "", "stop")
    return "tool_calls" if has_calls and reason == "stop" else reason


def usage_of(raw: Json) -> Usage:
    """Read `usage`; `inputTokens` excludes what came from or went to the cache."""
    if not isinstance(raw, dict):
        return Usage()
    written = _count(raw, "cacheWriteInputTokens", "cacheWriteInputTokenCount")
    hour = _hour(raw.get("cacheDetails"), written)
    return Usage(
        input_uncached=_count(raw, "inputTokens"),
        cache_read=_count(raw, "cacheReadInputTokens", "cacheReadInputTokenCount"),
        cache_write_5m=None if written is None else written - (hour or 0),
        cache_write_1h=hour,
        output_text=_count(raw, "outputTokens"),
    )


def usage_object(usage: Usage) -> JsonObject:
    """Write `usage`."""
    written = (usage.cache_write_5m or 0) + (usage.cache_write_1h or 0)
    fresh = usage.n_input - (usage.cache_read or 0) - written  # sound and pictures included
    out: dict[str, Json] = {"inputTokens": fresh, "outputTokens": usage.n_output}
    if usage.cache_read is not None or written:
        out |= {"cacheReadInputTokens": usage.cache_read or 0, "cacheWriteInputTokens": written}
    return {**out, "totalTokens": usage.n_input + usage.n_output}


def _hour(details: Json, written: int | None) -> int | None:
    if not isinstance(details, list) or written is None:
        return None
    each = [item for item in details if isinstance(item, dict) and item.get("ttl") == "1h"]
    return min(written, sum(_count(item, "inputTokens") or 0 for item in each)) if each else None


def _count(raw: JsonObject, *names: str) -> int | None:
    found = next((raw[name] for name in names if name in raw), None)  # InvokeModel has names of its own
    return found if isinstance(found, int) and found >= 0 else None
