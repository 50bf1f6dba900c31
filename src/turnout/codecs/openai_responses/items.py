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
from typing import Literal, TypedDict, cast

from turnout.codecs.openai_responses.parts import TEXT_KNOWN, WORDS, read_part
from turnout.codecs.openai_responses.seal import Sealed, is_sealed, summary_in, unseal
from turnout.codecs.openai_responses.wire import WIRE, objects, text_of, without
from turnout.codecs.plain import Answered, Called, Turn, Words, message_of
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
_ROLES: Mapping[object, Literal["user", "assistant", "system", "developer"]] = {
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


def read_turns(tree: JsonObject, *, has_sealed: bool) -> list[Turn]:
    """Read the turns of a request that was checked (scan.py); `has_sealed`: some may hold sealed tokens."""
    instructions, given = tree.get("instructions"), tree.get("input")
    turns: list[Turn] = []
    if isinstance(instructions, str):
        turns.append(Words("system", instructions, mark={INSTRUCTIONS: True}))
    if isinstance(given, str):
        turns.append(Words("user", given))
    elif isinstance(given, list):
        _Reader(turns, _tokens(given) if has_sealed else {}).read(given)
    return turns


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


class _Named(TypedDict):
    """A call or an answer, where it was checked (scan.py)."""

    call_id: str
    name: str
    arguments: str


class _Reader:
    """Gathers items into turns."""

    def __init__(self, turns: list[Turn], tokens: Mapping[str, str]) -> None:
        self._turns = turns
        self._tokens = tokens
        self._run: Literal["", "assistant", "tool"] = ""
        """Whose turn the last one is, if the next item may still belong to it."""
        self._parts: list[Part] | None = None
        """Of that turn, where it is more than plain."""

    def read(self, items: Sequence[Json]) -> None:
        """Take the items of a conversation."""
        for item in items:
            assert isinstance(item, dict)
            if not self._plain(item):
                self._item(item)
        self._end("")

    def _plain(self, item: JsonObject) -> bool:
        """Take an item that holds no more than it must; False = it holds more, or belongs to what does."""
        kind, n_fields, run = item.get("type"), len(item), self._run
        if kind is None or kind == "message":
            role, content = item.get("role"), item.get("content")
            if n_fields > 2 + (kind is not None) or not isinstance(content, str):
                return False
            if role != "assistant":
                self._end("")
                self._turns.append(Words(_ROLES.get(role, "user"), content))
            elif run != "assistant":
                self._end("assistant")
                self._turns.append(Words("assistant", content, {ITEM: {}}))
            return role != "assistant" or run != "assistant"
        if kind == "function_call_output":
            output = item.get("output")
            if n_fields > 3 or run == "tool" or not isinstance(output, str):
                return False
            self._end("tool")
            self._turns.append(Answered("tool", cast("_Named", item)["call_id"], output))
            return True
        if kind != "function_call" or n_fields > 4 or self._tokens:
            return False
        named = cast("_Named", item)
        self._join(ToolCall(id=named["call_id"], name=named["name"], arguments=named["arguments"]))
        return True

    def _item(self, item: JsonObject) -> None:
        kind = item.get("type")
        if kind is None or kind == "message":
            role = item.get("role")
            if role == "assistant":
                self._speak(item)
            else:
                self._end("")
                self._turns.append(_told(item, _ROLES.get(role, "user")))
        elif kind == "function_call":
            call = _call(item, self._tokens)
            if call.signature is not None or not _PLAIN_MARK.issuperset(call.extra):
                self._more("assistant", [call])
            else:
                self._join(call)
        elif kind in OUTPUTS:
            self._more("tool", [_result(item)])
        elif kind == COMPACTION and (summary := summary_in(item)) is not None:
            self._end("")
            self._turns.append(Words("user", RECALLED + summary))
        else:
            self._more("assistant", _said(item, self._tokens))

    def _speak(self, item: JsonObject) -> None:
        text = None if self._run == "assistant" else _only_text(item.get("content"))
        mark = without(item, _MESSAGE_KNOWN)
        if text is None or not _PLAIN_MARK.issuperset(mark):
            self._more("assistant", _message(item))
            return
        self._end("assistant")
        self._turns.append(Words("assistant", text, {ITEM: mark}))

    def _join(self, call: ToolCall) -> None:
        """Take a plain call."""
        turns = self._turns
        if self._run != "assistant":
            self._end("assistant")
            turns.append(Called("", [call]))
            return
        last = turns[-1] if self._parts is None else None
        if isinstance(last, Words) and last.text:
            turns[-1] = Called(last.text, [call], last.extra)
        elif isinstance(last, Called) and isinstance(last.calls, list):
            last.calls.append(call)
        else:
            self._more("assistant", [call])

    def _more(self, role: Literal["assistant", "tool"], parts: Sequence[Part]) -> None:
        """Take what makes a turn more than plain."""
        if self._run != role:
            self._end(role)
            self._parts = []
        elif self._parts is None:
            self._parts = [*message_of(self._turns.pop()).parts]
        assert self._parts is not None
        self._parts += parts

    def _end(self, run: Literal["", "assistant", "tool"]) -> None:
        """Let the next item begin a turn."""
        if self._parts is not None and self._run:
            if self._parts:
                self._turns.append(Message(self._run, tuple(self._parts)))
            self._parts = None
        self._run = run


def _tokens(items: Sequence[Json]) -> Mapping[str, str]:
    """Return the tokens of tool calls that travelled as sealed items: call id -> token."""
    found: dict[str, str] = {}
    for item in items:
        if isinstance(item, dict) and "encrypted_content" in item:
            held = _sealed_token(item)
            if held is not None and held.call is not None and held.signature is not None:
                found[held.call] = held.signature
    return found


def _sealed_token(item: JsonObject) -> Sealed | None:
    encrypted = item.get("encrypted_content")
    return unseal(encrypted) if isinstance(encrypted, str) and is_sealed(encrypted) else None


def _told(item: JsonObject, role: Literal["user", "assistant", "system", "developer"]) -> Words | Message:
    content = item.get("content")
    extra = NOTHING if _MESSAGE_KNOWN.issuperset(item) else without(item, _MESSAGE_KNOWN)
    text = _only_text(content) if _PLAIN_MARK.issuperset(extra) else None
    if text is not None:
        return Words(role, text, mark=extra)
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
