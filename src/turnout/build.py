"""From a `Config` to a running engine: the only file that wires. Floor 5.

The two rings are written here as two lists, read from the outside in, each line with its reason.
"""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, cast

from turnout.catalog.benchmarks import Score, read_scores
from turnout.catalog.catalog import Catalog, read_overlay
from turnout.codecs.base import Codec, Dialect
from turnout.compile import compile_snapshot
from turnout.config import Config
from turnout.engine.attempt import Upstreams
from turnout.engine.engine import Engine, Running, compose
from turnout.engine.beside import Threads
from turnout.engine.exchange import CallLayer, Clock, Exchange, Layer
from turnout.engine.pace import Pacers, Remembered, share
from turnout.engine.recommend import Wanted, narrowed
from turnout.engine.recommend import recommend as rank
from turnout.engine.route import Router
from turnout.engine.sessions import Sessions
from turnout.engine.snapshot import Snapshot
from turnout.errors import ConfigError
from turnout.jobs.monitor import Monitor
from turnout.jobs.probe import Prober, asking
from turnout.layers.breaker import BreakerLayer
from turnout.layers.concurrency import ConcurrencyLayer, Gates
from turnout.layers.deadline import DeadlineLayer
from turnout.layers.journal import JournalLayer
from turnout.layers.measure import MeasureLayer
from turnout.layers.retry import RetryLayer
from turnout.layers.spend import SpendLayer
from turnout.layers.timeouts import TimeoutsLayer
from turnout.layers.trace import OnEvent, TraceLayer
from turnout.registry import load
from turnout.stores.base import Journal
from turnout.stores.live import Fleet
from turnout.stores.sightings import sightings_beside
from turnout.transport.base import Authorise, Transport
from turnout.transport.guard import Egress, egress_for
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest
from turnout.types.deployment import Stats
from turnout.types.recommendation import Recommendation
from turnout.types.record import Decision

UNSEEN = Stats()
CODECS = ("openai_chat", "anthropic", "gemini")


class Upstream(Transport, Protocol):
    """A transport whose allowed destinations follow the configuration."""

    def allow(self, egress: Egress) -> None:
        """Replace what may be dialled."""
        ...


class Built:
    """A running engine with what it owns. Must be closed.

    Attributes:
        config: The configuration in force.
        engine: Serves requests.
        journal: Where Records go; None = not kept.
        monitor: Watches the routes' certificates.
        pacers: How fast the budgets of routes are spent.
        probes: Asks after deployments that nobody asks.
        transport: The network.
        dialects: What clients may speak, by wire format.
    """

    __slots__ = (
        "_env",
        "_sharing",
        "_threads",
        "config",
        "dialects",
        "engine",
        "journal",
        "monitor",
        "pacers",
        "probes",
        "transport",
    )

    def __init__(
        self, config: Config, env: Mapping[str, str], parts: "Parts", on_event: OnEvent | None = None
    ) -> None:
        self.config = config
        self._env = env
        self.journal = parts.journal
        self.transport = parts.transport
        codecs: dict[str, Codec] = {name: load_codec(name) for name in CODECS}
        self.dialects: dict[str, Dialect] = {name: load_dialect(name) for name in CODECS}
        clock = parts.clock
        fleet = Fleet(config.breaker, budget=config.retry_budget, health=config.health)
        gates = Gates()
        pacers = self.pacers = Pacers()
        seen = sightings_beside(config.journal.path if config.journal.enabled else None)
        monitor = self.monitor = Monitor(seen, lambda: self.engine)
        self._threads = Threads(config.signals.threads, config.signals.queue)
        remembered = Remembered(Sessions(clock), pacers, self._threads, monitor.standings)
        probes = self.probes = Prober(fleet, clock)

        def running(snapshot: Snapshot) -> Running:
            gates.keep(snapshot.deployments)
            pacers.keep(snapshot.routes)
            certify = monitor.follow(snapshot.routes)  # innermost: it hears what was answered
            limits = {d.id: s for d in snapshot.deployments.values() if (s := d.ttft_slo_s) is not None}
            fleet.watch(self.config.health, limits)
            upstreams = Upstreams(codecs, parts.transport, credentials(snapshot), clock)
            calls = call_ring(self.config, fleet, gates, clock)
            probes.follow(snapshot, compose(calls, asking(upstreams)), JournalLayer(parts.journal, clock))
            return Running(
                snapshot,
                upstreams,
                fleet,
                [*request_ring(self.config, parts.journal, clock, on_event, pacers), certify],
                calls,
                remembered,
            )

        self.engine = Engine(running, parts.snapshot, fleet, clock=clock)
        self._sharing: asyncio.Task[None] | None = None

    def prepare(self, config: Config) -> Snapshot:
        """Compile another configuration completely, and put nothing in force.

        Raises:
            ConfigError: The configuration cannot be used.
        """
        version = self.engine.snapshot.version + 1
        snapshot = compile_snapshot(config, load_catalog(config), self._env, version=version)
        credentials(snapshot)
        egress(config, snapshot)
        return snapshot

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
        self.transport.allow(egress(config, snapshot, self.engine.snapshot))
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
        self._threads.close()
        await self.transport.close()
        if self.journal is not None:
            await self.journal.close()


_AT_START = ("background.path", "journal", "egress.max_connections", "egress.proxy", "egress.http2", "log", "signals.threads", "signals.queue")
"""Keys that are read only when a process starts."""


def _value(config: Config, key: str) -> object:
    found: object = config
    for name in key.split("."):
        found = getattr(found, name)
    return found


class Parts:
    """What `Built` is put together from."""

    __slots__ = ("clock", "journal", "snapshot", "transport")

    def __init__(
        self, snapshot: Snapshot, transport: Upstream, journal: Journal | None, clock: Clock
    ) -> None:
        self.snapshot = snapshot
        self.transport = transport
        self.journal = journal
        self.clock = clock


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
    snapshot = compile_snapshot(config, load_catalog(config), env)
    credentials(snapshot)
    if transport is None:
        transport = open_transport(config, egress(config, snapshot))
    if journal is None and config.journal.enabled:
        journal = open_journal(config)
    built = Built(config, env, Parts(snapshot, transport, journal, clock), on_event)
    if journal is not None:
        await built.pacers.resume(journal, datetime.now(UTC))
        built.share_spending()
    return built


def request_ring(
    config: Config, journal: Journal | None, clock: Clock, on_event: OnEvent | None, pacers: Pacers
) -> list[Layer]:
    """Return the layers around a request, outermost first."""
    key = config.journal.hash_key
    return [
        # Around everything: what is spent is settled when it looks.
        SpendLayer(pacers, clock),
        # So far out that what it reports includes everything below.
        TraceLayer(clock, on_event),
        # Around the deadline: a request that ran out of time is recorded too.
        JournalLayer(journal, clock, key=None if key is None else key.reveal().encode()[:64]),
        # Around every attempt, wait and fallback.
        DeadlineLayer(clock, config.timeouts.total_s),
    ]


def call_ring(config: Config, fleet: Fleet, gates: Gates, clock: Clock) -> list[CallLayer]:
    """Return the layers around an attempt, outermost first."""
    return [
        # Each retry passes all the layers below again.
        RetryLayer(fleet, clock, config.retry),
        # Before a place is taken: a deployment known to be down costs nothing.
        BreakerLayer(fleet, clock),
        # After the breaker, so that nobody queues for a deployment that is down.
        ConcurrencyLayer(gates, clock),
        # After the queue: the time spent waiting is no fault of the upstream.
        TimeoutsLayer(),
        # Innermost: measures what the upstream did, and nothing of ours.
        MeasureLayer(fleet, clock),
    ]


def load_codec(name: str) -> Codec:
    """Return the codec of a wire format."""
    make = cast("Callable[[], Codec]", load("turnout.codecs", name))  # the group's protocol (registry.py)
    return make()


def load_dialect(name: str) -> Dialect:
    """Return the dialect of a wire format."""
    make = cast("Callable[[], Dialect]", load("turnout.dialects", name))  # the group's protocol (registry.py)
    return make()


def load_catalog(config: Config) -> Catalog:
    """Return the catalogue with the configured corrections. Raises `ConfigError`."""
    catalog = Catalog.load()
    if config.benchmarks.files or config.benchmarks.import_path is not None:
        catalog = catalog.with_scores(load_scores(config))
    if config.catalog.overlay is None:
        return catalog
    path = Path(config.catalog.overlay)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError((f"catalog.overlay: {path} cannot be read: {error.strerror}",)) from None
    return catalog.overlay(read_overlay(data, str(path)))


def load_scores(config: Config) -> tuple[Score, ...]:
    """Return the user's own benchmark scores. Raises `ConfigError`, one line per faulty row."""
    found: list[Score] = []
    for at, name in enumerate(config.benchmarks.files):
        try:
            data = Path(name).read_bytes()
        except OSError as error:
            raise ConfigError((f"benchmarks.files[{at}]: {name} cannot be read: {error.strerror}",)) from None
        found += read_scores(data, name)
    imported = config.benchmarks.import_path
    if imported is not None and Path(imported).exists():
        try:
            found += read_scores(Path(imported).read_bytes(), imported)
        except OSError as error:
            problem = f"benchmarks.import_path: {imported} cannot be read: {error.strerror}"
            raise ConfigError((problem,)) from None
    return tuple(found)


def egress(config: Config, *snapshots: Snapshot) -> Egress:
    """Return where the deployments live: nothing else can be dialled. Raises `ConfigError`."""
    deployments = [d for snapshot in snapshots for d in snapshot.deployments.values()]
    hosts = {host_of(d.url) for d in deployments if d.vendor.allow_http}
    return egress_for(
        {d.url for d in deployments},
        allow_cidrs=config.egress.allow_cidrs,
        allow_http=[*config.egress.allow_http, *hosts],
    )


def host_of(url: str) -> str:
    """Return the host of a base URL."""
    from urllib.parse import urlsplit  # noqa: PLC0415

    return urlsplit(url).hostname or ""


def credentials(snapshot: Snapshot) -> Mapping[str, Authorise]:
    """Return what each deployment presents, bound to its vendor's host."""
    from turnout.transport.credentials import authorise_for  # noqa: PLC0415

    found: dict[str, Authorise] = {}
    for deployment in snapshot.deployments.values():
        if deployment.credential is not None:
            found[deployment.id] = authorise_for(
                deployment.vendor.auth, deployment.credential, (host_of(deployment.url),)
            )
    return found


def open_transport(config: Config, allowed: Egress) -> Upstream:
    """Open the network as configured."""
    if config.egress.proxy is not None or config.egress.http2:
        from turnout.transport.library import LibraryTransport  # noqa: PLC0415  an extra

        return LibraryTransport(allowed, proxy=config.egress.proxy, http2=config.egress.http2)
    from turnout.transport.http import HttpOptions, HttpTransport  # noqa: PLC0415
    from turnout.transport.pool import PoolLimits  # noqa: PLC0415

    return HttpTransport(allowed, HttpOptions(pool=PoolLimits(max_connections=config.egress.max_connections)))


def open_journal(config: Config) -> Journal:
    """Open the configured journal. Raises `ConfigError`."""
    from turnout.stores.spool.journal import SpooledJournal  # noqa: PLC0415
    from turnout.stores.sqlite import SqliteRows, spool_beside  # noqa: PLC0415

    path = Path(config.journal.path)
    return SpooledJournal(SqliteRows(path), spool_beside(path), fsync=config.journal.fsync)


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
