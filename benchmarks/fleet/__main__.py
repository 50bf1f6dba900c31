"""`python -m benchmarks.fleet`: plays the fleet and says which promises are kept."""

import argparse
import contextlib
import datetime as dt
import logging
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec
from msgspec import Struct

from benchmarks.fleet import consensus
from benchmarks.fleet.clock import SCALE
from benchmarks.fleet.field import Run, Seen, Sums, house, play, play_here, warm_up
from benchmarks.fleet.promises import Verdict, verdicts
from benchmarks.fleet.runs import PROMISES, STRATEGIES, plan
from benchmarks.machine import facts

FULL, QUICK = 20_000, 3_000


class Report(Struct, frozen=True, kw_only=True):
    """What is kept of a run of the bench."""

    date: str
    machine: dict[str, str]
    clock: str
    """What time it was: the processor's own, the wall's, compressed, or one that jumps."""
    n: int
    verdicts: list[Verdict]
    runs: list[Sums]


def main() -> int:
    """Play, judge, print."""
    options = _options()
    n = options.n or (QUICK if options.quick else FULL)
    only = options.strategy
    seen: list[Seen] = []
    each_run: Callable[[Run], Seen]
    logging.getLogger("turnout").setLevel(logging.ERROR)  # demotions are what is played here
    with contextlib.ExitStack() as stack:
        if options.no_sockets:
            each_run = _without_sockets
        elif not options.wall:
            each_run = play_here
        else:
            place = stack.enter_context(house())
            warm_up(place)
            each_run = partial(play, place)
        for what in plan(n, only, options.seed):
            print(f"{what.name} …", end=" ", file=sys.stderr, flush=True)
            seen.append(each_run(what))
            print("done", file=sys.stderr)
    found = verdicts(seen)
    if not only or "consensus" in only:
        found += _recorded()
    report = Report(
        date=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"),
        machine=dict(facts({})),
        clock=_clock(options),
        n=n,
        verdicts=found,
        runs=[each.sums for each in seen],
    )
    _show(report)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    return 1 if options.check and any(each.met is False for each in found) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__)
    names = sorted({*STRATEGIES, *(strategy for _, strategy in PROMISES.values())})
    parser.add_argument("--quick", action="store_true", help=f"{QUICK:,} requests a run, not {FULL:,}")
    parser.add_argument("--strategy", action="append", default=[], choices=names, help="only these")
    parser.add_argument("--n", type=int, help="requests a run")
    parser.add_argument(
        "--wall", action="store_true", help="two processes on compressed wall-clock time: for an idle machine"
    )
    parser.add_argument(
        "--no-sockets", action="store_true", help="on a clock that jumps: a busy machine changes nothing"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the results here")
    parser.add_argument("--check", action="store_true", help="exit 1 when a promise is broken")
    return parser.parse_args()


def _clock(options: argparse.Namespace) -> str:
    if options.no_sockets:
        return "no sockets, a jumping clock"
    if options.wall:
        return f"sockets, wall-clock time: one second is {SCALE:g} s of the script"
    return "sockets, processor time: what the machine does besides does not count"


def _without_sockets(what: Run) -> Seen:
    from benchmarks.fleet import virtual  # noqa: PLC0415  needs none of the rest

    return virtual.play(what)[0]


def _recorded() -> Sequence[Verdict]:
    try:
        return consensus.verdict(consensus.trios())
    except (FileNotFoundError, ImportError) as missing:
        why = f"skipped: {missing.filename if isinstance(missing, FileNotFoundError) else missing}"
        return [
            Verdict(promise="consensus of 3 on recorded answers", target="", measured="", met=None, why=why)
        ]


def _show(report: Report) -> None:
    print(f"\n{report.n:,} requests a run; {report.clock}\n")
    print("| promise | target | measured | kept | remark |\n|---|---|---|---|---|")
    for each in report.verdicts:
        kept = {True: "yes", False: "**no**", None: "not measured"}[each.met]
        print(f"| {each.promise} | {each.target} | {each.measured} | {kept} | {each.why} |")
    print("\n| run | strategy | mean TTFT s | p50 | p99 | clairvoyant | failed | calls per request | USD |")
    print("|---|---|---|---|---|---|---|---|---|")
    for sums in report.runs:
        print(
            f"| {sums.name} | {sums.strategy} | {sums.mean_ttft_s:.3f} | {sums.p50_ttft_s:.3f} |"
            f" {sums.p99_ttft_s:.2f} | {sums.clairvoyant_s:.3f} | {sums.n_errors / sums.n:.2%} |"
            f" {sums.calls_per_request:.3f} | {sums.cost_usd:.3f} |"
        )


if __name__ == "__main__":
    sys.exit(main())
