"""Any JSON value in any place of a request: read, or refused as the caller's mistake; never a defect."""

import copy
import json

import pytest

from turnout.codecs.base import Addressed, Embeds
from turnout.errors import TurnoutError
from turnout.registry import load
from turnout.types.chat import ServerTool, Tool

ODD = ({}, [], [{}], [[]], 7, -1.5, True, None, "x", {"type": {}}, {"type": []})
TOOL = {"name": "t", "description": "d", "parameters": {"type": "object"}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}}
BODIES = {
    "openai_chat": {
        "model": "m",
        "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, PICTURE]},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "t", "arguments": "{}"}}],
                "reasoning_details": [{"type": "reasoning.text", "text": "x", "signature": "y"}],
            },
            {"role": "tool", "tool_call_id": "c", "content": "r"},
        ],
        "tools": [{"type": "function", "function": TOOL}],
        "tool_choice": {"type": "function", "function": {"name": "t"}},
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
        "stream_options": {"include_usage": True},
        "reasoning": {"effort": "low"},
        "stop": ["a"],
        "metadata": {"tags": ["a"]},
        "turnout": {"candidates": ["a"], "constraints": {"allow": ["b"]}},
        "provider": {"order": ["x"], "sort": "price"},
        "fallbacks": ["y"],
    },
    "openai_responses": {
        "model": "m",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
            {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "x"}]},
            {"type": "function_call", "call_id": "c", "name": "t", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "r"},
        ],
        "tools": [{"type": "function", **TOOL}],
        "tool_choice": {"type": "function", "name": "t"},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}},
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
    },
    "anthropic": {
        "model": "m",
        "max_tokens": 9,
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "a"},
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": "AA=="},
                    },
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "x", "signature": "y"},
                    {"type": "tool_use", "id": "c", "name": "t", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "r"}]}
                ],
            },
        ],
        "tools": [{"name": "t", "type": "custom", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "tool", "name": "t"},
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {}}},
        "stop_sequences": ["a"],
        "metadata": {"user_id": "u"},
    },
    "gemini": {
        "contents": [
            {
                "role": "user",
                "parts": [{"text": "a"}, {"inlineData": {"mimeType": "image/png", "data": "AA=="}}],
            },
            {
                "role": "model",
                "parts": [{"functionCall": {"name": "t", "args": {}}}, {"text": "x", "thought": True}],
            },
            {"role": "user", "parts": [{"functionResponse": {"name": "t", "response": {"a": 1}}}]},
        ],
        "systemInstruction": {"parts": [{"text": "s"}]},
        "tools": [{"functionDeclarations": [TOOL]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["t"]}},
        "generationConfig": {
            "responseMimeType": "application/json",
            "responseSchema": {"type": "OBJECT"},
            "thinkingConfig": {"thinkingBudget": 5},
            "stopSequences": ["a"],
        },
    },
    "openai_completions": {"model": "m", "prompt": "p", "stop": ["a"], "stream_options": {}},
}
VECTORS = {"model": "m", "input": ["a", "b"], "encoding_format": "float", "dimensions": 2, "user": "u"}


def places(value, path=()):
    """Every place of a value, itself left out."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*path, key)
        yield from places(each, (*path, key))


def variants(body):
    """The body with each place filled with each odd value."""
    for path in places(body):
        for odd in ODD:
            changed = copy.deepcopy(body)
            target = changed
            for step in path[:-1]:
                target = target[step]
            target[path[-1]] = odd
            yield json.dumps(changed).encode()


def read(dialect, raw):
    if isinstance(dialect, Addressed):
        request = dialect.parse_call(raw, model="m", stream=False).request
    else:
        request = dialect.parse(raw).request
    assert all(isinstance(tool, Tool | ServerTool) for tool in request.tools)
    return tuple(request.messages)


def status(call, *arguments):
    """Return the status a call was refused with, 200 where it was not."""
    try:
        call(*arguments)
    except TurnoutError as error:
        return error.row.status
    return 200


@pytest.mark.parametrize("name", BODIES)
def test_odd_values_are_read_or_refused(name):
    dialect = load("turnout.dialects", name)()
    assert status(read, dialect, json.dumps(BODIES[name]).encode()) == 200
    assert {status(read, dialect, raw) for raw in variants(BODIES[name])} == {200, 400}


def test_odd_values_in_requests_for_vectors_are_read_or_refused():
    dialect = load("turnout.dialects", "openai_chat")()
    assert isinstance(dialect, Embeds)
    assert {status(dialect.parse_embed, raw) for raw in variants(VECTORS)} == {200, 400}
