"""Files on disk and batches in the database beside them: whose they are, and when they go."""

from datetime import UTC, datetime, timedelta

import pytest

from turnout.errors import CapacityExhausted, ConfigError, QuotaExceeded
from turnout.stores.files import Batch, Batches, Counts, Database, File, Files, Line, Result, Room

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ROOM = Room(max_bytes=10, max_files=2)


@pytest.fixture
def database(tmp_path):
    opened = Database(tmp_path / "files")
    yield opened
    opened.close()


def file(name, **more):
    return File(
        **{
            "id": name,
            "owner": "key:ann",
            "purpose": "user_data",
            "name": name,
            "n_bytes": 3,
            "created_at": NOW,
            **more,
        }
    )


def put(files, content=b"abc", room=ROOM, **more):
    draft = files.draft()
    try:
        draft.write(content)
        draft.finish()
        return files.keep(draft, file(**more), room)
    finally:
        draft.drop()


def batch(name, **more):
    return Batch(
        **{
            "id": name,
            "owner": "key:ann",
            "key_id": "ann",
            "form": "openai",
            "endpoint": "/v1/embeddings",
            "created_at": NOW,
            "deadline_at": NOW + timedelta(days=1),
            **more,
        }
    )


def test_a_file_is_kept_within_its_owners_room_and_leaves_nothing_when_it_is_not(database):
    files = Files(database)
    put(files, name="a")
    with pytest.raises(QuotaExceeded):
        put(files, b"x" * 8, name="b", n_bytes=8)
    put(files, name="b")
    with pytest.raises(QuotaExceeded):
        put(files, name="c")
    put(files, name="c", owner="key:bob")
    assert sorted(path.name for path in database.content.iterdir()) == ["a", "b", "c"]
    assert [each.id for each in files.page("key:ann", NOW, limit=9)] == ["b", "a"]
    assert files.get("a", "key:bob", NOW) is None
    assert not files.delete("a", "key:bob")
    assert files.delete("a", "key:ann")
    assert sorted(path.name for path in database.content.iterdir()) == ["b", "c"]


def test_what_expired_is_not_there_and_what_is_a_customers_goes_with_it(database):
    files, batches = Files(database), Batches(database)
    put(files, name="a", expires_at=NOW + timedelta(hours=1))
    put(files, name="b", customer="c1", organisation="o")
    put(files, name="c", customer="c1", owner="key:bob")
    batches.create(batch("b1", customer="c1", organisation="o"), [Line(1, "x", b"{}")], 9)
    late = NOW + timedelta(hours=2)
    assert files.get("a", "key:ann", late) is None
    assert (files.sweep(late), files.sweep(late)) == (1, 0)
    assert (files.forget_customer("c1", "o"), batches.forget_customer("c1", "o")) == (1, 1)
    assert [path.name for path in database.content.iterdir()] == ["c"]
    assert batches.lines("b1", 0, 9) == []


def test_a_batch_has_one_holder_and_a_line_one_result(database):
    batches = Batches(database)
    batches.create(batch("b1"), [], 1)
    with pytest.raises(CapacityExhausted):
        batches.create(batch("b2"), [], 1)
    assert [each.id for each in batches.claim("one", NOW, 30)] == ["b1"]
    assert batches.claim("two", NOW, 30) == []
    lines = [Line(n, f"c{n}", b"{}") for n in (1, 2, 3)]
    running = batch("b1", state="in_progress", in_progress_at=NOW)
    assert batches.save("one", running, lines)
    assert not batches.save("two", batch("b1", state="failed", ended_at=NOW))
    batches.hand("b1", [(1, "job_1")])
    assert [line.n for line in batches.waiting("b1", 9)] == [2, 3]
    assert [line.job for line in batches.running("b1")] == ["job_1"]
    good = Result("succeeded", 200, "req_1", b"{}")
    batches.settle("b1", [(1, good)])
    batches.settle("b1", [(1, Result("errored", 500))])
    batches.end_rest("b1", Result("canceled", code="batch_cancelled"))
    assert batches.counts("b1") == Counts(total=3, succeeded=1, canceled=2)
    assert [each.result.kind for each in batches.results("b1", 0, 9)] == ["succeeded", "canceled", "canceled"]
    batches.cancel("b1", NOW)
    later = NOW + timedelta(seconds=31)
    [taken] = batches.claim("two", later, 30)
    assert (taken.state, taken.cancelling_at) == ("in_progress", NOW)
    assert not batches.save("one", running)
    ended = batch("b1", state="cancelled", ended_at=later, counts=Counts(total=3))
    assert batches.save("two", ended)
    assert batches.get("b1", "key:ann", "openai").counts == Counts(total=3)
    assert batches.get("b1", "key:bob", "openai") is batches.get("b1", "key:ann", "anthropic") is None
    assert batches.results("b1", 0, 9) == []
    assert batches.claim("one", later + timedelta(days=1), 30) == []
    assert (batches.sweep(later, 60), batches.sweep(later + timedelta(seconds=61), 60)) == (0, 1)


def test_a_directory_that_cannot_be_used_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"files\.path: cannot open"):
        Database(tmp_path / "file")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "files.db").write_bytes(b"not a database, but long enough to be read as one" * 10)
    with pytest.raises(ConfigError, match="cannot be used as a database"):
        Database(tmp_path / "other")
