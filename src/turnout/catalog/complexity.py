"""Fitted weights of the `complexity` signal, with their card. Floor 1.

Written by `scripts/fit_complexity.py`; read once, when a strategy asks for the signal.
"""

from collections.abc import Mapping
from functools import cache
from math import log1p
from pkgutil import get_data
from typing import Final

import msgspec
from msgspec import Struct

FEATURES: Final = (
    "chars",
    "words_per_sentence",
    "letters_per_word",
    "distinct",
    "numbers",
    "signs",
    "lines",
    "question_marks",
    "instructions",
    "questions",
    "constraints",
    "steps",
    "clauses",
    "reasons",
    "courtesies",
    "readability",
)
"""Features of `lexical` that are used, in the order of a vector."""
_LOGGED: Final = frozenset(FEATURES) - {"distinct", "signs", "letters_per_word", "readability"}
"""Counts enter as log(1 + n): the tenth number says less than the first."""


class Metric(Struct, frozen=True, kw_only=True):
    """How well held-out prompts of one table were told apart."""

    table: str
    n: int
    rank_correlation: float
    """Spearman's, between the score and the share of models that failed."""
    rank_correlation_length: float
    """The same for the length of the prompt, the baseline."""
    log_loss: float
    log_loss_constant: float
    """Of the table's mean for every prompt."""


class Card(Struct, frozen=True, kw_only=True):
    """Where weights come from."""

    fitted_on: str
    """ISO date."""
    label: str
    data: Mapping[str, str]
    """Table -> digest of the file."""
    n_train: Mapping[str, int]
    ridge: float
    metrics: tuple[Metric, ...]
    quantiles: tuple[float, ...]
    """Deciles of the score over training prompts: thresholds for a share until own traffic is known."""


class Weights(Struct, frozen=True, kw_only=True):
    """A logistic model over lexical features."""

    bias: float
    weights: Mapping[str, float]
    means: Mapping[str, float]
    """Training mean of each transformed feature: what stands in for one that is missing."""
    card: Card


@cache
def shipped() -> Weights:
    """Return the weights that come with the package."""
    data = get_data("turnout.catalog", "complexity.json") or b""
    return msgspec.json.decode(data, type=Weights)


def transformed(name: str, value: float) -> float:
    """Return a feature as it enters the model."""
    return log1p(value) if name in _LOGGED else value


def vector(features: Mapping[str, float]) -> list[float]:
    """Return the features in the order of `FEATURES`, transformed."""
    return [transformed(name, features[name]) for name in FEATURES]
