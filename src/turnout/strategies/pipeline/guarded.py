"""Floors and limits around a strategy that knows none. Floor 2."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from turnout.errors import ConfigError
from turnout.strategies.base import Choice, Context, Draw, Scorer, Setting, Strategy
from turnout.strategies.pipeline.feasible import Facts, bounds, feasible
from turnout.strategies.scorers.quality import Quality
from turnout.types.deployment import Candidate


class Guarded(Struct, frozen=True, kw_only=True):
    """Lets a strategy choose among the candidates that satisfy the surface and the caller.

    Relaxed as a pipeline's constraints are, and said so in the Choice.
    """

    inner: Strategy
    gauge: Scorer | None = None
    """Measures quality; None = nothing is known of any model, so a floor can only be relaxed."""

    @property
    def name(self) -> str:
        """Word for Records and headers: that of the strategy inside."""
        return self.inner.name

    @property
    def needs(self) -> frozenset[str]:
        """What the strategy inside needs."""
        return self.inner.needs

    def bind(self, setting: Setting) -> "Guarded":
        """Find what is known of the pool's quality."""
        try:
            return msgspec.structs.replace(self, gauge=Quality().bind(setting))
        except ConfigError:
            return self

    def choose(self, context: Context, candidates: Sequence[Candidate], draw: Draw) -> Choice:
        """Narrow the candidates, then let the strategy decide."""
        bound = bounds(context, None, None, None, None)
        quality = None if self.gauge is None else self.gauge.score(context, candidates)
        facts = Facts([0.0] * len(candidates), quality, None, None)
        allowed = feasible(context, candidates, facts, bound, refuse=False)
        narrowed = [candidates[i] for i in allowed.eligible]
        choice = self.inner.choose(context, narrowed, draw)
        objective = msgspec.structs.replace(
            choice.objective, quality_floor=allowed.floor, binding=allowed.binding, relaxed=allowed.relaxed
        )
        return msgspec.structs.replace(choice, objective=objective)
