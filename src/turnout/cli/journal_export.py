"""Records to files: JSON lines, or Parquet for tables. Floor 7.

Records are read page by page, so that memory stays small however long the journal is, and written to a
file beside the target, which takes the target's name when it is complete.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal, Protocol

import click
from msgspec.structs import replace

from turnout.stores.base import Query, as_json, columns_of
from turnout.types.record import Record

if TYPE_CHECKING:
    from turnout.stores.postgres.rows import PostgresRows
    from turnout.stores.sqlite import SqliteRows

_PAGE: Final = 1000
_PATIENCE_S: Final = 1.0
"""A progress bar appears when it takes longer."""

_COLUMNS: Final = {
    "request_id": "string",
    "at_us": "at",
    "endpoint": "string",
    "dialect": "string",
    "project": "string",
    "principal": "string",
    "route": "string",
    "strategy": "string",
    "reason": "string",
    "model": "string",
    "provider": "string",
    "error": "string",
    "finish": "string",
    "n_input": "int64",
    "n_output": "int64",
    "cost_nusd": "int64",
    "cost_state": "string",
    "ttft_s": "float64",
    "total_s": "float64",
    "overhead_s": "float64",
    "n_attempts": "int64",
    "n_fallbacks": "int64",
    "record": "string",
}
"""Column -> type; `at` is an instant in UTC."""

Write = Callable[[Sequence[Record]], None]


class Writer(Protocol):
    """Opens a file and gives the function that adds Records to it."""

    def __call__(self, file: BinaryIO) -> AbstractContextManager[Write]:
        """Start writing."""
        ...


def export_records(
    rows: "SqliteRows | PostgresRows", query: Query, form: Literal["parquet", "jsonl"], out: Path
) -> int:
    """Write what matches, oldest first; return how many."""
    writer: Writer = _jsonl if form == "jsonl" else _parquet()
    with _target(out) as file, writer(file) as write, _progress(rows.count(query)) as advance:
        n = 0
        for records in _pages(rows, replace(query, order="oldest", limit=_PAGE)):
            write(records)
            advance(len(records))
            n += len(records)
    return n


def _pages(rows: "SqliteRows | PostgresRows", query: Query) -> Iterator[tuple[Record, ...]]:
    while True:
        page = rows.query(query)
        if page.entries:
            yield page.records
        if not page.more:
            return
        query = replace(query, after=page.entries[-1].cursor)


@contextmanager
def _target(out: Path) -> Iterator[BinaryIO]:
    if str(out) == "-":
        yield sys.stdout.buffer
        return
    part = out.with_name(f"{out.name}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _jsonl(file: BinaryIO) -> Iterator[Write]:
    def write(records: Sequence[Record]) -> None:
        file.writelines(as_json(record) + b"\n" for record in records)

    yield write


def _parquet() -> Writer:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as failure:
        raise click.ClickException('parquet needs pyarrow: pip install "turnout[parquet]"') from failure
    types = {
        "string": pa.string(),
        "int64": pa.int64(),
        "float64": pa.float64(),
        "at": pa.timestamp("us", "UTC"),
    }
    schema = pa.schema([("at" if name == "at_us" else name, types[kind]) for name, kind in _COLUMNS.items()])

    @contextmanager
    def writing(file: BinaryIO) -> Iterator[Write]:
        with pq.ParquetWriter(file, schema, compression="zstd") as parquet:

            def write(records: Sequence[Record]) -> None:
                lines = [_row(record) for record in records]
                arrays = [
                    pa.array(column, type=field.type)
                    for column, field in zip(zip(*lines, strict=True), schema, strict=True)
                ]
                parquet.write_batch(pa.record_batch(arrays, schema=schema))

            yield write

    return writing


def _row(record: Record) -> tuple[Any, ...]:
    """Return a Record's cells in the order of `_COLUMNS`."""
    of = columns_of(record)
    more = {
        "endpoint": record.endpoint,
        "dialect": record.dialect,
        "reason": record.decision.reason if record.decision else None,
        "finish": record.outcome.finish,
        "cost_state": record.outcome.cost_state,
        "overhead_s": record.outcome.overhead_s,
        "record": as_json(record).decode(),
    }
    return tuple(more[name] if name in more else getattr(of, name) for name in _COLUMNS)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """Give a function that counts; it draws a bar once the work has taken a while."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    bar = Progress(console=console, transient=True)
    task = bar.add_task("records", total=total)
    started = time.monotonic()

    def advance(n: int) -> None:
        bar.advance(task, n)
        if console.is_terminal and time.monotonic() - started > _PATIENCE_S:
            bar.start()

    try:
        yield advance
    finally:
        if bar.live.is_started:
            bar.stop()
