"""Words, counters and citations of Cohere's v2 format. Floor 2.

Sources: Cohere API reference "Chat v2", "Embed v2", "Errors", "Structured outputs" (docs.cohere.com, seen
2026-11), checked against recorded traffic.
"""

from collections.abc import Mapping

import msgspec

from turnout.errors import (
    ContextLengthExceeded,
    ProviderAuth,
    ProviderFailed,
    ProviderModelUnavailable,
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderRejected,
    TimeoutTtft,
    TurnoutError,
)
from turnout.types.chat import Effort, FinishReason
from turnout.types.json import Json, JsonObject
from turnout.types.usage import Usage

WIRE = "cohere"
PLAN = "tool_plan"
"""Id of a `Reasoning` that is the plan in front of tool calls, not a thinking block."""
DOCUMENT = "cohere_document"
"""Member of the `extra` of a part that was read from a document: the document as it came."""
TYPE = (b"content-type", b"application/json")

BUDGETS: Mapping[Effort, int] = {
    "minimal": 512, "low": 1024, "medium": 4096, "high": 16_384, "xhigh": 32_768,
}  # fmt: skip
"""WIRE.md 12.3."""
UNKNOWN_KEYWORDS = frozenset(
    {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength"}
    | {"minItems", "maxItems", "uniqueItems", "contains", "minContains", "maxContains", "prefixItems"}
    | {"minProperties", "maxProperties", "patternProperties", "propertyNames", "dependentSchemas", "not"}
)
"""JSON Schema that structured output refuses ("Structured outputs", unsupported features)."""
ERRORS: Mapping[str, type[TurnoutError]] = {
    "TOO_MANY_TOKENS": ContextLengthExceeded,
    "INVALID_TOKEN": ProviderAuth,
    "NOT_FOUND": ProviderModelUnavailable,
    "RATE_LIMIT": ProviderRateLimited,
    "TOO_MANY_REQUESTS": ProviderRateLimited,
    "OVERLOADED": ProviderOverloaded,
    "TIMEOUT": TimeoutTtft,
    "ERROR": ProviderFailed,
    "BAD_REQUEST": ProviderRejected,
}
"""`error_type` of an error body, and the finish reasons that are failures."""
FINISHES: Mapping[str, FinishReason] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "ERROR_LIMIT": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR_TOXIC": "content_filter",
}
WORDS: Mapping[FinishReason, str] = {
    "stop": "COMPLETE",
    "length": "MAX_TOKENS",
    "tool_calls": "TOOL_CALL",
    "content_filter": "ERROR_TOXIC",
    "error": "ERROR",
}
FAILED = frozenset({"ERROR", "TIMEOUT"})

write = msgspec.json.Encoder().encode


def finish_of(word: str | None, *, has_calls: bool) -> FinishReason:
    """Return the reason for an upstream's word; calls and a natural stop are `tool_calls`."""
    reason = FINISHES.get(word or "", "stop")
    return "tool_calls" if has_calls and reason == "stop" else reason


def usage_of(raw: Json) -> Usage:
    """Read `usage` (or `meta`): by billed units, which is what is charged; by tokens where they are missing.

    `tokens` counts a preamble of the provider's own and cached text that are not billed (WIRE.md 12.4), so it
    cannot be priced; it stays in the answer's `extra`.
    """
    if not isinstance(raw, dict):
        return Usage()
    billed, tokens = _object(raw, "billed_units"), _object(raw, "tokens")
    made = _count(billed, "output_tokens")
    made = _count(tokens, "output_tokens") if made is None else made
    thought = _count(tokens, "reasoning_tokens")
    thought = min(thought, made) if thought is not None and made is not None else None
    asked = _count(billed, "input_tokens")
    return Usage(
        input_uncached=_count(tokens, "input_tokens") if asked is None else asked,
        output_text=None if made is None else made - (thought or 0),
        reasoning=thought,
        search_units=_count(billed, "search_units"),
    )


def annotations_of(citations: list[Json]) -> list[Json]:
    """Return citations in the form OpenAI clients read: an address where the source has one, else its id."""
    notes: list[Json] = []
    for each in citations:
        if not isinstance(each, dict):
            continue
        sources = each.get("sources")
        known = sources if isinstance(sources, list) else []
        notes += [_annotation(each, source) for source in known if isinstance(source, dict)]
    return notes


def _annotation(citation: JsonObject, source: JsonObject) -> JsonObject:
    said = _object(source, "document") or _object(source, "tool_output")
    span: dict[str, Json] = {"start_index": citation.get("start"), "end_index": citation.get("end")}
    title, url = said.get("title"), said.get("url")
    if isinstance(url, str):
        return {"type": "url_citation", "url_citation": {**span, "title": title or "", "url": url}}
    return {
        "type": "file_citation",
        "file_citation": {**span, "file_id": source.get("id"), "filename": title or ""},
    }


def _object(raw: JsonObject, name: str) -> JsonObject:
    found = raw.get(name)
    return found if isinstance(found, dict) else {}


def _count(raw: JsonObject, name: str) -> int | None:
    found = raw.get(name)
    # Counts come as floats from some of the provider's own tools.
    return int(found) if isinstance(found, int | float) and found >= 0 else None


def words_of(data: Json) -> str:
    """Return what a document in a tool's answer says: its text alone, else all its members as JSON."""
    if isinstance(data, str) or not isinstance(data, dict):
        return data if isinstance(data, str) else ""
    text = data.get("text")
    return text if isinstance(text, str) and len(data) == 1 else write(data).decode()
