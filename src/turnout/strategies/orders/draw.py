"""`weighted`: the first candidate by lot. Floor 2."""

from collections.abc import Sequence
from math import exp, isfinite
from typing import Literal

from msgspec import Struct

from turnout.strategies.base import Arranged, Context, Draw, Slate


class WeightedDraw(Struct, frozen=True, tag="weighted", kw_only=True, forbid_unknown_fields=True):
    """Draws the first candidate; the others follow by falling share."""

    by: Literal["weight", "utility", "softmax"] = "softmax"
    """`weight`: the deployments' weights. `utility`: in proportion (negative counts as 0). `softmax`."""
    temperature: float = 0.1
    """Of the softmax: utilities this far apart differ in probability by a factor of e."""

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature is {self.temperature}; expected above 0")

    @property
    def name(self) -> str:
        """Word for Records."""
        return "weighted"

    @property
    def explores(self) -> bool:
        """Whether a worse candidate may come first on purpose."""
        return self.by == "softmax"

    def arrange(self, context: Context, slate: Slate, draw: Draw) -> Arranged:
        """Return the drawn candidate first, with its exact probability."""
        eligible = slate.eligible
        if not slate.explorable or len(eligible) == 1:
            best = max(eligible, key=slate.utilities.__getitem__)
            return Arranged(indices=[best, *(i for i in eligible if i != best)])
        shares = self.shares(slate)
        at = _drawn(shares, draw.rng.random())
        rest = sorted((i for i in range(len(eligible)) if i != at), key=lambda i: -shares[i])
        return Arranged(
            indices=[eligible[i] for i in (at, *rest)], propensity=shares[at], reason="weighted_draw"
        )

    def shares(self, slate: Slate) -> list[float]:
        """Return the probability of each eligible candidate to come first; they sum to 1."""
        utilities = [slate.utilities[i] for i in slate.eligible]
        if self.by == "weight":
            raw = [max(0.0, slate.candidates[i].deployment.weight) for i in slate.eligible]
        elif self.by == "utility":
            raw = [max(0.0, u) if isfinite(u) else 0.0 for u in utilities]
        else:
            top = max((u for u in utilities if isfinite(u)), default=0.0)
            raw = [exp((u - top) / self.temperature) if isfinite(u) else 0.0 for u in utilities]
        total = sum(raw)
        if total <= 0:
            return [1 / len(raw)] * len(raw)
        return [share / total for share in raw]


def _drawn(shares: Sequence[float], point: float) -> int:
    """Return the index whose share of the line holds `point`; never one of share 0."""
    last = 0
    for at, share in enumerate(shares):
        if share > 0:
            last = at
            if point < share:
                return at
            point -= share
    return last
