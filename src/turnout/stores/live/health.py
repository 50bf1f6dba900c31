"""Is a deployment well enough to be asked first? Floor 3.

Theory of operation. The breaker stops asking who is down; this is about who is merely unwell.

1. Two shares are watched over a sliding window: calls that failed, and streams whose first content came later
   than the limit. A failure is one that the deployment is to blame for; a rate limit is not, nor is a request
   that was refused for what it said.
2. A deployment is *demoted* when one of the shares is above its limit with the declared confidence: had the
   true share been at the limit, so many would have been seen with a probability of at most 1 - `confidence`
   (the exact binomial tail). The limit of the latency is on its 95th percentile, so 5 % may be late. A
   demoted deployment is asked after all others, but for a few calls (3).
3. While demoted it still gets `trial_share` of the calls it would get. It is *restored* after
   `calls_to_restore` calls in a row that were answered in time, or when the window holds nothing any more
   that spoke against it. What was seen before is forgotten then: it is judged by what it does from now on.
   Each demotion soon after a restoration doubles the calls in a row that the next one takes.
4. What was restored, or was shut out by the breaker and is let in again, gets a share of its calls that rises
   from `least_share` to all over `ramp_s`: it comes back to cold caches and to the load that broke it.
5. Each change is told once: to the log, and to whoever listens.
"""

import logging
from collections.abc import Callable
from math import exp, lgamma
from math import log as ln
from typing import Literal

from msgspec import Struct

from turnout.stores.live.window import Window
from turnout.types.deployment import Probe

WINDOW_S = 300.0
N_SLOTS = 10
LATE_SHARE = 0.05
"""Share of streams that may be late: the limit is on the 95th percentile."""
RELAPSE_S = 600.0
"""A demotion this soon after a restoration makes the next one take twice as many calls in a row."""
MAX_DOUBLINGS = 3
TINY = 1e-9
"""Terms of a sum below this share of it change nothing that is compared."""

Change = Literal["demoted", "restored", "shut_out", "let_in"]
WORDS = {"demoted": "demoted", "restored": "restored", "shut_out": "shut out", "let_in": "let in again"}
OnChange = Callable[[str, Change], None]
"""Told the deployment and what happened to it. Must not raise and must not block."""
log = logging.getLogger("turnout.health")


class HealthConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a deployment is asked last, and how it comes back."""

    enabled: bool = True
    error_ratio: float = 0.02
    ttft_p95_s: float | None = None
    """Limit of the 95th percentile of the time to the first content; a model may have its own."""
    confidence: float = 0.99
    """How sure it must be that a limit is passed. It is looked at after each call: at 0.99 one in thirty of
    those that fail exactly at the limit is demoted within 800 calls, at 0.95 one in six."""
    min_calls: int = 20
    """Calls below which nobody is demoted, however sure."""
    trial_share: float = 0.02
    """Share of its calls that a demoted deployment still gets; 0 = only as a last resort."""
    calls_to_restore: int = 20
    """Calls in a row, answered in time, that restore it."""
    ramp_s: float = 60.0
    """How long it takes until a restored deployment gets all its calls again; 0 = at once."""
    least_share: float = 0.1
    probe: Probe = Probe()
    """How deployments that nobody asks are asked after; a provider or a model may say otherwise."""

    def __post_init__(self) -> None:
        if not 0 < self.error_ratio <= 1:
            raise ValueError(f"error_ratio is {self.error_ratio}; expected above 0 and at most 1")
        if not 0.5 <= self.confidence < 1:
            raise ValueError(f"confidence is {self.confidence}; expected at least 0.5 and below 1")
        if not 0 < self.least_share <= 1:
            raise ValueError(f"least_share is {self.least_share}; expected above 0 and at most 1")
        if not 0 <= self.trial_share <= self.least_share:
            raise ValueError(f"trial_share is {self.trial_share}; expected 0 to least_share")
        if self.ramp_s < 0 or self.min_calls < 1 or self.calls_to_restore < 1:
            raise ValueError("ramp_s must be at least 0, min_calls and calls_to_restore at least 1")


class Health:
    """State of one deployment.

    Attributes:
        config: The rules in force.
        demoted: Whether it is asked last.
        name: Deployment id, for the log.
        ttft_limit_s: Its own limit; None = that of the rules.
        on_change: Who is told of changes.
    """

    __slots__ = (
        "_calls",
        "_down",
        "_firsts",
        "_n_relapses",
        "_restored_at",
        "_streak",
        "config",
        "demoted",
        "name",
        "on_change",
        "ttft_limit_s",
    )

    def __init__(self, name: str, config: HealthConfig, ttft_limit_s: float | None = None) -> None:
        self.name = name
        self.config = config
        self.ttft_limit_s = ttft_limit_s
        self.demoted = False
        self.on_change: OnChange | None = None
        self._calls = Window(WINDOW_S, N_SLOTS)
        """Calls, and those that failed."""
        self._firsts = Window(WINDOW_S, N_SLOTS)
        """Streams, and those whose first content was late."""
        self._down = False
        self._streak = 0
        """Calls in a row that were answered in time."""
        self._n_relapses = 0
        self._restored_at: float | None = None

    def began(self, now: float, ttft_s: float) -> None:
        """Take in the first content of a stream."""
        limit_s = self._limit_s
        if limit_s is None:
            return
        self._firsts.count(now)
        if ttft_s > limit_s:
            self._firsts.hit(now)
            self._streak = -1  # its end does not make it a call in time

    def answered(self, now: float) -> None:
        """Take in a complete answer."""
        self._calls.count(now)
        self._streak += 1

    def failed(self, now: float) -> None:
        """Take in a failure that the deployment is to blame for."""
        self._calls.count(now)
        self._calls.hit(now)
        self._streak = 0

    def look(self, now: float, *, down: bool) -> bool:
        """Judge by what was seen; return whether the deployment has just come back.

        Args:
            now: Clock reading.
            down: Whether the breaker has opened and not closed yet.
        """
        if not self.config.enabled:
            self.demoted, self._restored_at = False, None
            return False
        self._calls.roll(now)
        self._firsts.roll(now)
        if not self._calls.hits and not self._firsts.hits and not (self.demoted or self._down or down):
            return False  # nothing speaks against it, as nearly always
        let_in = self._down and not down
        if down is not self._down:
            self._down = down
            if let_in:
                self._forget(now)
            self._tell("let_in" if let_in else "shut_out", "")
        if not self.demoted:
            fault = self._fault()
            if fault:
                self._demote(now, fault)
            return let_in
        if self._is_well():
            self.demoted = False
            self._forget(now)
            self._tell("restored", f"; its share of calls rises over {self.config.ramp_s:g} s")
            return True
        return let_in

    def share(self, now: float) -> float:
        """Return the share of its calls that it should get."""
        if self.demoted:
            return self.config.trial_share
        since, ramp_s = self._restored_at, self.config.ramp_s
        if since is None or now - since >= ramp_s:
            return 1.0
        least = self.config.least_share
        return least + (1 - least) * max(0.0, now - since) / ramp_s

    def is_plain(self, now: float) -> bool:
        """Whether it is what it nearly always is: neither demoted nor coming back."""
        if self.demoted or self._down:
            return False
        return self._restored_at is None or now - self._restored_at >= self.config.ramp_s

    @property
    def has_faults(self) -> bool:
        """Whether anything may speak against it: what has expired since nobody looked counts."""
        return bool(self._calls.hits or self._firsts.hits)

    @property
    def _limit_s(self) -> float | None:
        return self.config.ttft_p95_s if self.ttft_limit_s is None else self.ttft_limit_s

    def _demote(self, now: float, fault: str) -> None:
        again = self._restored_at is not None and now - self._restored_at <= RELAPSE_S
        self._n_relapses = min(self._n_relapses + 1, MAX_DOUBLINGS) if again else 0
        self.demoted, self._streak = True, 0
        self._tell("demoted", f": {fault}")

    def _is_well(self) -> bool:
        if self._streak >= self.config.calls_to_restore << self._n_relapses:
            return True
        return not self._calls.hits and not self._firsts.hits

    def _forget(self, now: float) -> None:
        self._calls.clear()
        self._firsts.clear()
        self._streak, self._restored_at = 0, now

    def _fault(self) -> str:
        """Return what is surely wrong, or ""."""
        config, calls = self.config, self._calls
        if self._passes(calls, config.error_ratio):
            return f"{calls.hits} of {calls.n} calls failed"
        limit_s, firsts = self._limit_s, self._firsts
        if limit_s is not None and self._passes(firsts, LATE_SHARE):
            return f"first content after more than {limit_s:g} s in {firsts.hits} of {firsts.n} streams"
        return ""

    def _passes(self, seen: Window, limit: float) -> bool:
        n, hits = seen.n, seen.hits
        if n < self.config.min_calls or hits <= limit * n:
            return False
        return tail(n, hits, limit) <= 1 - self.config.confidence

    def _tell(self, change: Change, why: str) -> None:
        log.warning("%s is %s%s", self.name, WORDS[change], why)
        if self.on_change is not None:
            self.on_change(self.name, change)


def tail(n: int, hits: int, p: float) -> float:
    """Return the probability of at least `hits` in `n` draws of probability `p`; for `hits` above `n * p`.

    There the terms fall from the first on, geometrically, so only those that matter are added up.
    """
    if p >= 1:
        return 1.0
    odds = p / (1 - p)
    term = exp(
        lgamma(n + 1) - lgamma(hits + 1) - lgamma(n - hits + 1) + hits * ln(p) + (n - hits) * ln(1 - p)
    )
    total = term
    for k in range(hits, n):
        term *= (n - k) / (k + 1) * odds
        total += term
        if term < TINY * total:
            break
    return min(total, 1.0)
