"""The two C programs of the bench: a mock upstream and a load generator, compiled when the bench starts.

They are C so that they stay out of the picture: both together cost about 16 µs per request, on another core
than what is measured.
"""

import os
import subprocess
from pathlib import Path

import msgspec

from benchmarks.machine import Unusable, builds, spawn, stop

SOURCES = (Path(__file__).parent / "native" / "upstream.c", Path(__file__).parent / "native" / "load.c")

ASKED = (
    "Explain what a railway turnout is and what it does for the traffic on a busy line, and how the people "
    "in the signal box decide which train goes where when several of them come at once. "
)
MESSAGES = [
    {"role": "system", "content": "You answer in plain words, in one paragraph, without lists or headings."},
    {"role": "user", "content": ASKED * 2},
    {"role": "assistant", "content": "A turnout lets a train change from one track to another. " * 3},
    {"role": "user", "content": "And what happens when the line ahead is closed? " + ASKED + "@" * 16},
]


class Load(msgspec.Struct, frozen=True):
    """What the load generator saw."""

    done: int
    """Answers within the time."""
    served: int
    """The same, with those that were under way when time was up."""
    failed: int
    left: int
    """Hung up by the client, on purpose."""
    frames: int
    wall_s: float
    p50_us: float
    p90_us: float
    p99_us: float
    max_us: float
    first_p50_us: float
    first_p99_us: float


class Bodies:
    """Request bodies as files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def file(self, model: str, *, stream: bool) -> Path:
        """Return the file of a body of about 1.3 KB."""
        body = {"model": model, "messages": MESSAGES, "temperature": 0.2, "max_tokens": 256}
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        path = self._folder / f"{model.replace('/', '-')}-{'stream' if stream else 'whole'}.json"
        path.write_bytes(msgspec.json.encode(body))
        return path


class Native:
    """The compiled programs, on the core that is not measured."""

    def __init__(self, folder: Path, core: int) -> None:
        self._upstream, self._load = builds(SOURCES, folder)
        self._core = core

    def upstream(self, n_chunks: int, gap_us: int, *, stall: bool = False, faults: int = 0) -> "Upstream":
        """Start a mock upstream; with `faults`, every so manyth request ends badly."""
        mood = ["stall"] if stall else ["faults", str(faults)] if faults else []
        command: list[str | Path] = [self._upstream, str(n_chunks), str(gap_us), *mood]
        return Upstream(
            spawn(command, self._core, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None)
        )

    def load(
        self, target: "Target", body: Path, n: int, seconds: float, rate: float, *, leave: int = 0
    ) -> Load:
        """Run the load to its end; with `leave`, every so manyth request is hung up on."""
        words = self._command(target, body, n, f"{seconds:g}", rate)
        environment = {**os.environ, "LOAD_LEAVE": str(leave)}
        process = spawn(words, self._core, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        try:
            out, err = process.communicate(timeout=seconds + 30)
        except subprocess.TimeoutExpired:
            stop(process)
            raise Unusable(f"load on {target.path} did not end") from None
        if process.returncode:
            raise Unusable(f"load on {target.path}: {err.decode().strip()}")
        return msgspec.json.decode(out, type=Load)

    def hold(self, target: "Target", body: Path, n: int) -> "subprocess.Popen[bytes]":
        """Open `n` streams and keep them open until the process is stopped; returns once all are open."""
        words = self._command(target, body, n, "hold", 0)
        process = spawn(words, self._core, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            stop(process)
            raise Unusable(f"{n} streams did not open")
        return process

    def _command(self, target: "Target", body: Path, n: int, seconds: str, rate: float) -> list[str]:
        fixed = [str(self._load), str(target.port), target.path, str(body), str(n), seconds, f"{rate:g}"]
        return [*fixed, *target.headers]


class Target(msgspec.Struct, frozen=True):
    """Where the load goes."""

    port: int
    path: str = "/v1/chat/completions"
    headers: tuple[str, ...] = ()


class Upstream:
    """A running mock upstream."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process
        assert process.stdout is not None
        self.port = int(process.stdout.readline())
