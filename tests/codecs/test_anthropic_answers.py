"""Complete answers and failures of an Anthropic upstream."""

import json

import pytest

from turnout.codecs.anthropic import Anthropic
from turnout.codecs.base import Glance
from turnout.errors import (
    ContentFiltered,
    ContextLengthExceeded,
    InvalidMedia,
    NotFound,
    ProviderAuth,
    ProviderBadResponse,
    ProviderFailed,
    ProviderModelUnavailable,
    ProviderOverloaded,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderRejected,
    RequestTooLarge,
    TimeoutTtft,
)
from turnout.types.chat import ChatResponse, Choice, Native, Reasoning, Text, ToolCall
from turnout.types.http import HttpResponse
from turnout.types.usage import Usage

CODEC = Anthropic()
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "content": [{"type": "text", "text": "Hi"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 4},
}


def response(status=200, headers=None, **fields):
    return HttpResponse(status, headers or {}, json.dumps({**MESSAGE, **fields}).encode())


def failure(status, message="no", kind="invalid_request_error", headers=None):
    body = {"type": "error", "error": {"type": kind, "message": message}}
    return CODEC.error(HttpResponse(status, headers or {}, json.dumps(body).encode()))


def test_a_message_is_decoded_whole():
    search = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
    usage = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 7,
        "cache_read_input_tokens": 5,
        "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4},
        "output_tokens": 20,
        "output_tokens_details": {"thinking_tokens": 8},
        "server_tool_use": {"web_search_requests": 1, "web_fetch_requests": 2},
        "service_tier": "standard",
    }
    got = CODEC.decode(
        response(
            content=[
                {"type": "thinking", "thinking": "hm", "signature": "sig"},
                {"type": "redacted_thinking", "data": "zz"},
                {"type": "text", "text": "Hi", "citations": []},
                {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}, "caller": {"type": "direct"}},
                search,
            ],
            stop_reason="tool_use",
            usage=usage,
            container={"id": "k"},
        )
    )
    assert got == ChatResponse(
        id="msg_1",
        model="claude-x",
        choices=(
            Choice(
                parts=(
                    Reasoning(text="hm", signature="sig", wire="anthropic"),
                    Reasoning(redacted="zz", wire="anthropic"),
                    Text("Hi", {"citations": []}),
                    ToolCall(id="c", name="f", arguments='{"a":1}', extra={"caller": {"type": "direct"}}),
                    Native("anthropic", search),
                ),
                finish="tool_calls",
                native_finish="tool_use",
            ),
        ),
        usage=Usage(
            input_uncached=10,
            cache_read=5,
            cache_write_5m=3,
            cache_write_1h=4,
            output_text=12,
            reasoning=8,
            search_units=1,
            server_tools=3,
        ),
        wire="anthropic",
        extra={"container": {"id": "k"}, "usage": {"service_tier": "standard"}},
    )


def test_the_total_of_cache_writes_leads_its_breakdown():
    usage = {
        "input_tokens": 1,
        "output_tokens": 1,
        "cache_creation_input_tokens": 100,
        "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 10},
    }
    got = CODEC.decode(response(usage=usage)).usage
    assert (got.cache_write_5m, got.cache_write_1h) == (90, 10)


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        ("a_new_word", "stop"),
    ],
)
def test_stop_reasons_have_their_meaning_and_keep_their_word(word, finish):
    choice = CODEC.decode(response(stop_reason=word)).choices[0]
    assert (choice.finish, choice.native_finish) == (finish, word)


def test_calls_with_a_natural_stop_are_tool_calls():
    content = [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]
    assert CODEC.decode(response(content=content)).choices[0].finish == "tool_calls"
    assert CODEC.glance(response(content=content)).finish == "tool_calls"


def test_a_glance_reads_what_the_engine_needs_and_passes_the_bytes():
    http = response()
    usage = Usage(input_uncached=3, output_text=4)
    assert CODEC.glance(http) == Glance(
        usage=usage, finish="stop", upstream_id="msg_1", model="claude-x", body=http.body
    )


@pytest.mark.parametrize("name", ['"turnout"', '"\\u0074urnout"'])
def test_a_forged_turnout_object_is_taken_out(name):
    body = json.dumps(MESSAGE).encode()[:-1] + f', {name}: {{"cost_usd": "0"}}}}'.encode()
    got = CODEC.glance(HttpResponse(200, {}, body))
    assert json.loads(got.body) == MESSAGE
    assert "turnout" not in CODEC.decode(HttpResponse(200, {}, body)).extra


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"type":1}'])
@pytest.mark.parametrize("read", [CODEC.decode, CODEC.glance])
def test_an_answer_that_is_no_message_is_a_bad_response(body, read):
    with pytest.raises(ProviderBadResponse):
        read(HttpResponse(200, {}, body))


def test_a_message_without_content_is_a_bad_response():
    with pytest.raises(ProviderBadResponse):
        CODEC.decode(response(content=None))


@pytest.mark.parametrize("read", [CODEC.decode, CODEC.glance])
def test_an_error_under_status_200_is_its_class(read):
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    with pytest.raises(ProviderOverloaded):
        read(HttpResponse(200, {}, body))


@pytest.mark.parametrize(
    ("status", "kind", "message", "expected"),
    [
        (400, "invalid_request_error", "prompt is too long: 5 tokens > 3 maximum", ContextLengthExceeded),
        (
            400,
            "invalid_request_error",
            "input length and `max_tokens` exceed context limit: 9",
            ContextLengthExceeded,
        ),
        (400, "invalid_request_error", "Your credit balance is too low to access", ProviderQuotaExhausted),
        (
            400,
            "invalid_request_error",
            "You have reached your specified API usage limits.",
            ProviderQuotaExhausted,
        ),
        (400, "invalid_request_error", "Output blocked by content filtering policy", ContentFiltered),
        (400, "invalid_request_error", "Could not process image", InvalidMedia),
        (400, "invalid_request_error", "effort level 'xhigh' is not supported", ProviderRejected),
        (401, "authentication_error", "invalid x-api-key", ProviderAuth),
        (402, "billing_error", "pay", ProviderQuotaExhausted),
        (403, "permission_error", "no", ProviderAuth),
        (404, "not_found_error", "model: claude-9", ProviderModelUnavailable),
        (404, "not_found_error", "File not found: file_1", NotFound),
        (408, "", "", TimeoutTtft),
        (409, "conflict_error", "again", ProviderRejected),
        (413, "request_too_large", "Request exceeds the maximum size", RequestTooLarge),
        (429, "rate_limit_error", "slow down", ProviderRateLimited),
        (500, "api_error", "Internal server error", ProviderFailed),
        (503, "", "", ProviderOverloaded),
        (504, "timeout_error", "late", TimeoutTtft),
        (529, "overloaded_error", "Overloaded", ProviderOverloaded),
        (302, "", "", ProviderBadResponse),
    ],
)
def test_every_failure_has_one_class(status, kind, message, expected):
    assert type(failure(status, message, kind)) is expected


def test_a_failure_keeps_the_wait_the_advice_and_the_evidence():
    error = failure(429, kind="rate_limit_error", headers={"retry-after": "12", "x-should-retry": "true"})
    assert error.retry_after_s == 12.0
    assert error.upstream is not None
    assert (error.upstream.status, error.upstream.wire, error.upstream.should_retry) == (
        429,
        "anthropic",
        True,
    )


def test_only_a_failure_of_the_callers_own_quotes_the_provider():
    assert (
        failure(400, "bad tool sk-ant-0123456789").message == "the provider refused the request: bad tool ***"
    )
    assert "secret" not in failure(500, "secret detail", "api_error").message


@pytest.mark.parametrize("body", [b"", b"<html>502</html>", b"null", b'{"error":"text"}', b"[" * 100_000])
def test_a_failure_of_any_shape_never_raises(body):
    assert type(CODEC.error(HttpResponse(502, {}, body))) is ProviderFailed
