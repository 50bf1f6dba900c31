import time
from datetime import timedelta

import msgspec
import pytest

from tests.govern.conftest import START, admin
from turnout.govern.directory import Directory
from turnout.govern.holdings import Holdings, read_holdings
from turnout.govern.keys import issue, revoke, rotate
from turnout.govern.office import Office
from turnout.govern.pepper import peppers_of
from turnout.govern.records import change, create
from turnout.govern.rules import CLI
from turnout.govern.token import make_key
from turnout.stores.desk.base import Change, Document
from turnout.types.account import Act, Key
from turnout.types.limits import Budget, Calendar
from turnout.types.principal import Principal
from turnout.types.secret import Secret
from turnout.types.usage import NanoUsd


@pytest.fixture
def directory(office, clock):
    return Directory(office.peppers, now=lambda: clock.at.timestamp())  # noqa: PLW0108  the clock moves


async def look(directory, office):
    directory.take(await read_holdings(office.desk))
    return directory


async def test_a_key_stands_for_its_principal(office, directory) -> None:
    wanted = {
        "organisation": "acme",
        "project": "chatbot",
        "team": "red",
        "customer": "cus_1",
        "tags": ["ci"],
        "models": ["openai/*"],
        "routes": ["assistant"],
        "endpoints": ["chat"],
        "networks": ["10.0.0.0/8"],
        "default_route": "assistant",
    }
    shown, document = await issue(office, admin(), wanted)
    await look(directory, office)
    assert directory.find(shown.reveal()) == Principal(
        key_id=document.id,
        organisation="acme",
        project="chatbot",
        team="red",
        customer="cus_1",
        tags=("ci",),
        allow=("openai/*",),
        routes=("assistant",),
        endpoints=("chat",),
        networks=("10.0.0.0/8",),
        default_route="assistant",
        stores_text=False,
    )
    assert directory.named(document.id) == directory.find(shown.reveal())


async def test_text_of_a_project_is_stored_only_where_the_project_says_so(office, directory) -> None:
    ours, _ = await issue(office, admin(), {"organisation": "acme", "project": "chatbot"})
    bare, _ = await issue(office, admin(), {"organisation": "acme"})
    for stores in (False, True, False):
        await change(office, CLI, "project", "chatbot", {"content": stores})
        await look(directory, office)
        found = [directory.find(key.reveal()) for key in (ours, bare)]
        assert [each.stores_text for each in found] == [stores, True]


async def test_a_key_that_administers_calls_nothing(office, directory) -> None:
    shown, _ = await issue(office, CLI, {"role": "viewer", "organisation": "acme"})
    await look(directory, office)
    assert directory.find(shown.reveal()).endpoints == ("admin",)
    assert not directory.has_keys


async def test_neither_a_digest_nor_a_part_of_a_key_is_a_key(office, directory) -> None:
    shown, document = await issue(office, admin(), {"organisation": "acme"})
    await look(directory, office)
    text = shown.reveal()
    digest = office.peppers.newest.digest(text).hex()
    for wrong in (digest, f"tn_{digest}", text[:-1], text + "A", text.swapcase(), document.id, text[:9], ""):
        assert directory.find(wrong) is None


async def test_keys_of_equal_beginnings_and_ends_do_not_collide(office, directory) -> None:
    texts = [make_key(bytes(24) + n.to_bytes(8, "big")) for n in range(100)]
    keys = [
        Key(
            id=f"key_{n}",
            digest=office.peppers.newest.digest(text).hex(),
            pepper_id=office.peppers.newest.id,
            prefix=text[:9],
            last_four=text[-4:],
            created=START,
        )
        for n, text in enumerate(texts)
    ]
    directory.take(Holdings(revision=1, keys=tuple(keys)))
    assert len({key.prefix for key in keys}) == 1
    assert [directory.find(text).key_id for text in texts] == [key.id for key in keys]


async def test_a_key_ends_at_the_instant_it_expires(office, directory, clock) -> None:
    expires = (START + timedelta(days=30)).isoformat()
    shown, document = await issue(office, admin(), {"organisation": "acme", "expires": expires})
    await look(directory, office)
    clock.forward(30 * 86_400 - 0.001)
    assert directory.find(shown.reveal()) is not None
    clock.forward(0.001)
    assert directory.find(shown.reveal()) is None
    assert directory.named(document.id) is None


async def test_a_rotated_key_works_until_its_overlap_ends(office, directory, clock) -> None:
    old, document = await issue(office, admin(), {"organisation": "acme"})
    new, _ = await rotate(office, admin(), document.id, overlap_s=3600)
    await look(directory, office)
    assert directory.find(old.reveal()).key_id == document.id
    assert directory.find(new.reveal()).key_id != document.id
    clock.forward(3600)
    assert directory.find(old.reveal()) is None
    assert directory.find(new.reveal()) is not None


@pytest.mark.parametrize("kind", ["organisation", "project", "team", "customer", "key"])
async def test_what_is_disabled_disables_its_keys_and_can_be_taken_back(office, directory, kind) -> None:
    owners = {"project": "chatbot", "team": "red", "customer": "cus_1"}
    shown, document = await issue(office, admin(), {"organisation": "acme", **owners})
    name = {"organisation": "acme", "key": document.id, **owners}[kind]
    for disabled in (True, False):
        await change(office, CLI, kind, name, {"disabled": disabled})
        await look(directory, office)
        assert (directory.find(shown.reveal()) is None) is disabled
        assert directory.has_keys


async def test_a_configured_key_of_a_disabled_team_is_not_admitted(office, directory) -> None:
    await change(office, CLI, "team", "red", {"disabled": True})
    await look(directory, office)
    assert not directory.admits(Principal(key_id="file", team="red"))
    assert directory.admits(Principal(key_id="file", team="blue"))
    assert directory.admits(Principal(key_id="file", team="of the file alone"))


async def test_a_gateway_stays_closed_when_its_last_key_is_revoked(office, directory) -> None:
    shown, document = await issue(office, admin(), {"organisation": "acme"})
    await revoke(office, admin(), document.id)
    await look(directory, office)
    assert (directory.find(shown.reveal()), directory.has_keys, len(directory)) == (None, True, 0)


async def test_the_two_newest_peppers_are_accepted(office, desk, clock) -> None:
    new, newest = (Secret(text * 4) for text in ("fedcba9876543210", "89abcdef01234567"))
    shown, _ = await issue(office, admin(), {"organisation": "acme"})
    rotated = Office(desk, peppers_of([new, Secret("0123456789abcdef" * 4)]), now=clock)
    later, _ = await issue(rotated, admin(), {"organisation": "acme"})
    both = await look(Directory(rotated.peppers), office)
    assert None not in (both.find(shown.reveal()), both.find(later.reveal()))
    gone = await look(Directory(peppers_of([newest, new])), office)
    assert gone.find(shown.reveal()) is None
    assert gone.find(later.reveal()) is not None


async def test_limits_of_the_desk_are_read_as_the_engine_counts_them(office) -> None:
    made = await create(
        office, admin(), "budget", {"level": "team", "subject": "red", "usd": 0.1, "per": "day"}
    )
    holdings = await read_holdings(office.desk)
    assert holdings.budgets == (
        Budget(
            id=made.id, level="team", subject="red", limit_nusd=NanoUsd(100_000_000), window=Calendar("day")
        ),
    )


async def test_ten_thousand_keys_are_read_in_pages_and_found_as_fast_as_ten(office, desk) -> None:
    texts = [make_key(n.to_bytes(32, "big")) for n in range(10_000)]
    pepper = office.peppers.newest
    documents = [
        Document(
            kind="key",
            id=f"key_{n:05d}",
            body=msgspec.json.encode(
                Key(
                    id=f"key_{n:05d}",
                    digest=pepper.digest(text).hex(),
                    pepper_id=pepper.id,
                    prefix=text[:9],
                    last_four=text[-4:],
                    created=START,
                )
            ),
        )
        for n, text in enumerate(texts)
    ]
    act = Act(at=START, actor="cli", role="owner", action="key.create")
    await desk.write([Change(document=each) for each in documents], act)
    few = Directory(office.peppers)
    holdings = await read_holdings(desk)
    few.take(msgspec.structs.replace(holdings, keys=holdings.keys[:10]))
    many = await look(Directory(office.peppers), office)
    assert [many.find(texts[n]).key_id for n in (0, 4_999, 9_999)] == ["key_00000", "key_04999", "key_09999"]

    def fastest(directory, text):
        return min(_timed(directory, text) for _ in range(20))

    assert fastest(many, texts[3]) < 5 * fastest(few, texts[3])  # linear search would be a thousand times


def _timed(directory, text) -> float:
    started = time.perf_counter()
    for _ in range(50):
        directory.find(text)
    return time.perf_counter() - started
