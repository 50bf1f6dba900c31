"""`rules.text`: what the rules of a route ask of a request's words, answered before anybody chooses. Floor 2.

Why a signal: words never go into a Record, so a rule that reads them could not be decided again from one.
The answers can: true, false, or null where the words were not known. The question is the rule's own text,
which is configuration.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from turnout.strategies.base import Context
from turnout.strategies.rules.compiled import Test
from turnout.strategies.rules.facts import VERDICTS, Scene
from turnout.strategies.rules.strategy import Rules
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest
from turnout.types.signal import Signal, Signals


class VerdictSense(Struct, frozen=True):
    """Asks every question once. Declared default when absent: the rules look at the words themselves."""

    questions: Mapping[str, Test]
    """Question as it is written -> the test on the words."""
    name: str = VERDICTS
    needs: frozenset[str] = frozenset({"canonical"})

    def read(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Signal:
        """Return the answers by question."""
        context = Context(
            request=request, ask=ask, n_tokens_in=0, n_tokens_out=0, max_tokens_out=0, signals=so_far
        )
        scene = Scene(context, ())
        return Signal(value={question: test(scene) for question, test in self.questions.items()})


def verdicts_of(rules: Iterable[Rules]) -> VerdictSense | None:
    """Return the sense that answers what these rules ask; None where they ask nothing of the words."""
    found: dict[str, Test] = {}
    for each in rules:
        for condition in each.conditions:
            found.update(condition.texts)
    return VerdictSense(found) if found else None
