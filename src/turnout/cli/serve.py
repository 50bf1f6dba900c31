"""`turnout serve`: the gateway. Floor 7."""

import logging
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import click
import msgspec

from turnout.cli.options import config_option, read_config


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
    r"""Serve OpenAI-, Anthropic- and Gemini-compatible clients.

    \b
    Signals: SIGTERM and SIGINT drain and stop; SIGHUP reloads the file (so does saving it).
    """
    from turnout.server.serve import bind, check_bind, run_worker

    config, path = read_config(config_path)
    given = {"host": host, "port": port, "workers": workers, "metrics_port": metrics_port}
    changes = {name: value for name, value in given.items() if value is not None}
    server = msgspec.structs.replace(config.server, **changes)
    config = msgspec.structs.replace(config, server=server)
    logging.basicConfig(
        level=(log_level or config.log.level).upper(),
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    check_bind(config)
    sock = bind(server.host, server.port)
    metrics_sock = None if server.metrics_port is None else bind(server.host, server.metrics_port)
    click.echo(f"turnout: serving on http://{server.host}:{sock.getsockname()[1]}/v1", err=True)
    if metrics_sock is not None:
        click.echo(
            f"turnout: metrics on http://{server.host}:{metrics_sock.getsockname()[1]}/metrics", err=True
        )
    if server.workers == 1:
        run_worker(config, path, sock, metrics_sock)
        return
    with tempfile.TemporaryDirectory(prefix="turnout-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        sys.exit(_supervise(server.workers, lambda: run_worker(config, path, sock, metrics_sock)))


def _supervise(n: int, work: Callable[[], None]) -> int:
    """Keep `n` forked workers running until a signal says stop; return the exit status."""
    from turnout.cli.workers import Supervisor

    return Supervisor(n, work).run()
