"""The money of a run: set aside before a call, settled after it. Floor 6."""


class Purse:
    """A budget that no outcome can overrun, as long as each call costs at most what was set aside for it.

    Args:
        budget_nusd: All there is; None = no bound.
        spent_nusd: What earlier runs took of it.
    """

    __slots__ = ("_aside", "_budget", "spent")

    def __init__(self, budget_nusd: int | None, spent_nusd: int = 0) -> None:
        self._budget = budget_nusd
        self._aside = 0
        self.spent = spent_nusd

    def set_aside(self, worst_nusd: int) -> bool:
        """Reserve the worst case of a call; False where it does not fit any more."""
        if self._budget is not None and self.spent + self._aside + worst_nusd > self._budget:
            return False
        self._aside += worst_nusd
        return True

    def settle(self, worst_nusd: int, cost_nusd: int) -> None:
        """Give back what was set aside and take what was spent."""
        self._aside -= worst_nusd
        self.spent += cost_nusd
