"""Routes that wait for a vector: decided by it, or without it, over a real connection."""

import pytest

from tests.server.kit import SECRET
from turnout import AsyncClient
from turnout.config import parse_config
from turnout.registry import register
from turnout.signals import embed
from turnout.signals.embed import EmbedSense
from turnout.testing.emulator import Emulator, dialects
from turnout.testing.emulator.serve import serving_in_thread

CONFIG = """
providers:
  oai: {{vendor: openai, base_url: "{url}/v1", secret: {secret}}}
models: [oai/one, oai/two, oai/vectors]
signals: {{deadline_s: 30, remote: {{model: {model}, dimensions: 8, deadline_s: 30}}}}
routes:
  - name: main
    models: [oai/one, oai/two]
    strategy:
      type: rules
      rules: [{{when: '{when}', models: [oai/two]}}]
default_route: main
journal: {{enabled: false}}
"""


@pytest.fixture
def emulator():
    return Emulator(dialects())


@pytest.fixture
def config(emulator):
    with serving_in_thread(emulator) as url:
        yield lambda when, model="oai/vectors": parse_config(
            CONFIG.format(url=url, secret=SECRET, when=when, model=model), env={}
        )


async def test_a_decision_waits_for_a_vector_from_a_provider_and_asks_once(config, emulator) -> None:
    made = config('signal.embed.remote == "remote/oai/vectors/8"')
    async with AsyncClient(made) as client:
        answers = [await client.chat("Where is my card?") for _ in range(2)]
    assert [answer.model for answer in answers] == ["oai/two", "oai/two"]
    assert emulator.served["vectors"].calls == 1


async def test_without_the_vector_the_decision_goes_on(config, emulator) -> None:
    made = config('signal.embed.remote == "remote/oai/nowhere/8"', "oai/nowhere")
    async with AsyncClient(made) as client:
        answer = await client.chat("Where is my card?")
    assert answer.model == "oai/one"


async def test_an_encoder_that_was_installed_gets_its_signal_in_a_thread(config, monkeypatch) -> None:
    register("turnout.encoders", "installed", lambda: embed.encoder_of("hash"))
    made = config('signal.embed.installed == "hash-1-2/256/2"')
    async with AsyncClient(made) as client:
        answer = await client.chat("Where is my card?")
        (sense,) = (
            s for s in client._engine.engine.snapshot.routes["main"].senses if isinstance(s, EmbedSense)
        )
    assert (answer.model, sense.off_loop) == ("oai/two", True)
