"""Ledger and store in a real Valkey: the contracts, the model, and what a server of one's own adds."""

import asyncio
import time

import pytest
import valkey
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.lived import lived, refusal
from tests.stores.fresh import fresh
from tests.stores.ledger.model import Model
from turnout.errors import ConfigError, StoreUnavailable
from turnout.stores.ledger.base import FOREVER, Fixed, Granted, Held, Refused, Sliding, Take
from turnout.stores.valkey.ledger import ValkeyLedger
from turnout.stores.valkey.store import ValkeyStore
from turnout.testing.ledger import START, Time, check_ledger
from turnout.testing.servers import valkey as start_valkey
from turnout.testing.store import check_store

GOOD = Fixed(0.0, FOREVER)


@pytest.fixture
def keys(valkey_url):
    """A client that looks at what lies in the server."""
    with valkey.Valkey.from_url(valkey_url) as client:
        yield client


async def test_the_ledger_keeps_the_contract(valkey_url):
    await check_ledger(lambda now: ValkeyLedger(valkey_url, prefix=fresh(), timeout_s=5, now=now))


def test_the_ledger_agrees_with_all_that_happened_whatever_the_order(valkey_url):
    runner = asyncio.Runner()

    class ValkeyModel(Model):
        def make(self):
            return ValkeyLedger(valkey_url, prefix=fresh(), timeout_s=5, now=self.time)

        def do(self, call):
            return runner.run(call)

        def teardown(self):
            runner.run(self.ledger.close())

    with runner:
        run_state_machine_as_test(
            ValkeyModel,
            settings=settings(derandomize=True, max_examples=30, stateful_step_count=40, deadline=None),
        )


async def test_the_store_keeps_the_contract(valkey_url, keys):
    prefix = fresh()
    store = ValkeyStore(valkey_url, prefix=prefix, timeout_s=5)

    def advance(seconds):
        for key in keys.scan_iter(f"{prefix}*"):
            left = keys.pttl(key) - seconds * 1000
            keys.pexpire(key, max(int(left), 0))

    await check_store(store, advance)
    await store.close()


async def test_money_is_exact_beyond_what_a_float_holds(valkey_url):
    ledger = ValkeyLedger(valkey_url, prefix=fresh(), timeout_s=5)
    limit = 2**60 + 1
    assert await ledger.reserve("a", [Take("a", GOOD, 2**60, limit)], lease_s=60) == Granted((2**60,))
    assert await ledger.reserve("b", [Take("a", GOOD, 2, limit)], lease_s=60) == Refused(0, 2**60, None)
    assert await ledger.reserve("c", [Take("a", GOOD, 1, limit)], lease_s=60) == Granted((limit,))
    await ledger.settle("a", [2**60 - 1])
    assert await ledger.used([Take("a", GOOD, 0, None)]) == (2**60,)
    await ledger.close()


async def test_time_is_the_servers(valkey_url):
    ledger = ValkeyLedger(valkey_url, prefix=fresh(), timeout_s=5)
    now = time.time()
    here = [Take("a", Fixed(now - 60, now + 60), 1, 10)]
    past = [Take("b", Fixed(now - 7200, now - 3600), 1, 10)]
    assert await ledger.reserve("r", here, lease_s=60) == Granted((1,))
    skewed = await ledger.reserve("s", past, lease_s=60)
    assert abs(skewed.now - now) < 60
    await ledger.close()


async def test_every_key_of_the_ledger_ends_by_itself(valkey_url, keys):
    prefix, now = fresh(), time.time()
    ledger = ValkeyLedger(valkey_url, prefix=prefix, timeout_s=5)
    takes = [
        Take("day", Fixed(now - 10, now + 1000), 1, 10),
        Take("rate", Sliding(60.0), 1, 10),
        Take("open", Held(), 1, 10),
    ]
    await ledger.reserve("r", takes, lease_s=30)
    tag = f"{{{prefix}ledger}}:"
    ends = {key.decode().removeprefix(tag): keys.pttl(key) / 1000 for key in keys.scan_iter(f"{tag}*")}
    assert set(ends) == {"a:day", "a:rate", "a:open", "r:r", "leases"}
    assert 990 < ends["a:day"] <= 1000
    assert 55 < ends["a:rate"] <= 62
    assert all(86_400 < ends[name] <= 86_430 for name in ("a:open", "r:r", "leases"))
    await ledger.close()


async def test_cells_that_count_no_more_are_let_go_of(valkey_url, keys):
    time_, prefix = Time(), fresh()
    ledger = ValkeyLedger(valkey_url, prefix=prefix, timeout_s=5, now=time_)
    for n in range(400):
        time_.now = START + n
        await ledger.reserve(f"r{n}", [Take("rate", Sliding(60.0), 1, None)], lease_s=1)
    assert keys.hlen(f"{{{prefix}ledger}}:a:rate") <= 128
    assert await ledger.used([Take("rate", Sliding(60.0), 0, None)]) == (61,)
    await ledger.close()


async def test_many_at_once_never_pass_the_limit_and_use_all_of_it(valkey_url):
    prefix = fresh()
    ledgers = [ValkeyLedger(valkey_url, prefix=prefix, timeout_s=30) for _ in range(4)]

    async def spend(n):
        found = await ledgers[n % 4].reserve(f"r{n}", [Take("usd", GOOD, 7, 1000)], lease_s=60)
        return isinstance(found, Granted)

    granted = await asyncio.gather(*(spend(n) for n in range(400)))
    assert sum(granted) == 1000 // 7
    assert await ledgers[0].used([Take("usd", GOOD, 0, None)]) == (1000 // 7 * 7,)
    for ledger in ledgers:
        await ledger.close()


async def test_a_server_that_is_gone_frozen_or_started_again_is_told_apart_by_time_only():
    take = Take("a", GOOD, 1, 10)
    with start_valkey() as server:
        ledger = ValkeyLedger(server.url, timeout_s=0.25)
        assert await ledger.reserve("r1", [take], lease_s=60) == Granted((1,))
        server.freeze()
        refused, slept_s = await lived(refusal(ledger.used([take])))
        assert "valkey: no answer in time" in refused
        assert slept_s < 2
        server.thaw()
        assert await ledger.used([take]) == (1,), "an answer that came late is nobody else's"
        server.kill()
        with pytest.raises(StoreUnavailable):
            await ledger.used([take])
        server.start()
        assert await ledger.used([take]) == (0,), "started again it is empty, and knows the scripts anew"
        assert await ledger.reserve("r2", [take], lease_s=60) == Granted((1,))
        assert not await ledger.settle("r1", [1]), "what it forgot is not open"
        await ledger.close()


async def test_a_cancelled_call_leaves_no_answer_behind(valkey_url):
    ledger = ValkeyLedger(valkey_url, prefix=fresh(), timeout_s=5)
    take = Take("a", GOOD, 3, None)
    await ledger.reserve("r", [take], lease_s=60)
    for _ in range(20):
        call = asyncio.create_task(ledger.reserve("r", [take, take], lease_s=60))
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert await ledger.used([take]) == (3,)
    await ledger.close()


def test_an_address_that_is_none_is_refused():
    with pytest.raises(ConfigError):
        ValkeyLedger("http://127.0.0.1:1/0")
