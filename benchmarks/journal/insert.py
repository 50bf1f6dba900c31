"""What the batch writer costs, per Record, at several sizes of batch."""

import tempfile
import time
from pathlib import Path

from benchmarks.journal.records import records
from turnout.stores.postgres.migrate import migrate
from turnout.stores.postgres.rows import PostgresRows
from turnout.stores.sqlite import SqliteRows


def report(postgres: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _measure("SQLite", SqliteRows(Path(folder) / "journal.db", durable=False))
    if postgres:
        migrate(postgres)
        _measure("PostgreSQL", PostgresRows(postgres))


def _measure(name: str, rows: SqliteRows | PostgresRows) -> None:
    payloads = records(20_000)
    rows._follow_at = float("inf")  # noqa: SLF001  usage follows when asked to, below
    at = 0
    for size, n in ((10, 100), (100, 30), (1_000, 4)):
        began, cpu = time.perf_counter(), time.process_time()
        for _ in range(n):
            rows._unfollowed = [] if isinstance(rows, SqliteRows) else 0  # noqa: SLF001
            rows.insert(payloads[at : at + size])
            at += size
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        print(f"{name}, batches of {size:>5}: {took / n / size * 1e6:6.1f} µs a Record, ", end="")
        print(f"{cpu / n / size * 1e6:6.1f} of them CPU of this process")
    began, cpu, n = time.perf_counter(), time.process_time(), 0
    while followed := rows.follow():
        n += followed
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    print(
        f"{name}, usage and words: {took / n * 1e6:6.1f} µs a Record, {cpu / n * 1e6:6.1f} of them CPU here"
    )
    rows.close()
