"""Journal, ledger and desk in a real PostgreSQL: the contracts, the model, steps, and refusals."""

import asyncio

import psycopg
import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from msgspec.structs import replace

from tests.lived import lived, refusal
from tests.stores.ledger.model import Model
from turnout.errors import ConfigError, StoreUnavailable
from turnout.stores.base import Query, Stored, encode
from turnout.stores.desk.base import broken
from turnout.stores.ledger.base import FOREVER, Fixed, Granted, Held, Refused, Take
from turnout.stores.postgres.connect import connect
from turnout.stores.postgres.desk import PostgresDesk
from turnout.stores.postgres.ledger import PostgresLedger
from turnout.stores.postgres.migrate import State, migrate, state_of
from turnout.stores.postgres.places import PLACES
from turnout.stores.postgres.rows import PostgresRows
from turnout.stores.postgres.steps import STEPS, Step
from turnout.stores.spool.journal import SpooledJournal
from turnout.testing.desk import act, check_desk
from turnout.testing.ledger import START, Time, check_ledger
from turnout.testing.servers import postgres as start_postgres
from turnout.testing.store import check_journal, example_record

GOOD = Fixed(0.0, FOREVER)
LATEST = len(STEPS)


async def test_the_ledger_keeps_the_contract(made):
    await check_ledger(lambda now: PostgresLedger(made(), timeout_s=10, now=now))


def test_the_ledger_agrees_with_all_that_happened_whatever_the_order(made):
    url = made()
    runner = asyncio.Runner()

    class PostgresModel(Model):
        def make(self):
            with psycopg.connect(url) as db:
                db.execute("DELETE FROM ledger_cells")
                db.execute("DELETE FROM ledger_reservations")
            return PostgresLedger(url, timeout_s=10, now=self.time)

        def do(self, call):
            return runner.run(call)

        def teardown(self):
            runner.run(self.ledger.close())

    with runner:
        run_state_machine_as_test(
            PostgresModel,
            settings=settings(derandomize=True, max_examples=15, stateful_step_count=30, deadline=None),
        )


async def test_the_journal_keeps_the_contract(made, tmp_path):
    await check_journal(lambda: SpooledJournal(PostgresRows(made()), tmp_path / "spool"))


async def test_the_desk_keeps_the_contract(made):
    await check_desk(lambda: PostgresDesk(made(), timeout_s=10))


async def test_places_of_who_is_seen_once_are_swept_away_when_they_are_free(made):
    url, time = made(), Time()
    ledger = PostgresLedger(url, timeout_s=10, now=time)
    for name, lease in (("once", 60), ("long", 3 * 86_400)):
        await ledger.reserve(name, [Take(f"open:many:{name}", Held(), 1, 2)], lease_s=lease)
    await ledger.settle("once", [0])
    with psycopg.connect(url) as db:
        db.execute("INSERT INTO ledger_cells VALUES ('open:many:before', 0, 0, 4102444800)")
        db.execute(PLACES)  # as it finds places of the release before
        db.execute("UPDATE ledger_cells SET ends = %s WHERE account = 'open:many:before'", (START,))
    time.now += 2 * 86_400
    await ledger.sweep()
    with psycopg.connect(url) as db:
        assert db.execute("SELECT account, used FROM ledger_cells").fetchall() == [("open:many:long", 1)]
    await ledger.close()


async def test_many_at_once_never_pass_the_limit_and_use_all_of_it(made):
    url = made()
    ledgers = [PostgresLedger(url, timeout_s=30) for _ in range(3)]

    async def spend(n):
        # In two orders, as two requests may name the same accounts.
        takes = [Take("usd", GOOD, 7, 1000), Take("other", GOOD, 1, None)]
        found = await ledgers[n % 3].reserve(f"r{n}", takes[:: 1 if n % 2 else -1], lease_s=60)
        if isinstance(found, Granted) and n % 3 == 0:
            await ledgers[(n + 1) % 3].settle(f"r{n}", [7, 1] if n % 2 else [1, 7])
        return isinstance(found, Granted)

    granted = await asyncio.gather(*(spend(n) for n in range(240)))
    assert sum(granted) == 1000 // 7
    assert await ledgers[0].used([Take("usd", GOOD, 0, None)]) == (1000 // 7 * 7,)
    for ledger in ledgers:
        await ledger.close()


async def test_money_is_exact_beyond_what_a_float_holds(made):
    ledger = PostgresLedger(made(), timeout_s=10)
    limit = 2**60 + 1
    assert await ledger.reserve("a", [Take("a", GOOD, 2**60, limit)], lease_s=60) == Granted((2**60,))
    assert await ledger.reserve("b", [Take("a", GOOD, 2, limit)], lease_s=60) == Refused(0, 2**60, None)
    await ledger.close()


def test_steps_are_made_once_and_the_state_is_known(empty):
    url = empty()
    with connect(url) as db:
        assert state_of(db) == State(0, LATEST)
        assert state_of(db).problem == f"is at step 0 of {LATEST}: run `turnout db migrate`"
    assert migrate(url) == tuple(step.name for step in STEPS)
    assert migrate(url) == ()
    with connect(url) as db:
        assert (state_of(db), state_of(db).problem) == (State(LATEST, LATEST), None)


def test_a_step_that_fails_leaves_the_database_as_it_was(empty):
    url = empty()
    with pytest.raises(StoreUnavailable, match="syntax error"):
        migrate(url, (*STEPS, Step(LATEST + 1, "wrong", "CREATE TABEL x (y INTEGER)")))
    with connect(url) as db:
        assert state_of(db) == State(0, LATEST)


def test_a_database_made_by_other_or_later_steps_is_refused(empty):
    url = empty()
    migrate(url, (*STEPS, Step(LATEST + 1, "later", "CREATE TABLE later (x INTEGER)")))
    for refuse in (migrate, PostgresRows):
        with pytest.raises(ConfigError) as error:
            refuse(url)
        assert error.value.problems == (
            f"the database is at step {LATEST + 1}, newer than the {LATEST} of this Turnout: upgrade Turnout",
        )
    with pytest.raises(ConfigError, match="step 1 is not the one that was made here"):
        migrate(url, (replace(STEPS[0], sql="SELECT 1"), *STEPS[1:], Step(LATEST + 1, "later", "x")))


async def test_replicas_migrate_at_once_without_getting_in_each_others_way(empty):
    url = empty()
    made = await asyncio.gather(*(asyncio.to_thread(migrate, url) for _ in range(4)))
    assert sorted(made) == [(), (), (), tuple(step.name for step in STEPS)]


def test_rows_that_hold_no_record_are_set_aside_and_text_with_a_zero_is_kept(made):
    url = made()
    rows = PostgresRows(url)
    record = replace(example_record(1), project="a\x00b")
    assert rows.insert([encode(record), b"\xc1", b"\xc1"]) == Stored(1, 2)
    assert rows.insert([encode(record), b"\xc1"]) == Stored(0, 1)
    assert rows.query(Query()).records == (record,)
    with psycopg.connect(url) as db:
        assert db.execute("SELECT count(*) FROM journal_unreadable").fetchone() == (1,)
    rows.close()


async def test_numbers_are_in_the_order_of_commits_whichever_replica_writes(made):
    url = made()
    writers = [PostgresRows(url) for _ in range(3)]

    def write(at):
        for n in range(10):
            writers[at].insert([encode(example_record(at * 100 + n * 2 + k)) for k in range(2)])

    await asyncio.gather(*(asyncio.to_thread(write, at) for at in range(3)))
    entries = writers[0].query(Query(order="stored", limit=100)).entries
    assert [entry.cursor.seq for entry in entries] == list(range(1, 61))
    for rows in writers:
        rows.close()


async def test_the_log_can_only_be_added_to(made):
    url = made()
    one, other = PostgresDesk(url), PostgresDesk(url)
    await asyncio.gather(*((one, other)[n % 2].note(act(f"step.{n}")) for n in range(10)))
    assert broken(await one.audit()) is None
    with psycopg.connect(url, autocommit=True) as db:
        for statement in ("UPDATE desk_audit SET hash = ''", "DELETE FROM desk_audit", "TRUNCATE desk_audit"):
            with pytest.raises(psycopg.errors.RaiseException, match="the audit log is only added to"):
                db.execute(statement)
    await one.close()
    await other.close()


async def test_a_database_that_is_gone_or_frozen_is_told_in_time_and_the_spool_loses_nothing(tmp_path):
    take = Take("a", GOOD, 1, None)
    with start_postgres() as server:
        migrate(server.url)
        ledger = PostgresLedger(server.url, timeout_s=0.4)
        rows = PostgresRows(server.url)
        journal = SpooledJournal(rows, tmp_path / "spool", fsync_interval_s=0.2)
        journal.append(example_record(0))
        await journal.flush()
        assert await ledger.used([take]) == (0,)
        server.freeze()
        first, first_s = await lived(refusal(ledger.used([take])))
        second, second_s = await lived(refusal(ledger.used([take])))
        assert "no answer in time" in first
        assert "postgres: no" in second
        assert first_s + second_s < 4
        server.thaw()
        assert await ledger.used([take]) == (0,)
        server.kill()
        with pytest.raises(StoreUnavailable):
            await ledger.used([take])
        for n in range(1, 20):
            journal.append(example_record(n))
        with pytest.raises(StoreUnavailable):
            await journal.flush()
        assert journal.stats().spooled_bytes > 0
        server.start()
        await _flushed(journal)
        assert len((await journal.query(Query(limit=100))).entries) == 20
        await journal.close()
        await ledger.close()


async def test_a_full_database_is_refused_until_there_is_room_and_nothing_is_lost(made, tmp_path):
    url = made()
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("""CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = 'disk_full'; END $$""")
        db.execute("CREATE TRIGGER full_disk BEFORE INSERT ON journal EXECUTE FUNCTION full_disk()")
        journal = SpooledJournal(PostgresRows(url), tmp_path / "spool", fsync_interval_s=0.2)
        for n in range(50):
            journal.append(example_record(n))
        with pytest.raises(StoreUnavailable, match="no space left on device"):
            await journal.flush()
        assert (journal.stats().queued, journal.stats().dropped) == (50, 0)
        db.execute("DROP TRIGGER full_disk ON journal")
    await _flushed(journal)
    assert (journal.stats().queued, journal.stats().error) == (0, None)
    assert len((await journal.query(Query(limit=100))).entries) == 50
    await journal.close()


async def test_a_gateway_starts_while_the_database_is_away(tmp_path):
    rows = PostgresRows("postgres://nobody@127.0.0.1:1/none")
    with pytest.raises(StoreUnavailable):
        rows.insert([encode(example_record(1))])
    rows.close()


def test_an_address_that_is_none_is_refused_without_being_quoted():
    with pytest.raises(ConfigError) as error:
        PostgresRows("postgres://user:s3cret@host/name?nonsense=1")
    assert "s3cret" not in str(error.value)


async def _flushed(journal):
    for _ in range(100):
        try:
            return await journal.flush()
        except StoreUnavailable:
            await asyncio.sleep(0.05)
    raise AssertionError("the rows never took what was spooled")
