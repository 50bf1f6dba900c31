"""Items of a conversation read into our turns. Floor 2.

Theory of operation.

1. This format is flat: a thought, a message and a call of one turn are items side by side. What the model
   said between two turns of others becomes one assistant turn, and answers of tools that follow each other
   one tool turn, because every other format wants it so.
2. What only this format can say of an item stays in `extra` of its part; parts of one message share an
   `item`, by which they find together again when the turn is written in this format.
3. Reasoning of other providers comes back sealed (seal.py). It is opened here, and the token of a call is
   given back to its call, wherever its item stood.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from turnout.codecs.openai_responses.parts import read_part
from turnout.codecs.openai_responses.seal import Sealed, is_sealed, summary_in, unseal
from turnout.codecs.openai_responses.wire import WIRE, objects, text_of, without
from turnout.types.chat import (
    NOTHING,
    Media,
    Message,
    Native,
    Part,
    Reasoning,
    Refusal,
    Role,
    Text,
    ToolCall,
    ToolResult,
)
from turnout.types.json import Json, JsonObject

INSTRUCTIONS = "instructions"
"""Mark in the `extra` of the turn that came as `instructions`."""
ITEM = "item"
"""Member of a part's `extra`: what is known of the item it was part of."""
CUSTOM_OUTPUT = "custom_tool_call_output"
CALLS = frozenset({"function_call", "custom_tool_call"})
OUTPUTS = frozenset({"function_call_output", CUSTOM_OUTPUT})
COMPACTION = "compaction"
RECALLED = "What was said before, in short:\n\n"
"""Before a conversation that the gateway made short."""
_ROLES: Mapping[str, Role] = {
    "user": "user",
    "assistant": "assistant",
    "system": "system",
    "developer": "developer",
}
_MESSAGE_KNOWN = frozenset({"type", "role", "content"})
_CALL_KNOWN = frozenset({"type", "call_id", "name", "arguments", "input"})
_OUTPUT_KNOWN = frozenset({"type", "call_id", "output"})


def read_messages(tree: JsonObject) -> tuple[Message, ...]:
    """Read the turns of a request that was checked (scan.py)."""
    reader = _Reader()
    instructions, given = tree.get("instructions"), tree.get("input")
    if isinstance(instructions, str):
        reader.add(Message("system", (Text(instructions),), extra={INSTRUCTIONS: True}))
    if isinstance(given, str):
        reader.add(Message("user", (Text(given),)))
    else:
        reader.read(objects(given))
    return reader.done()


def read_output(items: Sequence[JsonObject]) -> tuple[Part, ...]:
    """Read the items of an answer."""
    parts: list[Part] = []
    for item in items:
        parts += _said(item, {})
    return tuple(parts)


def read_reasoning(item: JsonObject) -> Reasoning:
    """Read a thought that OpenAI made, or one that is sealed."""
    encrypted = item.get("encrypted_content")
    held = unseal(encrypted) if isinstance(encrypted, str) and is_sealed(encrypted) else None
    if held is not None:
        return Reasoning(
            text=held.text, signature=held.signature, redacted=held.redacted, id=held.id, wire=held.wire
        )
    return Reasoning(
        text=reasoning_text(item),
        redacted=encrypted if isinstance(encrypted, str) and encrypted and not is_sealed(encrypted) else None,
        id=text_of(item, "id") or None,
        wire="" if is_sealed(encrypted) else WIRE,
        extra={ITEM: item},
    )


def reasoning_text(item: JsonObject) -> str:
    """Return the words of a thought: its summary, or where it has none, the thought itself."""
    for field in ("summary", "content"):
        texts = [text_of(part, "text") for part in objects(item.get(field))]
        if any(texts):
            return "\n\n".join(texts)
    return ""


class _Reader:
    """Gathers items into turns."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._role: Literal["assistant", "tool"] | None = None
        self._parts: list[Part] = []

    def add(self, message: Message) -> None:
        """Take a turn that stands alone."""
        if self._role is not None:
            self._close()
        self._messages.append(message)

    def read(self, items: Sequence[JsonObject]) -> None:
        """Take the items of a conversation."""
        tokens = _tokens(items)
        for item in items:
            kind = item.get("type")
            if kind == COMPACTION and (summary := summary_in(item)) is not None:
                self.add(Message("user", (Text(RECALLED + summary),)))
                continue
            role = text_of(item, "role") if kind is None or kind == "message" else "assistant"
            if role != "assistant":
                self.add(_told(item, _ROLES.get(role, "user")))
            elif kind in OUTPUTS:
                self._more("tool", [_result(item)])
            elif kind in CALLS:
                self._more("assistant", [_call(item, tokens)])
            else:
                self._more("assistant", _said(item, tokens))

    def done(self) -> tuple[Message, ...]:
        """Return the turns."""
        self._close()
        return tuple(self._messages)

    def _more(self, role: Literal["assistant", "tool"], parts: Sequence[Part]) -> None:
        if role != self._role:
            self._close()
            self._role = role
        self._parts += parts

    def _close(self) -> None:
        if self._role is not None and self._parts:
            self._messages.append(Message(self._role, tuple(self._parts)))
        self._role, self._parts = None, []


def _tokens(items: Sequence[JsonObject]) -> dict[str, str]:
    """Return the tokens of tool calls that travelled as sealed items: call id -> token."""
    found: dict[str, str] = {}
    for item in items:
        if "encrypted_content" not in item:
            continue
        held = _sealed_token(item)
        if held is not None and held.call is not None and held.signature is not None:
            found[held.call] = held.signature
    return found


def _sealed_token(item: JsonObject) -> Sealed | None:
    encrypted = item.get("encrypted_content")
    return unseal(encrypted) if isinstance(encrypted, str) and is_sealed(encrypted) else None


def _told(item: JsonObject, role: Role) -> Message:
    content = item.get("content")
    extra = NOTHING if _MESSAGE_KNOWN.issuperset(item) else without(item, _MESSAGE_KNOWN)
    if isinstance(content, str):
        return Message(role, (Text(content),), extra=extra)
    return Message(role, tuple([read_part(part) for part in objects(content)]), extra=extra)


def _said(item: JsonObject, tokens: Mapping[str, str]) -> list[Part]:
    """Read an item of the model."""
    match text_of(item, "type"):
        case "" | "message":
            return _message(item)
        case "function_call" | "custom_tool_call":
            return [_call(item, tokens)]
        case "reasoning":
            held = _sealed_token(item)
            return [] if held is not None and held.call is not None else [read_reasoning(item)]
        case _:
            return [Native(WIRE, item)]


def _message(item: JsonObject) -> list[Part]:
    # A mark of its own for each item, also an empty one: parts with the same belong together.
    content, mark = item.get("content"), without(item, _MESSAGE_KNOWN)
    if isinstance(content, str):
        return [Text(content, {ITEM: mark})]
    parts: list[Part] = []
    for raw in objects(content):
        part = read_part(raw)
        if isinstance(part, Text):
            part = Text(part.text, {**part.extra, ITEM: mark})
        elif isinstance(part, Native):
            part = Native(WIRE, {"type": "message", "role": "assistant", **mark, "content": [raw]})
        parts.append(part)
    return parts


def _call(item: JsonObject, tokens: Mapping[str, str]) -> ToolCall:
    call_id = text_of(item, "call_id")
    custom = item.get("type") == "custom_tool_call"
    return ToolCall(
        id=call_id,
        name=text_of(item, "name"),
        arguments=text_of(item, "input" if custom else "arguments"),
        kind="custom" if custom else "function",
        signature=tokens.get(call_id),
        extra=NOTHING if _CALL_KNOWN.issuperset(item) else without(item, _CALL_KNOWN),
    )


def _result(item: JsonObject) -> ToolResult:
    output = item.get("output")
    content: tuple[Text | Media | Native, ...]
    if isinstance(output, str):
        content = (Text(output),)
    else:
        parts = (read_part(part) for part in objects(output))
        content = tuple(part for part in parts if not isinstance(part, Refusal))
    extra: dict[str, Json] = {} if _OUTPUT_KNOWN.issuperset(item) else without(item, _OUTPUT_KNOWN)
    if item.get("type") == CUSTOM_OUTPUT:
        extra["type"] = CUSTOM_OUTPUT
    return ToolResult(call_id=text_of(item, "call_id"), content=content, extra=extra or NOTHING)
