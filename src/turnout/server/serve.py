"""One gateway process: listener, reload, drain. Floor 6.

Theory of operation.
1. Sockets are bound and listen before anything else, so that a taken port is one line on the terminal, and so
   that workers forked later share them.
2. SIGTERM and SIGINT drain: `/readyz` turns to 503, no connection is accepted any more, open answers may go
   on for the grace period, then each is told that the gateway shuts down, and settled. A second signal ends
   the grace period. The journal is closed last. A worker whose supervisor died drains too: the other end of
   its lifeline is closed.
3. SIGHUP, or a changed file, reloads: the new configuration is compiled completely before one reference is
   swapped. A file that cannot be used changes nothing and is reported once.
"""

import asyncio
import gc
import logging
import signal
import socket
import ssl
from collections.abc import Callable, Collection, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path

import msgspec
import uvicorn
from msgspec import Struct

from turnout.build import Built, build
from turnout.config import Config, ServerConfig, load_config
from turnout.config.stores import with_stores
from turnout.engine.snapshot import NO_MODEL_SERVED
from turnout.errors import ConfigError
from turnout.parts import open_store
from turnout.server.admin.opening import open_admin
from turnout.server.admin.plane import App, admin_side
from turnout.server.app import Gateway
from turnout.server.bind import BACKLOG, LOOPBACK, Sockets, check_bind, check_upstreams
from turnout.server.defects import places
from turnout.server.desk import Room
from turnout.server.house import keep_house_of
from turnout.server.idempotency import Replays
from turnout.server.opened import open_beside
from turnout.server.protocol import GatewayProtocol, WireLimits, protocol_for, sweep_all
from turnout.server.scores import ScoresFile
from turnout.server.settings import settings_of
from turnout.server.telemetry.opened import Telemetry
from turnout.types.address import Address
from turnout.types.json import Json

log = logging.getLogger("turnout.server")

RELOAD_POLL_S = 1.0
SETTLES_S = 0.05
"""How long a changed file must stay as it is before it is read."""
COLLECT_AFTER = (50_000, 20, 100)
"""Net new objects before a collection, and how many of each generation make one of the next: some hundred
requests' worth, so that a cycle made by a failing request still goes soon."""
SETTLE_S = 5.0
"""How long cancelled requests may take to settle."""
AT_START = ("host", "port", "metrics_port", "workers", "tls")
"""Keys of `server` that are read only when a process starts."""


class Source(Struct, frozen=True):
    """Where the configuration comes from: a file, and what the command line puts over its `server`."""

    path: Path | None = None
    server: dict[str, Json] = {}
    ledger: Address | None = None
    """Replaces `ledger.store`."""
    journal: Address | None = None
    """Replaces `journal.store`."""

    def load(self) -> Config:
        """Read it. Raises `ConfigError` for a file that cannot be used."""
        config = Config() if self.path is None else load_config(self.path)
        config = msgspec.structs.replace(config, server=msgspec.structs.replace(config.server, **self.server))
        return with_stores(config, self.ledger, self.journal)

    def stamp(self) -> tuple[int, int]:
        """Return what changes when the file does."""
        try:
            stat = None if self.path is None else self.path.stat()
        except OSError:
            stat = None
        return (0, 0) if stat is None else (stat.st_mtime_ns, stat.st_size)


def limits_of(server: ServerConfig) -> WireLimits:
    """Return the limits of one connection."""
    return WireLimits(
        header_timeout_s=server.header_timeout_s,
        body_timeout_s=server.body_timeout_s,
        allowed_hosts=frozenset(host.lower() for host in server.allowed_hosts),
        # Behind a proxy every connection comes from its address.
        max_connections_per_address=None if server.behind_proxy else server.max_connections_per_address,
    )


class Listener(uvicorn.Server):
    """The data plane on its socket, or administration on one of its own. It leaves signals to its process."""

    def __init__(
        self,
        config: Config,
        gateway: Gateway,
        on_ready: Callable[[], None] | None = None,
        *,
        admin: bool = False,
        around: Callable[[App], App] = lambda app: app,
    ) -> None:
        self._gateway = gateway
        self._protocol = protocol_for(limits_of(config.server), gateway.refusal)
        self._on_ready = on_ready
        self.beside: Listener | None = None
        """That of administration, which drains with this one and takes over what is changed."""
        self.over: Callable[[Config], Config] = lambda config: config
        """Lays over the file's configuration what the desk holds."""
        app = admin_side(gateway) if admin else gateway
        super().__init__(_uvicorn_config(config.server, around(app), self._protocol))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        await super().startup(sockets)
        if self._on_ready is not None:
            self._on_ready()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until told to drain; return when every request has been settled."""
        await self._serve(sockets)
        left = tuple(self.server_state.tasks)
        if self.force_exit:
            self._gateway.break_off()
            for task in left:
                task.cancel()
        if left:
            await asyncio.wait(left, timeout=SETTLE_S)

    async def _wait_tasks_to_complete(self) -> None:
        try:
            await super()._wait_tasks_to_complete()
        except asyncio.CancelledError:  # the grace period is over: uvicorn cancels what is left
            self._gateway.break_off()
            raise

    def drain(self) -> None:
        """Stop accepting, let open answers end; called again, break them off."""
        if self.beside is not None:
            self.beside.drain()
        self.force_exit = self.should_exit
        self.should_exit = True
        self._gateway.ready = False

    def apply(self, config: Config) -> None:
        """Put another configuration's limits and keys in force."""
        if self.beside is not None:
            self.beside.apply(config)
        self._gateway.apply(settings_of(config))
        self._protocol.wire_limits = limits_of(config.server)
        self.config.timeout_keep_alive = config.server.idle_timeout_s  # type: ignore[assignment]  # only compared
        self.config.timeout_graceful_shutdown = config.server.grace_s  # type: ignore[assignment]  # only waited for

    @property
    def connections(self) -> Collection[object]:
        """Open client connections."""
        return self.server_state.connections


def _uvicorn_config(server: ServerConfig, app: App, protocol: type[GatewayProtocol]) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        http=protocol,
        loop="none",
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        log_config=None,
        log_level="warning",
        timeout_keep_alive=server.idle_timeout_s,  # type: ignore[arg-type]  # only compared
        timeout_graceful_shutdown=server.grace_s,  # type: ignore[arg-type]  # only waited for
        backlog=BACKLOG,
        ssl_certfile=server.tls.cert if server.tls else None,
        ssl_keyfile=server.tls.key if server.tls else None,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise ConfigError((f"server.tls: certificate or key cannot be used: {error.strerror}",)) from None
    return config


def calm_collector() -> None:
    """Set what exists aside for good, and let the cyclic collector look only when many objects were made.

    Serving makes no reference cycles; with its defaults the collector would look through every request in
    flight again and again, and find nothing (an eighth of all CPU, with 32 requests in flight).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    gc.enable()


class Process:
    """One worker: an engine, its data plane and, where asked for, its metrics listener."""

    def __init__(
        self,
        source: Source,
        config: Config,
        stamp: tuple[int, int],
        *,
        on_ready: Callable[[], None] | None = None,
        lifeline: int | None = None,
    ) -> None:
        self._source = source
        self._config = config
        self._seen = stamp
        """Of the file when `config` was read from it; a worker that starts later finds it changed."""
        self._on_ready = on_ready
        self._lifeline = lifeline
        """Read end of a pipe whose other end the supervisor holds."""

    async def run(self, sockets: Sockets) -> None:
        """Serve until told to stop. Raises `ConfigError` when the engine cannot be built."""
        sock = sockets.data
        telemetry = Telemetry(self._config, scraped=sockets.metrics is not None)
        metrics = telemetry.metrics
        async with AsyncExitStack() as opened:
            opened.push_async_callback(telemetry.close)
            built = await build(self._config, on_event=telemetry.on_event)
            opened.push_async_callback(built.close)
            check_upstreams(built.engine.registry(), self._config.server.host, sock.getsockname()[1])
            if not built.engine.registry():
                log.warning(NO_MODEL_SERVED)
            gateway = Gateway(built.engine, built.dialects, settings_of(self._config))
            telemetry.begin(built, gateway)
            self._scores = gateway.scores = ScoresFile(built)
            opened.push_async_callback(gateway.responses.keep_in(self._config.responses))
            gateway.mcp.tools.look_into(built.journal, lambda: built.books)
            if (store := open_store(self._config)) is not None:
                gateway.replays = Replays(store)
                opened.push_async_callback(store.close)
            gateway.feedback.open(built, store)
            room = self._room = Room(built, gateway.follow)
            gateway.denied, room.forgets = room.denied, gateway.responses.forget
            opened.push_async_callback(room.close)
            await room.start()
            overlay = await open_admin(built, gateway, room)
            opened.push_async_callback(gateway.plane.close)
            self._around = telemetry.app
            listener = Listener(self._config, gateway, self._on_ready, around=self._around)
            listener.over = overlay.over
            calm_collector()
            beside_it = open_beside(built, gateway)
            with self._signals(listener) as reload_asked:
                async with asyncio.TaskGroup() as tasks:
                    beside = [
                        tasks.create_task(_sweep(listener)),
                        tasks.create_task(room.run()),
                        tasks.create_task(keep_house_of(built, lambda: room.office, metrics)),
                        tasks.create_task(overlay.run()),
                        tasks.create_task(self._watch(built, listener, sock, reload_asked)),
                    ]
                    if metrics is not None and sockets.metrics is not None:
                        local = self._config.server.host in LOOPBACK
                        scrapes = metrics.serve(sockets.metrics, built, gateway, local=local)
                        beside.append(tasks.create_task(scrapes))
                    if sockets.admin is not None:
                        beside.append(tasks.create_task(self._serve_apart(listener, gateway, sockets.admin)))
                    await beside_it.serve(listener.serve([sock]), lambda: _grace_s(built, listener))
                    for task in beside:
                        task.cancel()

    async def _serve_apart(self, listener: Listener, gateway: Gateway, sock: socket.socket) -> None:
        """Serve administration on its own socket until the data plane drains."""
        apart = listener.beside = Listener(self._config, gateway, admin=True, around=self._around)
        sweeping = asyncio.create_task(_sweep(apart))
        try:
            await apart.serve([sock])
        finally:
            sweeping.cancel()

    @contextmanager
    def _signals(self, listener: Listener) -> Iterator[asyncio.Event]:
        """Let signals drain the listener; yield the event that asks for a reload."""
        loop = asyncio.get_running_loop()
        reload_asked = asyncio.Event()
        for sig in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sig, listener.drain)
        loop.add_signal_handler(signal.SIGHUP, reload_asked.set)
        if self._lifeline is not None:
            loop.add_reader(self._lifeline, self._orphaned, listener)
        try:
            yield reload_asked
        finally:
            if self._lifeline is not None:
                loop.remove_reader(self._lifeline)
            for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.remove_signal_handler(sig)

    def _orphaned(self, listener: Listener) -> None:
        assert self._lifeline is not None
        asyncio.get_running_loop().remove_reader(self._lifeline)
        if not listener.should_exit:
            log.warning("the supervisor is gone: draining")
            listener.drain()

    async def _watch(
        self, built: Built, listener: Listener, sock: socket.socket, reload_asked: asyncio.Event
    ) -> None:
        """Reload on SIGHUP and when the file changed."""
        port = sock.getsockname()[1]
        while True:
            stamp = await settled(self._source, self._seen)
            if reload_asked.is_set() or stamp != self._seen or self._scores.changed():
                reload_asked.clear()
                self._seen = stamp
                reload(self._source, built, listener, port, has_keys=self._room.has_keys)
            with suppress(TimeoutError):
                await asyncio.wait_for(reload_asked.wait(), RELOAD_POLL_S)


async def settled(source: Source, seen: tuple[int, int]) -> tuple[int, int]:
    """Return the file's stamp, of one that changed once it stays: who writes may have emptied it first."""
    stamp = source.stamp()
    while stamp != seen:
        await asyncio.sleep(SETTLES_S)
        before, stamp = stamp, source.stamp()
        if stamp == before:
            break
    return stamp


def reload(source: Source, built: Built, listener: Listener, port: int, *, has_keys: bool = False) -> bool:
    """Put the file in force if it can be used; tell the log either way."""
    try:
        config = listener.over(source.load())
        # The address stays the one that was bound, whatever the file says now.
        check_bind(_bound(config, built.config), has_keys=has_keys)
        snapshot = built.prepare(config)
        check_upstreams(snapshot.deployments.values(), built.config.server.host, port)
    except ConfigError as error:
        for problem in error.problems:
            log.error("configuration refused, the old one stays in force: %s", problem)  # noqa: TRY400
        return False
    except Exception as error:  # noqa: BLE001  a defect in reading a file must not end a gateway that serves
        log.error("reload failed, the old one stays: %s at %s", type(error).__name__, places(error))  # noqa: TRY400
        return False
    old = built.config.server
    later = [f"server.{name}" for name in AT_START if getattr(old, name) != getattr(config.server, name)]
    later += ["admin.listen"] if config.admin.listen != built.config.admin.listen else []
    config = _bound(config, built.config)
    later += built.reload(config, snapshot)
    listener.apply(config)
    if later:
        log.warning("changed, but in force only after a restart: %s", ", ".join(later))
    log.info("configuration version %d is in force", built.engine.snapshot.version)
    return True


def _bound(config: Config, old: Config) -> Config:
    """Return a configuration with what of `server` a running process cannot change."""
    fixed = {name: getattr(old.server, name) for name in AT_START}
    admin = msgspec.structs.replace(config.admin, listen=old.admin.listen)
    server = msgspec.structs.replace(config.server, **fixed)
    return msgspec.structs.replace(config, server=server, admin=admin)


async def _sweep(listener: Listener) -> None:
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(1)
        sweep_all(listener.connections, loop.time())


def _grace_s(built: Built, listener: Listener) -> float:
    return 0.0 if listener.force_exit else built.config.server.grace_s


def run_worker(process: Process, sockets: Sockets) -> None:
    """Run one gateway process on uvloop until it is told to stop."""
    import uvloop  # noqa: PLC0415  absent on Windows

    gc.disable()  # until what is made at start is set aside
    uvloop.run(process.run(sockets))
