"""Writes answers of any origin as a GenerateContentResponse. Floor 2."""

from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Raw

from turnout.codecs.base import Summary
from turnout.codecs.gemini.seal import sealed
from turnout.codecs.gemini.wire import FILTERED, MINTED, SIGNATURE, UNREADABLE, WIRE, usage_metadata, write
from turnout.types.chat import (
    ChatRequest,
    ChatResponse,
    Choice,
    FinishReason,
    Media,
    Native,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from turnout.types.json import Json, JsonObject

FINISH_WORDS: dict[FinishReason, str] = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "error": "OTHER",
}
MALFORMED = "MALFORMED_FUNCTION_CALL"

PART_FIELDS = frozenset({SIGNATURE, "partMetadata", "videoMetadata", "mediaResolution"})
"""Fields of `Text.extra` that belong to the part; the others came from its candidate."""

_read_arguments = msgspec.json.Decoder(dict[str, Raw]).decode


def render(response: ChatResponse, request: ChatRequest, summary: Summary) -> bytes:
    """Write a complete answer."""
    own = response.wire == WIRE
    shows = shows_thoughts(request)
    body: dict[str, Json] = {
        "candidates": [
            _candidate(choice, index, own=own, shows=shows) for index, choice in enumerate(response.choices)
        ],
        "usageMetadata": usage_metadata(response.usage),
        "modelVersion": summary.model,
        "responseId": response.id or summary.request_id,
    }
    if own:
        body |= response.extra
    if summary.show:
        body["turnout"] = summary.told()
    return write(body)


def shows_thoughts(request: ChatRequest) -> bool:
    """Tell whether the client wants to see the text of thoughts."""
    return request.thinking is not None and request.thinking.include is True


def _candidate(choice: Choice, index: int, *, own: bool, shows: bool) -> JsonObject:
    parts, is_broken = parts_of(choice.parts, shows=shows)
    out: dict[str, Json] = {"content": {"parts": parts, "role": "model"}}
    is_broken = is_broken and choice.finish != "length"
    out["finishReason"] = MALFORMED if is_broken else finish_word(choice.finish, choice.native_finish)
    out["index"] = index
    if choice.logprobs is not None:
        out["logprobsResult"] = logprobs_result(choice.logprobs)
    if own:
        out |= choice.extra
    return out


def finish_word(reason: FinishReason, native: str | None) -> str:
    """Return the finish reason; a word of this format is kept if it means the same."""
    if native is not None and reason == "content_filter" and native in FILTERED:
        return native
    return FINISH_WORDS[reason]


def parts_of(parts: Iterable[Part], *, shows: bool) -> tuple[list[Json], bool]:
    """Write parts for a client. Returns them, and whether a call had to be left out as no call at all."""
    out: list[Json] = []
    is_broken = False
    for part in parts:
        written = part_of(part, shows=shows)
        if written is not None:
            out.append(written)
        is_broken |= written is None and isinstance(part, ToolCall)
    return out, is_broken


def part_of(part: Part, *, shows: bool) -> JsonObject | None:
    """Write one part; None where the format has none for it, or a call's arguments are no object."""
    match part:
        case Text():
            own = {name: value for name, value in part.extra.items() if name in PART_FIELDS}
            return {"text": part.text, **own}
        case Refusal():
            return {"text": part.text}
        case ToolCall():
            return _call(part)
        case Reasoning():
            return thought_of(part, shown=part.text if shows or part.wire == WIRE else "")
        case Media():
            return _media(part)
        case Native():
            return part.value if part.wire == WIRE else None
        case ToolResult():
            return None


def thought_of(part: Reasoning, *, shown: str) -> JsonObject | None:
    """Write a thought: Google's own as it came, another provider's sealed; `shown` is what can be read."""
    out: dict[str, Json] = {"text": shown, "thought": True}
    if part.wire == WIRE:
        if part.signature is not None:
            out[SIGNATURE] = part.signature
        return {**out, **part.extra}
    if part.signature is not None or part.redacted is not None:
        out[SIGNATURE] = sealed(part)
    return out if shown or SIGNATURE in out else None


def _call(part: ToolCall) -> JsonObject | None:
    text = part.arguments.strip() or "{}"
    try:
        _read_arguments(text)
    except UNREADABLE:
        if part.kind != "custom":
            return None
        text = write({"input": part.arguments}).decode()
    # Line ends of the model's own layout would end the frame; inside JSON texts there are none.
    line = text.replace("\n", " ").replace("\r", " ")
    call: dict[str, Json] = {"name": part.name, "args": Raw(line.encode())}
    if part.id and not part.id.startswith(MINTED):
        call["id"] = part.id
    return {"functionCall": call, **({SIGNATURE: part.signature} if part.signature else {})}


def _media(part: Media) -> JsonObject | None:
    own = {name: value for name, value in part.extra.items() if name in PART_FIELDS}
    mime: dict[str, Json] = {} if part.mime is None else {"mimeType": part.mime}
    if part.data is not None:
        return {"inlineData": {**mime, "data": part.data}, **own}
    if part.text is not None:
        return {"text": part.text, **own}
    if part.url is not None:
        return {"fileData": {**mime, "fileUri": part.url}, **own}
    return None


def logprobs_result(logprobs: Json) -> JsonObject:
    """Write log probabilities of another dialect's form, `{"content": [{token, logprob, top_logprobs}]}`."""
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    tokens = [each for each in content if isinstance(each, Mapping)] if isinstance(content, list) else []
    top: list[Json] = []
    for token in tokens:
        ranked = token.get("top_logprobs")
        found = [each for each in ranked if isinstance(each, Mapping)] if isinstance(ranked, list) else []
        top.append({"candidates": [_token(each) for each in found]})
    return {"chosenCandidates": [_token(token) for token in tokens], "topCandidates": top}


def _token(token: JsonObject) -> JsonObject:
    return {"token": token.get("token"), "logProbability": token.get("logprob")}
