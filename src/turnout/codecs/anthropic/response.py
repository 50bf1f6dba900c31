"""Complete answers in the Anthropic format, read from an upstream and written for a client. Floor 2."""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from turnout.codecs.anthropic.blocks import read_content
from turnout.codecs.anthropic.errors import of_event, unreadable
from turnout.codecs.anthropic.wire import (
    WIRE,
    finished,
    sealed,
    stop_reason,
    string,
    usage_object,
    usage_of,
    without,
    write,
)
from turnout.codecs.base import Glance, Summary
from turnout.types.chat import (
    ChatResponse,
    Choice,
    Media,
    Native,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from turnout.types.http import HttpResponse
from turnout.types.json import Json, JsonObject

_OWN = frozenset(
    {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage", "turnout"}
)
_COUNTED = frozenset(
    {"input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"}
    | {"cache_creation", "output_tokens_details", "server_tool_use"}
)
_CITATIONS = frozenset(
    {"char_location", "page_location", "content_block_location"}
    | {"web_search_result_location", "search_result_location"}
)
_CALL = b'"tool_use"'
"""Stands, unescaped, in every answer with a call; inside a text its quotes would be escaped."""
_BRAND = frozenset({"turnout"})


class _Head(Struct, frozen=True):
    """Of an answer, only what the engine needs."""

    type: str = ""
    id: str | None = None
    model: str | None = None
    stop_reason: str | None = None
    usage: dict[str, Json] | None = None


_read = msgspec.json.Decoder(dict[str, Json]).decode
_read_head = msgspec.json.Decoder(_Head).decode


def decode(response: HttpResponse) -> ChatResponse:
    """Read a complete answer. Raises the class of an error inside a 200, or `ProviderBadResponse`."""
    tree = _tree(response.body)
    if tree.get("type") == "error":
        raise of_event(response.body)
    content, usage = tree.get("content"), tree.get("usage")
    if tree.get("type") != "message" or not isinstance(content, list):
        raise unreadable("it is not of type message, or has no content", response.body)
    parts = read_content(content)
    word, sequence = tree.get("stop_reason"), tree.get("stop_sequence")
    has_calls = any(isinstance(part, ToolCall) for part in parts)
    end = finished(word if isinstance(word, str) else None, has_calls=has_calls)
    extra = without(tree, _OWN)
    counters = usage if isinstance(usage, dict) else {}
    uncounted = without(counters, _COUNTED)
    if uncounted:
        extra["usage"] = uncounted
    choice = Choice(
        parts=parts,
        finish=end.reason,
        native_finish=end.native,
        stop_sequence=sequence if isinstance(sequence, str) else None,
    )
    return ChatResponse(
        id=string(tree, "id"),
        model=string(tree, "model"),
        choices=(choice,),
        usage=usage_of(counters),
        wire=WIRE,
        extra=extra,
    )


def glance(response: HttpResponse) -> Glance:
    """Read what the engine needs from an answer that passes through. Raises as `decode` does."""
    body = response.body
    try:
        head = _read_head(body)
    except (ValueError, RecursionError) as error:
        raise unreadable(str(error), body) from error
    if head.type == "error":
        raise of_event(body)
    if head.type != "message":
        raise unreadable("it is not of type message", body)
    end = finished(head.stop_reason, has_calls=_CALL in body)
    return Glance(
        usage=usage_of(head.usage or {}),
        finish=end.reason,
        upstream_id=head.id,
        model=head.model,
        body=unbranded(body),
    )


def unbranded(data: bytes) -> bytes:
    """Return one JSON object without a `turnout` member at its top or one level below (S-45)."""
    if b'"turnout"' not in data and b"\\u00" not in data:
        return data  # the member's name can be spelled only so, or with escapes of its letters
    tree = _tree(data)
    kept = {
        key: without(value, _BRAND) if isinstance(value, dict) else value
        for key, value in tree.items()
        if key not in _BRAND
    }
    return data if kept == tree else write(kept)


def render(response: ChatResponse, summary: Summary) -> bytes:
    """Write a complete answer of any origin."""
    choice = response.choices[0] if response.choices else Choice(parts=())
    is_native = response.wire == WIRE
    content = [block for part in choice.parts for block in block_of(part, native=is_native)]
    refused = any(isinstance(part, Refusal) for part in choice.parts)
    finish = "content_filter" if refused and choice.finish == "stop" else choice.finish
    usage = usage_object(response.usage)
    extra = dict(response.extra) if is_native else {}
    uncounted = extra.pop("usage", None)
    if isinstance(uncounted, dict):
        usage.update(uncounted)
    body: dict[str, Json] = {
        "id": message_id(response.id, summary),
        "type": "message",
        "role": "assistant",
        "model": summary.model,
        "content": content,
        "stop_reason": stop_reason(finish, choice.native_finish, choice.stop_sequence),
        "stop_sequence": choice.stop_sequence,
        **extra,
        "usage": usage,
    }
    if summary.show:
        body["turnout"] = summary.told()
    return write(body)


def message_id(upstream_id: str, summary: Summary) -> str:
    """Return the id of an answer: Anthropic's own, else one made of the request's."""
    if upstream_id.startswith("msg_"):
        return upstream_id
    return "msg_" + summary.request_id.removeprefix("req_")


def block_of(part: Part, *, native: bool) -> list[JsonObject]:
    """Write one part for an Anthropic client; none where the format has no block for it.

    Args:
        part: What the model answered.
        native: It came from an Anthropic upstream, so `extra` holds fields of this format.
    """
    match part:
        case Text():
            cited = citations_of(part.extra)
            rest = part.extra if native else {"citations": cited} if cited else {}
            return [{"type": "text", "text": part.text, **rest}] if part.text or cited else []
        case Refusal():
            return [{"type": "text", "text": part.text}]
        case ToolCall():
            return [_call(part, part.extra if native else {})]
        case Reasoning():
            return [thinking_block(part)]
        case Native():
            return [part.value] if part.wire == WIRE else []
        case Media() | ToolResult():
            return []


def thinking_block(thought: Reasoning) -> JsonObject:
    """Write reasoning: signed as it came, or sealed when another provider made it."""
    if thought.wire == WIRE and thought.redacted is not None:
        return {"type": "redacted_thinking", "data": thought.redacted}
    return {"type": "thinking", "thinking": thought.text, "signature": signature_of(thought)}


def signature_of(thought: Reasoning) -> str:
    """Return the signature under which a client keeps a thought for the next turn."""
    return thought.signature if thought.wire == WIRE and thought.signature else sealed(thought)


def citations_of(extra: Mapping[str, Json]) -> list[Json]:
    """Return the citations of a text, if they are in this format's own form."""
    cited = extra.get("citations")
    if not isinstance(cited, list):
        return []
    return [each for each in cited if isinstance(each, dict) and string(each, "type") in _CITATIONS]


def _call(call: ToolCall, extra: Mapping[str, Json]) -> JsonObject:
    given: Json
    try:
        given = _read(call.arguments.strip() or "{}")
    except (ValueError, RecursionError):
        given = {"arguments": call.arguments}
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": given, **extra}


def _tree(data: bytes) -> dict[str, Json]:
    try:
        return _read(data)
    except (ValueError, RecursionError) as error:
        raise unreadable(str(error), data) from error
