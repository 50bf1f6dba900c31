"""The emulated provider, over real sockets, seen through our own client."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest

from turnout.client import AsyncClient
from turnout.config import Config, JournalConfig, ModelConfig, ProviderConfig, TimeoutsConfig
from turnout.errors import TurnoutError
from turnout.testing.emulator import Behaviour, Emulator, Fault, Script, Scripted, Served, dialects, serving
from turnout.testing.emulator.example import example
from turnout.testing.emulator.script import count_tokens
from turnout.types.event import TextDelta

WIRES = {
    "o": ("/v1", "openai_chat"),
    "a": ("/v1", "anthropic"),
    "g": ("/v1beta", "gemini"),
    "c": ("/v2", "cohere"),
    "b": ("", "bedrock"),
    "n": ("", "ollama"),
}
"""Provider in these tests -> path and wire format."""


@pytest.fixture
def emulator() -> Emulator:
    return Emulator(dialects())


@pytest.fixture
async def url(emulator: Emulator) -> AsyncIterator[str]:
    async with serving(emulator) as address:
        yield address


@pytest.fixture
async def web(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url) as client:
        yield client


def config(url: str) -> Config:
    return Config(
        providers={
            name: ProviderConfig(base_url=url + path, codec=wire)  # type: ignore[arg-type]
            for name, (path, wire) in WIRES.items()
        },
        models=tuple(ModelConfig(model=f"{name}/m") for name in WIRES),
        max_retries=0,
        journal=JournalConfig(enabled=False),
        timeouts=TimeoutsConfig(first_byte_s=0.3, idle_s=0.3),
    )


@pytest.fixture
async def client(url: str) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(config(url)) as engine:
        yield engine


# What it answers


@pytest.mark.parametrize("provider", WIRES)
async def test_an_answer_is_complete_and_counted_by_the_rule(
    client: AsyncClient, emulator: Emulator, provider: str
) -> None:
    answer = await client.chat("two words", model=f"{provider}/m")
    assert answer.text == "This is an emulated answer of m. You wrote 9 characters, beginning: two words"
    assert answer.usage is not None
    assert (answer.usage.n_input, answer.usage.n_output) == (3, count_tokens(answer.text))
    assert emulator.served == {"m": Served(calls=1, input_tokens=3, output_tokens=20)}


@pytest.mark.parametrize("provider", WIRES)
async def test_a_stream_is_the_same_answer_word_by_word(
    client: AsyncClient, emulator: Emulator, provider: str
) -> None:
    whole = await client.chat("two words", model=f"{provider}/m")
    async with client.stream("two words", model=f"{provider}/m") as stream:
        pieces = [event.text async for event in stream if isinstance(event, TextDelta) and event.text]
    assert "".join(pieces) == whole.text
    assert len(pieces) == len(whole.text.split())
    assert stream.answer.usage == whole.usage
    assert emulator.served == {"m": Served(calls=2, input_tokens=6, output_tokens=40)}


@pytest.mark.parametrize("provider", WIRES)
async def test_an_offered_tool_is_called_once_with_arguments_that_fit(
    client: AsyncClient, provider: str
) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool = {"type": "function", "function": {"name": "weather", "parameters": schema}}
    asked = {"role": "user", "content": "How is the weather?"}
    first = await client.chat([asked], model=f"{provider}/m", tools=[tool])
    [call] = first.tool_calls
    assert (call.name, msgspec.json.decode(call.arguments)) == ("weather", {"city": "example"})
    called = {"id": call.id, "type": "function", "function": {"name": "weather", "arguments": call.arguments}}
    turns = [
        asked,
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": call.id, "content": "rain"},
    ]
    second = await client.chat(turns, model=f"{provider}/m", tools=[tool])
    assert second.tool_calls == ()
    assert second.text.startswith("This is an emulated answer of m.")


async def test_a_structured_answer_has_the_shape(client: AsyncClient) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    shape = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    answer = await client.chat("a number", model="o/m", response_format=shape)
    assert msgspec.json.decode(answer.text) == {"n": 1}


async def test_a_script_answers_known_questions_and_keeps_the_output_limit(
    client: AsyncClient, emulator: Emulator
) -> None:
    emulator.follow(Script(models={"m": Scripted(answers={"6 x 7?": "It is forty-two."})}))
    assert (await client.chat("6 x 7?", model="g/m")).text == "It is forty-two."
    short = await client.chat("6 x 7?", model="a/m", max_tokens=2)
    assert (short.text, short.response.choices[0].finish) == ("It is fo", "length")
    assert (await client.chat("6 x 8?", model="o/m")).text.startswith("This is an emulated answer of m.")


@pytest.mark.parametrize("provider", ["o", "g"])
async def test_vectors_are_stable_and_counted(client: AsyncClient, emulator: Emulator, provider: str) -> None:
    one = await client.embed(["north", "south"], model=f"{provider}/m")
    two = await client.embed(["south"], model=f"{provider}/m")
    assert one.vectors[1] == two.vectors[0] != one.vectors[0]
    assert sum(x * x for x in two.vectors[0]) == pytest.approx(1)
    assert emulator.served == {"m": Served(calls=2, input_tokens=6)}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (
            {"type": "object", "properties": {"a": {"enum": ["x", "y"]}, "b": {}}, "required": ["a"]},
            {"a": "x"},
        ),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [True, True]),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string", "minLength": 9}}}, "examplexx"),
        ({"anyOf": [{"type": "number", "minimum": 3}, {"type": "null"}]}, 3),
        ({"type": ["string", "null"], "format": "date"}, "2026-01-31"),
        ({"$ref": "#"}, None),
    ],
)
def test_an_example_fits_its_schema(schema: dict[str, object], value: object) -> None:
    assert example(schema) == value  # type: ignore[arg-type]


# How it fails


async def read_to_the_end(client: AsyncClient, model: str, said: list[str]) -> None:
    async with client.stream("one two three four", model=model) as stream:
        async for event in stream:
            said += [event.text] if isinstance(event, TextDelta) else []


CLASSES = {
    "rate_limit": "provider_rate_limited",
    "overloaded": "provider_overloaded",
    "server_error": "provider_error",
    "auth": "provider_auth",
    "model_gone": "provider_model_unavailable",
    "context": "context_length_exceeded",
    "filtered": "content_filtered",
    "hang": "timeout_ttft",
    "cut": "provider_bad_response",
    "half_frame": "provider_bad_response",
    "garbage": "provider_bad_response",
    "html": "provider_error",
    "error_in_200": "provider_overloaded",
    "wrong_length": "stream_interrupted",
    "close": "provider_unreachable",
}
"""Fault -> the class our client makes of it, whatever the wire format."""
IN_STREAM = {**CLASSES, "cut": "stream_interrupted", "half_frame": "stream_interrupted"}
EXCEPTIONS = {
    ("o", "error_in_200"): "provider_error"  # its error object has no word for being overloaded
}


@pytest.mark.parametrize("provider", WIRES)
@pytest.mark.parametrize("kind", CLASSES)
async def test_a_fault_is_recognised(
    client: AsyncClient, emulator: Emulator, kind: str, provider: str
) -> None:
    emulator.add("m", behaviour=Behaviour(faults=(Fault(kind=kind),)))  # type: ignore[arg-type]
    with pytest.raises(TurnoutError) as caught:
        await client.chat("one two three four", model=f"{provider}/m")
    assert caught.value.row.word == EXCEPTIONS.get((provider, kind), CLASSES[kind])
    assert emulator.served["m"].failed == 1


@pytest.mark.parametrize("provider", WIRES)
@pytest.mark.parametrize("kind", CLASSES)
async def test_a_fault_is_recognised_in_a_stream(
    client: AsyncClient, emulator: Emulator, kind: str, provider: str
) -> None:
    emulator.add("m", behaviour=Behaviour(faults=(Fault(kind=kind),)))  # type: ignore[arg-type]
    with pytest.raises(TurnoutError) as caught:
        await read_to_the_end(client, f"{provider}/m", [])
    assert caught.value.row.word == EXCEPTIONS.get((provider, kind), IN_STREAM[kind])
    assert emulator.served["m"].failed == 1


@pytest.mark.parametrize("provider", WIRES)
async def test_a_cut_stream_counts_what_was_sent(
    client: AsyncClient, emulator: Emulator, provider: str
) -> None:
    emulator.add("m", behaviour=Behaviour(faults=(Fault(kind="cut", after_chunks=4),)))
    said: list[str] = []
    with pytest.raises(TurnoutError, match="ended"):
        await read_to_the_end(client, f"{provider}/m", said)
    assert "".join(said) == "This is an emulated "
    assert emulator.served["m"].output_tokens == count_tokens("".join(said))


async def test_a_client_that_leaves_cancels_the_call(client: AsyncClient, emulator: Emulator) -> None:
    emulator.add("m", behaviour=Behaviour(tokens_per_s=20))
    async with client.stream("hello", model="a/m") as stream:
        async for event in stream:
            if isinstance(event, TextDelta) and event.text:
                break
    async with asyncio.timeout(5):
        while emulator.served["m"].cancelled == 0:  # noqa: ASYNC110  the emulator tells nobody
            await asyncio.sleep(0.005)
    assert emulator.served["m"].output_tokens < 5


async def test_the_wait_that_a_rate_limit_names_comes_through(
    client: AsyncClient, emulator: Emulator
) -> None:
    emulator.add("m", behaviour=Behaviour(faults=(Fault(kind="rate_limit", retry_after_s=7),)))
    with pytest.raises(TurnoutError) as caught:
        await client.chat("hi", model="g/m")
    assert caught.value.retry_after_s == 7


async def test_calls_over_the_rate_are_refused_until_the_minute_is_over(
    web: httpx.AsyncClient, emulator: Emulator
) -> None:
    emulator.add("m", behaviour=Behaviour(rpm=2))
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    answers = [await web.post("/v1/chat/completions", json=body) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 58 <= int(answers[2].headers["retry-after"]) <= 60
    assert emulator.served["m"] == Served(calls=3, failed=1, input_tokens=2, output_tokens=36)


async def test_a_prompt_over_the_window_is_refused(client: AsyncClient, emulator: Emulator) -> None:
    emulator.add("m", behaviour=Behaviour(context_window=10))
    assert (await client.chat("x" * 40, model="o/m")).text
    with pytest.raises(TurnoutError) as caught:
        await client.chat("x" * 41, model="o/m")
    assert caught.value.row.word == "context_length_exceeded"


async def test_faults_hit_a_share_of_the_first_calls_and_repeat_with_the_seed(url: str) -> None:
    async def run() -> list[bool]:
        emulator = Emulator(dialects(), seed=5)
        emulator.add("m", behaviour=Behaviour(faults=(Fault(kind="server_error", share=0.5, first=8),)))
        async with serving(emulator) as there, httpx.AsyncClient(base_url=there) as web:
            body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
            codes = [(await web.post("/v1/chat/completions", json=body)).status_code for _ in range(12)]
        return [code == 200 for code in codes]

    first, second = await run(), await run()
    assert first == second
    assert 0 < first[:8].count(False) < 8
    assert first[8:] == [True] * 4


async def test_a_provider_goes_down_after_so_many_calls(client: AsyncClient, emulator: Emulator) -> None:
    emulator.add("m", behaviour=Behaviour(fail_after=1))
    await client.chat("hi", model="o/m")
    with pytest.raises(TurnoutError) as caught:
        await client.chat("hi", model="o/m")
    assert caught.value.row.word == "provider_unreachable"


# How it is told what to do


async def test_behaviour_is_changed_over_http_and_consumption_is_told(web: httpx.AsyncClient) -> None:
    change = {"m": {"faults": [{"kind": "model_gone"}]}}
    assert (await web.post("/emulator/behaviour", json=change)).status_code == 200
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    answer = await web.post("/v1/messages", json=body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found_error")
    assert answer.headers["x-emulated"] == "true"
    assert (await web.get("/emulator/served")).json() == {
        "m": {"calls": 1, "failed": 1, "cancelled": 0, "input_tokens": 0, "output_tokens": 0}
    }
    assert [row["id"] for row in (await web.get("/v1/models")).json()["data"]] == ["m"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/emulator/behaviour", b'{"m": {"speed": 1}}', 400),
        ("/v1/chat/completions", b'{"model": "m"', 400),
        ("/v1/embeddings", b'{"model": "m"}', 400),
        ("/v1/nowhere", b"{}", 404),
    ],
)
async def test_a_bad_call_is_an_error_answer(
    web: httpx.AsyncClient, path: str, body: bytes, status: int
) -> None:
    answer = await web.post(path, content=body)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]


async def test_the_process_serves_a_script_and_says_that_it_is_an_emulator(tmp_path) -> None:
    script = tmp_path / "script.json"
    script.write_text('{"models": {"m": {"answers": {"6 x 7?": "42"}}}}')
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "turnout.testing.emulator", "--models", "a,b", "--config", str(script)),
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        told = (await asyncio.wait_for(process.stderr.readline(), 30)).decode()
        address = told.split()[2].rstrip(",")
        async with httpx.AsyncClient(base_url=address) as web:
            ask = {"contents": [{"parts": [{"text": "6 x 7?"}]}]}
            answer = (await web.post("/v1beta/models/m:generateContent", json=ask)).json()
            listed = [row["id"] for row in (await web.get("/v1/models")).json()["data"]]
    finally:
        process.send_signal(signal.SIGINT)
        _, after = await process.communicate()
    assert told.endswith(", answers are emulated\n")
    assert (process.returncode, after) == (0, b"")
    assert answer["candidates"][0]["content"]["parts"][0]["text"] == "42"
    assert listed == ["m", "a", "b"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"models": []}', "Expected `object`, got `array` - at `$.models`"),
        (None, "No such file or directory"),
    ],
)
async def test_a_bad_script_is_one_line(tmp_path, text: str | None, complaint: str) -> None:
    script = tmp_path / "script.json"
    if text is not None:
        script.write_text(text)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "turnout.testing.emulator", "--config", str(script)),
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, told.decode()) == (2, f"emulator: {script}: {complaint}\n")
