"""Texts that stand twice in a conversation: the later one becomes a pointer to the earlier. Floor 2.

Theory of operation.

1. The first occurrence stays, so the beginning of a conversation does not change as it grows.
2. What is compared is whole texts and their paragraphs, exactly. Nothing is replaced by what is merely alike.
3. Pointers are made last: what they point to is in what goes out, whatever other steps took away. They name
   its length and first words; where two texts share both, the later one is not replaced.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from turnout.compress.base import Messages, Shield, Sizes, with_parts, with_text
from turnout.types.chat import Media, Message, Native, Part, Text, ToolResult

LEAST_CHARS: Final = 240
"""A shorter text is not worth a pointer."""
_SHOWN: Final = 48
"""Characters by which the earlier text is named."""
_MOST_KNOWN: Final = 100_000
"""Texts remembered of one conversation."""


def without_repeats(messages: Messages, spared: frozenset[str], sizes: Sizes) -> tuple[Messages, int]:
    """Return the conversation with each long text once, and how many were replaced.

    Args:
        messages: The conversation.
        spared: Ids of calls whose results stay as they are.
        sizes: Counts tokens.
    """
    finder = _Finder(sizes)
    shield = Shield(messages)
    out: list[Message] = []
    for at, message in enumerate(messages):
        keeps = shield.keeps(at, message) or message.role == "assistant"
        keeps_results = shield.keeps_results(at, message)
        parts: list[Part] = []
        for part in message.parts:
            if isinstance(part, Text):
                parts.append(finder.note(part) if keeps else finder.once(part))
            elif isinstance(part, ToolResult):
                stays = keeps_results or part.call_id in spared
                parts.append(_result(part, finder, stays=stays))
            else:
                parts.append(part)
        out.append(with_parts(message, parts))
    return tuple(out), finder.n


def _result(part: ToolResult, finder: "_Finder", *, stays: bool) -> ToolResult:
    content: Sequence[Text | Media | Native] = [
        (finder.note(each) if stays else finder.once(each)) if isinstance(each, Text) else each
        for each in part.content
    ]
    if all(a is b for a, b in zip(content, part.content, strict=True)):
        return part
    return msgspec.structs.replace(part, content=tuple(content))


class _Finder:
    """Long texts seen so far."""

    __slots__ = ("_seen", "_sizes", "n")

    def __init__(self, sizes: Sizes) -> None:
        self._sizes = sizes
        self._seen: dict[tuple[int, str], str] = {}
        """Length and first words, by which a text is named -> the first text of that name."""
        self.n = 0

    def note(self, part: Text) -> Text:
        """Remember a text that stays."""
        self._remember(part.text)
        for piece in part.text.split("\n\n"):
            self._remember(piece)
        return part

    def once(self, part: Text) -> Text:
        """Return a text with what was seen before replaced; remember the rest."""
        text = part.text
        if len(text) < LEAST_CHARS:
            return part
        if self._knows(text):
            return self._shorter(part, _pointer(text), 1)
        pieces = text.split("\n\n")
        out: list[str] = []
        n = 0
        for piece in pieces:
            known = self._knows(piece)
            out.append(_pointer(piece) if known else piece)
            n += known
            if not known:
                self._remember(piece)
        new = self._shorter(part, "\n\n".join(out), n) if n else part
        if new is part:
            self._remember(text)
        return new

    def _shorter(self, part: Text, text: str, n: int) -> Text:
        new = with_text(part, text)
        if self._sizes.part(new) >= self._sizes.part(part):
            return part
        self.n += n
        return new

    def _knows(self, text: str) -> bool:
        return len(text) >= LEAST_CHARS and self._seen.get((len(text), _name(text))) == text

    def _remember(self, text: str) -> None:
        if len(text) >= LEAST_CHARS and len(self._seen) < _MOST_KNOWN:
            self._seen.setdefault((len(text), _name(text)), text)


def _name(text: str) -> str:
    return " ".join(text[:_SHOWN].split())


def _pointer(text: str) -> str:
    return f'[as above: the {len(text):,} characters that begin "{_name(text)}"]'
