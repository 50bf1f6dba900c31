"""Turns of an OpenAI conversation read into ours. Floor 2.

What only this format can say stays in `extra` of the turn: on the way back to an upstream of the same
format it is written as it came, elsewhere it is left out.
"""

from collections.abc import Sequence
from typing import Literal

from turnout.codecs.openai_chat.media import read_part
from turnout.codecs.openai_chat.reasoning import FIELDS as REASONING_FIELDS
from turnout.codecs.openai_chat.reasoning import read_reasoning, read_signature, thinking_text
from turnout.codecs.openai_chat.wire import WIRE, MessageIn, PartIn, ToolCallIn
from turnout.codecs.plain import Answered, Called, Turn, Words
from turnout.types.chat import (
    NOTHING,
    Media,
    Message,
    Native,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from turnout.types.json import Json, JsonObject

LEGACY = "legacy"
"""Mark in the `extra` of calls and tools that came as `function_call` and `functions`."""

_KNOWN = frozenset(MessageIn.__struct_fields__) - REASONING_FIELDS
_CALL_KNOWN = frozenset({"id", "type", "function", "custom"})


def read_turns(messages: Sequence[MessageIn], raw: Json) -> list[Turn]:
    """Read all turns; `raw` is the same list as it came."""
    assert isinstance(raw, list)
    open_calls: dict[str, str] = {}
    found: list[Turn] = []
    for message, tree in zip(messages, raw, strict=True):
        content, role, n_fields = message.content, message.role, len(tree)
        if content is not None and not isinstance(content, str):
            content = _only_text(content, tree)
        if content is not None:  # nearly all there is: a role and words, an answer with its call
            if n_fields == 2 and role != "tool" and role != "function":  # noqa: PLR1714  # tells the type
                found.append(Words(role, content))
                continue
            if role == "tool" and message.tool_call_id and n_fields == 3 + (message.name is not None):
                found.append(Answered("tool", message.tool_call_id, content, message.name))
                continue
        if role == "assistant" and message.tool_calls and n_fields == 2 + ("content" in tree):
            calls = _plain_calls(message.tool_calls, tree["tool_calls"])
            if calls is not None and (message.content is None or content is not None):
                found.append(Called(content or "", calls))
                continue
        found.append(_message(message, tree, open_calls, len(found)))
    return found


def _only_text(content: Sequence[PartIn], tree: JsonObject) -> str | None:
    """Return the words of content that is nothing but one text; None = it is more."""
    trees = tree["content"]
    assert isinstance(trees, list)
    return content[0].text if len(trees) == 1 and content[0].type == "text" and len(trees[0]) == 2 else None


def _plain_calls(calls: Sequence[ToolCallIn], raw: Json) -> list[ToolCall] | None:
    """Read calls of functions; None = there is more to one of them."""
    assert isinstance(raw, list)
    found = []
    for call, tree in zip(calls, raw, strict=True):
        function = call.function
        if function is None or call.custom is not None or not _CALL_KNOWN.issuperset(tree):
            return None
        found.append(ToolCall(id=call.id, name=function.name, arguments=function.arguments or ""))
    return found


def _message(message: MessageIn, tree: JsonObject, open_calls: dict[str, str], at: int) -> Message:
    extra = NOTHING if _KNOWN.issuperset(tree) else {k: v for k, v in tree.items() if k not in _KNOWN}
    role = message.role
    parts: tuple[Part, ...]
    if role == "assistant":
        parts = (*_spoken(message, tree), *_calls(message, tree, open_calls, at))
    elif role == "tool" or role == "function":  # noqa: PLR1714  # tells the type of the rest
        call_id = message.tool_call_id or open_calls.get(message.name or "", "")
        return Message("tool", (_result(message, tree, call_id),), None, extra)
    else:
        parts = _content(message.content, tree)
    return Message(role, parts, message.name, extra)


def _content(
    content: str | list[PartIn] | None, raw: JsonObject
) -> tuple[Text | Media | Refusal | Native, ...]:
    if isinstance(content, str):
        return (Text(content),)
    trees = raw.get("content")
    if content is None or not isinstance(trees, list):
        return ()
    return tuple([read_part(part, tree) for part, tree in zip(content, trees, strict=True)])


def _spoken(message: MessageIn, raw: JsonObject) -> list[Part]:
    parts: list[Part] = [] if REASONING_FIELDS.isdisjoint(raw) else [*read_reasoning(raw)]
    for part in _content(message.content, raw):
        if isinstance(part, Native) and part.value.get("type") == "thinking":
            parts.append(Reasoning(text=thinking_text(part.value), wire=WIRE, extra={"native": part.value}))
        elif not (isinstance(part, Text) and part.text == "" and message.tool_calls):
            parts.append(part)
    if message.refusal is not None:
        parts.append(Refusal(message.refusal))
    return parts


def _calls(message: MessageIn, raw: JsonObject, open_calls: dict[str, str], at: int) -> list[ToolCall]:
    calls = []
    if message.tool_calls:
        trees = raw["tool_calls"]
        assert isinstance(trees, list)
        calls = [_call(call, tree) for call, tree in zip(message.tool_calls, trees, strict=True)]
    if message.function_call is not None:
        # The old form has no ids; the turn's place makes one that is stable when the history is sent again.
        name = message.function_call.name
        open_calls[name] = f"call_{at}"
        calls.append(
            ToolCall(
                id=f"call_{at}",
                name=name,
                arguments=message.function_call.arguments or "",
                extra={LEGACY: True},
            )
        )
    return calls


def _call(call: ToolCallIn, raw: JsonObject) -> ToolCall:
    kind: Literal["function", "custom"] = "function"
    custom, function = call.custom, call.function
    if custom is not None:
        kind, name, arguments = "custom", custom.name, custom.input
    elif function is not None:
        name, arguments = function.name, function.arguments or ""
    else:
        name = arguments = ""
    if _CALL_KNOWN.issuperset(raw):
        return ToolCall(id=call.id, name=name, arguments=arguments, kind=kind)
    extra = {k: v for k, v in raw.items() if k not in _CALL_KNOWN}
    signature = read_signature(raw.get("extra_content"))
    return ToolCall(id=call.id, name=name, arguments=arguments, kind=kind, signature=signature, extra=extra)


def _result(message: MessageIn, raw: JsonObject, call_id: str) -> ToolResult:
    content = tuple([part for part in _content(message.content, raw) if not isinstance(part, Refusal)])
    extra = {LEGACY: True} if message.role == "function" else NOTHING
    return ToolResult(call_id=call_id, name=message.name, content=content, extra=extra)
