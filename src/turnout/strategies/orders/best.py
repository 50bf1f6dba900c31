"""`best`: the highest utility first, ties by rule, exploration by ε. Floor 2.

Theory of operation.

1. A tie is a difference within `tie_band` standard deviations of the difference of two qualities, or within
   `EXACT` where no deviation is known. Among those tied with the best: the session's deployment, else the
   cheaper, else the first declared (ROUTING.md 1.2).
2. With ε > 0 the first choice is, with probability ε, a uniform draw among the eligible candidates whose
   lower bound of quality is within `epsilon_q` of the best one's. The propensity is the law of the whole
   draw, so a draw that falls on the best anyway has probability 1 - ε + ε/n.
3. A request that may not be used to explore (tool loop, pinned session) follows the best, with probability 1.
"""

from collections.abc import Sequence
from heapq import nlargest
from math import hypot

from msgspec import Struct

from turnout.strategies.base import Z_90, Arranged, Context, Draw, Slate, expected_nusd

EXACT = 1e-12
"""Utilities nearer than this are equal: sums of the same terms in another order differ by less."""
MAX_RANKED = 64
"""Candidates ranked below the first; nothing asks for more (ROUTING.md 1.3)."""


class Best(Struct, frozen=True, tag="best", kw_only=True, forbid_unknown_fields=True):
    """The candidate with the highest utility, then the next."""

    tie_band: float = 1.0
    """Standard deviations of the difference within which two candidates count as equal."""
    epsilon: float = 0.0
    """Share of requests that explore."""
    epsilon_q: float = 0.05
    """How much lower the quality of an explored candidate may be."""

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon <= 1:
            raise ValueError(f"epsilon is {self.epsilon}; expected between 0 and 1")
        if not 0 <= self.tie_band < float("inf"):
            raise ValueError(f"tie_band is {self.tie_band}; expected at least 0")

    @property
    def name(self) -> str:
        """Word for Records."""
        return "best"

    @property
    def explores(self) -> bool:
        """Whether a worse candidate may come first on purpose."""
        return self.epsilon > 0

    def arrange(self, context: Context, slate: Slate, draw: Draw) -> Arranged:
        """Return the eligible candidates by falling utility, the tie rule applied to the first."""
        utilities, eligible = slate.utilities, slate.eligible
        if len(eligible) > MAX_RANKED:
            ranked = nlargest(MAX_RANKED, eligible, key=utilities.__getitem__)
        else:
            ranked = sorted(eligible, key=utilities.__getitem__, reverse=True)
        first, rule = self._untied(context, slate, ranked)
        if self.epsilon and slate.explorable and len(eligible) > 1:
            return self._exploring(slate, ranked, first, draw)
        return Arranged(indices=_led_by(first, ranked), tie_break=rule)

    def _untied(self, context: Context, slate: Slate, ranked: Sequence[int]) -> tuple[int, str | None]:
        best = ranked[0]
        if len(ranked) == 1:
            return best, None
        top, sd = slate.utilities[best], slate.sd
        if sd is None:
            limit = top - EXACT
            if slate.utilities[ranked[1]] < limit:
                return best, None
            tied = [i for i in ranked if slate.utilities[i] >= limit]
        else:
            tied = [
                i
                for i in ranked
                if i == best or top - slate.utilities[i] <= self.tie_band * hypot(sd[best], sd[i]) + EXACT
            ]
        return _by_rule(context, slate, sorted(tied)) if len(tied) > 1 else (best, None)

    def _exploring(self, slate: Slate, ranked: Sequence[int], first: int, draw: Draw) -> Arranged:
        safe = self._safe(slate)
        drawn, explored = first, False
        if draw.rng.random() < self.epsilon:
            drawn, explored = safe[draw.rng.randrange(len(safe))], True
        share = self.epsilon / len(safe) if drawn in safe else 0.0
        propensity = share + (1 - self.epsilon if drawn == first else 0.0)
        return Arranged(
            indices=_led_by(drawn, ranked),
            propensity=propensity,
            explored=explored,
            reason="exploration" if explored and drawn != first else "highest_score",
        )

    def _safe(self, slate: Slate) -> Sequence[int]:
        quality, sd = slate.quality, slate.sd
        if quality is None:
            return slate.eligible
        lcb = {i: quality[i] - (Z_90 * sd[i] if sd is not None else 0.0) for i in slate.eligible}
        known = [bound for bound in lcb.values() if bound == bound]  # noqa: PLR0124  leaves NaN out
        if not known:
            return slate.eligible
        least = max(known) - self.epsilon_q
        return [i for i, bound in lcb.items() if bound >= least]


def _led_by(first: int, ranked: Sequence[int]) -> Sequence[int]:
    return ranked if ranked[0] == first else [first, *(i for i in ranked if i != first)]


def _by_rule(context: Context, slate: Slate, tied: Sequence[int]) -> tuple[int, str]:
    """Return the one of `tied` (in the declared order) that the rule prefers, and the rule's word."""
    session, candidates = context.session, slate.candidates
    if session is not None:
        for i in tied:
            if candidates[i].id == session.deployment:
                return i, "session"
    costs = {i: expected_nusd(context, candidates[i].deployment) for i in tied}
    known = {i: cost for i, cost in costs.items() if cost is not None}
    if known:
        least = min(known.values())
        cheapest = [i for i, cost in known.items() if cost == least]
        if len(cheapest) < len(tied):
            return cheapest[0], "cheaper"
    return tied[0], "declared"
