"""Turns that hold nothing but words, calls and answers, as most do. Floor 2.

Theory of operation. A turn of our own (`Message`) can say all that any format can, and takes three to five
objects to say "hello". What one format reads and another writes goes a shorter way where it can.

1. A dialect reads its conversation into turns: one of the three plain kinds where nothing is lost by it, a
   `Message` else. Each turn stands for exactly one message (`message_of`), and nobody but codecs sees it.
2. Whoever looks at `ChatRequest.messages` gets messages, made then. Who replaces them holds no
   `Conversation` any more: what is written is always what the layers left.
3. A plain turn holds no field that one format has and another lacks. So a codec writes it without asking,
   and nothing of it can be lost (`unsaid`). What its own format needs to write it as it came is in `extra`;
   a codec that writes a request of its own format takes the messages.
4. A codec that does not know plain turns takes the messages, too: writing them is an acceleration, and gives
   byte for byte what the messages give (tests/codecs/test_plain.py).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Literal, overload

from msgspec import Struct

from turnout.types.chat import NOTHING, Lazy, Message, Part, Text, ToolCall, ToolResult
from turnout.types.json import Json


class Words(Struct, frozen=True, gc=False):
    """Somebody says something."""

    role: Literal["system", "developer", "user", "assistant"]
    text: str
    extra: Mapping[str, Json] = NOTHING
    """What the origin format keeps with a text; says nothing to another."""
    mark: Mapping[str, Json] = NOTHING
    """Likewise, with the turn."""


class Called(Struct, frozen=True, gc=False):
    """The model calls tools, after words or without."""

    role: ClassVar[Literal["assistant"]] = "assistant"
    text: str
    """"" = it says nothing."""
    calls: Sequence[ToolCall]
    """Of functions, with id, name and arguments alone."""
    extra: Mapping[str, Json] = NOTHING
    """What the origin format keeps with the text."""


class Answered(Struct, frozen=True, gc=False):
    """A tool answers in words, and the user may go on."""

    role: Literal["user", "tool"]
    call_id: str
    text: str
    name: str | None = None
    words: str = ""
    """Of the user, after the answer; "" = none."""
    value: Json = None
    """What the words say, where the origin format has it as JSON."""


Turn = Words | Called | Answered | Message


def message_of(turn: Turn) -> Message:
    """Return the message that a turn stands for."""
    if isinstance(turn, Message):
        return turn
    if isinstance(turn, Words):
        return Message(turn.role, (Text(turn.text, turn.extra),), extra=turn.mark)
    if isinstance(turn, Called):
        said: tuple[Part, ...] = (Text(turn.text, turn.extra),) if turn.text else ()
        return Message("assistant", (*said, *turn.calls))
    result = ToolResult(call_id=turn.call_id, name=turn.name, content=(Text(turn.text),), value=turn.value)
    return Message(turn.role, (result, Text(turn.words)) if turn.words else (result,))


class Conversation(Lazy[Message]):
    """The messages of a request, and the turns that they are made of when somebody looks at them."""

    __slots__ = ("_read", "_turns")

    def __init__(self, read: Callable[[], Sequence[Turn]]) -> None:
        self._read = read
        self._turns: Sequence[Turn] | None = None
        self._items: tuple[Message, ...] | None = None

    @classmethod
    def of(cls, turns: Sequence[Turn]) -> "Conversation":
        """Return a conversation that was read already."""
        made = cls(tuple)
        made._turns = turns
        return made

    @property
    def turns(self) -> Sequence[Turn]:
        """The conversation as it was read."""
        if self._turns is None:
            self._turns = self._read()
        return self._turns

    @property
    def is_made(self) -> bool:
        """Whether it was read, so that to look at one message costs no more than that message."""
        return self._turns is not None

    def _all(self) -> tuple[Message, ...]:
        if self._items is None:
            self._items = tuple([message_of(turn) for turn in self.turns])
        return self._items

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Message, ...]: ...
    def __getitem__(self, index: int | slice) -> Message | tuple[Message, ...]:
        if self._items is None and isinstance(index, int):
            return message_of(self.turns[index])
        return self._all()[index]

    def __len__(self) -> int:
        return len(self.turns)


def turns_of(messages: Sequence[Message]) -> Sequence[Turn]:
    """Return the turns of a conversation: messages where it is held, or was replaced, as such."""
    return messages.turns if isinstance(messages, Conversation) else messages
