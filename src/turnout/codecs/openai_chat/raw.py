"""What a recorded chat completion says, read with plain look-ups and nothing of the codec. Floor 2.

The other side of `verify`: deliberately naive, so that a mistake of the decoder is not made twice.
"""

import json

from msgspec import Struct

from turnout.codecs.failures import as_object, objects_in, text_in
from turnout.codecs.gather import Speech
from turnout.types.json import Json, JsonObject

_LENGTH = ("length", "max_tokens", "model_length")


class RawChoice(Speech):
    """One answer, put together."""

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
    answer = RawAnswer(usage=as_object(tree.get("usage")), error=tree.get("error"))
    for at, choice in enumerate(objects_in(tree.get("choices"))):
        message = as_object(choice.get("message"))
        made = answer.choices[at] = RawChoice(finish=text_in(choice, "finish_reason") or "")
        _add(made, message)
        made.calls = [_call(call) for call in objects_in(message.get("tool_calls"))]
        if text_in(as_object(message.get("function_call")), "name"):
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
    usage = as_object(chunk.get("usage")) or as_object(as_object(chunk.get("x_groq")).get("usage"))
    answer.usage = usage or answer.usage
    answer.error = answer.error or chunk.get("error")
    if chunk.get("error"):
        return
    for choice in objects_in(chunk.get("choices")):
        at = choice.get("index")
        made = answer.choices.setdefault(at if isinstance(at, int) else 0, RawChoice())
        delta = as_object(choice.get("delta"))
        _add(made, delta)
        for call in objects_in(delta.get("tool_calls")):
            _add_call(made, call)
        finish = choice.get("finish_reason")
        made.finish = finish if isinstance(finish, str) else made.finish


def _add(made: RawChoice, said: JsonObject) -> None:
    content = said.get("content")
    if isinstance(content, str):
        made.text += content
    for part in objects_in(content):
        made.text += text_in(part, "text")
        made.reasoning += "".join(text_in(piece, "text") for piece in objects_in(part.get("thinking")))
    made.refusal += text_in(said, "refusal")
    details = [
        text_in(detail, "text") or text_in(detail, "summary")
        for detail in objects_in(said.get("reasoning_details"))
    ]
    made.reasoning += (
        "".join(details) if details else text_in(said, "reasoning_content") or text_in(said, "reasoning")
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
    said = as_object(call.get("function")) or as_object(call.get("custom"))
    arguments = said.get("arguments", said.get("input"))
    written = arguments if isinstance(arguments, str) else "" if arguments is None else json.dumps(arguments)
    return [text_in(call, "id"), text_in(said, "name"), written]
