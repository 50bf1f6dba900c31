"""Finds instructions of an attacker. Floor 2.

Theory of operation.

1. What a user writes is read by the direct head in windows: its beginning, its end, and the parts between
   that look worst. What a tool returned or a document holds is read by the indirect head sentence by
   sentence, and a finding is the sentence: a long clean mail is many clean sentences, and one bad sentence
   is not diluted.
2. Looks first, then reads: the words of every sentence are weighed one by one, which is cheap, and the
   `READ` heaviest are read with pairs and concepts, each alone and with the two sentences that follow it.
   So the time of a text is that of its words, and of a bounded number of sentences.
3. A head is logistic over words, pieces of words, pairs and concepts (`features.py`), fitted by
   benchmarks/injection. Its bar is set on rows it had not seen when it was fitted; `margin` moves it.
4. Nothing here is proof: benchmarks/results/guards/injection.md says what is missed.
"""

import base64
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from heapq import nlargest
from math import exp, sqrt
from typing import ClassVar, Final, Literal

from msgspec import Struct

from turnout.guards.base import NOTHING_FOUND, Context, Finding, Stage, plain
from turnout.guards.injection import weights
from turnout.guards.injection.features import (
    KNOWN,
    N_FEATURES,
    N_HASHED,
    REMEMBERED,
    features,
    segments,
    words,
)

HEAD: Final = 1_500
"""Characters of a prompt that the direct head reads from its beginning, and at most at a time."""
TAIL: Final = 700
READ: Final = 10
"""Sentences of one piece of text that are read."""
TOGETHER: Final = 3
"""Sentences that are read as one."""
PIECE: Final = 8_192
Reads = Literal["direct", "indirect"]
Head = tuple[tuple[int, ...], float]
Reading = tuple[int, int, float]
"""From where to where, and the logit."""


class Injection(Struct, frozen=True, kw_only=True, tag_field="type", tag="injection"):
    """Finds instructions that try to take over the model."""

    margin: float = 0.0
    """Added to the bars, in logits: above 0 fewer alarms, below 0 fewer misses."""

    stages: ClassVar[frozenset[Stage]] = frozenset(("in",))
    whole: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """Word for Records."""
        return "injection"

    @property
    def hold_back(self) -> int:
        """Characters of the longest sentence."""
        return 300

    def check(self, text: str, context: Context) -> tuple[Finding, ...]:
        """Return the prompt, or the sentences of a document, that are over the bar."""
        if context.source in ("system", "assistant"):
            return NOTHING_FOUND  # the operator's own words, and what was answered before
        shown = plain(text)
        if context.source in ("tool", "document"):
            bar = weights.INDIRECT_BAR + self.margin
            return shown.back(
                Finding(start, end, "indirect_injection", _sure(logit - bar))
                for start, end, logit in _worst(sentences(shown.text), bar)
            )
        logit = direct(shown.text) - weights.DIRECT_BAR - self.margin
        if logit <= 0:
            return NOTHING_FOUND
        return (Finding(0, len(text), "prompt_injection", _sure(logit)),)


def direct(text: str) -> float:
    """Return how much a prompt looks like an attack: the surest of its windows, in logits."""
    return max(score("direct", words(text[start:end])) for start, end in views(text))


def indirect(text: str) -> float:
    """Return the same of a document: its surest sentence."""
    return max((logit for _, _, logit in sentences(text)), default=-9.0)


def views(text: str) -> list[tuple[int, int]]:
    """Return the windows of a prompt that are read."""
    n_chars = len(text)
    if n_chars <= HEAD:
        return [(0, n_chars)]
    found = [(0, HEAD), (max(HEAD, n_chars - TAIL), n_chars)]
    inner = [(at, min(at + TAIL, n_chars)) for at in range(HEAD, n_chars - TAIL, TAIL)]
    if len(inner) > 1:
        weighed = Weighed.of("direct")
        n_read = max(1, n_chars // PIECE)
        inner = nlargest(n_read, inner, key=lambda place: weighed.line(words(text[slice(*place)])))
    return found + inner


def sentences(text: str) -> list[Reading]:
    """Return the sentences that were read, alone and with those that follow, and how bad each looks."""
    places = segments(text)
    split = [words(text[start:end]) for start, end in places]
    n_read = READ * max(1, -(-len(text) // PIECE))
    chosen: Sequence[int] = range(len(places))
    if len(places) > n_read:
        weighed = Weighed.of("indirect")
        lines = [weighed.line(line) for line in split]
        chosen = sorted(nlargest(n_read, range(len(places)), key=lines.__getitem__))
    found: list[Reading] = []
    for at in chosen:
        found.append((*places[at], score("indirect", split[at])))
        if at + 1 < len(places):
            together = [word for line in split[at : at + TOGETHER] for word in line]
            end = places[min(at + TOGETHER, len(places)) - 1][1]
            found.append((places[at][0], end, score("indirect", together)))
    return found


def _worst(found: Sequence[Reading], bar: float) -> list[Reading]:
    """Return what is over the bar: single sentences, and groups that hold none which is by itself."""
    over = sorted((each for each in found if each[2] > bar), key=lambda each: each[1] - each[0])
    kept: list[Reading] = []
    for each in over:
        if all(each[1] <= other[0] or other[1] <= each[0] for other in kept):
            kept.append(each)
    return kept


def score(head: Reads, line: Sequence[str]) -> float:
    """Return the logit of one head for the words of a window."""
    numbers, scale = _head(head)
    hashed, weight, concepts = features(line)
    total = weight * sum([numbers[at] for at in hashed]) + sum([numbers[at] for at in concepts])
    return (total + numbers[N_FEATURES]) * scale


class Weighed(dict[str, int]):
    """Word -> what it alone counts for one head."""

    def __init__(self, head: Reads) -> None:
        super().__init__()
        self._numbers = _head(head)[0]

    @staticmethod
    @cache
    def of(head: Reads) -> "Weighed":
        """Return the words of a head."""
        return Weighed(head)

    def __missing__(self, word: str) -> int:
        if len(self) > REMEMBERED:
            self.clear()
        _, pieces, concept = KNOWN[word]
        numbers = self._numbers
        made = sum(numbers[at] for at in pieces) + (4 * numbers[N_HASHED + concept] if concept >= 0 else 0)
        self[word] = made
        return made

    def line(self, line: Sequence[str]) -> float:
        """Return the weight of a line of words."""
        return sum(map(self.__getitem__, line)) / sqrt(len(line) + 1)


HEADS: Final[dict[Reads, Head]] = {}
"""Unpacked on first use."""


def take(heads: Mapping[Reads, Head]) -> None:
    """Read with other heads from now on: for who fits them."""
    HEADS.update(heads)
    Weighed.of.cache_clear()


def _head(name: Reads) -> Head:
    head = HEADS.get(name)
    if head is None:
        packed, scale = (
            (weights.DIRECT, weights.DIRECT_SCALE)
            if name == "direct"
            else (weights.INDIRECT, weights.INDIRECT_SCALE)
        )
        head = HEADS[name] = tuple(memoryview(zlib.decompress(base64.b85decode(packed))).cast("b")), scale
    return head


def _sure(logit: float) -> float:
    return round(1 / (1 + exp(-min(logit, 30.0))), 4)
