"""A client that leaves: the upstream is let go at once, and what was consumed is settled."""

import asyncio

import pytest

from tests.server.kit import Fault, call, chat, message, request, until, wire

MODELS = ("oai/one", "ant/one", "gem/one")
SOON_S = 0.25
"""WIRE.md 2.10."""


async def settled(rig):
    """Return the only Record once it is there."""
    for _ in range(400):
        records = await rig.records()
        if records:
            return records[-1]
        await asyncio.sleep(0.005)
    raise AssertionError("nothing was recorded")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", MODELS)
async def test_leaving_before_the_answer_cancels_the_upstream(rig, model, stream):
    upstream = model.replace("/", "-")
    rig.behave(upstream, Fault(kind="hang"))
    async with wire(rig) as connection:
        await connection.send(request("/v1/chat/completions", chat(model, stream=stream)))
        await until(lambda: upstream in rig.emulator.served)
    assert await until(lambda: rig.emulator.served[upstream].cancelled == 1) < SOON_S
    record = await settled(rig)
    assert (record.outcome.error, record.outcome.finish) == ("client_closed", None)
    assert [(a.outcome, a.usage_estimated) for a in record.attempts] == [("cancelled", True)]
    assert (record.outcome.usage_source, record.outcome.cost_state) == ("estimated", "estimated")
    assert record.outcome.cost_nusd > 0


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("model", MODELS)
async def test_leaving_in_mid_stream_cancels_the_upstream_and_settles_what_was_sent(rig, model, path):
    upstream = model.replace("/", "-")
    rig.behave(upstream, tokens_per_s=50)
    body = chat(model, stream=True) if "chat" in path else message(model, stream=True)
    async with wire(rig) as connection:
        await connection.send(request(path, body))
        await connection.head()
        for _ in range(4):
            await connection.chunk()
    assert await until(lambda: rig.emulator.served[upstream].cancelled == 1) < SOON_S
    record = await settled(rig)
    assert (record.outcome.error, record.outcome.model) == ("client_closed", model)
    assert record.outcome.usage_source == "estimated"
    assert 0 < record.outcome.usage.n_output < 60
    assert record.attempts[0].committed


async def test_a_client_that_leaves_is_no_fault_of_the_upstream(rig):
    rig.behave("oai-one", Fault(kind="hang"))
    for n in range(6):
        async with wire(rig) as connection:
            await connection.send(request("/v1/chat/completions", chat()))
            await until(
                lambda n=n: "oai-one" in rig.emulator.served and rig.emulator.served["oai-one"].calls == n + 1
            )
        await until(lambda n=n: rig.emulator.served["oai-one"].cancelled == n + 1)
    rig.behave("oai-one")
    stats = rig.built.engine.health()["oai/one"]
    assert (stats.state, stats.in_flight) == ("closed", 0)
    assert (await call(rig, "/v1/chat/completions", chat())).status == 200


async def test_a_client_that_closes_only_its_half_still_gets_its_answer(rig):
    rig.behave("oai-one", ttft_s=0.1)
    async with wire(rig) as connection:
        await connection.send(request("/v1/chat/completions", chat()))
        connection.writer.write_eof()
        data = await connection.rest()
    served = rig.emulator.served.get("oai-one")
    # A loop may close a connection whose other half is closed; either way nothing hangs or stays open.
    assert data.startswith(b"HTTP/1.1 200") or served is None or served.cancelled == 1
    await until(lambda: rig.gateway.n_open == 0)


async def test_leaving_while_waiting_in_line_frees_the_place():
    from tests.server.kit import rig as start

    def edit(text):
        return text.replace(
            "{model: oai/one,", "{model: oai/one, limits: {max_concurrency: 1, max_queue: 5},"
        )

    async with start(edit=edit) as rig:
        rig.behave("oai-one", Fault(kind="hang", first=1))
        async with wire(rig) as first:
            await first.send(request("/v1/chat/completions", chat()))
            await until(lambda: "oai-one" in rig.emulator.served)
            async with wire(rig) as second:
                await second.send(request("/v1/chat/completions", chat()))
                await until(lambda: rig.gateway.n_open == 2)
            await until(lambda: rig.gateway.n_open == 1)
        await until(lambda: rig.gateway.n_open == 0)
        assert (await call(rig, "/v1/chat/completions", chat())).status == 200
        assert [record.outcome.error for record in await rig.records()] == ["client_closed"] * 2 + [None]


async def test_a_body_that_never_ends_is_forgotten_with_its_client(rig):
    async with wire(rig) as connection:
        await connection.send(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"
        )
        await until(lambda: rig.gateway.n_open == 1)
    await until(lambda: rig.gateway.n_open == 0)
    assert await rig.records() == ()


async def test_nothing_is_left_open_after_many_clients_left(rig):
    rig.behave("oai-one", tokens_per_s=20)
    for at in range(20):
        async with wire(rig) as connection:
            await connection.send(request("/v1/chat/completions", chat(stream=at % 2 == 0)))
            if at % 2 == 0:
                await connection.head()
    await until(lambda: rig.gateway.n_open == 0)
    await until(lambda: rig.built.engine.health()["oai/one"].in_flight == 0)
    assert len(asyncio.all_tasks()) < 20
