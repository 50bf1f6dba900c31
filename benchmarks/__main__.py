"""`python -m benchmarks`: runs the suite and prints the table.

Everything stays on loopback, nothing is installed, every process it starts has ended when it ends.
"""

import argparse
import datetime as dt
import platform
import sys
import tempfile
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

import msgspec

from benchmarks import footprint, gateway, report, rounds
from benchmarks.machine import Unusable, cores, facts, stop
from benchmarks.native import Bodies, Native, Target
from benchmarks.peers import PEERS, Place, Stack

FULL = rounds.Plan(n_rounds=5, busy_s=2.0, paced_s=2.0, stream_s=2.5)
QUICK = rounds.Plan(n_rounds=3, busy_s=0.8, paced_s=0.6, stream_s=1.2)
N_CHUNKS, GAP_US = 64, 4000
"""A stream of the mock upstream: 64 words, one every 4 ms."""


def main() -> int:
    """Run the suite."""
    options = _options()
    try:
        found = _measure(options)
    except Unusable as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 2
    print("\n" + report.markdown(found))
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    if options.markdown:
        options.markdown.write_text(report.page(found))
    missed = [each for each in report.budgets(found) if each.verdict == "not met"]
    return 1 if options.check and missed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description="Measure the gateway.")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: about a minute")
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--markdown", type=Path, help="write the table here")
    parser.add_argument("--note", default="", help="a sentence to print with the results")
    parser.add_argument("--check", action="store_true", help="exit 1 when a budget is not met")
    peers = ", ".join(PEERS)
    parser.add_argument(
        "--peers", default="", help=f"compare with these only (of {peers}); default: all found"
    )
    return parser.parse_args()


def _measure(options: argparse.Namespace) -> report.Report:
    plan = QUICK if options.quick else FULL
    measured_core, other_core = cores()
    wanted = options.peers.split(",") if options.peers else list(PEERS)
    with tempfile.TemporaryDirectory(prefix="turnout-bench-") as name, ExitStack() as cleanup:
        folder = Path(name)
        native, bodies = Native(folder, other_core), Bodies(folder)
        upstream = native.upstream(N_CHUNKS, GAP_US)
        cleanup.callback(stop, upstream.process)
        place = Place(core=measured_core, upstream=upstream.port, folder=folder)
        stacks: list[Stack] = []
        skipped: dict[str, str] = {}
        for start in (gateway.bare, gateway.recorded):
            stacks.append(start(place))
            cleanup.callback(stop, stacks[-1].process)
        for each in wanted:
            try:
                stacks.append(PEERS[each](place))
                cleanup.callback(stop, stacks[-1].process)
            except Unusable as why:
                skipped[each] = str(why)
        direct = Stack("direct, no proxy", upstream.process, Target(upstream.port))
        whole = rounds.run(_cases(direct, stacks, bodies, stream=False), native, plan, _tell)
        stream = rounds.run(_cases(direct, stacks, bodies, stream=True), native, plan, _tell)
        _tell("start-up and memory")
        foot = footprint.measure(native, place, bodies, plan.n_rounds)
    _tell("")
    versions = {each.name: each.version for each in stacks if each.version}
    versions = {"turnout": version("turnout"), "uvloop": version("uvloop"), **versions}
    return report.Report(
        date=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"),
        facts=facts({"libc": "-".join(platform.libc_ver()), **versions}),
        note=options.note,
        whole=whole,
        stream=stream,
        footprint=foot,
        skipped=skipped,
    )


def _cases(direct: Stack, stacks: list[Stack], bodies: Bodies, *, stream: bool) -> list[rounds.Case]:
    body = bodies.file("bench/one", stream=stream)
    cases = [rounds.Case(direct.name, direct, body, stream, measured=False)]
    for stack in stacks:
        cases.append(rounds.Case(stack.name, stack, bodies.file(stack.model, stream=stream), stream))
        if stack.name == "turnout":
            other = bodies.file("other/one", stream=stream)
            cases.append(rounds.Case("turnout, to another wire format", stack, other, stream))
    return cases


def _tell(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{line}", end="", file=sys.stderr, flush=True)
    elif line:
        print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
