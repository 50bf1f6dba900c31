"""Cohere's and Ollama's own formats at the gateway, whichever vendor answers."""

import json
import re

import pytest

from tests.server.kit import Fault, call, chat
from tests.server.kit import rig as start
from tests.server.test_openai_responses import running

UPSTREAMS = ("oai/one", "gem/one")
"""All of them: tests/clients."""
TURN = {"role": "user", "content": "Hi"}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


@pytest.fixture
async def rig():
    async with running() as rig:
        yield rig


def said(model):
    return f"This is an emulated answer of {model.replace('/', '-')}. You wrote 2 characters, beginning: Hi"


def lines(reply):
    assert reply.header("content-type") == "application/x-ndjson"
    return [json.loads(line) for line in reply.body.splitlines()]


def events(reply):
    found = [line[6:] for line in reply.body.splitlines() if line.startswith(b"data: ")]
    assert found[-1] == b"[DONE]"
    return [json.loads(data) for data in found[:-1]]


@pytest.mark.parametrize("model", UPSTREAMS)
async def test_cohere_is_answered_whole_and_streamed(rig, model):
    body = {"model": model, "messages": [TURN]}
    whole = await call(rig, "/v2/chat", body)
    told = whole.json()
    assert (whole.status, whole.header("x-turnout-model")) == (200, model)
    assert told["message"] == {"role": "assistant", "content": [{"type": "text", "text": said(model)}]}
    assert (told["finish_reason"], told["usage"]["billed_units"]["output_tokens"] > 0) == ("COMPLETE", True)
    streamed = events(await call(rig, "/v2/chat", {**body, "stream": True}))
    text = "".join(e["delta"]["message"]["content"]["text"] for e in streamed if e["type"] == "content-delta")
    assert (streamed[0]["type"], text, streamed[-1]["type"]) == ("message-start", said(model), "message-end")
    called = (await call(rig, "/v2/chat", {**body, "tools": [TOOL]})).json()
    assert called["finish_reason"] == "TOOL_CALL"
    assert called["message"]["tool_calls"][0]["function"]["name"] == "weather"


@pytest.mark.parametrize("model", UPSTREAMS)
async def test_ollama_is_answered_whole_and_in_lines(rig, model):
    body = {"model": model, "messages": [TURN]}
    told = (await call(rig, "/api/chat", {**body, "stream": False})).json()
    assert told["message"] == {"role": "assistant", "content": said(model)}
    assert (told["done"], told["done_reason"], told["eval_count"] > 0) == (True, "stop", True)
    streamed = lines(await call(rig, "/api/chat", body))
    assert "".join(line["message"]["content"] for line in streamed) == said(model)
    assert [line["done"] for line in streamed] == [*([False] * (len(streamed) - 1)), True]
    called = (await call(rig, "/api/chat", {**body, "tools": [TOOL], "stream": False})).json()
    assert called["message"]["tool_calls"][0]["function"]["name"] == "weather"
    prompt = {"model": model, "prompt": "Hi"}
    assert (await call(rig, "/api/generate", {**prompt, "stream": False})).json()["response"] == said(model)
    streamed = lines(await call(rig, "/api/generate", prompt))
    assert "".join(line["response"] for line in streamed) == said(model)
    assert streamed[-1]["done"] is True


def with_prompts(text):
    """Add providers that continue a prompt: a completions server, and Ollama's generate."""
    base = re.search(r'base_url: "([^"]*)/v1"', text)[1]
    rows = (
        f'  txt: {{codec: prompt, base_url: "{base}/v1", auth: none, quirks: {{prompt: openai}}}}\n'
        f'  oll: {{codec: prompt, base_url: "{base}", auth: none, quirks: {{prompt: ollama}}}}\n'
    )
    models = "".join(
        f"  - {{model: {name}/oai-one, price: {{input: 1, output: 2}}}}\n" for name in ("txt", "oll")
    )
    return text.replace("models:\n", f"{rows}models:\n{models}", 1)


async def test_a_server_that_continues_prompts_is_asked_by_any_client():
    async with start(edit=with_prompts) as rig:
        for model in ("txt/oai-one", "oll/oai-one"):
            asked = chat(model, "Hi")
            told = (await call(rig, "/v1/chat/completions", asked)).json()
            assert told["choices"][0]["message"]["content"] == said("oai/one")
            assert told["usage"]["completion_tokens"] > 0
            streamed = events(await call(rig, "/v1/chat/completions", {**asked, "stream": True}))
            pieces = [
                each["choices"][0]["delta"].get("content") or "" for each in streamed if each["choices"]
            ]
            assert "".join(pieces) == said("oai/one")
            prompt = {"model": model, "prompt": "Hi"}
            assert (await call(rig, "/v1/completions", prompt)).json()["choices"][0]["text"] == said(
                "oai/one"
            )
            tools = await call(rig, "/v1/chat/completions", {**asked, "tools": [TOOL]})
            assert (tools.status, tools.json()["error"]["code"]) == (400, "unsupported_parameter")


async def test_vectors_and_what_clients_ask_before_they_begin(rig):
    cohere = {
        "model": "oai/vectors",
        "texts": ["a", "b"],
        "input_type": "search_query",
        "embedding_types": ["float"],
    }
    ollama = {"model": "oai/vectors", "input": ["a", "b"]}
    assert len((await call(rig, "/v2/embed", cohere)).json()["embeddings"]["float"]) == 2
    assert len((await call(rig, "/api/embed", ollama)).json()["embeddings"]) == 2
    tags = (await call(rig, "/api/tags", method="GET")).json()["models"]
    assert "oai/one" in [each["name"] for each in tags]
    assert set((await call(rig, "/api/version", method="GET")).json()) == {"version"}


async def test_failures_are_told_in_their_own_words(rig):
    rig.behave("oai-two", Fault(kind="context"))
    body = {"model": "oai/two", "messages": [TURN]}
    told = await call(rig, "/v2/chat", body)
    assert (told.status, told.json()["error_type"]) == (400, "TOO_MANY_TOKENS")
    told = await call(rig, "/api/chat", body)
    assert (told.status, set(told.json())) == (400, {"error"})
    for wrong in ({"raw": True}, {"context": [1]}, {"template": "{{ .Prompt }}"}, {"suffix": "x"}):
        told = await call(rig, "/api/generate", {"model": "oai/one", "prompt": "Hi", **wrong})
        assert (told.status, "template" in told.json()["error"]) == (400, True)
    told = await call(rig, "/v2/chat", {"model": "nobody/knows", "messages": [TURN]})
    assert told.status == 404
    for nowhere, names in (
        ("/v2/classify", {"id", "message"}),
        ("/api/show", {"error"}),
        ("/api/v1/nothing", {"error"}),
    ):
        told = await call(rig, nowhere, body)
        assert (told.status, set(told.json())) == (404, names)
    assert isinstance((await call(rig, "/api/show", body)).json()["error"], str)
    rig.behave("oai-one", Fault(kind="cut", after_chunks=3))
    streamed = lines(await call(rig, "/api/chat", {"model": "oai/one", "messages": [TURN]}))
    assert set(streamed[-1]) == {"error"}
