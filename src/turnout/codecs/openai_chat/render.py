"""Our answers written as chat completions for a client. Floor 2."""

from collections.abc import Mapping, Sequence

import msgspec

from turnout.codecs.base import Summary
from turnout.codecs.citations import annotations_of
from turnout.codecs.openai_chat.history import LEGACY
from turnout.codecs.openai_chat.ids import shown_id
from turnout.codecs.openai_chat.reasoning import write_details, write_signature
from turnout.codecs.openai_chat.usage import write_usage
from turnout.codecs.openai_chat.wire import WIRE
from turnout.types.chat import (
    ChatRequest,
    ChatResponse,
    Choice,
    Native,
    Part,
    Reasoning,
    Refusal,
    Text,
    Tool,
    ToolCall,
)
from turnout.types.json import Json
from turnout.types.usage import Usage

_encode = msgspec.json.Encoder().encode


def render(response: ChatResponse, request: ChatRequest, summary: Summary) -> bytes:
    """Write a complete answer."""
    style = Style.of(request)
    same = response.wire == WIRE
    body: dict[str, Json] = {
        "id": answer_id(summary),
        "object": "chat.completion",
        "created": summary.created,
        "model": summary.model,
        "choices": [
            _choice(_with_ids(choice, i, summary), i, style, same=same)
            for i, choice in enumerate(response.choices)
        ],
    }
    if response.usage != Usage():
        body["usage"] = write_usage(response.usage, summary.cost_usd if summary.show else None)
    if same:
        body = {**{k: v for k, v in response.extra.items() if k not in body}, **body}
    if summary.show:
        body["turnout"] = summary.told()
    return _encode(body)


class Style(msgspec.Struct, frozen=True):
    """How the client wants things said that have two spellings."""

    legacy: bool
    """It declared `functions`, so calls go back as `function_call`."""
    details: bool
    """It set `reasoning`, so it reads `reasoning` and `reasoning_details`."""
    reasoning: bool
    """It did not ask for reasoning to be left out."""

    @classmethod
    def of(cls, request: ChatRequest) -> "Style":
        """Read the wishes out of a request."""
        thinking = request.thinking
        tools = request.tools if request.facts.n_tools else ()
        return cls(
            legacy=any(isinstance(tool, Tool) and LEGACY in tool.extra for tool in tools),
            details=thinking is not None and "reasoning" in thinking.extra,
            reasoning=thinking is None or thinking.include is not False,
        )


def answer_id(summary: Summary) -> str:
    """Return the id of the answer: upstream ids stay in the log (WIRE.md 6)."""
    return "chatcmpl-" + summary.request_id.removeprefix("req_")


def write_call(call: ToolCall) -> dict[str, Json]:
    """Write one complete call; no arguments are an empty object (WIRE.md 2.8)."""
    if call.kind == "custom":
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    function: Json = {"name": call.name, "arguments": call.arguments or "{}"}
    return {"id": call.id, "type": "function", "function": function, **write_signature(call.signature)}


def write_reasoning(parts: Sequence[Reasoning], style: Style) -> dict[str, Json]:
    """Write the members that carry reasoning."""
    if not parts or not style.reasoning:
        return {}
    text = "".join(part.text for part in parts)
    members: dict[str, Json] = {"reasoning_content": text} if text else {}
    if style.details:
        members |= {"reasoning": text, "reasoning_details": write_details(parts)}
    return members


def _with_ids(choice: Choice, index: int, summary: Summary) -> Choice:
    if all(part.id for part in choice.parts if isinstance(part, ToolCall)):
        return choice
    answer = answer_id(summary)
    parts = tuple(
        msgspec.structs.replace(part, id=shown_id(part.id, answer, index, i))
        if isinstance(part, ToolCall)
        else part
        for i, part in enumerate(choice.parts)
    )
    return msgspec.structs.replace(choice, parts=parts)


def _choice(choice: Choice, index: int, style: Style, *, same: bool) -> Json:
    message = _message(choice.parts, style)
    extra: Mapping[str, Json] = choice.extra if same else {}
    inner = extra.get("message")
    if isinstance(inner, Mapping):
        message = {**message, **inner}
    finish = "function_call" if style.legacy and choice.finish == "tool_calls" else choice.finish
    return {
        **{key: value for key, value in extra.items() if key != "message"},
        "index": index,
        "message": message,
        "logprobs": choice.logprobs,
        "finish_reason": finish,
    }


def _message(parts: Sequence[Part], style: Style) -> dict[str, Json]:
    texts = [part for part in parts if isinstance(part, Text)]
    calls = [part for part in parts if isinstance(part, ToolCall)]
    refusals = [part.text for part in parts if isinstance(part, Refusal)]
    content = "".join(part.text for part in texts)
    message: dict[str, Json] = {
        "role": "assistant",
        "content": content if texts or not (calls or refusals) else None,
        "refusal": "".join(refusals) if refusals else None,
    }
    notes = [note for part in texts for note in annotations_of(part.extra)]
    if notes:
        message["annotations"] = notes
    message |= write_reasoning([part for part in parts if isinstance(part, Reasoning)], style)
    if calls and style.legacy:
        message["function_call"] = {"name": calls[0].name, "arguments": calls[0].arguments or "{}"}
    elif calls:
        message["tool_calls"] = [write_call(call) for call in calls]
    for part in parts:
        if isinstance(part, Native) and part.wire == WIRE:
            message |= part.value
    return message
