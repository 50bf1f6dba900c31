"""The middle of a conversation left out until it fits a window. Floor 2.

Theory of operation.

1. Blocks go from the middle outwards as one gap, so beginning and end stay. Where the gap was stands how many
   messages are missing. What must stay inside the gap (system messages, cached prefixes) stays.
2. If that is not enough, the longest texts that may change lose their own middles, tool results of the turn
   under way included.
3. If that is not enough either, what is left is the shortest that the rules allow; who asks for it will hear
   from the upstream, or from the filter of windows, that it is too long.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from turnout.compress.base import Messages, Shield, Sizes, as_note, blocks, with_parts, with_text
from turnout.compress.trim import trimmed
from turnout.types.chat import Message, Part, Text, ToolResult

LEAST_TOKENS: Final = 100
"""What a text is shortened to at least."""
_NOTE_TOKENS: Final = 24


def fitted(messages: Messages, n_tokens: float, sizes: Sizes) -> tuple[Messages, int]:
    """Return a conversation of at most so many tokens, where possible, and how many places went."""
    over = sizes.of(messages) - n_tokens
    if over <= 0:
        return messages, 0
    gone = _middle(messages, over + _NOTE_TOKENS, sizes)
    out = _without(messages, gone) if gone else messages
    over = sizes.of(out) - n_tokens
    if over <= 0:
        return out, len(gone)
    out, n_cut = _cut(out, over, sizes)
    return out, len(gone) + n_cut


def _middle(messages: Messages, over: float, sizes: Sizes) -> frozenset[int]:
    """Return the messages to leave out."""
    shield = Shield(messages)
    whole = blocks(messages)
    free = [block for block in whole if not any(shield.keeps(at, messages[at]) for at in block)]
    if shield.last_user >= 0:  # what came after it is being worked on
        free = [block for block in free if block.stop <= shield.last_user]
    if len(free) <= 1:
        return frozenset()
    middle = len(free) // 2 + 0.25  # of two as far away the later one first
    gone: set[int] = set()
    for nth in sorted(range(len(free)), key=lambda nth: abs(nth - middle)):
        if over <= 0:
            break
        gone.update(free[nth])
        over -= sizes.of([messages[at] for at in free[nth]])
    return frozenset(gone)


def _without(messages: Messages, gone: frozenset[int]) -> Messages:
    note = as_note(f"{len(gone)} earlier messages were left out here to fit the model's window")
    first = min(gone)
    after = max(gone) + 1
    last_user = Shield(messages).last_user
    out: list[Message] = []
    for at, message in enumerate(messages):
        if at == after and first < after:
            if message.role == "user" and at != last_user and not _answers(message):
                out.append(with_parts(message, (note, *message.parts)))
                continue
            out.append(Message("user", (note,)))
        if at not in gone:
            out.append(message)
    return tuple(out)


def _answers(message: Message) -> bool:
    return any(isinstance(part, ToolResult) for part in message.parts)


def _cut(messages: Messages, over: float, sizes: Sizes) -> tuple[Messages, int]:
    """Shorten the longest texts that may change to one length."""
    shield = Shield(messages)
    found = [
        sizes.part(text)
        for at, message in enumerate(messages)
        for part in message.parts
        for text in _open_texts(at, message, part, shield)
    ]
    level = max(LEAST_TOKENS, _level(found, sum(found) - over))
    n = 0

    def cut(text: Text) -> Text:
        nonlocal n
        size = sizes.part(text)
        new = with_text(text, trimmed(text.text, level, sizes.count, size)) if size > level else text
        n += new is not text
        return new

    out: list[Message] = []
    for at, message in enumerate(messages):
        parts: list[Part] = []
        for part in message.parts:
            if not _open_texts(at, message, part, shield):
                parts.append(part)
            elif isinstance(part, ToolResult):
                parts.append(_in_result(part, cut))
            elif isinstance(part, Text):
                parts.append(cut(part))
        out.append(with_parts(message, parts))
    return tuple(out), n


def _level(sizes: Sequence[float], n_tokens: float) -> float:
    """Return the length to which texts are cut so that all together have so many tokens."""
    left = n_tokens
    rising = sorted(sizes)
    for at, size in enumerate(rising):
        share = left / (len(rising) - at)
        if size >= share:
            return share
        left -= size
    return rising[-1] if rising else 0.0


def _open_texts(at: int, message: Message, part: Part, shield: Shield) -> Sequence[Text]:
    if isinstance(part, ToolResult):
        if shield.keeps_results(at, message):
            return ()
        return [each for each in part.content if isinstance(each, Text)]
    return (part,) if isinstance(part, Text) and not shield.keeps(at, message) else ()


def _in_result(part: ToolResult, cut: Callable[[Text], Text]) -> ToolResult:
    content = tuple(cut(each) if isinstance(each, Text) else each for each in part.content)
    if all(a is b for a, b in zip(content, part.content, strict=True)):
        return part
    return msgspec.structs.replace(part, content=content)
