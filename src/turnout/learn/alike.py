"""Why two questions that sound alike are not the same one. Floor 2.

Theory of operation.

1. Vectors hardly tell "enable 2FA" from "disable 2FA", or 2019 from 2020. So before an answer is given to
   another question than the one it was made for, both texts are compared word by word, and the first thing
   that makes them different ones is a veto. A veto costs a call to a model; its absence may cost a wrong
   answer. So every rule errs on the side of the veto.
2. Words are compared by their stems. What differs is sorted: negations, numbers, dates, code, names,
   opposites. A word that stands on one side only, and is none of these, is a veto unless it carries no
   meaning of its own ("please", "best way") or the other side has a synonym.
3. The same words in another order are another question where a word of direction stands between them
   ("from Paris to London").
4. The lists are English, with negations of some other languages. A text in another script passes only where
   its words are the same.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from msgspec import Struct

from turnout.learn.alike_words import (
    ASKS,
    AUXILIARIES,
    DATES,
    DIRECTIONS,
    LIGHT,
    NEGATIONS,
    NUMBERS,
    OWNERS,
    PAIRS,
    SAME,
)
from turnout.types.cache import Veto

MAX_CHARS: Final = 1_000
"""Of a question: what is longer carries too much that a vector does not tell."""
EDITION: Final = 1
"""Of the rules: a threshold is calibrated with one edition."""
_WORD: Final = re.compile(r"(?:(?<!\S)[-−])?\d(?:[\d.,:/%]*\d)?%?|[^\W\d_]++(?:['’][^\W\d_]++)?|[^\w\s]")
_CODE: Final = re.compile(
    r"`[^`]*`|https?://\S++|(?<![\w.-])[\w.-]++@[\w.-]++|(?<![\w-])--?[A-Za-z][\w-]*+|\b\w++\([^)(]*\)"
    r"|\b[A-Za-z]\w*+(?:[._]\w++)+|(?<![\w./~-])[/~]?(?:[\w.-]++/)+[\w.-]*+|[{}\[\]<>=+*^|\\;$&#@~]++|!="
)
"""Every alternative begins where it could not have begun before, so that no text takes more than one look."""
_NAME: Final = re.compile(r"\w++")
_CAMEL: Final = re.compile(r"[a-z][A-Z]")
_NT: Final = re.compile(r"(?i)\b(\w+)n['’]t\b")
_CUT: Final = re.compile(r"['’](s|re|ve|ll|d|m)$")
_PREFIXES: Final = ("un", "dis", "de", "in", "im", "il", "ir", "non", "mis", "anti", "re", "under", "over")
_SUFFIXES: Final = ("less", "ful")
_LEAST_STEM: Final = 3
_ENDINGS: Final = (
    *(("ies", "y"), ("ied", "y"), ("sses", "ss"), ("ing", ""), ("ed", ""), ("es", ""), ("s", "")),
)


class Reading(Struct, frozen=True):
    """What a text says, sorted."""

    words: tuple[str, ...]
    """Stems of the words that carry meaning, in their order."""
    negations: int
    numbers: Mapping[str, int]
    dates: frozenset[str]
    code: Mapping[str, int]
    names: frozenset[str]
    """Stems of words written with a capital inside a sentence, or in capitals."""
    directions: frozenset[str]
    asks: frozenset[str]
    """What is asked after: who, when, where, why, how many."""
    owners: frozenset[str]
    """Whose: mine, yours, theirs."""
    script: str
    n_chars: int


def veto(one: str, other: str) -> Veto | None:
    """Return what makes two questions different ones; None: nothing that was looked for."""
    a, b = reading(one), reading(other)
    if a.n_chars > MAX_CHARS or b.n_chars > MAX_CHARS:
        return "long"
    if a.script != b.script:
        return "language"
    if a.negations != b.negations:
        return "negation"
    if a.dates != b.dates:
        return "date"
    if a.code != b.code:
        return "code"
    if a.numbers != b.numbers:
        return "number"
    return _by_words(a, b)


def _by_words(a: Reading, b: Reading) -> Veto | None:
    left, right = _unmatched(a.words, b.words)
    if _are_opposite(left, right):
        return "opposite"
    if not (a.names | b.names).isdisjoint((*left, *right)):
        return "entity"
    if left or right or a.asks != b.asks:
        return "word"
    if a.owners and b.owners and a.owners != b.owners:
        return "entity"
    if (a.directions or b.directions) and _turned(a.words, b.words):
        return "opposite"
    return None


def _unmatched(one: Sequence[str], other: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words of each side that the other has neither as they are nor by a synonym."""
    known_one, known_other = set(map(_sense, one)), set(map(_sense, other))
    return (
        [word for word in dict.fromkeys(one) if _sense(word) not in known_other],
        [word for word in dict.fromkeys(other) if _sense(word) not in known_one],
    )


def _sense(word: str) -> str:
    return _SENSES.get(word, word)


def _are_opposite(left: Sequence[str], right: Sequence[str]) -> bool:
    for word in left:
        for other in right:
            if (word, other) in _OPPOSITES or _by_affix(word, other) or _by_affix(other, word):
                return True
    return False


def _by_affix(word: str, longer: str) -> bool:
    return any(longer == prefix + word for prefix in _PREFIXES) or any(
        longer == word + suffix for suffix in _SUFFIXES
    )


def _turned(one: Sequence[str], other: Sequence[str]) -> bool:
    """Tell whether words that both have come in another order."""
    return [_sense(word) for word in one] != [_sense(word) for word in other]


def reading(text: str) -> Reading:
    """Read a text."""
    n_chars = len(text)
    text = unicodedata.normalize("NFKC", text[: MAX_CHARS + 1])
    found = _Found()
    if _opens_with_auxiliary(text):
        found.asks.add("whether")
    starts, before = True, ""
    for raw in _WORD.findall(_NT.sub(r"\1 not ", text)):
        if not (raw[0].isalnum() or raw[-1].isdigit() or raw[-1] == "%"):
            starts = starts or raw in ".?!:;\n"
            continue
        low = _CUT.sub("", raw.casefold().replace("’", "'"))
        asked = ASKS.get(f"{before} {low}", ASKS.get(low))
        if asked is not None:
            found.asks.add(asked)
        found.take(raw, low, starts=starts)
        starts, before = False, low
    return Reading(
        tuple(found.words),
        found.negations,
        found.numbers,
        frozenset(found.dates),
        _code_in(text),
        frozenset(found.names),
        frozenset(found.directions),
        frozenset(found.asks),
        frozenset(found.owners),
        _script(text),
        n_chars,
    )


class _Found:
    """What was read so far."""

    __slots__ = ("asks", "dates", "directions", "names", "negations", "numbers", "owners", "words")

    def __init__(self) -> None:
        self.words: list[str] = []
        self.numbers: Counter[str] = Counter()
        self.names: set[str] = set()
        self.dates: set[str] = set()
        self.directions: set[str] = set()
        self.asks: set[str] = set()
        self.owners: set[str] = set()
        self.negations = 0

    def take(self, raw: str, low: str, *, starts: bool) -> None:
        """Sort one word, as it stands and in lower case; `starts`: it begins a sentence."""
        if not low[0].isalpha():
            self.numbers[low.replace(",", "").rstrip(".:/")] += 1
        elif low in NUMBERS:
            self.numbers[NUMBERS[low]] += 1
        elif low in NEGATIONS:
            self.negations += 1
        else:
            self._sort(raw, low, starts=starts)

    def _sort(self, raw: str, low: str, *, starts: bool) -> None:
        if low in DIRECTIONS:
            self.directions.add(low)
        if low in OWNERS:
            self.owners.add(OWNERS[low])
        if low in DATES:
            self.dates.add(DATES[low])
        elif low not in LIGHT:
            stem = stem_of(low)
            self.words.append(stem)
            if (raw[0].isupper() and not starts) or (len(raw) > 1 and raw.isupper()):
                self.names.add(stem)


def _opens_with_auxiliary(text: str) -> bool:
    """Tell whether a question is answered by yes or no; asked whether there is a way, it means the way."""
    first, _, rest = text.casefold().partition(" ")
    return first in AUXILIARIES and not any(word in f" {rest} " for word in (" way ", " ways ", " possible "))


def _code_in(text: str) -> Counter[str]:
    """Count what only code and addresses hold: signs, paths, calls, names in which cases or digits mix."""
    found = Counter(_bare(match) for match in _CODE.findall(text))
    for name in _NAME.findall(text):
        if not name.isalpha() and not name.isdigit():
            mixed = name[0].isalpha() and any(char.isdigit() for char in name)
            mixed = mixed or (name[0].isdigit() and name[-1].isalpha() and len(name) > 1)
            if mixed:
                found[name] += 1
        elif _CAMEL.search(name):
            found[name] += 1
    return found


def _bare(code: str) -> str:
    return code.strip("`.,;?!").strip()


@lru_cache(maxsize=8192)
def stem_of(word: str) -> str:
    """Return a word without the endings of English inflection; two forms of one word have one stem."""
    for ending, put in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _LEAST_STEM and not word.endswith("ss"):
            word = word[: -len(ending)] + put
            break
    if len(word) > _LEAST_STEM and word[-1] == word[-2] and word[-1] not in "lsz":
        word = word[:-1]
    return word[:-1] if word.endswith("e") and len(word) > _LEAST_STEM else word


_SENSES: Final = {stem_of(word): stem_of(group[0]) for group in SAME for word in group}
"""Stem -> the stem that stands for its group."""
_OPPOSITES: Final = frozenset(
    pair for one, other in PAIRS for a, b in ((stem_of(one), stem_of(other)),) for pair in ((a, b), (b, a))
)


def _script(text: str) -> str:
    """Return the script of a text's first foreign letter; "" for Latin."""
    for char in text:
        if ord(char) > 0x24F and char.isalpha():
            return unicodedata.name(char, "?").split(" ", 1)[0]
    return ""
