"""One gateway process: listener, reload, drain. Floor 6.

Theory of operation.
1. Sockets are bound before anything else, so that a taken port is one line on the terminal, and so that
   workers forked later share them.
2. SIGTERM and SIGINT drain: `/readyz` turns to 503, no connection is accepted any more, open answers may go
   on for the grace period, then what is left is cancelled and settled.
3. SIGHUP, or a changed file, reloads: the new configuration is compiled completely before one reference is
   swapped. A file that cannot be used changes nothing and is reported once.
4. Serving makes no reference cycles, so the cyclic collector finds nothing; with its defaults it would look
   through every request in flight again and again. What exists at start is set aside for good, and it looks
   only when many more objects have been made than were freed.
"""

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import uvicorn

from turnout.build import Built, build
from turnout.config import Config, load_config
from turnout.errors import ConfigError
from turnout.server.app import Gateway
from turnout.server.protocol import WireLimits, protocol_for, sweep_all
from turnout.server.settings import GatewayKey, ServerSettings

log = logging.getLogger("turnout.server")

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
RELOAD_POLL_S = 1.0
COLLECT_AFTER = (50_000, 20, 100)
"""Net new objects before a collection, and how many of each generation make one of the next: some 100
requests' worth, so that a cycle made by a failing request still goes soon."""


def check_bind(config: Config) -> None:
    """Refuse a bind that would serve strangers without a key or in clear (S-100). Raises `ConfigError`."""
    server = config.server
    if server.host in LOOPBACK:
        return
    if not server.keys:
        raise ConfigError(
            (f"server.keys: {server.host} is not loopback; add at least one key, or bind 127.0.0.1",)
        )
    if server.tls is None and not server.behind_proxy:
        raise ConfigError(
            (
                f"server.tls: {server.host} is not loopback; give tls.cert and tls.key, or set behind_proxy: true",
            )
        )


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises `ConfigError` when the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise ConfigError(
            (f"server.port: {host}:{port} cannot be bound: {error.strerror}; choose another port",)
        ) from None
    sock.set_inheritable(True)
    return sock


def settings_of(config: Config) -> ServerSettings:
    """Return what the data plane needs of the configuration."""
    server = config.server
    return ServerSettings(
        max_body_bytes=int(server.max_body_mib * 1024 * 1024),
        max_open=server.max_open,
        keep_alive_s=server.keep_alive_s,
        keys=tuple(
            GatewayKey(name=key.name, secret=key.secret, allow=key.allow, default_route=key.default_route)
            for key in server.keys
        ),
    )


def uvicorn_config(config: Config, app: Gateway) -> uvicorn.Config:
    """Return uvicorn's settings for the data plane."""
    server = config.server
    limits = WireLimits(
        header_timeout_s=server.header_timeout_s,
        body_timeout_s=server.body_timeout_s,
        allowed_hosts=frozenset(host.lower() for host in server.allowed_hosts),
        max_connections_per_address=server.max_connections_per_address,
    )
    return uvicorn.Config(
        app,
        http=protocol_for(limits),
        loop="none",
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        log_config=None,
        log_level="warning",
        timeout_keep_alive=int(server.idle_timeout_s),
        timeout_graceful_shutdown=int(server.grace_s),
        backlog=2048,
        ssl_certfile=server.tls.cert if server.tls else None,
        ssl_keyfile=server.tls.key if server.tls else None,
    )


class Process:
    """One worker: an engine, its data plane and, where asked for, its metrics listener."""

    def __init__(
        self, config: Config, path: Path | None, *, on_ready: Callable[[], None] | None = None
    ) -> None:
        self._config = config
        self._path = path
        self._on_ready = on_ready
        self._failed_at: float | None = None

    async def run(self, sock: socket.socket, metrics_sock: socket.socket | None) -> None:
        """Serve until told to stop. Raises `ConfigError` when the engine cannot be built."""
        metrics = None
        if metrics_sock is not None:
            from turnout.server.metrics import Metrics  # noqa: PLC0415  only where scraped

            metrics = Metrics()
        built = await build(self._config, on_event=metrics.observe if metrics else None)
        gateway = Gateway(built.engine, built.dialects, settings_of(self._config))
        server = _Server(uvicorn_config(self._config, gateway), gateway)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT_AFTER)
        async with asyncio.TaskGroup() as tasks, _running(built):
            beside = [tasks.create_task(_sweep(server)), tasks.create_task(self._watch(built, gateway))]
            if metrics is not None and metrics_sock is not None:
                beside.append(tasks.create_task(metrics.serve(metrics_sock, built, gateway)))
            if self._on_ready is not None:
                tasks.create_task(_when_started(server, self._on_ready))
            await server.serve(sockets=[sock])
            for task in beside:
                task.cancel()

    async def _watch(self, built: Built, gateway: Gateway) -> None:
        """Reload on SIGHUP and when the file changed."""
        if self._path is None:
            return
        asked = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked.set)
        seen = _stamp(self._path)
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(asked.wait(), RELOAD_POLL_S)
            stamp = _stamp(self._path)
            if asked.is_set() or stamp != seen:
                asked.clear()
                seen = stamp
                reload(self._path, built, gateway)


def reload(path: Path, built: Built, gateway: Gateway) -> bool:
    """Put the file in force if it can be used; tell the log either way."""
    try:
        config = load_config(path)
        later = built.reload(config)
    except ConfigError as error:
        for problem in error.problems:
            log.error("configuration refused, the old one stays in force: %s", problem)  # noqa: TRY400
        return False
    gateway.settings = settings_of(config)
    gateway.rekey()
    if later:
        log.warning("changed, but in force only after a restart: %s", ", ".join(later))
    log.info("configuration version %d is in force", built.engine.snapshot.version)
    return True


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return (0, 0)
    return (stat.st_mtime_ns, stat.st_size)


@asynccontextmanager
async def _running(built: Built) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await built.close()


async def _sweep(server: uvicorn.Server) -> None:
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(1)
        sweep_all(server.server_state.connections, loop.time())


async def _when_started(server: uvicorn.Server, tell: Callable[[], None]) -> None:
    while not server.started and not server.should_exit:
        await asyncio.sleep(0.01)
    tell()


class _Server(uvicorn.Server):
    """Tells the gateway when it drains, so that `/readyz` turns before connections do."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway) -> None:
        super().__init__(config)
        self._gateway = gateway

    def handle_exit(self, sig: int, frame: object) -> None:
        """Begin to drain."""
        self._gateway.ready = False
        super().handle_exit(sig, frame)  # type: ignore[arg-type]  # uvicorn names the frame's concrete type


def run_worker(
    config: Config, path: Path | None, sock: socket.socket, metrics_sock: socket.socket | None
) -> None:
    """Run one gateway process on uvloop until it is told to stop."""
    import uvloop  # noqa: PLC0415  absent on Windows

    uvloop.run(Process(config, path).run(sock, metrics_sock))
