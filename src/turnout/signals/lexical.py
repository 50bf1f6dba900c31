"""`lexical`: counts over the user's intent, the features of `complexity`. Floor 2.

Words are counted by table look-up in one pass. The word tables are English; for other languages the counts
of words, numbers, lines and signs still hold, and the others are zero.
"""

import re
from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

from turnout.signals.base import canonical_of
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest
from turnout.types.signal import Signal, Signals

Kind = Literal["instructions", "questions", "constraints", "steps", "clauses", "reasons", "courtesies"]

VERSION: Final = 1
"""Raised when a feature changes its meaning: fitted weights belong to one version."""

_TABLE: Final[Mapping[Kind, str]] = {
    "instructions": (
        "write explain describe list summarize summarise translate create make generate give find "
        "calculate compute implement fix refactor review compare analyze analyse design build prove "
        "derive solve show convert classify extract rewrite draft plan suggest add remove update evaluate "
        "determine identify discuss optimize optimise debug test estimate define outline argue simplify"
    ),
    "questions": "what who when where why how which whose whom",
    "constraints": (
        "must should only exactly without never always least most unless except avoid ensure require "
        "requires required limit maximum minimum between within cannot not don't under over every each "
        "all any both"
    ),
    "steps": (
        "first second third then next finally after before step steps lastly afterwards subsequently once "
        "phase"
    ),
    "clauses": (
        "and or but because although while if whether since though whereas that which who when where until as"
    ),
    "reasons": (
        "prove proof derive why justify tradeoff trade-off compare contrast evaluate infer deduce "
        "hypothesis implies therefore assume suppose given consistent consider following correct best "
        "consequence argument"
    ),
    "courtesies": "hi hello hey thanks thank please ok okay yes no bye capital spell rhyme define",
}
KINDS: Final[tuple[Kind, ...]] = tuple(_TABLE)
_WORDS: Final[Mapping[str, tuple[int, ...]]] = {
    word: tuple(i for i, kind in enumerate(KINDS) if word in _TABLE[kind].split())
    for word in {word for words in _TABLE.values() for word in words.split()}
}
_SIGNS: Final = str.maketrans("", "", "".join(c for c in map(chr, range(128)) if c.isalnum() or c.isspace()))
_ENDS: Final = ((".", (". ", ".\n")), ("?", ("? ", "?\n")), ("!", ("! ", "!\n")))
"""What ends a sentence, behind its sign: one character is found in a twentieth of the time of two."""
_WIDE_ENDS: Final = ("。", "！", "？", "؟ ", "। ")
_DENSE: Final = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
"""Scripts that put no blanks between words; about two characters make one."""


class LexicalSense(Struct, frozen=True):
    """Counts of the intent. Declared default when absent: the mean of each feature in training."""

    name: str = "lexical"
    needs: frozenset[str] = frozenset({"canonical"})

    def read(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Signal:
        """Return feature name -> number; all zero for an empty intent."""
        found = canonical_of(request, so_far)
        return Signal(value=features(found.intent, found.words))


def features(text: str, words: Mapping[str, int]) -> dict[str, float]:
    """Count over a text and its words (`signals.base.words_of`). Every number is finite and not negative."""
    n_words = sum(words.values())
    n_letters = sum([len(word) * n for word, n in words.items()])
    n_sentences = sum([sum(map(text.count, ends)) for sign, ends in _ENDS if sign in text])
    n_sentences += not text.endswith((" ", "\n")) and bool(text)
    if not text.isascii():
        n_words += len(_DENSE.findall(text)) // 2
        n_sentences += sum(map(text.count, _WIDE_ENDS))
    counts, n_numbers = _per_kind(words)
    return {
        "chars": float(len(text)),
        "words": float(n_words),
        "sentences": float(n_sentences),
        "words_per_sentence": n_words / n_sentences if n_sentences else 0.0,
        "letters_per_word": n_letters / n_words if n_words else 0.0,
        "distinct": len(words) / n_words if n_words else 0.0,
        "numbers": float(n_numbers),
        "signs": len(text.translate(_SIGNS)) / len(text) if text.isascii() and text else 0.0,
        "lines": float(text.count("\n") + 1) if text else 0.0,
        "question_marks": float(text.count("?") + text.count("？") + text.count("؟")),
        **dict(zip(KINDS, counts, strict=True)),
        "readability": _readability(n_words, n_sentences, n_letters),
    }


def _per_kind(words: Mapping[str, int]) -> tuple[list[float], int]:
    counts = [0.0] * len(KINDS)
    n_numbers = 0
    look_up = _WORDS.get
    for word, n in words.items():
        kinds = look_up(word)
        if kinds is not None:
            for kind in kinds:
                counts[kind] += n
        elif word[0].isdigit() or word[-1].isdigit():
            n_numbers += n
    return counts, n_numbers


def _readability(n_words: int, n_sentences: int, n_letters: int) -> float:
    """Return the automated readability index, which counts letters and needs no syllables; 0 = easiest."""
    if not n_words or not n_sentences:
        return 0.0
    grade = 4.71 * n_letters / n_words + 0.5 * n_words / n_sentences - 21.43
    return min(max(grade, 0.0), 40.0)


LEXICAL: Final = LexicalSense()
