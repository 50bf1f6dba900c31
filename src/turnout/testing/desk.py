"""What every desk must do, as runnable checks. Floor 6.

    async def test_my_desk_keeps_the_contract():
        await check_desk(MyDesk)

A check raises AssertionError with a sentence that names the broken promise.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from turnout.stores.desk.base import Change, ConflictError, Desk, Document, broken
from turnout.types.account import Act, Kind

AT = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)


def act(action: str = "team.create", organisation: str | None = None, **facts: str) -> Act:
    """Return an act for a check."""
    return Act(
        at=AT, actor="key_1", role="owner", action=action, organisation=organisation, facts=dict(facts)
    )


def document(
    name: str, body: bytes = b"{}", *, version: int = 0, organisation: str | None = None
) -> Document:
    """Return a team's document for a check."""
    kind: Kind = "team"
    return Document(kind=kind, id=name, organisation=organisation, body=body, version=version)


async def check_desk(make: Callable[[], Desk]) -> None:
    """Run every check, each on a new desk with nothing in it."""
    for check in (_documents, _conflicts, _all_or_none, _pages, _passing, _audit):
        desk = make()
        try:
            await check(desk)
        finally:
            await desk.close()
            await desk.close()


async def _documents(desk: Desk) -> None:
    assert await desk.get("team", "a") is None, "what was never written is not there"
    before = await desk.revision()
    (stored,) = await desk.write([Change(document=document("a", b'{"x": 1}', organisation="o"))], act())
    assert stored == document("a", b'{"x": 1}', version=1, organisation="o"), "a write returns what is kept"
    assert await desk.get("team", "a") == stored, "and it can be read"
    assert await desk.get("key", "a") is None, "kinds are apart"
    assert await desk.revision() > before, "a change raises the revision"
    (changed,) = await desk.write([Change(document=document("a", b"{}", version=1, organisation="p"))], act())
    assert (changed.version, changed.organisation) == (2, "p"), "versions count changes"
    await desk.write([Change(document=changed, remove=True)], act())
    assert await desk.get("team", "a") is None, "what was removed is gone"


async def _conflicts(desk: Desk) -> None:
    await desk.write([Change(document=document("a"))], act())
    for stale, current in ((document("a"), 1), (document("a", version=7), 1), (document("b", version=1), 0)):
        found: ConflictError | None = None
        try:
            await desk.write([Change(document=stale)], act())
        except ConflictError as conflict:
            found = conflict
        assert found is not None, "a stale write is a conflict"
        assert found.current == current, "a conflict says what is current"


async def _all_or_none(desk: Desk) -> None:
    await desk.write([Change(document=document("b"))], act())
    revision, entries = await desk.revision(), await desk.audit()
    with suppress(ConflictError):
        await desk.write([Change(document=document("a")), Change(document=document("b"))], act())
    assert await desk.get("team", "a") is None, "a conflict writes nothing at all"
    assert await desk.audit() == entries, "and logs nothing"
    assert await desk.revision() == revision, "and changes nothing"


async def _pages(desk: Desk) -> None:
    rows = [document(f"t{n:02d}", organisation="even" if n % 2 == 0 else "odd") for n in range(10)]
    await desk.write([Change(document=row) for row in rows], act())
    found = await desk.list("team", limit=4)
    assert [row.id for row in found] == ["t00", "t01", "t02", "t03"], "a page is in the order of ids"
    found = await desk.list("team", after="t07")
    assert [row.id for row in found] == ["t08", "t09"], "and goes on after an id"
    found = await desk.list("team", organisation="odd", after="t03", limit=2)
    assert [row.id for row in found] == ["t05", "t07"], "organisations are apart"


async def _passing(desk: Desk) -> None:
    before = await desk.revision(), await desk.audit()
    await desk.keep("session", "s1", b"1")
    await desk.keep("session", "s1", b"2")
    await desk.keep("session", "s2", b"3")
    kept = await desk.list("session")
    assert [(row.id, row.body) for row in kept] == [("s1", b"2"), ("s2", b"3")], "what passes is written over"
    await desk.forget("session", ["s1", "nothing"])
    assert [row.id for row in await desk.list("session")] == ["s2"], "and removed without a version"
    assert await desk.swap("alerts", "a", 0, b"1"), "what is not there is at version 0"
    assert not await desk.swap("alerts", "a", 0, b"2"), "and only once"
    assert await desk.swap("alerts", "a", 1, b"3"), "each swap raises the version"
    assert not await desk.swap("alerts", "a", 1, b"4"), "what was swapped since is left alone"
    kept = await desk.list("alerts")
    assert [(row.body, row.version) for row in kept] == [(b"3", 2)], "and is as the last one wrote it"
    assert (await desk.revision(), await desk.audit()) == before, "without an act and without a revision"


async def _audit(desk: Desk) -> None:
    await desk.write([Change(document=document("a"))], act(organisation="o", note="naïve \u2028"))
    await desk.note(act("login.failed", "o"))
    await desk.note(act("config.apply"))
    own, whole = await desk.audit("o"), await desk.audit()
    assert [entry.act.action for entry in own] == ["team.create", "login.failed"], (
        "each organisation has a chain"
    )
    assert [entry.act.action for entry in whole] == ["config.apply"], "and so has the installation"
    assert own[0].act == act(organisation="o", note="naïve \u2028"), "an act is kept as it was"
    assert broken(own) is None, "the chain holds"
    assert broken(whole) is None, "from the first entry on"
    assert await desk.audit("o", after=1) == own[1:], "entries are read on after a number"
    assert broken(own[1:]) == 1, "a chain without its beginning is broken"
    assert broken(own[1:], own[0].hash, 1) is None, "unless the beginning is known"
