"""What clients see while a store is killed, frozen, empty, full or late, and what is lost: nothing."""

import asyncio
import time
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import psycopg
import pytest

from tests.lived import lived
from tests.server.kit import HOST, Quick, config_text, rig
from turnout.build import build
from turnout.config import parse_config
from turnout.engine.books import Books, Down
from turnout.engine.limits import span_of
from turnout.errors import ConfigError, StoreUnavailable
from turnout.server.app import Gateway
from turnout.server.bind import bind
from turnout.server.serve import Listener, settings_of
from turnout.stores.base import Query
from turnout.stores.ledger.base import FOREVER, Fixed, Granted, Take
from turnout.stores.postgres.migrate import migrate
from turnout.stores.valkey.ledger import ValkeyLedger
from turnout.testing.emulator import Emulator, dialects
from turnout.testing.emulator.serve import serving
from turnout.testing.servers import Server, postgres, valkey
from turnout.types.limits import Calendar

KEY = "keys: [{name: alice, secret: tn_alice_secret_0123456789abcdef, team: blue}]"
ASK = {"model": "oai/one", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}
ONE = Take("usd:b:alice", Fixed(0.0, FOREVER), 0, None)


@pytest.fixture
def server():
    """A Valkey of one's own, to be mistreated."""
    try:
        one = valkey()
    except ConfigError as error:
        pytest.skip(str(error))
    with one:
        yield one


@pytest.fixture
def database():
    """A PostgreSQL of one's own."""
    try:
        one = postgres()
    except ConfigError as error:
        pytest.skip(str(error))
    with one:
        migrate(one.url)
        yield one


def limited(url, policy, limits):
    return f'ledger: {{store: "{url}", timeout_s: 0.3, on_down: {policy}, down_share: 0.5}}\n{limits}'


async def ask(url):
    async with httpx.AsyncClient(timeout=30) as client:
        answer = await client.post(
            f"{url}/v1/chat/completions",
            json=ASK,
            headers={"authorization": "Bearer tn_alice_secret_0123456789abcdef"},
        )
    return answer.status_code, answer.json().get("error", {}).get("code")


async def several(url, n):
    return [await ask(url) for _ in range(n)]


async def until(claim, seconds=60):
    """Wait for what another process makes true."""
    end = time.monotonic() + seconds
    while not await claim():
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


BUDGET = "budgets: [{id: b, level: key, usd: 1, per: lifetime}]"


async def test_without_its_ledger_a_gateway_refuses_and_goes_on_when_it_is_back_even_empty(server):
    async with rig(limited(server.url, "deny", BUDGET), server=KEY) as gateway:
        assert await ask(gateway.url) == (200, None)
        server.kill()
        refused, slept_s = await lived(several(gateway.url, 5))
        assert refused == [(503, "store_unavailable")] * 5
        assert slept_s < 3, "a dead ledger is not waited for request by request"
        server.start()

        async def serves():
            return await ask(gateway.url) == (200, None)

        await until(serves)


async def test_with_allow_a_gateway_serves_its_share_of_the_limit_and_no_more(server):
    quotas = "quotas: [{id: rpm, level: key, of: requests, limit: 10, per: 1m}]"
    async with rig(limited(server.url, "allow", quotas), server=KEY) as gateway:
        assert await ask(gateway.url) == (200, None)
        server.kill()
        found = [await ask(gateway.url) for _ in range(7)]
        assert found == [(200, None)] * 5 + [(429, "rate_limit_exceeded")] * 2


async def test_what_a_frozen_ledger_granted_to_nobody_is_given_back(server):
    async with rig(limited(server.url, "deny", BUDGET), server=KEY) as gateway:
        assert await ask(gateway.url) == (200, None)
        ledger = ValkeyLedger(server.url, timeout_s=5)

        async def spent():
            return (await ledger.used([ONE]))[0]

        await until(lambda: _is(spent(), gateway, served=1))
        before = await spent()
        server.freeze()
        refused, slept_s = await lived(ask(gateway.url))
        assert refused == (503, "store_unavailable")
        assert slept_s < 3
        server.thaw()

        async def settled():
            return not gateway.built.books._tasks

        await until(settled)
        assert await spent() == before
        assert await ledger.sweep() == ()
        await ledger.close()


async def _is(spent, gateway, *, served):
    records = await gateway.records()
    used = await spent
    return len(records) == served and used == sum(r.outcome.cost_nusd for r in records)


async def test_what_was_granted_to_a_caller_that_left_is_given_back(server):
    ledger = ValkeyLedger(server.url, timeout_s=10)
    books = Books(ledger, time.monotonic, time.time, Down(), local=False)
    take = Take("a", Fixed(0.0, FOREVER), 5, 10)
    server.freeze()
    call = asyncio.create_task(books.reserve("r", lambda _: [take], 60))
    await asyncio.sleep(0.05)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    server.thaw()

    async def settled():
        return not books._tasks

    await until(settled)
    assert await ledger.used([take]) == (0,)
    await books.close()


async def test_a_settlement_waits_for_a_ledger_that_is_away(server):
    ledger = ValkeyLedger(server.url, timeout_s=0.2)
    books = Books(ledger, time.monotonic, time.time, Down(), local=False)
    take = Take("a", Fixed(0.0, FOREVER), 5, 10)
    assert await books.reserve("r", lambda _: [take], 60) == Granted((5,))
    server.freeze()
    books.settle("r", [2], 60)
    with pytest.raises(StoreUnavailable):
        await ledger.used([take])
    server.thaw()

    async def settled():
        return not books._tasks

    await until(settled)
    assert (await ledger.used([take]), books.n_unsettled) == ((2,), 0)
    await books.close()


async def test_a_gateway_whose_clock_is_a_day_off_counts_in_the_ledgers_day(server):
    ledger = ValkeyLedger(server.url, timeout_s=5)
    off = Books(ledger, time.monotonic, lambda: time.time() + 86_400, Down(), local=False)
    right = Books(ledger, time.monotonic, time.time, Down(), local=False)

    def takes(now):
        return [Take("day", span_of(Calendar("day"), now), 6, 10)]

    assert await off.reserve("a", takes, 60) == Granted((6,))
    assert (await right.reserve("b", takes, 60)).used == 6
    await ledger.close()


@asynccontextmanager
async def journalled(url, folder):
    """A gateway with its journal in a PostgreSQL."""
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(serving(Emulator(dialects())))
        journal = f'journal: {{store: "{url}", path: "{folder}/journal.db"}}'
        text = config_text(upstream, server=KEY).replace("journal: {enabled: false}", journal)
        parsed = parse_config(text, env={})
        built = await build(parsed, {})
        stack.push_async_callback(built.close)
        app = Gateway(built.engine, built.dialects, settings_of(parsed))
        yield await stack.enter_async_context(Quick(Listener(parsed, app), bind(HOST, 0))), built.journal


def fill(database):
    """Make the database say what a full disk makes it say."""
    with psycopg.connect(database.url, autocommit=True) as db:
        db.execute("""CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = 'disk_full'; END $$""")
        db.execute("CREATE TRIGGER full_disk BEFORE INSERT ON journal EXECUTE FUNCTION full_disk()")


def empty(database):
    """Make room again."""
    with psycopg.connect(database.url, autocommit=True) as db:
        db.execute("DROP TRIGGER full_disk ON journal")


FAULTS = {
    "killed": (Server.kill, Server.start),
    "frozen": (Server.freeze, Server.thaw),
    "full": (fill, empty),
}


@pytest.mark.parametrize("fault", list(FAULTS))
async def test_a_gateway_serves_without_its_journals_database_and_nothing_is_lost(fault, database, tmp_path):
    async with journalled(database.url, tmp_path) as (url, journal):
        assert await ask(url) == (200, None)
        await journal.flush()
        FAULTS[fault][0](database)
        served, slept_s = await lived(several(url, 10))
        assert served == [(200, None)] * 10
        assert slept_s < 5
        assert journal.stats().queued == 10
        FAULTS[fault][1](database)

        async def flushed():
            try:
                await journal.flush()
            except StoreUnavailable:
                return False
            return True

        await until(flushed)
        assert (journal.stats().queued, journal.stats().dropped) == (0, 0)
        assert len((await journal.query(Query(limit=100))).records) == 11
