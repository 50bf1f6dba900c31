"""What may be shortened in a conversation, and how long its parts are. Floor 2.

Theory of operation.

1. Never touched: system and developer messages, tools and their schemas, the last user turn, calls (their
   arguments are the model's own words), reasoning, media, everything up to the last `cache_control` mark.
2. A call and its results stay or go together: what is left out is a *block*, the smallest run of messages
   that no pair of call and result leaves.
3. Steps that change single texts (layout, tables, trimming) look at one result at a time: the same history
   gives the same beginning with every turn, so a provider's prompt cache goes on being hit.
4. Everything is linear in the size of the conversation. Parts that a step leaves alone are the same objects
   before and after, so a text is counted once however many steps there are.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from turnout.types.chat import Media, Message, Native, Part, Reasoning, Refusal, Text, ToolCall, ToolResult
from turnout.types.json import Json

Count = Callable[[str], float]
"""Tokens of a text."""
Messages = tuple[Message, ...]
Rewrite = Callable[[str], str]
"""Another text for a text; the same object where it stays."""

MESSAGE_TOKENS: Final = 4
MEDIA_TOKENS: Final = 800
"""Reckoned per picture, sound or document, as for a decision."""
MARK: Final = "cache_control"
SYSTEM: Final = frozenset(("system", "developer"))
_ENCODE: Final = msgspec.json.Encoder().encode


class Sizes:
    """Tokens of parts and messages, each counted once."""

    __slots__ = ("_known", "count")

    def __init__(self, count: Count) -> None:
        self.count = count
        self._known: dict[int, tuple[Part, float]] = {}
        """By identity; the part is kept so that its place is not given to another."""

    def of(self, messages: Sequence[Message]) -> float:
        """Return the tokens of messages."""
        return sum(map(self.message, messages))

    def message(self, message: Message) -> float:
        """Return the tokens of one message, its frame included."""
        return MESSAGE_TOKENS + sum(map(self.part, message.parts))

    def part(self, part: Part) -> float:
        """Return the tokens of one part."""
        known = self._known.get(id(part))
        if known is None:
            known = self._known[id(part)] = (part, self._counted(part))
        return known[1]

    def _counted(self, part: Part) -> float:
        match part:
            case Text(text=text) | Reasoning(text=text) | Refusal(text=text):
                return self.count(text)
            case ToolCall():
                return self.count(part.arguments) + self.count(part.name)
            case ToolResult():
                inside = sum(map(self.part, part.content))
                return inside if part.value is None else inside + self.count(_ENCODE(part.value).decode())
            case Media(text=text):
                return MEDIA_TOKENS if text is None else self.count(text)
            case Native():
                return self.count(_ENCODE(part.value).decode())


class Shield:
    """Which messages of a conversation may be changed.

    Attributes:
        last_user: Index of the last user turn; -1 where there is none.
        cached: Messages at the beginning that a cache mark covers.
    """

    __slots__ = ("cached", "last_user")

    def __init__(self, messages: Sequence[Message]) -> None:
        self.last_user = next((at for at in range(len(messages) - 1, -1, -1) if is_turn(messages[at])), -1)
        self.cached = next((at + 1 for at in range(len(messages) - 1, -1, -1) if _marked(messages[at])), 0)

    def keeps(self, at: int, message: Message) -> bool:
        """Tell whether a message must stay, with the texts that are not tool results."""
        return at < self.cached or at == self.last_user or message.role in SYSTEM

    def keeps_results(self, at: int, message: Message) -> bool:
        """Tell whether the tool results in a message must stay as they are."""
        return at < self.cached or message.role in SYSTEM


def is_turn(message: Message) -> bool:
    """Tell whether a message is what a user said, not only what tools answered."""
    return message.role == "user" and any(not isinstance(part, ToolResult) for part in message.parts)


def _marked(message: Message) -> bool:
    return MARK in message.extra or any(map(part_marked, message.parts))


def part_marked(part: Part) -> bool:
    """Tell whether a part bears a cache mark."""
    match part:
        case ToolResult():
            return MARK in part.extra or any(map(part_marked, part.content))
        case Native():
            return MARK in part.value or "cachePoint" in part.value
        case Refusal():
            return False
        case _:
            return MARK in part.extra


def blocks(messages: Sequence[Message]) -> list[range]:
    """Split a conversation into the smallest runs that no pair of call and result leaves."""
    ends = list(range(len(messages)))
    named: dict[str, int] = {}
    unnamed: dict[str, list[int]] = {}
    for at, message in enumerate(messages):
        for part in message.parts:
            if isinstance(part, ToolCall):
                if part.id:
                    named[part.id] = at
                else:
                    unnamed.setdefault(part.name, []).append(at)
            elif isinstance(part, ToolResult):
                begin = _call_of(part, named, unnamed)
                if begin is not None:
                    ends[begin] = max(ends[begin], at)
    found: list[range] = []
    at = 0
    while at < len(ends):
        begin = at
        end = ends[at]
        while at <= end:
            end = max(end, ends[at])
            at += 1
        found.append(range(begin, at))
    return found


def _call_of(result: ToolResult, named: dict[str, int], unnamed: dict[str, list[int]]) -> int | None:
    """Return where a result was called for; one without an id answers the first open call of its tool."""
    if result.call_id:
        return named.get(result.call_id)
    name = result.name if result.name in unnamed else next((n for n, waits in unnamed.items() if waits), None)
    waiting = unnamed.get(name) if name is not None else None
    return waiting.pop(0) if waiting else None


def tool_names(messages: Sequence[Message]) -> Mapping[str, str]:
    """Return the tool that each call id stands for."""
    return {
        part.id: part.name
        for message in messages
        for part in message.parts
        if isinstance(part, ToolCall) and part.id
    }


def with_parts(message: Message, parts: Sequence[Part]) -> Message:
    """Return a message with these parts; the same one where all are the same objects."""
    if len(parts) == len(message.parts) and all(a is b for a, b in zip(parts, message.parts, strict=True)):
        return message
    return msgspec.structs.replace(message, parts=tuple(parts))


def with_text(part: Text, text: str) -> Text:
    """Return a text part with another text; the same one where it stays."""
    return part if text is part.text or text == part.text else msgspec.structs.replace(part, text=text)


def in_results(
    messages: Messages, rewrite: Rewrite, spared: Callable[[ToolResult], bool], sizes: Sizes
) -> tuple[Messages, int]:
    """Rewrite the texts of tool results where that makes them shorter; return how many changed as well.

    Text by text: whether one is rewritten must not depend on what comes later.
    """
    shield = Shield(messages)
    n = 0

    def text(part: Text) -> Text:
        new = with_text(part, rewrite(part.text))
        return new if new is part or sizes.part(new) < sizes.part(part) else part

    def result(part: ToolResult) -> ToolResult:
        nonlocal n
        inside: list[Text | Media | Native] = [
            text(each) if isinstance(each, Text) else each for each in part.content
        ]
        n_new = sum(a is not b for a, b in zip(inside, part.content, strict=True))
        n += n_new
        return msgspec.structs.replace(part, content=tuple(inside)) if n_new else part

    out: list[Message] = []
    for at, message in enumerate(messages):
        if shield.keeps_results(at, message):
            out.append(message)
            continue
        parts = [
            result(part) if isinstance(part, ToolResult) and not spared(part) else part
            for part in message.parts
        ]
        out.append(with_parts(message, parts))
    return tuple(out), n


def as_note(text: str, extra: Mapping[str, Json] | None = None) -> Text:
    """Return words of the gateway's own, marked as such."""
    return Text(f"[{text}]", extra or {})
