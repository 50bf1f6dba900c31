"""`load`: how full a deployment is. Floor 2."""

from collections.abc import Sequence

from msgspec import Struct

from turnout.strategies.base import Context, Role
from turnout.types.deployment import Candidate


class Load(Struct, frozen=True, tag="load", kw_only=True, forbid_unknown_fields=True):
    """Minus calls in flight over the limit: 0 = idle, -1 = full."""

    weight: float = 1.0
    limit: int = 100
    """Stands in for a deployment that declares none."""

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ValueError(f"limit is {self.limit}; expected at least 1")

    @property
    def name(self) -> str:
        """Word for Records."""
        return "load"

    @property
    def role(self) -> Role:
        """A load."""
        return "load"

    @property
    def needs(self) -> frozenset[str]:
        """No signal."""
        return frozenset()

    def score(self, context: Context, candidates: Sequence[Candidate]) -> list[float]:
        """Return minus the share of its limit that each deployment has in flight."""
        limit = self.limit
        return [-c.stats.in_flight / (c.deployment.limits.max_concurrency or limit) for c in candidates]
