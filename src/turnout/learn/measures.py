"""The numbers about a prompt's surface that learned models read beside its vector. Floor 2.

They are read off the very signals that a live request carries, in a fixed order, so that training and serving
cannot drift apart.
"""

import math
from operator import itemgetter
from typing import Final

import numpy as np

from turnout.learn.base import Floats
from turnout.types.json import Json
from turnout.types.signal import Signal, Signals

VERSION: Final = "surface/1"
"""Goes into a card: raised whenever an entry of `MEASURES` changes its meaning or place."""
NEEDS: Final = frozenset({"canonical", "lexical", "has.code", "has.math", "wants.json"})
"""Signals that have to be read before `measures`."""

_COUNTS: Final = (
    "chars", "words", "sentences", "numbers", "lines", "question_marks", "instructions", "questions",
    "constraints", "steps", "clauses", "reasons", "courtesies",
)  # fmt: skip
_RATIOS: Final = ("words_per_sentence", "letters_per_word", "distinct", "signs", "readability")
_FLAGS: Final = ("has.code", "has.math", "wants.json")
MEASURES: Final = (*(f"log_{name}" for name in _COUNTS), *_RATIOS, *_FLAGS)
"""Names of the columns. Counts enter as log(1 + n): a prompt twice as long is not twice as different."""


_counts, _ratios = itemgetter(*_COUNTS), itemgetter(*_RATIOS)


def measures(signals: Signals) -> Floats:
    """Return one number for each of `MEASURES`; NaN where its signal is absent."""
    lexical = signals.get("lexical")
    counts = lexical.value if lexical is not None and lexical.error is None else None
    known = counts if isinstance(counts, dict) else {}
    try:  # almost always everything is there; the careful way takes four times as long
        row = [math.log1p(each) for each in _counts(known)]
        row += _ratios(known)
    except (KeyError, TypeError, ValueError):
        row = [math.log1p(_number(known.get(name))) for name in _COUNTS]
        row += [_number(known.get(name)) for name in _RATIOS]
    row += [_flag(signals.get(name)) for name in _FLAGS]
    return np.array(row)


def _number(value: Json) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _flag(signal: Signal | None) -> float:
    return math.nan if signal is None or signal.error is not None else float(bool(signal.value))
