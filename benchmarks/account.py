"""What a request costs in the running process, stage by stage, over real sockets, 32 connections kept busy.

    .venv/bin/python -m benchmarks.account [--rounds N] [--seconds S] [--json FILE]

Each stage holds what the one before it does, and more: a connection with an application that does nothing, a
proxy that forwards bytes, the gateway itself; `uvicorn` stages are the same application behind uvicorn's own
protocol. The process counts its own answers and reads its own clock, so that the cheapest twentieth of many
slices is known: what the stage costs while hardly anybody else wants the core. Medians tell what it costs
here and now. Stages take turns, and Envoy with them: its cost is that of whole runs, as it tells no slices.
"""

import argparse
import gc
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from benchmarks.gateway import BARE, PRODUCTION
from benchmarks.machine import Unusable, cores, cpu_ns, facts, free_port, spawn, stop, wait_for_port
from benchmarks.native import Bodies, Native, Target
from benchmarks.peers import Place, envoy
from benchmarks.profiles import write
from turnout.server.protocol import GatewayProtocol, WireLimits, protocol_for
from turnout.server.serve import calm_collector
from turnout.transport.guard import egress_for
from turnout.transport.http import HttpTransport
from turnout.types.http import HttpRequest, Timeouts

N_CONNECTIONS, SLICE = 32, 128
STAGES = ("empty", "uvicorn, empty", "forward", "uvicorn, forward", "bare", "production")
JSON = (b"content-type", b"application/json")


class Seen(msgspec.Struct):
    """What one process saw of itself since it was asked the last time."""

    n: int = 0
    low_us: float = 0.0
    median_us: float = 0.0
    kernel_us: float = 0.0
    reads: float = 0.0
    writes: float = 0.0
    collections: float = 0.0
    """Of the cyclic collector, in 1,000 requests."""
    switches: float = 0.0


class Watch:
    """Counts the answers of this process and what they cost."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._n = 0
        self._slices: list[float] = []
        self._since = 0.0
        self._before = self._now()
        for front in (GatewayProtocol, HttpToolsProtocol):
            front.on_response_complete = self._counted(front.on_response_complete)  # type: ignore[method-assign,assignment]
        signal.signal(signal.SIGUSR1, self._tell)

    def _counted(self, complete: Callable[[Any], None]) -> Callable[[Any], None]:
        def on_response_complete(protocol: object) -> None:
            self._n += 1
            if self._n % SLICE == 0:
                now = time.thread_time()
                self._slices.append((now - self._since) / SLICE * 1e6)
                self._since = now
            complete(protocol)

        return on_response_complete

    def _now(self) -> tuple[float, ...]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        calls = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        runs = sum(each["collections"] for each in gc.get_stats())
        return used.ru_stime, int(calls["syscr"]), int(calls["syscw"]), runs, used.ru_nvcsw + used.ru_nivcsw

    def _tell(self, *_: object) -> None:
        kernel_s, reads, writes, runs, switches = (
            now - before for now, before in zip(self._now(), self._before, strict=True)
        )
        n, slices = max(1, self._n), self._slices[1:] or [0.0]
        seen = Seen(
            n=self._n,
            low_us=sorted(slices)[len(slices) // 20],
            median_us=statistics.median(slices),
            kernel_us=kernel_s / n * 1e6,
            reads=reads / n,
            writes=writes / n,
            collections=runs / n * 1000,
            switches=switches / n,
        )
        held = self._out.with_suffix(".new")
        held.write_bytes(msgspec.json.encode(seen))
        self._n, self._slices, self._since, self._before = 0, [], time.thread_time(), self._now()
        held.rename(self._out)


async def empty(_scope: Any, receive: Any, send: Any) -> None:
    """Answer two bytes."""
    await receive()
    await _answer(send, b"{}")


def forwarding(upstream: int) -> Any:
    """Return an application that sends a body on and hands the answer back."""
    url = f"http://127.0.0.1:{upstream}/v1/chat/completions"
    transport, timeouts = HttpTransport(egress_for([url])), Timeouts()

    async def forward(_scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        body = message["body"]
        while message.get("more_body"):
            message = await receive()
            body += message["body"]
        response = await transport.send(
            HttpRequest(method="POST", url=url, headers=(JSON,), body=body), timeouts
        )
        await _answer(send, await response.read())

    return forward


async def _answer(send: Any, body: bytes) -> None:
    head = [JSON, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})


def serve(stage: str, port: int, upstream: int, folder: Path) -> None:
    """Be one stage until told to stop."""
    Watch(folder / f"{port}.json")
    if stage in ("bare", "production"):
        from turnout.cli.main import main as turnout  # noqa: PLC0415  as its command would

        written = write(BARE if stage == "bare" else PRODUCTION, folder / str(port), upstream, free_port())
        (folder / f"{port}.model").write_bytes(msgspec.json.encode((written.model, written.headers)))
        sys.argv = [
            "turnout",
            "serve",
            "-c",
            str(written.config),
            "--port",
            str(port),
            "--log-level",
            "error",
        ]
        turnout()
        return
    front, _, what = stage.rpartition(", ")

    async def run() -> None:
        config = uvicorn.Config(
            empty if what == "empty" else forwarding(upstream),
            http="httptools" if front else protocol_for(WireLimits()),
            port=port,
            ws="none",
            lifespan="off",
            interface="asgi3",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            log_config=None,
        )
        calm_collector()
        await uvicorn.Server(config).serve()

    uvloop.run(run())


class Stage:
    """One stage in a process of its own."""

    def __init__(self, name: str, place: Place) -> None:
        self.port, self.name, self._folder = free_port(), name, place.folder
        words = [sys.executable, "-m", "benchmarks.account", "--serve", name, str(self.port)]
        self.process = spawn([*words, str(place.upstream), str(place.folder)], place.core)
        wait_for_port(self.port, self.process, name)
        told = place.folder / f"{self.port}.model"
        self.model, headers = msgspec.json.decode(told.read_bytes()) if told.exists() else ("bench/one", [])
        self.target = Target(self.port, headers=tuple(headers))

    def ask(self) -> Seen:
        """Return what the process saw since the last time."""
        told = self._folder / f"{self.port}.json"
        told.unlink(missing_ok=True)
        os.kill(self.process.pid, signal.SIGUSR1)
        give_up = time.monotonic() + 10
        while not told.exists() and time.monotonic() < give_up:
            time.sleep(0.01)
        return msgspec.json.decode(told.read_bytes(), type=Seen)


def measure(names: list[str], rounds: int, seconds: float, folder: Path) -> dict[str, dict[str, float]]:
    """Return the rows of the table."""
    core, other = cores()
    native, bodies = Native(folder, other), Bodies(folder)
    upstream = native.upstream(64, 4000)
    place = Place(core, upstream.port, folder)
    started: list[subprocess.Popen[bytes]] = [upstream.process]
    seen: dict[str, list[Seen]] = {name: [] for name in names}
    envoys: list[float] = []
    try:
        stages = []
        for name in names:
            stages.append(Stage(name, place))
            started.append(stages[-1].process)
        proxy = envoy(place)
        started.append(proxy.process)
        for _ in range(rounds + 1):  # the first warms up
            for stage in stages:
                body = bodies.file(stage.model, stream=False)
                stage.ask()
                native.load(stage.target, body, N_CONNECTIONS, seconds, 0)
                seen[stage.name].append(stage.ask())
            before = cpu_ns(proxy.pid)
            body = bodies.file("bench/one", stream=False)
            served = native.load(proxy.target, body, N_CONNECTIONS, seconds, 0).served
            envoys.append((cpu_ns(proxy.pid) - before) / 1000 / served)
    finally:
        for process in started:
            stop(process)
    rows = {name: _row(found[1:]) for name, found in seen.items()}
    rows["envoy, whole runs"] = {"low_us": min(envoys[1:]), "median_us": statistics.median(envoys[1:])}
    return rows


def _row(found: list[Seen]) -> dict[str, float]:
    fields = [name for name in Seen.__struct_fields__ if name not in ("n", "low_us")]
    middle = {name: statistics.median(getattr(each, name) for each in found) for name in fields}
    lows = [each.low_us for each in found if each.low_us]  # a round may be too short for a slice
    return {"low_us": min(lows, default=0.0), **middle}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--serve", nargs=4, metavar=("STAGE", "PORT", "UPSTREAM", "FOLDER"))
    parser.add_argument("--stage", action="append", choices=STAGES)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.serve:
        name, port, upstream, folder = args.serve
        serve(name, int(port), int(upstream), Path(folder))
        return
    try:
        with tempfile.TemporaryDirectory() as folder:
            rows = measure(args.stage or list(STAGES), args.rounds, args.seconds, Path(folder))
    except Unusable as why:
        raise SystemExit(str(why)) from None
    print(f"{'':18}   low  median  kernel  reads writes collections/1000 switches")
    for name, row in rows.items():
        tail = [row.get(key, 0.0) for key in ("kernel_us", "reads", "writes", "collections", "switches")]
        told = "{:8.1f}{:7.2f}{:7.2f}{:10.3f}{:14.2f}".format(*tail) if "reads" in row else ""
        print(f"{name:18}{row['low_us']:6.1f}{row['median_us']:8.1f}{told}")
    if args.json is not None:
        told_of = facts({name: version(name) for name in ("uvloop", "uvicorn", "httptools")})
        document = {**told_of, "date": time.strftime("%Y-%m-%d"), "stages": rows}
        args.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
