"""Finds instructions of an attacker. Floor 2.

Theory of operation.

1. What a user writes is read as a whole by the direct head. What a tool returned or a document holds is read
   sentence by sentence by the indirect head, and a finding is the sentence: a long clean mail is many clean
   sentences, and one bad sentence is not diluted by it.
2. A head is logistic over hashed words, neighbouring pairs and cues (`features.py`), fitted by
   benchmarks/injection.py. Its bar is that of 1 % false alarms (2.5 % for documents) on rows it had not seen
   when it was fitted; `margin` moves it.
3. Nothing here is proof: benchmarks/results/guards/injection.md says what is missed.
"""

import base64
from functools import cache
from math import exp
from typing import ClassVar, Final, Literal

from msgspec import Struct

from turnout.guards.base import NOTHING_FOUND, Context, Finding, Stage, plain
from turnout.guards.injection import weights
from turnout.guards.injection.features import N_FEATURES, cues, grams, segments

HEAD: Final = 4_000
"""Characters of a prompt that the direct head reads at once."""
Reads = Literal["direct", "indirect"]


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
            found = (self._found(shown.text, start, end) for start, end in segments(shown.text))
            return shown.back(each for each in found if each is not None)
        logit = direct(shown.text) - weights.DIRECT_BAR - self.margin
        if logit <= 0:
            return NOTHING_FOUND
        return (Finding(0, len(text), "prompt_injection", _sure(logit)),)

    def _found(self, text: str, start: int, end: int) -> Finding | None:
        logit = score("indirect", text[start:end]) - weights.INDIRECT_BAR - self.margin
        return Finding(start, end, "indirect_injection", _sure(logit)) if logit > 0 else None


def direct(text: str) -> float:
    """Return how much a prompt looks like an attack: the surest of its parts, in logits."""
    return max(score("direct", text[at : at + HEAD]) for at in range(0, max(len(text), 1), HEAD))


def indirect(text: str) -> float:
    """Return the same of a document: its surest sentence."""
    return max((score("indirect", text[start:end]) for start, end in segments(text)), default=-9.0)


def score(head: Reads, text: str) -> float:
    """Return the logit of one head."""
    numbers, scale = _head(head)
    found, weight = grams(text)
    total = weight * sum(numbers[at] for at in found) + sum(numbers[at] for at in cues(text))
    return (total + numbers[N_FEATURES]) * scale


@cache
def _head(name: Reads) -> tuple[tuple[int, ...], float]:
    data, scale = (
        (weights.DIRECT, weights.DIRECT_SCALE)
        if name == "direct"
        else (weights.INDIRECT, weights.INDIRECT_SCALE)
    )
    return tuple(memoryview(base64.b85decode(data)).cast("b")), scale


def _sure(logit: float) -> float:
    return round(1 / (1 + exp(-min(logit, 30.0))), 4)
