"""The ledger's files: what they survive, what they refuse, and how they are copied."""

import resource
import shutil
import sqlite3
from contextlib import closing

import msgspec
import pytest

from turnout.errors import ConfigError, StoreUnavailable
from turnout.stores.ledger.base import FOREVER, Fixed, Granted, Held, Sliding, Take
from turnout.stores.ledger.care import copy, problem_of, state_of
from turnout.stores.ledger.file import FileLedger
from turnout.stores.ledger.kept import kept_before, write_alone
from turnout.stores.ledger.log import GapError, numbers, replayed
from turnout.stores.ledger.state import Account, Open, State
from turnout.stores.ledger.steps import Opened
from turnout.testing.ledger import START, Time

MONEY = Take("usd", Fixed(0, FOREVER), 5, 100)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


def newest(path):
    return max(each for each in path.with_name("ledger.db-log").iterdir() if each.name.isdigit())


async def test_what_a_killed_process_reserved_stays_and_what_it_half_wrote_is_cut_off(path):
    dead = FileLedger(path)
    await dead.reserve("r", [MONEY], lease_s=60)
    dead._let_go()
    for torn in (b"\x40\x00", b"\x40\x00\x00\x00\x01\x02\x03\x04half a step", b"\x00" * 300):
        before = newest(path).read_bytes()
        newest(path).write_bytes(before + torn)
        ledger = FileLedger(path)
        assert newest(path).read_bytes() == before
        assert await ledger.used([MONEY]) == (5,)
        ledger._let_go()
    ledger = FileLedger(path)
    assert await ledger.settle("r", [1])
    await ledger.close()
    await ledger.close()
    assert [each.name for each in path.with_name("ledger.db-log").iterdir()].count("lock") == 1
    again = FileLedger(path)
    assert await again.used([MONEY]) == (1,)
    assert not await again.settle("r", [1])
    await again.close()


async def test_a_step_that_was_changed_is_refused_at_the_start_and_while_it_runs(path):
    ledger = FileLedger(path)
    await ledger.reserve("r", [MONEY], lease_s=60)
    other = FileLedger(path)
    at = newest(path).stat().st_size
    await ledger.settle("r", [1])
    await ledger.reserve("s", [MONEY], lease_s=60)
    data = bytearray(newest(path).read_bytes())
    data[at + 12] ^= 1
    newest(path).write_bytes(data)
    with pytest.raises(StoreUnavailable, match=f"the ledger refuses: damaged at byte {at}"):
        await other.used([MONEY])
    with pytest.raises(ConfigError) as error:
        FileLedger(path)
    folder = path.with_name("ledger.db-log")
    assert error.value.problems == (f"ledger: {folder} cannot be used: damaged at byte {at}",)
    assert problem_of(path) == f"{newest(path)} is damaged at byte {at}"
    ledger._let_go()
    other._let_go()


async def test_a_full_disk_refuses_and_what_was_there_stays(path):
    ledger = FileLedger(path)
    await ledger.reserve("r", [MONEY], lease_s=60)
    size = newest(path).stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 5, hard))
    try:
        for name in ("s", "t"):
            with pytest.raises(StoreUnavailable, match="the ledger refuses"):
                await ledger.reserve(name, [MONEY], lease_s=60)
        with pytest.raises(StoreUnavailable):
            await ledger.settle("r", [1])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert newest(path).stat().st_size == size
    assert await ledger.used([MONEY]) == (5,)
    assert await ledger.reserve("s", [MONEY], lease_s=60) == Granted((10,))
    assert await ledger.settle("r", [1])
    await ledger.close()


async def test_files_that_cannot_be_used_are_refused_with_their_name(path):
    path.write_bytes(b"not a database, but long enough to be taken for one" * 30)
    with pytest.raises(ConfigError) as error:
        FileLedger(path)
    assert error.value.problems == (f"ledger: {path} cannot be used as a database: file is not a database",)
    path.unlink()
    folder = path.with_name("ledger.db-log")
    folder.write_text("no folder")
    with pytest.raises(ConfigError, match=f"ledger: cannot open {folder}"):
        FileLedger(path)
    folder.unlink()
    await FileLedger(path).close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE turnout_schema SET version = 3")
    with pytest.raises(ConfigError) as refused:
        FileLedger(path)
    said = (
        f"{path} has schema 3, newer than this Turnout knows: upgrade Turnout, or stop every gateway, remove "
        "its -log folder and put back what was kept beside it (-schema2): "
        "what was counted since is not in that"
    )
    assert (refused.value.problems, problem_of(path)) == ((f"ledger: {said}",), said)


async def test_a_ledger_that_another_holds_is_unavailable_until_it_lets_go(path, monkeypatch):
    ledger, other = FileLedger(path), FileLedger(path)
    monkeypatch.setattr("turnout.stores.ledger.log.BUSY_S", 0.0)
    other._log.take()
    with pytest.raises(StoreUnavailable, match="the ledger refuses: another process holds it"):
        ledger._log.take(0.0)
    other._log.leave()
    assert await ledger.reserve("r", [Take("a", Held(), 1, 1)], lease_s=1) == Granted((1,))
    await ledger.close()
    await other.close()


async def test_a_worker_that_lagged_behind_reads_the_copy_anew(path):
    busy, idle = FileLedger(path, full_bytes=300), FileLedger(path)
    for n in range(60):
        await busy.reserve(f"r{n}", [Take("a", Fixed(0, FOREVER), 1, None)], lease_s=60)
        await busy.settle(f"r{n}", [n % 2])
        busy._join()
    await busy.reserve("open", [MONEY], lease_s=60)
    names = [int(each.name) for each in path.with_name("ledger.db-log").iterdir() if each.name.isdigit()]
    assert len(names) == 4
    assert min(names) > 5
    assert await idle.used([Take("a", Fixed(0, FOREVER), 0, None), MONEY]) == (30, 5)
    assert await idle.settle("open", [2])
    assert await busy.used([MONEY]) == (2,)
    await busy.close()
    await idle.close()


async def test_a_worker_that_cannot_open_the_next_file_does_not_go_on_in_the_one_that_ended(path):
    busy, idle = FileLedger(path), FileLedger(path)
    busy._full_at = 0
    await busy.reserve("r", [MONEY], lease_s=60)
    await busy.reserve("s", [MONEY], lease_s=60)
    busy._join()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open("/dev/null", "rb") as free:  # noqa: ASYNC230, PTH123  the lowest number that is free
        resource.setrlimit(resource.RLIMIT_NOFILE, (free.fileno(), hard))
        try:
            for _ in range(2):
                with pytest.raises(StoreUnavailable, match="the ledger refuses"):
                    await idle.reserve("t", [MONEY], lease_s=60)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert await idle.reserve("t", [MONEY], lease_s=60) == Granted((15,))
    assert await busy.used([MONEY]) == (15,)
    await busy.close()
    await idle.close()


async def test_a_file_that_goes_while_the_log_is_looked_through_is_not_made_anew(path, monkeypatch):
    busy, idle = FileLedger(path, full_bytes=300), FileLedger(path)
    before, folder = idle._kept.load(), path.with_name("ledger.db-log")
    listed = numbers(folder)
    for n in range(40):
        await busy.reserve(f"r{n}", [Take("a", Held(), 1, None)], lease_s=60)
        busy._join()
    monkeypatch.setattr("turnout.stores.ledger.file.numbers", lambda _: [*listed, *numbers(folder)])
    with pytest.raises(GapError, match="was removed"):
        idle._catch_up(before)
    monkeypatch.setattr("turnout.stores.ledger.log.numbers", lambda _: listed)
    with pytest.raises(GapError, match="was removed"):
        list(replayed(folder, before.lineage, 0))
    assert min(numbers(folder)) > 1
    await busy.close()
    idle._let_go()


async def test_what_was_granted_stays_so_where_no_thread_is_left(path, monkeypatch):
    def none_left(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", none_left)
    ledger = FileLedger(path, full_bytes=300)
    takes = [Take("a", Fixed(0, FOREVER), 1, None)]
    assert [await ledger.reserve(f"r{n}", takes, lease_s=60) for n in range(9)][-1] == Granted((9,))
    assert await ledger.sweep() == ()
    assert ledger._kept.through() > 0
    await ledger.close()


async def test_a_next_file_whose_beginning_a_power_cut_took_is_begun_again(path):
    ledger, other = FileLedger(path), FileLedger(path)
    folder = path.with_name("ledger.db-log")
    size = newest(path).stat().st_size
    for n, taken in enumerate((b"\0" * size, b"\x1e\0\0"), 2):
        (folder / f"{n:010d}").write_bytes(taken)
        ledger._full_at = 0
        await ledger.reserve(f"r{n}", [MONEY], lease_s=60)
        await ledger.reserve(f"s{n}", [MONEY], lease_s=60)
        ledger._join()
    assert await other.used([MONEY]) == (20,)
    await ledger.close()
    await other.close()
    assert problem_of(path) is None


async def test_a_copy_made_while_it_runs_holds_what_the_log_holds_and_is_a_ledger_of_its_own(path, tmp_path):
    ledger = FileLedger(path, full_bytes=300)
    for n in range(10):
        await ledger.reserve(f"r{n}", [MONEY], lease_s=60)
    out = tmp_path / "backup.db"
    copy(path, out)
    assert out.stat().st_mode & 0o777 == 0o600
    assert problem_of(path) is None
    assert len(state_of(path).open) == 10
    await ledger.settle("r0", [0])
    await ledger.close()
    out.replace(path)
    with pytest.raises(ConfigError, match="if that is a backup that was put back, remove the folder"):
        FileLedger(path)
    path.with_name("ledger.db-log").rename(tmp_path / "gone")
    again = FileLedger(path)
    assert await again.used([MONEY]) == (50,)
    assert await again.settle("r0", [1])
    await again.close()


async def test_a_file_of_the_release_before_is_taken_over_whole(path, tmp_path):
    written = msgspec.msgpack.encode([("usd", 0, 5, False), ("open", 0, 1, True)])
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE turnout_schema (part TEXT PRIMARY KEY, version INTEGER NOT NULL)")
        db.execute("CREATE TABLE cells (account TEXT, cell INTEGER, used INTEGER, ends REAL)")
        db.execute("CREATE TABLE reservations (id TEXT, takes BLOB, ends REAL, swept INTEGER)")
        db.execute("INSERT INTO turnout_schema VALUES ('ledger', 1)")
        db.executemany("INSERT INTO cells VALUES (?, 0, ?, ?)", [("usd", 42, FOREVER), ("open", 1, FOREVER)])
        db.execute("INSERT INTO reservations VALUES ('r', ?, 9e9, 0)", (written,))
    assert problem_of(path) is None
    copy(path, tmp_path / "copy.db")
    for at in (path, tmp_path / "copy.db"):
        ledger = FileLedger(at)
        takes = [MONEY, Take("open", Held(), 1, None)]
        assert await ledger.used(takes) == (42, 1)
        assert await ledger.settle("r", [1, 0])
        assert await ledger.used(takes) == (38, 0)
        await ledger.close()
    with closing(sqlite3.connect(path)) as db, pytest.raises(sqlite3.OperationalError, match="no such table"):
        db.execute("UPDATE cells SET used = 0")  # what a process of that release would do
    again = FileLedger(path)
    assert await again.used(takes) == (38, 0)
    await again.close()
    before = kept_before(path, 1)
    assert before.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(before)) as db:  # what the release before opens, once it is put back
        assert db.execute("SELECT version FROM turnout_schema").fetchall() == [(1,)]
        assert db.execute("SELECT sum(used) FROM cells").fetchone() == (43,)
    shutil.rmtree(path.with_name("ledger.db-log"))
    before.replace(path)
    last = FileLedger(path)
    assert (await last.used(takes), kept_before(path, 1).exists()) == ((42, 1), True)
    await last.close()


async def test_a_file_whose_end_a_power_cut_took_is_gone_on_from_with_the_next(path, caplog):
    ledger = FileLedger(path)
    await ledger.reserve("r", [MONEY], lease_s=60)
    ledger._log.begin(2, ledger._lineage)
    ledger._log.append(Opened("s", 9e9, (("usd", 0, 7, False, FOREVER),)))
    ledger._let_go()
    again = FileLedger(path)
    assert "never reached the disk" in caplog.text
    assert await again.used([MONEY]) == (12,)
    await again.settle("s", [0])
    again._let_go()
    assert len(state_of(path).open) == 1
    last = FileLedger(path)
    assert await last.used([MONEY]) == (5,)
    await last.close()


async def test_a_clock_that_jumps_a_year_and_back_forgets_no_money(path):
    time = Time()
    year = Fixed(START, START + 366 * 86_400)
    takes = [Take("usd", year, 5, 100), Take("rate", Sliding(60.0), 1, 5)]
    ledger = FileLedger(path, now=time, full_bytes=300)
    await ledger.reserve("r", takes, lease_s=60)
    time.now += 300 * 86_400
    assert await ledger.sweep() == ("r",)
    await ledger.reserve("s", takes, lease_s=60)
    time.now -= 300 * 86_400
    await ledger.close()
    again = FileLedger(path, now=time, full_bytes=300)
    assert await again.used(takes) == (10, 2), "what was counted while the clock was ahead counts on"
    assert await again.settle("r", [1, 1])
    assert await again.used(takes) == (6, 2)
    await again.close()


async def test_who_is_seen_no_more_holds_no_account_for_ever(path, monkeypatch):
    monkeypatch.setattr("turnout.stores.ledger.state.TIDY_EVERY", 1)
    time = Time()
    ledger = FileLedger(path, now=time, full_bytes=300)
    for n in range(9):
        await ledger.reserve(f"r{n}", [Take(f"open:many:{n}", Held(), 1, 2)], lease_s=60)
        await ledger.settle(f"r{n}", [0])
    await ledger.reserve("stays", [Take("open:many:stays", Held(), 1, 2)], lease_s=9 * 86_400)
    time.now += 3 * 86_400
    for n in range(3):
        await ledger.reserve(f"late{n}", [MONEY], lease_s=60)
    await ledger.close()
    again = FileLedger(path, now=time)
    assert sorted(again._state.accounts) == ["open:many:stays", "usd"]
    assert await again.used([Take("open:many:stays", Held(), 0, 2)]) == (1,)
    await again.close()


async def test_a_place_that_the_release_before_kept_for_ever_ends_once_it_is_free(path):
    time = Time()
    state = State()
    for name, used in (("open:a", 0), ("open:b", 1)):
        state.accounts[name] = Account({0: used}, FOREVER)
    state.open["r"] = Open((("open:b", 0, 1, True, FOREVER),), START + 60)
    FileLedger(path, now=time)._let_go()
    write_alone(path, state)
    shutil.rmtree(path.with_name("ledger.db-log"))
    ledger = FileLedger(path, now=time)
    assert (sorted(ledger._state.accounts), await ledger.settle("r", [0])) == (["open:b"], True)
    await ledger.close()


async def test_a_folder_that_is_removed_while_it_is_used_is_refused_and_not_counted_apart(path):
    ledger = FileLedger(path)
    await ledger.reserve("r", [MONEY], lease_s=60)
    shutil.rmtree(path.with_name("ledger.db-log"))
    await ledger.sweep()
    with pytest.raises(
        StoreUnavailable, match="was removed while it was used: the gateway must be restarted"
    ):
        await ledger.reserve("s", [MONEY], lease_s=60)
    await ledger.close()
