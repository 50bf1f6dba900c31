"""From a `Config` to a running engine: the only file that wires. Floor 5.

The two rings are written here as two lists, read from the outside in, each line with its reason.
"""

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from turnout.codecs.base import Codec, Dialect
from turnout.codecs.beside import completed
from turnout.compile import compile_snapshot
from turnout.compile.guard_calls import guard_sender
from turnout.compile.shelves import Shelves
from turnout.config import Config
from turnout.engine.attempt import Upstreams
from turnout.engine.beside import Threads
from turnout.engine.books import Books, Meter
from turnout.engine.engine import Engine, Running, compose
from turnout.engine.exchange import CallLayer, Clock, Exchange, Layer
from turnout.engine.pace import Pacers, Remembered, share
from turnout.engine.recommend import Wanted, narrowed
from turnout.engine.recommend import recommend as rank
from turnout.engine.route import Router
from turnout.engine.sessions import Sessions
from turnout.engine.snapshot import Snapshot
from turnout.errors import ConfigError
from turnout.govern.open import stored_secrets
from turnout.govern.vault import Lent
from turnout.jobs.alerts.board import Board
from turnout.jobs.monitor import Monitor
from turnout.jobs.probe import Prober, asking
from turnout.jobs.quality import Quality
from turnout.layers.breaker import BreakerLayer
from turnout.layers.budget import BudgetLayer
from turnout.layers.compress import CompressLayer, MarksLayer
from turnout.layers.concurrency import ConcurrencyLayer, Gates
from turnout.layers.deadline import DeadlineLayer
from turnout.layers.guard import GuardLayer, Means, Memo
from turnout.layers.journal import JournalLayer
from turnout.layers.measure import MeasureLayer
from turnout.layers.quota import QuotaLayer
from turnout.layers.retry import RetryLayer
from turnout.layers.spend import SpendLayer
from turnout.layers.timeouts import TimeoutsLayer
from turnout.layers.trace import OnEvent, TraceLayer
from turnout.parts import (
    Parts,
    Upstream,
    compiled,
    credentials,
    egress,
    limits_of,
    load_catalog,
    load_codec,
    load_dialect,
    open_books,
    open_records,
    open_transport,
)
from turnout.stores.base import Journal
from turnout.stores.live import Fleet
from turnout.stores.sightings import sightings_beside
from turnout.transport.rotation import Wallet
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest
from turnout.types.deployment import Stats
from turnout.types.limits import Budget, Quota
from turnout.types.recommendation import Recommendation
from turnout.types.record import Decision

UNSEEN = Stats()
OLDER = ("openai_completions", "ollama_generate")
"""Dialects that no upstream is spoken to in."""
CODECS = ("openai_chat", "openai_responses", "anthropic", "gemini", "bedrock", "cohere", "ollama")


class Built:
    """A running engine with what it owns. Must be closed.

    Attributes:
        config: The configuration in force.
        engine: Serves requests.
        journal: Where Records go; None = not kept.
        pacers: How fast the budgets of routes are spent.
        monitor: Watches the routes' certificates.
        probes: Asks after deployments that nobody asks.
        quality: What is said of answers, and judges.
        transport: The network.
        wallet: How credentials stand that take turns.
        alerts: What is wrong, and who is told; None until a gateway watches.
        dialects: What clients may speak, by wire format.
    """

    __slots__ = (
        "_clock",
        "_env",
        "_granted",
        "_sharing",
        "_threads",
        "alerts",
        "books",
        "caches",
        "config",
        "dialects",
        "engine",
        "journal",
        "lent",
        "monitor",
        "pacers",
        "probes",
        "quality",
        "transport",
        "wallet",
    )

    alerts: Board | None
    books: Books | None

    def __init__(
        self, config: Config, env: Mapping[str, str], parts: Parts, on_event: OnEvent | None = None
    ) -> None:
        self.config = config
        self._env = env
        self.journal = parts.journal
        self.transport = parts.transport
        codecs = completed({name: load_codec(name) for name in CODECS})
        self.dialects: dict[str, Dialect] = {name: load_dialect(name) for name in (*CODECS, *OLDER)}
        clock = self._clock = parts.clock
        wallet = self.wallet = Wallet(clock)
        fleet = Fleet(config.breaker, budget=config.retry_budget, health=config.health)
        gates, memo = Gates(), Memo()
        pacers = self.pacers = Pacers()
        self._threads = Threads(config.signals.threads, config.signals.queue)
        probes = self.probes = Prober(fleet, clock)
        seen = sightings_beside(config.journal.path if config.journal.enabled else None)
        monitor = self.monitor = Monitor(seen, lambda: self.engine)
        remembered = Remembered(Sessions(clock), pacers, self._threads, monitor.standings)

        self.books = self.alerts = None
        self.quality = Quality(parts.feedback, lambda: self.engine, clock)
        self.caches = Shelves(clock, self._threads, lambda: self.engine)

        def running(snapshot: Snapshot) -> Running:
            gates.keep(snapshot.deployments)
            pacers.keep(snapshot.routes)
            certify = monitor.follow(snapshot.routes)  # innermost: it hears what was answered
            _complete(codecs, snapshot)
            limits = {d.id: s for d in snapshot.deployments.values() if (s := d.ttft_slo_s) is not None}
            fleet.watch(self.config.health, limits)
            told = self.config.telemetry.traces.propagate
            upstreams = Upstreams(codecs, parts.transport, credentials(snapshot, wallet), clock, told)
            meter = Meter(self._opened(snapshot), snapshot.limits, snapshot.deployments)
            # Innermost: it is known who is asked, and nothing else meets the marks.
            marks = MarksLayer(snapshot.prompt_cached)
            calls: list[CallLayer] = [*call_ring(self.config, fleet, gates, clock, meter), marks]
            probes.follow(snapshot, compose(calls, asking(upstreams)), JournalLayer(parts.journal, clock))
            send = guard_sender(self.config, snapshot, parts.transport)
            means = Means(clock, compose(calls, upstreams.open), snapshot.deployments, send, memo)
            ring = request_ring(self.config, parts.journal, clock, on_event, pacers, meter)
            ring += self._inner(snapshot, means, certify)
            return Running(snapshot, upstreams, fleet, ring, calls, remembered)

        self.engine = Engine(running, parts.snapshot, fleet, clock=clock)
        self._sharing: asyncio.Task[None] | None = None
        self.lent: Lent = {}
        """Stored credentials by provider, beside those configured."""
        self._granted: tuple[Sequence[Budget], Sequence[Quota]] = ((), ())
        """Limits of the desk, beside those configured."""

    def _inner(self, snapshot: Snapshot, means: Means, certify: Layer) -> list[Layer]:
        """Return the layers inside `request_ring`, outermost first."""
        return [
            # Around guards: what users see is judged, and what they ask is heard.
            self.quality.follow(snapshot.listening),
            # Inside quotas, as it may ask models; around the rest: nothing behind it meets what it hid.
            GuardLayer(snapshot, means),
            # Inside guards, which see all there is; around the cache: looked up is what would go out.
            CompressLayer(snapshot, means.call, self._clock),
            # Inside guards, which look at each answer anew; around all that decides, asks and pays.
            self.caches.follow(self.config, snapshot),
            certify,
        ]

    def _opened(self, snapshot: Snapshot) -> Books | None:
        """Return the ledger, opened when the first configuration with a limit comes into force."""
        if self.books is None and not snapshot.limits.is_empty:
            self.books = open_books(self.config, self._clock)
            self.books.start()
        return self.books

    def prepare(self, config: Config) -> Snapshot:
        """Compile another configuration completely, and put nothing in force.

        Raises:
            ConfigError: The configuration cannot be used.
        """
        version = self.engine.snapshot.version + 1
        snapshot = compiled(config, self._env, self.lent, version=version)
        credentials(snapshot)
        egress(config, snapshot)
        return self._limited(snapshot, config)

    def lend(self, secrets: Lent) -> None:
        """Use other stored credentials beside those configured, from now on. Raises `ConfigError`."""
        if self.lent == secrets:
            return
        before, self.lent = self.lent, secrets
        try:
            self.reload(self.config)
        except ConfigError:
            self.lent = before
            raise

    def grant(self, budgets: Sequence[Budget], quotas: Sequence[Quota]) -> None:
        """Put other limits in force beside those configured; one with the id of a configured one is left out.

        Accounts go on as they were: they are known by the limit's id.
        """
        if self._granted == (budgets, quotas):
            return
        self._granted = (budgets, quotas)
        self.engine.apply(self._limited(self.engine.snapshot, self.config))

    def _limited(self, snapshot: Snapshot, config: Config) -> Snapshot:
        """Return a snapshot under the configured limits and those of the desk."""
        budgets, quotas = self._granted
        limits = limits_of(config, budgets, quotas)
        return msgspec.structs.replace(snapshot, limits=limits)

    def reload(self, config: Config, snapshot: Snapshot | None = None) -> tuple[str, ...]:
        """Put another configuration in force for requests that start from now on.

        Requests under way keep theirs, so what the one before allowed to dial stays allowed until the next.

        Args:
            config: What to put in force.
            snapshot: What `prepare` made of it, if it was called.

        Returns the keys that changed but take effect only at the next start, the server's own aside.

        Raises:
            ConfigError: The configuration cannot be used; the old one stays in force.
        """
        snapshot = snapshot or self.prepare(config)
        self.transport.allow(egress(config, snapshot, (self.config, self.engine.snapshot)))
        old, self.config = self.config, config
        self.engine.apply(snapshot)
        self.share_spending()
        return tuple(key for key in _AT_START if _value(old, key) != _value(config, key))

    def share_spending(self) -> None:
        """From now on read once a minute what other processes spent, where a route is paced."""
        if self._sharing is None and self.journal is not None and self.pacers:
            self._sharing = asyncio.get_running_loop().create_task(
                share(self.pacers, self.journal, asyncio.sleep, lambda: datetime.now(UTC))
            )

    async def close(self) -> None:
        """Close connections and write out the journal."""
        if self._sharing is not None:
            self._sharing.cancel()
            await asyncio.wait((self._sharing,))
        await self.probes.close()
        await self.monitor.shadows.close()
        await self.quality.close()
        self._threads.close()
        await self.transport.close()
        await self.caches.close()
        if self.books is not None:
            await self.books.close()
        if self.journal is not None:
            await self.journal.close()


def _complete(codecs: dict[str, Codec], snapshot: Snapshot) -> None:
    """Add the wire formats of installed packages that deployments speak."""
    for deployment in snapshot.deployments.values():
        name = deployment.vendor.codec
        if name not in codecs:
            codecs[name] = load_codec(name)


_AT_START = (
    *("background.path", "files.path", "responses", "ledger", "journal", "cache", "log", "telemetry.otlp"),
    *("telemetry.metrics", "telemetry.queue", "alerts.path"),
    *("egress.max_connections", "egress.proxy", "egress.http2"),
)
"""Keys that are read only when a process starts."""


def _value(config: Config, key: str) -> object:
    found: object = config
    for name in key.split("."):
        found = getattr(found, name)
    return found


async def build(
    config: Config,
    env: Mapping[str, str] | None = None,
    *,
    transport: Upstream | None = None,
    journal: Journal | None = None,
    on_event: OnEvent | None = None,
    clock: Clock = time.monotonic,
) -> Built:
    """Build an engine on the running event loop.

    Args:
        config: What to build.
        env: Where vendors' keys are looked up; default: the environment of the process.
        transport: Replaces the network, for tests and replays.
        journal: Replaces the configured one.
        on_event: Told about every request that ended.
        clock: Monotonic seconds. Not the event loop's: uvloop reads that once a millisecond.

    Raises:
        ConfigError: One line per problem.
    """
    env = os.environ if env is None else env
    lent = await stored_secrets(config)
    snapshot = compiled(config, env, lent)
    credentials(snapshot)
    if transport is None:
        transport = open_transport(config, egress(config, snapshot))
    journal, feedback = open_records(config, journal)
    built = Built(config, env, Parts(snapshot, transport, journal, feedback, clock), on_event)
    built.lent = lent
    if journal is not None:
        await built.pacers.resume(journal, datetime.now(UTC))
        built.share_spending()
    return built


def request_ring(
    config: Config,
    journal: Journal | None,
    clock: Clock,
    on_event: OnEvent | None,
    pacers: Pacers,
    meter: Meter,
) -> list[Layer]:
    """Return the layers around a request, outermost first."""
    key = config.journal.hash_key
    return [
        # Around everything: what is spent is settled when it looks.
        SpendLayer(pacers, clock),
        # So far out that what it reports includes everything below.
        TraceLayer(clock, on_event, config.telemetry.tracing),
        # Around the deadline: a request that ran out of time is recorded too.
        JournalLayer(journal, clock, key=None if key is None else key.reveal().encode()[:64]),
        # Around every attempt, wait and fallback.
        DeadlineLayer(clock, config.timeouts.total_s),
        # Before anything is decided, as a budget may decide; inside the deadline, as a ledger may be slow.
        QuotaLayer(meter, clock),
    ]


def call_ring(config: Config, fleet: Fleet, gates: Gates, clock: Clock, meter: Meter) -> list[CallLayer]:
    """Return the layers around an attempt, outermost first."""
    return [
        # Each retry passes all the layers below again.
        RetryLayer(fleet, clock, config.retry),
        # Before a place is taken: a deployment known to be down costs nothing.
        BreakerLayer(fleet, clock),
        # After the breaker, so that nobody queues for a deployment that is down.
        ConcurrencyLayer(gates, clock),
        # After the queue: what waits sets no money aside.
        BudgetLayer(meter, clock),
        # After the queue: the time spent waiting is no fault of the upstream.
        TimeoutsLayer(),
        # Innermost: measures what the upstream did, and nothing of ours.
        MeasureLayer(fleet, clock),
    ]


def decide(config: Config, env: Mapping[str, str], request: ChatRequest, ask: Ask) -> Decision:
    """Decide as an engine would that has seen nothing yet: no credential is needed, nothing is opened.

    Raises `ConfigError` for a configuration that cannot be used, `TurnoutError` when no model fits.
    """
    snapshot = compile_snapshot(config, load_catalog(config), env, credentials=False)
    exchange = Exchange(request, ask, started=0.0, at=datetime.now(UTC), seed=0)
    return Router(snapshot, lambda _: UNSEEN).decide(exchange).decision(exchange)


def recommend(config: Config, request: ChatRequest, ask: Ask, wanted: Wanted) -> Recommendation:
    """Rank models from local computation alone: no credential is needed, no connection is opened.

    Raises `ConfigError` for models that nobody knows, `TurnoutError` when none fits.
    """
    snapshot = compile_snapshot(config, load_catalog(config), {}, credentials=False)
    ask = narrowed(ask, wanted.constraints)
    exchange = Exchange(request, ask, started=0.0, at=datetime.now(UTC), seed=0)
    return rank(Router(snapshot, lambda _: UNSEEN), exchange, wanted)
