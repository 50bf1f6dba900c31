import base64

import msgspec
import pytest

from tests.govern.conftest import admin
from turnout.config.desk import DeskConfig
from turnout.errors import ConfigError, Forbidden, InvalidRequest
from turnout.govern.holdings import read_holdings
from turnout.govern.records import change, remove, show, view
from turnout.govern.rules import CLI, Actor
from turnout.govern.vault import masters_of, read_stored, rewrap, rewrap_all, seal, secrets_in, store, unseal
from turnout.types.secret import Secret

OLD, NEW = Secret("0123456789abcdef" * 4), Secret("fedcba9876543210" * 4)
CANARY = "sk-canary-0123456789-wxyz"
RANDOM = bytes(range(56))
MASTERS = masters_of(DeskConfig(master_key=OLD))


def test_what_was_sealed_opens_and_shows_nothing() -> None:
    sealed = seal(MASTERS, Secret(CANARY), "acme\nrecord", RANDOM)
    assert unseal(MASTERS, sealed, "acme\nrecord") == Secret(CANARY)
    assert CANARY.encode() not in base64.b64decode(sealed.data) + base64.b64decode(sealed.wrapped)


@pytest.mark.parametrize("field", ["data", "wrapped"])
def test_a_changed_byte_does_not_open(field) -> None:
    sealed = seal(MASTERS, Secret(CANARY), "a", RANDOM)
    raw = bytearray(base64.b64decode(getattr(sealed, field)))
    for at in (0, 12, len(raw) - 1):
        wrong = bytes([*raw[:at], raw[at] ^ 1, *raw[at + 1 :]])
        changed = msgspec.structs.replace(sealed, **{field: base64.b64encode(wrong).decode()})
        with pytest.raises(ConfigError, match="was changed or belongs elsewhere"):
            unseal(MASTERS, changed, "a")


def test_a_record_moved_elsewhere_does_not_open() -> None:
    with pytest.raises(ConfigError, match="belongs elsewhere"):
        unseal(MASTERS, seal(MASTERS, Secret(CANARY), "acme\none", RANDOM), "other\none")


def test_another_wrapping_keeps_the_text_and_needs_the_new_master_only() -> None:
    sealed = seal(MASTERS, Secret(CANARY), "a", RANDOM)
    both = masters_of(DeskConfig(master_key=NEW, previous_master_key=OLD))
    moved = rewrap(both, sealed, "a", bytes(12))
    assert moved.data == sealed.data
    assert unseal(masters_of(DeskConfig(master_key=NEW)), moved, "a") == Secret(CANARY)
    with pytest.raises(ConfigError, match=f"needs the master key {moved.master_id}"):
        unseal(MASTERS, moved, "a")


async def test_a_stored_credential_is_never_shown_and_is_read_by_provider(office, desk) -> None:
    document = await store(office, CLI, MASTERS, "up", Secret(CANARY), name="second")
    assert CANARY.encode() not in document.body
    assert view(document) == {
        "object": "credential",
        "id": document.id,
        "provider": "up",
        "name": "second",
        "last_four": "wxyz",
        "created": "2026-01-01T12:00:00Z",
        "disabled": False,
        "organisation": None,
        "version": 1,
    }
    holdings = await read_holdings(desk)
    assert secrets_in(MASTERS, holdings.credentials) == {"up": (Secret(CANARY),)}
    log = b"".join(msgspec.json.encode(entry) for entry in await desk.audit())
    assert CANARY.encode() not in log


async def test_a_disabled_credential_is_out_of_service_and_one_can_be_removed(office, desk) -> None:
    document = await store(office, CLI, MASTERS, "up", Secret(CANARY))
    await change(office, CLI, "credential", document.id, {"disabled": True})
    assert secrets_in(MASTERS, (await read_holdings(desk)).credentials) == {}
    await remove(office, CLI, "credential", document.id)
    assert (await read_holdings(desk)).credentials == ()


async def test_a_rotation_puts_every_record_under_the_new_master(office, desk) -> None:
    made = [await store(office, CLI, MASTERS, "up", Secret(f"{CANARY}{n}")) for n in range(3)]
    both = masters_of(DeskConfig(master_key=NEW, previous_master_key=OLD))
    assert await rewrap_all(office, CLI, both) == 3
    assert await rewrap_all(office, CLI, both) == 0
    rows = [await show(office, CLI, "credential", document.id) for document in made]
    assert {read_stored(row).sealed.master_id for row in rows} == {both.newest_id}
    alone = masters_of(DeskConfig(master_key=NEW))
    found = secrets_in(alone, (await read_holdings(desk)).credentials)["up"]
    assert {secret.reveal() for secret in found} == {f"{CANARY}{n}" for n in range(3)}


@pytest.mark.parametrize(
    "actor", [admin(), Actor(id="v", role="viewer"), Actor(id="o", role="operator", organisation="acme")]
)
async def test_only_the_installations_operators_store_credentials(office, desk, actor) -> None:
    with pytest.raises(Forbidden):
        await store(office, actor, MASTERS, "up", Secret(CANARY))
    assert await desk.list("credential") == ()


@pytest.mark.parametrize("text", ["", "  ", "two\nlines", "naïve"])
async def test_what_cannot_be_a_header_is_refused(office, text) -> None:
    with pytest.raises(InvalidRequest):
        await store(office, CLI, MASTERS, "up", Secret(text))


def test_without_a_master_key_nothing_is_stored() -> None:
    with pytest.raises(ConfigError, match="is missing"):
        masters_of(DeskConfig(previous_master_key=OLD))
