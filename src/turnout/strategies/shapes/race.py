"""`hedge` and `fanout`: several calls at once. Floor 2."""

from collections.abc import Sequence

from msgspec import Struct

from turnout import plan as plans
from turnout.strategies.base import Context, Slate, in_tool_loop, worst_nusd
from turnout.types.chat import ChatRequest

MIN_OBSERVED = 20
"""Calls from which an observed tail stands for the next call."""


class Hedged(Struct, frozen=True, tag="hedge", kw_only=True, forbid_unknown_fields=True):
    """The first candidate, and after a delay the second as well; the first to begin its answer wins.

    Not hedged: a request whose tools run at the upstream or whose tool loop is open (it must not run twice),
    a request without allowance for extra calls, and one whose second call would not be affordable.
    """

    delay_s: float | None = None
    """None = the observed 95th percentile of the first candidate."""
    default_delay_s: float = 2.0
    """Taken while too little was observed."""
    max_fallbacks: int = 5

    def __post_init__(self) -> None:
        for name, delay in (("delay_s", self.delay_s), ("default_delay_s", self.default_delay_s)):
            if delay is not None and not 0 <= delay < float("inf"):
                raise ValueError(f"{name} is {delay}; expected at least 0 seconds")

    @property
    def name(self) -> str:
        """Word for Records."""
        return "hedge"

    def shape(self, context: Context, slate: Slate, indices: Sequence[int]) -> plans.Plan:
        """Return a race of the first two with the others behind it, or a plain sequence."""
        nodes = [plans.Try(slate.candidates[i].id) for i in indices]
        if not context.ask.prefer.allow_fallbacks:
            return nodes[0]
        if len(nodes) > 1 and self._may(context, slate, indices):
            hedge = plans.Hedge(nodes[0], nodes[1], self.delay(context, slate, indices[0]))
            rest = nodes[2 : self.max_fallbacks + 1]
            return plans.Sequence((hedge, *rest)) if rest else hedge
        return plans.Sequence(tuple(nodes[: self.max_fallbacks + 1])) if len(nodes) > 1 else nodes[0]

    def _may(self, context: Context, slate: Slate, indices: Sequence[int]) -> bool:
        request = context.request
        if not context.may_hedge or slate.pinned is not None or request.facts.server_tools:
            return False
        return not in_tool_loop(request) and len(affordable(context, slate, indices[:2])) == 2

    def delay(self, context: Context, slate: Slate, first: int) -> float:
        """Return after how many seconds the second call starts."""
        if self.delay_s is not None:
            return self.delay_s
        stats, request = slate.candidates[first].stats, context.request
        streamed = isinstance(request, ChatRequest) and request.stream
        tail = stats.ttft_p95_s if streamed else stats.total_p95_s
        return self.default_delay_s if tail is None or stats.n_observed < MIN_OBSERVED else tail


class Fan(Struct, frozen=True, tag="fanout", kw_only=True, forbid_unknown_fields=True):
    """The first `k` candidates at once, reduced to one answer."""

    reduce: plans.Reduce
    k: int = 3
    repeat: bool = False
    """Ask the first candidate k times instead: the baseline a mixed panel must beat (ROUTING.md 1.5)."""

    def __post_init__(self) -> None:
        if not 2 <= self.k <= 16:
            raise ValueError(f"k is {self.k}; expected 2 to 16")

    @property
    def name(self) -> str:
        """Word for Records."""
        return "fanout"

    def shape(self, context: Context, slate: Slate, indices: Sequence[int]) -> plans.Plan:
        """Return as many of `k` calls as the caps allow; one is a plain call with fallbacks."""
        request, candidates = context.request, slate.candidates
        k = context.ask.prefer.samples or self.k
        panel = [indices[0]] * k if self.repeat else list(indices[:k])
        if slate.pinned is None and not request.facts.server_tools and not in_tool_loop(request):
            panel = affordable(context, slate, panel)
            if len(panel) > 1:
                return plans.Fanout(tuple(plans.Try(candidates[i].id) for i in panel), self.reduce)
        nodes = tuple(plans.Try(candidates[i].id) for i in indices[: self.k])
        return plans.Sequence(nodes) if len(nodes) > 1 else nodes[0]


def affordable(context: Context, slate: Slate, indices: Sequence[int]) -> list[int]:
    """Return the longest beginning of `indices` whose worst cost together keeps the caps."""
    cap = cap_nusd(context)
    if cap is None:
        return list(indices)
    kept: list[int] = []
    spent = 0
    for i in indices:
        worst = worst_nusd(context, slate.candidates[i].deployment)
        if worst is None or spent + worst > cap:
            break
        spent += worst
        kept.append(i)
    return kept


def cap_nusd(context: Context) -> float | None:
    """Return the least of the caps on one request's money, or None."""
    surface = context.surface
    caps = [
        cap
        for cap in (
            context.ask.prefer.max_cost_nusd,
            surface.max_cost_usd * 1e9 if surface is not None and surface.max_cost_usd is not None else None,
        )
        if cap is not None
    ]
    return min(caps) if caps else None
