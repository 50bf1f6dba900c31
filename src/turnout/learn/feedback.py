"""What feedback says of quality: one word as a score, many as a mean with its interval. Floor 2.

Theory of operation.

1. Each kind of word has one reading as a score within 0-1, or none. What is read from behaviour weighs
   little: many regenerate out of curiosity.
2. Judged requests are drawn with a known probability; each counts one over it (Horvitz and Thompson). The
   mean is divided by the sum of the weights (Hajek), its interval is Wilson's with the effective number
   (sum w)² / sum w², and for grades between 0 and 1 with their own variance instead of that of coins.
3. No speaker's words make up more than a share of all: the weights of loud ones are scaled down (S-34).
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from turnout.types.feedback import Kind, Signal
from turnout.types.json import Json

Z95: Final = 1.959963984540054
IMPLICIT_WEIGHT: Final[Mapping[Kind, float]] = {
    "implicit.regenerate": 0.05,
    "implicit.rephrase": 0.05,
    "implicit.correction": 0.2,
}
"""How much a sign of displeasure tells: guesses on the careful side, until `turnout fit` weighs them."""
_LABEL: Final = re.compile(r"[\w.:/ -]{1,64}")
_THUMBS: Final[Mapping[str, float]] = {"up": 1.0, "down": 0.0}
_PREFERENCES: Final[Mapping[str, float]] = {"this": 1.0, "other": 0.0, "tie": 0.5}


class Interval(Struct, frozen=True):
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float


def score_of(signal: Signal, value: Json, scale: tuple[float, float] = (0.0, 1.0)) -> float | None:
    """Return what a word says of an answer's quality; None for a label.

    Args:
        signal: Which kind of word.
        value: `thumb`: up, down, true, false, 1, 0. `score`: a number on the scale. `correction`: how much of
            the answer was changed, 0-1, or nothing. `preference`: this, other, tie. `outcome`: whether the
            task was done, or how far, 0-1. `label`: a word of at most 64 characters.
        scale: Worst and best score.

    Raises:
        ValueError: The value is none of these; the message says what is expected.
    """
    match signal:
        case "thumb":
            return _choice(value, _THUMBS, "up, down, true, false, 1 or 0")
        case "score":
            low, high = scale
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError("scale: expected the worst and the best score, as [1, 5]")
            return _number(value, low, high)
        case "correction":
            return 0.0 if value is None else 1.0 - _number(value, 0.0, 1.0)
        case "preference":
            return _choice(value, _PREFERENCES, "this, other or tie")
        case "outcome":
            return float(value) if isinstance(value, bool) else _number(value, 0.0, 1.0)
        case "label":
            if not isinstance(value, str) or not _LABEL.fullmatch(value):
                raise ValueError("value: expected a label of at most 64 letters, digits, spaces and . : / -")
            return None


def _choice(value: Json, words: Mapping[str, float], expected: str) -> float:
    if isinstance(value, str) and value in words:
        return words[value]
    if words is _THUMBS and (isinstance(value, bool) or value in (0, 1)):
        return float(bool(value))
    raise ValueError(f"value: expected {expected}")


def _number(value: Json, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError(f"value: expected a number from {low:g} to {high:g}")
    return (float(value) - low) / (high - low)


def wilson(
    total: float, weight: float, weight_squared: float, squares: float | None = None
) -> Interval | None:
    """Return a weighted mean of scores with its interval; None without any.

    Args:
        total: Sum of weight times score.
        weight: Sum of weights.
        weight_squared: Sum of their squares.
        squares: Sum of weight times the square of the score; None = scores are 0 or 1.

    Source: E. B. Wilson, 1927; effective number of L. Kish, 1965.
    """
    if weight <= 0 or weight_squared <= 0:
        return None
    n, mean = weight * weight / weight_squared, min(1.0, max(0.0, total / weight))
    most = mean * (1 - mean)  # of all scores within 0-1 with this mean
    variance = most if squares is None else min(most, max(0.0, squares / weight - mean * mean))
    spread = Z95 * math.sqrt(variance / n + Z95 * Z95 / (4 * n * n))
    middle, whole = mean + Z95 * Z95 / (2 * n), 1 + Z95 * Z95 / n
    return Interval(mean, max(0.0, (middle - spread) / whole), min(1.0, (middle + spread) / whole))


def capped(weights: Sequence[float], speakers: Sequence[str], most: float) -> list[float]:
    """Return weights of which no speaker has more than a share; a few speakers share alike.

    Args:
        weights: One for each word.
        speakers: Whose word it is.
        most: Largest share of one speaker. Where fewer than 1/most speak, each has the same.
    """
    sums: dict[str, float] = {}
    for speaker, weight in zip(speakers, weights, strict=True):
        sums[speaker] = sums.get(speaker, 0.0) + weight
    limit = _level([*sums.values()], max(most, 1 / len(sums) if sums else most))
    return [
        weight * min(1.0, limit / sums[speaker]) if sums[speaker] > 0 else 0.0
        for speaker, weight in zip(speakers, weights, strict=True)
    ]


def _level(sums: list[float], most: float) -> float:
    """Return the height at which to cut sums off, so that none is more than a share of what is left."""
    sums.sort(reverse=True)
    rest = math.fsum(sums)
    for n, height in enumerate(sums):
        # With n cut to a level x: x = most * (n * x + rest).
        if height <= most * (n * height + rest) + 1e-12:
            return height if n == 0 else max(height, most * rest / (1 - n * most))
        rest -= height
        if (n + 1) * most >= 1:
            return height if n + 1 == len(sums) else sums[n + 1]
    return sums[-1] if sums else 0.0
