"""Bounds that one request brings along. Floor 2."""

from msgspec import Struct

from turnout.strategies.base import Context
from turnout.types.deployment import Candidate


class SoonEnough(Struct, frozen=True):
    """Keeps deployments whose first content comes in time, or was never observed."""

    max_ttft_s: float

    @property
    def name(self) -> str:
        """Word for Records."""
        return "rule"

    def drop(self, context: Context, candidate: Candidate) -> str | None:
        """Return `ttft_over_cap` where the observed 95th percentile is above the bound, or None."""
        p95_s = candidate.stats.ttft_p95_s
        return "ttft_over_cap" if p95_s is not None and p95_s > self.max_ttft_s else None


class InRegion(Struct, frozen=True):
    """Keeps deployments that are declared to run in one of the regions."""

    regions: tuple[str, ...]

    @property
    def name(self) -> str:
        """Word for Records."""
        return "allowed"

    def drop(self, context: Context, candidate: Candidate) -> str | None:
        """Return `region_not_allowed`, `region_unknown` or None: what is not declared is no promise."""
        region = candidate.deployment.region
        if region is None:
            return "region_unknown"
        return None if region in self.regions else "region_not_allowed"
