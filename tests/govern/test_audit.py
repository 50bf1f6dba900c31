import sqlite3

import msgspec
import pytest

from tests.govern.conftest import START, admin
from turnout.govern.audit import Fault, checkpoint, read_checkpoints, verify
from turnout.govern.keys import issue
from turnout.govern.pepper import peppers_of
from turnout.govern.records import create, remove
from turnout.govern.rules import CLI
from turnout.types.secret import Secret


@pytest.fixture
async def log(office, tmp_path):
    """Five more entries in the chain of `acme`, and a way to tamper with the file."""
    for n in range(5):
        await issue(office, admin(), {"organisation": "acme", "name": f"{n}"})

    def tamper(*statements):
        with sqlite3.connect(tmp_path / "desk.db") as db:
            db.execute("DROP TRIGGER audit_stays")
            db.execute("DROP TRIGGER audit_whole")
            for statement in statements:
                db.execute(statement)
        db.close()

    return tamper


async def faults(office, *known):
    return (await verify(office.desk, office.peppers, known)).faults


async def test_a_log_as_it_was_written_is_whole(office, log) -> None:
    verdict = await verify(office.desk, office.peppers)
    assert verdict.faults == ()
    assert {chain: head.seq for chain, head in verdict.heads.items()} == {"": 2, "acme": 8, "other": 1}


@pytest.mark.parametrize(
    ("statement", "seq"),
    [
        ("UPDATE audit SET act = replace(act, 'key_admin', 'key_other') WHERE seq = 5", 5),
        ("UPDATE audit SET hash = previous WHERE organisation = 'acme' AND seq = 4", 4),
        ("DELETE FROM audit WHERE organisation = 'acme' AND seq = 6", 6),
        ("DELETE FROM audit WHERE organisation = 'acme' AND seq = 1", 1),
        ("UPDATE audit SET seq = 100 - seq WHERE organisation = 'acme' AND seq IN (5, 6)", 5),
    ],
)
async def test_the_first_entry_that_was_changed_removed_or_moved_is_named(
    office, log, statement, seq
) -> None:
    log(
        statement.replace("act = replace(act,", "act = CAST(replace(CAST(act AS TEXT),").replace(
            "'key_other')", "'key_other') AS BLOB)"
        )
    )
    assert await faults(office) == (Fault("acme", seq, "was changed, left out or moved"),)


async def test_a_chain_cut_at_its_end_is_found_by_a_checkpoint(office, log) -> None:
    seen = await checkpoint(office.desk, office.peppers, START)
    log("DELETE FROM audit WHERE organisation = 'acme' AND seq > 6")
    assert await faults(office) == ()
    assert await faults(office, seen) == (Fault("acme", 7, "is missing: a checkpoint saw the chain longer"),)


async def test_a_chain_written_anew_is_found_by_a_checkpoint(office, log) -> None:
    seen = await checkpoint(office.desk, office.peppers, START)
    log("DELETE FROM audit WHERE organisation = 'acme' AND seq > 6")
    for n in range(4):
        await issue(office, admin(), {"organisation": "acme", "name": f"other {n}"})
    assert await faults(office) == ()
    assert await faults(office, seen) == (Fault("acme", 8, "is not the one that a checkpoint saw"),)


async def test_a_checkpoint_survives_being_written_and_is_refused_when_changed(office, log) -> None:
    seen = await checkpoint(office.desk, office.peppers, START)
    (read,) = read_checkpoints(msgspec.json.encode(seen) + b"\n")
    assert await faults(office, read) == ()
    forged = msgspec.structs.replace(read, heads={})
    other = peppers_of([Secret("fedcba9876543210" * 4)])
    for wrong, peppers in ((forged, office.peppers), (read, other)):
        (fault,) = (await verify(office.desk, peppers, [wrong])).faults
        assert fault.why == f"the checkpoint of {START.isoformat()} is not signed with an accepted pepper"


async def test_the_chain_of_a_removed_organisation_is_still_verified(office, log) -> None:
    await create(office, CLI, "organisation", {"id": "gone"})
    await create(office, CLI, "team", {"id": "last", "organisation": "gone"})
    await remove(office, CLI, "team", "last")
    await remove(office, CLI, "organisation", "gone")
    log("DELETE FROM audit WHERE organisation = 'gone' AND seq = 1")
    assert await faults(office) == (Fault("gone", 1, "was changed, left out or moved"),)
