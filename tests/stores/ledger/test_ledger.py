"""Every ledger against the contract, and against a model that counts by brute force."""

import asyncio
import multiprocessing
import tempfile
from pathlib import Path

from hypothesis import settings

from tests.stores.ledger.model import Model
from turnout.stores.ledger.base import CELLS, Fixed, Granted, Sliding, Take
from turnout.stores.ledger.file import FileLedger
from turnout.stores.ledger.memory import MemoryLedger
from turnout.testing.ledger import START, Time, check_ledger


async def test_memory_keeps_the_contract():
    await check_ledger(MemoryLedger)


async def test_files_keep_the_contract(tmp_path):
    n = iter(range(100))
    await check_ledger(lambda now: FileLedger(tmp_path / f"{next(n)}.db", now=now))


class Workers:
    """Three that share files, each asked in turn; small logs, and now and then one is killed."""

    def __init__(self, path, now):
        self.path, self.now = path, now
        self.n = 0
        self.all = [self.one() for _ in range(3)]

    def one(self):
        return FileLedger(self.path, now=self.now, full_bytes=400)

    def turn(self):
        self.n += 1
        at = self.n % 5 % 3
        if self.n % 11 == 0:
            killed(self.all[at])
            self.all[at] = self.one()
        return self.all[at]

    async def reserve(self, *args, **kwargs):
        return await self.turn().reserve(*args, **kwargs)

    async def settle(self, *args):
        return await self.turn().settle(*args)

    async def used(self, takes):
        return await self.turn().used(takes)

    async def sweep(self):
        return await self.turn().sweep()

    async def close(self):
        for each in self.all:
            await each.close()


def killed(ledger):
    """Let go of a ledger as a process that is killed does."""
    ledger._let_go()


class WorkersModel(Model):
    def make(self):
        self.place = tempfile.TemporaryDirectory()
        return Workers(Path(self.place.name, "ledger.db"), self.time)

    def teardown(self):
        super().teardown()
        if hasattr(self, "place"):
            self.place.cleanup()


TestMemory = Model.TestCase
TestMemory.settings = settings(derandomize=True, max_examples=40, stateful_step_count=40, deadline=None)
TestWorkers = WorkersModel.TestCase
TestWorkers.settings = settings(derandomize=True, max_examples=15, stateful_step_count=30, deadline=None)


async def test_where_the_clock_goes_back_what_was_counted_counts_on():
    time = Time()
    ledger = MemoryLedger(time)
    for _ in range(3):
        await ledger.reserve(f"r{time.now}", [Take("a", Sliding(60.0), 1, 9)], lease_s=1)
        time.now += 20
    assert await ledger.used([Take("a", Sliding(60.0), 0, None)]) == (3,)
    time.now -= 25
    assert await ledger.used([Take("a", Sliding(60.0), 0, None)]) == (3,), "spent is spent"
    time.now += 25
    assert await ledger.used([Take("a", Sliding(60.0), 0, None)]) == (3,)


async def test_a_clock_that_leaps_and_comes_back_loses_nothing(tmp_path):
    time = Time()
    for ledger in (MemoryLedger(time), FileLedger(tmp_path / "ledger.db", now=time)):
        take = Take("tokens", Sliding(60.0), 5, 100)
        for n in range(5):
            time.now = START + 10 * n
            await ledger.reserve(f"r{n}", [take], lease_s=60)
        time.now += 7200
        assert await ledger.used([take]) == (0,)
        time.now -= 7200
        assert await ledger.used([take]) == (25,)
        assert await ledger.settle("r0", [1])
        assert await ledger.reserve("s", [take], lease_s=60) == Granted((26,))
        time.now += 25
        assert await ledger.used([take]) == (25,)
        time.now = START
        await ledger.close()


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
        ledger = FileLedger(path)
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
    ledger = FileLedger(tmp_path / "ledger.db")
    (used,) = await ledger.used([Take("usd", Fixed(0, 4_102_444_800), 0, None)])
    await ledger.close()
    assert used == spent
    assert 20_000 - 100 < used <= 20_000
