"""`weighted`: a random draw by weight. Floor 2."""

from collections.abc import Sequence

from msgspec import Struct

from turnout import plan as plans
from turnout.strategies.base import Choice, Context, Draw
from turnout.types.deployment import Candidate


class Weighted(Struct, frozen=True, tag="weighted"):
    """Draws the first candidate with probability proportional to its weight.

    Fallbacks follow by falling weight, those of another vendor first: what broke one deployment of a
    vendor is likely to break the next.
    """

    weights: dict[str, float] = {}
    """Deployment id or model id -> weight, replacing the deployment's own; 0 = only as a fallback."""
    max_fallbacks: int = 5

    @property
    def name(self) -> str:
        """Word for Records."""
        return "weighted"

    @property
    def needs(self) -> frozenset[str]:
        """No signal."""
        return frozenset()

    def choose(self, context: Context, candidates: Sequence[Candidate], draw: Draw) -> Choice:
        """Return the drawn candidate with its exact probability, and a tail of fallbacks."""
        weights = [self._weight(candidate) for candidate in candidates]
        total = sum(weights)
        if total <= 0:
            weights, total = [1.0] * len(candidates), float(len(candidates))
        at = _draw(weights, draw.rng.random() * total)
        first = candidates[at]
        rest = [(w, c) for i, (w, c) in enumerate(zip(weights, candidates, strict=True)) if i != at]
        vendor = first.deployment.vendor.name
        rest.sort(key=lambda pair: (pair[1].deployment.vendor.name == vendor, -pair[0]))
        tail = [c for _, c in rest[: self.max_fallbacks]] if context.ask.prefer.allow_fallbacks else []
        return Choice(
            plan=plans.Sequence(tuple(plans.Try(c.id) for c in (first, *tail))),
            reason="weighted_draw",
            utilities={c.id: w / total for c, w in zip(candidates, weights, strict=True)},
            propensity=weights[at] / total,
        )

    def _weight(self, candidate: Candidate) -> float:
        deployment = candidate.deployment
        weight = self.weights.get(deployment.id)
        if weight is None:
            weight = self.weights.get(deployment.model.id, deployment.weight)
        return max(0.0, weight)


def _draw(weights: Sequence[float], point: float) -> int:
    """Return the index whose share of the line holds `point`; never one of weight 0."""
    last = 0
    for at, weight in enumerate(weights):
        if weight > 0:
            last = at
            if point < weight:
                return at
            point -= weight
    return last
