"""Our answers written as response objects for a client. Floor 2."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from turnout.codecs.base import Summary
from turnout.codecs.openai_responses.encode import write_format
from turnout.codecs.openai_responses.parts import write_text
from turnout.codecs.openai_responses.seal import seal, seal_call
from turnout.codecs.openai_responses.tools import write_choice, write_tools
from turnout.codecs.openai_responses.usage import write_usage
from turnout.codecs.openai_responses.wire import WIRE, objects, write
from turnout.types.chat import (
    ChatRequest,
    ChatResponse,
    FinishReason,
    Native,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
)
from turnout.types.json import Json
from turnout.types.usage import Usage

COMPLETED, INCOMPLETE = "completed", "incomplete"
_REASONS: Mapping[FinishReason, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}


class Names(Struct, frozen=True):
    """Ids of one answer and its items."""

    rest: str
    """What all have in common: the request's id."""
    given: str = ""
    """The upstream's id of the answer, where its own frames began it."""

    @classmethod
    def of(cls, summary: Summary) -> "Names":
        """Return the names of the answer to a request: upstream ids stay in the log (WIRE.md 6)."""
        return cls(summary.request_id.removeprefix("req_"))

    @property
    def answer(self) -> str:
        """Id of the answer."""
        return self.given or f"resp_{self.rest}"

    def item(self, kind: str, at: int) -> str:
        """Return the id of an item: `kind` is its prefix, `at` its place."""
        return f"{kind}_{self.rest}_{at}"

    def call(self, given: str, at: int) -> str:
        """Return the id a client sees for a call: the upstream's, or one made from the answer's."""
        return given or f"call_{self.rest}_{at}"


def render(response: ChatResponse, request: ChatRequest, summary: Summary) -> bytes:
    """Write a complete answer."""
    names = Names.of(summary)
    choice = response.choices[0] if response.choices else None
    parts = choice.parts if choice is not None else ()
    refused = any(isinstance(part, Refusal) for part in parts)
    body = echo(request, summary, names)
    body |= ending(choice.finish if choice is not None else "stop", refused=refused)
    body["output"] = write_output(parts, names, choice.logprobs if choice is not None else None)
    if response.usage != Usage():
        body["usage"] = write_usage(response.usage)
    if response.wire == WIRE:
        body |= {key: value for key, value in response.extra.items() if body.get(key) is None}
    if summary.show:
        body["turnout"] = summary.told()
    return write(body)


def echo(request: ChatRequest, summary: Summary, names: Names) -> dict[str, Json]:
    """Return a response object that holds what is known before the model says anything."""
    own = {**request.kept, **request.extra} if request.wire == WIRE else {}
    shape, thinking = request.output_format, request.thinking
    text: dict[str, Json] = {"format": {"type": "text"} if shape is None else write_format(shape, same=True)}
    said = own.get("text")
    choice = request.tool_choice
    return {
        "id": names.answer,
        "object": "response",
        "created_at": summary.created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": _instructions(request),
        "max_output_tokens": request.max_tokens,
        "max_tool_calls": own.get("max_tool_calls"),
        "model": summary.model,
        "output": [],
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "previous_response_id": own.get("previous_response_id"),
        "reasoning": {
            "effort": None if thinking is None else thinking.effort,
            "summary": None if thinking is None else thinking.summary,
        },
        "service_tier": own.get("service_tier"),
        "store": own.get("store") is not False,
        "temperature": request.temperature,
        "text": {**text, **said} if isinstance(said, Mapping) else text,
        "tool_choice": own.get(
            "tool_choice", "auto" if choice is None else write_choice(choice, request.tools)
        ),
        "tools": write_tools(request.tools, same=True),
        "top_logprobs": request.top_logprobs or 0,
        "top_p": request.top_p,
        "truncation": own.get("truncation", "disabled"),
        "usage": None,
        **_named(request, own),
        "metadata": own.get("metadata", {}),
    }


def _named(request: ChatRequest, own: Mapping[str, Json]) -> dict[str, Json]:
    """Return whom the request named. Left out where it named nobody: none may be null."""
    said: dict[str, Json] = {
        "prompt_cache_key": own.get("prompt_cache_key"),
        "safety_identifier": own.get("safety_identifier"),
        "user": request.user,
    }
    return {key: value for key, value in said.items() if value is not None}


def ending(finish: FinishReason, *, refused: bool) -> dict[str, Json]:
    """Return the members that tell how it ended. A refusal in words is an answer like any other."""
    reason = _REASONS.get(finish)
    if reason is None or (finish == "content_filter" and refused):
        return {"status": COMPLETED}
    return {"status": INCOMPLETE, "incomplete_details": {"reason": reason}}


def write_output(parts: Sequence[Part], names: Names, logprobs: Json = None) -> list[Json]:
    """Write the items of an answer."""
    out: list[Json] = []
    words: list[Json] = []
    n_calls = 0
    for part in parts:
        match part:
            case Text():
                tokens = objects(logprobs.get("content")) if isinstance(logprobs, Mapping) else []
                words.append({**write_text(part, same=False), "logprobs": [] if words else tokens})
                continue
            case Refusal():
                words.append({"type": "refusal", "refusal": part.text})
                continue
        _message(out, words, names)
        words = []
        match part:
            case Reasoning():
                out.append(write_reasoning(part, names.item("rs", len(out))))
            case ToolCall():
                call_id = names.call(part.id, n_calls)
                n_calls += 1
                if part.signature is not None:
                    out.append(token_item(call_id, part.signature, names.item("rs", len(out))))
                out.append(write_call(part, call_id, names.item("fc", len(out))))
            case Native() if part.wire == WIRE:
                out.append(part.value)
            case _:
                pass
    _message(out, words, names)
    return out


def write_call(call: ToolCall, call_id: str, item_id: str, status: str = COMPLETED) -> dict[str, Json]:
    """Write one complete call; no arguments are an empty object (WIRE.md 2.8)."""
    if call.kind == "custom":
        return {
            "id": item_id,
            "type": "custom_tool_call",
            "status": status,
            "call_id": call_id,
            "name": call.name,
            "input": call.arguments,
        }
    return {
        "id": item_id,
        "type": "function_call",
        "status": status,
        "call_id": call_id,
        "name": call.name,
        "arguments": call.arguments or ("{}" if status == COMPLETED else ""),
    }


def write_reasoning(thought: Reasoning, item_id: str) -> dict[str, Json]:
    """Write a thought; what its provider must see again travels in `encrypted_content`."""
    item: dict[str, Json] = {
        "id": thought.id if thought.wire == WIRE and thought.id else item_id,
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": thought.text}] if thought.text else [],
    }
    if thought.wire == WIRE:
        if thought.redacted is not None:
            item["encrypted_content"] = thought.redacted
    elif thought.signature is not None or thought.redacted is not None:
        item["encrypted_content"] = seal(thought)
    return item


def token_item(call_id: str, token: str, item_id: str) -> dict[str, Json]:
    """Write the item that carries the token of a call."""
    return {"id": item_id, "type": "reasoning", "summary": [], "encrypted_content": seal_call(call_id, token)}


def message_item(content: Sequence[Json], item_id: str, status: str = COMPLETED) -> dict[str, Json]:
    """Write a message of the model."""
    return {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": content}


def _instructions(request: ChatRequest) -> str | None:
    first = request.messages[0] if request.wire == WIRE and request.messages else None
    if first is None or "instructions" not in first.extra:
        return None
    return "".join(part.text for part in first.parts if isinstance(part, Text))


def _message(out: list[Json], words: list[Json], names: Names) -> None:
    if words:
        out.append(message_item(words, names.item("msg", len(out))))
