"""`listed`: the order the caller wrote is the order. Floor 2."""

from collections.abc import Sequence

from msgspec import Struct

from turnout import plan as plans
from turnout.strategies.base import Choice, Context, Draw
from turnout.types.deployment import Candidate


class Listed(Struct, frozen=True, tag="listed", forbid_unknown_fields=True):
    """Asks the first candidate; the next ones, as they come, when it fails."""

    max_fallbacks: int = 9

    @property
    def name(self) -> str:
        """Word for Records."""
        return "listed"

    @property
    def needs(self) -> frozenset[str]:
        """No signal."""
        return frozenset()

    def choose(self, context: Context, candidates: Sequence[Candidate], draw: Draw) -> Choice:
        """Return the candidates as a sequence, in the order given."""
        n = self.max_fallbacks + 1 if context.ask.prefer.allow_fallbacks else 1
        nodes = tuple(plans.Try(c.id) for c in candidates[:n])
        plan = nodes[0] if len(nodes) == 1 else plans.Sequence(nodes)
        return Choice(plan=plan, reason="highest_score", propensity=1.0)
