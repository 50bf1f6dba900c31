"""`python -m benchmarks`: runs the suite and prints the table.

Everything stays on loopback, nothing is installed, every process it starts has ended when it ends.
"""

import argparse
import datetime as dt
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path

import msgspec

from benchmarks import footprint, gateway, growth, report, rounds, scale, shared
from benchmarks.machine import Unusable, cores, facts, stop
from benchmarks.native import Bodies, Native, Target
from benchmarks.peers import Place, Stack, Start
from benchmarks.rivals import PEERS

FULL = rounds.Plan(n_rounds=5, busy_s=1.2, paced_s=1.0, stream_s=1.5)
QUICK = rounds.Plan(n_rounds=3, busy_s=0.6, paced_s=0.4, stream_s=0.8)
N_CHUNKS, GAP_US = 64, 4000
"""A stream of the mock upstream: 64 words, one every 4 ms."""
OTHER = "turnout, to another wire format"
QUICK_PROFILES = ("turnout", "turnout, journal and metrics", "turnout, production")
QUICK_PEERS = ("envoy", "nginx")
ROOT = Path(__file__).parent.parent
BUSY = "Other work ran on the machine at the same time: read the ratios, not the microseconds."
BUSY_LOAD = 0.5
"""Load average of the last minute, before anything was started, from which a run is marked."""


def main(words: Sequence[str] | None = None) -> int:
    """Run the suite."""
    options = _options(words)
    note = options.note or (BUSY if os.getloadavg()[0] > BUSY_LOAD else "")
    try:
        found = _measure(options, note)
    except Unusable as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 2
    print("\n" + report.markdown(found))
    if options.json:
        _write(options.json, found)
    if options.markdown:
        options.markdown.write_text(report.page(found))
    if options.publish:
        _publish(found, options.publish)
    missed = report.missed(found) if options.check else ()
    for gate in missed:
        print(f"bench: {gate.what}: {gate.measured:.2f} {gate.unit}, at most {gate.limit:g}", file=sys.stderr)
    return 1 if missed else 0


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description="Measure the gateway.")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="three profiles and the plain proxies, in fewer and shorter rounds",
    )
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--markdown", type=Path, help="write the page here")
    parser.add_argument("--note", default="", help="a sentence to print with the results")
    parser.add_argument("--check", action="store_true", help="exit 1 when a ratio is beyond its wide limit")
    parser.add_argument(
        "--publish",
        type=Path,
        nargs="?",
        const=ROOT,
        help="also measure growth and scale, and write docs/reference/benchmarks.md, its charts and "
        "benchmarks/results of this checkout: twelve minutes",
    )
    parser.add_argument(
        "--peers", help=f"compare with these only (of {', '.join(PEERS)}); default: all found"
    )
    profiles = ", ".join((*gateway.SHAPES, shared.NAME))
    parser.add_argument("--profiles", help=f"these only, between semicolons (of {profiles}); default: all")
    return parser.parse_args(words)


def _measure(options: argparse.Namespace, note: str) -> report.Report:
    plan = QUICK if options.quick else FULL
    measured_core, other_core = cores()
    with tempfile.TemporaryDirectory(prefix="turnout-bench-") as name, ExitStack() as cleanup:
        folder = Path(name)
        native, bodies = Native(folder, other_core), Bodies(folder)
        upstream = native.upstream(N_CHUNKS, GAP_US)
        cleanup.callback(stop, upstream.process)
        place = Place(core=measured_core, upstream=upstream.port, folder=folder)
        stacks, skipped = _start(place, _profiles(options, other_core, cleanup), _peers(options), cleanup)
        direct = Stack("direct, no proxy", upstream.process, Target(upstream.port))
        whole = rounds.run(_cases(direct, stacks, bodies, stream=False), native, plan, _tell)
        stream = rounds.run(_cases(direct, stacks, bodies, stream=True), native, plan, _tell)
        _tell("start-up and memory")
        foot = footprint.measure(native, place, bodies, plan.n_rounds)
    versions = {each.name.partition(",")[0]: each.version for each in stacks if each.version}
    versions = {"turnout": version("turnout"), "uvloop": version("uvloop"), **versions}
    grown: growth.Grown | None = None
    scaled: scale.Scaled | None = None
    if options.publish:
        with _left_out("growth", skipped):
            grown = growth.grow(list(growth.QUANTITIES), quick=True, tell=_tell)
        with _left_out("scale", skipped):
            scaled = scale.scale(quick=True, tell=_tell)
    _tell("")
    return report.Report(
        date=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"),
        facts=facts({"libc": "-".join(platform.libc_ver()), **versions}),
        note=note,
        whole=whole.results,
        stream=stream.results,
        footprint=foot,
        skipped={**skipped, **whole.dropped, **{f"{k}, streamed": why for k, why in stream.dropped.items()}},
        grown=grown,
        scaled=scaled,
    )


@contextmanager
def _left_out(what: str, skipped: dict[str, str]) -> Iterator[None]:
    """Go on without a part that cannot be measured: what was measured before it is not lost."""
    try:
        yield
    except (Unusable, OSError, RuntimeError, subprocess.SubprocessError) as why:
        skipped[what] = str(why)


def _profiles(options: argparse.Namespace, core: int, cleanup: ExitStack) -> dict[str, Start]:
    """Return what starts each wanted profile."""

    def of(name: str, shape: gateway.Shape) -> Start:
        return lambda place: gateway.start(place, name, shape)

    def distributed(place: Place) -> Stack:
        stores = cleanup.enter_context(shared.stores(core))
        return gateway.start(place, shared.NAME, stores.shape)

    every = {**{name: of(name, shape) for name, shape in gateway.SHAPES.items()}, shared.NAME: distributed}
    chosen = options.profiles.split(";") if options.profiles else QUICK_PROFILES if options.quick else every
    return {name.strip(): every[name.strip()] for name in chosen}


def _peers(options: argparse.Namespace) -> dict[str, Start]:
    chosen = options.peers.split(",") if options.peers else QUICK_PEERS if options.quick else PEERS
    return {name: PEERS[name] for name in chosen}


def _start(
    place: Place, profiles: Mapping[str, Start], peers: Mapping[str, Start], cleanup: ExitStack
) -> tuple[list[Stack], dict[str, str]]:
    """Start everything; what cannot be started is told, and left out."""
    stacks: list[Stack] = []
    skipped: dict[str, str] = {}
    for name, start in {**profiles, **peers}.items():
        _tell(f"starting {name}")
        try:
            stacks.append(start(place))
            cleanup.callback(stop, stacks[-1].process)
        except (Unusable, RuntimeError, OSError) as why:
            skipped[name] = str(why)
            _tell(f"without {name}: {why}\n")
    return stacks, skipped


def _cases(direct: Stack, stacks: Sequence[Stack], bodies: Bodies, *, stream: bool) -> list[rounds.Case]:
    body = bodies.file("bench/one", stream=stream)
    cases = [rounds.Case(direct.name, direct, body, stream, measured=False)]
    for stack in stacks:
        cases.append(rounds.Case(stack.name, stack, bodies.file(stack.model, stream=stream), stream))
        if stack.name == "turnout":
            other = bodies.file("other/one", stream=stream)
            cases.append(rounds.Case(OTHER, stack, other, stream))
    return cases


def _publish(found: report.Report, root: Path) -> None:
    """Write page, charts and results into a checkout."""
    images = root / "docs" / "images" / "benchmarks"
    results = root / "benchmarks" / "results"
    images.mkdir(parents=True, exist_ok=True)
    results.mkdir(parents=True, exist_ok=True)
    (root / "docs" / "reference").mkdir(parents=True, exist_ok=True)
    _write(results / f"{found.date}.json", found)
    if found.scaled is not None and found.scaled.costs is not None:
        costs = msgspec.json.format(msgspec.json.encode(found.scaled), indent=1)
        (results / "scale.json").write_bytes(costs + b"\n")
    for name, svg in report.plots(found).items():
        (images / f"{name}.svg").write_text(svg)
    soaked = results / "soak.json"
    page = report.page(found, report.read_soak(soaked) if soaked.exists() else None, charts=True)
    (root / "docs" / "reference" / "benchmarks.md").write_text(page)


def _write(path: Path, found: report.Report) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")


def _tell(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
    elif line:
        print(line.strip(), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
