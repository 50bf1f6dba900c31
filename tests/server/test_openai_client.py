"""The official openai client against the running gateway."""

import asyncio
import base64
import json
import struct

import httpx
import openai
import pytest

from tests.server.kit import Fault, until
from turnout.testing.emulator.script import reply_with
from turnout.testing.emulator.vectors import vector
from turnout.types.chat import Text, ToolCall

UPSTREAMS = ("oai/one", "ant/one", "gem/one")
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


def client(rig, **options):
    return openai.AsyncOpenAI(base_url=f"{rig.url}/v1", api_key="unused", max_retries=0, **options)


def said(model, text):
    return f"This is an emulated answer of {model}. You wrote {len(text)} characters, beginning: {text}"


@pytest.mark.parametrize("model", UPSTREAMS)
async def test_a_question_is_answered(rig, model):
    upstream = model.replace("/", "-")
    async with client(rig) as ai:
        raw = await ai.chat.completions.with_raw_response.create(
            model=model,
            messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        )
    answer = raw.parse()
    assert answer.choices[0].message.content == said(upstream, "Hi")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].message.role == "assistant"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert raw.headers["x-turnout-model"] == model
    assert raw.headers["x-turnout-reason"] == "pinned_by_caller"
    record = await rig.record(raw.headers["x-turnout-request-id"])
    assert record.outcome.usage.n_input == answer.usage.prompt_tokens
    assert record.outcome.usage.n_output == answer.usage.completion_tokens


@pytest.mark.parametrize("model", UPSTREAMS)
async def test_a_stream_ends_with_its_usage_chunk(rig, model):
    async with client(rig) as ai:
        stream = await ai.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": "Count to three please"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    words = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(words) == said(model.replace("/", "-"), "Count to three please")
    assert len([word for word in words if word]) > 5
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert (
        chunks[-1].usage.total_tokens
        == chunks[-1].usage.prompt_tokens + chunks[-1].usage.completion_tokens
        > 0
    )
    assert {chunk.usage for chunk in chunks[:-1]} == {None}
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(choice.logprobs is None for chunk in chunks for choice in chunk.choices)


@pytest.mark.parametrize("model", UPSTREAMS)
async def test_a_stream_without_the_option_has_no_usage(rig, model):
    async with client(rig) as ai:
        stream = await ai.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Hi"}], stream=True
        )
        chunks = [chunk async for chunk in stream]
    assert all("usage" not in chunk.model_fields_set for chunk in chunks)
    assert all(chunk.choices for chunk in chunks)


async def test_several_choices_are_told_apart(rig):
    def two(request):
        one = reply_with(request, (Text("first"),), model="x")
        import msgspec

        return msgspec.structs.replace(
            one, choices=(one.choices[0], reply_with(request, (Text("second"),), model="x").choices[0])
        )

    rig.emulator.add("oai-one", two)
    async with client(rig) as ai:
        answer = await ai.chat.completions.create(
            model="oai/one", messages=[{"role": "user", "content": "Hi"}], n=2
        )
        stream = await ai.chat.completions.create(
            model="oai/one", messages=[{"role": "user", "content": "Hi"}], n=2, stream=True
        )
        chunks = [chunk async for chunk in stream]
    assert [choice.message.content for choice in answer.choices] == ["first", "second"]
    streamed = {0: "", 1: ""}
    for chunk in chunks:
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
    assert streamed == {0: "first", 1: "second"}


@pytest.mark.parametrize("model", UPSTREAMS)
async def test_a_tool_is_called_and_its_result_read(rig, model):
    messages = [{"role": "user", "content": "Weather in Paris?"}]
    async with client(rig) as ai:
        first = await ai.chat.completions.create(model=model, messages=messages, tools=[WEATHER])
        call = first.choices[0].message.tool_calls[0]
        messages += [
            first.choices[0].message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": call.id, "content": "22 degrees"},
        ]
        second = await ai.chat.completions.create(model=model, messages=messages, tools=[WEATHER])
    assert first.choices[0].finish_reason == "tool_calls"
    assert (call.type, call.function.name) == ("function", "weather")
    assert json.loads(call.function.arguments) == {"city": "example"}
    assert second.choices[0].finish_reason == "stop"
    assert second.choices[0].message.content.startswith("This is an emulated answer")


@pytest.mark.parametrize("model", UPSTREAMS)
async def test_parallel_tool_calls_stream_with_rising_indexes(rig, model):
    def calls(request):
        return reply_with(
            request,
            (
                ToolCall(id="call00001", name="weather", arguments='{"city":"Paris"}'),
                ToolCall(id="call00002", name="weather", arguments='{"city":"Rome"}'),
            ),
            model="x",
        )

    rig.emulator.add(model.replace("/", "-"), calls)
    async with client(rig) as ai:
        stream = await ai.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Compare"}], tools=[WEATHER], stream=True
        )
        deltas = [
            call
            async for chunk in stream
            for choice in chunk.choices
            for call in choice.delta.tool_calls or ()
        ]
    found = {}
    for delta in deltas:
        entry = found.setdefault(delta.index, ["", "", ""])
        entry[0] += delta.id or ""
        entry[1] += delta.function.name or ""
        entry[2] += delta.function.arguments or ""
    assert list(found) == [0, 1]
    assert [(name, json.loads(arguments)) for _, name, arguments in found.values()] == [
        ("weather", {"city": "Paris"}),
        ("weather", {"city": "Rome"}),
    ]
    assert len({entry[0] for entry in found.values()}) == 2


@pytest.mark.parametrize("model", UPSTREAMS)
async def test_structured_output_is_the_shape_asked_for(rig, model):
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    async with client(rig) as ai:
        answer = await ai.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": "Who?"}],
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "person", "schema": schema, "strict": True},
            },
        )
    assert json.loads(answer.choices[0].message.content) == {"name": "example", "age": 1}


async def test_vectors_come_as_floats_and_as_base64(rig):
    texts = ["one text", "another text"]
    async with client(rig) as ai:
        plain = await ai.embeddings.create(model="oai/vectors", input=texts, encoding_format="float")
        packed = await ai.embeddings.create(model="oai/vectors", input=texts, encoding_format="base64")
        default = await ai.embeddings.create(model="oai/vectors", input="one text")
    expected = [pytest.approx(vector(text, 32), abs=1e-6) for text in texts]
    assert [item.embedding for item in plain.data] == expected
    assert [item.index for item in plain.data] == [0, 1]
    raw = base64.b64decode(packed.data[1].embedding)
    assert list(struct.unpack("<32f", raw)) == expected[1]
    assert default.data[0].embedding == expected[0]
    assert plain.usage.prompt_tokens == plain.usage.total_tokens > 0


async def test_models_are_listed_and_looked_up(rig):
    async with client(rig) as ai:
        listed = [model.id async for model in ai.models.list()]
        one = await ai.models.retrieve("ant/one")
        with pytest.raises(openai.NotFoundError) as missing:
            await ai.models.retrieve("nobody/nothing")
    assert listed == [
        *("oai/one", "oai/two", "ant/one", "ant/two", "gem/one", "gem/two", "oai/vectors"),
        *("fast", "helper", "turnout/assistant"),
    ]
    assert (one.id, one.owned_by, one.object) == ("ant/one", "ant", "model")
    assert one.turnout["context_window"] == 100000
    assert missing.value.code == "model_not_found"


FAULTS = [
    ("rate_limit", openai.RateLimitError, 429, "provider_rate_limited", "rate_limit_exceeded"),
    ("overloaded", openai.InternalServerError, 503, "provider_overloaded", "provider_overloaded"),
    ("server_error", openai.InternalServerError, 502, "provider_error", "provider_error"),
    ("auth", openai.InternalServerError, 502, "provider_auth", "provider_auth"),
    ("model_gone", openai.NotFoundError, 404, "provider_model_unavailable", "model_unavailable"),
    ("context", openai.BadRequestError, 400, "context_length_exceeded", "context_length_exceeded"),
    ("filtered", openai.BadRequestError, 400, "content_filtered", "content_filter"),
    ("garbage", openai.InternalServerError, 502, "provider_bad_response", "provider_bad_response"),
    ("html", openai.InternalServerError, 502, "provider_error", "provider_error"),
    ("close", openai.InternalServerError, 502, "provider_unreachable", "provider_unreachable"),
]


@pytest.mark.parametrize("model", UPSTREAMS)
@pytest.mark.parametrize(("kind", "raised", "status", "word", "code"), FAULTS, ids=[row[0] for row in FAULTS])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_failures_are_the_clients_own_error_classes(
    rig, model, kind, raised, status, word, code, stream
):
    rig.behave(model.replace("/", "-"), Fault(kind=kind))
    async with client(rig) as ai:
        with pytest.raises(raised) as caught:
            await ai.chat.completions.create(
                model=model, messages=[{"role": "user", "content": "Hi"}], stream=stream
            )
    error = caught.value
    assert (error.status_code, error.code) == (status, code)
    assert error.body["turnout"]["class"] == word
    assert error.response.headers["x-turnout-error-class"] == word
    assert error.body["turnout"]["request_id"] == error.response.headers["x-turnout-request-id"]
    assert error.request_id == error.response.headers["x-turnout-request-id"]


async def test_a_rate_limit_says_when_to_come_back(rig):
    rig.behave("oai-one", Fault(kind="rate_limit", retry_after_s=12))
    async with client(rig) as ai:
        with pytest.raises(openai.RateLimitError) as caught:
            await ai.chat.completions.create(model="oai/one", messages=[{"role": "user", "content": "Hi"}])
    headers = caught.value.response.headers
    assert (headers["retry-after"], headers["retry-after-ms"], headers["x-should-retry"]) == (
        "12",
        "12000",
        "true",
    )
    assert caught.value.body["turnout"]["retry_after_s"] == 12


async def test_the_client_retries_what_it_is_told_to(rig):
    rig.behave("oai-one", Fault(kind="overloaded", first=2))
    async with openai.AsyncOpenAI(base_url=f"{rig.url}/v1", api_key="unused", max_retries=2) as ai:
        answer = await ai.chat.completions.create(
            model="oai/one",
            messages=[{"role": "user", "content": "Hi"}],
            extra_headers={"x-turnout-retries": "0"},
            extra_body={"turnout": {"tags": ["again"]}},
        )
    assert answer.choices[0].message.content == said("oai-one", "Hi")


async def test_an_upstream_that_is_silent_is_a_gateway_timeout(rig):
    rig.behave("oai-one", Fault(kind="hang"))
    async with client(rig) as ai:
        with pytest.raises(openai.InternalServerError) as ttft:
            await ai.chat.completions.create(
                model="oai/one",
                messages=[{"role": "user", "content": "Hi"}],
                extra_headers={"x-turnout-ttft-timeout-ms": "60"},
            )
        with pytest.raises(openai.InternalServerError) as total:
            await ai.chat.completions.create(
                model="oai/one",
                messages=[{"role": "user", "content": "Hi"}],
                extra_headers={"x-turnout-timeout-ms": "60"},
            )
    assert (ttft.value.status_code, ttft.value.code) == (504, "timeout_ttft")
    assert (total.value.status_code, total.value.code) == (504, "timeout_total")


async def test_a_client_that_gives_up_cancels_the_upstream(rig):
    rig.behave("oai-one", Fault(kind="hang"))
    async with client(rig, timeout=httpx.Timeout(0.1)) as ai:
        with pytest.raises(openai.APITimeoutError):
            await ai.chat.completions.create(model="oai/one", messages=[{"role": "user", "content": "Hi"}])
    assert await until(lambda: rig.emulator.served["oai-one"].cancelled == 1) < 0.25


async def test_an_unknown_model_is_not_found_with_a_hint(rig):
    async with client(rig) as ai:
        with pytest.raises(openai.NotFoundError) as caught:
            await ai.chat.completions.create(model="oai/onee", messages=[{"role": "user", "content": "Hi"}])
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert "did you mean 'oai/one'?" in caught.value.message


async def test_a_bad_field_is_a_bad_request_with_its_path(rig):
    async with client(rig) as ai:
        with pytest.raises(openai.BadRequestError) as caught:
            await ai.chat.completions.create(
                model="oai/one", messages=[{"role": "user", "content": "Hi"}], temperature="hot"
            )
    assert (caught.value.type, caught.value.param) == ("invalid_request_error", "temperature")


async def test_the_synchronous_client_works_the_same(rig):
    def work():
        with openai.OpenAI(base_url=f"{rig.url}/v1", api_key="unused", max_retries=0) as ai:
            whole = ai.chat.completions.create(model="oai/one", messages=[{"role": "user", "content": "Hi"}])
            stream = ai.chat.completions.create(
                model="gem/one", messages=[{"role": "user", "content": "Hi"}], stream=True
            )
            words = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
            with pytest.raises(openai.NotFoundError):
                ai.chat.completions.create(model="nope", messages=[{"role": "user", "content": "Hi"}])
            return whole.choices[0].message.content, words

    assert await asyncio.to_thread(work) == (said("oai-one", "Hi"), said("gem-one", "Hi"))
