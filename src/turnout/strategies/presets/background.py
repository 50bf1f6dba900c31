"""`background`: nobody waits, so the least price over deployments and hours. Floor 2."""

import msgspec

from turnout.strategies.modifiers import Background
from turnout.strategies.pipeline import Pipeline
from turnout.strategies.presets.base import Common
from turnout.strategies.scorers.cost import Cost
from turnout.strategies.shapes.fallback import Chain


class InBackground(Common, frozen=True, tag="background", kw_only=True):
    """The least expected cost at the prices of the hour, among those above the floor.

    For jobs of the queue, which also chooses the hour: price × time slot before a deadline.
    """

    deadline_s: float = 86_400.0
    """From arrival to the answer, for jobs that name no deadline themselves."""

    def expand(self) -> Pipeline:
        """Return: utility = minus USD at the factor of the open slot, fallbacks by rising cost."""
        made = self.pipeline(
            "background",
            (Cost(), *self.measured(0.0)),
            shape=Chain(max_fallbacks=self.max_fallbacks, vendor_first=False),
            because="cheapest_above_floor",
        )
        modify = (Background(deadline_s=self.deadline_s), *self.modify)
        return msgspec.structs.replace(made, modify=modify)
