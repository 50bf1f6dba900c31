"""Loads ten million Records: two hours of them, written as a gateway does, laid down again and again.

The slice of `SLICE` different Records goes through the store's own writer, which makes rows, sums, usage and
words of it. The database then copies all of that, shifted in time and with request ids of their own. A copy
of a Record says what its original says, and so differs from its columns in id and time alone.
"""

import os
import sqlite3
import time
from pathlib import Path

from benchmarks.journal.records import BEGINS, DAYS, records
from turnout.stores.columns import microseconds, read_columns, words_of
from turnout.stores.postgres.connect import Connection, connect
from turnout.stores.postgres.migrate import migrate
from turnout.stores.postgres.rows import PostgresRows
from turnout.stores.sqlite import SqliteRows
from turnout.stores.sums import spread, usage_sqlite, within_sqlite
from turnout.stores.sums.cells import COUNTERS, packed_errors, unpacked_errors
from turnout.stores.sums.within import COUNTED

SLICE = 20_000
A_DAY = 12
TOTAL = SLICE * A_DAY * DAYS
SHIFT_US = 7_200_000_000
MINUTE_DAYS = min(DAYS, int(os.environ.get("TURNOUT_JOURNAL_MINUTE_DAYS", "31")))
"""Of how many days PostgreSQL gets usage by the minute; a gateway deletes it after 31."""
_FAST = ("PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", "PRAGMA cache_size = -1500000")
_INDEXES = (
    "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'records' AND sql NOT NULL"
)
_PG_KEYS = "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass"
_PG_INDEXES = """SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s
    AND schemaname = current_schema()
    AND indexname NOT IN (SELECT conname FROM pg_constraint)"""
_COLUMNS = """model, provider, route, strategy, error, cost_nusd, n_input, n_output, ttft_s, total_s, project,
    principal, n_attempts, n_fallbacks, record, organisation, team, customer, tags, has_text"""
_CELLS = ", ".join(COUNTERS) + ", ttft, total, errors"
_SUMS = "n, n_failed, n_unpriced, cost_nusd, n_input, n_output, total_s"
_PG_ROWS = f"""INSERT INTO journal (seq, request_id, at_us, {_COLUMNS}, words)
    SELECT seq + {{k}}::bigint * {SLICE},
    'req_' || lpad(to_hex((at_us + {{k}} * {SHIFT_US}) / 1000), 11, '0') ||
    lpad(to_hex(seq + {{k}} * {SLICE}), 15, '0'), at_us + {{k}} * {SHIFT_US}, {_COLUMNS}, words
    FROM original"""
_GROWN = ", ".join(f"{name} = {name} * {A_DAY}" for name in _SUMS.split(", "))


def slice_into(rows: SqliteRows | PostgresRows) -> None:
    """Write the slice, as a gateway does."""
    payloads = records(SLICE)
    for at in range(0, SLICE, 5_000):
        rows.insert(payloads[at : at + 5_000])
    while rows.follow():
        pass
    rows.close()


def grow_days(db: sqlite3.Connection | Connection, mark: str) -> None:
    """Make of the slice's day the whole day: the slice twelve times."""

    def run(statement: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        cursor = db.execute(statement.encode() if mark == "%s" else statement, values)  # type: ignore[arg-type]
        return cursor.fetchall() if statement.startswith("SELECT") else []

    grown = ", ".join(f"{name} = {name} * {A_DAY}" for name in COUNTERS)
    run(f"UPDATE usage_days SET {grown}")
    for cube, subject, *shapes in run("SELECT cube, subject, ttft, total, errors FROM usage_days"):
        ttft, total = (spread.packed(spread.unpacked(each) * A_DAY) for each in shapes[:2])
        errors = packed_errors({word: n * A_DAY for word, n in unpacked_errors(shapes[2]).items()})
        run(
            f"UPDATE usage_days SET ttft = {mark}, total = {mark}, errors = {mark} "
            f"WHERE cube = {mark} AND subject = {mark}",
            (ttft, total, errors, cube, subject),
        )
    run(f"UPDATE sum_days SET {_GROWN}")


def copies(table_row: str) -> list[str]:
    """Return the statements that lay down everything; `{k}` of the table of numbers is one copy."""
    days, slices = f"{table_row} WHERE k > 0 AND k < {DAYS}", f"{table_row} WHERE k > 0"
    found = []
    for table, shift, source in (("minutes", 120, slices), ("hours", 2, slices), ("days", 1, days)):
        found.append(
            f"INSERT INTO usage_{table} SELECT cube, at + k * {shift}, subject, {_CELLS} FROM {source} "
            f"ORDER BY cube, k, at, subject".replace(table_row, f"usage_{table}, {table_row}")
        )
    for table, shift, source in (("hours", 2, slices), ("days", 1, days)):
        found.append(
            f"INSERT INTO sum_{table} SELECT subject, bucket + k * {shift}, {_SUMS} FROM {source}".replace(
                table_row, f"sum_{table}, {table_row}"
            )
        )
    return found


def sqlite(path: Path) -> float:
    """Load a file; return the seconds it took."""
    began = time.monotonic()
    slice_into(SqliteRows(path, durable=False))
    db = sqlite3.connect(path, isolation_level=None)
    usage_sqlite.ready(db)
    for pragma in _FAST:
        db.execute(pragma).fetchall()
    indexes = db.execute(_INDEXES).fetchall()
    for name, _ in indexes:
        db.execute(f"DROP INDEX {name}")
    grow_days(db, "?")
    db.execute("CREATE TEMP TABLE original AS SELECT * FROM records")
    db.execute("CREATE TEMP TABLE numbers (k INTEGER PRIMARY KEY)")
    db.executemany("INSERT INTO numbers VALUES (?)", [(k,) for k in range(A_DAY * DAYS)])
    texts = _words()
    for k in range(1, A_DAY * DAYS):
        shift = (k * SHIFT_US, k * SLICE)
        db.execute(
            f"""INSERT INTO records (seq, request_id, at_us, {_COLUMNS})
            SELECT seq + ?2, printf('req_%011x%015x', (at_us + ?1) / 1000, seq + ?2), at_us + ?1, {_COLUMNS}
            FROM original""",
            shift,
        )
        db.execute("BEGIN")
        db.executemany(usage_sqlite.ADD_WORDS, [(seq + k * SLICE, text) for seq, text in enumerate(texts, 1)])
        db.execute("COMMIT")
    print(f"  rows and words after {time.monotonic() - began:.0f} s", flush=True)
    for statement in (*copies("numbers"), *_within()):
        db.execute(statement)
    print(f"  usage and sums after {time.monotonic() - began:.0f} s", flush=True)
    db.execute("UPDATE last_seq SET value = ?", (TOTAL,))
    db.execute("UPDATE usage_through SET seq = ?", (TOTAL,))
    for _, statement in indexes:
        db.execute(statement)
    db.execute("PRAGMA journal_mode = WAL")
    db.close()
    return time.monotonic() - began


def _within() -> list[str]:
    """Return the statements that lay down who asked each model."""
    grown = ", ".join(f"{name} = {name} * {A_DAY}" for name in within_sqlite.COUNTED)
    names = ", ".join(within_sqlite.COUNTED)
    return [
        f"UPDATE usage_within_days SET {grown}",
        *(
            f"INSERT INTO usage_within_{table} SELECT cube, model, at + k * {shift}, subject, {names} "
            f"FROM usage_within_{table}, numbers WHERE k > 0 AND k < {n} ORDER BY cube, model, k, at, subject"
            for table, shift, n in (("hours", 2, A_DAY * DAYS), ("days", 1, DAYS))
        ),
        f"UPDATE usage_noted SET through = {TOTAL}",
    ]


def _words() -> list[str]:
    return [" ".join(words_of(read_columns(payload))) for payload in records(SLICE)]


def postgres(url: str) -> float:
    """Load a database; return the seconds it took.

    A table is laid down in the transaction that empties it, which a server with `wal_level = minimal` writes
    no log of, two hours after two hours, as a gateway does; its keys and indexes are made afterwards.
    """
    migrate(url)
    began = time.monotonic()
    slice_into(PostgresRows(url))
    with connect(url, timeout_s=3600) as db:
        db.execute("SET synchronous_commit = off")
        db.execute("SET maintenance_work_mem = '1GB'")
        grow_days(db, "%s")
        grown = ", ".join(f"{name} = {name} * {A_DAY}" for name in COUNTED)
        db.execute(f"UPDATE usage_within_days SET {grown}".encode())
        slices, days = range(A_DAY * DAYS), range(DAYS)
        for table, order, copy, numbers in (
            ("journal", "seq", _PG_ROWS, slices),
            ("usage_minutes", "cube, at, subject", _pg_cells("at", 120), slices[-A_DAY * MINUTE_DAYS :]),
            ("usage_hours", "cube, at, subject", _pg_cells("at", 2), slices),
            ("usage_days", "cube, at, subject", _pg_cells("at", 1), days),
            ("usage_within_hours", "cube, model, at, subject", _pg_within(2), slices),
            ("usage_within_days", "cube, model, at, subject", _pg_within(1), days),
            ("sum_hours", "subject, bucket", _pg_cells("bucket", 2), slices),
            ("sum_days", "subject, bucket", _pg_cells("bucket", 1), days),
        ):
            _laid_down(db, table, order, copy, numbers)
            print(f"  {table} after {time.monotonic() - began:.0f} s", flush=True)
        db.execute("UPDATE journal_last SET value = %s", (TOTAL,))
        db.execute("UPDATE usage_through SET seq = %s", (TOTAL,))
        db.execute("UPDATE usage_noted SET through = %s", (TOTAL,))
        db.execute("VACUUM ANALYZE")
    return time.monotonic() - began


def _pg_cells(at: str, shift: int) -> str:
    """Return the statement that copies cells `{k}` times so much later."""
    columns = f"cube, at + {{k}} * {shift}, subject, {_CELLS}"
    if at == "bucket":
        columns = f"subject, bucket + {{k}} * {shift}, {_SUMS}"
    return f"INSERT INTO {{table}} SELECT {columns} FROM original"


def _pg_within(shift: int) -> str:
    """Return the statement that copies cells of models `{k}` times so much later."""
    columns = f"cube, model, at + {{k}} * {shift}, subject, {', '.join(COUNTED)}"
    return f"INSERT INTO {{table}} SELECT {columns} FROM original"


def _laid_down(db: Connection, table: str, order: str, copy: str, numbers: range) -> None:
    """Lay the rows of a table down anew, and make its keys and indexes after them."""
    keys = db.execute(_PG_KEYS, (table,)).fetchall()
    indexes = db.execute(_PG_INDEXES, (table,)).fetchall()
    with db.transaction():
        db.execute(
            f"CREATE TEMP TABLE original ON COMMIT DROP AS SELECT * FROM {table} ORDER BY {order}".encode()
        )
        for name, _ in keys:
            db.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}".encode())
        for name, _ in indexes:
            db.execute(f"DROP INDEX {name}".encode())
        db.execute(f"TRUNCATE {table}".encode())
        for k in numbers:
            db.execute(copy.format(table=table, k=k).encode())
        for name, key in keys:
            db.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {key}".encode())
        for _, index in indexes:
            db.execute(index.encode())


FIRST_US = microseconds(BEGINS)
