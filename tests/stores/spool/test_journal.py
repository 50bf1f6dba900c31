"""The spooled journal: killed, starved, shared, it loses nothing."""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing

import pytest

from tests.stores.spool.disk import files_of_at_most
from turnout.errors import ConfigError, StoreUnavailable
from turnout.stores.base import Query, Stats
from turnout.stores.spool.journal import SpooledJournal
from turnout.stores.sqlite import SqliteRows, spool_beside
from turnout.testing.store import check_journal, example_record


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


def opened(path, **options):
    return SpooledJournal(SqliteRows(path), spool_beside(path), **options)


class Refusing:
    """Rows that refuse until they are told to accept."""

    def __init__(self, path):
        self.rows = SqliteRows(path)
        self.refuse = StoreUnavailable("the database went for a walk")
        self.inserted = threading.Event()

    def insert(self, payloads):
        if self.refuse is not None:
            raise self.refuse
        stored = self.rows.insert(payloads)
        self.inserted.set()
        return stored

    def query(self, query):
        return self.rows.query(query)

    def get(self, request_id):
        return self.rows.get(request_id)

    def close(self):
        self.rows.close()


@pytest.mark.parametrize("fsync", ["never", "interval", "always"])
async def test_the_sqlite_journal_keeps_the_contract_of_journals(path, fsync):
    await check_journal(lambda: opened(path, fsync=fsync))
    assert list(spool_beside(path).iterdir()) == []


async def test_small_segments_make_no_difference(path):
    await check_journal(lambda: opened(path, segment_bytes=1))


async def test_records_reach_the_rows_without_being_asked_to(path):
    rows = Refusing(path)
    rows.refuse = None
    journal = SpooledJournal(rows, spool_beside(path), batch_s=0.0)
    journal.append(example_record(1))
    assert await asyncio.to_thread(rows.inserted.wait, 10)
    assert await journal.get(example_record(1).request_id) == example_record(1)
    await journal.close()


async def test_several_threads_may_append(path):
    journal = opened(path)

    def work(start):
        for n in range(start, start + 200):
            journal.append(example_record(n))

    threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    await journal.flush()
    assert journal.stats() == Stats(appended=800, written=800)
    await journal.close()


async def test_while_the_rows_refuse_the_spool_grows_and_says_why(path):
    rows = Refusing(path)
    journal = SpooledJournal(rows, spool_beside(path), segment_bytes=2000, fsync_interval_s=0.01)
    records = [example_record(n) for n in range(50)]
    for record in records:
        journal.append(record)
    with pytest.raises(StoreUnavailable, match="the database went for a walk"):
        await journal.flush()
    stats = journal.stats()
    assert (stats.queued, stats.written, stats.dropped, stats.error) == (50, 0, 0, rows.refuse.message)
    assert stats.spooled_bytes > 50 * 500
    rows.refuse = None
    await journal.flush()
    assert journal.stats() == Stats(appended=50, written=50)
    assert (await journal.query(Query(order="stored"))).records == tuple(records)
    await journal.close()


async def test_a_defect_in_the_rows_does_not_kill_the_writer(path):
    rows = Refusing(path)
    rows.refuse = ZeroDivisionError()
    journal = SpooledJournal(rows, spool_beside(path))
    journal.append(example_record(1))
    with pytest.raises(StoreUnavailable, match="the journal's writer failed: ZeroDivisionError"):
        await journal.flush()
    rows.refuse = None
    await journal.flush()
    assert await journal.get(example_record(1).request_id) == example_record(1)
    await journal.close()


async def test_what_the_rows_refuse_until_the_end_is_there_after_the_next_start(path):
    journal = SpooledJournal(Refusing(path), spool_beside(path))
    journal.append(example_record(1))
    await journal.close()
    journal = opened(path)
    await journal.flush()
    assert await journal.get(example_record(1).request_id) == example_record(1)
    assert journal.stats() == Stats(written=1, adopted=1)
    await journal.close()


async def test_a_locked_database_delays_rows_and_loses_none(path, monkeypatch):
    monkeypatch.setattr("turnout.stores.sqlite.rows.BUSY_S", 0.0)
    journal = opened(path)
    await journal.flush()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        journal.append(example_record(1))
        with pytest.raises(StoreUnavailable, match="database is locked"):
            await journal.flush()
    await journal.flush()
    assert await journal.get(example_record(1).request_id) == example_record(1)
    await journal.close()


async def test_a_full_disk_loses_nothing_while_the_process_lives(path):
    journal = opened(path)
    await journal.flush()
    records = [example_record(n) for n in range(200)]
    with files_of_at_most(60_000):
        for record in records:
            journal.append(record)
        with pytest.raises(StoreUnavailable):
            await journal.flush()
        stats = journal.stats()
        assert stats.held > 0
        assert (stats.dropped, stats.error is None) == (0, False)
    await journal.flush()
    assert (await journal.query(Query(order="oldest", limit=300))).records == tuple(records)
    assert journal.stats() == Stats(appended=200, written=200)
    await journal.close()


async def test_a_record_appended_after_the_close_is_found_by_the_next_start(path):
    journal = opened(path)
    await journal.close()
    journal.append(example_record(1))
    with pytest.raises(StoreUnavailable, match="closed"):
        await journal.flush()
    journal._spool.close()  # what the kernel does when the process ends
    journal = opened(path)
    await journal.flush()
    assert await journal.get(example_record(1).request_id) == example_record(1)
    await journal.close()


async def test_a_flush_that_is_given_up_does_not_disturb_the_writer(path):
    journal = opened(path)
    waiting = asyncio.ensure_future(journal.flush())
    await asyncio.sleep(0)
    waiting.cancel()
    journal.append(example_record(1))
    await journal.flush()
    assert journal.stats().written == 1
    await journal.close()


def test_a_spool_folder_that_cannot_be_made_is_refused_at_start(tmp_path):
    (tmp_path / "file").touch()
    rows = SqliteRows(tmp_path / "journal.db")
    with pytest.raises(ConfigError, match="cannot write to the spool folder"):
        SpooledJournal(rows, tmp_path / "file" / "spool")
    rows.close()


WORKER = """
import itertools, os, sys
from pathlib import Path
from turnout.stores.spool.journal import SpooledJournal
from turnout.stores.sqlite import SqliteRows, spool_beside
from turnout.testing.store import example_record
path = Path(sys.argv[1])
journal = SpooledJournal(SqliteRows(path), spool_beside(path), batch_s=0.001, segment_bytes=20_000)
for n in itertools.count(int(sys.argv[2]) * 1_000_000):
    record = example_record(n)
    journal.append(record)
    os.write(1, b"%s\\n" % record.request_id.encode())
"""
"""Reports a request only after `append` returned: what a client that saw the end of its answer knows."""


def started(path, number):
    return subprocess.Popen([sys.executable, "-c", WORKER, str(path), str(number)], stdout=subprocess.PIPE)


def killed(worker, after):
    """Let a worker report `after` requests or more, kill it, and return all that it reported."""
    reported = b""
    while reported.count(b"\n") < after:
        reported += os.read(worker.stdout.fileno(), 65536)
    os.kill(worker.pid, signal.SIGKILL)
    rest = worker.stdout.read()
    worker.stdout.close()
    worker.wait()
    return [line.decode() for line in (reported + rest).split(b"\n")[:-1]]


async def test_kill_nine_loses_no_request_that_was_reported(path):
    rng = random.Random(20260101)
    reported = []
    for turn in range(10):
        # Two at once: while one is killed the other lives, and adopts.
        workers = [started(path, 2 * turn + n) for n in range(2)]
        for worker in workers:
            reported += killed(worker, after=rng.randrange(1, 400))

    journal = opened(path)
    await journal.flush()
    assert len(set(reported)) == len(reported) > 1000
    with closing(sqlite3.connect(path)) as db:
        stored = [request_id for (request_id,) in db.execute("SELECT request_id FROM records")]
    assert len(set(stored)) == len(stored)
    assert set(reported) - set(stored) == set()
    # A worker may die between `append` and the report: at most one each is there unreported.
    assert len(stored) - len(reported) <= 20
    await journal.close()
    assert list(spool_beside(path).iterdir()) == []
