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

from turnout.codecs.openai_responses.parts import TEXT_KNOWN, WORDS, read_part
from turnout.codecs.openai_responses.seal import Sealed, is_sealed, summary_in, unseal
from turnout.codecs.openai_responses.wire import WIRE, objects, text_of, without
from turnout.codecs.plain import Answered, Called, Turn, Words
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
_PLAIN_MARK = frozenset({"id", "status"})
"""What an answer says of itself, and clients send back with it."""
_TEXTS = tuple(WORDS)
"""No set: what is looked for may be anything that JSON can say."""
_OUTPUT_KNOWN = frozenset({"type", "call_id", "output"})


def read_turns(tree: JsonObject) -> list[Turn]:
    """Read the turns of a request that was checked (scan.py)."""
    reader = _Reader()
    instructions, given = tree.get("instructions"), tree.get("input")
    if isinstance(instructions, str):
        reader.add(Words("system", instructions, mark={INSTRUCTIONS: True}))
    if isinstance(given, str):
        reader.add(Words("user", given))
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
        self._turns: list[Turn] = []
        self._role: Literal["assistant", "tool"] = "assistant"
        self._items: list[JsonObject] = []
        """Of one turn, which goes on."""
        self._tokens: Mapping[str, str] = {}

    def add(self, turn: Turn) -> None:
        """Take a turn that stands alone."""
        self._close()
        self._turns.append(turn)

    def read(self, items: Sequence[JsonObject]) -> None:
        """Take the items of a conversation."""
        self._tokens = _tokens(items)
        for item in items:
            kind = item.get("type")
            if kind == COMPACTION and (summary := summary_in(item)) is not None:
                self.add(Words("user", RECALLED + summary))
                continue
            given = text_of(item, "role") if kind is None or kind == "message" else "assistant"
            if given != "assistant":
                self.add(_told(item, _ROLES.get(given, "user")))
                continue
            role: Literal["assistant", "tool"] = "tool" if kind in OUTPUTS else "assistant"
            if role != self._role:
                self._close()
                self._role = role
            self._items.append(item)

    def done(self) -> list[Turn]:
        """Return the turns."""
        self._close()
        return self._turns

    def _close(self) -> None:
        items, self._items = self._items, []
        if not items:
            return
        turn: Turn | None
        if self._role == "tool":
            turn = _answered(items) or Message("tool", tuple([_result(item) for item in items]))
        else:
            turn = self._said(items) or self._mixed(items)
        if turn is not None:
            self._turns.append(turn)

    def _said(self, items: Sequence[JsonObject]) -> Words | Called | None:
        """Read what the model said, if it is one text, calls or both; None = it is more."""
        text, extra, calls = None, NOTHING, []
        for item in items:
            kind = item.get("type")
            if kind == "function_call" and _CALL_KNOWN.issuperset(item):
                call = _call(item, self._tokens)
                if call.signature is not None:
                    return None
                calls.append(call)
            elif text is not None or calls or (kind is not None and kind != "message"):
                return None
            else:
                text = _only_text(item.get("content"))
                mark = without(item, _MESSAGE_KNOWN)
                if text is None or not _PLAIN_MARK.issuperset(mark):
                    return None
                extra = {ITEM: mark}
        if not calls:
            return None if text is None else Words("assistant", text, extra)
        return None if text == "" else Called(text or "", calls, extra)

    def _mixed(self, items: Sequence[JsonObject]) -> Message | None:
        parts: list[Part] = []
        for item in items:
            parts += _said(item, self._tokens)
        return Message("assistant", tuple(parts)) if parts else None


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


def _answered(items: Sequence[JsonObject]) -> Answered | None:
    """Read the answer of one tool in words; None = there are more, or there is more to it."""
    item = items[0]
    output = item.get("output")
    if len(items) > 1 or not isinstance(output, str) or item.get("type") == CUSTOM_OUTPUT:
        return None
    return Answered("tool", text_of(item, "call_id"), output) if _OUTPUT_KNOWN.issuperset(item) else None


def _told(item: JsonObject, role: Role) -> Words | Message:
    content = item.get("content")
    extra = NOTHING if _MESSAGE_KNOWN.issuperset(item) else without(item, _MESSAGE_KNOWN)
    if not extra and role != "tool":
        text = _only_text(content)
        if text is not None:
            return Words(role, text)
    if isinstance(content, str):
        return Message(role, (Text(content),), extra=extra)
    return Message(role, tuple([read_part(part) for part in objects(content)]), extra=extra)


def _only_text(content: Json) -> str | None:
    """Return the words of content that is nothing but one text; None = it is more."""
    if isinstance(content, list) and len(content) == 1:
        only = content[0]
        if not isinstance(only, dict) or only.get("type") not in _TEXTS or only.get("annotations"):
            return None
        content = only.get("text") if TEXT_KNOWN.issuperset(only) else None
    return content if isinstance(content, str) else None


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
