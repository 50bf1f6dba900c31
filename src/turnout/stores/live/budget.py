"""Retry budget: retries may be a share of the calls, not a multiple of them. Floor 3.

Theory of operation. When an upstream is in trouble, every caller that retries multiplies its load. So
retries are paid from a common purse per deployment:

1. Each call pays in `share` of a retry; each retry takes out one.
2. A floor of `reserve` retries per window is always there, so that a quiet deployment can be retried too.
3. Both sides expire with the window: savings of a quiet hour cannot fund a storm.

Source: the retry budgets of Finagle and of tower (`tower::retry::budget`), same defaults in kind.
"""

from msgspec import Struct

from turnout.stores.live.window import Window


class RetryBudgetConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many retries a deployment may cost."""

    share: float = 0.2
    """Retries paid for by one call."""
    reserve: int = 10
    """Retries per window that need no calls to pay for them."""
    window_s: float = 10.0


class RetryBudget:
    """The purse of one deployment."""

    __slots__ = ("_config", "_window", "deposit")

    def __init__(self, config: RetryBudgetConfig) -> None:
        self._config = config
        self._window = Window(config.window_s, 10)
        self.deposit = self._window.count
        """Pay in for one call, at a clock reading."""

    def available(self, now: float) -> float:
        """Return how many retries could be paid for now."""
        window = self._window
        window.roll(now)
        return self._config.reserve + self._config.share * window.n - window.hits

    def withdraw(self, now: float) -> bool:
        """Pay for one retry; False = the purse is empty."""
        if self.available(now) < 1:
            return False
        self._window.hit(now)
        return True
