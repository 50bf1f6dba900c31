"""What is counted in a text to tell instructions of an attacker from anything else. Floor 2.

Theory of operation.

1. A word counts as itself, as its pieces of four letters, and as the concept it belongs to. Concepts are the
   same in every language: what was learnt of "ignore … instructions" holds of "ignoriere … Anweisungen".
2. Neighbouring words count as pairs, and so do neighbouring concepts, whatever stands between them.
3. What a word counts as is remembered, so that a text costs little more than its words.
"""

import re
import zlib
from collections.abc import Sequence
from itertools import pairwise
from math import sqrt
from typing import Final

from turnout.guards.injection.concepts import BREAK, CONCEPTS, IDEOGRAMS

N_HASHED: Final = 1 << 14
N_CONCEPTS: Final = len(CONCEPTS)
TWICE: Final = N_HASHED + N_CONCEPTS
"""From here on: concepts that stand in a text more than twice."""
PAIRS: Final = TWICE + N_CONCEPTS
N_FEATURES: Final = PAIRS + N_CONCEPTS * N_CONCEPTS
"""The last number of a head is its bias."""
WORDS: Final = re.compile(r"[^\W_]+|[^\w\s]")
MOST_WORDS: Final = 700
"""Of one window: what follows is looked at as another."""
LONGEST: Final = 300
SHORTEST: Final = 25
REMEMBERED: Final = 32_768
_SPLIT: Final = re.compile(r"\n+|(?<=[.!?])\s+(?=[^\W\d_a-z])|(?<=[。！？])")
_IDEOGRAM: Final = re.compile("[\u3040-\u30ff\u3400-\u9fff]")
_PAIR: Final = 0x9E3779B1
_START: Final = 0x51ED270B
"""Stands before the first word: an order begins with its verb."""


def words(text: str) -> list[str]:
    """Return the words and signs of a text in lower case; where no spaces are written, its characters."""
    if not text.isascii() and _IDEOGRAM.search(text):
        text = IDEOGRAMS.sub(r" \g<0> ", text)
    return WORDS.findall(text.lower())[:MOST_WORDS]


def segments(text: str) -> list[tuple[int, int]]:
    """Return the sentences and lines of a text as places; very short ones together, very long ones cut."""
    cuts = [match.end() for match in _SPLIT.finditer(text)]
    found: list[tuple[int, int]] = []
    start, n_chars = 0, len(text)
    for end in (*cuts, n_chars):
        if end - start < SHORTEST and end < n_chars:
            continue
        while end - start > LONGEST:
            found.append((start, start + LONGEST))
            start += LONGEST
        if end > start:
            found.append((start, end))
        start = end
    return found


class _Known(dict[str, tuple[int, tuple[int, ...], int]]):
    """Word -> its hash, the features it counts as, and its concept or -1."""

    def __missing__(self, word: str) -> tuple[int, tuple[int, ...], int]:
        if len(self) > REMEMBERED:
            self.clear()
        digest = _hash(word)
        pieces = {digest % N_HASHED}
        if len(word) > 4:
            ends = f"<{word[:20]}>"
            pieces.update(_hash(ends[at : at + 4]) % N_HASHED for at in range(len(ends) - 3))
        concept = next((at for at, each in enumerate(CONCEPTS) if each.fullmatch(word)), -1)
        made = self[word] = (digest, tuple(pieces), concept)
        return made


KNOWN: Final = _Known()


def features(found: Sequence[str]) -> tuple[frozenset[int], float, set[int]]:
    """Return what words count as: hashed features, the weight of each of these, and concepts."""
    known = [KNOWN[word] for word in found]
    hashed: set[int] = set()
    for _, pieces, _ in known:
        hashed.update(pieces)
    hashes = [_START, *(each[0] for each in known)]
    hashed.update(
        ((one * _PAIR ^ two) & 0xFFFFFFFF) * _PAIR >> 7 & (N_HASHED - 1) for one, two in pairwise(hashes)
    )
    return frozenset(hashed), 4.0 / sqrt(max(len(hashed), 1)), _concepts([each[2] for each in known])


def _concepts(line: Sequence[int]) -> set[int]:
    found: set[int] = set()
    counts: dict[int, int] = {}
    last = -1
    for each in line:
        if each < 0:
            continue
        if each == BREAK:
            last = -1
            continue
        counts[each] = n = counts.get(each, 0) + 1
        found.add(N_HASHED + each)
        if n == 3:
            found.add(TWICE + each)
        if last >= 0:
            found.add(PAIRS + last * N_CONCEPTS + each)
        last = each
    return found


def _hash(word: str) -> int:
    return zlib.crc32(word[:40].encode("utf-8", "surrogatepass"))
