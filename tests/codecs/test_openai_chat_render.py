"""Our answers and failures as an OpenAI client reads them."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from turnout.codecs.base import Summary
from turnout.codecs.openai_chat import DIALECT
from turnout.errors import (
    ContextLengthExceeded,
    GuardBlocked,
    ModelNotFound,
    ProviderFailed,
    ProviderRateLimited,
    TurnoutError,
    Upstream,
)
from turnout.types.chat import (
    ChatRequest,
    ChatResponse,
    Choice,
    Facts,
    Message,
    Native,
    Reasoning,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
)
from turnout.types.json import Json
from turnout.types.usage import Usage

ASKED = ChatRequest(model="m", messages=(Message("user", (Text("hi"),)),), wire="openai_chat")
LEGACY = ChatRequest(
    model="m", messages=(), tools=(Tool(name="f", extra={"legacy": True}),), facts=Facts(n_tools=1)
)
WITH_REASONING = ChatRequest(model="m", messages=(), thinking=Thinking(extra={"reasoning": {}}))
PLAIN = Summary(request_id="req_1", model="acme/m", created=5)
SHOWN = Summary(
    request_id="req_1",
    model="acme/m",
    created=5,
    provider="acme",
    attempts=2,
    cost_usd="0.0012",
    cost_state="exact",
    show=True,
)
TURNOUT = {
    "request_id": "req_1",
    "model": "acme/m",
    "provider": "acme",
    "attempts": 2,
    "cost_usd": "0.0012",
    "cost_state": "exact",
}
HEAD = {"id": "chatcmpl-1", "created": 5, "model": "acme/m"}
USAGE = Usage(input_uncached=3, cache_read=4, cache_write_5m=1, output_text=2, reasoning=5)
COUNTS = {
    "prompt_tokens": 8,
    "completion_tokens": 7,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0, "cache_write_tokens": 1},
    "completion_tokens_details": {
        "reasoning_tokens": 5,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}


def render(
    *parts: Any, request: ChatRequest = ASKED, summary: Summary = PLAIN, **fields: Any
) -> dict[str, Any]:
    response = ChatResponse(id="up", model="upstream", choices=(Choice(parts=parts, **fields),), usage=USAGE)
    tree: dict[str, Any] = json.loads(DIALECT.render(response, request, summary))
    return tree


def message(*parts: Any, request: ChatRequest = ASKED) -> Any:
    return render(*parts, request=request)["choices"][0]["message"]


def test_an_answer_is_written_whole() -> None:
    assert render(Text("hello")) == {
        **HEAD,
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": COUNTS,
    }


def test_the_turnout_object_is_shown_when_asked() -> None:
    shown = render(Text("x"), summary=SHOWN)
    assert (shown["turnout"], shown["usage"]["cost"]) == (TURNOUT, 0.0012)
    full = Summary(request_id="req_1", model="m", created=5, show=True, full={"plan": 1})
    assert render(Text("x"), summary=full)["turnout"]["decision"] == {"plan": 1}


@pytest.mark.parametrize(
    ("parts", "members"),
    [
        ((Refusal("no"),), {"content": None, "refusal": "no"}),
        ((), {"content": "", "refusal": None}),
        ((Text("a"), Text("b")), {"content": "ab", "refusal": None}),
        (
            (Reasoning(text="t", signature="s", wire="anthropic"), Text("a")),
            {"content": "a", "refusal": None, "reasoning_content": "t"},
        ),
        (
            (Text("a", {"annotations": [{"type": "x"}]}),),
            {"content": "a", "refusal": None, "annotations": [{"type": "x"}]},
        ),
        (
            (Native("openai_chat", {"audio": {"id": "1"}}),),
            {"content": "", "refusal": None, "audio": {"id": "1"}},
        ),
        ((Native("anthropic", {"type": "x"}), Text("a")), {"content": "a", "refusal": None}),
        (
            (
                ToolCall(id="c", name="f", arguments=""),
                ToolCall(id="d", name="g", arguments="x", kind="custom"),
            ),
            {
                "content": None,
                "refusal": None,
                "tool_calls": [
                    {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                    {"id": "d", "type": "custom", "custom": {"name": "g", "input": "x"}},
                ],
            },
        ),
    ],
)
def test_parts_become_members_of_the_message(parts: Sequence[Any], members: dict[str, Json]) -> None:
    assert message(*parts) == {"role": "assistant", **members}


def test_a_client_that_set_reasoning_gets_details_it_can_hand_back() -> None:
    told = message(Reasoning(text="t", signature="s", wire="anthropic"), request=WITH_REASONING)
    assert told["reasoning"] == "t"
    assert told["reasoning_details"] == [
        {"type": "reasoning.text", "text": "t", "format": "anthropic-claude-v1", "index": 0, "signature": "s"}
    ]
    turn: Json = {"role": "assistant", "content": "a", "reasoning_details": told["reasoning_details"]}
    back = DIALECT.parse(json.dumps({"model": "m", "messages": [turn]}).encode()).request.messages[0]
    assert back.parts[0] == Reasoning(text="t", signature="s", wire="anthropic")


def test_a_client_that_excluded_reasoning_gets_none() -> None:
    quiet = ChatRequest(model="m", messages=(), thinking=Thinking(include=False))
    assert message(Reasoning(text="t"), Text("a"), request=quiet) == {
        "role": "assistant",
        "content": "a",
        "refusal": None,
    }


def test_a_client_of_the_old_function_form_gets_it_back() -> None:
    tree = render(ToolCall(id="c", name="f", arguments="{}"), request=LEGACY, finish="tool_calls")
    assert tree["choices"][0]["message"]["function_call"] == {"name": "f", "arguments": "{}"}
    assert tree["choices"][0]["finish_reason"] == "function_call"


def test_fields_of_an_upstream_of_this_format_survive_and_cannot_forge_ours() -> None:
    response = ChatResponse(
        id="up",
        model="upstream",
        choices=(
            Choice(parts=(Text("x"),), extra={"message": {"audio": None}, "content_filter_results": {}}),
        ),
        wire="openai_chat",
        extra={"service_tier": "flex", "id": "forged"},
    )
    tree = json.loads(DIALECT.render(response, ASKED, PLAIN))
    assert (tree["service_tier"], tree["id"], "usage" in tree) == ("flex", "chatcmpl-1", False)
    assert tree["choices"][0]["content_filter_results"] == {}
    assert tree["choices"][0]["message"]["audio"] is None


def failure(error: TurnoutError) -> tuple[int, Any]:
    status, body = DIALECT.error(error, "req_1")
    return status, json.loads(body)["error"]


def test_a_failure_of_ours_is_written_in_the_clients_dialect() -> None:
    error = GuardBlocked("the answer holds a secret", param="messages[0]", code="secret")
    error.attempts = ((1, "acme/m", "guard_blocked", 200),)
    error.retry_after_s = 2.5
    assert failure(error) == (
        403,
        {
            "message": "the answer holds a secret",
            "type": "invalid_request_error",
            "param": "messages[0]",
            "code": "secret",
            "turnout": {
                "class": "guard_blocked",
                "domain": "policy",
                "retryable": False,
                "request_id": "req_1",
                "retry_after_s": 2.5,
                "attempts": [{"n": 1, "model": "acme/m", "class": "guard_blocked", "status": 200}],
            },
        },
    )


def test_an_unknown_model_names_its_parameter() -> None:
    status, told = failure(ModelNotFound("no such model"))
    assert (status, told["param"], told["code"]) == (404, "model", "model_not_found")


def test_a_callers_error_of_the_same_dialect_is_relayed_word_for_word() -> None:
    said = {"message": "maximum context length is 9", "type": "odd_type", "param": "messages", "code": None}
    body = json.dumps({"error": said}).encode()
    error = ContextLengthExceeded("ours", upstream=Upstream(status=413, body=body, wire="openai_chat"))
    status, told = failure(error)
    turnout = told.pop("turnout")
    assert (status, told) == (413, {**said, "code": "context_length_exceeded"})
    assert (turnout["class"], turnout["retryable"]) == ("context_length_exceeded", False)


@pytest.mark.parametrize(
    "error",
    [
        ContextLengthExceeded(
            "ours", upstream=Upstream(status=400, body=b'{"error":{"message":"x"}}', wire="gemini")
        ),
        ContextLengthExceeded("ours", upstream=Upstream(status=400, body=b"<html>", wire="openai_chat")),
        ProviderFailed(
            "ours", upstream=Upstream(status=500, body=b'{"error":{"message":"x"}}', wire="openai_chat")
        ),
        ProviderRateLimited(
            "ours", upstream=Upstream(status=429, body=b'{"error":{"message":"x"}}', wire="openai_chat")
        ),
    ],
)
def test_other_errors_of_upstreams_are_told_in_our_words(error: TurnoutError) -> None:
    status, told = failure(error)
    too_long = "prompt is too long: " if isinstance(error, ContextLengthExceeded) else ""
    assert (status, told["message"]) == (error.row.status, f"{too_long}ours")


def test_whether_a_client_may_try_again_is_told() -> None:
    assert failure(ProviderRateLimited("slow down"))[1]["turnout"]["retryable"] is True


def test_a_call_without_an_id_gets_one() -> None:
    assert message(ToolCall(id="", name="f", arguments="{}"))["tool_calls"][0]["id"] == "call_1_0_0"
