"""What the rules of a route ask of the words of a request, as one more signal. Floor 5."""

from turnout.signals.base import Sense
from turnout.strategies.base import Strategy
from turnout.strategies.pipeline.parts import parts_of
from turnout.strategies.rules import Rules, verdicts_of


def verdict_senses(strategy: Strategy) -> tuple[Sense, ...]:
    """Return the sense that answers what the rules of a strategy ask of the words, where they ask."""
    found = verdicts_of(parts_of(strategy, Rules))
    return () if found is None else (found,)
