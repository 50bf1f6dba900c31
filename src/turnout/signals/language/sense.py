"""Script by code point, language by letters, words and trigrams. Floor 2.

Theory of operation.
1. The script of most letters decides first. Scripts of one language (Thai, Hangul, …) end there; Cyrillic and
   Arabic are told apart by letters that only one of their languages uses.
2. For Latin letters two votes are added: the share of frequent words of each language among the words, and
   the share of its trigrams among the first of the text. Words win in sentences, trigrams in single words.
3. Too few letters, or two languages alike: `und`, the declared default. Code and names have no language.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from itertools import islice
from typing import Final

from msgspec import Struct

from turnout.signals.base import canonical_of
from turnout.signals.language.profiles import LATIN
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest
from turnout.types.signal import Signal, Signals

SAMPLE_CHARS: Final = 320
"""Read for the script: more changes the answer for few texts and costs time for all."""
TRIGRAM_CHARS: Final = 160
MAX_WORDS: Final = 120
MAX_SHARES: Final = 3
"""Languages kept per trigram: one that many share tells little."""
SURE: Final = 0.7
"""Confidence from words alone at which trigrams are not looked at."""
MIN_LETTERS: Final = 3
"""In words of two or more: single letters are names in formulas."""
MIN_SCORE: Final = 0.12
"""Of the best language; below it the text may be code, names or a language that has no profile."""
MIN_LEAD: Final = 0.02
UNDETERMINED: Final = "und"

_RANGES: Final = (
    *((0x41, 0x24F, "Latn"), (0x370, 0x3FF, "Grek"), (0x400, 0x52F, "Cyrl"), (0x530, 0x58F, "Armn")),
    *((0x590, 0x5FF, "Hebr"), (0x600, 0x77F, "Arab"), (0x900, 0x97F, "Deva"), (0x980, 0x9FF, "Beng")),
    *((0xA00, 0xA7F, "Guru"), (0xA80, 0xAFF, "Gujr"), (0xB80, 0xBFF, "Taml"), (0xC00, 0xC7F, "Telu")),
    *((0xC80, 0xCFF, "Knda"), (0xD00, 0xD7F, "Mlym"), (0xD80, 0xDFF, "Sinh"), (0xE00, 0xE7F, "Thai")),
    *((0xE80, 0xEFF, "Laoo"), (0x1000, 0x109F, "Mymr"), (0x10A0, 0x10FF, "Geor"), (0x1100, 0x11FF, "Hang")),
    *((0x1200, 0x139F, "Ethi"), (0x1780, 0x17FF, "Khmr"), (0x1E00, 0x1EFF, "Latn"), (0x1F00, 0x1FFF, "Grek")),
    *((0x3040, 0x30FF, "Kana"), (0x3400, 0x9FFF, "Hani"), (0xAC00, 0xD7AF, "Hang"), (0xF900, 0xFAFF, "Hani")),
    *((0x20000, 0x3134F, "Hani"),),
)
"""First and last code point of the blocks in use, and the ISO 15924 code; in order."""
_STARTS: Final = tuple(start for start, _, _ in _RANGES)

_PAIRS: Final = (
    "Grek:el Armn:hy Hebr:he Deva:hi Beng:bn Guru:pa Gujr:gu Taml:ta Telu:te Knda:kn Mlym:ml Sinh:si Thai:th "
    "Laoo:lo Mymr:my Geor:ka Hang:ko Ethi:am Khmr:km Kana:ja Hani:zh"
)
_ONE_LANGUAGE: Final[Mapping[str, str]] = {pair[:4]: pair[5:] for pair in _PAIRS.split()}
_MARKS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "Cyrl": (("uk", "іїєґІЇЄҐ"), ("sr", "ђјљњћџЂЈЉЊЋЏ"), ("ru", "ыэёЫЭЁ"), ("bg", "ъщЪЩ"), ("ru", "")),
    "Arab": (("ur", "ٹڈڑے"), ("fa", "پچژگ"), ("ar", "")),
}
"""Script -> languages with the letters that give them away, most telling first; "" = otherwise."""
_NOT_LETTERS: Final = re.compile(r"[\W\d_]+")


class Guess(Struct, frozen=True):
    """A code with how sure it is."""

    code: str
    confidence: float


class ScriptSense(Struct, frozen=True):
    """ISO 15924 code of the script of most letters. Declared default when absent: `und`."""

    name: str = "script"
    needs: frozenset[str] = frozenset({"canonical"})

    def read(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Signal:
        """Return the code, with the share of the letters as confidence."""
        guess = script_of(canonical_of(request, so_far).intent[:SAMPLE_CHARS])
        return Signal(value=guess.code, confidence=guess.confidence)


class LangSense(Struct, frozen=True):
    """ISO 639-1 code of the user's language. Declared default when absent: `und`."""

    name: str = "lang"
    needs: frozenset[str] = frozenset({"canonical"})

    def read(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Signal:
        """Return the code, or `und` when two languages are alike or nothing is known."""
        found = canonical_of(request, so_far)
        guess = language_of(found.intent, found.words)
        return Signal(value=guess.code, confidence=guess.confidence)


def script_of(text: str) -> Guess:
    """Return the script of most letters of a text."""
    if text.isascii():
        return Guess("Latn" if any(map(str.isalpha, text)) else UNDETERMINED, 1.0)
    counts: Counter[str] = Counter()
    for char, n in Counter(text).items():
        if char.isalpha():
            counts[_script(ord(char))] += n
    if not counts:
        return Guess(UNDETERMINED, 1.0)
    if counts["Kana"]:
        counts["Kana"] += counts.pop("Hani", 0)
    code, n = counts.most_common(1)[0]
    return Guess(code, n / counts.total())


def language_of(text: str, words: Mapping[str, int]) -> Guess:
    """Return the language of a text and its words (`signals.base.words_of`)."""
    sample = text[:SAMPLE_CHARS]
    script = script_of(sample)
    if script.code in _ONE_LANGUAGE:
        return Guess(_ONE_LANGUAGE[script.code], script.confidence)
    if script.code in _MARKS:
        for code, letters in _MARKS[script.code]:
            if not letters or not set(letters).isdisjoint(text):
                return Guess(code, script.confidence * (0.9 if letters else 0.7))
    if script.code != "Latn":
        return Guess(UNDETERMINED, script.confidence)
    return _latin(sample, words)


def _script(code_point: int) -> str:
    at = bisect_right(_STARTS, code_point) - 1
    return _RANGES[at][2] if at >= 0 and code_point <= _RANGES[at][1] else "Zyyy"


def _latin(sample: str, words: Mapping[str, int]) -> Guess:
    scores = [0.0] * len(_CODES)
    n_words = 0
    for word, n in islice(words.items(), MAX_WORDS):
        n_words += n
        for at in _BY_WORD.get(word, ()):
            scores[at] += n
    guess = _best(scores, n_words)
    if guess.confidence >= SURE and guess.code != UNDETERMINED:
        return guess
    letters = _letters(sample[:TRIGRAM_CHARS])
    if sum(len(word) for word in letters.split() if len(word) > 1) < MIN_LETTERS:
        return Guess(UNDETERMINED, 1.0)
    trigrams = _trigrams(letters)
    share = max(n_words, 1) / len(trigrams)
    for trigram in trigrams:
        for at, weight in _BY_TRIGRAM.get(trigram, ()):
            scores[at] += weight * share
    return _best(scores, n_words)


def _best(scores: list[float], n_words: int) -> Guess:
    """Return the language with the highest score per word, if it leads."""
    best = max(scores)
    at = scores.index(best)
    second = max((score for i, score in enumerate(scores) if i != at), default=0.0)
    best, second = best / max(n_words, 1), second / max(n_words, 1)
    if best < MIN_SCORE or best - second < MIN_LEAD:
        return Guess(UNDETERMINED, 1.0 - min(best, 1.0))
    return Guess(_CODES[at], min(0.99, (best - second) / best + 0.3))


def _letters(text: str) -> str:
    return f" {_NOT_LETTERS.sub(' ', text.lower()).strip()} "


def _trigrams(letters: str) -> list[str]:
    return [letters[at : at + 3] for at in range(len(letters) - 2)]


_CODES: Final = tuple(LATIN)


def _index_words() -> Mapping[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for at, code in enumerate(_CODES):
        for word in LATIN[code].words.split():
            found[word] = (*found.get(word, ()), at)
    return found


def _index_trigrams() -> Mapping[str, tuple[tuple[int, float], ...]]:
    """Weigh each trigram by how much more often one language has it than all."""
    profiles = [Counter(_trigrams(_letters(LATIN[code].text))) for code in _CODES]
    totals: Counter[str] = Counter()
    for profile in profiles:
        totals.update(profile)
    return {trigram: _shares(trigram, profiles, n) for trigram, n in totals.items()}


def _shares(trigram: str, profiles: list[Counter[str]], total: int) -> tuple[tuple[int, float], ...]:
    shares = [
        (at, profile[trigram] / (total + 2)) for at, profile in enumerate(profiles) if trigram in profile
    ]
    return tuple(sorted(shares, key=lambda pair: -pair[1])[:MAX_SHARES])


_BY_WORD: Final = _index_words()
_BY_TRIGRAM: Final = _index_trigrams()
