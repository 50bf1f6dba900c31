"""Emulators that this project did not write, as upstreams, with their fault scripts and their verdicts.

`llmock` judges its client, which here is the gateway. It sees only the upstream's side: a broken stream that
cannot be retried, because its beginning is with the client, counts as accepted or given up. So the client's
side stands beside each verdict: it was told.
"""

import json

import pytest

from tests.clients.foreign import aimock, behind, llmock
from tests.server.kit import call, chat

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
LLMOCK = {
    "oai": "/v1",
    "ant": "/anthropic/v1",
    "gem": "/gemini/v1beta",
    "mis": "/mistral/v1",
    "groq": "/groq/openai/v1",
}
AIMOCK = {"oai": "/v1", "ant": "/v1", "gem": "/v1beta"}
FORMATS = ("oai", "ant", "gem")
FAILURES = {
    "429 twice": {"type": "fail", "status": 429, "retry_after": 0.3, "times": 2},
    "400": {"type": "fail", "status": 400},
    "401": {"type": "fail", "status": 401},
    "503": {"type": "fail", "status": 503},
    "529": {"type": "fail", "status": 529},
    "outage": {"type": "fail", "status": 503, "times": None},
}
BREAKS = ("disconnect", "truncate", "malformed", "stall")


def bases(emulator, paths):
    return {name: emulator.base + path for name, path in paths.items()}


async def test_llmock_speaks_to_every_codec():
    async with llmock() as mock, behind(bases(mock, LLMOCK)) as rig:
        for name in LLMOCK:
            whole = await call(rig, "/v1/chat/completions", chat(f"{name}/one"))
            tools = await call(rig, "/v1/chat/completions", chat(f"{name}/one", tools=[TOOL]))
            stream = await call(rig, "/v1/chat/completions", chat(f"{name}/one", stream=True))
            assert whole.json()["choices"][0]["message"]["content"] == "LLMock says hello from one."
            made = tools.json()["choices"][0]["message"]["tool_calls"][0]["function"]
            assert (made["name"], json.loads(made["arguments"])) == ("weather", {"city": "mock-city"})
            assert said(stream) == "LLMock says hello from one."


@pytest.mark.parametrize("name", FORMATS)
async def test_llmock_finds_that_failed_calls_are_retried_as_they_should_be(name):
    seen = {}
    async with llmock() as mock:
        for fault, behaviour in FAILURES.items():
            async with behind(bases(mock, LLMOCK)) as rig:
                await script(mock, behaviour)
                reply = await call(rig, "/v1/chat/completions", chat(f"{name}/one", f"Hello {fault}"))
                seen[fault] = (reply.header("x-turnout-error-class") or "served", *await verdict(mock))
    assert seen == {
        "429 twice": ("served", 3, ()),
        "400": ("provider_rejected", 1, ()),
        "401": ("provider_auth", 1, ()),
        "503": ("served", 2, ()),
        "529": ("served", 2, ()),
        "outage": ("provider_overloaded", 3, ()),
    }


async def test_llmock_is_down_for_one_vendor_and_the_next_one_answers():
    async with llmock() as mock, behind(bases(mock, LLMOCK)) as rig:
        await script(mock, {"type": "fail", "status": 503, "times": None, "match": {"provider": "openai"}})
        reply = await call(rig, "/v1/chat/completions", chat("turnout/all"))
        assert (reply.status, reply.header("x-turnout-model")) == (200, "ant/one")
        assert reply.header("x-turnout-reason") == "fallback_error"
        assert (await verdict(mock))[1] == ()


@pytest.mark.parametrize("name", FORMATS)
async def test_llmock_breaks_streams_and_the_client_is_told(name):
    seen = {}
    async with llmock() as mock:
        for kind in BREAKS:
            async with behind(bases(mock, LLMOCK)) as rig:
                await script(mock, {"type": "stream_fault", "kind": kind, "after_chunks": 4})
                body = chat(f"{name}/one", f"Hello {kind}", stream=True)
                reply = await call(rig, "/v1/chat/completions", body, "x-turnout-idle-timeout-ms: 400")
                seen[kind] = told(reply)
    assert seen == {
        "disconnect": "stream_interrupted",
        "truncate": "stream_interrupted",
        "malformed": "provider_bad_response",
        "stall": "timeout_idle",
    }


FIXTURES = {
    "fixtures": [
        {"match": {"userMessage": "hello"}, "response": {"content": "Hello from a fixture."}},
        {
            "match": {"userMessage": "tool"},
            "response": {"toolCalls": [{"name": "weather", "arguments": '{"city":"Paris"}'}]},
        },
        {
            "match": {"userMessage": "limit"},
            "response": {"error": {"message": "slow", "type": "rate_limit_error"}, "status": 429},
        },
        {"match": {"userMessage": "dropped"}, "response": {"content": "x"}, "chaos": {"dropRate": 1}},
        {"match": {"userMessage": "garbled"}, "response": {"content": "x"}, "chaos": {"malformedRate": 1}},
        {"match": {"userMessage": "torn"}, "response": {"content": "x"}, "chaos": {"disconnectRate": 1}},
        {
            "match": {"userMessage": "cut"},
            "response": {
                "content": "A long answer that is cut short in the middle of it, after some pieces."
            },
            "truncateAfterChunks": 4,
            "latency": 10,
        },
    ]
}
ASKED = ("hello", "tool", "limit", "dropped", "garbled", "torn", "cut")


@pytest.mark.parametrize("name", FORMATS)
async def test_aimocks_faults_are_the_classes_they_should_be(name, tmp_path):
    fixtures = tmp_path / "fixtures.json"
    fixtures.write_text(json.dumps(FIXTURES))
    seen = {}
    async with aimock(str(fixtures), "--strict", "--log-level", "silent") as mock:
        for asked in ASKED:
            async with behind(bases(mock, AIMOCK)) as rig:
                tools = {"tools": [TOOL]} if asked == "tool" else {}
                body = chat(f"{name}/one", asked, stream=True, **tools)
                reply = await call(rig, "/v1/chat/completions", body, "x-turnout-retries: 0")
                seen[asked] = told(reply)
    assert seen == {
        "hello": "Hello from a fixture.",
        "tool": '{"city":"Paris"}',
        "limit": "provider_rate_limited",
        "dropped": "provider_error",
        "garbled": "provider_bad_response",
        "torn": "provider_unreachable",
        "cut": "stream_interrupted",
    }


async def script(mock, behaviour):
    await mock.call("POST", "/_llmock/reset")
    await mock.call("POST", "/_llmock/scenario", {"behaviors": [behaviour]})


async def verdict(mock) -> tuple[int, tuple[str, ...]]:
    """Return how often the emulator was asked and what it found wrong with that."""
    given = await mock.call("GET", "/_llmock/verdict")
    return given["attempts"], tuple(finding["code"] for finding in given["findings"])


def chunks(reply) -> list[dict]:
    lines = reply.body.decode().split("\n")
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


def said(reply) -> str:
    """Return the text of a stream, or the arguments of its tool call."""
    text = ""
    for chunk in chunks(reply):
        for choice in chunk["choices"]:
            text += choice["delta"].get("content") or ""
            text += "".join(made["function"]["arguments"] for made in choice["delta"].get("tool_calls") or ())
    return text


def told(reply) -> str:
    """Return the class of the failure a client was told, before or in the stream; else what it was told."""
    if reply.status != 200:
        return reply.header("x-turnout-error-class")
    failed = [chunk["error"]["metadata"]["error_type"] for chunk in chunks(reply) if "error" in chunk]
    return failed[0] if failed else said(reply)
