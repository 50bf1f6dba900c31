"""Is a deployment well enough to be asked first? Floor 3.

Theory of operation. The breaker stops asking who is down; this is about who is merely unwell.

1. A deployment is *demoted* when, over at least `min_calls` calls of the window, more than `error_ratio` of
   them failed or the 95th percentile of the time to the first content is above its limit. It is then asked
   only after all others.
2. It is *restored* when it is below half the ratio and within the limit again, or when so few calls are left
   in the window that they prove nothing: being asked last, it gets few.
3. What was restored, or was shut out by the breaker and is let in again, gets a share of its calls that rises
   from `least_share` to all over `ramp_s`: it comes back to cold caches and to the load that broke it.
4. Each change is told once, to the log; the metrics read the state.
"""

import logging

from msgspec import Struct

log = logging.getLogger("turnout.health")


class HealthConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a deployment is asked last, and how it comes back."""

    enabled: bool = True
    error_ratio: float = 0.02
    ttft_p95_s: float | None = None
    """Limit of the 95th percentile of the time to the first content; a model may have its own."""
    min_calls: int = 50
    ramp_s: float = 60.0
    """How long it takes until a restored deployment gets all its calls again; 0 = at once."""
    least_share: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.error_ratio <= 1:
            raise ValueError(f"error_ratio is {self.error_ratio}; expected above 0 and at most 1")
        if not 0 < self.least_share <= 1:
            raise ValueError(f"least_share is {self.least_share}; expected above 0 and at most 1")
        if self.ramp_s < 0 or self.min_calls < 1:
            raise ValueError("ramp_s must be at least 0 and min_calls at least 1")


class Health:
    """State of one deployment.

    Attributes:
        config: The rules in force.
        demoted: Whether it is asked last.
        name: Deployment id, for the log.
        ttft_limit_s: Its own limit; None = that of the rules.
    """

    __slots__ = ("_down", "_restored_at", "config", "demoted", "name", "ttft_limit_s")

    def __init__(self, name: str, config: HealthConfig, ttft_limit_s: float | None = None) -> None:
        self.name = name
        self.config = config
        self.ttft_limit_s = ttft_limit_s
        self.demoted = False
        self._down = False
        self._restored_at: float | None = None

    def look(self, now: float, calls: tuple[int, int], ttft_p95_s: float | None, *, down: bool) -> None:
        """Judge by the numbers of the moment.

        Args:
            now: Clock reading.
            calls: Calls in the window, and how many of them failed.
            ttft_p95_s: Of the window; None = nothing was streamed.
            down: Whether the breaker is open.
        """
        if not self.config.enabled:
            self.demoted, self._restored_at = False, None
            return
        if self._down and not down:
            self._restored_at = now
        self._down = down
        fault = self._fault(calls, ttft_p95_s)
        if fault and not self.demoted:
            self.demoted = True
            log.warning("%s is demoted: %s", self.name, fault)
        elif self.demoted and not fault:
            self.demoted, self._restored_at = False, now
            log.warning("%s is restored; its share of calls rises over %g s", self.name, self.config.ramp_s)

    def share(self, now: float) -> float:
        """Return the share of its calls that it should get."""
        since, ramp_s = self._restored_at, self.config.ramp_s
        if since is None:
            return 1.0
        if now - since >= ramp_s:
            self._restored_at = None
            return 1.0
        least = self.config.least_share
        return least + (1 - least) * max(0.0, now - since) / ramp_s

    @property
    def is_plain(self) -> bool:
        """Whether it is what it nearly always is: neither demoted nor coming back."""
        return not self.demoted and self._restored_at is None

    def _fault(self, calls: tuple[int, int], ttft_p95_s: float | None) -> str:
        """Return what is wrong, or "". What was demoted is held to half the ratio."""
        n, hits = calls
        config = self.config
        if n < config.min_calls:
            return ""
        most = config.error_ratio / 2 if self.demoted else config.error_ratio
        if hits > most * n:
            return f"{hits} of {n} calls failed"
        limit_s = config.ttft_p95_s if self.ttft_limit_s is None else self.ttft_limit_s
        if limit_s is not None and ttft_p95_s is not None and ttft_p95_s > limit_s:
            return f"first content after {ttft_p95_s:.2f} s at the 95th percentile, limit {limit_s:g} s"
        return ""
