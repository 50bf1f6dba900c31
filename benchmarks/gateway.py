"""Turnout as the bench starts it: the very command a user types, with a configuration per profile."""

import subprocess
import sys
from pathlib import Path

import msgspec

from benchmarks.machine import free_port, spawn, wait_for_port
from benchmarks.native import Target
from benchmarks.peers import Place, Stack
from benchmarks.profiles import Shape, write

BARE = Shape()
RECORDED = Shape(journal=True, metrics=True)
PRODUCTION = Shape(keyed=True, journal=True, metrics=True)
GUARDED = msgspec.structs.replace(PRODUCTION, guarded=True)
SEMANTIC = msgspec.structs.replace(PRODUCTION, learned=True)
SHAPES = {
    "turnout": BARE,
    "turnout, journal and metrics": RECORDED,
    "turnout, production": PRODUCTION,
    "turnout, guarded": GUARDED,
    "turnout, semantic": SEMANTIC,
}
"""Profiles that one process on one machine serves; `distributed` is in `benchmarks.shared`."""


def command(config: Path, port: int) -> list[str]:
    """Return the command that serves a configuration."""
    serve = [str(Path(sys.executable).parent / "turnout"), "serve", "--config", str(config)]
    return [*serve, "--port", str(port), "--log-level", "error"]


def start(place: Place, name: str, shape: Shape, core: str | None = None) -> Stack:
    """Start a gateway; `core` in place of the measured one."""
    port = free_port()
    written = write(shape, place.folder / f"turnout-{port}", place.upstream, free_port())
    told = None if sys.stderr.isatty() else subprocess.DEVNULL
    process = spawn(command(written.config, port), place.core if core is None else core, stderr=told)
    wait_for_port(port, process, name)
    return Stack(name, process, Target(port, headers=written.headers), model=written.model)
