"""Complete answers, usage and errors of OpenAI-compatible hosts as we read them."""

import json
from typing import Any

import pytest

from turnout.codecs.base import Glance
from turnout.codecs.openai_chat import CODEC
from turnout.errors import ProviderBadResponse, ProviderFailed, ProviderRateLimited, TurnoutError, Upstream
from turnout.types.chat import ChatResponse, Choice, Reasoning, Refusal, Text, ToolCall
from turnout.types.http import HttpResponse
from turnout.types.json import Json
from turnout.types.usage import Usage


def http(tree: Any, status: int = 200, **headers: str) -> HttpResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpResponse(status, named, tree if isinstance(tree, bytes) else json.dumps(tree).encode())


def answer(message: dict[str, Json], finish: str | None = "stop", **fields: Json) -> dict[str, Json]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return {
        "id": "c-1",
        "object": "chat.completion",
        "created": 5,
        "model": "m",
        "choices": [choice],
        **fields,
    }


def choice(message: dict[str, Json], finish: str | None = "stop") -> Choice:
    return CODEC.decode(http(answer(message, finish))).choices[0]


def usage(**raw: Json) -> Usage:
    return CODEC.decode(http(answer({"content": "x"}, usage=raw))).usage


def test_an_answer_is_read_whole() -> None:
    tree = answer(
        {"content": "hello", "refusal": None, "annotations": [], "audio": None},
        usage={"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        system_fingerprint="fp",
        turnout={"forged": True},
    )
    assert CODEC.decode(http(tree)) == ChatResponse(
        id="c-1",
        model="m",
        choices=(
            Choice(
                parts=(Text("hello"),),
                finish="stop",
                native_finish="stop",
                extra={"message": {"audio": None}},
            ),
        ),
        usage=Usage(input_uncached=3, output_text=2),
        created=5,
        wire="openai_chat",
        extra={"system_fingerprint": "fp"},
    )


def test_tool_calls_end_an_answer_that_stopped_naturally() -> None:
    call: Json = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    for native in ("stop", "tool_calls", "", "eos", None):
        read = choice({"content": None, "tool_calls": [call]}, native)
        assert read == Choice(
            parts=(ToolCall(id="c", name="f", arguments='{"a":1}'),),
            finish="tool_calls",
            native_finish=native,
        )
    assert choice({"content": None, "tool_calls": [call]}, "length").finish == "length"


@pytest.mark.parametrize(
    ("native", "finish"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("model_length", "length"),
        ("content_filter", "content_filter"),
        ("eos", "stop"),
        ("", "stop"),
        (None, "stop"),
        ("brand_new", "stop"),
        ("error", "error"),
    ],
)
def test_finish_reasons_are_mapped(native: str | None, finish: str) -> None:
    assert choice({"content": "x"}, native).finish == finish


def test_arguments_that_came_as_an_object_are_its_json() -> None:
    read = choice({"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {"a": [1]}}}]})
    assert read.parts == (ToolCall(id="c", name="f", arguments='{"a":[1]}'),)


def test_placeholders_of_hosts_that_fill_every_field_mean_nothing() -> None:
    read = choice(
        {
            "content": "",
            "refusal": "",
            "function_call": {"name": "", "arguments": ""},
            "tool_calls": [
                {"id": "c", "function": {"name": "f", "arguments": "{}"}, "custom": {"name": "", "input": ""}}
            ],
        }
    )
    assert read.parts == (ToolCall(id="c", name="f", arguments="{}"),)


def test_custom_calls_and_the_old_function_form_are_read() -> None:
    assert choice(
        {"tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "g", "input": "x"}}]}
    ).parts == (ToolCall(id="c", name="g", arguments="x", kind="custom"),)
    assert choice({"function_call": {"name": "f", "arguments": "{}"}}, "function_call") == Choice(
        parts=(ToolCall(id="", name="f", arguments="{}", extra={"legacy": True}),),
        finish="tool_calls",
        native_finish="function_call",
    )


@pytest.mark.parametrize(
    ("message", "parts"),
    [
        ({"content": "a", "reasoning_content": "t"}, (Reasoning(text="t", wire="openai_chat"), Text("a"))),
        ({"content": "a", "reasoning": "t"}, (Reasoning(text="t", wire="openai_chat"), Text("a"))),
        (
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "t"}]},
                    {"type": "text", "text": "a"},
                ]
            },
            (Reasoning(text="t", wire="openai_chat"), Text("a")),
        ),
        (
            {
                "content": "a",
                "reasoning": "t",
                "reasoning_details": [
                    {"type": "reasoning.text", "text": "t", "signature": "s", "format": "anthropic-claude-v1"}
                ],
            },
            (Reasoning(text="t", signature="s", wire="anthropic"), Text("a")),
        ),
        ({"content": None, "refusal": "no"}, (Refusal("no"),)),
        (
            {"content": "a", "annotations": [{"type": "url_citation"}]},
            (Text("a", {"annotations": [{"type": "url_citation"}]}),),
        ),
    ],
)
def test_content_comes_in_many_spellings(message: dict[str, Json], parts: tuple[object, ...]) -> None:
    assert choice(message).parts == parts


def test_usage_of_openai_splits_cached_reasoning_and_audio() -> None:
    assert usage(
        prompt_tokens=100,
        completion_tokens=50,
        total_tokens=150,
        prompt_tokens_details={"cached_tokens": 60, "cache_write_tokens": 10, "audio_tokens": 5},
        completion_tokens_details={"reasoning_tokens": 20, "audio_tokens": 3},
    ) == Usage(
        input_uncached=25,
        cache_read=60,
        cache_write_5m=10,
        audio_in=5,
        output_text=27,
        reasoning=20,
        audio_out=3,
    )


@pytest.mark.parametrize(
    ("raw", "read"),
    [
        (
            {"prompt_cache_hit_tokens": 8, "prompt_cache_miss_tokens": 2},
            Usage(input_uncached=2, cache_read=8, output_text=5),
        ),
        ({"num_cached_tokens": 4}, Usage(input_uncached=6, cache_read=4, output_text=5)),
        ({"cached_tokens": 4}, Usage(input_uncached=6, cache_read=4, output_text=5)),
        ({"num_search_queries": 2}, Usage(input_uncached=10, output_text=5, search_units=2)),
        (
            {"server_tool_use_details": {"web_search_requests": 3}},
            Usage(input_uncached=10, output_text=5, server_tools=3),
        ),
        (
            {"prompt_tokens_details": None, "completion_tokens_details": None},
            Usage(input_uncached=10, output_text=5),
        ),
        # xAI counts reasoning beside completion_tokens; its sum shows it.
        (
            {"completion_tokens_details": {"reasoning_tokens": 7}, "total_tokens": 22},
            Usage(input_uncached=10, output_text=5, reasoning=7),
        ),
        # Mistral counts audio beside prompt_tokens.
        (
            {"prompt_tokens_details": {"audio_tokens": 30}, "total_tokens": 45},
            Usage(input_uncached=10, audio_in=30, output_text=5),
        ),
        # Gemini's OpenAI endpoint leaves thoughts out of completion_tokens and does not name them.
        ({"total_tokens": 77}, Usage(input_uncached=10, output_text=5, reasoning=62)),
        # Details that exceed their total are cut to it.
        (
            {"prompt_tokens_details": {"cached_tokens": 9, "cache_write_tokens": 9}},
            Usage(input_uncached=0, cache_read=9, cache_write_5m=1, output_text=5),
        ),
    ],
)
def test_usage_of_other_hosts_is_read_from_fields_and_sums(raw: dict[str, Json], read: Usage) -> None:
    assert usage(**{"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, **raw}) == read


def test_usage_that_was_not_sent_is_unknown() -> None:
    assert CODEC.decode(http(answer({"content": "x"}))).usage == Usage()
    assert usage(prompt_tokens=None) == Usage()


def test_groq_keeps_usage_in_its_own_object() -> None:
    tree = answer({"content": "x"}, x_groq={"usage": {"prompt_tokens": 1, "completion_tokens": 2}})
    assert CODEC.decode(http(tree)).usage == Usage(input_uncached=1, output_text=2)


def test_a_glance_reads_what_matters_and_passes_the_bytes() -> None:
    body = json.dumps(answer({"content": "x"}, usage={"prompt_tokens": 1, "completion_tokens": 2})).encode()
    assert CODEC.glance(http(body)) == Glance(
        usage=Usage(input_uncached=1, output_text=2), finish="stop", upstream_id="c-1", model="m", body=body
    )


@pytest.mark.parametrize("key", ['"turnout"', '"\\u0074urnout"'])
def test_a_glance_takes_a_forged_turnout_object_out(key: str) -> None:
    plain = answer({"content": "x"})
    forged = json.dumps(plain)[:-1] + f", {key}: {{}}}}"
    assert json.loads(CODEC.glance(http(forged.encode())).body) == plain


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"choices":[]}',
        b'{"choices":[{"message":{"tool_calls":[{}]}}]}',
        b"\xff",
        b'{"choices":"x"}',
    ],
)
def test_garbage_is_a_bad_response(body: bytes) -> None:
    with pytest.raises(ProviderBadResponse):
        CODEC.decode(http(body))
    if b"tool_calls" not in body:
        with pytest.raises(ProviderBadResponse):
            CODEC.glance(http(body))


def test_an_error_inside_a_200_is_an_error() -> None:
    for tree in (
        {"error": {"message": "slow down", "code": 429}},
        answer({"content": ""}) | {"choices": [{"error": {"message": "slow down", "code": 429}}]},
    ):
        for read in (CODEC.decode, CODEC.glance):
            with pytest.raises(ProviderRateLimited):
                read(http(tree))
    with pytest.raises(ProviderFailed):
        CODEC.decode(http({"error": "boom"}))


def error(tree: Any, status: int, **headers: str) -> TurnoutError:
    return CODEC.error(http(tree, status, **headers))


@pytest.mark.parametrize(
    ("status", "tree", "word"),
    [
        (400, {"error": {"code": "context_length_exceeded", "message": "m"}}, "context_length_exceeded"),
        (
            400,
            {
                "error": {
                    "message": "This model's maximum context length is 9 tokens",
                    "code": "invalid_request_error",
                }
            },
            "context_length_exceeded",
        ),
        (
            400,
            {"error_type": "TOO_MANY_TOKENS", "message": "too many tokens: size limit"},
            "context_length_exceeded",
        ),
        (
            400,
            {"error": {"type": "too_many_prompt_tokens", "message": "The total length", "code": 400}},
            "context_length_exceeded",
        ),
        (400, {"error": {"code": "content_filter", "message": "m"}}, "content_filtered"),
        (
            400,
            {"error": {"code": "x", "innererror": {"code": "ResponsibleAIPolicyViolation"}, "message": "m"}},
            "content_filtered",
        ),
        (403, {"error": {"code": 403, "message": "Your input was flagged"}}, "content_filtered"),
        (403, {"error": {"message": "no access"}}, "provider_auth"),
        (429, {"error": {"code": "rate_limit_exceeded", "message": "m"}}, "provider_rate_limited"),
        (
            413,
            {"error": {"code": "rate_limit_exceeded", "type": "tokens", "message": "Request too large"}},
            "provider_rate_limited",
        ),
        (429, {"error": {"code": 429, "message": "Provider returned error"}}, "provider_rate_limited"),
        (429, b"", "provider_rate_limited"),
        (
            429,
            {"error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}},
            "provider_quota_exhausted",
        ),
        (402, {"error": {"message": "Insufficient Balance"}}, "provider_quota_exhausted"),
        (401, {"detail": "Invalid API Key"}, "provider_auth"),
        (400, {"error": "Incorrect API key provided.", "code": "invalid-argument"}, "provider_auth"),
        (404, {"error": {"code": "model_not_found", "message": "m"}}, "provider_model_unavailable"),
        (400, {"error": {"code": "model_not_found", "message": "m"}}, "provider_model_unavailable"),
        (404, {"error": {"code": "DeploymentNotFound", "message": "m"}}, "provider_model_unavailable"),
        (
            400,
            {"detail": "Model nonexistent is not supported. Supported models are [...]"},
            "provider_model_unavailable",
        ),
        (404, b"<html>not here</html>", "provider_model_unavailable"),
        (400, {"error": {"code": "tool_use_failed", "message": "m"}}, "invalid_model_output"),
        (400, {"error": {"code": "invalid_image_url", "message": "m"}}, "invalid_media"),
        (
            400,
            {"error": {"message": "unknown field", "param": "frob", "code": "unknown_parameter"}},
            "provider_rejected",
        ),
        (400, {"detail": [{"msg": "field required", "loc": ["body"]}]}, "provider_rejected"),
        (422, b"garbage", "provider_rejected"),
        (408, b"", "timeout_ttft"),
        (504, b"<html>", "timeout_ttft"),
        (503, {"error": {"message": "busy"}}, "provider_overloaded"),
        (529, b"", "provider_overloaded"),
        (500, {"error": {"code": "rate_limit_exceeded", "message": "m"}}, "provider_error"),
        (502, b"<html>bad gateway</html>", "provider_error"),
        (
            400,
            [{"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED"}}],
            "provider_rate_limited",
        ),
    ],
)
def test_every_shape_of_error_is_one_class(status: int, tree: Any, word: str) -> None:
    assert error(tree, status).row.word == word


def test_a_callers_error_quotes_the_provider_and_keeps_the_evidence() -> None:
    tree = {"error": {"message": "bad " * 200, "param": "frob", "code": "unknown_parameter"}}
    read = error(tree, 400, x_should_retry="false")
    assert (read.message, read.param, read.code) == (("bad " * 200)[:500], "frob", "unknown_parameter")
    assert read.upstream == Upstream(
        status=400, body=json.dumps(tree).encode(), wire="openai_chat", should_retry=False
    )


def test_a_key_in_a_message_is_masked() -> None:
    read = error({"error": {"message": "bad header sk-proj-abcdef123456", "code": "x"}}, 400)
    assert read.message == "bad header ***"


def test_a_providers_error_is_not_quoted() -> None:
    read = error({"error": {"message": "internal host db-7", "param": "x", "code": "y"}}, 500)
    assert (read.message, read.param, read.code) == ("the provider answered 500", None, None)


def test_the_wait_comes_from_headers_or_words() -> None:
    assert error(b"", 429, retry_after="7").retry_after_s == 7.0
    assert error({"error": {"message": "Please try again in 6.2s."}}, 429).retry_after_s == 6.2
    assert error({"error": {"message": "Please try again in 1m30s."}}, 429).retry_after_s == 90.0
    assert error(b"", 429).retry_after_s is None


def test_a_huge_error_body_is_cut() -> None:
    read = error(b"x" * 100_000, 500)
    assert read.upstream is not None
    assert len(read.upstream.body) == 65_536
