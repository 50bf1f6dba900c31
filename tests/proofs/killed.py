"""Processes that share a ledger's files, of which one after the other is killed in the middle of something.

    python -m tests.proofs.killed --seeds 50

Each process reserves and settles as fast as it can, and writes what it was told to a file of its own, one
write a line: what a process was told is known, whenever it dies. A killed process is replaced by a new one.
What must hold, exactly:

1. At every moment that anybody looks, each account is within its limit.
2. A reservation that was granted is there, open or settled; one that was refused is not. A settlement that
   was confirmed has closed its reservation. Of what was under way when its process died either may be true.
3. In the end, what an account has used is the sum over what was settled and over what is open; and the same
   again when everything is read anew from the files.
"""

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from turnout.stores.ledger.base import FOREVER, Fixed, Granted, Held, Sliding, Take
from turnout.stores.ledger.care import problem_of
from turnout.stores.ledger.file import FileLedger

LIMITS = {"money": 1_500_000, "calls": 6_000, "places": 20}
SPANS = {"money": Fixed(0, FOREVER), "calls": Sliding(0.5), "places": Held()}
WORST, FULL_BYTES, LEASE_S = 100, 3000, 600.0


class Result(msgspec.Struct, kw_only=True):
    """What one run showed."""

    seed: int
    killed: int
    granted: int
    refused: int
    settled: int
    used: int
    open: int
    undecided: int
    """Settlements under way when their process died, that the ledger has."""


def takes():
    amounts = {"money": WORST, "calls": 1, "places": 1}
    return [Take(name, SPANS[name], amounts[name], LIMITS[name]) for name in SPANS]


async def work(path, seed):
    """Reserve and settle until killed."""
    rng = random.Random(seed)
    told = os.open(f"{path}.{seed}.told", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    ledger = FileLedger(Path(path), full_bytes=FULL_BYTES)
    under_way = []
    for n in range(1_000_000):
        name, cost = f"{seed}-{n}", rng.randint(0, WORST)
        os.write(told, f"? {name} {cost}\n".encode())
        found = await ledger.reserve(name, takes(), lease_s=LEASE_S)
        granted = isinstance(found, Granted)
        if granted:
            assert all(used <= LIMITS[each] for each, used in zip(SPANS, found.used, strict=True)), found
            under_way.append((name, cost))
        os.write(told, f"{'+' if granted else '-'} {name}\n".encode())
        if under_way and (len(under_way) > 3 or rng.random() < 0.6):
            name, cost = under_way.pop(rng.randrange(len(under_way)))
            assert await ledger.settle(name, [cost, 1, 0])
            os.write(told, f"= {name}\n".encode())


class Workers:
    """Processes at work, each started with a number of its own."""

    def __init__(self, path):
        self.path, self.n, self.running = path, 0, []

    def start(self):
        self.n += 1
        asked = [sys.executable, "-m", "tests.proofs.killed", "--work", str(self.path), str(self.n)]
        self.running.append(subprocess.Popen(asked, stderr=subprocess.PIPE))

    def kill(self, rng):
        each = self.running.pop(rng.randrange(len(self.running)))
        each.send_signal(signal.SIGKILL)
        assert each.wait() == -signal.SIGKILL, each.stderr.read().decode()


async def prove(seed, folder, *, workers=4, kills=6):
    """Run once and assert everything; return what was seen."""
    rng = random.Random(seed)
    path = Path(folder) / "ledger.db"
    ledger = FileLedger(path, full_bytes=FULL_BYTES)
    money = [Take("money", SPANS["money"], 0, None), Take("places", SPANS["places"], 0, None)]
    here = Workers(path)
    for _ in range(workers):
        here.start()
    for _ in range(kills):
        until = time.monotonic() + rng.uniform(0.15, 0.5)
        while time.monotonic() < until:
            used, places = await ledger.used(money)
            assert used <= LIMITS["money"]
            assert places <= LIMITS["places"]
            await asyncio.sleep(0.002)
        here.kill(rng)
        here.start()
    while here.running:
        here.kill(rng)
    await ledger.close()
    assert problem_of(path) is None
    return await _compared(seed, path, here.n, kills + workers)


async def _compared(seed, path, n, killed):
    told, costs = _told(path, n)
    ledger = FileLedger(path)
    still = dict(ledger._state.open)
    used, places = await ledger.used([Take(each, SPANS[each], 0, None) for each in ("money", "places")])
    open_before = set(still)
    assert told["-"].isdisjoint(open_before), "what was refused is not there"
    assert told["="].isdisjoint(open_before), "what was settled is closed"
    closed = told["+"] - open_before
    undecided = closed - told["="]
    assert len(undecided) <= killed, "what was granted is there; one at most for each that died settling it"
    assert used == sum(costs[name] for name in closed) + WORST * len(open_before), "to the nano-USD"
    assert places == len(open_before)
    for name in open_before:
        assert await ledger.settle(name, [0, 0, 0])
    await ledger.close()
    again = FileLedger(path)
    assert await again.used([Take(each, SPANS[each], 0, None) for each in ("money", "places")]) == (
        used - WORST * len(open_before),
        0,
    )
    await again.close()
    return Result(
        seed=seed,
        killed=killed,
        granted=len(told["+"]),
        refused=len(told["-"]),
        settled=len(closed),
        used=used,
        open=len(open_before),
        undecided=len(undecided),
    )


def _told(path, n):
    """Return what processes were told, by kind, and what each reservation was to cost."""
    told, costs = {"?": set(), "+": set(), "-": set(), "=": set()}, {}
    for number in range(1, n + 1):
        file = Path(f"{path}.{number}.told")
        for line in file.read_text().splitlines() if file.exists() else ():
            kind, name, *cost = line.split()
            told[kind].add(name)
            if cost:
                costs[name] = int(cost[0])
    return told, costs


def main():
    """Run over many seeds, or be one of the processes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--work", nargs=2, metavar=("PATH", "SEED"))
    given = parser.parse_args()
    if given.work is not None:
        asyncio.run(work(given.work[0], int(given.work[1])))
        return
    for seed in range(given.first, given.first + given.seeds):
        with tempfile.TemporaryDirectory() as folder:
            result = asyncio.run(prove(seed, folder))
            sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
