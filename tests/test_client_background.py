"""The SDK's background jobs: handed in, waited for, found again after a restart."""

from datetime import UTC, datetime, timedelta

import pytest

from turnout import AsyncClient, Client, ContextLengthExceeded, InvalidRequest, ModelNotFound, TimeoutTotal
from turnout.config import parse_config
from turnout.errors import Conflict, NotFound
from turnout.testing.emulator import Behaviour, Emulator, Fault, dialects
from turnout.testing.emulator.serve import serving_in_thread


@pytest.fixture
def emulator():
    return Emulator(dialects())


@pytest.fixture
def config(emulator, tmp_path):
    with serving_in_thread(emulator) as url:
        yield parse_config(
            f"""
providers: {{oai: {{vendor: openai, base_url: "{url}/v1", secret: x}}}}
models: [{{model: oai/one, price: {{input: 1, output: 2}}}}]
journal: {{enabled: false}}
background: {{path: {tmp_path}/jobs.db, lease_s: 1}}
""",
            env={},
        )


async def test_a_job_is_handed_in_and_waited_for(config):
    async with AsyncClient(config) as client:
        job = await client.background("Hello", model="oai/one", deadline=3600, temperature=0.1)
        answer = await job.wait()
        direct = await client.chat("Hello", model="oai/one", temperature=0.1)
        assert (await job.look()).state == "done"
    assert (answer.text, answer.model, answer.usage) == (direct.text, "oai/one", direct.usage)
    assert (answer.cost_nusd, answer.cost_state) == (direct.cost_nusd, "exact")


async def test_a_job_is_found_again_after_a_restart(config, emulator):
    emulator.add("one", behaviour=Behaviour(ttft_s=30.0))
    async with AsyncClient(config) as client:
        job = await client.background("Hello", model="oai/one", idempotency_key="k")
        again = await client.background("Hello", model="oai/one", idempotency_key="k")
        assert again.id == job.id
    emulator.add("one", behaviour=Behaviour())
    async with AsyncClient(config) as client:
        assert (await client.job(job.id).wait()).model == "oai/one"
        with pytest.raises(NotFound):
            await client.job("job_none").wait()


async def test_how_a_job_failed_is_raised_where_it_is_waited_for(config, emulator):
    emulator.add("one", behaviour=Behaviour(faults=(Fault(kind="context"),)))
    async with AsyncClient(config) as client:
        job = await client.background("Hello", model="oai/one")
        with pytest.raises(ContextLengthExceeded):
            await job.wait()
        emulator.add("one", behaviour=Behaviour(ttft_s=30.0))
        late = await client.background("Hello", model="oai/one", deadline=0.3)
        with pytest.raises(TimeoutTotal, match="was not done by"):
            await late.wait()
        dropped = await client.background("Hello", model="oai/one")
        assert (await dropped.cancel()).state == "cancelled"
        with pytest.raises(Conflict, match="was cancelled"):
            await dropped.wait()


async def test_what_cannot_be_served_is_refused_when_it_is_handed_in(config):
    async with AsyncClient(config) as client:
        with pytest.raises(InvalidRequest, match=r"use client\.background"):
            await client.chat("Hello", model="oai/one", turnout={"background": {}})
        with pytest.raises(ModelNotFound):
            await client.background("Hello", model="oai/none")
        with pytest.raises(InvalidRequest, match="deadline has passed"):
            await client.background(
                "Hello", model="oai/one", deadline=datetime.now(UTC) - timedelta(seconds=1)
            )
        with pytest.raises(InvalidRequest, match="what JSON cannot say"):
            await client.background("Hello", model="oai/one", user=object())


def test_the_synchronous_client_does_the_same(config):
    with Client(config) as client:
        job = client.background("Hello", model="oai/one")
        assert client.job(job.id).wait().model == "oai/one"
        assert job.look().state == job.cancel().state == "done"


async def test_without_a_queue_the_error_says_what_to_set():
    mine = "providers: {p: {base_url: 'http://127.0.0.1:9/v1', auth: none}}"
    config = parse_config(f"{mine}\nmodels: [p/m]\njournal: {{enabled: false}}", env={})
    async with AsyncClient(config) as client:
        with pytest.raises(RuntimeError, match=r"set background\.path"):
            await client.background("Hello", model="p/m")
