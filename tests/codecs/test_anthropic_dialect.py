"""Requests as Anthropic clients send them, and the answers and failures they get."""

import json

import pytest

from turnout.codecs.anthropic import Anthropic, AnthropicDialect
from turnout.codecs.base import Carries, Summary
from turnout.errors import (
    BudgetExceeded,
    CapacityExhausted,
    ContextLengthExceeded,
    InvalidRequest,
    ProviderRejected,
    Upstream,
)
from turnout.types.chat import (
    ChatRequest,
    ChatResponse,
    Choice,
    Facts,
    Media,
    Message,
    Native,
    OutputFormat,
    Reasoning,
    Refusal,
    ServerTool,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from turnout.types.deployment import Deployment, Model, Vendor
from turnout.types.usage import Usage

DIALECT = AnthropicDialect()
LEAST = {"model": "m", "max_tokens": 8, "messages": [{"role": "user", "content": "Hi"}]}
SUMMARY = Summary(request_id="req_1", model="anthropic/claude", created=1, provider="anthropic")


def parse(**fields):
    return DIALECT.parse(json.dumps({**LEAST, **fields}).encode())


def blocks(*content, role="user"):
    return parse(messages=[{"role": role, "content": list(content)}]).request.messages[0].parts


def test_the_least_request_has_nothing_but_what_was_said():
    body = parse()
    assert body.request == ChatRequest(
        model="m",
        messages=(Message("user", (Text("Hi"),)),),
        max_tokens=8,
        include_usage=True,
        wire="anthropic",
        facts=Facts(n_chars=2, n_messages=1),
    )
    assert (body.wire.format, body.wire.body) == ("anthropic", LEAST)


def test_every_option_has_its_canonical_field():
    schema = {"type": "object"}
    request = parse(
        system="S", temperature=0.5, top_p=0.9, top_k=3, stop_sequences=["X"], stream=True,
        metadata={"user_id": "u"},
        tool_choice={"type": "tool", "name": "f", "disable_parallel_tool_use": True},
        thinking={"type": "enabled", "budget_tokens": 2048},
        output_config={"effort": "low", "format": {"type": "json_schema", "schema": schema}},
        tools=[{"name": "f", "description": "d", "input_schema": schema, "strict": True,
                "defer_loading": True},
               {"type": "web_search_20250305", "name": "web_search"}],
        service_tier="auto",
    ).request  # fmt: skip
    tools = (
        Tool(name="f", description="d", schema=schema, strict=True, extra={"defer_loading": True}),
        ServerTool("anthropic", {"type": "web_search_20250305", "name": "web_search"}),
    )
    assert request == ChatRequest(
        model="m",
        messages=(Message("system", (Text("S"),)), Message("user", (Text("Hi"),))),
        tools=tools,
        tool_choice=ToolChoice("named", ("f",)),
        parallel_tool_calls=False,
        max_tokens=8,
        temperature=0.5,
        top_p=0.9,
        top_k=3,
        stop=("X",),
        output_format=OutputFormat(kind="json_schema", schema=schema),
        thinking=Thinking(enabled=True, budget_tokens=2048, effort="low"),
        user="u",
        stream=True,
        include_usage=True,
        wire="anthropic",
        extra={"service_tier": "auto"},
        facts=request.facts,
    )
    assert request.facts == Facts(
        n_chars=request.facts.n_chars,
        n_messages=2,
        n_tools=2,
        forced_tool=True,
        structured="json_schema",
        server_tools=True,
        native_wire="anthropic",
    )


@pytest.mark.parametrize(
    ("fields", "thinking", "extra"),
    [
        ({"thinking": {"type": "disabled"}}, Thinking(enabled=False), {}),
        (
            {"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "max"}},
            Thinking(enabled=True, adaptive=True, effort="xhigh", include=True),
            {"thinking": {"display": "summarized"}, "output_config": {"effort": "max"}},
        ),
        ({"output_config": {"effort": "high"}}, Thinking(effort="high"), {}),
        ({"thinking": {"type": "new", "x": 1}}, Thinking(), {"thinking": {"type": "new", "x": 1}}),
    ],
)
def test_thinking_is_read_and_what_has_no_word_is_kept(fields, thinking, extra):
    request = parse(**fields).request
    assert (request.thinking, request.extra) == (thinking, extra)


def test_the_older_output_format_means_the_same():
    wanted = {"type": "json_schema", "schema": {"type": "object"}}
    assert parse(output_format=wanted).request.output_format == OutputFormat(
        kind="json_schema", schema={"type": "object"}
    )


def test_every_block_has_its_part():
    mark = {"type": "ephemeral"}
    odd = {"type": "search_result", "source": "s", "title": "t", "content": []}
    assert blocks(
        {"type": "text", "text": "a", "cache_control": mark},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
        {"type": "image", "source": {"type": "url", "url": "https://a.test/x"}},
        {"type": "document", "source": {"type": "file", "file_id": "f"}, "title": "T"},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
        {"type": "tool_result", "tool_use_id": "c", "content": "ok", "is_error": True, "cache_control": mark},
        {"type": "tool_result", "tool_use_id": "d", "content": [{"type": "text", "text": "x"}, odd]},
        {"type": "tool_result", "tool_use_id": "e"},
        odd,
    ) == (
        Text("a", {"cache_control": mark}),
        Media(kind="image", mime="image/png", data="AA=="),
        Media(kind="image", url="https://a.test/x"),
        Media(kind="document", file_id="f", name="T"),
        Media(kind="document", mime="text/plain", text="words"),
        ToolResult(call_id="c", content=(Text("ok"),), is_error=True, extra={"cache_control": mark}),
        ToolResult(call_id="d", content=(Text("x"), Native("anthropic", odd))),
        ToolResult(call_id="e"),
        Native("anthropic", odd),
    )
    assert blocks(
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "zzz"},
        {"type": "tool_use", "id": "c", "name": "f", "input": {"a": [1, 2]}},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        role="assistant",
    ) == (
        Reasoning(text="hm", signature="sig", wire="anthropic"),
        Reasoning(redacted="zzz", wire="anthropic"),
        ToolCall(id="c", name="f", arguments='{"a":[1,2]}'),
        Native("anthropic", {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}),
    )


def test_a_document_of_blocks_is_its_text_for_others_and_itself_for_anthropic():
    source = {"type": "content", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    (document,) = blocks({"type": "document", "source": source})
    assert document == Media(kind="document", mime="text/plain", text="a\nb", extra={"source": source})
    pictured = {
        "type": "document",
        "source": {"type": "content", "content": [{"type": "image", "source": {}}]},
    }
    assert blocks(pictured) == (Native("anthropic", pictured),)


def test_facts_count_the_text_a_model_will_read():
    request = parse(
        system=[{"type": "text", "text": "1234"}],
        messages=[
            {"role": "user", "content": [
                {"type": "text", "text": "567"},
                {"type": "image", "source": {"type": "url", "url": "https://long.address.test/"}},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "89"}},
            ]},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "c", "name": "fn", "input": {"a": 1}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "0"}]},
        ],
    ).request  # fmt: skip
    assert request.facts == Facts(
        n_chars=4 + 3 + 2 + len('fn{"a":1}') + 1,
        n_messages=4,
        n_media=2,
        modalities=frozenset({"image", "document"}),
    )


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "image", "source": {"type": "file", "file_id": "f"}}],
        [{"type": "container_upload", "file_id": "f"}],
    ],
)
def test_stored_files_bind_a_request_to_their_provider(content):
    assert parse(messages=[{"role": "user", "content": content}]).request.facts.native_wire == "anthropic"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"model": 3}, "model"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        (
            {"messages": [{"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "image"}]}]}]},
            "messages[0].content[0].content[0].source",
        ),
        ({"system": 1}, "system"),
        ({"tools": [{"name": "f", "input_schema": "x"}]}, "tools[0].input_schema"),
        ({"tools": {"name": "f"}}, "tools"),
        ({"thinking": {"type": "enabled", "budget_tokens": "many"}}, "thinking.budget_tokens"),
        ({"stop_sequences": "X"}, "stop_sequences"),
        ({"api_base": "https://evil.test"}, "api_base"),
        ({"new_field": {"api_key": "k"}}, "new_field.api_key"),
    ],
)  # fmt: skip
def test_a_bad_field_is_named_by_its_path(fields, param):
    with pytest.raises(InvalidRequest) as caught:
        parse(**fields)
    assert caught.value.param == param


def test_a_missing_limit_is_refused_as_anthropic_does():
    with pytest.raises(InvalidRequest) as caught:
        DIALECT.parse(b'{"model":"m","messages":[{"role":"user","content":"x"}]}')
    assert caught.value.param == "max_tokens"


def test_routing_wishes_are_read_and_do_not_travel():
    body = parse(turnout={"route": "r", "tags": ["a"]}, fallbacks=["other/model"], metadata={"user_id": "u"})
    assert (body.route, body.tags, body.prefer.fallbacks, body.session) == (
        "r",
        ("a",),
        ("other/model",),
        "u",
    )
    assert body.wire.body == {**LEAST, "metadata": {"user_id": "u"}}
    assert body.request.extra == {}


def test_the_clients_beta_header_travels_with_its_fields_on_both_tracks():
    headers = ((b"anthropic-beta", b"a-1,b-2"), (b"x-api-key", b"tn_secret"))
    body = DIALECT.carry(parse(), headers)
    assert body.wire.headers == ((b"anthropic-beta", b"a-1,b-2"),)
    vendor = Vendor(name="v", base_url="https://up.test/v1", codec="anthropic")
    to = Deployment(id="d", vendor=vendor, model=Model(id="v/m"), upstream_model="m")
    assert (b"anthropic-beta", b"a-1,b-2") in list(Anthropic().encode(body.request, to).http.headers)


def test_a_request_without_headers_of_its_own_stays_the_same_object():
    body = parse()
    assert DIALECT.carry(body, ((b"x-other", b"1"),)) is body
    assert isinstance(DIALECT, Carries)


def answer(*parts, **fields):
    response = ChatResponse(
        id="chatcmpl-1",
        model="gpt",
        choices=(Choice(parts=parts, **fields),),
        usage=Usage(input_uncached=3, cache_read=2, output_text=4, reasoning=1),
        wire="openai_chat",
    )
    return json.loads(DIALECT.render(response, parse().request, SUMMARY))


def test_an_answer_of_another_format_is_a_message():
    call = ToolCall(id="c", name="f", arguments='{"a":1}')
    assert answer(Text("Hi"), call, finish="tool_calls", native_finish="tool_calls") == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "anthropic/claude",
        "content": [
            {"type": "text", "text": "Hi"},
            {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 3,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 2,
            "output_tokens": 5,
            "output_tokens_details": {"thinking_tokens": 1},
        },
    }


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"finish": "stop"}, "end_turn"),
        ({"finish": "stop", "stop_sequence": "X"}, "stop_sequence"),
        ({"finish": "stop", "native_finish": "pause_turn"}, "pause_turn"),
        ({"finish": "length"}, "max_tokens"),
        (
            {"finish": "length", "native_finish": "model_context_window_exceeded"},
            "model_context_window_exceeded",
        ),
        ({"finish": "content_filter", "native_finish": "SAFETY"}, "refusal"),
    ],
)
def test_an_answer_ends_with_a_word_of_this_format(fields, word):
    assert answer(Text("x"), **fields)["stop_reason"] == word


def test_a_refusal_is_text_and_the_reason_to_stop():
    got = answer(Refusal("I won't."))
    assert (got["content"], got["stop_reason"]) == ([{"type": "text", "text": "I won't."}], "refusal")


def test_another_providers_thought_comes_back_whole_and_never_reaches_anthropic():
    thoughts = (
        Reasoning(text="t", signature="sig:1", id="rs_1", wire="gemini"),
        Reasoning(text="u", redacted="enc", id="rs_2", wire="openai_responses"),
        Reasoning(text="v", wire="openai_chat"),
    )
    content = answer(*thoughts, Text("x"))["content"]
    assert [block["type"] for block in content] == ["thinking", "thinking", "thinking", "text"]
    body = parse(messages=[{"role": "user", "content": "q"}, {"role": "assistant", "content": content}])
    assert body.request.messages[1].parts == (*thoughts, Text("x"))
    assert body.wire.format == ""


def test_the_turnout_object_is_there_when_it_was_asked_for():
    summary = Summary(
        request_id="req_1", model="m", created=1, provider="p", cost_usd="0.01", cost_state="exact", show=True
    )
    response = ChatResponse(id="msg_x", model="m", choices=(Choice(parts=(Text("x"),)),))
    assert json.loads(DIALECT.render(response, parse().request, summary))["turnout"] == {
        "request_id": "req_1",
        "model": "m",
        "provider": "p",
        "attempts": 1,
        "cost_usd": "0.01",
        "cost_state": "exact",
    }


def test_a_failure_of_ours_has_anthropics_shape_and_type():
    status, body = DIALECT.error(BudgetExceeded("spent", retry_after_s=3.0), "req_9")
    assert (status, json.loads(body)) == (
        402,
        {
            "type": "error",
            "error": {
                "type": "billing_error",
                "message": "spent",
                "turnout": {
                    "class": "budget_exceeded",
                    "domain": "policy",
                    "retryable": False,
                    "request_id": "req_9",
                    "retry_after_s": 3.0,
                },
            },
            "request_id": "req_9",
        },
    )
    assert DIALECT.error(CapacityExhausted("full"), "req_9")[0] == 529


def test_a_conversation_that_is_too_long_always_begins_with_the_words_agents_look_for():
    _, body = DIALECT.error(ContextLengthExceeded("maximum context length is 8"), "req_9")
    assert json.loads(body)["error"]["message"] == "prompt is too long: maximum context length is 8"


def test_an_anthropic_upstreams_refusal_goes_through_word_for_word_without_its_secrets():
    said = {"type": "invalid_request_error", "message": "no effort 'xhigh' for sk-ant-abcdefghijkl"}
    upstream = Upstream(
        status=400, body=json.dumps({"type": "error", "error": said}).encode(), wire="anthropic"
    )
    status, body = DIALECT.error(ProviderRejected("the provider refused", upstream=upstream), "req_9")
    got = json.loads(body)["error"]
    assert (status, got["type"]) == (400, "invalid_request_error")
    assert got["message"] == "no effort 'xhigh' for ***"
    assert got["turnout"]["class"] == "provider_rejected"
