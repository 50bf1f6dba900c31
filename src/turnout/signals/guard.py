"""`guard.*`: what guards found in the request, for rules and strategies. Floor 2.

A signal is absent where no guard of its kind was asked, or it gave no answer: nobody knows then.
"""

from typing import Final

from msgspec import Struct

from turnout.signals.base import AbsentError
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest
from turnout.types.signal import Signal, Signals


class GuardSense(Struct, frozen=True):
    """How sure the guards of one type are that they found something: 0 to 1, 0 = nothing."""

    name: str
    """`guard.` and the type."""
    needs: frozenset[str] = frozenset()

    def read(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Signal:
        """Return the score. Raises `AbsentError` where no such guard answered."""
        found = ask.findings
        score = None if found is None else found.types.get(self.name.removeprefix("guard."))
        if score is None:
            raise AbsentError("not_asked")
        return Signal(value=score)


class FoundSense(Struct, frozen=True):
    """Kind of finding -> how many there are (`signal.guard.found.email`)."""

    name: str = "guard.found"
    needs: frozenset[str] = frozenset()

    def read(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Signal:
        """Return the counts. Raises `AbsentError` where no guard was asked."""
        if ask.findings is None:
            raise AbsentError("not_asked")
        return Signal(value=dict(ask.findings.kinds))


class NamedSense(Struct, frozen=True):
    """Name of a configured guard -> its score (`signal.guard.named.my_guard`)."""

    name: str = "guard.named"
    needs: frozenset[str] = frozenset()

    def read(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Signal:
        """Return the scores. Raises `AbsentError` where no guard was asked."""
        if ask.findings is None:
            raise AbsentError("not_asked")
        return Signal(value=dict(ask.findings.names))


class FlaggedSense(Struct, frozen=True):
    """Whether any guard in the mode `flag` found something."""

    name: str = "guard.flagged"
    needs: frozenset[str] = frozenset()

    def read(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Signal:
        """Return it. Raises `AbsentError` where no guard was asked."""
        if ask.findings is None:
            raise AbsentError("not_asked")
        return Signal(value=ask.findings.flagged)


FOUND: Final = FoundSense()
NAMED: Final = NamedSense()
FLAGGED: Final = FlaggedSense()
HTTP: Final = GuardSense("guard.http")
INJECTION: Final = GuardSense("guard.injection")
JUDGE: Final = GuardSense("guard.judge")
LINKS: Final = GuardSense("guard.links")
MODERATION: Final = GuardSense("guard.moderation")
PII: Final = GuardSense("guard.pii")
PRESIDIO: Final = GuardSense("guard.presidio")
SECRETS: Final = GuardSense("guard.secrets")
WORDS: Final = GuardSense("guard.words")
