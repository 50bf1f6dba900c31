"""Whose conversations are to be forgotten, told to every process."""

from datetime import UTC, datetime, timedelta

from turnout.govern import erasures
from turnout.govern.erasures import KEPT_S, Erasures, announce
from turnout.stores.desk.sqlite import SqliteDesk

NOW = datetime(2026, 11, 22, tzinfo=UTC)


async def test_all_that_was_announced_is_heeded_once_however_many_stand_there(tmp_path, monkeypatch):
    monkeypatch.setattr(erasures, "_MOST", 2)
    desk, process, heeded = SqliteDesk(tmp_path / "desk.db"), Erasures(), []

    async def forgets(keys):
        heeded.extend(keys)
        return 0

    await process.follow(desk, NOW, forgets)
    keys = [f"key_{n}" for n in range(5)]
    for key in keys:
        await announce(desk, [key], NOW)
    for _ in range(2):
        await process.follow(desk, NOW, forgets)
    assert sorted(heeded) == keys
    await process.follow(desk, NOW + timedelta(seconds=KEPT_S + 1), forgets)
    assert await desk.list("erasure") == ()
    await desk.close()
