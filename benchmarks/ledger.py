"""What a step of the ledger costs one worker, and what following costs several, in µs of CPU.

    python -m benchmarks.ledger [--json FILE]

A request under three budgets and two quotas reserves and settles five accounts. The least of short slices of
the thread's time, so that neighbours move it little. `followed` is a request of one of several workers, each
asked in turn, with what the others do to follow it: the sum over all of them. Then, of a ledger with many
accounts, what each takes in memory and how long reading it takes at a start.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from turnout.stores.ledger.base import Fixed, Ledger, Sliding, Take
from turnout.stores.ledger.file import FileLedger
from turnout.stores.ledger.memory import MemoryLedger

SLICES, SLICE = 150, 20
WORKERS = (1, 2, 4, 8, 16)
N_ACCOUNTS = 100_000
MINUTE, SPENT = Sliding(60.0), [1, 450, 500, 500, 500]


def takes(month: Fixed) -> list[Take]:
    """Return what a request takes."""
    budgets = [Take(f"usd:{level}:one", month, 1000, 10**15) for level in ("organisation", "team", "key")]
    rates = [Take("requests:rpm:one", MINUTE, 1, 10**9), Take("tokens:tpm:one", MINUTE, 900, 10**12)]
    return [*rates, *budgets]


async def cost(make: Callable[[], Ledger], n: int) -> tuple[float, float]:
    """Return µs to reserve and to settle, each of the worker that is asked and of those that follow."""
    ledgers = [make() for _ in range(n)]
    now = time.time()
    month, number = Fixed(now - 1e6, now + 1e6), count()
    best = [float("inf"), float("inf")]
    for _ in range(SLICES):
        spent = [0, 0]
        for at in range(SLICE):
            name, wanted, ledger = f"req_{next(number):026d}:1", takes(month), ledgers[at % n]
            begun = time.thread_time_ns()
            await ledger.reserve(name, wanted, lease_s=600)
            reserved = time.thread_time_ns()
            await ledger.settle(name, SPENT)
            spent[0] += reserved - begun
            spent[1] += time.thread_time_ns() - reserved
        best = [min(b, s / SLICE / 1000) for b, s in zip(best, spent, strict=True)]
    for ledger in ledgers:
        await ledger.close()
    return best[0], best[1]


async def crowd(path: Path) -> tuple[float, float]:
    """Return bytes of memory an account, and seconds of CPU to open a ledger with many."""
    ledger, now, before = FileLedger(path), time.time(), _resident()
    month = Fixed(now - 1e6, now + 1e7)
    for at in range(0, N_ACCOUNTS, 5):
        wanted = [Take(f"usd:monthly:customer-{at + n}", month, 1, 10**12) for n in range(5)]
        await ledger.reserve(f"r{at}", wanted, lease_s=60)
        await ledger.settle(f"r{at}", [1] * 5)
    took = (_resident() - before) / N_ACCOUNTS
    await ledger.close()
    begun = time.process_time()
    ledger = FileLedger(path)
    opened = time.process_time() - begun
    await ledger.close()
    return took, opened


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        per_account, opened = asyncio.run(crowd(Path(folder) / "crowd.db"))
        reserve, settle = asyncio.run(cost(MemoryLedger, 1))
        print(f"memory       reserve {reserve:5.1f} settle {settle:5.1f} µs")
        found |= {"memory_reserve_us": reserve, "memory_settle_us": settle}
        for n in WORKERS:
            path = Path(folder) / f"{n}.db"
            reserve, settle = asyncio.run(cost(lambda path=path: FileLedger(path), n))
            print(f"{n:2} followed  reserve {reserve:5.1f} settle {settle:5.1f} µs")
            found |= {f"reserve_us_{n}": reserve, f"settle_us_{n}": settle}
    print(f"an account   {per_account:5.0f} bytes; a start with {N_ACCOUNTS:,} of them {opened:.2f} s")
    found |= {"bytes_per_account": per_account, "open_s": opened}
    if args.json is not None:
        rounded = {name: round(value, 2) for name, value in found.items()}
        args.json.write_text(json.dumps({"python": sys.version.split()[0], **rounded}, indent=1) + "\n")


if __name__ == "__main__":
    main()
