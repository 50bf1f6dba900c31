"""What the upstreams do, minute by minute: pure functions of the script's clock.

All times are seconds of the script, all latencies seconds to the first content. Nothing here waits or draws
by itself: the clock reading and the generator are arguments, so that the same scenario is played on real
sockets and under the jumping clock of the tests.
"""

from collections.abc import Mapping
from math import exp, pi, sin
from random import Random
from typing import Literal

from msgspec import Struct

INF = float("inf")
SENSITIVE = "[sensitive]"
"""Marks prompts that a content filter refuses."""
Down = Literal["close", "hang", "error"]
"""An outage: the connection closes without an answer; nothing comes; 503."""


class Spell(Struct, frozen=True, kw_only=True):
    """Something that holds from one instant to another."""

    since: float
    until: float
    times: float = 1.0
    """Factor of the latency."""
    errors: float | None = None
    """Share of calls that fail, instead of the usual one."""
    down: Down | None = None


class Script(Struct, frozen=True, kw_only=True):
    """How one upstream behaves."""

    ttft_s: float
    swing: float = 0.0
    """Share by which the latency drifts, as a sine."""
    period_s: float = 240.0
    phase: float = 0.0
    jitter: float = 0.15
    """Standard deviation of the logarithm of the latency."""
    tail: float = 0.0
    """Share of calls that take `tail_times` as long."""
    tail_times: float = 8.0
    errors: float = 0.0
    """Share of calls answered by 500 or 529."""
    tokens_per_s: float = 200.0
    rps: float | None = None
    """Calls a second before 429."""
    window: int | None = None
    """Prompt characters above this are refused as too long."""
    filters: bool = False
    """Whether marked prompts are refused."""
    spells: tuple[Spell, ...] = ()

    def at(self, t: float) -> Spell | None:
        """Return the spell in force."""
        return next((spell for spell in self.spells if spell.since <= t < spell.until), None)

    def curve(self, t: float) -> float:
        """Return the scripted latency at an instant, before any dice; infinite while down."""
        spell = self.at(t)
        if spell is not None and spell.down is not None:
            return INF
        drift = 1 + self.swing * sin(2 * pi * t / self.period_s + self.phase)
        return self.ttft_s * drift * (1.0 if spell is None else spell.times)

    def failing(self, t: float) -> float:
        """Return the share of calls that fail at an instant."""
        spell = self.at(t)
        return self.errors if spell is None or spell.errors is None else spell.errors

    def expected(self, t: float) -> float:
        """Return the mean of the latency over the dice, at an instant."""
        return self.curve(t) * exp(self.jitter**2 / 2) * (1 + self.tail * (self.tail_times - 1))


class Turn(Struct, frozen=True, kw_only=True):
    """What one call meets."""

    status: int = 200
    """0 = the connection closes without an answer; -1 = nothing ever comes."""
    wait_s: float = 0.0
    gap_s: float = 0.0
    """Between pieces of content."""
    error: str = ""
    retry_after_s: float | None = None


class Upstream:
    """Plays one script; keeps what a rate limit needs, and nothing else."""

    def __init__(self, script: Script, seed: str) -> None:
        self.script = script
        self._rng = Random(seed)
        self._allowance = script.rps or 0.0
        self._last = 0.0

    def turn(self, t: float, prompt: str) -> Turn:
        """Return what a call that comes at `t` meets."""
        script, rng = self.script, self._rng
        spell = script.at(t)
        if spell is not None and spell.down is not None:
            return {
                "close": Turn(status=0),
                "hang": Turn(status=-1),
                "error": Turn(status=503, error="down"),
            }[spell.down]
        limited = self._limited(t)
        if limited is not None:
            return Turn(status=429, error="rate_limit_exceeded", retry_after_s=limited)
        if script.window is not None and len(prompt) > script.window:
            return Turn(status=400, error="context_length_exceeded")
        if script.filters and SENSITIVE in prompt:
            return Turn(status=400, error="content_filter")
        dice, tail, jitter = rng.random(), rng.random(), rng.gauss(0, 1)
        wait_s = script.curve(t) * exp(script.jitter * jitter)
        share = script.failing(t)
        if dice < share:
            return Turn(status=500 if dice < share / 2 else 529, wait_s=0.2 * wait_s, error="server_error")
        if tail < script.tail:
            wait_s *= script.tail_times
        return Turn(wait_s=wait_s, gap_s=1 / script.tokens_per_s)

    def _limited(self, t: float) -> float | None:
        """Return how long to wait for a place; None = there is one. A bucket of one second's calls."""
        rate = self.script.rps
        if rate is None:
            return None
        self._allowance = min(rate, self._allowance + (t - self._last) * rate)
        self._last = t
        if self._allowance < 1:
            return (1 - self._allowance) / rate
        self._allowance -= 1
        return None


class Row(Struct, frozen=True, kw_only=True):
    """One deployment of the fleet: what the configuration says of it, and how it behaves."""

    script: Script
    price: tuple[float, float]
    """USD per million tokens, in and out."""
    quality: float


def mixed() -> Mapping[str, Row]:
    """Return the fleet in which everything happens: eight upstreams of five vendors."""
    return {
        "amber/large": Row(
            script=Script(
                ttft_s=1.4, swing=0.3, errors=0.005, spells=(Spell(since=60, until=100, down="close"),)
            ),
            price=(5.0, 15.0),
            quality=0.92,
        ),
        "amber/small": Row(
            script=Script(
                ttft_s=0.6,
                swing=0.1,
                spells=(Spell(since=150, until=300, times=3.0), Spell(since=420, until=450, errors=0.6)),
            ),
            price=(0.3, 1.2),
            quality=0.74,
        ),
        "birch/large": Row(
            script=Script(
                ttft_s=1.1,
                swing=0.25,
                phase=2.0,
                errors=0.05,
                spells=(Spell(since=130, until=190, errors=0.6),),
            ),
            price=(3.0, 12.0),
            quality=0.90,
        ),
        "birch/small": Row(script=Script(ttft_s=1.05, swing=0.1, rps=12.0), price=(0.25, 1.0), quality=0.72),
        "cedar/large": Row(
            script=Script(ttft_s=1.2, swing=0.2, phase=4.0, filters=True), price=(2.5, 10.0), quality=0.88
        ),
        "cedar/small": Row(
            script=Script(
                ttft_s=1.3, window=6_000, filters=True, spells=(Spell(since=330, until=INF, times=0.38),)
            ),
            price=(0.15, 0.6),
            quality=0.70,
        ),
        "delta/mid": Row(
            script=Script(ttft_s=0.85, swing=0.1, phase=1.0, tail=0.01, tokens_per_s=15.0),
            price=(1.0, 4.0),
            quality=0.80,
        ),
        "ember/local": Row(script=Script(ttft_s=2.5, jitter=0.3), price=(0.02, 0.02), quality=0.55),
    }


VENDORS = ("amber", "birch", "cedar")


def three_vendors(
    *, down: tuple[str, ...] = (), how: Down = "hang", since: float = 30.0
) -> Mapping[str, Row]:
    """Return six steady upstreams of three vendors; those of `down` fail from `since` to the end."""
    spells = (Spell(since=since, until=INF, down=how),)
    return {
        f"{vendor}/{size}": Row(
            script=Script(ttft_s=base + 0.1 * at, spells=spells if vendor in down else ()),
            price=(1.0 + at, 4.0),
            quality=0.8,
        )
        for at, vendor in enumerate(VENDORS)
        for size, base in (("one", 0.6), ("two", 0.8))
    }


def tailed() -> Mapping[str, Row]:
    """Return four upstreams of which each is now and then very slow: what hedging is for."""
    return {
        f"{vendor}/one": Row(
            script=Script(ttft_s=0.6 + 0.05 * at, tail=0.03, tail_times=8.0), price=(1.0, 4.0), quality=0.8
        )
        for at, vendor in enumerate((*VENDORS, "delta"))
    }


def floored() -> Mapping[str, Row]:
    """Return a fleet whose good models fail a little, and whose poor ones are cheap and partly healthy."""
    shaky = Script(ttft_s=0.6, errors=0.05)
    return {
        "amber/good": Row(script=shaky, price=(1.0, 4.0), quality=0.80),
        "birch/good": Row(script=shaky, price=(2.0, 8.0), quality=0.85),
        "cedar/poor": Row(script=Script(ttft_s=0.6), price=(0.1, 0.1), quality=0.5),
        "delta/poor": Row(script=shaky, price=(0.1, 0.1), quality=0.5),
    }


SCENARIOS: Mapping[str, Mapping[str, Row]] = {
    "mixed": mixed(),
    "steady": three_vendors(),
    "vendor_hangs": three_vendors(down=("amber",), how="hang"),
    "vendor_closes": three_vendors(down=("amber",), how="close"),
    "all_error": three_vendors(down=VENDORS, how="error"),
    "all_hang": three_vendors(down=VENDORS, how="hang"),
    "all_close": three_vendors(down=VENDORS, how="close"),
    "tailed": tailed(),
    "floored": floored(),
}


def steadiest(rows: Mapping[str, Row], t: float) -> str:
    """Return the fastest upstream that plays its curve at an instant and nothing else.

    No tail, no failure, no rate limit: what a call to it takes beyond the script is the harness' own.
    """
    plain = {
        name: row.script.expected(t)
        for name, row in rows.items()
        if not row.script.tail and row.script.rps is None and not row.script.failing(t)
    }
    return min(plain, key=plain.__getitem__)


MOSTLY = 0.5
"""Share of failing calls from which an upstream is no choice, however fast it fails."""


def clairvoyant(rows: Mapping[str, Row], t: float) -> float:
    """Return the least scripted mean latency of any upstream that answers at an instant.

    Rate limits are left out of account: who knows the script still may not send everything to one upstream,
    so this is a bound, not always within reach.
    """
    return min(row.script.expected(t) for row in rows.values() if row.script.failing(t) < MOSTLY)
