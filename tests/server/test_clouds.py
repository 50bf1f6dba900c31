"""The official clients against the gateway, with upstreams of other formats and behind clouds' envelopes."""

import base64
import json
from contextlib import AsyncExitStack, asynccontextmanager

import anthropic
import openai
import pytest

from tests.server.kit import Fault, gateway
from turnout.codecs.eventstream import EventStreamParser
from turnout.server.http import read_body, respond
from turnout.testing.emulator import Behaviour, Emulator, dialects, serving
from turnout.testing.emulator.script import reply_with
from turnout.types.chat import Reasoning, Text

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
NAMES = ("cohere", "bedrock", "ollama", "azure", "vertex", "vertex_claude", "invoke")
BEDROCK = (
    "auth: sigv4, secret: 'AKIDEXAMPLEEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY', region: eu-west-1"
)


def config_text(base, token_url, key):
    login = json.dumps(
        {"type": "service_account", "client_email": "a@b", "private_key": key, "token_uri": token_url}
    )
    google = f"auth: google, secret: {json.dumps(login)}"
    return f"""
server: {{port: 0}}
journal: {{enabled: false}}
max_retries: 0
providers:
  cohere: {{base_url: "{base}/v2", codec: cohere, secret: k}}
  bedrock: {{base_url: "{base}", codec: bedrock, {BEDROCK}}}
  ollama: {{base_url: "{base}", codec: ollama, auth: none}}
  azure:
    base_url: "{base}/openai/v1"
    codec: openai_chat
    host: azure
    api_version: '2024-10-21'
    auth: api-key
    secret: k
  vertex: {{base_url: "{base}/v1/projects/p/locations/eu", codec: gemini, host: vertex, {google}}}
  vertex_claude: {{base_url: "{base}/v1/projects/p/locations/eu", codec: anthropic, host: vertex, {google}}}
  invoke: {{base_url: "{base}", codec: anthropic, host: bedrock_invoke, {BEDROCK}}}
models: [{", ".join(f"{name}/m" for name in NAMES)}]
"""


class Upstream:
    """An emulator with a token endpoint beside it; keeps paths and credentials of what it was asked."""

    def __init__(self):
        self.emulator = Emulator(dialects())
        self.asked = []
        self.tokens = 0

    async def __call__(self, scope, receive, send):
        if scope["path"] == "/token":
            self.tokens += 1
            await read_body(receive, 65_536, None, "")
            await respond(
                send, 200, [(b"content-type", b"application/json")], b'{"access_token":"t","expires_in":3600}'
            )
            return
        headers = dict(scope["headers"])
        self.asked.append(
            (
                scope["raw_path"].decode(),
                scope["query_string"].decode(),
                headers.get(b"authorization", headers.get(b"api-key", b"")).decode(),
            )
        )
        await self.emulator(scope, receive, send)


@pytest.fixture(scope="module")
def key():
    rsa = pytest.importorskip(
        "cryptography.hazmat.primitives.asymmetric.rsa", reason="the extra vertex is missing"
    )
    from cryptography.hazmat.primitives import serialization as s

    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return made.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()).decode()


@asynccontextmanager
async def clouds(key):
    async with AsyncExitStack() as stack:
        upstream = Upstream()
        base = await stack.enter_async_context(serving(upstream))
        rig = await stack.enter_async_context(gateway(config_text(base, f"{base}/token", key)))
        rig.emulator, rig.clouds = upstream.emulator, upstream
        yield rig


@pytest.fixture
async def rig(key):
    async with clouds(key) as running:
        yield running


def ai(rig):
    return openai.AsyncOpenAI(base_url=f"{rig.url}/v1", api_key="unused", max_retries=0)


def hello(name, **members):
    return {"model": f"{name}/m", "messages": [{"role": "user", "content": "Hi"}], **members}


@pytest.mark.parametrize("name", NAMES)
async def test_a_question_is_answered_whole_and_as_a_stream(rig, name):
    async with ai(rig) as client:
        answer = await client.chat.completions.create(**hello(name))
        stream = await client.chat.completions.create(
            **hello(name, stream=True, stream_options={"include_usage": True})
        )
        chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert answer.choices[0].message.content.startswith("This is an emulated answer of m.")
    assert (text, answer.choices[0].finish_reason) == (answer.choices[0].message.content, "stop")
    assert answer.usage.prompt_tokens > 0 < answer.usage.completion_tokens
    assert chunks[-1].usage == answer.usage


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("streams", [False, True])
async def test_a_tool_is_called_and_its_result_read(rig, name, streams):
    messages = [{"role": "user", "content": "Weather in Paris?"}]
    async with ai(rig) as client:
        if streams:
            async with client.chat.completions.stream(
                model=f"{name}/m", messages=messages, tools=[WEATHER]
            ) as stream:
                first = await stream.get_final_completion()
        else:
            first = await client.chat.completions.create(
                model=f"{name}/m", messages=messages, tools=[WEATHER]
            )
        message = first.choices[0].message
        (call,) = message.tool_calls
        messages += [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [call.model_dump(exclude={"function": {"parsed_arguments"}})],
            },
            {"role": "tool", "tool_call_id": call.id, "content": "22 degrees"},
        ]
        second = await client.chat.completions.create(model=f"{name}/m", messages=messages, tools=[WEATHER])
    assert (first.choices[0].finish_reason, call.function.name) == ("tool_calls", "weather")
    assert json.loads(call.function.arguments) == {"city": "example"}
    assert second.choices[0].message.content.startswith("This is an emulated answer")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("kind", "error", "status"),
    [
        ("rate_limit", openai.RateLimitError, 429),
        ("overloaded", openai.InternalServerError, 503),
        ("context", openai.BadRequestError, 400),
        ("server_error", openai.InternalServerError, 502),
    ],
)
async def test_a_failure_is_the_class_the_client_knows(rig, name, kind, error, status):
    rig.emulator.add("m", behaviour=Behaviour(faults=(Fault(kind=kind),)))
    async with ai(rig) as client:
        with pytest.raises(error) as caught:
            await client.chat.completions.create(**hello(name))
    assert caught.value.status_code == status


@pytest.mark.parametrize("name", ["cohere", "bedrock", "ollama"])
async def test_thoughts_come_through(rig, name):
    rig.emulator.add(
        "m", lambda request: reply_with(request, (Reasoning(text="Hm."), Text("Yes")), model="m")
    )
    async with ai(rig) as client:
        answer = await client.chat.completions.create(**hello(name))
    message = answer.choices[0].message
    assert (message.reasoning_content, message.content) == ("Hm.", "Yes")


@pytest.mark.parametrize("name", ["cohere", "ollama", "azure"])
async def test_vectors_come_through(rig, name):
    async with ai(rig) as client:
        found = await client.embeddings.create(model=f"{name}/m", input=["a", "b"])
    assert [len(each.embedding) for each in found.data] == [32, 32]


async def test_every_cloud_is_addressed_and_authorised_as_it_wants(rig):
    async with ai(rig) as client:
        for name in NAMES:
            await client.chat.completions.create(**hello(name))
    said = dict(zip(NAMES, rig.clouds.asked, strict=True))
    assert {name: (path, query) for name, (path, query, _) in said.items()} == {
        "cohere": ("/v2/chat", ""),
        "bedrock": ("/model/m/converse", ""),
        "ollama": ("/api/chat", ""),
        "azure": ("/openai/deployments/m/chat/completions", "api-version=2024-10-21"),
        "vertex": ("/v1/projects/p/locations/eu/publishers/google/models/m:generateContent", ""),
        "vertex_claude": ("/v1/projects/p/locations/eu/publishers/anthropic/models/m:rawPredict", ""),
        "invoke": ("/model/m/invoke", ""),
    }
    assert {name: credential.partition(", Signed")[0] for name, (_, _, credential) in said.items()} == {
        "cohere": "Bearer k",
        "bedrock": said["bedrock"][2].partition(", Signed")[0],
        "ollama": "",
        "azure": "k",
        "vertex": "Bearer t",
        "vertex_claude": "Bearer t",
        "invoke": said["invoke"][2].partition(", Signed")[0],
    }
    for name in ("bedrock", "invoke"):
        assert said[name][2].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLEEXAMPLE/")
        assert "/eu-west-1/bedrock/aws4_request" in said[name][2]


async def test_a_token_is_fetched_once_per_login_and_host(rig):
    async with ai(rig) as client:
        for _ in range(3):
            await client.chat.completions.create(**hello("vertex"))
    assert rig.clouds.tokens == 1


@pytest.mark.parametrize("name", ["invoke", "vertex_claude"])
async def test_a_client_of_the_carried_format_gets_its_own_stream(rig, name):
    async with anthropic.AsyncAnthropic(base_url=rig.url, api_key="unused", max_retries=0) as client:
        stream = await client.messages.create(
            model=f"{name}/m", max_tokens=100, messages=[{"role": "user", "content": "Hi"}], stream=True
        )
        events = [event async for event in stream]
    kinds = [event.type for event in events]
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
    assert "".join(e.delta.text for e in events if e.type == "content_block_delta").startswith("This is")


async def test_an_emulated_framed_stream_is_what_the_provider_sends(rig):
    import httpx

    body = {"anthropic_version": "v", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    base = rig.built.engine.snapshot.deployments["invoke/m"].url
    async with httpx.AsyncClient() as web:
        got = await web.post(f"{base}/model/m/invoke-with-response-stream", json=body)
    names = [
        json.loads(base64.b64decode(json.loads(frame.payload)["bytes"]))["type"]
        for frame in EventStreamParser().feed(got.content)
    ]
    assert (names[0], names[-1]) == ("message_start", "message_stop")
