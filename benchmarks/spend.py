"""How long questions about spend take over a journal of synthetic requests.

    python -m benchmarks.spend --records 1000000 --folder /somewhere

The worst case for sums that are kept by subject and hour: who asks, what answers and when are drawn at
random, so that hardly two requests of an hour share a subject. Prints microseconds a row to write, and for
each question the median and the slowest of five repetitions in milliseconds.
"""

import argparse
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from turnout.stores.base import Query, encode
from turnout.stores.sqlite import SqliteRows
from turnout.stores.sums import SumQuery
from turnout.types.record import Outcome, Record
from turnout.types.usage import NanoUsd, Usage

BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)
N_DAYS: Final = 30
N_KEYS: Final = 200
N_MODELS: Final = 6
BATCH: Final = 10_000
REPETITIONS: Final = 5
QUESTIONS: Final = (
    ("all", SumQuery()),
    ("by team", SumQuery(by=("team",))),
    ("by model and day", SumQuery(by=("model",), per="day")),
    ("by customer and model of one organisation", SumQuery(by=("customer", "model"), organisation="org1")),
    ("by tag", SumQuery(by=("tag",))),
    ("by key, last ten days", SumQuery(by=("key",), since=BEGIN + timedelta(days=20))),
    ("one key by hour", SumQuery(key="key_7", per="hour")),
    (
        "by model and hour, last two days",
        SumQuery(by=("model",), per="hour", since=BEGIN + timedelta(days=28)),
    ),
)
PAGES: Final = (
    ("latest 100 of an organisation", Query(organisation="org1")),
    ("latest 100 of a key", Query(principal="key_7")),
)


def records(n: int) -> Iterator[bytes]:
    """Yield synthetic requests of one month."""
    rng = random.Random(7)
    for at in range(n):
        key, model = rng.randrange(N_KEYS), rng.randrange(N_MODELS)
        yield encode(
            Record(
                request_id=f"req_{at:012d}",
                at=BEGIN + timedelta(seconds=rng.random() * N_DAYS * 86_400),
                endpoint="chat",
                dialect="openai_chat",
                principal=f"key_{key}",
                organisation=f"org{key % 5}",
                team=f"team{key % 20}",
                project=f"project{key % 40}",
                customer=f"customer{key % 100}",
                tags=("batch",) if at % 3 else (),
                outcome=Outcome(
                    model=f"p{model % 3}/m{model}",
                    provider=f"p{model % 3}",
                    cost_nusd=NanoUsd(rng.randrange(10**6)),
                    total_s=1.0,
                    usage=Usage(input_uncached=100, output_text=50),
                ),
            )
        )


def fill(rows: SqliteRows, n: int) -> float:
    """Write requests; return CPU microseconds a row."""
    spent, batch = 0.0, []
    for payload in records(n):
        batch.append(payload)
        if len(batch) == BATCH:
            spent, batch = spent + _insert(rows, batch), []
    return (spent + _insert(rows, batch)) / n * 1e6


def _insert(rows: SqliteRows, batch: list[bytes]) -> float:
    began = time.process_time()
    rows.insert(batch)
    return time.process_time() - began


def measure(rows: SqliteRows) -> None:
    """Print how long each question takes."""
    for name, question in QUESTIONS:
        took, n = [], 0
        for _ in range(REPETITIONS):
            began = time.perf_counter()
            n = len(rows.sums(question))
            took.append((time.perf_counter() - began) * 1000)
        took.sort()
        print(f"{name:45} {n:6} rows {took[REPETITIONS // 2]:8.1f} {took[-1]:8.1f} ms")
    for name, query in PAGES:
        began = time.perf_counter()
        n = len(rows.query(query).entries)
        print(f"{name:45} {n:6} rows {(time.perf_counter() - began) * 1000:8.1f} ms")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="keep the journal here, or use the one that is there")
    given = parser.parse_args()
    with TemporaryDirectory() as made:
        path = (given.folder or Path(made)) / "journal.db"
        is_there = path.exists()
        rows = SqliteRows(path, durable=False)
        if not is_there:
            print(f"{given.records:,} rows, {fill(rows, given.records):.1f} us CPU each")
        measure(rows)
        rows.close()


if __name__ == "__main__":
    main()
