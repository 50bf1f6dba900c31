"""Our turns written as OpenAI messages. Floor 2.

A turn of another format may hold what OpenAI says in several messages: tool results become messages of
their own, before the words that came with them; pictures inside a result follow in a user message.
"""

from collections.abc import Iterable, Sequence

import msgspec

from turnout.codecs.openai_chat.history import LEGACY
from turnout.codecs.openai_chat.ids import CallIds
from turnout.codecs.openai_chat.media import write_part
from turnout.codecs.openai_chat.reasoning import FIELDS as REASONING_FIELDS
from turnout.codecs.openai_chat.reasoning import write_signature
from turnout.codecs.openai_chat.wire import WIRE
from turnout.codecs.plain import Answered, Called, Words, turns_of
from turnout.types.chat import Media, Message, Native, Reasoning, Refusal, Text, ToolCall, ToolResult
from turnout.types.json import Json

Word = Text | Media | Refusal | Native
"""What stands in `content`."""
_WORDS = (Text, Media, Refusal, Native)


class Turns:
    """Writes the turns of one request, in order."""

    def __init__(self, *, same: bool, reasoning_field: str) -> None:
        self.messages: list[Json] = []
        self.dropped: dict[str, None] = {}
        """Kinds of blocks that could not be said, in order of first mention."""
        self._same = same
        self._reasoning_field = reasoning_field
        self._ids = CallIds()

    def write(self, messages: Sequence[Message]) -> None:
        """Write a conversation."""
        written = self.messages
        for turn in messages if self._same else turns_of(messages):
            if isinstance(turn, Words):
                written.append({"role": turn.role, "content": turn.text})
            elif isinstance(turn, Called):
                calls = [self._plain_call(call) for call in turn.calls]
                written.append({"role": "assistant", "content": turn.text or None, "tool_calls": calls})
            elif isinstance(turn, Answered):
                call_id = turn.call_id or self._ids.of_answer("", turn.name)
                written.append({"role": "tool", "tool_call_id": call_id, "content": turn.text})
                if turn.words:
                    written.append({"role": "user", "content": turn.words})
            else:
                self.add(turn)

    def add(self, turn: Message) -> None:
        """Write one turn."""
        parts = turn.parts
        if len(parts) == 1:  # most turns are
            only = parts[0]
            if isinstance(only, Text):
                role = "user" if turn.role == "tool" else turn.role
                plain = not only.extra or not self._same
                self._add({"role": role, "content": only.text if plain else self._parts((only,))}, turn)
                return
            if isinstance(only, ToolResult) and turn.role != "assistant":
                leftover = self._result(self._ids.of_answer(only.call_id, only.name), only, turn)
                if leftover:
                    self._spoken(turn, leftover)
                return
        for part in parts:
            if isinstance(part, ToolResult):
                self._answered(turn)
                return
        if turn.role == "assistant":
            self._assistant(turn)
        else:
            self._spoken(turn, [])

    def _plain_call(self, call: ToolCall) -> Json:
        function = {"name": call.name, "arguments": call.arguments or "{}"}
        return {"id": self._ids.of_call(call), "type": "function", "function": function}

    def _answered(self, turn: Message) -> None:
        results = [
            (self._ids.of_answer(part.call_id, part.name), part)
            for part in turn.parts
            if isinstance(part, ToolResult)
        ]
        leftover: list[Json] = []
        # Answers go back in the order of the calls (WIRE.md 2.8).
        for call_id, result in sorted(results, key=lambda pair: self._ids.place(pair[0])):
            leftover += self._result(call_id, result, turn)
        if turn.role == "assistant":
            self._assistant(turn)
        elif len(results) < len(turn.parts) or leftover:
            self._spoken(turn, leftover)

    def _result(self, call_id: str, result: ToolResult, turn: Message) -> list[Json]:
        """Write one answer of a tool; return the parts that a tool message cannot hold."""
        if self._same:
            legacy = result.extra.get(LEGACY)
            head: dict[str, Json] = (
                {"role": "function"} if legacy else {"role": "tool", "tool_call_id": call_id}
            )
            if result.name is not None:
                head["name"] = result.name
            self.messages.append({**head, "content": self._words(result.content) or "", **turn.extra})
            return []
        self.messages.append({"role": "tool", "tool_call_id": call_id, "content": _answer(result)})
        leftover: list[Json] = []
        for part in result.content:
            if isinstance(part, Native):
                self._drop(part)
            elif isinstance(part, Media):
                leftover.append(write_part(part, same=False))
        return leftover

    def _spoken(self, turn: Message, leftover: list[Json]) -> None:
        words = [part for part in turn.parts if isinstance(part, _WORDS)]
        message: dict[str, Json] = {"role": "user" if turn.role == "tool" else turn.role}
        if leftover:
            message["content"] = [*leftover, *self._parts(words)]
        elif turn.role != "user" and not self._same:
            message["content"] = _text(words, "\n\n")
            for part in words:
                if isinstance(part, Native):
                    self._drop(part)
                elif isinstance(part, Media):
                    self.dropped[f"messages.{part.kind}"] = None
        else:
            message["content"] = self._words(words)
        self._add(message, turn)

    def _assistant(self, turn: Message) -> None:
        message: dict[str, Json] = {"role": "assistant", "content": None}
        words: list[Word] = []
        calls: list[ToolCall] = []
        thoughts: list[Reasoning] = []
        for part in turn.parts:
            match part:
                case Text() | Media() | Native():
                    words.append(part)
                case ToolCall():
                    calls.append(part)
                case Reasoning(extra={"native": dict() as native}) if self._same:
                    words.append(Native(WIRE, native))
                case Reasoning():
                    thoughts.append(part)
                case Refusal():
                    message["refusal"] = part.text
        if words:
            plain = not self._same and all(isinstance(part, Text) for part in words)
            message["content"] = _text(words, "") if plain else self._words(words)
        if thoughts:
            message |= self._thought(thoughts, turn)
        if calls:
            message |= self._called(calls)
        self._add(message, turn)

    def _add(self, message: dict[str, Json], turn: Message) -> None:
        if turn.name is not None:
            message["name"] = turn.name
        if self._same and turn.extra:
            message |= turn.extra
        self.messages.append(message)

    def _thought(self, thoughts: Sequence[Reasoning], turn: Message) -> dict[str, Json]:
        # Fields the client sent travel with the rest of `extra`; signatures never leave their wire.
        if self._same and not REASONING_FIELDS.isdisjoint(turn.extra):
            return {}
        text = "".join(part.text for part in thoughts if part.wire in (WIRE, ""))
        return {self._reasoning_field: text} if text else {}

    def _called(self, calls: Sequence[ToolCall]) -> dict[str, Json]:
        if self._same and any(call.extra.get(LEGACY) for call in calls):
            return {"function_call": {"name": calls[0].name, "arguments": calls[0].arguments}}
        return {"tool_calls": [_call(call, self._ids.of_call(call), same=self._same) for call in calls]}

    def _words(self, parts: Sequence[Word]) -> Json:
        match parts:
            case [Text(text=text, extra=extra)] if not extra or not self._same:
                return text
            case _:
                return self._parts(parts)

    def _parts(self, parts: Iterable[Word]) -> list[Json]:
        written: list[Json] = []
        for part in parts:
            if not isinstance(part, Native):
                written.append(write_part(part, same=self._same))
            elif part.wire == WIRE and self._same:
                written.append(part.value)
            else:
                self._drop(part)
        return written

    def _drop(self, part: Native) -> None:
        kind = part.value.get("type")
        self.dropped[f"messages.{kind}" if isinstance(kind, str) else "messages"] = None


def _call(call: ToolCall, call_id: str, *, same: bool) -> Json:
    out: dict[str, Json] = {"id": call_id, "type": call.kind}
    if call.kind == "custom":
        out["custom"] = {"name": call.name, "input": call.arguments}
    else:
        out["function"] = {"name": call.name, "arguments": call.arguments or ("" if same else "{}")}
    if same:
        out |= call.extra
    elif call.signature is not None:
        out |= write_signature(call.signature)
    return out


def _answer(result: ToolResult) -> str:
    if not result.content and result.value is not None:
        return result.value if isinstance(result.value, str) else msgspec.json.encode(result.value).decode()
    return _text(result.content, "\n")


def _text(parts: Sequence[Word], between: str) -> str:
    if len(parts) == 1 and isinstance(parts[0], Text):
        return parts[0].text
    return between.join(part.text for part in parts if isinstance(part, Text))
