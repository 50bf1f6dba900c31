"""Answers in a real Valkey."""

import time

import pytest
import valkey

from tests.stores.fresh import fresh
from turnout.errors import StoreUnavailable
from turnout.stores.valkey.cache import ValkeyCache
from turnout.testing.cache import check_cache, example

SECRET = b"0123456789abcdef0123456789abcdef"


async def test_the_cache_keeps_the_contract(valkey_url):
    prefix = fresh()
    await check_cache(lambda: ValkeyCache(valkey_url, SECRET, prefix=prefix, timeout_s=5), now=time.time())


async def test_an_answer_that_somebody_planted_or_moved_is_a_miss_and_counted(valkey_url):
    now = time.time()
    one, two = example(1, expires=now + 60), example(2, expires=now + 60)
    store = ValkeyCache(valkey_url, SECRET, prefix=(prefix := fresh()), timeout_s=5)
    stranger = ValkeyCache(valkey_url, b"another secret", prefix=prefix, timeout_s=5)
    await stranger.put(one, now)
    await store.put(two, now)
    with valkey.Valkey.from_url(valkey_url) as server:
        server.rename(prefix.encode() + b"c:" + two.key, prefix.encode() + b"c:" + one.key[:-1] + b"!")
    found = [await store.get(key, now) for key in (one.key, one.key[:-1] + b"!")]
    await stranger.put(example(3, expires=now + 60), now)
    assert (found, await stranger.get(example(3).key, now) is not None) == ([None, None], True)
    assert store.n_forged == 2
    await store.close()
    await stranger.close()


async def test_a_dead_server_is_a_store_that_is_not_there():
    store = ValkeyCache("valkey://127.0.0.1:9", SECRET, timeout_s=0.2)
    with pytest.raises(StoreUnavailable):
        await store.get(b"x" * 32, time.time())
    await store.close()
