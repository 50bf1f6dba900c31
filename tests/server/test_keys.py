"""Keys at the gateway: what is presented, who is let in, and for what (SECURITY.md S-01, S-07, S-09)."""

import random
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.server.kit import HOST, SECRET
from tests.server.kit import rig as start
from turnout.errors import Unauthenticated
from turnout.govern.directory import Directory
from turnout.govern.holdings import read_holdings
from turnout.govern.keys import issue, revoke
from turnout.govern.office import Office
from turnout.govern.pepper import peppers_of
from turnout.govern.records import change, create
from turnout.govern.rules import CLI
from turnout.govern.token import make_key
from turnout.server.auth import Gate
from turnout.server.desk import Room
from turnout.server.protocol import sweep_all
from turnout.server.settings import GatewayKey
from turnout.stores.desk.sqlite import SqliteDesk
from turnout.types.principal import Principal
from turnout.types.secret import Secret

PEPPER = "0123456789abcdef" * 4
BODY = {"model": "oai/one", "messages": [{"role": "user", "content": "hi"}]}
CARRIERS = ("x-api-key", "x-goog-api-key", "api-key", "x-turnout-key")


@asynccontextmanager
async def desked(tmp_path, *, server=""):
    """A gateway that follows a desk, and the office on that desk."""

    def edit(text):
        return text + f"\ndesk: {{path: '{tmp_path}/desk.db', pepper: {PEPPER}}}\nledger: {{store: memory}}\n"

    async with start(edit=edit, server=server) as rig:
        rig.room = Room(rig.built, rig.gateway.follow)
        rig.gateway.denied = rig.room.denied
        await rig.room.start()
        try:
            async with httpx.AsyncClient(base_url=rig.url) as http:
                yield rig, rig.room.office, http
        finally:
            await rig.room.close()


async def ask(http, key=None, model="oai/one", **headers):
    named = {} if key is None else {"authorization": f"Bearer {key}"}
    return await http.post(
        "/v1/chat/completions", json={**BODY, "model": model}, headers={**named, **headers}
    )


def code(reply):
    return reply.status_code, reply.json()["error"]["code"]


async def test_a_key_of_the_desk_lets_in_by_every_carrier(tmp_path) -> None:
    async with desked(tmp_path) as (rig, office, http):
        shown, document = await issue(office, CLI, {"tags": ["ci"]})
        await rig.room.refresh()
        replies = [await ask(http, shown.reveal())]
        replies += [await ask(http, **{carrier: shown.reveal()}) for carrier in CARRIERS]
        assert [reply.status_code for reply in replies] == [200] * 5
        assert {record.principal for record in await rig.records()} == {document.id}
        both = await ask(http, shown.reveal(), **{"x-api-key": shown.reveal()})
        other = await ask(http, shown.reveal(), **{"x-api-key": make_key(bytes(32))})
        assert both.status_code == 200
        assert code(other) == (400, "conflicting_credentials")


async def test_without_keys_it_is_open_and_never_again_once_there_was_one(tmp_path) -> None:
    async with desked(tmp_path) as (rig, office, http):
        assert (await ask(http)).status_code == 200
        await issue(office, CLI, {"role": "owner"})
        await rig.room.refresh()
        assert (await ask(http)).status_code == 200
        _, document = await issue(office, CLI, {})
        await rig.room.refresh()
        assert code(await ask(http)) == (401, "invalid_api_key")
        await revoke(office, CLI, document.id)
        await rig.room.refresh()
        assert code(await ask(http)) == (401, "invalid_api_key")


async def test_a_key_that_administers_asks_no_model(tmp_path) -> None:
    async with desked(tmp_path) as (rig, office, http):
        await issue(office, CLI, {})
        owner, _ = await issue(office, CLI, {"role": "owner"})
        await rig.room.refresh()
        assert code(await ask(http, owner.reveal())) == (403, "permission_denied")


async def test_a_key_is_held_to_its_routes_models_endpoints_and_networks(tmp_path) -> None:
    async with desked(tmp_path) as (rig, office, http):

        async def key(**fields):
            shown, _ = await issue(office, CLI, fields)
            await rig.room.refresh()
            return shown.reveal()

        routed = await key(routes=["assistant"], default_route="assistant")
        models = await key(models=["ant/*"])
        vectors = await key(endpoints=["embeddings"])
        away, near = await key(networks=["10.0.0.0/8"]), await key(networks=["127.0.0.0/8"])
        got = {
            "its route": await ask(http, routed, "turnout/assistant"),
            "its default": await ask(http, routed, "auto"),
            "an alias of it": await ask(http, routed, "helper"),
            "another model": await ask(http, routed, "oai/two"),
            "a model of its route": await ask(http, routed),
            "its models": await ask(http, models, "ant/one"),
            "not its models": await ask(http, models),
            "not its endpoint": await ask(http, vectors),
            "not its network": await ask(http, away),
            "its network": await ask(http, near),
        }
        assert {name: reply.status_code for name, reply in got.items()} == {
            "its route": 200,
            "its default": 200,
            "an alias of it": 200,
            "another model": 403,
            "a model of its route": 403,
            "its models": 200,
            "not its models": 403,
            "not its endpoint": 403,
            "not its network": 403,
            "its network": 200,
        }
        listed = await http.get("/v1/models", headers={"authorization": f"Bearer {routed}"})
        assert [row["id"] for row in listed.json()["data"]] == ["helper", "turnout/assistant"]


async def test_a_fallback_does_not_lead_out_of_a_keys_route(tmp_path) -> None:
    async with desked(tmp_path) as (rig, office, http):
        shown, _ = await issue(office, CLI, {"routes": ["assistant"]})
        await rig.room.refresh()
        body = {**BODY, "model": "turnout/assistant", "fallbacks": ["oai/two"]}
        headers = {"authorization": f"Bearer {shown.reveal()}"}
        reply = await http.post("/v1/chat/completions", json=body, headers=headers)
        assert code(reply) == (403, "permission_denied")


async def test_refusals_by_policy_are_in_the_audit_log(tmp_path) -> None:
    async with desked(tmp_path) as (rig, office, http):
        shown, document = await issue(office, CLI, {"endpoints": ["embeddings"]})
        await rig.room.refresh()
        await ask(http, shown.reveal())
        await rig.room.look()
        act = (await office.desk.audit())[-1].act
        assert (act.actor, act.action, act.result, act.reason, act.address) == (
            document.id,
            "request.refused",
            "denied",
            "this key may not use chat",
            HOST,
        )


async def test_a_budget_of_the_desk_is_in_force_without_a_reload(tmp_path) -> None:
    async with desked(tmp_path) as (rig, office, http):
        await create(office, CLI, "organisation", {"id": "acme"})
        shown, _ = await issue(office, CLI, {"organisation": "acme"})
        await rig.room.refresh()
        assert (await ask(http, shown.reveal())).status_code == 200
        version = rig.built.engine.snapshot.version
        quota = {"organisation": "acme", "level": "organisation", "subject": "acme"}
        await create(office, CLI, "quota", {**quota, "of": "requests", "limit": 1, "per": "day"})
        await rig.room.refresh()
        replies = [await ask(http, shown.reveal()) for _ in range(2)]
        assert [reply.status_code for reply in replies] == [200, 429]
        assert rig.built.engine.snapshot.version == version


# Hostile credentials


def gate(tmp_path):
    directory = Directory(peppers_of([Secret(PEPPER)]))
    return Gate((), None, directory), directory


async def filled(tmp_path):
    desk = SqliteDesk(tmp_path / "desk.db")
    office = Office(desk, peppers_of([Secret(PEPPER)]))
    shown, document = await issue(office, CLI, {})
    made = gate(tmp_path)
    made[1].take(await read_holdings(desk))
    await desk.close()
    return made[0], shown.reveal(), document


async def test_what_a_disabled_team_handed_in_is_not_served_for_its_configured_key(tmp_path) -> None:
    desk, (_, directory) = SqliteDesk(tmp_path / "desk.db"), gate(tmp_path)
    office = Office(desk, peppers_of([Secret(PEPPER)]))
    who = Principal(key_id="batcher", team="red")
    entrance = Gate((GatewayKey(secret=Secret("tn_configured"), principal=who),), None, directory)
    await create(office, CLI, "organisation", {"id": "acme"})
    await create(office, CLI, "team", {"id": "red", "organisation": "acme"})
    directory.take(await read_holdings(desk))
    assert entrance.named("batcher") == who
    await change(office, CLI, "team", "red", {"disabled": True})
    directory.take(await read_holdings(desk))
    await desk.close()
    with pytest.raises(Unauthenticated):
        entrance.named("batcher")


def garbage(rng, key):
    """Yield values that look like keys more or less, and none that is."""
    alphabet = "".join(map(chr, range(256))) + "'\"\0\n;--"
    yield from ("", "'", '"', "\0", "tn_", "tn_" + "A" * 65_536, "' OR 1=1 --", key + "\0", "\0" + key)
    yield from (key[:n] for n in range(len(key)))
    yield from (key + "A", " " + key, key.upper(), key.lower(), key.swapcase())
    for _ in range(20_000):
        n = rng.choice((1, 8, 49, 52, 53, 600))
        yield "tn_" * rng.randrange(2) + "".join(rng.choices(alphabet, k=n))
    for _ in range(5_000):
        at = rng.randrange(len(key))
        yield key[:at] + rng.choice(alphabet.replace(key[at], "")) + key[at + 1 :]


async def test_no_garbage_is_a_key_and_no_store_is_asked(tmp_path) -> None:
    entrance, key, _ = await filled(tmp_path)  # the desk is closed: a query would fail
    assert entrance.principal((key,)).key_id is not None
    for value in garbage(random.Random(1), key):
        with pytest.raises(Unauthenticated) as caught:
            entrance.principal((value,))
        assert caught.value.message in (
            "the key is not valid here",
            "no key: send a Turnout key as `Authorization: Bearer …`",
        )


async def test_neither_the_stored_digest_nor_the_id_is_a_key(tmp_path) -> None:
    from turnout.errors import Unauthenticated
    from turnout.govern.keys import read_key

    entrance, _, document = await filled(tmp_path)
    stored = read_key(document)
    for value in (
        stored.digest,
        f"tn_{stored.digest}",
        stored.id,
        stored.prefix,
        stored.prefix + stored.last_four,
    ):
        with pytest.raises(Unauthenticated):
            entrance.principal((value,))


async def test_hostile_headers_are_answered_and_show_nothing(tmp_path, caplog) -> None:
    async with desked(tmp_path, server="behind_proxy: true") as (rig, office, http):
        shown, _ = await issue(office, CLI, {})
        await rig.room.refresh()
        rng = random.Random(2)
        hostile = [
            "x" * 15_000,
            "'",
            '"; DROP TABLE documents; --',
            "Basic dTpw",
            shown.reveal()[:-1],
            "tn_" + "é" * 49,
        ]
        hostile += ["".join(chr(rng.randrange(0x21, 0x7F)) for _ in range(60)) for _ in range(60)]
        for value in hostile:
            for carrier in ("authorization", *CARRIERS):
                reply = (
                    await ask(http, **{carrier: value.encode("latin-1").decode("latin-1")})
                    if value.isascii()
                    else await http.post("/v1/chat/completions", json=BODY, headers={carrier: value.encode()})
                )
                assert code(reply) == (401, "invalid_api_key")
                assert value not in reply.text
        sweep_all([], 0.0)
        for secret in (shown.reveal(), PEPPER, SECRET):
            assert secret not in caplog.text
