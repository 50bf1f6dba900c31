"""Earlier turns replaced by what they said that matters most for the last question. Floor 2.

Theory of operation.

1. The border lies at the beginning of a turn, moves in steps of `keep_turns`, and never between a call and
   its result. Before it stay system messages, cached prefixes, and blocks with media, which have no gist.
2. The rest becomes one user message: sentences in their order, each under who said it. It is joined to the
   next turn where a user speaks there.
3. A sentence scores by its words that the last question has too, weighted by how rare they are among all
   sentences (tf-idf, cosine), a little more where a user said it and the later it was said.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from heapq import nlargest
from math import log, sqrt
from typing import Final

from msgspec import Struct

from turnout.compress.base import Messages, Shield, Sizes, as_note, blocks, is_turn, with_parts
from turnout.types.chat import Media, Message, Native, Part, Text, ToolResult
from turnout.types.compress import Compact

MOST_SENTENCES: Final = 4_000
"""Of the turns before; the latest count. Bounds time and memory."""
MOST_SENTENCE_CHARS: Final = 400
_MOST_TEXT_CHARS: Final = 16_384
"""Of one text, from its beginning."""
_MOST_WORDS: Final = 64
_STEM: Final = 5
"""Letters by which words are compared: `drives` and `driver` are one word."""
_LEAST_SENTENCE: Final = 8
_ENDS: Final = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")
_WORD: Final = re.compile(r"[぀-ヿ㐀-鿿가-힣]|\w{1,40}")
_BY_USER, _LATE, _SAID = 0.08, 0.05, 0.02
"""Added to a sentence's score: said by a user; times how late; with figures in it."""
INTRO: Final = "Earlier turns of this conversation, shortened:"


class Older(Struct, frozen=True):
    """The turns that are to be replaced."""

    indexes: tuple[int, ...]
    """Messages that go."""
    border: int
    """Index of the first message that comes after them."""
    lines: tuple[tuple[str, str], ...]
    """Who said what, sentence by sentence."""


class Said(Struct, frozen=True):
    """A scored sentence."""

    at: int
    role: str
    text: str


def older(messages: Messages, rule: Compact, sizes: Sizes) -> Older | None:
    """Return what would be replaced; None: the conversation is short enough, or has too few turns."""
    if sizes.of(messages) <= rule.above_tokens:
        return None
    turns = [at for at, message in enumerate(messages) if is_turn(message)]
    n_before = (len(turns) - rule.keep_turns) // rule.keep_turns * rule.keep_turns
    if n_before <= 0:
        return None
    border = turns[n_before]
    shield = Shield(messages)
    gone: list[int] = []
    for block in blocks(messages):
        if block.stop > border:
            border = min(border, block.start)
            break
        if not any(shield.keeps(at, messages[at]) or _has_media(messages[at]) for at in block):
            gone += block
    lines = tuple(_lines(messages, gone))
    return Older(tuple(gone), border, lines) if gone else None


def compacted(messages: Messages, found: Older, gist: str) -> Messages:
    """Return the conversation with its earlier turns replaced by their gist."""
    note = as_note(f"{INTRO}\n{gist}\n")
    gone = frozenset(found.indexes)
    out: list[Message] = []
    for at, message in enumerate(messages):
        if at == found.border:
            if message.role == "user" and not any(isinstance(p, ToolResult) for p in message.parts):
                out.append(with_parts(message, (note, *message.parts)))
                continue
            out.append(Message("user", (note,)))
        if at not in gone:
            out.append(message)
    return tuple(out)


def extract(found: Older, messages: Messages, rule: Compact, sizes: Sizes) -> str:
    """Return the sentences that say most about the last question, in their order."""
    sentences = [Said(at, role, text) for at, (role, text) in enumerate(found.lines)]
    scores = _scores(sentences, _question(messages))
    left = float(rule.to_tokens)
    kept: list[Said] = []
    for at in nlargest(len(sentences), range(len(sentences)), key=scores.__getitem__):
        size = sizes.count(sentences[at].text) + 2
        if size > left:
            if left < _LEAST_SENTENCE * 2:
                break
            continue
        left -= size
        kept.append(sentences[at])
    kept.sort(key=lambda each: each.at)
    return "\n".join(f"{each.role}: {each.text}" for each in kept)


def _has_media(message: Message) -> bool:
    return any(_is_media(part) for part in message.parts)


def _is_media(part: Part) -> bool:
    if isinstance(part, ToolResult):
        return any(isinstance(each, Media | Native) for each in part.content)
    return isinstance(part, Media | Native)


def _lines(messages: Sequence[Message], indexes: Sequence[int]) -> Iterator[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for at in reversed(indexes):
        message = messages[at]
        here = [
            (role, sentence)
            for part in message.parts
            for role, text in _texts(part, message.role)
            for sentence in sentences_of(text)
        ]
        found += reversed(here)
        if len(found) >= MOST_SENTENCES:
            break
    yield from reversed(found[:MOST_SENTENCES])


def _texts(part: Part, role: str) -> Iterator[tuple[str, str]]:
    if isinstance(part, Text):
        yield role, part.text
    elif isinstance(part, ToolResult):
        for each in part.content:
            if isinstance(each, Text):
                yield "tool", each.text


def sentences_of(text: str) -> Iterator[str]:
    """Split a text into sentences of bounded length."""
    for piece in _ENDS.split(text[:_MOST_TEXT_CHARS]):
        sentence = " ".join(piece.split())
        for at in range(0, len(sentence), MOST_SENTENCE_CHARS):
            cut = sentence[at : at + MOST_SENTENCE_CHARS]
            if len(cut) >= _LEAST_SENTENCE:
                yield cut


def _question(messages: Messages) -> str:
    last = next((message for message in reversed(messages) if is_turn(message)), None)
    if last is None:
        return ""
    return "\n".join(part.text[:_MOST_TEXT_CHARS] for part in last.parts if isinstance(part, Text))


def words_of(text: str) -> list[str]:
    """Return how words begin, in lower case; of scripts without spaces each character."""
    return [word[:_STEM] if word.isalpha() else word for word in _WORD.findall(text.lower())]


def _scores(sentences: Sequence[Said], question: str) -> list[float]:
    bags = [Counter(words_of(each.text)[:_MOST_WORDS]) for each in sentences]
    seen = Counter(word for bag in bags for word in bag)
    n = len(bags) + 1
    rare = {word: log(n / times) for word, times in seen.items()}
    wanted = {word for word in words_of(question) if word in rare}
    norm = sqrt(sum(rare[word] ** 2 for word in wanted)) or 1.0
    scores: list[float] = []
    for at, (each, bag) in enumerate(zip(sentences, bags, strict=True)):
        own = sqrt(sum((times * rare[word]) ** 2 for word, times in bag.items())) or 1.0
        shared = sum(bag[word] * rare[word] ** 2 for word in wanted if word in bag)
        score = shared / (own * norm) + _LATE * at / n
        score += _BY_USER if each.role == "user" else 0.0
        score += _SAID if any(map(str.isdigit, bag)) else 0.0
        scores.append(score)
    return scores
