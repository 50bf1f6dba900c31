import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnout.errors import ConfigError
from turnout.stores.cache.base import ALL, OVERHEAD, Bounds, Kept
from turnout.stores.cache.memory import MemoryCache
from turnout.stores.cache.sqlite import SqliteCache
from turnout.testing.cache import NOW, check_cache, example
from turnout.testing.clock import run


@pytest.fixture(params=["memory", "sqlite"])
def make(request, tmp_path):
    def opened(bounds=None):
        if request.param == "memory":
            return MemoryCache(bounds)
        return SqliteCache(tmp_path / "cache.db", bounds)

    return opened


async def test_every_store_keeps_the_contract(make):
    await check_cache(make)


async def test_the_least_recently_used_goes_where_there_is_no_room(make):
    store = make(Bounds(max_entries=3))
    for n in (1, 2, 3):
        await store.put(example(n, expires=NOW + 900), NOW + n)
    assert await store.get(example(1).key, NOW + 120) is not None
    await store.put(example(4, expires=NOW + 900), NOW + 130)
    found = [await store.get(example(n).key, NOW + 140) is not None for n in (1, 2, 3, 4)]
    await store.close()
    assert found == [True, False, True, True]


async def test_bytes_are_bounded_and_what_is_larger_than_all_the_room_is_not_kept(make):
    store = make(Bounds(max_bytes=2 * OVERHEAD + 100))
    for n in range(5):
        await store.put(example(n), NOW + n)
    large = example(9)
    large = Kept(**{f: getattr(large, f) for f in Kept.__struct_fields__} | {"pieces": (b"x" * 2000,)})
    await store.put(large, NOW + 9)
    held = await store.held(ALL, NOW + 10)
    kept = await store.get(large.key, NOW + 10)
    await store.close()
    assert (held.n, held.n_bytes <= 2 * OVERHEAD + 100, kept) == (2, True, None)


async def test_a_large_file_is_counted_now_and_then_and_stays_within_its_bounds(tmp_path, monkeypatch):
    monkeypatch.setattr("turnout.stores.cache.sqlite.SHARE", 4)
    workers = [SqliteCache(tmp_path / "cache.db", Bounds(max_entries=40)) for _ in range(2)]
    most = []
    for n in range(130):
        await workers[n % 2].put(example(n, expires=NOW + 900), NOW + n)
        most.append((await workers[0].held(ALL, NOW)).n)
    newest = [await workers[1].get(example(n).key, NOW + 130) is not None for n in range(110, 130)]
    for each in workers:
        await each.close()
    assert (max(most) <= 40 + 2 * 10, min(most[60:]) >= 20, all(newest)) == (True, True, True)


def test_a_file_of_answers_is_its_users_alone_and_is_read_again(tmp_path):
    async def twice():
        first = SqliteCache(tmp_path / "cache.db")
        await first.put(example(1), NOW)
        await first.close()
        second = SqliteCache(tmp_path / "cache.db")
        found = await second.get(example(1).key, NOW)
        await second.close()
        return found

    assert run(twice()) == example(1)
    assert stat.S_IMODE((tmp_path / "cache.db").stat().st_mode) == 0o600


def test_a_file_that_is_no_database_is_told_at_start(tmp_path):
    path = tmp_path / "cache.db"
    path.write_text("this is not a database, and long enough to be looked at" * 10)
    with pytest.raises(ConfigError, match=r"cache\.path"):
        SqliteCache(path)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 200)), max_size=40), st.integers(1, 5))
def test_memory_stays_within_its_bounds_whatever_is_kept(steps, n):
    async def filled():
        bounds = Bounds(max_entries=n, max_bytes=4 * OVERHEAD)
        store = MemoryCache(bounds)
        for at, (key, size) in enumerate(steps):
            await store.put(example(key), NOW + at)
            await store.get(example(size % 13).key, NOW + at)
            held = await store.held(ALL, NOW)
            assert held.n <= n
            assert held.n_bytes <= bounds.max_bytes
            assert store._n_bytes == sum(each.n_bytes for each in store._kept.values())

    run(filled())
