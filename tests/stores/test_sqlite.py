"""Rows in SQLite: schema, queries, privacy, damage."""

import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from datetime import datetime

import msgspec
import pytest
from msgspec.structs import replace

from turnout.errors import ConfigError, StoreUnavailable
from turnout.stores.base import PARTIAL, Query, Stored, encode
from turnout.stores.sqlite import SCHEMA_VERSION, Check, SqliteRows
from turnout.stores.sqlite.select import statement
from turnout.testing.store import example_record
from turnout.types.record import Outcome


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "journal.db"


@pytest.fixture
def rows(path):
    opened = SqliteRows(path)
    yield opened
    opened.close()


def test_a_record_is_stored_once_however_often_it_is_inserted(rows):
    payloads = [encode(example_record(n)) for n in range(3)]
    assert rows.insert(payloads[:2]) == Stored(new=2)
    assert rows.insert([*payloads, payloads[2]]) == Stored(new=1)
    assert rows.query(Query(order="stored")).records == tuple(example_record(n) for n in range(3))


def test_a_number_is_never_given_to_two_rows_even_when_all_were_deleted(rows, path):
    rows.insert([encode(example_record(1))])
    seen = rows.query(Query()).entries[0].cursor
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM records")
    rows.insert([encode(example_record(2))])
    assert rows.query(Query(order="stored", after=seen)).records == (example_record(2),)


def test_a_schema_newer_than_the_code_is_refused_with_the_way_out(path):
    SqliteRows(path).close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE turnout_schema SET version = ?", (SCHEMA_VERSION + 1,))
    with pytest.raises(ConfigError) as caught:
        SqliteRows(path)
    (problem,) = caught.value.problems
    assert problem == (
        f"journal: {path} has schema 2, newer than the 1 that this Turnout knows: "
        "upgrade Turnout, or name another file"
    )


def test_a_file_that_is_no_database_is_refused(path):
    path.parent.mkdir()
    path.write_bytes(b"this is not a database, it is a letter to my aunt" * 40)
    with pytest.raises(ConfigError, match="cannot be used as a database: file is not a database"):
        SqliteRows(path)


def test_a_path_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot open"):
        SqliteRows(tmp_path / "file" / "journal.db")


def test_only_the_owner_can_read_the_files(rows, path):
    rows.insert([encode(example_record(1))])
    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in (path.parent, *path.parent.iterdir())}
    assert modes == {"deep": 0o700, "journal.db": 0o600, "journal.db-wal": 0o600, "journal.db-shm": 0o600}


def test_an_older_row_that_another_version_wrote_does_not_hide_the_others(rows):
    tree = msgspec.to_builtins(example_record(1), builtin_types=(datetime,))
    tree["decision"]["kind"] = "a_kind_of_the_future"
    rows.insert([encode(example_record(0)), msgspec.msgpack.encode(tree)])
    foreign, own = rows.query(Query()).records
    assert (foreign.request_id, foreign.warnings) == (example_record(1).request_id, (PARTIAL,))
    assert own == example_record(0)
    assert rows.check() == Check(intact=True, records=2, undecodable=1)


def test_a_frame_without_a_record_is_set_aside_and_does_not_stop_the_others(rows):
    assert rows.insert([b"rubbish", encode(example_record(1))]) == Stored(new=1, unreadable=1)
    assert rows.check() == Check(intact=True, records=1, unreadable=1)


def test_numbers_that_no_column_holds_do_not_stop_the_others(rows):
    odd = replace(
        example_record(1), outcome=Outcome(cost_nusd=2**63 + 5, total_s=float("nan"), ttft_s=float("inf"))
    )
    assert rows.insert([encode(odd), encode(example_record(2))]) == Stored(new=2)


def test_has_counts_the_requests_that_are_there(rows):
    rows.insert([encode(example_record(n)) for n in range(3)])
    assert rows.has([example_record(n).request_id for n in (1, 2, 3)]) == 2


def test_count_counts_what_matches(rows):
    rows.insert([encode(example_record(n, error="timeout_ttft" if n > 2 else None)) for n in range(5)])
    assert [rows.count(query) for query in (Query(), Query(error="any"), Query(route="batch"))] == [5, 2, 2]


def test_a_locked_database_is_reported_as_unavailable_and_stores_nothing(path, monkeypatch):
    monkeypatch.setattr("turnout.stores.sqlite.rows.BUSY_S", 0.0)
    rows = SqliteRows(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="database is locked"):
            rows.insert([encode(example_record(1))])
    assert rows.insert([encode(example_record(1))]) == Stored(new=1)
    rows.close()


def test_damage_in_the_file_is_found(rows, path):
    rows.insert([encode(example_record(n)) for n in range(200)])
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(5 * 16384)
        file.write(os.urandom(3 * 16384))
    found = rows.check()
    assert (found.intact, bool(found.problem)) == (False, True)


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (Query(), "records_at"),
        (Query(order="oldest"), "records_at"),
        (Query(model="m"), "records_model"),
        (Query(provider="p"), "records_provider"),
        (Query(route="r"), "records_route"),
        (Query(error="any"), "records_error"),
        (Query(error="timeout_ttft"), "records_error"),
        (Query(request_id="req_1"), "sqlite_autoindex_records_1"),
        (Query(order="stored", model="m"), "INTEGER PRIMARY KEY"),
    ],
)
def test_every_filter_has_an_index_that_also_gives_the_order(rows, path, query, index):
    rows.insert([encode(example_record(n)) for n in range(20)])
    text, values = statement(query)
    with closing(sqlite3.connect(path)) as db:
        plan = [line[3] for line in db.execute("EXPLAIN QUERY PLAN " + text, values)]
    assert index in plan[0]
    assert not any("TEMP B-TREE" in line for line in plan) or query.request_id


OPEN_AT_ONCE = """
import sys
from pathlib import Path
from turnout.stores.base import encode
from turnout.stores.sqlite import SqliteRows
from turnout.testing.store import example_record
sys.stdin.readline()
rows = SqliteRows(Path(sys.argv[1]))
for n in range(20):
    rows.insert([encode(example_record(int(sys.argv[2]) * 100 + n))])
"""


def test_workers_that_start_at_once_on_a_new_file_all_get_in(path):
    workers = [
        subprocess.Popen([sys.executable, "-c", OPEN_AT_ONCE, str(path), str(n)], stdin=subprocess.PIPE)
        for n in range(3)
    ]
    for worker in workers:
        worker.stdin.write(b"\n")
        worker.stdin.close()
    assert [worker.wait(timeout=60) for worker in workers] == [0, 0, 0]
    rows = SqliteRows(path)
    assert rows.count(Query()) == 60
    rows.close()
