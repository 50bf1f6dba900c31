"""`cascade`: a cheap answer first, a better one when it is not good enough. Floor 2.

Theory of operation.

1. Steps rise in expected cost and, where quality is known, in quality: a candidate that costs more than
   another and is no better is no step. The last step is the best candidate the order put up; the dearest
   where nothing measures quality.
2. With two steps and known qualities, the first step is the one with the best utility of the whole cascade by
   the row of ROUTING.md 1.1, the acceptance rate taken as the step's quality: at most 64 pairs.
3. In a tool loop or a pinned session there is nothing to cascade: what answered before answers again.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from msgspec import Struct, field

from turnout import plan as plans
from turnout.strategies.base import Context, Slate, expected_nusd, in_tool_loop

MAX_PLANS = 64


class Stepped(Struct, frozen=True, tag="cascade", kw_only=True, forbid_unknown_fields=True):
    """Steps of rising cost; an acceptor says whether to go on."""

    accept: plans.Accept
    steps: int = 2
    lambda_: float = field(default=0.0, name="lambda")
    """Quality that one USD is worth when the first step is chosen; 0 = take the cheapest."""
    max_fallbacks: int = 3
    """Asked after the last step failed."""

    def __post_init__(self) -> None:
        if not 2 <= self.steps <= 8:
            raise ValueError(f"steps is {self.steps}; expected 2 to 8")

    @property
    def name(self) -> str:
        """Word for Records."""
        return "cascade"

    def shape(self, context: Context, slate: Slate, indices: Sequence[int]) -> plans.Plan:
        """Return the cascade; a plain sequence where only one step is left."""
        candidates = slate.candidates
        chosen = self._chosen(context, slate, indices)
        rest = [i for i in indices if i not in chosen] if context.ask.prefer.allow_fallbacks else []
        tail = [plans.Try(candidates[i].id) for i in rest[: self.max_fallbacks]]
        steps = [plans.Try(candidates[i].id) for i in chosen]
        if len(steps) == 1:
            return plans.Sequence((*steps, *tail)) if tail else steps[0]
        last: plans.Plan = plans.Sequence((steps[-1], *tail)) if tail else steps[-1]
        return plans.Cascade((*steps[:-1], last), self.accept)

    def _chosen(self, context: Context, slate: Slate, indices: Sequence[int]) -> list[int]:
        if slate.pinned is not None or in_tool_loop(context.request) or len(indices) == 1:
            return [indices[0]]
        costs = {
            i: cost
            for i in indices[:MAX_PLANS]
            if (cost := expected_nusd(context, slate.candidates[i].deployment)) is not None
        }
        if indices[0] not in costs:
            return [indices[0]]
        last = indices[0] if slate.quality is not None else max(costs, key=costs.__getitem__)
        rising = sorted((i for i in costs if costs[i] < costs[last]), key=costs.__getitem__)
        below = _improving(slate, rising, last)
        if not below:
            return [last]
        if self.steps == 2 and slate.quality is not None and self.lambda_ > 0:
            return self._best_pair(slate, costs, below, last)
        return [*below[: self.steps - 1], last]

    def _best_pair(self, slate: Slate, costs: Mapping[int, int], below: list[int], last: int) -> list[int]:
        quality = slate.quality or ()

        def value(i: int) -> float:
            accepted = quality[i]
            usd = (costs[i] + (1 - accepted) * costs[last]) * 1e-9
            return accepted + (1 - accepted) * quality[last] - self.lambda_ * usd

        return [max(below, key=value), last]


def _improving(slate: Slate, rising: list[int], last: int) -> list[int]:
    """Leave out steps that are no better than a cheaper one, or better than the last."""
    quality = slate.quality
    if quality is None:
        return rising
    kept: list[int] = []
    for i in rising:
        if quality[i] < quality[last] and (not kept or quality[i] > quality[kept[-1]]):
            kept.append(i)
    return kept


def break_even(costs_nusd: Sequence[int]) -> tuple[float, ...]:
    """Return, step by step, the escalation rate above which the step costs more than it saves.

    On cost alone two steps lose once more than 1 - c_a / c_b of the answers go on (ROUTING.md 1.5).
    """
    return tuple(1 - cheap / dear if dear else 0.0 for cheap, dear in pairwise(costs_nusd))
