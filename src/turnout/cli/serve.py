"""`turnout serve`: the gateway. Floor 7."""

import gc
import logging
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from turnout.cli.options import config_option, find_config

if TYPE_CHECKING:
    from turnout.config import Config
    from turnout.server.bind import Sockets
    from turnout.server.serve import Process


@click.command()
@config_option
@click.option("--host", help="Address to bind. Default: server.host of the file, 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port. Default: server.port of the file, 4000.")
@click.option(
    "--workers", type=click.IntRange(1, 64), help="Processes on the one port. Default: server.workers, 1."
)
@click.option(
    "--metrics-port", type=click.IntRange(0, 65535), help="Port of the Prometheus listener. Default: off."
)
@click.option(
    "--store",
    envvar="TURNOUT_STORE",
    metavar="URL",
    help="Where limits are counted: valkey://host:port/db, postgres://…. Default: ledger.store of the file.",
)
@click.option(
    "--journal",
    envvar="TURNOUT_JOURNAL",
    metavar="URL",
    help="Where Records are kept: postgres://…. Default: journal.store of the file.",
)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="Default: info.")
def serve(  # noqa: PLR0913, PLR0917 (a command has as many as it has options)
    config_path: Path | None,
    host: str | None,
    port: int | None,
    workers: int | None,
    metrics_port: int | None,
    store: str | None,
    journal: str | None,
    log_level: str | None,
) -> None:
    """Serve OpenAI-, Anthropic- and Gemini-compatible clients.

    Signals: SIGTERM and SIGINT drain and stop; SIGHUP reloads the file (so does saving it).
    """
    given = {"host": host, "port": port, "workers": workers, "metrics_port": metrics_port}
    server = {name: value for name, value in given.items() if value is not None}
    with _uncollected():
        _serve(config_path, server, (store, journal), log_level)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the cyclic collector from looking at what is made at start: it stays, and was a fifth of the time.

    A worker lets it look again as soon as it serves.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _serve(
    config_path: Path | None,
    server: dict[str, str | int],
    stores: tuple[str | None, str | None],
    log_level: str | None,
) -> None:
    import asyncio

    from turnout.govern.open import first_start
    from turnout.server.bind import bind_all, check_bind
    from turnout.server.serve import Process, Source, run_worker
    from turnout.types.address import Address

    store, journal = stores
    source = Source(
        find_config(config_path),
        dict(server),
        None if store is None else Address(store),
        None if journal is None else Address(journal),
    )
    stamp = source.stamp()
    config = source.load()
    logging.basicConfig(
        level=(log_level or config.log.level).upper(),
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    has_keys = asyncio.run(first_start(config, _show if sys.stderr.isatty() else None))
    check_bind(config, has_keys=has_keys)
    sockets = bind_all(config)
    if config.server.workers == 1:
        alone = Process(source, config, stamp, on_ready=lambda: _announce(sockets))
        run_worker(alone, sockets)
        return
    sys.exit(_supervise(config, sockets, lambda lifeline: Process(source, config, stamp, lifeline=lifeline)))


def _show(line: str) -> None:
    click.echo(f"turnout: {line}", err=True)


def _announce(sockets: "Sockets") -> None:
    for handler in logging.getLogger().handlers:
        handler.flush()  # what was logged before stands before it
    click.echo(f"turnout: serving on {_url(sockets.data)}/v1", err=True)
    if sockets.metrics is not None:
        click.echo(f"turnout: metrics on {_url(sockets.metrics)}/metrics", err=True)
    if sockets.admin is not None:
        click.echo(f"turnout: administration on {_url(sockets.admin)}/", err=True)


def _url(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _supervise(config: "Config", sockets: "Sockets", process: Callable[[int], "Process"]) -> int:
    """Keep forked workers running until a signal says stop; return the exit status."""
    import asyncio

    from turnout.cli.workers import Supervisor
    from turnout.govern.open import stored_secrets
    from turnout.parts import compiled
    from turnout.server.serve import run_worker
    from turnout.server.tally import FOLDER

    # Here, and not once in every worker: what cannot be used is told once.
    compiled(config, os.environ, asyncio.run(stored_secrets(config)))
    with tempfile.TemporaryDirectory(prefix="turnout-metrics-") as folder:
        os.environ[FOLDER] = folder
        supervisor = Supervisor(
            config.server.workers, lambda lifeline: run_worker(process(lifeline), sockets), sockets.all
        )
        gc.enable()
        return supervisor.run(lambda: _announce(sockets))
