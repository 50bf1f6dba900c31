"""What every preset can say beside its own fields. Floor 2."""

from typing import Literal

from msgspec import Struct

from turnout.strategies.base import Filter, Modifier, Order, Scorer, Shape
from turnout.strategies.orders.best import Best
from turnout.strategies.pipeline import Limit, Pipeline
from turnout.strategies.scorers.quality import Quality
from turnout.strategies.shapes.fallback import Chain
from turnout.types.record import Reason


class Common(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Constraints and modifiers of a preset."""

    q_floor: float | None = None
    """Least quality, by the lower confidence bound."""
    quality: dict[str, float] = {}
    """Deployment or model id -> quality in [0, 1]; a model that is not listed is looked up in `benchmark`."""
    benchmark: str | None = None
    """Benchmark that stands for quality; None = the ones all models share."""
    slo: Limit | None = None
    on_infeasible: Literal["relax", "refuse"] = "relax"
    max_fallbacks: int = 5
    modify: tuple[Modifier, ...] = ()

    def measured(self, weight: float) -> tuple[Scorer, ...]:
        """Return the scorer of quality with this weight, or none where quality plays no part."""
        if weight or self.q_floor is not None or self.quality or self.benchmark:
            return (Quality(values=self.quality, benchmark=self.benchmark, weight=weight),)
        return ()

    def pipeline(
        self,
        label: str,
        score: tuple[Scorer, ...],
        *,
        order: Order | None = None,
        shape: Shape | None = None,
        because: Reason = "highest_score",
        filters: tuple[Filter, ...] = (),
    ) -> Pipeline:
        """Put the preset's parts together with what all presets share."""
        return Pipeline(
            filter=filters,
            score=score,
            order=order or Best(),
            shape=shape or Chain(max_fallbacks=self.max_fallbacks),
            modify=self.modify,
            q_floor=self.q_floor,
            slo=self.slo,
            on_infeasible=self.on_infeasible,
            label=label,
            because=because,
        )
