"""What it costs to be several: workers on one machine, and replicas that share Valkey and PostgreSQL.

    python -m benchmarks.scale [--quick] [--json FILE]

Four set-ups of the production profile are saturated in turn: one worker, two workers on one port, one replica
with stores of its own kind and two replicas on the same stores. CPU per request tells what sharing costs;
requests per second only where there are cores to spare: on two cores the load, the upstream and the stores
take theirs from the gateways.
"""

import argparse
import datetime as dt
import os
import re
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import capacity, gateway
from benchmarks.capacity import RATES, RESULTS, Costs, predict, saturated
from benchmarks.machine import Unusable, cores, cpu_ns, facts, stop
from benchmarks.native import Bodies, Load, Native
from benchmarks.peers import Place, Stack
from benchmarks.shared import Stores, stores

N_CONNECTIONS = 24
ONE, TWO, ALONE, SHARED = "one worker", "two workers", "one replica, stores", "two replicas, same stores"

STORED = (ALONE, SHARED)
PATIENCE_S = 60.0


class Seen(msgspec.Struct, frozen=True):
    """One set-up in one round, per request."""

    per_s: float
    gateway_us: float
    valkey_us: float = 0.0
    valkey_calls: float = 0.0
    """Scripts called: round trips."""
    valkey_commands: float = 0.0
    """Those inside of scripts too."""
    postgres_us: float = 0.0
    postgres_rows: float = 0.0
    postgres_commits: float = 0.0
    beside_us: float = 0.0
    """Load and upstream."""


class Setup(msgspec.Struct, frozen=True):
    """Medians of a set-up."""

    name: str
    seen: Seen


class Scaled(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    date: str
    facts: dict[str, str]
    setups: tuple[Setup, ...]
    costs: Costs | None
    """Of two replicas on the same stores: what `benchmarks.capacity` multiplies."""
    predicted_per_s: float | None
    """Of two replicas, from what a request costs with one and the processor time that everything got."""
    measured_per_s: float | None
    skipped: str = ""


class Bench(msgspec.Struct, frozen=True):
    """What every set-up is measured with."""

    native: Native
    upstream: Stack
    body: Callable[[str], Path]
    seconds: float


def scale(*, quick: bool, tell: Callable[[str], None]) -> Scaled:
    """Measure every set-up, in alternating rounds."""
    measured, other = cores()
    both = f"{measured},{other}"
    skipped = ""
    with tempfile.TemporaryDirectory(prefix="turnout-scale-") as made, ExitStack() as cleanup:
        folder = Path(made)
        native, bodies = Native(folder, other), Bodies(folder)
        upstream = native.upstream(64, 4000)
        cleanup.callback(stop, upstream.process)
        place = Place(core=measured, upstream=upstream.port, folder=folder)
        mock = Stack("upstream", upstream.process, gateway.Target(upstream.port))
        bench = Bench(native, mock, lambda model: bodies.file(model, stream=False), 1.0 if quick else 2.0)

        def start(name: str, shape: gateway.Shape, core: str) -> Stack:
            stack = gateway.start(place, name, shape, core)
            cleanup.callback(stop, stack.process)
            return stack

        two = msgspec.structs.replace(gateway.PRODUCTION, workers=2)
        setups: dict[str, list[Stack]] = {
            ONE: [start(ONE, gateway.PRODUCTION, str(measured))],
            TWO: [start(TWO, two, both)],
        }
        shared: Stores | None = None
        try:
            shared = cleanup.enter_context(stores(other))
            replicas = [
                start(f"replica {n}", shared.shape, str(core)) for n, core in ((1, measured), (2, other))
            ]
            setups |= {ALONE: replicas[:1], SHARED: replicas}
        except Unusable as why:
            skipped = str(why)
        found: dict[str, list[Seen]] = {name: [] for name in setups}
        for name, stacks in setups.items():
            tell(f"warming {name}")
            _loaded(bench, stacks, 1.0, shared if name in STORED else None)
        for n in range(3 if quick else 5):
            for name in list(setups) if n % 2 == 0 else list(setups)[::-1]:
                tell(f"round {n + 1}: {name}")
                try:
                    found[name].append(_seen(bench, setups[name], shared, stored=name in STORED))
                except Unusable as why:
                    skipped = f"{name}, round {n + 1}: {why}"
                    tell(skipped)
    done = tuple(Setup(name, _median(samples)) for name, samples in found.items() if samples)
    return _scaled(done, skipped)


def _load(bench: Bench, stacks: Sequence[Stack], seconds: float) -> list[Load]:
    with ThreadPoolExecutor(len(stacks)) as pool:
        each = N_CONNECTIONS // len(stacks)
        return list(
            pool.map(
                lambda stack: bench.native.load(stack.target, bench.body(stack.model), each, seconds, 0),
                stacks,
            )
        )


def _loaded(bench: Bench, stacks: Sequence[Stack], seconds: float, shared: Stores | None) -> list[Load]:
    """Load them, and wait until every answer's Record is where it belongs: writers work in batches, later."""
    before = 0 if shared is None else _records(shared.records.url)
    loads = _load(bench, stacks, seconds)
    if shared is None:
        return loads
    expected = before + sum(load.served for load in loads)
    until = time.monotonic() + PATIENCE_S
    while (written := _records(shared.records.url)) < expected:
        if time.monotonic() > until:
            raise Unusable(f"{expected - written} Records were not written within {PATIENCE_S} s")
        time.sleep(0.05)
    return loads


def _seen(bench: Bench, stacks: Sequence[Stack], shared: Stores | None, *, stored: bool) -> Seen:
    before = _counters(bench, stacks, shared)
    loads = _loaded(bench, stacks, bench.seconds, shared if stored else None)
    if any(load.failed for load in loads):
        raise Unusable(f"{sum(load.failed for load in loads)} requests failed")
    after = _counters(bench, stacks, shared)
    served = max(1, sum(load.served for load in loads))
    used = [(late - early) / served for early, late in zip(before, after, strict=True)]
    return Seen(
        per_s=sum(load.done / load.wall_s for load in loads),
        gateway_us=used[0] / 1000,
        beside_us=used[1] / 1000,
        valkey_us=used[2] / 1000,
        valkey_commands=used[3],
        valkey_calls=used[4],
        postgres_us=used[5] / 1000,
        postgres_rows=used[6],
        postgres_commits=used[7],
    )


def _counters(bench: Bench, stacks: Sequence[Stack], shared: Stores | None) -> tuple[float, ...]:
    gateways = sum(cpu_ns(stack.pid) for stack in stacks)
    children = os.times().children_user + os.times().children_system
    beside = cpu_ns(bench.upstream.pid) + children * 1e9
    if shared is None:
        return gateways, beside, 0, 0, 0, 0, 0, 0
    valkey, postgres = shared.cpu_ns()
    rows, commits = _postgres(shared.records.url)
    return gateways, beside, valkey, *_commands(shared.ledger.port), postgres, rows, commits


def _commands(port: int) -> tuple[int, int]:
    """Return how many commands a Valkey has processed, and how many scripts were called."""
    with socket.create_connection(("127.0.0.1", port), 5) as asked:
        asked.sendall(b"INFO everything\r\nQUIT\r\n")
        told = b""
        while data := asked.recv(65536):
            told += data
    total = re.search(rb"total_commands_processed:(\d+)", told)
    scripts = re.findall(rb"cmdstat_(?:evalsha|eval|fcall):calls=(\d+)", told)
    assert total is not None
    return int(total[1]), sum(map(int, scripts))


def _postgres(url: str) -> tuple[int, int]:
    """Return rows kept and transactions committed so far in the database.

    Rows are counted in the tables: PostgreSQL's own counter of them comes up to ten seconds late.
    """
    tables = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    count = "SELECT " + " + ".join(f"(SELECT count(*) FROM {name})" for (name,) in _ask(url, tables))
    ((rows,),) = _ask(url, count)
    ((commits,),) = _ask(url, "SELECT xact_commit FROM pg_stat_database WHERE datname = 'turnout'")
    return rows, commits


def _records(url: str) -> int:
    """Return how many Records were ever written there."""
    ((n,),) = _ask(url, "SELECT value FROM journal_last")
    return int(n)


def _ask(url: str, asked: str) -> list[tuple[Any, ...]]:
    import psycopg  # noqa: PLC0415  an extra

    with psycopg.connect(url, autocommit=True) as database:
        return database.execute(asked.encode()).fetchall()


def _median(samples: Sequence[Seen]) -> Seen:
    fields = Seen.__struct_fields__
    return Seen(
        **{name: round(statistics.median(getattr(each, name) for each in samples), 3) for name in fields}
    )


def _scaled(setups: Sequence[Setup], skipped: str) -> Scaled:
    by_name = {setup.name: setup.seen for setup in setups}
    seen = by_name.get(SHARED)
    costs = None if seen is None else _costs(seen)
    return Scaled(
        date=dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"),
        facts=facts({}),
        setups=tuple(setups),
        costs=costs,
        predicted_per_s=_predicted(by_name[ALONE], seen) if seen is not None and ALONE in by_name else None,
        measured_per_s=None if seen is None else seen.per_s,
        skipped=skipped,
    )


def _predicted(alone: Seen, seen: Seen) -> float:
    """Return the rate of two replicas that the costs of one and the time they all got make."""
    cores_had = seen.per_s * (_costs(seen).total_us + seen.beside_us) / 1e6
    return round(saturated(_costs(alone), cores_had, alone.beside_us), 1)


def _costs(seen: Seen) -> Costs:
    return Costs(**{name: getattr(seen, name) for name in Costs.__struct_fields__})


def markdown(scaled: Scaled) -> str:
    """Write the tables."""
    lines = [
        "| | requests/s | gateway µs | Valkey µs | round trips | commands | PostgreSQL µs | rows |",
        "|---" * 8 + "|",
    ]
    for setup in scaled.setups:
        seen = setup.seen
        lines.append(
            f"| {setup.name} | {seen.per_s:,.0f} | {seen.gateway_us:.0f} | {seen.valkey_us:.1f} "
            f"| {seen.valkey_calls:.2f} | {seen.valkey_commands:.1f} "
            f"| {seen.postgres_us:.0f} | {seen.postgres_rows:.2f} |"
        )
    lines += ["", f"Left out: {scaled.skipped}."] if scaled.skipped else []
    by_name = {setup.name: setup.seen for setup in scaled.setups}
    if scaled.costs is None or ONE not in by_name:
        return "\n".join(lines) + "\n"
    sharing = by_name[SHARED].gateway_us / by_name[ONE].gateway_us
    predicted, measured = scaled.predicted_per_s or 0, scaled.measured_per_s or 0
    check = f"predicted {predicted:,.0f} requests/s, measured {measured:,.0f}"
    lines += [
        "",
        f"Sharing costs the gateway {sharing:.2f} × its CPU.",
        f"Two replicas, by the costs of one: {check}.",
        "",
        capacity.markdown([predict(scaled.costs, rate) for rate in RATES]),
    ]
    return "\n".join(lines)


def main() -> int:
    """Run, print, write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--json", type=Path, default=RESULTS, help="default: benchmarks/results/scale.json")
    given = parser.parse_args()
    try:
        found = scale(quick=given.quick, tell=lambda line: print(line, file=sys.stderr, flush=True))
    except Unusable as problem:
        print(f"scale: {problem}", file=sys.stderr)
        return 2
    print(markdown(found))
    given.json.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
