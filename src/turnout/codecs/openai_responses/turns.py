"""Our turns written as items. Floor 2."""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b

from turnout.codecs.openai_responses.items import CUSTOM_OUTPUT, INSTRUCTIONS, ITEM
from turnout.codecs.openai_responses.parts import write_part
from turnout.codecs.openai_responses.wire import WIRE, write
from turnout.codecs.plain import Answered, Called, Words, turns_of
from turnout.codecs.waiting import Waiting
from turnout.types.chat import (
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
from turnout.types.json import Json

MAX_CALL_ID = 64
"""OpenAI refuses longer ones."""
Word = Text | Media | Refusal
_WORDS = (Text, Media, Refusal)


class Turns:
    """Writes the turns of one request, in order."""

    def __init__(self, *, same: bool, developer: bool) -> None:
        self.items: list[Json] = []
        self.instructions: str | None = None
        self.dropped: dict[str, None] = {}
        """Kinds of blocks that could not be said, in order of first mention."""
        self._same = same
        self._developer = developer
        self._calls: dict[str, bool] = {}
        """Ids of calls so far, in order -> whether the call is a custom one."""
        self._nameless = Waiting()
        """Made ids of calls that came without an id and wait for their answer."""

    def write(self, messages: Sequence[Message]) -> None:
        """Write a conversation."""
        for turn in messages if self._same else turns_of(messages):
            if isinstance(turn, Message):
                self.add(turn)
            else:
                self.add_plain(turn)

    def add(self, turn: Message) -> None:
        """Write one turn."""
        if turn.role == "system" and self._instructs(turn):
            return
        results = [
            (self._answered(part.call_id, part.name), part)
            for part in turn.parts
            if isinstance(part, ToolResult)
        ]
        if not results:
            if turn.role == "assistant":
                self._said(turn.parts)
            else:
                self._told(turn, turn.parts)
            return
        if len(results) > 1 and not self._same:  # answers go back in the order of the calls (WIRE.md 2.8)
            order = {call_id: at for at, call_id in enumerate(self._calls)}
            results.sort(key=lambda pair: order.get(pair[0], 0))
        for call_id, result in results:
            self.items.append(self._result(call_id, result))
        rest = tuple(part for part in turn.parts if not isinstance(part, ToolResult))
        if turn.role == "assistant":
            self._said(rest)
        elif rest:
            self._told(turn, rest)

    def add_plain(self, turn: Words | Called | Answered) -> None:
        """Write a turn of another format of which nothing can be lost."""
        items = self.items
        if isinstance(turn, Answered):
            call_id = turn.call_id or self._answered(turn.call_id, turn.name)
            custom = self._calls.get(call_id, False)
            kind = CUSTOM_OUTPUT if custom else "function_call_output"
            items.append({"type": kind, "call_id": self._sent(call_id), "output": turn.text})
            if turn.words:
                items.append({"role": "user", "content": turn.words})
        elif isinstance(turn, Called):
            if turn.text:
                items.append({"role": "assistant", "content": turn.text})
            for call in turn.calls:
                self._call(call)
        elif turn.role == "system" and not items:
            said = self.instructions
            self.instructions = f"{said}\n\n{turn.text}" if said else turn.text
        else:
            items.append({"role": self._role(turn.role), "content": turn.text})

    def _instructs(self, turn: Message) -> bool:
        """Take a leading system turn as `instructions`, if it can be."""
        if self.items:
            return False
        texts = [part.text for part in turn.parts if isinstance(part, Text)]
        if self._same:
            if INSTRUCTIONS not in turn.extra:
                return False
            self.instructions = "".join(texts)
            return True
        if len(texts) < len(turn.parts):
            return False
        said = [self.instructions] if self.instructions else []
        self.instructions = "\n\n".join([*said, *texts])
        return True

    def _told(self, turn: Message, parts: Sequence[Part]) -> None:
        if len(parts) == 1:  # most turns are a text
            only = parts[0]
            if isinstance(only, Text) and (not only.extra or not self._same):
                self._tell(turn, only.text)
                return
        words: list[Json] = []
        for part in parts:
            match part:
                case Text() | Media() | Refusal():
                    words.append(write_part(part, same=self._same, said=False))
                case Native() if self._same and part.wire == WIRE:
                    words.append(part.value)
                case Native():
                    self._drop(part)
                case _:
                    pass
        self._tell(turn, words)

    def _tell(self, turn: Message, content: Json) -> None:
        item: dict[str, Json] = {"role": self._role(turn.role), "content": content}
        self.items.append({**item, **turn.extra} if self._same else item)

    def _role(self, role: Role) -> str:
        if role == "developer" and not self._developer:
            return "system"
        return "user" if role == "tool" else role

    def _said(self, parts: Sequence[Part]) -> None:
        words: list[Word] = []
        for part in parts:
            if isinstance(part, _WORDS) and self._together(words, part):
                words.append(part)
                continue
            self._message(words)
            words = []
            match part:
                case Text() | Media() | Refusal():
                    words = [part]
                case ToolCall():
                    self._call(part)
                case Reasoning():
                    self._think(part)
                case Native() if part.wire == WIRE:
                    self.items.append(part.value)
                case Native():
                    self._drop(part)
                case _:
                    pass
        self._message(words)

    def _together(self, words: Sequence[Word], part: Word) -> bool:
        """Tell whether a part belongs to the same message as those before it."""
        if not words or not self._same:
            return True
        return not isinstance(part, Text) or part.extra.get(ITEM) is _mark(words)

    def _message(self, words: Sequence[Word]) -> None:
        if not words:
            return
        mark = _mark(words) if self._same else None
        item: dict[str, Json] = {"role": "assistant"}
        if isinstance(mark, Mapping):
            item = {"type": "message", **item, **mark}
        texts = [word for word in words if isinstance(word, Text)]
        if len(texts) == len(words) and not (self._same and mark) and not _tells(texts):
            item["content"] = "".join(word.text for word in texts)
        else:
            item["content"] = [write_part(word, same=self._same, said=True) for word in words]
        self.items.append(item)

    def _think(self, thought: Reasoning) -> None:
        if thought.wire != WIRE:
            return  # another provider's: this one could not read it (WIRE.md 2.9)
        item = thought.extra.get(ITEM)
        if self._same and isinstance(item, Mapping):
            self.items.append(item)
        elif thought.redacted is not None:
            summary: list[Json] = [{"type": "summary_text", "text": thought.text}] if thought.text else []
            named: dict[str, Json] = {} if thought.id is None else {"id": thought.id}
            self.items.append(
                {"type": "reasoning", **named, "summary": summary, "encrypted_content": thought.redacted}
            )

    def _call(self, call: ToolCall) -> None:
        call_id = call.id or f"call_{len(self._calls)}"
        if not call.id:
            self._nameless.add(call.name, call_id)
        custom = call.kind == "custom"
        self._calls[call_id] = custom
        payload: dict[str, Json] = (
            {"input": call.arguments}
            if custom
            else {"arguments": call.arguments if call.arguments or self._same else "{}"}
        )
        item: dict[str, Json] = {
            "type": "custom_tool_call" if custom else "function_call",
            "call_id": self._sent(call_id),
            "name": call.name,
            **payload,
        }
        self.items.append({**item, **call.extra} if self._same else item)

    def _answered(self, call_id: str, name: str | None) -> str:
        """Return the id of the call a result answers: its own, or the oldest open call of its tool."""
        if call_id or not self._nameless:
            return call_id
        named = None if name is None else self._nameless.of_tool(name)
        return named or self._nameless.oldest() or ""

    def _result(self, call_id: str, result: ToolResult) -> Json:
        custom = result.extra.get("type") == CUSTOM_OUTPUT or self._calls.get(call_id, False)
        item: dict[str, Json] = {
            "type": CUSTOM_OUTPUT if custom else "function_call_output",
            "call_id": self._sent(call_id),
            "output": self._output(result),
        }
        return {**item, **result.extra} if self._same else item

    def _output(self, result: ToolResult) -> Json:
        if not result.content and result.value is not None:
            return result.value if isinstance(result.value, str) else write(result.value).decode()
        texts = [part for part in result.content if isinstance(part, Text)]
        plain = len(texts) == len(result.content)
        if plain and not (self._same and (len(texts) > 1 or any(part.extra for part in texts))):
            return "\n".join(part.text for part in texts)
        words: list[Json] = []
        for part in result.content:
            if isinstance(part, Native):
                if self._same and part.wire == WIRE:
                    words.append(part.value)
                else:
                    self._drop(part)
            else:
                words.append(write_part(part, same=self._same, said=False))
        return words

    def _sent(self, call_id: str) -> str:
        if self._same or len(call_id) <= MAX_CALL_ID:
            return call_id
        return "call_" + blake2b(call_id.encode(), digest_size=12).hexdigest()

    def _drop(self, part: Native) -> None:
        kind = part.value.get("type")
        self.dropped[f"messages.{kind}" if isinstance(kind, str) else "messages"] = None


def _mark(words: Iterable[Word]) -> Json:
    """Return what is known of the item these parts came from; None where nothing is."""
    return next((word.extra[ITEM] for word in words if isinstance(word, Text) and ITEM in word.extra), None)


def _tells(texts: Sequence[Text]) -> bool:
    return any(text.extra.get("annotations") for text in texts)
