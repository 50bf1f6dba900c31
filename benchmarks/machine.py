"""Processes of the bench: pinned to a core, waited for, and what they cost read from /proc.

CPU is time on the processor of every thread of a process and of its descendants, in nanoseconds as the
scheduler counts it (`/proc/PID/task/TID/schedstat`): other work on the machine moves it only through caches
and clock rates, and moves its neighbours in the same round likewise.
"""

import contextlib
import os
import platform
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

MAX_START_S = 120.0
MAX_STOP_S = 5.0


class Unusable(Exception):  # noqa: N818  a reason to skip or stop, told in one line
    """Something cannot be measured here; the text says why."""


def cores() -> tuple[int, int]:
    """Return the core of what is measured and the core of everything around it."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise Unusable("the bench needs two cores: one for what is measured, one for the load")
    return allowed[0], allowed[1]


def spawn(command: Sequence[str | Path], core: int | str, **options: object) -> "subprocess.Popen[bytes]":
    """Start a process pinned to a core, or to several ("0,1"); it never outlives `stop`."""
    quiet: dict[str, object] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **options}
    pinned = ["taskset", "--cpu-list", str(core), *map(str, command)]
    return subprocess.Popen(pinned, start_new_session=True, **quiet)  # type: ignore[call-overload, no-any-return]


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a process and everything it started."""
    if process.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(MAX_STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    """Return a loopback port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, process: "subprocess.Popen[bytes]", what: str) -> None:
    """Wait until something listens. Raises `Unusable` when it ends or takes too long; then it is ended."""
    give_up = time.monotonic() + MAX_START_S
    while time.monotonic() < give_up:
        if process.poll() is not None:
            raise Unusable(f"{what} ended at start with status {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        time.sleep(0.02)
    stop(process)
    raise Unusable(f"{what} did not listen within {MAX_START_S:g} s")


def tree(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(folder.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def cpu_ns(pid: int) -> int:
    """Return the time on the processor of a process tree so far."""
    total = 0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{each}/task").iterdir():
                with contextlib.suppress(OSError):
                    total += int((task / "schedstat").read_text().split()[0])
    return total


def rss_kb(pid: int) -> int:
    """Return the resident memory of a process tree."""
    return sum(_status_kb(each) for each in tree(pid))


def _status_kb(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0


def facts(versions: Mapping[str, str]) -> dict[str, str]:
    """Return what a reader must know to compare."""
    info = Path("/proc/cpuinfo").read_text()
    names = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    return {
        "cpu": f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores",
        "kernel": platform.release(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        **versions,
    }


def builds(sources: Sequence[Path], folder: Path) -> Iterator[Path]:
    """Compile each C source into a program of the folder. Raises `Unusable` without a compiler."""
    compiler = next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)
    if compiler is None:
        raise Unusable("the bench needs a C compiler (cc, gcc or clang) for its load generator")
    for source in sources:
        program = folder / source.stem
        subprocess.run([compiler, "-O2", "-o", str(program), str(source), "-lm"], check=True)
        yield program
