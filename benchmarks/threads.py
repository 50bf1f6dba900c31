"""Whose time a request takes: µs of CPU by thread of a running gateway, with one thing after another off.

    python -m benchmarks.threads [--only NAME,…] [--rounds N] [--seconds S] [--json FILE]

`benchmarks.path` looks into the event loop; this looks at the whole process, as `make bench` does, and tells
its threads apart. The gateways take turns; what a thread cost is its time over all rounds, the seconds after
each in which the journal's writer catches up included, over all requests. The least of the rounds is told for
the event loop too: neighbours disturb it least.
"""

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import msgspec

from benchmarks import gateway
from benchmarks.machine import Unusable, cores, facts, free_port, spawn, stop, wait_for_port
from benchmarks.native import Bodies, Native, Target
from benchmarks.peers import Place, Stack
from benchmarks.profiles import Shape, write

N_CONNECTIONS = 32
CATCH_UP_S = 0.6
"""After a round: longer than the journal waits for company."""
LOOP = "event loop"


def _without(**fields: object) -> Shape:
    return msgspec.structs.replace(gateway.PRODUCTION, **fields)


SHAPES: dict[str, Shape] = {
    "bare": gateway.BARE,
    "journal and metrics": gateway.RECORDED,
    "production": gateway.PRODUCTION,
    "no journal": _without(journal=False),
    "no cache": _without(cached=False),
    "no budgets, no quotas": _without(limited=False),
    "no metrics": _without(metrics=False),
    "one candidate": _without(n_pool=1),
}
NAMED = """
import threading
from pathlib import Path
real = threading.Thread._set_native_id
def named(thread):
    real(thread)
    Path(f"/proc/self/task/{thread.native_id}/comm").write_text(thread.name[-15:])
threading.Thread._set_native_id = named
from turnout.cli.main import main
main()
"""
"""Python 3.11 does not tell the kernel what its threads are called."""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What a request costs in one gateway."""

    name: str
    loop_us: float
    """Of the round in which the event loop had to do least."""
    threads: dict[str, float]
    """Mean over all rounds."""
    switches: float
    """How often the scheduler took a thread off the core, per request."""
    n: int


class Seen(msgspec.Struct, frozen=True):
    """Threads at one instant: nanoseconds and turns by thread and name."""

    ns: dict[tuple[int, str], int]
    turns: int


def look(pid: int) -> Seen:
    """Read what every thread of a process has used so far."""
    ns: dict[tuple[int, str], int] = {}
    turns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            used, _, n = (task / "schedstat").read_text().split()
            name = LOOP if int(task.name) == pid else (task / "comm").read_text().strip()
            ns[int(task.name), name] = int(used)
            turns += int(n)
    return Seen(ns, turns)


def serve(place: Place, name: str, shape: Shape) -> Stack:
    """Start a gateway whose threads have names."""
    port = free_port()
    written = write(shape, place.folder / f"turnout-{port}", place.upstream, free_port())
    words = gateway.command(written.config, port)[1:]
    process = spawn([sys.executable, "-c", NAMED, *words], place.core)
    wait_for_port(port, process, name)
    return Stack(name, process, Target(port, headers=written.headers), model=written.model)


class Account:
    """One gateway, and what its threads used in the rounds so far."""

    def __init__(self, stack: Stack, body: Path) -> None:
        self.stack = stack
        self.body = body
        self._used: Counter[str] = Counter()
        self._least = float("inf")
        self._turns = 0
        self._n = 0

    def round(self, native: Native, seconds: float) -> None:
        """Run one round."""
        before = look(self.stack.pid)
        seen = native.load(self.stack.target, self.body, N_CONNECTIONS, seconds, 0)
        if seen.failed or not seen.served:
            raise Unusable(f"{seen.failed} of {seen.failed + seen.served} requests failed")
        loop = _used(before, look(self.stack.pid))[LOOP]
        self._least = min(self._least, loop / 1000 / seen.served)
        time.sleep(CATCH_UP_S)
        after = look(self.stack.pid)
        self._used += _used(before, after)
        self._turns += after.turns - before.turns
        self._n += seen.served

    def cost(self) -> Cost:
        """Return what a request cost."""
        return Cost(
            name=self.stack.name,
            loop_us=round(self._least, 1),
            threads={name: round(ns / 1000 / self._n, 1) for name, ns in self._used.most_common()},
            switches=round(self._turns / self._n, 2),
            n=self._n,
        )


def _used(before: Seen, after: Seen) -> Counter[str]:
    used: Counter[str] = Counter()
    for (thread, name), ns in after.ns.items():
        used[name] += ns - before.ns.get((thread, name), 0)
    return used


def account(names: list[str], n_rounds: int, seconds: float) -> list[Cost]:
    """Measure gateways in turns."""
    measured, other = cores()
    with tempfile.TemporaryDirectory(prefix="turnout-threads-") as folder, ExitStack() as cleanup:
        native = Native(Path(folder), other)
        upstream = native.upstream(64, 4000)
        cleanup.callback(stop, upstream.process)
        place = Place(core=measured, upstream=upstream.port, folder=Path(folder))
        bodies, found = Bodies(place.folder), []
        for name in names:
            stack = serve(place, name, SHAPES[name])
            cleanup.callback(stop, stack.process)
            native.load(stack.target, bodies.file(stack.model, stream=False), N_CONNECTIONS, 0.5, 0)
            found.append(Account(stack, bodies.file(stack.model, stream=False)))
        for turn in range(n_rounds):
            for each in found if turn % 2 == 0 else found[::-1]:
                each.round(native, seconds)
        return [each.cost() for each in found]


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.threads", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--only", default="", help=f"of {', '.join(SHAPES)}; separated by semicolons")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    names = [name.strip() for name in given.only.split(";")] if given.only else list(SHAPES)
    try:
        costs = account(names, given.rounds, given.seconds)
    except Unusable as problem:
        print(f"threads: {problem}", file=sys.stderr)
        return 2
    for cost in costs:
        rest = ", ".join(f"{name} {us:.1f}" for name, us in cost.threads.items())
        print(
            f"{cost.name:24} {sum(cost.threads.values()):7.1f} µs; loop at least {cost.loop_us:.1f}; "
            f"{rest}; {cost.switches:.2f} switches; {cost.n} requests"
        )
    if given.json:
        date = time.strftime("%Y-%m-%d")
        told = {"date": date, "facts": facts({"load": f"{os.getloadavg()[0]:.1f}"}), "costs": costs}
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
