"""Every ledger against the contract, and against a model that counts by brute force."""

import asyncio
import multiprocessing
from pathlib import Path

import pytest
from hypothesis import settings

from tests.stores.ledger.model import Model
from turnout.errors import ConfigError, StoreUnavailable
from turnout.stores.ledger.base import CELLS, Fixed, Granted, Held, Sliding, Take
from turnout.stores.ledger.memory import MemoryLedger
from turnout.stores.ledger.sqlite import SqliteLedger
from turnout.testing.ledger import START, Time, check_ledger


async def test_memory_keeps_the_contract():
    await check_ledger(MemoryLedger)


async def test_sqlite_keeps_the_contract(tmp_path):
    n = iter(range(100))
    await check_ledger(lambda now: SqliteLedger(tmp_path / f"{next(n)}.db", now=now))


class SqliteModel(Model):
    def make(self):
        import tempfile

        self.place = tempfile.TemporaryDirectory()
        return SqliteLedger(Path(self.place.name, "ledger.db"), now=self.time)

    def teardown(self):
        super().teardown()
        if hasattr(self, "place"):
            self.place.cleanup()


TestMemory = Model.TestCase
TestMemory.settings = settings(derandomize=True, max_examples=60, stateful_step_count=40, deadline=None)
TestSqlite = SqliteModel.TestCase
TestSqlite.settings = settings(derandomize=True, max_examples=15, stateful_step_count=30, deadline=None)


async def test_no_window_of_the_length_ever_holds_more_than_its_limit_and_nearly_all_of_it_can_be_used():
    time = Time()
    ledger = MemoryLedger(time)
    granted = []
    for n in range(20_000):
        time.now = START + n * 0.017
        if isinstance(await ledger.reserve(f"r{n}", [Take("a", Sliding(10.0), 1, 100)], lease_s=1), Granted):
            granted.append(time.now)
    most = max(sum(at < other <= at + 10.0 for other in granted) for at in granted[::7])
    assert most <= 100
    assert len(granted) >= (time.now - START) / 10 * 100 * CELLS / (CELLS + 2)


def hammer(path, worker, out):
    async def go():
        ledger = SqliteLedger(path)
        spent = 0
        for n in range(300):
            cost = (worker * 7 + n * 13) % 90 + 1
            take = Take("usd", Fixed(0, 4_102_444_800), 100, 20_000)
            if isinstance(await ledger.reserve(f"{worker}-{n}", [take], lease_s=60), Granted):
                await ledger.settle(f"{worker}-{n}", [cost])
                spent += cost
        await ledger.close()
        return spent

    out.put(asyncio.run(go()))


async def test_workers_that_share_a_file_never_overspend_and_lose_nothing(tmp_path):
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    workers = [context.Process(target=hammer, args=(tmp_path / "ledger.db", n, out)) for n in range(4)]
    for worker in workers:
        worker.start()
    spent = sum(out.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join()
    ledger = SqliteLedger(tmp_path / "ledger.db")
    (used,) = await ledger.used([Take("usd", Fixed(0, 4_102_444_800), 0, None)])
    await ledger.close()
    assert used == spent
    assert 20_000 - 100 < used <= 20_000


async def test_a_file_outlives_the_process(tmp_path):
    take = Take("a", Fixed(0, 4_102_444_800), 5, 10)
    first = SqliteLedger(tmp_path / "ledger.db")
    await first.reserve("r", [take], lease_s=60)
    await first.close()
    second = SqliteLedger(tmp_path / "ledger.db")
    assert await second.used([take]) == (5,)
    assert await second.settle("r", [1])
    assert await second.used([take]) == (1,)
    await second.close()


def test_a_file_that_is_no_ledger_is_refused(tmp_path):
    path = tmp_path / "ledger.db"
    path.write_bytes(b"not a database, but long enough to be taken for one" * 30)
    with pytest.raises(ConfigError) as error:
        SqliteLedger(path)
    assert error.value.problems == (f"ledger: {path} cannot be used as a database: file is not a database",)


async def test_a_ledger_that_is_held_by_another_is_unavailable(tmp_path):
    import sqlite3

    ledger = SqliteLedger(tmp_path / "ledger.db")
    ledger._db.execute("PRAGMA busy_timeout = 10")
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="the ledger refuses: database is locked"):
        await ledger.reserve("r", [Take("a", Held(), 1, 1)], lease_s=1)
    other.execute("ROLLBACK")
    assert await ledger.reserve("r", [Take("a", Held(), 1, 1)], lease_s=1) == Granted((1,))
    other.close()
    await ledger.close()
