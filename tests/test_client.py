"""The SDK: the engine in process, with and without `await`."""

import asyncio
import gc
import json
import os
import socket
import threading
import time

import msgspec
import pytest

import turnout
from tests.server.kit import SECRET
from turnout import (
    AsyncClient,
    Client,
    ConfigError,
    Finish,
    ModelConfig,
    ModelNotFound,
    ProviderConfig,
    RouteConfig,
    StreamInterrupted,
    TextDelta,
    TimeoutTotal,
    TurnoutError,
    UsageUpdate,
)
from turnout.config import Config, JournalConfig, parse_config
from turnout.errors import InvalidRequest, ProviderFailed
from turnout.testing.emulator import Behaviour, Emulator, Fault, dialects
from turnout.testing.emulator.serve import serving_in_thread
from turnout.testing.emulator.vectors import vector
from turnout.types.secret import Secret

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def said(model, text):
    return f"This is an emulated answer of {model}. You wrote {len(text)} characters, beginning: {text}"


def soon(claim):
    until = time.monotonic() + 2
    while not claim() and time.monotonic() < until:
        time.sleep(0.005)


@pytest.fixture
def emulator():
    return Emulator(dialects())


@pytest.fixture
def config(emulator):
    with serving_in_thread(emulator) as url:
        yield parse_config(
            f"""
providers:
  oai: {{vendor: openai, base_url: "{url}/v1", secret: {SECRET}}}
  ant: {{vendor: anthropic, base_url: "{url}/v1", secret: {SECRET}}}
models:
  - {{model: oai/one, price: {{input: 1, output: 2}}}}
  - {{model: ant/two, price: {{input: 10, output: 20}}}}
  - oai/vectors
routes:
  - {{name: main, models: [oai/one, ant/two]}}
  - {{name: brief, models: [ant/two], total_s: 0.3}}
default_route: main
journal: {{enabled: false}}
""",
            env={},
        )


# Asynchronous


async def test_a_question_is_answered_with_who_why_and_what_it_took(config):
    async with AsyncClient(config) as client:
        answer = await client.chat("Hello")
    assert answer.text == said("one", "Hello")
    assert (answer.model, answer.tool_calls) == ("oai/one", ())
    assert answer.usage.n_input > 0
    assert answer.cost_nusd == answer.usage.n_input * 1000 + answer.usage.n_output * 2000
    assert answer.cost_state == "exact"
    assert (answer.decision.route, answer.decision.reason) == ("main", "highest_score")
    assert [attempt.outcome for attempt in answer.attempts] == ["ok"]
    assert answer.request_id.startswith("req_")


async def test_parameters_are_those_of_the_api_and_the_turnout_object(config):
    async with AsyncClient(config) as client:
        tools = await client.chat(
            [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Weather?"}],
            tools=[TOOL],
            tool_choice="auto",
            max_tokens=50,
            temperature=0.1,
            turnout={"avoid": ["oai"]},
        )
    assert tools.model == "ant/two"
    assert [(call.name, json.loads(call.arguments)) for call in tools.tool_calls] == [
        ("weather", {"city": "example"})
    ]


async def test_a_stream_yields_typed_events_and_then_the_answer(config):
    async with AsyncClient(config) as client:
        async with client.stream("Count", model="ant/two") as stream:
            events = [event async for event in stream]
        answer = stream.answer
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == said("two", "Count")
    assert [event.reason for event in events if isinstance(event, Finish)] == ["stop"]
    assert isinstance(events[-1], UsageUpdate) or isinstance(events[-2], UsageUpdate)
    assert answer.text == said("two", "Count")
    assert (answer.model, answer.cost_state) == ("ant/two", "exact")
    assert answer.cost_nusd > 0


async def test_a_stream_that_is_left_early_lets_go_of_the_upstream(config, emulator):
    emulator.add("two", behaviour=Behaviour(tokens_per_s=20))
    async with AsyncClient(config) as client:
        async with client.stream("Count", model="ant/two") as stream:
            async for _ in stream:
                break
        assert stream.answer.usage.n_input > 0
        await asyncio.to_thread(soon, lambda: emulator.served["two"].cancelled == 1)
    assert emulator.served["two"].cancelled == 1


async def test_vectors_come_in_order(config):
    async with AsyncClient(config) as client:
        one = await client.embed("a text", model="oai/vectors")
        two = await client.embed(["x", "y"], model="oai/vectors", dimensions=8)
    assert one.vectors == (pytest.approx(vector("a text", 32)),)
    assert two.vectors == (pytest.approx(vector("x", 8)), pytest.approx(vector("y", 8)))
    assert (one.model, one.usage.n_input > 0) == ("oai/vectors", True)


async def test_explain_decides_as_a_call_would_and_sends_nothing(config, emulator):
    async with AsyncClient(config) as client:
        told = client.explain("Hello", models=["ant/two", "oai/one"])
        assert emulator.served == {}
        answer = await client.chat("Hello", models=["ant/two", "oai/one"])
    assert told.chosen == answer.decision.chosen == ("ant/two", "oai/one")
    assert told.plan == answer.decision.plan


@pytest.mark.parametrize(
    ("kind", "raised"), [("server_error", ProviderFailed), ("cut", StreamInterrupted), ("auth", TurnoutError)]
)
async def test_failures_are_raised_as_their_classes(config, emulator, kind, raised):
    emulator.add("two", behaviour=Behaviour(faults=(Fault(kind=kind),)))
    async with AsyncClient(config) as client:
        with pytest.raises(raised) as caught:
            await read(client.stream("x", model="ant/two"))
    assert SECRET not in str(caught.value)


async def read(stream):
    async with stream:
        return [event async for event in stream]


async def test_a_wrong_parameter_is_told_before_anything_is_sent(config, emulator):
    async with AsyncClient(config) as client:
        with pytest.raises(InvalidRequest, match="temperature"):
            await client.chat("x", temperature="hot")
        with pytest.raises(InvalidRequest, match="Event"):
            await client.chat([{"role": "user", "content": threading.Event()}])
        with pytest.raises(ModelNotFound, match="did you mean 'oai/one'"):
            await client.chat("x", model="oai/onee")
        with pytest.raises(InvalidRequest, match=r"client.stream\(…\) streams"):
            await client.chat("x", stream=True)
        for nothing in (None, {"role": "user", "content": "x"}):
            with pytest.raises(InvalidRequest, match="messages: expected a text or a list"):
                await client.chat(nothing)
    assert emulator.served == {}


async def test_where_nothing_is_configured_the_failure_says_what_is_missing(monkeypatch):
    for name in [name for name in os.environ if name.endswith("_API_KEY")]:
        monkeypatch.delenv(name)
    async with AsyncClient(Config(journal=JournalConfig(enabled=False))) as client:
        with pytest.raises(ModelNotFound, match="none is configured, and no provider has its key in the env"):
            await client.chat("x")


async def test_a_client_is_entered_before_it_is_used_and_once(config):
    client = AsyncClient(config)
    with pytest.raises(RuntimeError, match="enter the client first"):
        await client.chat("x")
    async with client:
        with pytest.raises(RuntimeError, match="already entered"):
            await client.__aenter__()
        stream = client.stream("x")
        with pytest.raises(RuntimeError, match="enter the stream first"):
            await stream.batch()
        with pytest.raises(RuntimeError, match="enter the stream first"):
            _ = stream.answer
    await client.close()
    with pytest.raises(RuntimeError, match="enter the client first"):
        await client.chat("x")
    async with client:
        assert (await client.chat("again")).text


async def test_a_configuration_that_cannot_be_used_is_told_when_entering():
    client = AsyncClient(Config(models=("nobody/m",)))
    with pytest.raises(ConfigError, match="no vendor 'nobody' is known"):
        await client.__aenter__()


async def test_a_client_is_configured_by_a_file_or_by_objects(tmp_path, monkeypatch, config, emulator):
    url = config.providers["oai"].base_url
    made = Config(
        providers={"mine": ProviderConfig(base_url=url, secret=Secret(SECRET))},
        models=(ModelConfig(model="mine/one"),),
        routes=(RouteConfig(name="r", models=("mine/one",)),),
        journal=JournalConfig(path=str(tmp_path / "j.db")),
    )
    text = f"providers: {{mine: {{base_url: '{url}', secret: {SECRET}}}}}\nmodels: [mine/one]\n"
    (tmp_path / "turnout.yaml").write_text(text + "journal: {enabled: false}\n")
    monkeypatch.chdir(tmp_path)
    for given in (made, "turnout.yaml", tmp_path / "turnout.yaml", None):
        async with AsyncClient(given) as client:
            assert (await client.chat("Hello", model="mine/one")).text == said("one", "Hello")
    assert (tmp_path / "j.db").exists()


async def test_many_calls_at_once_share_a_client(config):
    async with AsyncClient(config) as client:
        answers = await asyncio.gather(*(client.chat(f"question {n}") for n in range(30)))
    assert [answer.text for answer in answers] == [said("one", f"question {n}") for n in range(30)]
    assert len({answer.request_id for answer in answers}) == 30


async def test_the_journal_and_the_answer_agree(config, tmp_path):

    from turnout.stores.sqlite import SqliteRows

    path = tmp_path / "j.db"
    kept = msgspec.structs.replace(config, journal=JournalConfig(path=str(path)))
    async with AsyncClient(kept) as client:
        answer = await client.chat("Hello")
    rows = SqliteRows(path)
    record = rows.get(answer.request_id)
    rows.close()
    assert (record.outcome.cost_nusd, record.outcome.usage) == (answer.cost_nusd, answer.usage)
    assert record.dialect == ""


# Synchronous


def test_feedback_on_an_answer_is_kept_beside_the_journal(config, tmp_path):
    path = str(tmp_path / "journal.db")
    with Client(msgspec.structs.replace(config, journal=JournalConfig(path=path))) as client:
        answer = client.chat("hello")
        heard = client.feedback(answer.request_id, "thumb", "up", source="mobile")
        assert (heard.score, heard.is_new, heard.request_id) == (1.0, True, answer.request_id)
        assert client.feedback(answer.request_id, "thumb", "down", source="mobile").is_new is False
        with pytest.raises(InvalidRequest, match="expected up, down"):
            client.feedback(answer.request_id, "thumb", "sideways")
        with pytest.raises(InvalidRequest, match="mood"):
            client.feedback(answer.request_id, "mood", 1)


def test_the_same_without_await(config):
    with Client(config) as client:
        answer = client.chat("Hello")
        told = client.explain("Hello")
        vectors = client.embed("x", model="oai/vectors")
        with client.stream("Count", model="ant/two") as stream:
            words = "".join(stream.text())
        streamed = stream.answer
    assert answer.text == said("one", "Hello")
    assert told.chosen == answer.decision.chosen
    assert len(vectors.vectors) == 1
    assert words == streamed.text == said("two", "Count")
    assert streamed.cost_state == "exact"


def test_threads_share_a_client(config):
    found = {}

    def work(n):
        if n % 2:
            found[n] = client.chat(f"q{n}").text
        else:
            with client.stream(f"q{n}") as stream:
                found[n] = "".join(stream.text())

    with Client(config) as client:
        threads = [threading.Thread(target=work, args=(n,)) for n in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert found == {n: said("one", f"q{n}") for n in range(12)}


def test_the_deadline_holds_while_a_stream_is_read(config, emulator):
    emulator.add("two", behaviour=Behaviour(tokens_per_s=10))
    pieces = []
    with (
        Client(config) as client,
        pytest.raises(TimeoutTotal),
        client.stream("x", model="turnout/brief") as stream,
    ):
        pieces.extend(stream)
    assert len(pieces) < 20, "two seconds at ten a second"


def test_a_stream_that_breaks_raises_where_it_is_read_and_once(config, emulator):
    emulator.add("two", behaviour=Behaviour(faults=(Fault(kind="cut"),)))
    with Client(config) as client, client.stream("x", model="ant/two") as stream:
        with pytest.raises(StreamInterrupted):
            list(stream)
        assert list(stream) == []
        assert stream.answer.text == "This is an "


def test_a_stream_that_cannot_be_opened_raises_on_entering(config, emulator):
    emulator.add("two", behaviour=Behaviour(faults=(Fault(kind="auth"),)))
    with Client(config) as client:
        with pytest.raises(TurnoutError), client.stream("x", model="ant/two"):
            raise AssertionError("it was entered")
        assert client.chat("x").text


def test_leaving_a_stream_early_lets_go_of_the_upstream(config, emulator):
    emulator.add("two", behaviour=Behaviour(tokens_per_s=20))
    with Client(config) as client:
        with client.stream("x", model="ant/two") as stream:
            next(iter(stream))
        with pytest.raises(ZeroDivisionError), client.stream("x", model="ant/two") as stream:
            _ = len([next(iter(stream))]) / 0
        soon(lambda: emulator.served["two"].cancelled == 2)
    assert emulator.served["two"].cancelled == 2


def test_closing_twice_is_closing_once_and_leaves_no_thread(config):
    before = threading.active_count()
    client = Client(config)
    client.chat("x")
    client.close()
    client.close()
    with client:
        pass
    assert threading.active_count() == before
    for use in (
        lambda: client.chat("x"),
        lambda: client.explain("x"),
        lambda: client.stream("x").__enter__(),
    ):
        with pytest.raises(RuntimeError, match="closed"):
            use()


def test_closing_breaks_off_what_is_under_way(config, emulator):
    emulator.add("two", behaviour=Behaviour(faults=(Fault(kind="hang"),)))
    client = Client(config)
    failures = []

    def wait():
        try:
            client.chat("x", model="ant/two")
        except BaseException as error:  # noqa: BLE001
            failures.append(type(error).__name__)

    thread = threading.Thread(target=wait)
    thread.start()
    soon(lambda: "two" in emulator.served)
    client.close()
    thread.join(5)
    assert failures == ["RuntimeError"]


def test_a_bad_configuration_leaves_no_thread():
    before = threading.active_count()
    with pytest.raises(ConfigError):
        Client(Config(models=("nobody/m",)))
    assert threading.active_count() == before


def test_a_client_works_beside_a_running_event_loop(config):
    async def main():
        return await asyncio.to_thread(use), use()

    def use():
        with Client(config) as client:
            return client.chat("x").text

    assert asyncio.run(main()) == (said("one", "x"),) * 2


def test_a_stream_nobody_left_does_not_stop_the_client_from_closing(config):
    client = Client(config)
    stream = client.stream("x", model="ant/two")
    stream.__enter__()
    next(iter(stream))
    client.close()
    gc.collect()
    with pytest.raises(RuntimeError, match="closed"):
        next(iter(stream))


# Recommending


def test_recommending_needs_no_credential_and_no_socket(monkeypatch):
    opened = []

    def refuse(*args, **kwargs):
        opened.append(args)
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    names = ["openai/gpt-5.4-mini", "anthropic/claude-haiku-4-5"]
    ranked = AsyncClient(Config()).recommend("Hello", models=names)
    assert {each.model for each in ranked.ranked} == set(names)
    assert opened == []
    with pytest.raises((ConfigError, TurnoutError)):
        AsyncClient(Config()).recommend("Hello", models=["nobody/m"])


def test_public_names_of_the_sdk_are_where_people_look():
    for name in (
        "Client",
        "AsyncClient",
        "Stream",
        "AsyncStream",
        "Answer",
        "Vectors",
        "Config",
        "load_config",
    ):
        assert name in turnout.__all__
        assert getattr(turnout, name).__doc__
