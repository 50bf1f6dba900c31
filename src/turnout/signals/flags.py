"""`has.code`, `has.math`, `has.tools`, `has.images`, `wants.json`: what kind of request it is. Floor 2.

Declared default of each when absent: false.
"""

import re
from typing import Final

from msgspec import Struct

from turnout.signals.base import canonical_of
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest
from turnout.types.json import Json
from turnout.types.signal import Signal, Signals

_NOTHING: Final[frozenset[str]] = frozenset()
_CANONICAL: Final = frozenset({"canonical"})

_CODE_SIGNS: Final = (
    ("`", ("```",)),
    ("#", ("#include", "#!/")),
    ("(", ("();", "Traceback (most recent call last)")),
    (")", ("):\n",)),
    ("/", ("</", "/>")),
    (":", ("::",)),
    (">", ("->", "=>")),
    ("=", ("!=", "==")),
    ("&", ("&&",)),
    ("|", ("||",)),
    (" ", ("def ", "return ", "import ", "SELECT ")),
    (".", ("console.log",)),
)
"""Fixed strings of code, each counted once, behind a character that they hold: most texts lack most of these
characters, and looking for one takes a twentieth of looking for a string."""
_STRONG_CODE: Final = frozenset(
    ("```", "#include", "#!/", "Traceback (most recent call last)", "console.log", "&&", "):\n")
)
"""One of these is enough; of the others, and of words, it takes two."""
_CODE_LISTED: Final = (
    "python javascript typescript java golang rust c++ c# sql regex bash dockerfile html css json yaml "
    "api function class method compile compiler stacktrace exception npm pip git commit codebase refactor "
    "repository unittest pytest endpoint async null segfault bug debug script variable loop array "
    "algorithm leetcode"
)
_CODE_WORDS: Final = frozenset(_CODE_LISTED.split())
_TEX_SIGNS: Final = (
    "\\frac",
    "\\sum",
    "\\int",
    "\\sqrt",
    "\\left",
    "\\begin{",
    "\\mathbb",
    "\\(",
    "\\[",
    "\\times",
)
_MATH_CHARS: Final = frozenset("∑∫√≤≥π∞∂∈²³×÷≠±∀∃∇")
_MATH_LISTED: Final = (
    "equation equations integral derivative theorem polynomial probability matrix triangle modulo "
    "logarithm prove solve sum percent percentage remainder divisible integer integers prime fraction "
    "ratio average median perimeter circumference radius hypotenuse calculate compute calculus algebra "
    "geometry arithmetic"
)
_MATH_WORDS: Final = frozenset(_MATH_LISTED.split())
_FORMULA: Final = re.compile(r"\d ?[+*/^=×÷] ?[\d(x]|\b[xyn] ?[=^+*<>]")
_FORMULA_SIGNS: Final = ("=", "+", "^", "*", "×", "÷", "/")

_JSON_SIGNS: Final = (("J", ("JSON", "Json ")), ("j", ("json",)))
"""Behind the character that each begins with, as above."""
_ASKS: Final = re.compile(
    r"\b(?:return|respond|reply|answer|output|give|produce|generate|format|as|in|valid|only)\b[^.\n]{0,60}\bjson\b",
    re.IGNORECASE,
)


class HasCode(Struct, frozen=True):
    """Whether the intent holds code or is about code."""

    name: str = "has.code"
    needs: frozenset[str] = _CANONICAL

    def read(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Signal:
        """Return a truth with a confidence that grows with the signs found."""
        found = canonical_of(request, so_far)
        text = found.intent
        signs = [sign for mark, signs in _CODE_SIGNS if mark in text for sign in signs if sign in text]
        n_words = len(_CODE_WORDS & found.words.keys())
        return _verdict(len(signs) + n_words, strong=not _STRONG_CODE.isdisjoint(signs))


class HasMath(Struct, frozen=True):
    """Whether the intent is a calculation or about mathematics."""

    name: str = "has.math"
    needs: frozenset[str] = _CANONICAL

    def read(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Signal:
        """Return a truth with a confidence that grows with the signs found."""
        found = canonical_of(request, so_far)
        text = found.intent
        n_signs = len(_MATH_WORDS & found.words.keys())
        has_tex = "$$" in text or ("\\" in text and any(sign in text for sign in _TEX_SIGNS))
        has_char = not text.isascii() and not _MATH_CHARS.isdisjoint(text)
        # Most texts hold none of these characters: looking for them is cheaper than the pattern.
        has_formula = any(sign in text for sign in _FORMULA_SIGNS) and _FORMULA.search(text) is not None
        return _verdict(n_signs + has_char + has_formula, strong=has_tex)


class HasTools(Struct, frozen=True):
    """Whether the request offers tools to the model."""

    name: str = "has.tools"
    needs: frozenset[str] = _NOTHING

    def read(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Signal:
        """Return a truth."""
        return _YES if request.facts.n_tools or request.tools else _NO


class HasImages(Struct, frozen=True):
    """Whether a picture is among the messages."""

    name: str = "has.images"
    needs: frozenset[str] = _NOTHING

    def read(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Signal:
        """Return a truth."""
        return _YES if "image" in request.facts.modalities else _NO


class WantsJson(Struct, frozen=True):
    """Whether the answer must be JSON, by parameter or by the user's words."""

    name: str = "wants.json"
    needs: frozenset[str] = _CANONICAL

    def read(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Signal:
        """Return a truth; words are less certain than a parameter."""
        if request.output_format is not None or request.facts.structured:
            return _YES
        text = canonical_of(request, so_far).intent
        if not any(mark in text and any(sign in text for sign in signs) for mark, signs in _JSON_SIGNS):
            return _NO
        return _LIKELY if _ASKS.search(text) else _NO


_YES: Final = Signal(value=True)
_NO: Final = Signal(value=False)
_LIKELY: Final = Signal(value=True, confidence=0.8)


def _verdict(n_signs: int, *, strong: bool) -> Signal:
    value: Json = strong or n_signs >= 2
    if not value:
        return Signal(value=False, confidence=0.9 if n_signs == 0 else 0.6)
    return Signal(value=True, confidence=min(0.95, 0.6 + 0.1 * n_signs + 0.2 * strong))


HAS_CODE: Final = HasCode()
HAS_MATH: Final = HasMath()
HAS_TOOLS: Final = HasTools()
HAS_IMAGES: Final = HasImages()
WANTS_JSON: Final = WantsJson()
