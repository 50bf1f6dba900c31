import msgspec
import pytest

from tests.govern.conftest import START, admin
from turnout.errors import Conflict, Forbidden, InvalidRequest, NotFound, PreconditionFailed
from turnout.govern.keys import issue, read_key, revoke, rotate
from turnout.govern.records import change, listing, remove, show, view
from turnout.govern.rules import CLI, Actor, covers, inside
from turnout.govern.token import is_well_formed

WANTED = {"organisation": "acme", "name": "ci", "models": ["openai/*"], "endpoints": ["chat"]}


async def acts(desk, organisation="acme"):
    return [(entry.act.action, entry.act.result) for entry in await desk.audit(organisation)]


async def test_a_key_is_shown_once_and_kept_as_a_digest(office) -> None:
    shown, document = await issue(office, admin(), WANTED)
    key = read_key(document)
    assert is_well_formed(shown.reveal())
    assert shown.reveal().encode() not in document.body
    assert key.digest == office.peppers.newest.digest(shown.reveal()).hex()
    assert view(document) == {
        "object": "key",
        "id": key.id,
        "organisation": "acme",
        "name": "ci",
        "prefix": shown.reveal()[:9],
        "last_four": shown.reveal()[-4:],
        "role": "call",
        "project": None,
        "team": None,
        "customer": None,
        "names_customers": False,
        "tags": [],
        "models": ["openai/*"],
        "routes": [],
        "endpoints": ["chat"],
        "networks": [],
        "default_route": None,
        "created": "2026-01-01T12:00:00Z",
        "expires": None,
        "disabled": False,
        "replaced_by": None,
        "revoked": False,
        "version": 1,
    }


async def test_the_audit_log_holds_the_act_and_no_key(office, desk) -> None:
    shown, document = await issue(office, admin(address="10.0.0.1"), WANTED)
    entry = (await desk.audit("acme"))[-1]
    assert (entry.act.actor, entry.act.role, entry.act.address) == ("key_admin", "admin", "10.0.0.1")
    assert (entry.act.action, entry.act.object) == ("key.create", f"key/{document.id}")
    assert (entry.act.before, entry.act.after) == (None, document.digest)
    assert shown.reveal() not in msgspec.json.encode(entry).decode()


async def test_a_rotated_key_overlaps_with_its_successor(office, clock) -> None:
    _, old = await issue(office, admin(), WANTED)
    shown, new = await rotate(office, admin(), old.id)
    before, after = read_key(await show(office, admin(), "key", old.id)), read_key(new)
    assert (before.replaced_by, (before.expires - START).total_seconds()) == (after.id, 86_400)
    assert (after.models, after.endpoints, after.expires) == (("openai/*",), ("chat",), None)
    assert is_well_formed(shown.reveal())
    with pytest.raises(Conflict, match="was replaced by"):
        await rotate(office, admin(), old.id)


async def test_a_rotation_prolongs_nothing(office, clock) -> None:
    _, old = await issue(office, admin(), {**WANTED, "expires": "2026-01-01T13:00:00Z"})
    _, new = await rotate(office, admin(), old.id)
    assert read_key(new).expires == read_key(old).expires
    assert read_key(await show(office, admin(), "key", old.id)).expires == read_key(old).expires
    clock.forward(3600)
    with pytest.raises(Conflict, match="has expired"):
        await rotate(office, admin(), new.id)


async def test_a_revoked_key_never_comes_back(office) -> None:
    _, document = await issue(office, admin(), WANTED)
    revoked = await revoke(office, admin(), document.id)
    assert read_key(revoked).digest == ""
    assert view(revoked)["revoked"] is True
    assert await revoke(office, admin(), document.id) == revoked
    with pytest.raises(Conflict):
        await change(office, admin(), "key", document.id, {"disabled": False})
    with pytest.raises(Conflict):
        await rotate(office, admin(), document.id)
    with pytest.raises(Conflict):
        await remove(office, admin(), "key", document.id)


@pytest.mark.parametrize("role", ["none", "call", "viewer", "operator", "scrape"])
async def test_roles_that_may_not_write_keys_change_nothing(office, desk, role) -> None:
    actor = Actor(id="key_low", role=role, organisation="acme")
    _, document = await issue(office, admin(), WANTED)
    for attempt in (
        issue(office, actor, WANTED),
        rotate(office, actor, document.id),
        revoke(office, actor, document.id),
        change(office, actor, "key", document.id, {"disabled": True}),
        remove(office, actor, "key", document.id),
    ):
        with pytest.raises(Forbidden):
            await attempt
    assert await show(office, admin(), "key", document.id) == document
    assert [result for _, result in await acts(desk)][-5:] == ["denied"] * 5


@pytest.mark.parametrize("role", ["admin", "owner", "scrape", "none", "god"])
async def test_an_admin_grants_no_role_above_operator(office, role) -> None:
    with pytest.raises(Forbidden):
        await issue(office, admin(), {**WANTED, "role": role})
    assert await listing(office, admin(), "key") == ()


@pytest.mark.parametrize(
    "held",
    [
        {"models": ("openai/gpt-5",)},
        {"models": ("anthropic",)},
        {"routes": ("cheap",)},
        {"networks": ("10.0.0.0/8",)},
    ],
)
async def test_nobody_grants_more_than_they_hold(office, held) -> None:
    with pytest.raises(Forbidden, match="more than they hold"):
        await issue(office, admin(**held), WANTED)
    _, document = await issue(office, admin(), WANTED)
    with pytest.raises(Forbidden, match="more than they hold"):
        await change(office, admin(**held), "key", document.id, {"name": "mine"})
    with pytest.raises(Forbidden, match="more than they hold"):
        await rotate(office, admin(**held), document.id)


async def test_what_is_held_may_be_granted(office) -> None:
    held = admin(models=("openai",), routes=("cheap", "assistant"), networks=("10.0.0.0/8",))
    wanted = {**WANTED, "models": ["openai/gpt-*"], "routes": ["cheap"], "networks": ["10.1.0.0/16"]}
    _, document = await issue(office, held, wanted)
    assert read_key(document).networks == ("10.1.0.0/16",)


async def test_nobody_prolongs_or_widens_the_admin_key_they_hold(office) -> None:
    _, document = await issue(office, CLI, {"organisation": "acme", "role": "admin", "models": ["openai/*"]})
    me = Actor(id=document.id, role="admin", organisation="acme", models=("openai/*",))
    for wish in ({"expires": None}, {"models": []}, {"disabled": False}):
        with pytest.raises(Forbidden):
            await change(office, me, "key", document.id, wish)
    with pytest.raises(Forbidden):
        await change(office, CLI, "key", document.id, {"role": "owner"})
    assert await show(office, CLI, "key", document.id) == document


async def test_another_organisations_key_is_not_there(office, desk) -> None:
    _, theirs = await issue(office, CLI, {"organisation": "other"})
    told = set()
    for name in (theirs.id, "key_nobody"):
        for attempt in (
            show(office, admin(), "key", name),
            rotate(office, admin(), name),
            revoke(office, admin(), name),
            change(office, admin(), "key", name, {"disabled": True}),
        ):
            with pytest.raises(NotFound) as caught:
                await attempt
            told.add(caught.value.message.replace(name, "…"))
    assert told == {"there is no key '…'"}
    assert await listing(office, admin(), "key") == ()
    assert await listing(office, admin(), "key", organisation="other") == ()
    with pytest.raises(Forbidden):
        await issue(office, admin(), {"organisation": "other"})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("team", "blue"),
        ("team", "nobody"),
        ("project", "red"),
        ("endpoints", ["shell"]),
        ("networks", ["10.0.0.0/33"]),
        ("networks", ["10.0.0.1/8"]),
        ("routes", ["nowhere"]),
        ("default_route", "nowhere"),
        ("expires", "2026-02-01T12:00:00"),
        ("expires", "2026-01-01T12:00:00Z"),
        ("models", "openai/*"),
        ("tags", [1]),
    ],
)
async def test_what_cannot_be_meant_is_refused(office, desk, field, value) -> None:
    with pytest.raises(InvalidRequest):
        await issue(office, admin(), {**WANTED, field: value})
    assert await desk.list("key") == ()


@pytest.mark.parametrize("field", ["id", "digest", "pepper_id", "created", "prefix", "replaced_by", "wheel"])
async def test_fields_that_are_ours_cannot_be_given(office, field) -> None:
    with pytest.raises(Forbidden):
        await issue(office, CLI, {**WANTED, field: "x"})
    _, document = await issue(office, CLI, WANTED)
    with pytest.raises(Forbidden):
        await change(office, CLI, "key", document.id, {field: "x"})


async def test_a_stale_change_changes_nothing(office) -> None:
    _, document = await issue(office, admin(), WANTED)
    changed = await change(office, admin(), "key", document.id, {"name": "two"}, version=1)
    assert changed.version == 2
    with pytest.raises(PreconditionFailed):
        await change(office, admin(), "key", document.id, {"name": "three"}, version=1)
    with pytest.raises(PreconditionFailed):
        await revoke(office, admin(), document.id, version=1)
    assert await show(office, admin(), "key", document.id) == changed


async def test_refusals_of_one_actor_are_logged_at_a_bounded_rate(office, desk, clock) -> None:
    low = Actor(id="key_low", role="viewer", organisation="acme")
    for _ in range(40):
        with pytest.raises(Forbidden):
            await issue(office, low, WANTED)
    assert sum(result == "denied" for _, result in await acts(desk)) == 30
    clock.forward(61)
    with pytest.raises(Forbidden):
        await issue(office, low, WANTED)
    assert sum(result == "denied" for _, result in await acts(desk)) == 31


@pytest.mark.parametrize(
    ("held", "granted", "expected"),
    [
        ((), (), True),
        ((), ("a/*",), True),
        (("a/*",), (), False),
        (("a/*",), ("a/b", "a/c*"), True),
        (("a/*",), ("*",), False),
        (("a/*",), ("a/b", "b/c"), False),
        (("a",), ("a/b*",), True),
        (("a",), ("a*/b",), False),
        (("a/?",), ("a/*",), False),
        (("a/?????",), ("a/[bc]",), False),
        (("a/[bc]",), ("a/[bc]",), True),
    ],
)
def test_globs_cover_globs(held, granted, expected) -> None:
    assert covers(held, granted) is expected


def test_address_ranges_lie_inside_others_of_their_kind() -> None:
    assert inside(("10.0.0.0/8", "fd00::/8"), ("10.2.0.0/16", "fd00:1::/32"))
    assert not inside(("10.0.0.0/8",), ("10.0.0.0/7",))
    assert not inside(("10.0.0.0/8",), ("::/0",))
    assert not inside(("10.0.0.0/8",), ())
