"""What a request costs as everything around it grows by a thousand.

    python -m benchmarks.growth [--quick] [--only NAME,…] [--json FILE] [--plots FOLDER]

One quantity at a time grows while the others stay small; the gateway is the production profile. The gateways
of one quantity run side by side and take turns, so that their ratio survives a busy machine. CPU is of the
process tree, latency is the median of an open loop at an even pace, less what the same load takes without
a gateway. A curve counts as flat while its end is at most `FLAT` times its beginning; what is steeper must be
explained in `WHY`, or the run fails.
"""

import argparse
import datetime as dt
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from math import log10
from pathlib import Path

import msgspec

from benchmarks import gateway, spend
from benchmarks.draw import growth as chart
from benchmarks.machine import Unusable, cores, cpu_ns, facts, stop
from benchmarks.native import MESSAGES, Native, Target
from benchmarks.peers import Place, Stack
from benchmarks.profiles import Shape
from turnout.stores.sqlite import SqliteRows

STEPS = (1, 10, 100, 1000)
N_CONNECTIONS, PACE = 16, 150.0
FLAT = 1.5
"""PERFORMANCE.md asks for 1.2 on a quiet machine; the rest is noise."""
WHY = {
    "deployments in one pool": "a decision looks at every candidate once, and its Record tells of each",
    "rules of a route": "the first rule that holds wins, so they are asked one after the other",
    "size of the request": "every byte is received, checked, digested for the cache and sent on",
}


class Point(msgspec.Struct, frozen=True):
    """One size of one quantity."""

    n: int
    cpu_us: float
    added_p50_us: float
    ratio: float = 0.0
    """CPU over that of the smallest in the same round, the median of the rounds; 0 = it was not kept."""


class Curve(msgspec.Struct, frozen=True):
    """One quantity."""

    name: str
    points: tuple[Point, ...]

    @property
    def rise(self) -> float:
        """CPU at the largest size over CPU at the smallest."""
        return self.steps[-1]

    @property
    def steps(self) -> tuple[float, ...]:
        """CPU at each size over CPU at the smallest: within a round, so that a neighbour moves both."""
        return tuple(point.ratio or point.cpu_us / self.points[0].cpu_us for point in self.points)

    @property
    def exponent(self) -> float:
        """Slope over the last step, both axes logarithmic: 0 = flat, 1 = linear."""
        last, before = self.points[-1], self.points[-2]
        return log10(self.steps[-1] / self.steps[-2]) / log10(last.n / before.n)

    @property
    def verdict(self) -> str:
        """Tell whether it may stay so."""
        if self.rise <= FLAT:
            return "flat"
        return f"explained: {WHY[self.name]}" if self.name in WHY else "STEEP"


class Grown(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    date: str
    facts: dict[str, str]
    curves: tuple[Curve, ...]
    skipped: dict[str, str]

    @property
    def steep(self) -> tuple[str, ...]:
        """Quantities that nobody explained."""
        return tuple(curve.name for curve in self.curves if curve.verdict == "STEEP")


class Bench(msgspec.Struct, frozen=True):
    """What every curve is measured with."""

    native: Native
    place: Place
    stalling: int
    """Port of an upstream whose streams never end."""
    folder: Path
    n_rounds: int
    busy_s: float


class Running(msgspec.Struct, frozen=True):
    """A gateway of one size, and what it is asked."""

    n: int
    stack: Stack
    body: Path


Start = Callable[[Bench, int, ExitStack], Running]


def _shaped(shape: Callable[[int], Shape]) -> Start:
    def start(bench: Bench, n: int, cleanup: ExitStack) -> Running:
        return _running(bench, n, shape(n), cleanup)

    return start


def _production(**fields: object) -> Shape:
    return msgspec.structs.replace(gateway.PRODUCTION, **fields)


def _running(bench: Bench, n: int, shape: Shape, cleanup: ExitStack, place: Place | None = None) -> Running:
    stack = gateway.start(place or bench.place, f"turnout at {n}", shape)
    cleanup.callback(stop, stack.process)
    return Running(n, stack, _body(bench.folder, stack.model, 1))


def _body(folder: Path, model: str, times: int) -> Path:
    """Write a request of `times` 1.3 KB."""
    turns = [*MESSAGES[:3] * (times - 1), *MESSAGES]
    path = folder / f"{model.replace('/', '-')}-{times}.json"
    path.write_bytes(msgspec.json.encode({"model": model, "messages": turns, "max_tokens": 256}))
    return path


def _with_rules(bench: Bench, n: int, cleanup: ExitStack) -> Running:
    """Start one whose route has rules none of which holds; 500 is the most a route takes."""
    n_rules = max(1, n // 2)
    return _running(bench, n_rules, _production(n_rules=n_rules), cleanup)


def _with_journal(bench: Bench, n: int, cleanup: ExitStack) -> Running:
    """Start one whose journal holds n times 100 Records already."""
    running = _running(bench, n * 100, _production(), cleanup)
    path = (
        next(folder for folder in bench.place.folder.glob(f"turnout-{running.stack.target.port}"))
        / "journal.db"
    )
    rows = SqliteRows(path, durable=False)
    spend.fill(rows, n * 100)
    rows.close()
    return running


def _with_answers(bench: Bench, n: int, cleanup: ExitStack) -> Running:
    """Start one whose cache is full at n times 10 answers: each further one takes another's place."""
    running = _running(bench, n * 10, _production(cache_entries=n * 10), cleanup)
    kept = 0
    while kept < n * 10:
        seen = bench.native.load(running.stack.target, running.body, N_CONNECTIONS, 1.0, 0)
        if not seen.served:
            raise Unusable("the cache could not be filled")
        kept += seen.served
    return running


def _with_streams(bench: Bench, n: int, cleanup: ExitStack) -> Running:
    """Start one with n streams open."""
    place = msgspec.structs.replace(bench.place, upstream=bench.stalling)
    running = _running(bench, n, _production(), cleanup, place)
    stream = bench.folder / "held.json"
    stream.write_bytes(
        msgspec.json.encode(
            {"model": running.stack.model, "messages": MESSAGES, "stream": True, "max_tokens": 256}
        )
    )
    cleanup.callback(stop, bench.native.hold(running.stack.target, stream, n))
    return running


def _with_size(bench: Bench, n: int, cleanup: ExitStack) -> Running:
    running = _running(bench, n, _production(), cleanup)
    return msgspec.structs.replace(running, body=_body(bench.folder, running.stack.model, n))


QUANTITIES: dict[str, Start] = {
    "deployments": _shaped(lambda n: _production(n_deployments=n)),
    "deployments in one pool": _shaped(lambda n: _production(n_pool=n)),
    "keys": _shaped(lambda n: _production(n_keys=n * 10)),
    "routes": _shaped(lambda n: _production(n_routes=n)),
    "rules of a route": _with_rules,
    "rows of the journal": _with_journal,
    "answers in the cache": _with_answers,
    "open streams": _with_streams,
    "size of the request": _with_size,
}


def grow(names: Sequence[str], *, quick: bool, tell: Callable[[str], None]) -> Grown:
    """Measure the curves."""
    measured, other = cores()
    curves: list[Curve] = []
    skipped: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="turnout-growth-") as name, ExitStack() as cleanup:
        folder = Path(name)
        native = Native(folder, other)
        upstream, stalling = native.upstream(64, 4000), native.upstream(1, 1000, stall=True)
        cleanup.callback(stop, upstream.process)
        cleanup.callback(stop, stalling.process)
        place = Place(core=measured, upstream=upstream.port, folder=folder)
        bench = Bench(native, place, stalling.port, folder, 2 if quick else 4, 0.4 if quick else 0.7)
        for each in names:
            tell(each)
            try:
                curves.append(_curve(bench, each))
            except Unusable as why:
                skipped[each] = str(why)
    date = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d")
    return Grown(date=date, facts=facts({}), curves=tuple(curves), skipped=skipped)


def _curve(bench: Bench, name: str) -> Curve:
    with ExitStack() as cleanup:
        running = [QUANTITIES[name](bench, n, cleanup) for n in STEPS]
        for each in running:
            bench.native.load(each.stack.target, each.body, N_CONNECTIONS, 0.4, 0)
        found: dict[int, list[tuple[float, float]]] = {each.n: [] for each in running}
        for turn in range(bench.n_rounds):
            for each in running if turn % 2 == 0 else running[::-1]:
                found[each.n].append(_measured(bench, each))
    smallest = [cpu for cpu, _ in next(iter(found.values()))]
    points = tuple(
        Point(
            n,
            round(statistics.median(cpu for cpu, _ in samples), 1),
            round(statistics.median(p50 for _, p50 in samples), 1),
            round(statistics.median(cpu / of for (cpu, _), of in zip(samples, smallest, strict=True)), 3),
        )
        for n, samples in found.items()
    )
    return Curve(name, points)


def _measured(bench: Bench, running: Running) -> tuple[float, float]:
    """Return CPU µs a request, and the µs that the gateway adds to the median."""
    before = cpu_ns(running.stack.pid)
    busy = bench.native.load(running.stack.target, running.body, N_CONNECTIONS, bench.busy_s, 0)
    used = cpu_ns(running.stack.pid) - before
    if busy.failed or not busy.served:
        raise Unusable(f"{busy.failed} of {busy.failed + busy.served} requests failed at {running.n}")
    rate = min(PACE, 0.4 * max(1, busy.done) / busy.wall_s)
    seconds = max(bench.busy_s, 20 / rate)
    paced = bench.native.load(running.stack.target, running.body, N_CONNECTIONS, seconds, rate)
    direct = bench.native.load(
        Target(bench.place.upstream), running.body, N_CONNECTIONS, min(0.3, seconds), rate
    )
    return used / 1000 / busy.served, max(0.0, paced.p50_us - max(0.0, direct.p50_us))


def markdown(grown: Grown) -> str:
    """Write the table."""
    head = "| what grows | from – to | CPU µs | at each step | added p50 µs | slope of the last step | |"
    lines = [head, "|---" * 7 + "|"]
    for curve in grown.curves:
        first, last = curve.points[0], curve.points[-1]
        steps = " · ".join(f"{step:.2f}" for step in curve.steps)
        cpu = f"{first.cpu_us:.0f}–{last.cpu_us:.0f}"
        lines.append(
            f"| {curve.name} | {first.n:,}–{last.n:,} | {cpu} | {steps} "
            f"| {first.added_p50_us:.0f}–{last.added_p50_us:.0f} | {curve.exponent:+.2f} | {curve.verdict} |"
        )
    lines += [f"| {name} | | | | | | not measured: {why} |" for name, why in grown.skipped.items()]
    return "\n".join(lines) + "\n"


def plots(grown: Grown) -> dict[str, str]:
    """Draw CPU and latency, each relative to the smallest size."""
    cpu: dict[str, list[tuple[float, float]]] = {}
    added: dict[str, list[tuple[float, float]]] = {}
    for curve in grown.curves:
        first = curve.points[0]
        cpu[curve.name] = [(p.n / first.n, step) for p, step in zip(curve.points, curve.steps, strict=True)]
        added[curve.name] = [(each.n / first.n, each.added_p50_us / 1000) for each in curve.points]
    flat = [name for name in cpu if name not in WHY]
    return {
        "growth-cpu": chart({name: cpu[name] for name in flat}, "× CPU at the smallest", "CPU per request"),
        "growth-cpu-steep": chart(
            {name: [(x, log10(y)) for x, y in cpu[name]] for name in cpu if name in WHY},
            "log10 of × CPU at the smallest",
            "CPU per request: what grows by its nature",
        ),
        "growth-latency": chart(
            {name: added[name] for name in flat}, "ms added to the median", "Added latency"
        ),
    }


def main() -> int:
    """Run, print, write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--only", default="", help=f"of {', '.join(QUANTITIES)}")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plots", type=Path, help="folder for the charts")
    given = parser.parse_args()
    names = given.only.split(",") if given.only else list(QUANTITIES)
    try:
        grown = grow(names, quick=given.quick, tell=lambda line: print(line, file=sys.stderr, flush=True))
    except Unusable as problem:
        print(f"growth: {problem}", file=sys.stderr)
        return 2
    print(markdown(grown))
    if given.json:
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(grown), indent=1) + b"\n")
    if given.plots:
        given.plots.mkdir(parents=True, exist_ok=True)
        for name, svg in plots(grown).items():
            (given.plots / f"{name}.svg").write_text(svg)
    return 1 if grown.steep else 0


if __name__ == "__main__":
    sys.exit(main())
