"""How good one answer is, where that can be told without another model. Floor 6. Pure.

Every score is 0 or 1. An answer that cannot be read as what was asked for (no number, no letter, no JSON)
scores 0: for whoever asked, an answer that cannot be used is a wrong one.
"""

import re
import unicodedata
from typing import Final

from turnout.errors import ConfigError
from turnout.evaluate.collect.prompts import Prompt, Scoring
from turnout.strategies.accept.looks import check_pattern
from turnout.strategies.accept.schema import schema_fault
from turnout.types.json import Json

MAX_CHARS: Final = 65_536
"""An answer beyond this is read at its end, where the result stands."""
_NUMBER: Final = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?|[-+]?\.\d+")
_TOLD: Final = re.compile(
    r"(?:answer|choice|option)\W{0,12}(?:is\W{1,6})?\(?\*{0,2}([A-Za-z])\b", re.IGNORECASE
)
_ALONE: Final = re.compile(r"(?<![A-Za-z'])([A-Z])(?![A-Za-z'])")
_FENCE: Final = re.compile(r"```[\w-]*\n(.*?)```", re.DOTALL)
TOLERANCE: Final = 1e-6

NEEDS: Final = {
    "exact": "expected",
    "contains": "expected",
    "number": "expected",
    "choice": "expected",
    "regex": "pattern",
    "json_schema": "schema",
    "code": "tests",
}
"""Scoring -> the column it cannot do without."""


def check(prompt: Prompt, scoring: Scoring) -> None:
    """Refuse a prompt that cannot be scored this way. Raises `ConfigError` with its row."""
    lacks = {
        "expected": not prompt.expected,
        "pattern": prompt.pattern is None,
        "tests": prompt.tests is None,
    }
    lacks["schema"] = prompt.answer_schema is None
    if lacks.get(needed := NEEDS.get(scoring, ""), False):
        raise ConfigError((f"row {prompt.row}: scoring {scoring!r} needs a column `{needed}`",))
    if scoring == "regex" and prompt.pattern is not None:
        try:
            check_pattern(prompt.pattern)
        except ValueError as error:
            raise ConfigError((f"row {prompt.row}: pattern: {error}",)) from None
    if scoring == "number" and (bad := [each for each in prompt.expected if number(each) is None]):
        raise ConfigError((f"row {prompt.row}: expected {bad[0]!r} is no number",))
    if scoring == "choice" and (
        bad := [each for each in prompt.expected if not re.fullmatch("[A-Za-z]", each)]
    ):
        raise ConfigError((f"row {prompt.row}: expected {bad[0]!r} is no single letter",))


def score(prompt: Prompt, scoring: Scoring, answer: str) -> float:
    """Return 1.0 for a right answer, else 0.0.

    Args:
        prompt: With what a right answer is.
        scoring: Any but `judge` and `code`, which need more than the answer.
        answer: The model's text.
    """
    text = answer[-MAX_CHARS:]
    match scoring:
        case "exact":
            right = folded(text) in {folded(each) for each in prompt.expected}
        case "contains":
            right = any(folded(each) in folded(text) for each in prompt.expected)
        case "number":
            found = number(text)
            right = found is not None and any(_close(found, number(each)) for each in prompt.expected)
        case "choice":
            right = choice(text) in {each.upper() for each in prompt.expected}
        case "regex":
            right = re.search(prompt.pattern or "", text) is not None
        case "json_schema":
            right = _fits(prompt, text)
        case _:
            raise ValueError(f"{scoring} needs more than the answer")
    return float(right)


def folded(text: str) -> str:
    """Return a text without case, outer punctuation, articles' worth of white space and Unicode variants."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(plain.split()).strip(" .,;:!?\"'`*_()[]{}")


def number(text: str) -> float | None:
    """Return the last number of a text; thousands may be separated by commas."""
    boxed = text.rfind("\\boxed{")
    found = _NUMBER.findall(text[boxed:] if boxed >= 0 else text)
    return float((found[0] if boxed >= 0 else found[-1]).replace(",", "")) if found else None


def choice(text: str) -> str | None:
    """Return the letter that an answer names: the last after "answer is", else the last that stands alone."""
    stripped = text.strip().strip("*().` ")
    if len(stripped) == 1 and stripped.isalpha():
        return stripped.upper()
    named = _TOLD.findall(text) or _ALONE.findall(text)
    return str(named[-1]).upper() if named else None


def code_of(text: str) -> str:
    """Return the code of an answer: its last fenced block, or all of it."""
    blocks = _FENCE.findall(text)
    return str(blocks[-1]) if blocks else text


def _close(found: float, right: float | None) -> bool:
    return right is not None and abs(found - right) <= TOLERANCE * max(1.0, abs(right))


def _fits(prompt: Prompt, text: str) -> bool:
    import msgspec  # noqa: PLC0415  one function

    try:
        value: Json = msgspec.json.decode(code_of(text.strip()))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return schema_fault(value, prompt.answer_schema or {}) is None
