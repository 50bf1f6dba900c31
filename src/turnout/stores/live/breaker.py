"""Circuit breaker of one deployment: stop asking who does not answer, find out when to ask again. Floor 3.

Theory of operation.

    closed --failures--> open --time passes--> half open --enough successes--> closed
                          ^                        |
                          +-------- a failure -----+

1. `admit` gives a ticket or None. The ticket is the number of the state it was given in: every change of
   state makes another number, so that a late result of an earlier state moves nothing.
2. Closed opens after `consecutive_failures` in a row, or when `error_ratio` of at least `min_calls` calls
   of the last `window_s` failed.
3. Open lasts `open_for_s`, doubling each time it opens again without having closed, up to `max_open_s`,
   with jitter: replicas and deployments must not probe in step. An account failure (credential refused,
   no money) opens at once for `account_hold_s`: every other call would fail too.
4. Half open admits `half_open_probes` at a time. Each probe's ticket comes back by exactly one of
   `succeed`, `fail`, `abandon`.
5. A rate limit is not ill health. It closes the gate for the time the provider named and leaves the state
   alone; when the time is over there is nothing to probe.
6. A failure of the caller, of policy or of the gateway says nothing about the deployment and moves nothing.
"""

from collections.abc import Mapping
from random import Random
from typing import Literal, assert_never

from msgspec import Struct

from turnout.stores.live.window import Window
from turnout.types.deployment import BreakerState

Blame = Literal["none", "failure", "limit", "account"]
"""What a failure says about a deployment: nothing, ill health, asked too often, or a shut account."""

EARLY_S = 0.001
"""A waiter that was told to come back in N seconds is let in this much early: timers have a resolution."""
N_SLOTS = 10
MAX_DOUBLINGS = 32
"""Keeps the power finite for a deployment that is down for days."""


class BreakerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When to stop asking a deployment, and for how long."""

    enabled: bool = True
    consecutive_failures: int = 5
    error_ratio: float = 0.5
    window_s: float = 30.0
    min_calls: int = 10
    open_for_s: float = 10.0
    max_open_s: float = 120.0
    jitter: float = 0.1
    """Share by which an opening is made longer or shorter at random."""
    half_open_probes: int = 1
    successes_to_close: int = 2
    rate_limit_s: float = 5.0
    """Pause after a 429 that names no time."""
    max_rate_limit_s: float = 300.0
    """Longest pause a provider can impose before it is asked again."""
    account_hold_s: float = 60.0


_BLAME: Mapping[str, Blame] = {
    "provider_overloaded": "failure",
    "provider_error": "failure",
    "provider_unreachable": "failure",
    "provider_bad_response": "failure",
    "provider_model_unavailable": "failure",
    "timeout_connect": "failure",
    "timeout_ttft": "failure",
    "timeout_idle": "failure",
    "stream_interrupted": "failure",
    "provider_rate_limited": "limit",
    "provider_auth": "account",
    "provider_quota_exhausted": "account",
}
"""Classes that say something about a deployment. `invalid_model_output` does not: the question matters."""


ILL = frozenset(("failure", "account"))
"""Blames that count as failed calls. A rate limit says how much may be asked, not how well it goes."""


def blame(word: str) -> Blame:
    """Return what a failure of this class says about the deployment that was asked."""
    return _BLAME.get(word, "none")


class Breaker:
    """State machine of one deployment."""

    __slots__ = (
        "_config",
        "_consecutive",
        "_n_opened",
        "_n_probes",
        "_n_successes",
        "_opens_at",
        "_paused_until",
        "_rng",
        "_state",
        "_ticket",
        "_window",
        "mark",
    )

    def __init__(self, config: BreakerConfig, rng: Random) -> None:
        self._rng = rng
        self.mark = 0
        """Another number each time that what it says may have changed, but for the time that passes."""
        self._state: BreakerState = "closed"
        self._ticket = 0
        self._opens_at = 0.0
        """While open: clock reading from which probes are let through."""
        self._paused_until = 0.0
        """Clock reading at which a rate limit ends."""
        self._n_opened = 0
        """Times opened since it was last closed."""
        self._consecutive = 0
        self._n_probes = 0
        self._n_successes = 0
        self._config = config
        self._window = Window(config.window_s, N_SLOTS)

    @property
    def config(self) -> BreakerConfig:
        """The rules in force."""
        return self._config

    @config.setter
    def config(self, config: BreakerConfig) -> None:
        """Put other rules in force; what was counted stays, unless the window's length changes."""
        if config.window_s != self._config.window_s:
            self._window = Window(config.window_s, N_SLOTS)
        self._config = config

    def state(self, now: float) -> BreakerState:
        """Return the state as a chooser must see it: `open` = would refuse for a known time."""
        if self._paused_until - now > EARLY_S:
            return "open"
        if self._state == "open" and now >= self._opens_at - EARLY_S:
            return "half_open"
        return self._state

    def cooldown_s(self, now: float) -> float:
        """Return the seconds until a call may be let through; 0 when one may be now."""
        until = self._paused_until
        if self._state == "open":
            until = max(until, self._opens_at)
        return until - now if until - now > EARLY_S else 0.0

    @property
    def is_down(self) -> bool:
        """Whether it opened and has not closed yet. A rate limit is not that."""
        return self._state != "closed"

    def is_calm(self, now: float) -> bool:
        """Tell whether it is closed and unpaused: what it nearly always is."""
        return self._state == "closed" and now >= self._paused_until

    def admit(self, now: float) -> int | None:
        """Return a ticket for one call, or None to refuse it."""
        if self._state == "closed" and now >= self._paused_until:
            return self._ticket
        if self._paused_until - now > EARLY_S:
            return None
        if self._state == "open":
            if self._opens_at - now > EARLY_S:
                return None
            self._enter("half_open")
        if self._state == "half_open":
            if self._n_probes >= self._config.half_open_probes:
                return None
            self._n_probes += 1
        return self._ticket

    def succeed(self, ticket: int, now: float) -> None:
        """Take in that the call of a ticket committed."""
        if ticket != self._ticket:
            return
        if self._state == "closed":
            self._consecutive = 0
            self._window.count(now)
            return
        self._n_probes -= 1
        self._n_successes += 1
        if self._n_successes >= self._config.successes_to_close:
            self._enter("closed")

    def fail(self, ticket: int, blamed: Blame, now: float, retry_after_s: float | None = None) -> None:
        """Take in that the call of a ticket failed, and what that says."""
        match blamed:
            case "none":
                self.abandon(ticket)
            case "limit":
                self.abandon(ticket)
                self._pause(now, retry_after_s)
            case "account":
                if ticket == self._ticket:
                    self._open(now, self._config.account_hold_s)
            case "failure":
                if ticket == self._ticket:
                    self._failed(now)
            case _:
                assert_never(blamed)

    def broke(self, ticket: int, blamed: Blame, now: float) -> None:
        """Take in that a call which had committed failed afterwards: its success is turned into a failure."""
        if blamed != "failure":
            return
        if self._state == "half_open" and ticket == self._ticket:
            self._open(now, self._duration())
        elif self._state == "closed":
            self._window.hit(now)
            self._consecutive += 1
            self._judge(now)

    def abandon(self, ticket: int) -> None:
        """Give a ticket back without a result: the call was cancelled, or its failure says nothing."""
        if ticket == self._ticket and self._state == "half_open":
            self._n_probes -= 1

    def reset(self) -> None:
        """Close, whatever was seen: an operator knows better."""
        self._paused_until = 0.0
        self._enter("closed")

    def _pause(self, now: float, retry_after_s: float | None) -> None:
        config = self._config
        wait_s = config.rate_limit_s if retry_after_s is None else min(retry_after_s, config.max_rate_limit_s)
        self._paused_until = max(self._paused_until, now + wait_s)
        self.mark += 1

    def _failed(self, now: float) -> None:
        if self._state == "half_open":
            self._open(now, self._duration())
            return
        self._consecutive += 1
        self._window.count(now)
        self._window.hit(now)
        self._judge(now)

    def _judge(self, now: float) -> None:
        config, window = self._config, self._window
        if self._consecutive >= config.consecutive_failures or (
            window.n >= config.min_calls and window.hits >= config.error_ratio * window.n
        ):
            self._open(now, self._duration())

    def _duration(self) -> float:
        config = self._config
        grown = min(config.open_for_s * 2.0 ** min(self._n_opened, MAX_DOUBLINGS), config.max_open_s)
        return grown * (1 + config.jitter * (2 * self._rng.random() - 1))

    def _open(self, now: float, for_s: float) -> None:
        self._enter("open")
        self._n_opened += 1
        self._opens_at = now + for_s

    def _enter(self, state: BreakerState) -> None:
        self._state = state
        self._ticket += 1
        self.mark += 1
        self._consecutive = self._n_probes = self._n_successes = 0
        if state == "closed":
            self._n_opened = 0
            self._window.clear()
