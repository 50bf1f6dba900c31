"""Whether anything is left behind: load for long, with everything that goes wrong, then a count.

    python -m benchmarks.soak --minutes 30 [--json FILE] [--plot FILE]

Theory of operation.

1. A gateway in the production profile (key at the desk, budgets, quotas, five candidates, exact cache,
   journal, metrics) is loaded to a share of what it can carry, found by saturating it first. A quarter of the
   streams is left by its client, an upstream request in `FAULT_EVERY` ends badly, and the configuration is
   loaded again every `RELOAD_S`, changed each time.
2. Before the load and after it the gateway is left alone until nothing moves, and counted: tasks of the event
   loop (through `benchmarks.watched`), file descriptors, sockets other than idle ones kept for the upstream,
   reservations in the ledger. The second count must not exceed the first.
3. Memory is read every two seconds; the first third is warming up. Its slope over the rest must not differ
   from 0, or be less than the smallest object kept for each request would make it (16 bytes).
4. What the ledger says was spent is what the Records say: nothing was lost on the way.
"""

import argparse
import datetime as dt
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import msgspec

from benchmarks import gateway
from benchmarks.machine import (
    Unusable,
    cores,
    cpu_ns,
    facts,
    free_port,
    rss_kb,
    spawn,
    stop,
    tree,
    wait_for_port,
)
from benchmarks.native import Bodies, Load, Native, Target
from benchmarks.profiles import Written, write
from benchmarks.trend import Slope, slope
from turnout.stores.ledger.care import state_of
from turnout.stores.ledger.state import State

FAULT_EVERY, LEAVE_EVERY = 60, 4
RELOAD_S, SAMPLE_S, SEGMENT_S = 20.0, 2.0, 10.0
N_WHOLE, N_STREAMS = 24, 8
QUIET_S = 45.0
"""How long it may take until nothing moves any more: settlements, idle connections."""
BYTES_KEPT, BYTES_KEPT_SHORT = 16, 4096
"""Per request. A run of less than ten minutes still warms up; it shows only requests that are kept whole."""
SHORT_MINUTES = 10


class Count(msgspec.Struct, frozen=True):
    """What a gateway holds while nobody asks it anything."""

    tasks: int
    threads: int
    files: int
    """File descriptors that are no sockets."""
    sockets: int
    """Without idle connections to the upstream."""
    reservations: int
    rss_mb: float


class Soaked(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    date: str
    facts: dict[str, str]
    minutes: float
    saturated_per_s: float
    offered_per_s: float
    requests: int
    """Answered, whole and streamed."""
    failed: int
    """Answered with an error, where the faults outlasted the retries."""
    left: int
    reloads: int
    cpu_share: float
    """Of one core, over the load."""
    before: Count
    after: Count
    slope_mb_per_h: Slope
    bytes_per_request: Slope
    records_nusd: int
    ledger_nusd: int
    samples: tuple[tuple[float, float], ...]
    """(seconds, MB)."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What was left behind, one line each."""
        found = [
            f"{name}: {getattr(self.before, name)} before, {getattr(self.after, name)} after"
            for name in ("tasks", "threads", "files", "sockets", "reservations")
            if getattr(self.after, name) > getattr(self.before, name)
        ]
        kept = self.bytes_per_request
        is_long = self.minutes >= SHORT_MINUTES
        if (kept.low > 0 and kept.high > BYTES_KEPT) if is_long else kept.low > BYTES_KEPT_SHORT:
            found.append(f"memory grows by {kept.value:.0f} bytes a request")
        if self.records_nusd != self.ledger_nusd:
            found.append(f"Records say {self.records_nusd} nano-USD, the ledger {self.ledger_nusd}")
        return tuple(found)


class Rig:
    """A gateway with a window, its upstream and its load."""

    def __init__(self, folder: Path, cleanup: ExitStack) -> None:
        measured, other = cores()
        self.folder = folder
        self.native, bodies = Native(folder, other), Bodies(folder)
        upstream = self.native.upstream(64, 4000, faults=FAULT_EVERY)
        cleanup.callback(stop, upstream.process)
        shape = msgspec.structs.replace(gateway.PRODUCTION, cache_entries=200, total_s=20)
        self.upstream, self.port = upstream.port, free_port()
        self.written: Written = write(shape, folder / "gateway", upstream.port, free_port())
        self._text = self.written.config.read_text()
        self.window = folder / "window"
        command = [sys.executable, "-m", "benchmarks.watched", "serve", "-c", str(self.written.config)]
        command += ["--port", str(self.port), "--log-level", "error"]
        self.process = spawn(command, measured, env={**os.environ, "BENCH_WINDOW": str(self.window)})
        cleanup.callback(stop, self.process)
        wait_for_port(self.port, self.process, "turnout")
        self.target = Target(self.port, headers=self.written.headers)
        self.whole = bodies.file(self.written.model, stream=False)
        self.stream = bodies.file(self.written.model, stream=True)

    def count(self) -> Count:
        """Return what it holds."""
        with socket.socket(socket.AF_UNIX) as window:
            window.connect(str(self.window))
            told = json.loads(
                b"".join(iter(lambda: window.recv(1000), b""))
            )  # to the end: its end is a socket too
        links = [_link(each) for pid in tree(self.process.pid) for each in _listed(Path(f"/proc/{pid}/fd"))]
        sockets = {link.removeprefix("socket:[").rstrip("]") for link in links if link.startswith("socket:")}
        others = [link for link in links if link and not link.startswith("socket:")]
        # SQLite keeps a spare descriptor of a database whose locks it holds; a connection left open has its
        # log open too.
        spare = [link for link in others if link.endswith(".db")]
        n_files = len(others) - len(spare) + len(set(spare))
        return Count(
            tasks=told["tasks"],
            threads=told["threads"],
            files=n_files,
            sockets=len(sockets - _towards(self.upstream)),
            reservations=len(self._ledger().open),
            rss_mb=round(rss_kb(self.process.pid) / 1024, 2),
        )

    def quiet(self) -> Count:
        """Return what it holds once that does not change any more."""
        give_up_at = time.monotonic() + QUIET_S
        last, since = self.count(), time.monotonic()
        while time.monotonic() < give_up_at:
            time.sleep(1)
            now = self.count()
            if msgspec.structs.replace(now, rss_mb=last.rss_mb) != last:
                last, since = now, time.monotonic()
            if now.reservations == 0 and time.monotonic() - since >= 4:
                break
        return self.count()

    def reload(self, n: int) -> None:
        """Have it read a configuration that says something else."""
        lines = [line for line in self._text.splitlines() if not line.startswith("max_retries")]
        self.written.config.write_text("\n".join([*lines, f"max_retries: {2 + n % 2}"]) + "\n")
        os.kill(self.process.pid, signal.SIGHUP)

    def spent(self) -> tuple[int, int]:
        """Return nano-USD by the Records and by the ledger."""
        with closing(sqlite3.connect(self.folder / "gateway" / "journal.db", timeout=30)) as database:
            ((records,),) = database.execute("SELECT COALESCE(SUM(cost_nusd), 0) FROM records")
        named = (a for name, a in self._ledger().accounts.items() if name.startswith("usd:organisation:"))
        return int(records), sum(account.total for account in named)

    def _ledger(self) -> State:
        found = state_of(self.folder / "gateway" / "ledger.db")
        assert found is not None
        return found


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _link(file: Path) -> str:
    try:
        return str(file.readlink())
    except OSError:
        return ""


def _towards(port: int) -> set[str]:
    """Return inodes of connections to a local port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[9] for row in rows if int(row[2].partition(":")[2], 16) == port}


class Pressure(threading.Thread):
    """One kind of load, segment after segment, until told to stop."""

    def __init__(self, send: Callable[[], Load]) -> None:
        super().__init__(daemon=True)
        self._send = send
        self.over = threading.Event()
        self.seen: list[Load] = []
        self.failure: Exception | None = None

    def run(self) -> None:
        while not self.over.is_set():
            try:
                self.seen.append(self._send())
            except (Unusable, subprocess.SubprocessError, msgspec.MsgspecError) as failure:
                self.failure = failure
                return


def soak(minutes: float, share: float, tell: Callable[[str], None]) -> Soaked:
    """Run."""
    with tempfile.TemporaryDirectory(prefix="turnout-soak-") as name, ExitStack() as cleanup:
        rig = Rig(Path(name), cleanup)
        rig.native.load(rig.target, rig.stream, N_STREAMS, 1.0, 0)
        saturated = rig.native.load(rig.target, rig.whole, N_WHOLE, 3.0, 0)
        capacity = saturated.done / saturated.wall_s
        tell(f"carries {capacity:.0f} requests a second")
        before = rig.quiet()
        used = cpu_ns(rig.process.pid)
        loads, samples, reloads = _press(rig, minutes * 60, capacity * share, tell)
        used = cpu_ns(rig.process.pid) - used
        after = rig.quiet()
        records, ledger = rig.spent()
    requests = sum(load.served for load in loads)
    warm = [(at, mb) for at, mb in samples if at >= minutes * 20]
    per_s = slope(warm)
    per_request = 2**20 * minutes * 60 / max(1, requests)
    return Soaked(
        date=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"),
        facts=facts({}),
        minutes=minutes,
        saturated_per_s=round(capacity, 1),
        offered_per_s=round(capacity * share, 1),
        requests=requests,
        failed=sum(load.failed for load in loads),
        left=sum(load.left for load in loads),
        reloads=reloads,
        cpu_share=round(used / (minutes * 60e9), 3),
        before=before,
        after=after,
        slope_mb_per_h=_times(per_s, 3600),
        bytes_per_request=_times(per_s, per_request),
        records_nusd=records,
        ledger_nusd=ledger,
        samples=tuple(samples[:: max(1, len(samples) // 300)]),
    )


def _press(
    rig: Rig, seconds: float, rate: float, tell: Callable[[str], None]
) -> tuple[list[Load], list[tuple[float, float]], int]:
    """Load, reload and sample; return what the clients saw, (seconds, MB), and how often it was reloaded."""
    segment = min(SEGMENT_S, seconds / 4)
    pressures = [
        Pressure(lambda: rig.native.load(rig.target, rig.whole, N_WHOLE, segment, rate)),
        Pressure(lambda: rig.native.load(rig.target, rig.stream, N_STREAMS, segment, 0, leave=LEAVE_EVERY)),
    ]
    for each in pressures:
        each.start()
    began = time.monotonic()
    samples: list[tuple[float, float]] = []
    reloads = 0
    while (now := time.monotonic() - began) < seconds:
        if now > (reloads + 1) * min(RELOAD_S, seconds / 4):
            rig.reload(reloads)
            reloads += 1
            tell(f"{now / 60:5.1f} min, {samples[-1][1]:.1f} MB")
        samples.append((round(now, 1), round(rss_kb(rig.process.pid) / 1024, 3)))
        time.sleep(min(SAMPLE_S, seconds / 60))
    for each in pressures:
        each.over.set()
    for each in pressures:
        each.join()
        if each.failure is not None:
            raise each.failure
    return [load for each in pressures for load in each.seen], samples, reloads


def _times(found: Slope, factor: float) -> Slope:
    return Slope(*(round(value * factor, 3) for value in (found.value, found.low, found.high)))


def told(run: Soaked) -> str:
    """Write a run in words."""
    grows, kept = run.slope_mb_per_h, run.bytes_per_request
    lines = [
        f"{run.minutes:g} minutes, {run.requests:,} requests, {run.offered_per_s:.0f}/s offered whole",
        f"{run.cpu_share:.0%} of a core used; {run.saturated_per_s:.0f}/s is what it carries",
        f"{run.left:,} left by the client, {run.failed:,} failed, {run.reloads} reloads",
        f"memory {grows.value:+.2f} MB/h ({grows.low:+.2f} to {grows.high:+.2f})",
        f"       {kept.value:+.2f} bytes a request ({kept.low:+.2f} to {kept.high:+.2f})",
        f"before {run.before}",
        f"after  {run.after}",
        f"spent by the Records {run.records_nusd:,} nano-USD, by the ledger {run.ledger_nusd:,}",
    ]
    return "\n".join([*lines, *(f"PROBLEM {each}" for each in run.problems)])


def main(words: Sequence[str] | None = None) -> int:
    """Run, print, and tell whether anything was left behind."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--share", type=float, default=0.6, help="of what the gateway can carry")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args(words)
    try:
        run = soak(given.minutes, given.share, lambda line: print(line, file=sys.stderr, flush=True))
    except Unusable as problem:
        print(f"soak: {problem}", file=sys.stderr)
        return 2
    print(told(run))
    if given.json:
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n")
    if given.plot:
        from benchmarks.draw import memory  # noqa: PLC0415  only where asked for

        given.plot.write_text(memory(run.samples))
    return 1 if run.problems else 0


if __name__ == "__main__":
    sys.exit(main())
