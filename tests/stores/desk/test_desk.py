import sqlite3

import msgspec
import pytest

from turnout.errors import ConfigError
from turnout.stores.desk.base import broken
from turnout.stores.desk.sqlite import SqliteDesk
from turnout.testing.desk import act, check_desk


async def test_sqlite_keeps_the_contract(tmp_path):
    n = iter(range(100))
    await check_desk(lambda: SqliteDesk(tmp_path / f"{next(n)}.db"))


async def entries(tmp_path):
    desk = SqliteDesk(tmp_path / "desk.db")
    for n in range(6):
        await desk.note(act(f"step.{n}"))
    found = await desk.audit()
    await desk.close()
    return list(found)


async def test_an_entry_that_was_changed_is_named(tmp_path):
    chain = await entries(tmp_path)
    chain[3] = msgspec.structs.replace(chain[3], act=act("step.forged"))
    assert broken(chain) == 4


async def test_an_entry_that_was_left_out_or_moved_is_named(tmp_path):
    chain = await entries(tmp_path)
    assert broken([*chain[:2], *chain[3:]]) == 3
    assert broken([chain[0], chain[2], chain[1], *chain[3:]]) == 2
    assert broken(chain[1:]) == 1


async def test_the_log_can_only_be_added_to(tmp_path):
    await entries(tmp_path)
    db = sqlite3.connect(tmp_path / "desk.db")
    for statement in ("UPDATE audit SET hash = ''", "DELETE FROM audit"):
        with pytest.raises(sqlite3.IntegrityError, match="the audit log is only added to"):
            db.execute(statement)
    db.close()


async def test_two_processes_see_each_others_changes(tmp_path):
    one, other = SqliteDesk(tmp_path / "desk.db"), SqliteDesk(tmp_path / "desk.db")
    await one.note(act("a"))
    await other.note(act("b"))
    await one.note(act("c"))
    chain = await other.audit()
    assert ([entry.act.action for entry in chain], broken(chain)) == (["a", "b", "c"], None)
    await one.close()
    await other.close()


def test_a_file_that_is_no_desk_is_refused(tmp_path):
    path = tmp_path / "desk.db"
    path.write_bytes(b"not a database, but long enough to be taken for one" * 30)
    with pytest.raises(ConfigError) as error:
        SqliteDesk(path)
    assert error.value.problems == (f"desk: {path} cannot be used as a database: file is not a database",)
