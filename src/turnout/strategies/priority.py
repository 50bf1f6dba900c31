"""`priority`: the declared order is the order. Floor 2."""

from collections.abc import Sequence

from msgspec import Struct

from turnout import plan as plans
from turnout.strategies.base import Choice, Context, Draw
from turnout.types.deployment import Candidate


class Priority(Struct, frozen=True, tag="priority"):
    """Asks the first candidate; the next ones, in their order, when it fails."""

    max_fallbacks: int = 5
    spread_vendors: bool = False
    """Of several deployments of one model, ask another vendor's second: what broke one is likely to break
    the next of the same vendor. For pools whose order nobody declared."""

    @property
    def name(self) -> str:
        """Word for Records."""
        return "priority"

    @property
    def needs(self) -> frozenset[str]:
        """No signal."""
        return frozenset()

    def choose(self, context: Context, candidates: Sequence[Candidate], draw: Draw) -> Choice:
        """Return the candidates as a sequence, by `priority` and then as declared."""
        if len(candidates) == 1:
            return Choice(plan=plans.Try(candidates[0].id), reason="highest_score", propensity=1.0)
        ordered = sorted(candidates, key=lambda c: c.deployment.priority)
        if self.spread_vendors:
            ordered = _spread(ordered)
        if not context.ask.prefer.allow_fallbacks:
            ordered = ordered[:1]
        nodes = tuple(plans.Try(c.id) for c in ordered[: self.max_fallbacks + 1])
        return Choice(plan=plans.Sequence(nodes), reason="highest_score", propensity=1.0)


def _spread(ordered: Sequence[Candidate]) -> list[Candidate]:
    first, *rest = ordered
    model, vendor = first.deployment.model.id, first.deployment.vendor.name
    rest.sort(key=lambda c: (c.deployment.model.id != model, c.deployment.vendor.name == vendor))
    return [first, *rest]
