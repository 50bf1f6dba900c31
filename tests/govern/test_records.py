import pytest

from tests.govern.conftest import admin
from turnout.errors import Conflict, Forbidden, InvalidRequest, NotFound, PreconditionFailed
from turnout.govern.keys import issue
from turnout.govern.records import change, create, listing, remove, show, view
from turnout.govern.rules import CHANGES, CLI, MAKES, READS, WRITES, Actor

BUDGET = {"level": "team", "subject": "red", "usd": 10.0, "per": "day"}
ROLES = ("none", "call", "viewer", "operator", "admin", "owner", "scrape")
KINDS = ("organisation", "project", "team", "customer", "budget", "quota")


async def test_a_document_is_made_changed_and_removed(office, desk) -> None:
    made = await create(office, admin(), "team", {"id": "green", "organisation": "acme", "name": "Green"})
    changed = await change(office, admin(), "team", "green", {"disabled": True}, version=made.version)
    assert view(changed) == {
        "object": "team",
        "id": "green",
        "organisation": "acme",
        "name": "Green",
        "disabled": True,
        "version": 2,
    }
    await remove(office, admin(), "team", "green", version=2)
    with pytest.raises(NotFound):
        await show(office, admin(), "team", "green")
    log = [entry.act for entry in await desk.audit("acme")][-3:]
    assert [(act.action, act.object, act.before, act.after) for act in log] == [
        ("team.create", "team/green", None, made.digest),
        ("team.update", "team/green", made.digest, changed.digest),
        ("team.remove", "team/green", changed.digest, None),
    ]


async def test_a_budget_is_written_as_in_the_configuration(office) -> None:
    made = await create(office, admin(), "budget", BUDGET)
    assert made.organisation == "acme"
    assert view(made) == {
        "object": "budget",
        "id": made.id,
        "organisation": "acme",
        **BUDGET,
        "zone": "UTC",
        "thresholds": [],
        "hard": True,
        "version": 1,
    }
    changed = await change(office, admin(), "budget", made.id, {"usd": 20})
    assert view(changed)["usd"] == 20.0


@pytest.mark.parametrize(
    "wish",
    [
        {"level": "model", "subject": "openai/gpt-5"},
        {"level": "team", "subject": "*"},
        {"level": "tag", "subject": "x"},
    ],
)
async def test_an_organisations_admin_limits_nobody_else(office, wish) -> None:
    with pytest.raises(Forbidden):
        await create(office, admin(), "budget", {**BUDGET, **wish})
    with pytest.raises(Forbidden):
        await create(office, admin(), "quota", {**wish, "organisation": "acme", "of": "requests", "limit": 1})


@pytest.mark.parametrize(
    "wish",
    [
        {"subject": "blue"},
        {"subject": "nobody"},
        {"per": "fortnight"},
        {"usd": -1},
        {"usd": "much"},
        {"thresholds": [{"at": 0.5, "action": "downgrade", "route": "nowhere"}]},
        {"thresholds": [{"at": 0.5, "action": "downgrade"}]},
    ],
)
async def test_a_limit_that_cannot_be_meant_is_refused(office, desk, wish) -> None:
    with pytest.raises(InvalidRequest):
        await create(office, admin(), "budget", {**BUDGET, **wish})
    assert await desk.list("budget") == ()


async def test_what_others_depend_on_is_not_removed(office) -> None:
    await issue(office, admin(), {"team": "red"})
    with pytest.raises(Conflict, match="still has keys"):
        await remove(office, admin(), "team", "red")
    with pytest.raises(Conflict, match="still has a project"):
        await remove(office, CLI, "organisation", "acme")


async def test_an_id_is_taken_once(office) -> None:
    with pytest.raises(Conflict, match="is there already"):
        await create(office, admin(), "team", {"id": "red", "organisation": "acme"})


async def test_a_stale_version_changes_nothing(office) -> None:
    with pytest.raises(PreconditionFailed):
        await change(office, admin(), "team", "red", {"name": "x"}, version=7)
    with pytest.raises(PreconditionFailed):
        await remove(office, admin(), "team", "red", version=7)


async def test_pages_are_of_the_actors_organisation(office) -> None:
    assert [d.id for d in await listing(office, admin(), "team")] == ["red"]
    assert [d.id for d in await listing(office, CLI, "team")] == ["blue", "red"]
    assert [d.id for d in await listing(office, CLI, "team", organisation="other")] == ["blue"]
    assert [d.id for d in await listing(office, CLI, "team", after="blue", limit=1)] == ["red"]


async def test_an_admin_sees_only_their_own_organisation(office) -> None:
    assert (await show(office, admin(), "organisation", "acme")).id == "acme"
    with pytest.raises(NotFound):
        await show(office, admin(), "organisation", "other")
    assert [d.id for d in await listing(office, admin(), "organisation")] == ["acme"]
    with pytest.raises(Forbidden):
        await change(office, admin(), "organisation", "acme", {"name": "Acme"})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("role", ROLES)
async def test_each_cell_of_role_and_kind_is_as_the_tables_say(office, role, kind) -> None:
    actor = Actor(id="key_x", role=role, organisation=None if role == "owner" else "acme")
    name = {"organisation": "acme", "project": "chatbot", "team": "red", "customer": "cus_1"}.get(kind)
    if name is None:
        fields = BUDGET if kind == "budget" else {"level": "team", "subject": "red", "of": "requests"}
        fields = {**fields, "organisation": "acme", **({"limit": 5} if kind == "quota" else {})}
        name = (await create(office, CLI, kind, fields)).id
    before = await office.desk.get(kind, name)
    field = {"budget": "usd", "quota": "limit"}.get(kind, "disabled")
    if role in READS[kind]:
        assert await show(office, actor, kind, name) == before
    else:
        with pytest.raises(Forbidden):
            await show(office, actor, kind, name)
        with pytest.raises(Forbidden):
            await listing(office, actor, kind)
    if role in WRITES[kind]:
        assert (
            await change(office, actor, kind, name, {field: 1 if field != "disabled" else True})
        ).version == 2
    else:
        for attempt in (change(office, actor, kind, name, {field: 1}), remove(office, actor, kind, name)):
            with pytest.raises(Forbidden):
                await attempt
        assert await office.desk.get(kind, name) == before


@pytest.mark.parametrize("kind", KINDS)
async def test_a_field_that_is_not_listed_is_refused(office, kind) -> None:
    unlisted = (MAKES[kind] - CHANGES[kind]) | {"version", "wheel"}
    for field in unlisted:
        with pytest.raises((Forbidden, NotFound)):
            await change(office, CLI, kind, "acme" if kind == "organisation" else "red", {field: "x"})
    with pytest.raises(Forbidden):
        await create(office, CLI, kind, {"wheel": "x"})
