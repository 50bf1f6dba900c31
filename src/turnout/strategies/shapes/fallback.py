"""`single` and `sequence`: one call, and others only when it fails. Floor 2."""

from collections.abc import Sequence

from msgspec import Struct

from turnout import plan as plans
from turnout.strategies.base import Context, Slate
from turnout.types.deployment import Deployment


class Single(Struct, frozen=True, tag="single", kw_only=True, forbid_unknown_fields=True):
    """The first candidate and nobody else."""

    @property
    def name(self) -> str:
        """Word for Records."""
        return "single"

    def shape(self, context: Context, slate: Slate, indices: Sequence[int]) -> plans.Plan:
        """Return the first candidate."""
        return plans.Try(slate.candidates[indices[0]].id)


class Chain(Struct, frozen=True, tag="sequence", kw_only=True, forbid_unknown_fields=True):
    """The first candidate, then fallbacks: those of another vendor first, unless the ranking is to be kept.

    What broke one deployment of a vendor is likely to break the next.
    """

    max_fallbacks: int = 5
    vendor_first: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.max_fallbacks <= 63:
            raise ValueError(f"max_fallbacks is {self.max_fallbacks}; expected 0 to 63")

    @property
    def name(self) -> str:
        """Word for Records."""
        return "sequence"

    def shape(self, context: Context, slate: Slate, indices: Sequence[int]) -> plans.Plan:
        """Return the candidates as a sequence."""
        candidates = slate.candidates
        n = self.max_fallbacks if context.ask.prefer.allow_fallbacks else 0
        if n == 0 or len(indices) == 1:
            return plans.Try(candidates[indices[0]].id)
        first, others = candidates[indices[0]].deployment, [candidates[i].deployment for i in indices[1:]]
        vendor = first.vendor.name
        rest = [each.id for each in others if each.vendor.name != vendor] if self.vendor_first else ()
        if len(rest) < len(others):
            rest = _in_turn(vendor, others, rest) if self.vendor_first else [each.id for each in others]
        return plans.Sequence((plans.Try(first.id), *map(plans.Try, rest[:n])))


def _in_turn(vendor: str, others: Sequence[Deployment], strangers: Sequence[str]) -> list[str]:
    """Return those of another vendor before those of this one."""
    return [*strangers, *[each.id for each in others if each.vendor.name == vendor]]
