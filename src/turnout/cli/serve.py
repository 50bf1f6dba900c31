"""`turnout serve`: the gateway. Floor 7."""

import logging
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from turnout.cli.options import config_option, find_config

if TYPE_CHECKING:
    from turnout.config import Config
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
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="Default: info.")
def serve(
    config_path: Path | None,
    host: str | None,
    port: int | None,
    workers: int | None,
    metrics_port: int | None,
    log_level: str | None,
) -> None:
    """Serve OpenAI-, Anthropic- and Gemini-compatible clients.

    Signals: SIGTERM and SIGINT drain and stop; SIGHUP reloads the file (so does saving it).
    """
    from turnout.server.serve import Process, Source, bind, check_bind, run_worker

    given = {"host": host, "port": port, "workers": workers, "metrics_port": metrics_port}
    source = Source(
        find_config(config_path), {name: value for name, value in given.items() if value is not None}
    )
    stamp = source.stamp()
    config = source.load()
    server = config.server
    logging.basicConfig(
        level=(log_level or config.log.level).upper(),
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    check_bind(config)
    sock = bind(server.host, server.port)
    metrics_sock = None if server.metrics_port is None else bind(server.host, server.metrics_port)
    if server.workers == 1:
        alone = Process(source, config, stamp, on_ready=lambda: _announce(sock, metrics_sock))
        run_worker(alone, sock, metrics_sock)
        return
    sockets = [sock] if metrics_sock is None else [sock, metrics_sock]
    sys.exit(_supervise(config, sockets, lambda lifeline: Process(source, config, stamp, lifeline=lifeline)))


def _announce(sock: socket.socket, metrics_sock: socket.socket | None) -> None:
    click.echo(f"turnout: serving on {_url(sock)}/v1", err=True)
    if metrics_sock is not None:
        click.echo(f"turnout: metrics on {_url(metrics_sock)}/metrics", err=True)


def _url(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _supervise(
    config: "Config", sockets: Sequence[socket.socket], process: Callable[[int], "Process"]
) -> int:
    """Keep forked workers running until a signal says stop; return the exit status."""
    from turnout.cli.workers import Supervisor
    from turnout.compile import compile_snapshot
    from turnout.parts import load_catalog
    from turnout.server.serve import run_worker

    # Here, and not once in every worker: what cannot be used is told once.
    compile_snapshot(config, load_catalog(config), os.environ)
    sock, metrics_sock = sockets[0], sockets[1] if len(sockets) > 1 else None
    with tempfile.TemporaryDirectory(prefix="turnout-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        supervisor = Supervisor(
            config.server.workers, lambda lifeline: run_worker(process(lifeline), sock, metrics_sock), sockets
        )
        _announce(sock, metrics_sock)
        return supervisor.run()
