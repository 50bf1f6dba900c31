"""What the gateway takes before and besides requests: start-up time, memory idle and per open stream."""

import os
import resource
import statistics
import subprocess
import sys
import time
from http.client import HTTPConnection

import msgspec

from benchmarks import gateway
from benchmarks.machine import Unusable, cpu_ns, free_port, rss_kb, spawn, stop
from benchmarks.native import Bodies, Native
from benchmarks.peers import Place, Stack
from benchmarks.profiles import Shape, write

LARGE = Shape(n_deployments=1000, n_routes=100)
N_STREAMS = 500
N_WARM = 100
SETTLE_S = 0.5
"""For the last answers to be let go of before memory is read."""
MAX_WAIT_S = 20.0
INSTALLED = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Environment of what is started: an installed package has its bytecode beside it."""


class Footprint(msgspec.Struct, frozen=True):
    """Medians, where there was more than one try."""

    idle_mb: float
    """Resident, after start and a first batch of requests."""
    stream_kb: float
    """Resident per open stream, over `N_STREAMS` of them."""
    start_s: float
    """From the shell's command to the first answer 200 of the gateway itself."""
    start_cpu_s: float
    large_start_s: float
    """The same with 100 routes and 1,000 deployments."""
    large_start_cpu_s: float = 0.0
    import_cpu_s: float = 0.0
    """CPU of `import turnout` beyond that of an empty Python."""


def measure(native: Native, place: Place, bodies: Bodies, n_tries: int) -> Footprint:
    """Measure the bare gateway."""
    _start(place, gateway.BARE)  # writes the bytecode where there is none yet
    starts = [_start(place, gateway.BARE) for _ in range(n_tries)]
    large = [_start(place, LARGE) for _ in range(n_tries)]
    imports = [_python("import turnout") - _python("pass") for _ in range(n_tries)]
    idle_mb, stream_kb = _memory(native, place, bodies)
    return Footprint(
        idle_mb=idle_mb,
        stream_kb=stream_kb,
        start_s=statistics.median(wall_s for wall_s, _ in starts),
        start_cpu_s=statistics.median(cpu_s for _, cpu_s in starts),
        large_start_s=statistics.median(wall_s for wall_s, _ in large),
        large_start_cpu_s=statistics.median(cpu_s for _, cpu_s in large),
        import_cpu_s=max(0.0, statistics.median(imports)),
    )


def _memory(native: Native, place: Place, bodies: Bodies) -> tuple[float, float]:
    stalling = native.upstream(1, 1000, stall=True)
    stack: Stack | None = None
    try:
        there = Place(core=place.core, upstream=stalling.port, folder=place.folder)
        stack = gateway.start(there, "turnout", gateway.BARE)
        native.load(stack.target, bodies.file(stack.model, stream=False), 32, 0.5, 0)
        body = bodies.file(stack.model, stream=True)
        stop(native.hold(stack.target, body, N_WARM))
        time.sleep(SETTLE_S)
        idle_kb = rss_kb(stack.pid)
        held = native.hold(stack.target, body, N_STREAMS)
        time.sleep(SETTLE_S)
        open_kb = rss_kb(stack.pid)
        stop(held)
    finally:
        stop(stalling.process)
        if stack is not None:
            stop(stack.process)
    return idle_kb / 1024, (open_kb - idle_kb) / N_STREAMS


def _start(place: Place, shape: Shape) -> tuple[float, float]:
    """Return seconds from the command to the first 200, and the CPU the process had used by then."""
    port = free_port()
    written = write(shape, place.folder / f"start-{port}", place.upstream, free_port())
    began = time.perf_counter()
    process = spawn(gateway.command(written.config, port), place.core, env=INSTALLED)
    try:
        while time.perf_counter() - began < MAX_WAIT_S:
            if _is_live(port):
                return time.perf_counter() - began, cpu_ns(process.pid) / 1e9
            time.sleep(0.005)
    finally:
        stop(process)
    raise Unusable("the gateway did not answer")


def _is_live(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _python(code: str) -> float:
    """Return the CPU seconds of a Python process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, env=INSTALLED)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
