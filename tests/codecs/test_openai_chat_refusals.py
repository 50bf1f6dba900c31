"""Requests that do not fit are refused with the path of the first misfit."""

import json

import pytest

from turnout.codecs.base import Body
from turnout.codecs.openai_chat import DIALECT
from turnout.errors import InvalidRequest
from turnout.types.json import Json

USER: dict[str, Json] = {"role": "user", "content": "hi"}


def parse(**fields: Json) -> Body:
    return DIALECT.parse(json.dumps({"model": "m", "messages": [USER], **fields}).encode())


def refused(**fields: Json) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        parse(**fields)
    return caught.value


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"model": None}, "model", "model: expected `str`, got `null`"),
        ({"model": ""}, "model", "model: expected `str` of length >= 1"),
        ({"messages": []}, "messages", "messages: expected `array` of length >= 1"),
        (
            {"messages": [{"role": "boss", "content": ""}]},
            "messages[0].role",
            (
                "messages[0].role: invalid enum value 'boss'; "
                "expected one of assistant, developer, function, system, tool, user"
            ),
        ),
        (
            {"messages": [{"role": "user", "content": 3}]},
            "messages[0].content",
            "messages[0].content: expected `str | array | null`, got `int`",
        ),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "messages[0].content is missing"),
        (
            {"messages": [{"role": "tool", "content": "x"}]},
            "messages[0].tool_call_id",
            "messages[0].tool_call_id is missing",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages[0].content[0].image_url",
            "messages[0].content[0].image_url is missing",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "c"}]}]},
            "messages[0].tool_calls[0].function",
            "messages[0].tool_calls[0].function is missing",
        ),
        ({"tools": [{"type": "function"}]}, "tools[0].function", "tools[0].function is missing"),
        ({"temperature": "hot"}, "temperature", "temperature: expected `float | null`, got `str`"),
        ({"n": 0}, "n", "n: expected `int` >= 1"),
        ({"stop": [1]}, "stop[0]", "stop[0]: expected `str`, got `int`"),
        (
            {"max_tokens": 1, "max_completion_tokens": 2},
            "max_tokens",
            "max_tokens and max_completion_tokens are both given and differ; send one",
        ),
        (
            {"reasoning_effort": "low", "reasoning": {"effort": "high"}},
            "reasoning.effort",
            "reasoning_effort and reasoning.effort contradict each other; send one",
        ),
        (
            {"thinking": {"type": "disabled"}, "reasoning_effort": "high"},
            "reasoning_effort",
            "thinking.type and reasoning_effort contradict each other; send one",
        ),
        ({"tools": [{"function": {"name": "f"}}], "tool_choice": "some"}, "tool_choice", None),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", None),
        ({"extra_body": {"routes": [{"api_base": "http://x"}]}}, "extra_body.routes[0].api_base", None),
    ],
)
def test_what_does_not_fit_is_refused_with_its_path(
    fields: dict[str, Json], param: str, message: str | None
) -> None:
    error = refused(**fields)
    assert error.param == param
    assert message is None or error.message == message


def test_missing_fields_are_named() -> None:
    with pytest.raises(InvalidRequest) as caught:
        DIALECT.parse(b'{"messages":[{"role":"user","content":"x"}]}')
    assert (caught.value.message, caught.value.param) == ("model is missing", "model")


def test_a_schema_that_is_too_large_is_refused() -> None:
    tool: Json = {"function": {"name": "f", "parameters": {"description": "x" * 300_000}}}
    assert refused(tools=[tool]).message == "tools[0].function.parameters is larger than 256 KiB"
