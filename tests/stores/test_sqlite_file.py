"""The SQLite file of a store: made private, by one alone, refused where it is newer, never left half done."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from turnout.errors import ConfigError, StoreUnavailable
from turnout.stores.sqlite_file import Form, SqliteFile, copy, opened, problem_of, read_only

NUMBERS = "CREATE TABLE IF NOT EXISTS numbers (n INTEGER PRIMARY KEY)"


def begun(db, version):
    db.execute("INSERT INTO numbers VALUES (?)", (version,))


OWN = Form(key="own.path", says="the store", schema=(NUMBERS,), version=2, take_over=begun)
SHARED = Form(key="part", says="a part", schema=(NUMBERS,), version=2, part="numbers", take_over=begun)


def numbers(file):
    with file.step("BEGIN") as db:
        return [n for (n,) in db.execute("SELECT n FROM numbers ORDER BY n")]


def mode(path):
    return oct(path.stat().st_mode & 0o777)


@pytest.mark.parametrize("form", [OWN, SHARED])
def test_workers_that_start_at_once_make_one_file_for_their_user_alone(tmp_path, form):
    path = tmp_path / "new" / "numbers.db"
    with ThreadPoolExecutor(8) as workers:
        files = list(workers.map(lambda _: SqliteFile(path, form), range(8)))
    assert [numbers(file) for file in files] == [[0]] * 8
    with files[0].step() as db:
        db.execute("INSERT INTO numbers VALUES (7)")
    assert numbers(files[7]) == [0, 7]
    made = {each.name: mode(each) for each in path.parent.iterdir()}
    assert made == dict.fromkeys(("numbers.db", "numbers.db-shm", "numbers.db-wal"), "0o600")
    assert mode(path.parent) == "0o700"
    for file in files:
        file.close()


@pytest.mark.parametrize("form", [OWN, SHARED])
def test_an_older_file_is_taken_over_once_and_a_newer_one_refused_as_it_is(tmp_path, form):
    path = tmp_path / "numbers.db"
    older, newer = (Form(**{**fields(form), "version": version}) for version in (1, 3))
    for each in (older, form, form):
        opened(path, each).close()
    with closing(read_only(path)) as db:
        assert db.execute("SELECT n FROM numbers").fetchall() == [(0,), (1,)]
    opened(path, newer).close()
    before = path.read_bytes()
    with pytest.raises(ConfigError) as refused:
        opened(path, form)
    newer_than = f"{form.key}: {path} has schema 3, newer than this Turnout knows"
    assert refused.value.problems == (f"{newer_than}: upgrade Turnout, or name another file",)
    assert path.read_bytes() == before


def fields(form):
    return {name: getattr(form, name) for name in form.__struct_fields__}


def test_two_parts_share_a_file(tmp_path):
    path = tmp_path / "shared.db"
    words = Form(
        key="words", says="", schema=("CREATE TABLE IF NOT EXISTS words (w)",), version=1, part="words"
    )
    for form in (SHARED, words, SHARED, words):
        opened(path, form).close()
    with closing(read_only(path)) as db:
        assert db.execute("SELECT * FROM turnout_schema").fetchall() == [("numbers", 2), ("words", 1)]


def add(file, *values):
    with file.step() as db:
        for n in values:
            db.execute("INSERT INTO numbers VALUES (?)", (n,))


def rolled_back_by_sqlite(file):
    with file.step() as db:
        db.execute("ROLLBACK")  # as SQLite does by itself where the disk is full
        raise sqlite3.OperationalError("out of it")


def test_a_step_that_fails_leaves_nothing_behind(tmp_path):
    file = SqliteFile(tmp_path / "numbers.db", OWN)
    with pytest.raises(StoreUnavailable, match="the store refuses: UNIQUE"):
        add(file, 1, 0)
    with pytest.raises(StoreUnavailable, match="the store refuses: Error binding parameter 1"):
        add(file, 1, object())
    with pytest.raises(StoreUnavailable, match="the store refuses: out of it"):
        rolled_back_by_sqlite(file)
    add(file, 2)
    assert numbers(file) == [0, 2]
    file.close()


def test_what_is_no_database_is_refused_and_a_damaged_one_described(tmp_path):
    noise = tmp_path / "noise.db"
    noise.write_bytes(b"not a database, whatever its name" * 100)
    with pytest.raises(ConfigError) as refused:
        opened(noise, OWN)
    said = f"own.path: {noise} cannot be used as a database: file is not a database"
    assert refused.value.problems == (said,)
    with pytest.raises(ConfigError, match=f"own.path: cannot open {tmp_path}: "):
        opened(tmp_path, OWN)
    assert problem_of(noise) == "file is not a database"


def test_a_copy_holds_what_its_file_held_and_is_as_private(tmp_path):
    path, target = tmp_path / "numbers.db", tmp_path / "copy.db"
    with closing(opened(path, OWN)):
        copy(path, target)
    assert (problem_of(target), mode(target)) == (None, "0o600")
    with closing(read_only(target)) as db:
        assert db.execute("SELECT n FROM numbers").fetchall() == [(0,)]
