"""Recorded responses read with plain JSON look-ups: what our decoder is compared with. Floor 2."""

import json
from collections.abc import Mapping

from msgspec import Struct

from turnout.types.json import Json, JsonObject

_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}


class RawAnswer(Struct):
    """A complete answer or a whole stream, put together."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: list[list[str]] = []
    """[id, name, arguments] each."""
    finish: str = ""
    """What a client should be told."""
    usage: JsonObject = {}
    error: Json = None
    ended: bool = True


def read_complete(tree: JsonObject) -> RawAnswer:
    """Read a response object."""
    answer = RawAnswer(calls=[], usage=_object(tree.get("usage")), error=tree.get("error"))
    thoughts = []
    for item in _objects(tree.get("output")):
        kind = _text(item, "type")
        if kind == "message":
            for part in _objects(item.get("content")):
                answer.text += _text(part, "text")
                answer.refusal += _text(part, "refusal")
        elif kind == "reasoning":
            said = [_text(part, "text") for part in _objects(item.get("summary"))]
            meant = [_text(part, "text") for part in _objects(item.get("content"))]
            thoughts.append("\n\n".join(said if any(said) else meant))
        elif kind in _CALLS:
            answer.calls.append([_text(item, "call_id"), _text(item, "name"), _text(item, _CALLS[kind])])
    answer.reasoning = "".join(thoughts)
    answer.finish = _told(tree, answer)
    return answer


def read_stream(body: bytes) -> RawAnswer:
    """Read a stream. Text is put together from its deltas, all else is read from the terminal response."""
    text, answer = "", RawAnswer(ended=False)
    for line in body.decode("utf-8", "replace").splitlines():
        data = line[5:].strip() if line.startswith("data:") else ""
        if not data or data == "[DONE]":
            continue
        event = json.loads(data)
        match event.get("type"):
            case "response.output_text.delta":
                text += event["delta"]
            case "response.completed" | "response.incomplete":
                answer = read_complete(event["response"])
            case "response.failed" | "error":
                answer.error = event
    answer.text = text or answer.text
    return answer


def _told(tree: JsonObject, answer: RawAnswer) -> str:
    reason = _text(_object(tree.get("incomplete_details")), "reason")
    if tree.get("status") == "incomplete" and reason in ("max_output_tokens", "content_filter"):
        return "length" if reason == "max_output_tokens" else reason
    if answer.calls:
        return "tool_calls"
    return "content_filter" if answer.refusal else "stop"


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, Mapping) else {}


def _objects(value: Json) -> list[JsonObject]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _text(value: JsonObject, key: str) -> str:
    found = value.get(key)
    return found if isinstance(found, str) else ""
