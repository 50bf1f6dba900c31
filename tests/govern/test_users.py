"""People invited, let in, changed; their tokens; what ends soon; the pepper replaced."""

from datetime import timedelta

import msgspec
import pytest

from tests.govern.conftest import START, admin
from turnout.config.admin import SessionConfig
from turnout.errors import Conflict, Forbidden, InvalidRequest, NotFound
from turnout.govern import ending, sessions, tokens, users
from turnout.govern.directory import Directory
from turnout.govern.holdings import read_holdings
from turnout.govern.keys import issue, revoke
from turnout.govern.office import Office
from turnout.govern.pepper import peppers_in
from turnout.govern.rotation import census, rotate, write_moved
from turnout.govern.rules import CLI, Actor
from turnout.govern.users import Identity, Standing, read_user

DAY_S = 86_400.0
LIMITS = SessionConfig()


def person(user, **held):
    return Actor(
        id=user.id, role=user.role, organisation=user.organisation, user=user.id, via="session", **held
    )


async def invited(office, role="viewer", email="ada@example.com", organisation="acme"):
    fields = {"email": email, "role": role, "organisation": organisation}
    return read_user(await users.invite(office, CLI, fields))


@pytest.mark.parametrize(
    ("fields", "failure"),
    [
        ({"email": "x@y.z", "role": "admin"}, Forbidden),
        ({"email": "x@y.z", "role": "owner"}, Forbidden),
        ({"email": "x@y.z", "role": "viewer", "organisation": "other"}, Forbidden),
        ({"email": "x@y.z", "role": "viewer", "generation": 7}, Forbidden),
        ({"email": "x@y.z", "role": "viewer", "source": "claims"}, Forbidden),
        ({"email": "x@y.z", "role": "call"}, InvalidRequest),
        ({"issuer": "https://op.example", "subject": "1", "role": "viewer"}, Forbidden),
        ({"role": "viewer"}, InvalidRequest),
        ({"email": "ada", "role": "viewer"}, InvalidRequest),
        ({"email": "ADA@example.com ", "role": "viewer"}, Conflict),
    ],
)
async def test_an_admin_invites_nobody_above_or_beside_what_they_hold(office, fields, failure) -> None:
    await invited(office)
    with pytest.raises(failure):
        await users.invite(office, admin(), fields)
    assert [user.email async for _, user in users.everybody(office)] == ["ada@example.com"]


async def test_nobody_changes_their_own_standing_or_that_of_somebody_above_them(office) -> None:
    boss, ada = await invited(office, "admin", "boss@example.com"), await invited(office)
    for act in (
        lambda who, whom: users.set_role(office, who, whom, Standing(role="viewer")),
        lambda who, whom: users.change(office, who, whom, {"disabled": True}),
        lambda who, whom: users.remove(office, who, whom),
    ):
        with pytest.raises(Conflict, match="their own standing"):
            await act(person(boss), boss.id)
        with pytest.raises(Forbidden, match="above what you may grant"):
            await act(admin(), boss.id)
    with pytest.raises(Forbidden, match="above their own"):
        await users.set_role(office, person(boss), ada.id, Standing(role="admin"))
    stranger = Actor(id="key_o", role="admin", organisation="other")
    with pytest.raises(NotFound):
        await users.set_role(office, stranger, ada.id, Standing(role="viewer"))
    changed = read_user(await users.set_role(office, person(boss), ada.id, Standing(role="operator")))
    assert (changed.role, changed.organisation, changed.generation) == ("operator", "acme", 2)


async def test_two_invitations_of_one_address_let_nobody_choose(office) -> None:
    await invited(office)
    await invited(office, organisation="other")
    who = Identity(issuer="https://op.example", subject="1", email="ada@example.com")
    with pytest.raises(Forbidden, match="not let in here"):
        await users.signed_in(office, who, "")
    refusal = (await office.desk.audit())[-1].act
    assert (refusal.action, refusal.result) == ("login", "denied")
    assert refusal.reason.startswith("2 invitations name")


async def test_who_is_of_an_organisation_that_is_disabled_does_not_get_in(office) -> None:
    who = Identity(issuer="https://op.example", subject="1", role="viewer", organisation="nowhere")
    with pytest.raises(Forbidden):
        await users.signed_in(office, who, "")
    assert [user async for _, user in users.everybody(office)] == []


async def test_a_session_is_kept_as_a_digest_and_swept_when_it_ended(office, clock) -> None:
    cookie = (await sessions.begin(office, LIMITS, user="u", key=None, generation=1)).reveal()
    (document,) = await office.desk.list("session")
    assert cookie not in document.id + document.body.decode()
    assert await sessions.find(office, LIMITS, document.id) is None  # the digest is no credential (S-09)
    assert await sessions.sweep(office, LIMITS) == 0
    clock.forward(LIMITS.idle_s)
    assert await sessions.sweep(office, LIMITS) == 1
    assert await office.desk.list("session") == ()


async def test_a_token_is_bounded_by_its_holder_and_a_year(office, clock) -> None:
    ada = await invited(office, "operator")
    for fields, failure in (
        ({"role": "admin"}, Forbidden),
        ({"user": "user_other"}, Forbidden),
        ({"expires": (START + timedelta(days=367)).isoformat()}, InvalidRequest),
        ({"expires": START.isoformat()}, InvalidRequest),
        ({"role": "call"}, InvalidRequest),
    ):
        with pytest.raises(failure):
            await tokens.issue(office, person(ada), fields)
    with pytest.raises(Conflict, match="this is a key"):
        await tokens.issue(office, admin(), {})
    with pytest.raises(Forbidden, match="by the person themselves"):
        await tokens.issue(office, admin(), {}, user=ada.id)
    shown, document = await tokens.issue(office, person(ada), {"role": "viewer"})
    assert tokens.read_token(document).expires == START + timedelta(days=30)
    directory = Directory(office.peppers, now=lambda: clock.at.timestamp())  # noqa: PLW0108  the clock moves
    directory.take(await read_holdings(office.desk))
    found = directory.find(shown.reveal())
    assert (found.role, found.user, found.organisation, found.endpoints) == (
        "viewer",
        ada.id,
        "acme",
        ("admin",),
    )
    assert not directory.has_keys
    bob = await invited(office, "viewer", "bob@example.com")
    assert await tokens.listing(office, person(bob)) == ()
    with pytest.raises(NotFound):
        await tokens.revoke(office, person(bob), document.id)
    clock.forward(30 * DAY_S)
    assert directory.find(shown.reveal()) is None
    clock.forward(-DAY_S)
    await tokens.revoke(office, admin(), document.id)
    directory.take(await read_holdings(office.desk))
    assert directory.find(shown.reveal()) is None


async def test_who_is_removed_takes_their_tokens_along(office) -> None:
    ada = await invited(office)
    await tokens.issue(office, person(ada), {})
    await users.remove(office, CLI, ada.id)
    assert await office.desk.list("token") == ()


async def test_what_ends_soon_is_told_once_over_all_processes(office, clock) -> None:
    ada = await invited(office)
    _, token = await tokens.issue(office, person(ada), {})
    expires = (START + timedelta(days=10)).isoformat()
    _, key = await issue(office, CLI, {"organisation": "acme", "expires": expires})
    _, gone = await issue(office, CLI, {"organisation": "acme", "expires": expires})
    await revoke(office, CLI, gone.id)
    holdings = await read_holdings(office.desk)
    soon = ending.ends_within(holdings, clock.at, ending.WARN_S)
    assert [each.id for each in soon] == [key.id]
    assert [await ending.warn(office, soon), await ending.warn(office, soon)] == [soon, ()]
    last = (await office.desk.audit("acme"))[-1].act
    assert (last.action, last.object, last.actor) == ("key.expiring", f"key/{key.id}", "gateway")
    seen = [
        [each.id for each in await ending.soon(office, actor, 31 * DAY_S)]
        for actor in (CLI, admin(), person(ada), Actor(id="k", role="viewer", organisation="other"))
    ]
    assert seen == [[key.id, token.id], [key.id, token.id], [key.id, token.id], []]


async def test_keys_follow_a_new_pepper_by_use_and_those_that_did_not_stop_the_next(desk, tmp_path) -> None:
    path = tmp_path / "desk.pepper"
    office = Office(desk, peppers_in(path))
    used, key = await issue(office, CLI, {})
    _, unused = await issue(office, CLI, {})
    first = office.peppers.newest.id
    directory = Directory(office.peppers)
    await rotate(office, CLI, path)
    directory.take(await read_holdings(desk), office.peppers)
    assert directory.find(used.reveal()).key_id == key.id
    for name, (pepper_id, digest) in directory.moved.items():
        await write_moved(office, name, "older", digest)
        await write_moved(office, name, pepper_id, digest)
    newest = office.peppers.newest.id
    assert await census(office) == {newest: 1, first: 1}
    with pytest.raises(Conflict, match="1 keys were not used"):
        await rotate(office, CLI, path)
    await rotate(office, CLI, path, ending=True)
    directory.take(await read_holdings(desk), office.peppers)
    assert directory.find(used.reveal()).key_id == key.id
    assert msgspec.json.decode((await desk.get("key", unused.id)).body)["pepper_id"] == first
    actions = [entry.act.action for entry in await desk.audit()]
    assert actions == ["key.create", "key.create", "pepper.rotate", "key.repepper", "pepper.rotate"]
