"""What a recorded chat completion says, read with plain look-ups and nothing of the codec. Floor 2.

The other side of `verify`: deliberately naive, so that a mistake of the decoder is not made twice.
"""

import json
from collections.abc import Mapping

from msgspec import Struct

from turnout.types.json import Json, JsonObject

_LENGTH = ("length", "max_tokens", "model_length")


class RawChoice(Struct):
    """One answer, put together."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: list[list[str]] = []
    """[id, name, arguments] each."""
    finish: str | None = None

    def told(self) -> str:
        """Return the finish reason a client should see."""
        if self.finish in _LENGTH:
            return "length"
        if self.finish in ("content_filter", "error"):
            return str(self.finish)
        return "tool_calls" if self.calls else "stop"


class RawAnswer(Struct):
    """A complete answer or a whole stream, put together."""

    choices: dict[int, RawChoice] = {}
    usage: JsonObject = {}
    error: Json = None
    ended: bool = True


def read_complete(tree: JsonObject) -> RawAnswer:
    """Read a non-streamed answer."""
    answer = RawAnswer(usage=_object(tree.get("usage")), error=tree.get("error"))
    for at, choice in enumerate(_objects(tree.get("choices"))):
        message = _object(choice.get("message"))
        made = answer.choices[at] = RawChoice(finish=_text(choice, "finish_reason") or "")
        _add(made, message)
        made.calls = [_call(call) for call in _objects(message.get("tool_calls"))]
        if _text(_object(message.get("function_call")), "name"):
            made.calls.append(_call({"function": message.get("function_call")}))
        answer.error = answer.error or choice.get("error")
    return answer


def read_stream(body: bytes) -> RawAnswer:
    """Read a stream: every `data:` line is one JSON document."""
    answer = RawAnswer(ended=False)
    for line in body.decode("utf-8", "replace").splitlines():
        data = line[5:].strip() if line.startswith("data:") else ""
        if data == "[DONE]":
            answer.ended = True
        elif data:
            _read_chunk(answer, json.loads(data))
    answer.ended = answer.ended or any(choice.finish is not None for choice in answer.choices.values())
    return answer


def _read_chunk(answer: RawAnswer, chunk: JsonObject) -> None:
    usage = _object(chunk.get("usage")) or _object(_object(chunk.get("x_groq")).get("usage"))
    answer.usage = usage or answer.usage
    answer.error = answer.error or chunk.get("error")
    if chunk.get("error"):
        return
    for choice in _objects(chunk.get("choices")):
        at = choice.get("index")
        made = answer.choices.setdefault(at if isinstance(at, int) else 0, RawChoice())
        delta = _object(choice.get("delta"))
        _add(made, delta)
        for call in _objects(delta.get("tool_calls")):
            _add_call(made, call)
        finish = choice.get("finish_reason")
        made.finish = finish if isinstance(finish, str) else made.finish


def _add(made: RawChoice, said: JsonObject) -> None:
    content = said.get("content")
    if isinstance(content, str):
        made.text += content
    for part in _objects(content):
        made.text += _text(part, "text")
        made.reasoning += "".join(_text(piece, "text") for piece in _objects(part.get("thinking")))
    made.refusal += _text(said, "refusal")
    details = [
        _text(detail, "text") or _text(detail, "summary")
        for detail in _objects(said.get("reasoning_details"))
    ]
    made.reasoning += (
        "".join(details) if details else _text(said, "reasoning_content") or _text(said, "reasoning")
    )


def _add_call(made: RawChoice, call: JsonObject) -> None:
    call_id, name, arguments = _call(call)
    last = made.calls[-1] if made.calls else None
    if call_id and not (last is not None and last[0] == call_id):
        made.calls.append([call_id, name, arguments])
        return
    # Fragments without an id belong to the call of their index; recordings number from 0.
    at = call.get("index")
    target = made.calls[at] if isinstance(at, int) and at < len(made.calls) else last
    if target is not None:
        target[2] += arguments


def _call(call: JsonObject) -> list[str]:
    said = _object(call.get("function")) or _object(call.get("custom"))
    arguments = said.get("arguments", said.get("input"))
    written = arguments if isinstance(arguments, str) else "" if arguments is None else json.dumps(arguments)
    return [_text(call, "id"), _text(said, "name"), written]


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, Mapping) else {}


def _objects(value: Json) -> list[JsonObject]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _text(value: JsonObject, key: str) -> str:
    found = value.get(key)
    return found if isinstance(found, str) else ""
