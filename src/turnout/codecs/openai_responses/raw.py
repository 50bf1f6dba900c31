"""Recorded responses read with plain JSON look-ups: what our decoder is compared with. Floor 2."""

import json

from turnout.codecs.failures import as_object, objects_in, text_in
from turnout.codecs.gather import Speech
from turnout.types.chat import NOTHING
from turnout.types.json import Json, JsonObject

_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}


class RawAnswer(Speech):
    """A complete answer or a whole stream, put together; `finish` is what a client should be told."""

    usage: JsonObject = NOTHING
    error: Json = None
    ended: bool = True


def read_complete(tree: JsonObject) -> RawAnswer:
    """Read a response object."""
    answer = RawAnswer(calls=[], usage=as_object(tree.get("usage")), error=tree.get("error"))
    thoughts = []
    for item in objects_in(tree.get("output")):
        kind = text_in(item, "type")
        if kind == "message":
            for part in objects_in(item.get("content")):
                answer.text += text_in(part, "text")
                answer.refusal += text_in(part, "refusal")
        elif kind == "reasoning":
            said = [text_in(part, "text") for part in objects_in(item.get("summary"))]
            meant = [text_in(part, "text") for part in objects_in(item.get("content"))]
            thoughts.append("\n\n".join(said if any(said) else meant))
        elif kind in _CALLS:
            answer.calls.append(
                [text_in(item, "call_id"), text_in(item, "name"), text_in(item, _CALLS[kind])]
            )
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
    reason = text_in(as_object(tree.get("incomplete_details")), "reason")
    if tree.get("status") == "incomplete" and reason in ("max_output_tokens", "content_filter"):
        return "length" if reason == "max_output_tokens" else reason
    if answer.calls:
        return "tool_calls"
    return "content_filter" if answer.refusal else "stop"
