"""What the batch writer costs, per Record, at several sizes of batch."""

import tempfile
import time
from pathlib import Path

from benchmarks.journal.records import records
from benchmarks.journal.server import Server, spent_ms
from turnout.stores.base import Query
from turnout.stores.postgres.migrate import migrate
from turnout.stores.postgres.rows import PostgresRows
from turnout.stores.sqlite import SqliteRows


def report(postgres: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _measure("SQLite", SqliteRows(Path(folder) / "journal.db", durable=False), Server(None))
    if postgres:
        migrate(postgres)
        _measure("PostgreSQL", PostgresRows(postgres), Server(postgres))


def _measure(name: str, rows: SqliteRows | PostgresRows, server: Server) -> None:
    payloads = records(20_000)
    rows._follow_at = float("inf")  # noqa: SLF001  usage follows when asked to, below
    at = 0
    for size, n in ((10, 100), (100, 30), (1_000, 4)):
        batches = [payloads[at + i * size : at + (i + 1) * size] for i in range(n)]
        rows.insert(batches[0])  # a connection is opened for it
        began = _now(server)
        for batch in batches[1:]:
            rows._unfollowed = [] if isinstance(rows, SqliteRows) else 0  # noqa: SLF001
            rows.insert(batch)
        _tell(f"{name}, batches of {size:>5}", began, _now(server), (n - 1) * size)
        at += n * size
    began = _now(server)
    n = _followed(rows, payloads[at])
    _tell(f"{name}, usage and words", began, _now(server), n)
    rows.close()
    server.close()


def _followed(rows: SqliteRows | PostgresRows, payload: bytes) -> int:
    """Let usage follow, on the writer's own connection where a database counts what it costs."""
    if isinstance(rows, PostgresRows):
        before = rows.count(Query())
        rows._follow_at = 0.0  # noqa: SLF001
        rows.insert([payload])
        return before + 1
    n = 0
    while followed := rows.follow():
        n += followed
    return n


def _now(server: Server) -> tuple[float, float, dict[int, int]]:
    return time.perf_counter(), time.process_time(), server.cpu_ns()


def _tell(
    what: str, began: tuple[float, float, dict[int, int]], ended: tuple[float, float, dict[int, int]], n: int
) -> None:
    took, cpu, served = ended[0] - began[0], ended[1] - began[1], spent_ms(began[2], ended[2])
    print(
        f"{what}: {took / n * 1e6:6.1f} µs a Record, {cpu / n * 1e6:6.1f} of them CPU of this process, "
        f"{served / n * 1e3:6.1f} of the database"
    )
