"""The older completions endpoint, by the official openai client."""

import json

import openai
import pytest

from tests.server.kit import Fault
from turnout.codecs.openai_chat import OpenAICompletionsDialect
from turnout.codecs.openai_chat.completions import CompletionsStream
from turnout.errors import InvalidRequest, ProviderFailed
from turnout.types.chat import Message, Text
from turnout.types.event import Finish, TextDelta

UPSTREAMS = ("oai/one", "ant/one", "gem/one")
DIALECT = OpenAICompletionsDialect()


def client(rig):
    return openai.AsyncOpenAI(base_url=f"{rig.url}/v1", api_key="unused", max_retries=0)


def said(model, text):
    name = model.replace("/", "-")
    return f"This is an emulated answer of {name}. You wrote {len(text)} characters, beginning: {text}"


@pytest.mark.parametrize("model", UPSTREAMS)
@pytest.mark.parametrize("prompt", ["Hi", ["Hi"]], ids=["text", "list"])
async def test_a_prompt_is_continued(rig, model, prompt):
    async with client(rig) as ai:
        raw = await ai.completions.with_raw_response.create(model=model, prompt=prompt)
    answer = raw.parse()
    assert (answer.object, answer.model, answer.id[:5]) == ("text_completion", model, "cmpl-")
    assert [(choice.text, choice.index, choice.finish_reason) for choice in answer.choices] == [
        (said(model, "Hi"), 0, "stop")
    ]
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert raw.headers["x-turnout-model"] == model


@pytest.mark.parametrize("model", UPSTREAMS)
@pytest.mark.parametrize("usage", [True, False])
async def test_a_continuation_streams(rig, model, usage):
    async with client(rig) as ai:
        stream = await ai.completions.create(
            model=model, prompt="Count to three", stream=True, stream_options={"include_usage": usage}
        )
        chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].text for chunk in chunks if chunk.choices)
    reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert text == said(model, "Count to three")
    assert (reasons[-1], set(reasons[:-1])) == ("stop", {None})
    assert (chunks[-1].choices == []) is usage
    assert {chunk.object for chunk in chunks} == {"text_completion"}
    assert len({chunk.id for chunk in chunks}) == 1


async def test_a_limit_ends_it(rig):
    async with client(rig) as ai:
        answer = await ai.completions.create(model="oai/one", prompt="Tell me all", max_tokens=2)
    assert answer.choices[0].finish_reason == "length"


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"echo": True}, "echo"),
        ({"suffix": "end"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": [[1]]}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"logprobs": 99}, "logprobs"),
    ],
)
async def test_what_a_chat_cannot_do_is_refused(rig, wrong, param):
    async with client(rig) as ai:
        with pytest.raises(openai.BadRequestError) as caught:
            await ai.completions.create(**{"model": "oai/one", "prompt": "Hi", **wrong})
    assert caught.value.param == param


async def test_failures_are_the_clients_own(rig):
    rig.behave("oai-one", Fault(kind="rate_limit"))
    async with client(rig) as ai:
        with pytest.raises(openai.RateLimitError):
            await ai.completions.create(model="oai/one", prompt="Hi")
        with pytest.raises(openai.NotFoundError):
            await ai.completions.create(model="oai/none", prompt="Hi")
    rig.behave("ant-one", Fault(kind="cut"))
    async with client(rig) as ai:
        stream = await ai.completions.create(model="ant/one", prompt="Count to three", stream=True)
        with pytest.raises(openai.APIError):
            [chunk async for chunk in stream]


def test_every_option_has_its_field():
    body = {
        "model": "m",
        "prompt": "Hi",
        "stop": "x",
        "logprobs": 2,
        "seed": 1,
        "n": 2,
        "best_of": 2,
        "odd": 1,
    }
    request = DIALECT.parse(json.dumps(body).encode()).request
    assert request.messages == (Message("user", (Text("Hi"),)),)
    assert (request.stop, request.logprobs, request.top_logprobs) == (("x",), True, 2)
    assert (request.seed, request.n, request.extra) == (1, 2, {"odd": 1})
    with pytest.raises(InvalidRequest):
        DIALECT.parse(b'{"model": "m", "prompt": "x", "api_key": "k"}')


def test_probabilities_are_four_columns():
    tokens = [
        {"token": "He", "logprob": -0.1, "top_logprobs": [{"token": "Ho", "logprob": -2}]},
        {"token": "llo", "logprob": -0.2, "top_logprobs": []},
    ]
    from turnout.codecs.base import Summary

    request = DIALECT.parse(b'{"model": "m", "prompt": "x"}').request
    writer = CompletionsStream(request, Summary(request_id="req_1", model="m", created=1))
    out = writer.feed(
        [TextDelta("He", 0, {"content": tokens[:1]}), TextDelta("llo", 0, {"content": tokens[1:]})]
    )
    frames = [json.loads(line[6:])["choices"][0]["logprobs"] for line in out.decode().split("\n\n")[:-1]]
    assert frames == [
        {"tokens": ["He"], "token_logprobs": [-0.1], "top_logprobs": [{"Ho": -2}], "text_offset": [0]},
        {"tokens": ["llo"], "token_logprobs": [-0.2], "top_logprobs": [None], "text_offset": [2]},
    ]
    failed = writer.fail(ProviderFailed("oops"), Summary(request_id="req_1", model="m", created=1))
    assert failed.endswith(b"data: [DONE]\n\n")
    assert b'"finish_reason":"length"' in writer.feed([Finish(reason="length")])
