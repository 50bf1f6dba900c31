"""`Idempotency-Key`: the same request twice is answered once (WIRE.md 2.10)."""

import asyncio

import pytest

from tests.server.kit import Fault, call, chat, message, request, until, wire
from tests.server.kit import rig as start
from turnout.server import idempotency

KEY = "idempotency-key: order-1"
EMBED = {"model": "oai/vectors", "input": "Hello"}


@pytest.mark.parametrize(
    ("path", "body", "upstream"),
    [
        ("/v1/chat/completions", chat(), "oai-one"),
        ("/v1/messages", message(), "ant-one"),
        ("/v1/embeddings", EMBED, "vectors"),
        ("/v1beta/models/gem/one:generateContent", {"contents": [{"parts": [{"text": "x"}]}]}, "gem-one"),
    ],
)
async def test_the_same_key_and_body_get_the_stored_answer(rig, path, body, upstream):
    first = await call(rig, path, body, KEY)
    again = await call(rig, path, body, KEY)
    assert (again.status, again.body) == (200, first.body)
    assert [pair for pair in again.headers if pair[0] != "date"] == [
        pair for pair in first.headers if pair[0] != "date"
    ]
    assert rig.emulator.served[upstream].calls == 1
    assert len(await rig.records()) == 1


async def test_another_body_is_a_conflict(rig):
    await call(rig, "/v1/chat/completions", chat(), KEY)
    reply = await call(rig, "/v1/chat/completions", chat(text="Something else"), KEY)
    error = reply.json()["error"]
    assert (reply.status, error["code"], error["param"]) == (409, "conflict", "idempotency-key")
    assert rig.emulator.served["oai-one"].calls == 1


async def test_keys_of_other_endpoints_and_callers_never_meet():
    keys = "keys: [{name: a, secret: tn_a_0123456789abcdef}, {name: b, secret: tn_b_0123456789abcdef}]"
    async with start(server=keys) as rig:
        a, b = ("x-api-key: tn_a_0123456789abcdef", "x-api-key: tn_b_0123456789abcdef")
        for carrier in (a, b):
            assert (await call(rig, "/v1/chat/completions", chat(), KEY, carrier)).status == 200
        assert (await call(rig, "/v1/messages", message("oai/one"), KEY, a)).status == 200
    assert rig.emulator.served["oai-one"].calls == 3


async def test_one_that_comes_while_the_first_is_served_waits_for_it(rig):
    rig.behave("oai-one", ttft_s=0.1)
    replies = await asyncio.gather(*(call(rig, "/v1/chat/completions", chat(), KEY) for _ in range(5)))
    assert {reply.body for reply in replies} == {replies[0].body}
    assert rig.emulator.served["oai-one"].calls == 1


async def test_a_failure_is_not_kept(rig):
    rig.behave("oai-one", Fault(kind="server_error", first=1))
    assert (await call(rig, "/v1/chat/completions", chat(), KEY, "x-turnout-retries: 0")).status == 502
    assert (await call(rig, "/v1/chat/completions", chat(), KEY)).status == 200


async def test_a_client_that_left_lets_go_of_its_key(rig):
    rig.behave("oai-one", Fault(kind="hang", first=1))
    async with wire(rig) as connection:
        await connection.send(request("/v1/chat/completions", chat(), KEY))
        await until(lambda: "oai-one" in rig.emulator.served)
    await until(lambda: rig.emulator.served["oai-one"].cancelled == 1)
    assert (await call(rig, "/v1/chat/completions", chat(), KEY)).status == 200


async def test_streams_are_not_replayed(rig):
    for _ in range(2):
        assert (await call(rig, "/v1/chat/completions", chat(stream=True), KEY)).status == 200
    assert rig.emulator.served["oai-one"].calls == 2


async def test_an_answer_too_large_to_keep_is_not_made_again(rig, monkeypatch):
    monkeypatch.setattr(idempotency, "MOST_BYTES", 10)
    assert (await call(rig, "/v1/chat/completions", chat(), KEY)).status == 200
    reply = await call(rig, "/v1/chat/completions", chat(), KEY)
    assert (reply.status, rig.emulator.served["oai-one"].calls) == (409, 1)
