"""`complexity`: how likely a mid-size model is to fail on this request. Floor 2."""

from collections.abc import Mapping
from math import exp
from typing import Final

from msgspec import Struct

from turnout.catalog.complexity import FEATURES, Weights, shipped, transformed
from turnout.signals.base import AbsentError
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest
from turnout.types.signal import Signal, Signals


class ComplexitySense(Struct, frozen=True):
    """A number in (0, 1), from `lexical` by fitted weights. Declared default when absent: 0.5.

    It ranks requests; it is no probability for a given model. Weights and card: `catalog/complexity.json`.
    """

    name: str = "complexity"
    needs: frozenset[str] = frozenset({"lexical"})
    weights: Weights | None = None
    """Own weights; None = those that come with the package."""

    def read(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Signal:
        """Return the score. Raises `AbsentError` where there are no features."""
        found = so_far.get("lexical")
        if found is None or not isinstance(found.value, Mapping):
            raise AbsentError("no_lexical")
        if not found.value.get("chars"):
            raise AbsentError("no_intent")
        return Signal(value=score(found.value, self.weights or shipped()))


def score(features: Mapping[str, object], weights: Weights) -> float:
    """Return σ(b + vᵀf); a feature that is missing counts as its training mean."""
    total = weights.bias
    for name in FEATURES:
        value = features.get(name)
        known = isinstance(value, int | float)
        total += weights.weights[name] * (transformed(name, value) if known else weights.means[name])  # type: ignore[arg-type]  # known says it
    return 1 / (1 + exp(-min(max(total, -30.0), 30.0)))


COMPLEXITY: Final = ComplexitySense()
