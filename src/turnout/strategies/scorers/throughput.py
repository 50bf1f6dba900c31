"""`throughput`: how fast a deployment writes. Floor 2."""

from collections.abc import Sequence

from msgspec import Struct

from turnout.strategies.base import Context, Role
from turnout.types.deployment import Candidate


class Throughput(Struct, frozen=True, tag="throughput", kw_only=True, forbid_unknown_fields=True):
    """Observed output tokens per second, in hundreds."""

    weight: float = 1.0
    prior_tokens_per_s: float = 50.0
    """Expected of a deployment nobody has called yet."""

    @property
    def name(self) -> str:
        """Word for Records."""
        return "throughput"

    @property
    def role(self) -> Role:
        """A rank: it is no price and no quality."""
        return "rank"

    @property
    def needs(self) -> frozenset[str]:
        """No signal."""
        return frozenset()

    def score(self, context: Context, candidates: Sequence[Candidate]) -> list[float]:
        """Return hundreds of tokens per second of each deployment."""
        prior = self.prior_tokens_per_s
        return [(c.stats.tokens_per_s or prior) / 100 for c in candidates]
