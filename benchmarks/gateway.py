"""Turnout as the bench starts it: the very command a user types, with a configuration per profile."""

import subprocess
import sys
from pathlib import Path

from benchmarks.machine import free_port, spawn, wait_for_port
from benchmarks.native import Target
from benchmarks.peers import Place, Stack

CONFIG = """
server: {{max_connections_per_address: 4096{metrics}}}
journal: {journal}
egress: {{max_connections: 4096}}
providers:
  bench: {{codec: openai_chat, base_url: "http://127.0.0.1:{upstream}/v1", auth: none}}
  other: {{codec: anthropic, base_url: "http://127.0.0.1:{upstream}", auth: none}}
models: [bench/one, other/one]
"""


def command(config: Path, port: int) -> list[str]:
    """Return the command that serves a configuration."""
    serve = [str(Path(sys.executable).parent / "turnout"), "serve", "--config", str(config)]
    return [*serve, "--port", str(port), "--log-level", "warning"]


def bare(place: Place) -> Stack:
    """Start the gateway without journal and metrics."""
    return _start(place, "turnout", "{enabled: false}", "")


def recorded(place: Place) -> Stack:
    """Start the gateway with its journal on disk and its metrics listener."""
    path = place.folder / "journal.db"
    return _start(
        place, "turnout, journal and metrics", f"{{path: {path}}}", f", metrics_port: {free_port()}"
    )


def write_config(place: Place, name: str, journal: str, metrics: str) -> Path:
    """Write a configuration and return its file."""
    config = place.folder / f"{name}.yaml"
    config.write_text(CONFIG.format(metrics=metrics, journal=journal, upstream=place.upstream))
    return config


def _start(place: Place, name: str, journal: str, metrics: str) -> Stack:
    port = free_port()
    config = write_config(place, f"turnout-{port}", journal, metrics)
    process: subprocess.Popen[bytes] = spawn(command(config, port), place.core, stderr=None)
    wait_for_port(port, process, name)
    return Stack(name, process, Target(port))
