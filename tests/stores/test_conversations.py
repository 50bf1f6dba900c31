"""Stores of conversations: both kinds keep the same promises."""

import sqlite3
import stat
from pathlib import Path

import pytest

from turnout.errors import ConfigError, RequestTooLarge
from turnout.stores.conversations import Kept, MemoryConversations, Room
from turnout.stores.conversations.sqlite import SqliteConversations


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=["memory", "sqlite"])
async def opened(request, clock, tmp_path):
    stores = []

    def make(**room):
        shape = Room(**room)
        store = (
            MemoryConversations(shape, clock)
            if request.param == "memory"
            else SqliteConversations(tmp_path / f"{len(stores)}.db", shape, clock)
        )
        stores.append(store)
        return store

    yield make
    for store in stores:
        await store.close()


async def test_an_answer_is_found_by_its_id_and_by_its_items(opened):
    store = opened()
    await store.put("a", Kept("resp_1", b"one", ("msg_1", "fc_1")))
    assert await store.get("a", "resp_1") == b"one"
    assert await store.find("a", "fc_1") == b"one"
    assert await store.get("a", "msg_1") is None
    assert await store.find("a", "resp_1") is None


async def test_nobody_sees_what_another_owner_keeps(opened):
    store = opened()
    await store.put("a", Kept("resp_1", b"one", ("msg_1",)))
    assert await store.get("b", "resp_1") is None
    assert await store.find("b", "msg_1") is None
    assert await store.forget("b", "resp_1") is False
    assert await store.get("a", "resp_1") == b"one"


async def test_two_owners_may_keep_the_same_id(opened):
    store = opened()
    await store.put("a", Kept("resp_1", b"one"))
    await store.put("b", Kept("resp_1", b"two"))
    assert (await store.get("a", "resp_1"), await store.get("b", "resp_1")) == (b"one", b"two")


async def test_the_latest_document_of_an_id_counts(opened):
    store = opened()
    await store.put("a", Kept("resp_1", b"queued"))
    await store.put("a", Kept("resp_1", b"done", ("msg_1",)))
    assert await store.get("a", "resp_1") == b"done"
    assert await store.find("a", "msg_1") == b"done"


async def test_a_change_sees_what_is_there_and_takes_its_place(opened, clock):
    store = opened(ttl_s=10, max_bytes=10)
    await store.put("a", Kept("conv_1", b"one", ("msg_1",)))
    clock.now += 9

    def more(document):
        return Kept("conv_1", document + b",two", ("msg_1", "msg_2"))

    assert await store.amend("a", "conv_1", more) is True
    clock.now += 9
    assert await store.find("a", "msg_2") == b"one,two"
    assert await store.amend("a", "conv_1", lambda document: None) is True
    with pytest.raises(RequestTooLarge):
        await store.amend("a", "conv_1", more)
    assert await store.get("a", "conv_1") == b"one,two"
    assert await store.amend("b", "conv_1", more) is False


async def test_everything_of_an_owner_is_erased(opened):
    store = opened()
    for n in (1, 2):
        await store.put("a", Kept(f"resp_{n}", b"x", (f"msg_{n}",)))
    await store.put("b", Kept("resp_1", b"x"))
    assert (await store.erase("a"), await store.erase("a")) == (2, 0)
    assert (await store.find("a", "msg_1"), await store.get("b", "resp_1")) == (None, b"x")


async def test_what_was_forgotten_is_gone(opened):
    store = opened()
    await store.put("a", Kept("resp_1", b"one", ("msg_1",)))
    assert await store.forget("a", "resp_1") is True
    assert await store.forget("a", "resp_1") is False
    assert await store.get("a", "resp_1") is None
    assert await store.find("a", "msg_1") is None


async def test_an_answer_ends_after_its_time(opened, clock):
    store = opened(ttl_s=10)
    await store.put("a", Kept("resp_1", b"one", ("msg_1",)))
    clock.now += 9.9
    assert await store.get("a", "resp_1") == b"one"
    clock.now += 0.1
    assert await store.get("a", "resp_1") is None
    assert await store.find("a", "msg_1") is None
    assert await store.forget("a", "resp_1") is False


async def test_an_owners_oldest_makes_room_for_its_newest(opened):
    store = opened(max_per_owner=2)
    await store.put("b", Kept("resp_0", b"other"))
    for n in (1, 2, 3):
        await store.put("a", Kept(f"resp_{n}", b"x"))
    assert [await store.get("a", f"resp_{n}") for n in (1, 2, 3)] == [None, b"x", b"x"]
    assert await store.get("b", "resp_0") == b"other"


async def test_who_keeps_most_makes_room_for_the_others(opened):
    store = opened(max_bytes=100)
    await store.put("quiet", Kept("resp_0", b"x" * 20))
    for n in (1, 2, 3, 4, 5):
        await store.put("noisy", Kept(f"resp_{n}", b"x" * 20))
    assert await store.get("quiet", "resp_0") is not None
    assert [await store.get("noisy", f"resp_{n}") is not None for n in (1, 2, 3, 4, 5)] == [
        *(False, True, True, True, True)
    ]


async def test_what_is_larger_than_all_the_room_is_not_kept(opened):
    store = opened(max_bytes=10)
    await store.put("a", Kept("resp_1", b"x"))
    await store.put("a", Kept("resp_2", b"x" * 11))
    assert await store.get("a", "resp_2") is None
    assert await store.get("a", "resp_1") == b"x"


async def test_a_file_outlives_its_process_and_is_its_users_alone(tmp_path):
    path = tmp_path / "deep" / "talk.db"
    first = SqliteConversations(path)
    await first.put("a", Kept("resp_1", b"one"))
    await first.close()
    second = SqliteConversations(path)
    assert await second.get("a", "resp_1") == b"one"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    await second.close()


async def test_a_file_that_cannot_be_used_is_a_fault_of_the_configuration(tmp_path: Path):
    newer = tmp_path / "newer.db"
    with sqlite3.connect(newer) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    noise = tmp_path / "noise.db"
    noise.write_bytes(b"no database" * 100)
    for path, words in ((newer, "upgrade Turnout"), (noise, "cannot be used"), (tmp_path, "cannot open")):
        with pytest.raises(ConfigError, match=words):
            SqliteConversations(path)
