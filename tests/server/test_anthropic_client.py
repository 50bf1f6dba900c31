"""The official anthropic client against the running gateway, and every dialect against every format."""

import json

import anthropic
import pytest

from tests.server.kit import Fault, call, chat, data_of, frames, message, until
from turnout.testing.emulator.script import reply_with
from turnout.types.chat import ToolCall

UPSTREAMS = ("oai/one", "ant/one", "gem/one")
WEATHER = {
    "name": "weather",
    "description": "Weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def client(rig, **options):
    return anthropic.AsyncAnthropic(base_url=rig.url, api_key="unused", max_retries=0, **options)


def said(model, text):
    name = model.replace("/", "-")
    return f"This is an emulated answer of {name}. You wrote {len(text)} characters, beginning: {text}"


@pytest.mark.parametrize("model", UPSTREAMS)
async def test_a_question_is_answered(rig, model):
    async with client(rig) as ai:
        raw = await ai.messages.with_raw_response.create(
            model=model, max_tokens=100, system="Be brief.", messages=[{"role": "user", "content": "Hi"}]
        )
    answer = await raw.parse()
    assert (answer.content[0].type, answer.content[0].text) == ("text", said(model, "Hi"))
    assert (answer.role, answer.stop_reason) == ("assistant", "end_turn")
    assert answer.usage.input_tokens > 0
    assert answer.usage.output_tokens > 0
    assert raw.headers["request-id"] == raw.headers["x-turnout-request-id"] == answer._request_id
    assert raw.headers["x-turnout-model"] == model


@pytest.mark.parametrize("model", UPSTREAMS)
async def test_a_stream_is_accumulated_by_the_client(rig, model):
    async with (
        client(rig) as ai,
        ai.messages.stream(
            model=model, max_tokens=100, messages=[{"role": "user", "content": "Count please"}]
        ) as stream,
    ):
        words = [text async for text in stream.text_stream]
        final = await stream.get_final_message()
    assert "".join(words) == final.content[0].text == said(model, "Count please")
    assert len(words) > 5
    assert final.stop_reason == "end_turn"
    assert final.usage.output_tokens > 0


@pytest.mark.parametrize("model", UPSTREAMS)
async def test_a_tool_is_called_and_its_result_read(rig, model):
    messages = [{"role": "user", "content": "Weather in Paris?"}]
    async with client(rig) as ai:
        first = await ai.messages.create(model=model, max_tokens=100, messages=messages, tools=[WEATHER])
        use = next(block for block in first.content if block.type == "tool_use")
        result = {"type": "tool_result", "tool_use_id": use.id, "content": "22 degrees"}
        messages += [
            {
                "role": "assistant",
                "content": [block.model_dump(exclude_none=True) for block in first.content],
            },
            {"role": "user", "content": [result]},
        ]
        second = await ai.messages.create(model=model, max_tokens=100, messages=messages, tools=[WEATHER])
    assert first.stop_reason == "tool_use"
    assert (use.name, use.input) == ("weather", {"city": "example"})
    assert second.stop_reason == "end_turn"
    assert second.content[0].text.startswith("This is an emulated answer")


@pytest.mark.parametrize("model", UPSTREAMS)
async def test_parallel_tool_uses_stream_as_blocks_in_turn(rig, model):
    def calls(request):
        parts = [
            ToolCall(id=f"call0000{at}", name="weather", arguments=json.dumps({"city": city}))
            for at, city in enumerate(("Paris", "Rome"))
        ]
        return reply_with(request, tuple(parts), model="x")

    rig.emulator.add(model.replace("/", "-"), calls)
    async with (
        client(rig) as ai,
        ai.messages.stream(
            model=model, max_tokens=100, messages=[{"role": "user", "content": "Compare"}], tools=[WEATHER]
        ) as stream,
    ):
        final = await stream.get_final_message()
    uses = [block for block in final.content if block.type == "tool_use"]
    assert [use.input for use in uses] == [{"city": "Paris"}, {"city": "Rome"}]
    assert len({use.id for use in uses}) == 2


FAULTS = [
    ("rate_limit", anthropic.RateLimitError, 429, "rate_limit_error", "provider_rate_limited"),
    ("overloaded", anthropic.APIStatusError, 529, "overloaded_error", "provider_overloaded"),
    ("server_error", anthropic.InternalServerError, 502, "api_error", "provider_error"),
    ("auth", anthropic.InternalServerError, 502, "api_error", "provider_auth"),
    ("model_gone", anthropic.NotFoundError, 404, "not_found_error", "provider_model_unavailable"),
    ("context", anthropic.BadRequestError, 400, "invalid_request_error", "context_length_exceeded"),
    ("filtered", anthropic.BadRequestError, 400, "invalid_request_error", "content_filtered"),
    ("garbage", anthropic.InternalServerError, 502, "api_error", "provider_bad_response"),
    ("html", anthropic.InternalServerError, 502, "api_error", "provider_error"),
    ("close", anthropic.InternalServerError, 502, "api_error", "provider_unreachable"),
]


@pytest.mark.parametrize("model", UPSTREAMS)
@pytest.mark.parametrize(
    ("kind", "raised", "status", "type_", "word"), FAULTS, ids=[row[0] for row in FAULTS]
)
async def test_failures_are_the_clients_own_error_classes(rig, model, kind, raised, status, type_, word):
    rig.behave(model.replace("/", "-"), Fault(kind=kind))
    async with client(rig) as ai:
        with pytest.raises(raised) as caught:
            await ai.messages.create(model=model, max_tokens=10, messages=[{"role": "user", "content": "Hi"}])
    error = caught.value
    assert (error.status_code, error.body["error"]["type"]) == (status, type_)
    assert error.body["error"]["turnout"]["class"] == word
    assert error.body["request_id"] == error.request_id == error.response.headers["x-turnout-request-id"]
    if word == "context_length_exceeded":
        assert error.body["error"]["message"].startswith("prompt is too long")


async def test_the_models_list_has_the_clients_shape(rig):
    async with client(rig) as ai:
        listed = await ai.models.list(limit=1000)
        one = await ai.models.retrieve("ant/one")
        with pytest.raises(anthropic.NotFoundError) as missing:
            await ai.models.retrieve("nope")
    assert [item.id for item in listed.data][:2] == ["oai/one", "oai/two"]
    assert (listed.has_more, listed.first_id, listed.last_id) == (False, "oai/one", "turnout/assistant")
    assert (one.type, one.id) == ("model", "ant/one")
    assert missing.value.body["error"]["type"] == "not_found_error"


async def test_a_client_that_leaves_a_stream_cancels_the_upstream(rig):
    rig.behave("ant-one", tokens_per_s=20)
    async with client(rig) as ai:
        stream = await ai.messages.create(
            model="ant/one", max_tokens=500, messages=[{"role": "user", "content": "x"}], stream=True
        )
        async for event in stream:
            if event.type == "content_block_delta":
                break
        await stream.close()
        assert await until(lambda: rig.emulator.served["ant-one"].cancelled == 1) < 0.25


# Every dialect against every format

ASKED = {
    "openai": lambda model, **f: ("/v1/chat/completions", chat(model, **f)),
    "anthropic": lambda model, **f: ("/v1/messages", message(model, **f)),
    "gemini": lambda model, stream=False, **f: (
        f"/v1beta/models/{model}:" + ("streamGenerateContent?alt=sse" if stream else "generateContent"),
        {"contents": [{"role": "user", "parts": [{"text": "Hello there"}]}], **f},
    ),
}
TOOLS = {
    "openai": {
        "tools": [{"type": "function", "function": {**WEATHER, "parameters": WEATHER["input_schema"]}}]
    },
    "anthropic": {"tools": [WEATHER]},
    "gemini": {
        "tools": [{"functionDeclarations": [{"name": "weather", "parameters": WEATHER["input_schema"]}]}]
    },
}
del TOOLS["openai"]["tools"][0]["function"]["input_schema"]


def text_of(dialect, body):
    match dialect:
        case "openai":
            return body["choices"][0]["message"]["content"], body["choices"][0]["finish_reason"]
        case "anthropic":
            return body["content"][0]["text"], body["stop_reason"]
        case _:
            part = body["candidates"][0]
            return part["content"]["parts"][0]["text"], part["finishReason"]


def call_of(dialect, body):
    match dialect:
        case "openai":
            made = body["choices"][0]["message"]["tool_calls"][0]["function"]
            return made["name"], json.loads(made["arguments"])
        case "anthropic":
            made = next(block for block in body["content"] if block["type"] == "tool_use")
            return made["name"], made["input"]
        case _:
            made = next(
                part["functionCall"]
                for part in body["candidates"][0]["content"]["parts"]
                if "functionCall" in part
            )
            return made["name"], made["args"]


def words_of(dialect, body):
    said = ""
    for frame in frames(body.replace(b"\r\n", b"\n")):
        data = data_of(frame)
        if data == "[DONE]":
            continue
        match dialect:
            case "openai":
                said += "".join(choice["delta"].get("content") or "" for choice in data["choices"])
            case "anthropic":
                said += data.get("delta", {}).get("text", "") if data["type"] == "content_block_delta" else ""
            case _:
                for candidate in data.get("candidates", ()):
                    said += "".join(
                        part.get("text", "") for part in candidate.get("content", {}).get("parts", ())
                    )
    return said


NATURAL = {"openai": "stop", "anthropic": "end_turn", "gemini": "STOP"}


@pytest.mark.parametrize("model", UPSTREAMS)
@pytest.mark.parametrize("dialect", ASKED)
async def test_every_dialect_reaches_every_format(rig, dialect, model):
    whole = await call(rig, *ASKED[dialect](model))
    tools = await call(rig, *ASKED[dialect](model, **TOOLS[dialect]))
    stream = await call(rig, *ASKED[dialect](model, stream=True))
    assert (whole.status, tools.status, stream.status) == (200, 200, 200)
    assert text_of(dialect, whole.json()) == (said(model, "Hello there"), NATURAL[dialect])
    assert call_of(dialect, tools.json()) == ("weather", {"city": "example"})
    assert words_of(dialect, stream.body) == said(model, "Hello there")
    served = rig.emulator.served[model.replace("/", "-")]
    assert served.calls == 3


@pytest.mark.parametrize("dialect", ASKED)
async def test_the_journal_agrees_with_what_the_upstream_counted(rig, dialect):
    for model in UPSTREAMS:
        await call(rig, *ASKED[dialect](model))
        await call(rig, *ASKED[dialect](model, stream=True))
    told = {}
    for record in await rig.records():
        counted = told.setdefault(record.outcome.model.replace("/", "-"), [0, 0])
        counted[0] += record.outcome.usage.n_input
        counted[1] += record.outcome.usage.n_output
        assert record.outcome.usage_source == "provider"
    served = rig.emulator.served
    assert told == {name: [each.input_tokens, each.output_tokens] for name, each in served.items()}
