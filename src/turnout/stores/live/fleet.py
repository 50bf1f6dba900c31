"""Live numbers of all deployments, by id. Floor 3.

Theory of operation. A `Live` is written by the attempt ring and read by every decision that has the
deployment among its candidates; there are more reads than writes, so the snapshot is kept until something
moved. Configuration comes and goes, a `Live` stays: a reload must not forget who is down.
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from math import exp
from random import Random

from msgspec.structs import replace

from turnout.stores.live.breaker import ILL, Breaker, BreakerConfig, blame
from turnout.stores.live.budget import RetryBudget, RetryBudgetConfig
from turnout.stores.live.health import Health, HealthConfig, OnChange
from turnout.stores.live.ratio import Ratio
from turnout.stores.live.recent import Recent
from turnout.stores.live.sketch import Sketch
from turnout.stores.live.window import Window
from turnout.types.deployment import Candidate, Deployment, Stats
from turnout.types.record import Attempt

PEAK_DECAY_S = 10.0
"""Time constant of the peak-sensitive mean, as Finagle's balancer has it (`PeakEwma`, default decay 10 s)."""
WINDOW_S = 60.0
N_WINDOWS = 5
UNSEEN = Stats()
DEFAULT_BREAKER = BreakerConfig()
DEFAULT_BUDGET = RetryBudgetConfig()
DEFAULT_HEALTH = HealthConfig()
UNFINISHED = frozenset(("cancelled", "lost"))


class Live:
    """Live numbers of one deployment.

    Attributes:
        breaker: Whether it may be asked.
        budget: Whether it may be asked again.
        health: Whether it is asked first.
        heard_at: Clock reading of the latest sign of life or failure, probes included.
        in_flight: Calls under way.
        last_error: Class word of the latest failure.
        last_error_at: Clock reading of it.
    """

    __slots__ = (
        "_calls",
        "_moved",
        "_peak_at",
        "_peak_s",
        "_recent_total",
        "_recent_ttft",
        "_speed",
        "_stats",
        "_still",
        "_tokens",
        "_total",
        "_ttft",
        "_valid_until",
        "breaker",
        "budget",
        "health",
        "heard_at",
        "in_flight",
        "last_error",
        "last_error_at",
    )

    def __init__(self, breaker: Breaker, budget: RetryBudget, health: Health | None = None) -> None:
        self.breaker = breaker
        self.budget = budget
        self.health = health or Health("", DEFAULT_HEALTH)
        self.heard_at: float | None = None
        self.in_flight = 0
        self.last_error: str | None = None
        self.last_error_at: float | None = None
        self._calls = Window(WINDOW_S * N_WINDOWS, N_WINDOWS)
        self._ttft = Sketch(WINDOW_S, N_WINDOWS)
        self._total = Sketch(WINDOW_S, N_WINDOWS)
        self._speed = Sketch(WINDOW_S, N_WINDOWS)
        self._tokens = Ratio()
        self._recent_ttft = Recent()
        self._recent_total = Recent()
        self._peak_s: float | None = None
        self._peak_at = 0.0
        self._stats = UNSEEN
        self._moved = False
        self._still = -1
        """Mark of the breaker with which the latest numbers hold; -1 = they change with the time."""
        self._valid_until = 0.0
        """Clock reading after which numbers expire even if nothing moves."""

    def begin(self, call: Hashable = None, now: float = 0.0, *, streams: bool = False) -> None:
        """Take in that a call starts. A named one is waited for: until its first content, if it streams."""
        self.in_flight += 1
        if call is not None:
            (self._recent_ttft if streams else self._recent_total).wait(call, now)
        self._moved = True

    def end(self, call: Hashable = None, now: float = 0.0) -> None:
        """Take in that a call ended, however."""
        self.in_flight -= 1
        if call is not None:
            for recent in (self._recent_ttft, self._recent_total):
                if call in recent.waiting:
                    recent.leave(call, now)
        self._moved = True

    def first_content(self, now: float, ttft_s: float, call: Hashable = None) -> None:
        """Take in the first content of a stream: a slow one tells long before it ends."""
        self._ttft.add(ttft_s, now)
        self._recent_ttft.add(ttft_s, now, call)
        self.heard_at = now
        self.health.began(now, ttft_s)
        self._moved = True

    def answered(self, now: float, total_s: float, tokens_per_s: float | None, call: Hashable = None) -> None:
        """Take in a complete answer."""
        self._calls.count(now)
        self.health.answered(now)
        self._total.add(total_s, now)
        self._recent_total.add(total_s, now, call)
        self._peak(total_s, now)
        self.heard_at = now
        if tokens_per_s is not None:
            self._speed.add(tokens_per_s, now)
        self._moved = True

    def counted(self, n_tokens_in: int, n_estimated: int) -> None:
        """Take in how many input tokens it counted where so many had been estimated."""
        self._moved |= self._tokens.add(n_tokens_in, n_estimated)

    def _peak(self, total_s: float, now: float) -> None:
        """Follow a slow answer at once, a fast one over `PEAK_DECAY_S`: a queue is seen when it builds."""
        before = self._peak_s
        if before is None or total_s >= before:
            self._peak_s = total_s
        else:
            kept = exp((self._peak_at - now) / PEAK_DECAY_S)
            self._peak_s = before * kept + total_s * (1 - kept)
        self._peak_at = now

    def failed(self, now: float, word: str) -> None:
        """Take in a failure that the deployment is to blame for."""
        self._calls.count(now)
        self._calls.hit(now)
        self.health.failed(now)
        self.last_error = word
        self.last_error_at = self.heard_at = now
        self._moved = True

    def probed(self, now: float, word: str | None, ttft_s: float | None = None) -> None:
        """Take in how a probe went. It moves health alone: a tiny call says nothing of usual ones."""
        if word is not None:
            self.health.failed(now)
            self.last_error, self.last_error_at = word, now
        else:
            if ttft_s is not None:
                self.health.began(now, ttft_s)
            self.health.answered(now)
        self.heard_at = now
        self._moved = True

    def snapshot(self, now: float) -> Stats:
        """Return the numbers at this instant."""
        if not self._moved and self._still == self.breaker.mark and now < self._valid_until:
            return self._stats
        calm = self.breaker.is_calm(now) and self.health.is_plain(now)
        stats = self._stats = self._read(now, calm)
        is_well = calm and stats.state == "closed" and not stats.demoted and stats.share == 1
        self._moved, self._still = False, self.breaker.mark if is_well else -1
        return stats

    def _read(self, now: float, calm: bool) -> Stats:
        calls, breaker, health = self._calls, self.breaker, self.health
        ttft, speed, recent_ttft = self._ttft, self._speed, self._recent_ttft
        if now >= self._valid_until:  # so does a minute of each sketch, and perhaps a slot of the calls
            self._valid_until = (int(now / WINDOW_S) + 1) * WINDOW_S
            calls.roll(now)
            ttft.summary(now)
            speed.summary(now)
        ttft_p50_s, ttft_p95_s = ttft.summary(now) if ttft.new else ttft.pair
        total_p50_s, total_p95_s = self._total.summary(now)
        is_plain = calm and not health.has_faults  # as nearly always
        if not is_plain and health.look(now, down=breaker.is_down):
            calls.forgive()
        n, hits, n_ttft = calls.n, calls.hits, ttft.merged
        stats = Stats(
            error_ratio=None if not n else hits / n if hits < n else 1.0,
            n_observed=max(n, n_ttft),
            in_flight=self.in_flight,
            ttft_p50_s=ttft_p50_s,
            ttft_p95_s=ttft_p95_s,
            ttft_recent_s=recent_ttft.estimate(now) if recent_ttft.values else None,
            total_p50_s=total_p50_s,
            total_p95_s=total_p95_s,
            peak_ewma_s=self._peak_s if total_p50_s is not None else None,
            total_recent_s=self._recent_total.estimate(now),
            tokens_per_s=(speed.summary(now) if speed.new else speed.pair)[0],
            tokens_ratio=self._tokens.value,
        )
        if is_plain:
            return stats
        return replace(
            stats,
            state="closed" if calm else breaker.state(now),
            cooldown_s=0.0 if calm else breaker.cooldown_s(now),
            demoted=health.demoted,
            share=health.share(now),
        )


class Reader:
    """Reads live numbers as they are now."""

    __slots__ = ("_clock", "_lives")

    def __init__(self, lives: Mapping[str, Live], clock: Callable[[], float]) -> None:
        self._lives = lives
        self._clock = clock

    def __call__(self, deployment: str) -> Stats:
        """Return the numbers of a deployment; empty ones if it was never called."""
        live = self._lives.get(deployment)
        return UNSEEN if live is None else live.snapshot(self._clock())

    def candidates(self, deployments: Iterable[Deployment]) -> tuple[Candidate, ...]:
        """Return deployments with their numbers."""
        live_of, now = self._lives.get, self._clock()
        found: list[Candidate] = []
        for deployment in deployments:
            live = live_of(deployment.id)
            if live is None:
                stats = UNSEEN
            elif live._moved or live._still != live.breaker.mark or now >= live._valid_until:  # noqa: SLF001
                stats = live.snapshot(now)
            else:
                stats = live._stats  # noqa: SLF001
            found.append(Candidate(deployment, stats))
        return tuple(found)


class Fleet:
    """Every deployment that was ever called, and is still configured."""

    __slots__ = ("_breaker", "_breakers", "_budget", "_health", "_limits", "_lives", "_on_change", "_rng")

    def __init__(
        self,
        breaker: BreakerConfig = DEFAULT_BREAKER,
        *,
        breakers: Mapping[str, BreakerConfig] | None = None,
        budget: RetryBudgetConfig = DEFAULT_BUDGET,
        health: HealthConfig = DEFAULT_HEALTH,
        seed: int | None = None,
    ) -> None:
        self._breaker = breaker
        self._breakers = breakers or {}
        self._budget = budget
        self._health = health
        self._limits: Mapping[str, float] = {}
        self._on_change: OnChange | None = None
        self._rng = Random(seed)  # noqa: S311  spreads probes, keeps no secret
        self._lives: dict[str, Live] = {}

    def of(self, deployment: str) -> Live:
        """Return the live numbers of a deployment, made on first need."""
        live = self._lives.get(deployment)
        if live is None:
            config = self._breakers.get(deployment, self._breaker)
            health = Health(deployment, self._health, self._limits.get(deployment))
            health.on_change = self._on_change
            live = Live(Breaker(config, self._rng), RetryBudget(self._budget), health)
            self._lives[deployment] = live
        return live

    def stats(self, deployment: str, now: float) -> Stats:
        """Return the numbers of a deployment at this instant; empty ones if it was never called."""
        live = self._lives.get(deployment)
        return UNSEEN if live is None else live.snapshot(now)

    def reader(self, clock: Callable[[], float]) -> "Reader":
        """Return what reads a deployment's numbers now: `stats` for who asks of every candidate."""
        return Reader(self._lives, clock)

    def observe(self, attempt: Attempt, now: float) -> None:
        """Take in a call made elsewhere, as if it had been made here."""
        if attempt.outcome in UNFINISHED:
            return
        live = self.of(attempt.deployment)
        ticket = live.breaker.admit(now)
        if attempt.outcome == "failed":
            word = attempt.error or "provider_error"
            blamed = blame(word)
            if ticket is not None:
                live.breaker.fail(ticket, blamed, now)
            if blamed in ILL:
                live.failed(now, word)
            return
        if ticket is not None:
            live.breaker.succeed(ticket, now)
        n_out = attempt.usage.n_output if attempt.usage is not None else 0
        writing_s = attempt.duration_s - (attempt.ttft_s or 0.0)
        if attempt.ttft_s is not None:
            live.first_content(now, attempt.ttft_s)
        live.answered(now, attempt.duration_s, n_out / writing_s if n_out and writing_s > 0 else None)

    def configure(self, breaker: BreakerConfig, breakers: Mapping[str, BreakerConfig] | None = None) -> None:
        """Put other breaker rules in force; what was seen so far stays."""
        self._breaker = breaker
        self._breakers = breakers or {}
        for name, live in self._lives.items():
            live.breaker.config = self._breakers.get(name, breaker)

    def watch(self, health: HealthConfig, limits: Mapping[str, float]) -> None:
        """Put other rules of health in force; who is demoted stays so until it is well.

        Args:
            health: The rules.
            limits: Deployment id -> its own limit of the time to the first content.
        """
        self._health, self._limits = health, limits
        for name, live in self._lives.items():
            live.health.config, live.health.ttft_limit_s = health, limits.get(name)

    def listen(self, on_change: OnChange) -> None:
        """Tell every change of health to this one from now on."""
        self._on_change = on_change
        for live in self._lives.values():
            live.health.on_change = on_change

    def keep(self, deployments: Collection[str]) -> None:
        """Forget deployments that are not among these; calls under way on them end undisturbed."""
        for name in [each for each in self._lives if each not in deployments]:
            del self._lives[name]
