"""Every answer and every frame, whoever answers, against the types of the official packages, strictly."""

import json

import pytest

from tests.server.kit import call, rig
from turnout.testing.emulator.script import reply_with
from turnout.types.chat import Reasoning, Text, ToolCall

pydantic = pytest.importorskip("pydantic")
chat_types = pytest.importorskip("openai.types.chat")
responses_types = pytest.importorskip("openai.types.responses")
anthropic_types = pytest.importorskip("anthropic.types")

MODELS = ("oai-one", "ant-one", "gem-one")
TOOL = {"name": "look", "description": "d", "parameters": {"type": "object", "properties": {}}}
PARTS = {
    "text": (Text("Two words, \u00e9 and \u2028."),),
    "thoughts": (Reasoning(text="hm", signature="s", wire="anthropic"), Text("so")),
    "calls": (
        Text("I look."),
        ToolCall(id="c1", name="look", arguments='{"a": 1}'),
        ToolCall(id="c2", name="look", arguments="{}"),
    ),
}
ASKED = {
    "/v1/chat/completions": {
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [{"type": "function", "function": TOOL}],
    },
    "/v1/responses": {"input": "Hi", "tools": [{"type": "function", **TOOL}]},
    "/v1/messages": {
        "max_tokens": 99,
        "messages": [{"role": "user", "content": "Hi"}],
        "tools": [{"name": "look", "input_schema": TOOL["parameters"]}],
    },
}
WHOLE = {
    "/v1/chat/completions": chat_types.ChatCompletion,
    "/v1/responses": responses_types.Response,
    "/v1/messages": anthropic_types.Message,
}
FRAME = {
    "/v1/chat/completions": chat_types.ChatCompletionChunk,
    "/v1/responses": responses_types.ResponseStreamEvent,
    "/v1/messages": anthropic_types.RawMessageStreamEvent,
}


def frames_of(body):
    """The JSON of each frame; a ping is no event to the packages."""
    lines = [line[6:] for line in body.decode().split("\n") if line.startswith("data: {")]
    return [frame for frame in map(json.loads, lines) if frame.get("type") != "ping"]


@pytest.mark.parametrize("path", ASKED)
async def test_answers_and_frames_are_of_the_official_types(path):
    whole, frame = pydantic.TypeAdapter(WHOLE[path]), pydantic.TypeAdapter(FRAME[path])
    async with rig() as running:
        for kind, parts in PARTS.items():
            for model in MODELS:
                running.emulator.add(
                    model, lambda request, parts=parts: reply_with(request, parts, model="m")
                )
                body = {"model": model.replace("-", "/"), **ASKED[path]}
                answer = await call(running, path, body)
                assert answer.status == 200, (kind, model, answer.body)
                whole.validate_json(answer.body, strict=True)
                streamed = frames_of((await call(running, path, {**body, "stream": True})).body)
                assert len(streamed) > 2
                for each in streamed:
                    frame.validate_json(json.dumps(each), strict=True)
