"""What a deployment counts over what was estimated, smoothed. Floor 3."""

MIN_ESTIMATE = 50
"""Below, the fixed frame of a prompt weighs more than its text, and the ratio says little about either."""
FLOOR, CEILING = 0.25, 4.0
"""Of one observation: what lies outside is a mistake in somebody's books, not a way of counting."""
MEMORY = 0.05
"""Weight of the latest observation once there are twenty; before, it is a plain mean."""


class Ratio:
    """Exponentially weighted mean of counted over estimated.

    Attributes:
        value: The mean; None = nothing observed yet.
    """

    __slots__ = ("_n", "value")

    def __init__(self) -> None:
        self._n = 0
        self.value: float | None = None

    def add(self, counted: int, estimated: int) -> bool:
        """Take in one observation; return whether it was of use."""
        if counted <= 0 or estimated < MIN_ESTIMATE:
            return False
        seen = min(max(counted / estimated, FLOOR), CEILING)
        self._n += 1
        mean = self.value or 0.0
        self.value = mean + (seen - mean) * max(1 / self._n, MEMORY)
        return True
