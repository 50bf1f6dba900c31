"""The journal and the store that live in memory."""

from turnout.stores.base import Query
from turnout.stores.memory import MemoryJournal, MemoryStore
from turnout.testing.store import check_journal, check_store, example_record


class Clock:
    """Seconds that pass only when told."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += seconds


async def test_the_memory_journal_keeps_the_contract_of_journals():
    await check_journal(MemoryJournal)


async def test_a_full_memory_journal_drops_the_oldest_and_counts_it():
    journal = MemoryJournal(capacity=2)
    records = [example_record(n) for n in range(3)]
    for record in records:
        journal.append(record)
    assert (await journal.query(Query(order="stored"))).records == tuple(records[1:])
    assert journal.stats().dropped == 1


async def test_the_memory_store_keeps_the_contract_of_stores():
    clock = Clock()
    await check_store(MemoryStore(clock=clock), clock.advance)


async def test_a_full_memory_store_lets_go_of_expired_counters_first():
    clock = Clock()
    store = MemoryStore(capacity=3, clock=clock)
    await store.incr("old", 1, ttl_s=60)
    await store.incr("short", 1, ttl_s=5)
    await store.incr("long", 1, ttl_s=60)
    clock.advance(10)
    await store.incr("new", 1, ttl_s=60)
    assert [await store.count(key) for key in ("old", "short", "long", "new")] == [1, 0, 1, 1]


async def test_a_full_memory_store_without_expired_counters_lets_go_of_the_first_one_made():
    store = MemoryStore(capacity=3, clock=Clock())
    for key in ("a", "b", "c", "d"):
        await store.incr(key, 1, ttl_s=60)
    assert [await store.count(key) for key in ("a", "b", "c", "d")] == [0, 1, 1, 1]
