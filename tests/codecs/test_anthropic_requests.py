"""Requests of every origin, written for an upstream that speaks the Anthropic messages format."""

import json

import pytest

from turnout.codecs.anthropic import Anthropic, AnthropicDialect
from turnout.errors import InvalidMedia, InvalidRequest, UnsupportedParameter
from turnout.types.ask import Wire
from turnout.types.chat import (
    ChatRequest,
    Effort,
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
from turnout.types.deployment import Deployment, Model, Quirks, Vendor
from turnout.types.embed import EmbedRequest

CODEC = Anthropic()
HELLO = (Message("user", (Text("Hello"),)),)


def deployment(name="claude-haiku-4-5", *, quirks=None, **facts):
    vendor = Vendor(
        name="anthropic", base_url="https://up.test/v1", codec="anthropic", quirks=quirks or Quirks()
    )
    model = Model(id=f"anthropic/{name}", **facts)
    return Deployment(id=model.id, vendor=vendor, model=model, upstream_model=name)


def encode(request, to=None):
    sent = CODEC.encode(request, to or deployment(max_output=8192))
    return json.loads(sent.http.body), sent


def written(*messages, to=None, **fields):
    request = ChatRequest(model="any", messages=messages or HELLO, wire="openai_chat", **fields)
    return encode(request, to)


def turns(*messages, **fields):
    return written(*messages, **fields)[0]["messages"]


def test_a_plain_request_is_one_post_with_the_version_and_a_default_limit():
    body, sent = written()
    assert body == {
        "model": "claude-haiku-4-5",
        "max_tokens": 8192,
        "messages": [{"role": "user", "content": "Hello"}],
    }
    assert (sent.http.method, sent.http.url) == ("POST", "https://up.test/v1/messages")
    assert dict(sent.http.headers) == {
        b"content-type": b"application/json",
        b"anthropic-version": b"2023-06-01",
    }
    assert (sent.dropped, sent.warnings) == ((), ())


def test_the_limit_defaults_to_4096_where_nobody_knows_one_and_is_clamped_where_the_model_has_one():
    assert written(to=deployment())[0]["max_tokens"] == 4096
    body, sent = written(to=deployment(max_output=1000), max_tokens=5000)
    assert (body["max_tokens"], sent.warnings) == (1000, ("max_tokens_clamped",))


def test_every_plain_option_has_its_place():
    body, _ = written(
        temperature=0.5, top_k=7, stop=("END", "STOP"), stream=True, user="u-1", max_tokens=9,
        parallel_tool_calls=False, tools=[Tool(name="f", description="d", schema={"type": "object"})],
    )  # fmt: skip
    del body["messages"]
    assert body == {
        "model": "claude-haiku-4-5",
        "max_tokens": 9,
        "temperature": 0.5,
        "top_k": 7,
        "stop_sequences": ["END", "STOP"],
        "stream": True,
        "metadata": {"user_id": "u-1"},
        "tools": [{"name": "f", "description": "d", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    }


def test_system_and_developer_messages_lead_and_late_ones_are_folded_with_a_warning():
    body, sent = written(
        Message("system", (Text("A"),)),
        Message("developer", (Text("B"),)),
        Message("user", (Text("q"),)),
        Message("system", (Text("C"),)),
    )
    assert [block["text"] for block in body["system"]] == ["A", "B", "C"]
    assert body["messages"] == [{"role": "user", "content": "q"}]
    assert sent.warnings == ("system_folded",)


def test_a_conversation_of_system_messages_alone_is_asked_as_the_user():
    body, sent = written(Message("system", (Text("Write a haiku"),)))
    assert body["messages"] == [{"role": "user", "content": "Write a haiku"}]
    assert ("system" in body, sent.warnings) == (False, ("system_as_user",))


def test_neighbours_of_one_role_are_joined_and_tool_results_come_first_in_their_turn():
    found = turns(
        Message("user", (Text("a"),)),
        Message("user", (Text("b"),)),
        Message("assistant", (Text(""), ToolCall(id="c1", name="f", arguments='{"x":1}'))),
        Message("assistant", (ToolCall(id="c2", name="g", arguments=""),)),
        Message("user", (Text("and now?"),)),
        Message("tool", (ToolResult(call_id="c1", content=(Text("one"),)),)),
        Message("tool", (ToolResult(call_id="c2", content=(Text("two"),), is_error=True),)),
    )
    assert found == [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "c1", "name": "f", "input": {"x": 1}},
                {"type": "tool_use", "id": "c2", "name": "g", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "one"},
                {"type": "tool_result", "tool_use_id": "c2", "content": "two", "is_error": True},
                {"type": "text", "text": "and now?"},
            ],
        },
    ]


def test_arguments_travel_as_the_models_own_text():
    call = ToolCall(id="c", name="f", arguments='{"n": 1.50, "big": 12345678901234567890}')
    _, sent = written(*HELLO, Message("assistant", (call,)), Message("user", (Text("x"),)))
    assert b'"input":{"n": 1.50, "big": 12345678901234567890}' in sent.http.body


def test_arguments_that_are_no_object_are_wrapped_and_free_text_becomes_an_input():
    calls = (
        ToolCall(id="a", name="f", arguments='{"broken'),
        ToolCall(id="b", name="f", arguments="[1]"),
        ToolCall(id="c", name="f", arguments="SELECT 1", kind="custom"),
    )
    body, sent = written(*HELLO, Message("assistant", calls), Message("user", (Text("x"),)))
    assert [block["input"] for block in body["messages"][1]["content"]] == [
        {"arguments": '{"broken'},
        {"arguments": "[1]"},
        {"input": "SELECT 1"},
    ]
    assert "tool_arguments_wrapped" in sent.warnings


def test_ids_are_made_acceptable_and_a_call_keeps_its_answer():
    found = turns(
        *HELLO,
        Message("assistant", (ToolCall(id="call:1/ä", name="f", arguments="{}"),)),
        Message("tool", (ToolResult(call_id="call:1/ä"),)),
        Message(
            "assistant",
            (ToolCall(id="", name="f", arguments="{}"), ToolCall(id="", name="g", arguments="{}")),
        ),
        Message("tool", (ToolResult(call_id="", name="g"), ToolResult(call_id="", name="f"))),
    )
    (first,), (second, third) = (found[1]["content"], found[3]["content"])
    assert all(block["id"].replace("_", "").isalnum() for block in (first, second, third))
    assert found[2]["content"][0]["tool_use_id"] == first["id"]
    assert [block["tool_use_id"] for block in found[4]["content"]] == [third["id"], second["id"]]


def test_an_id_used_twice_gets_a_stand_in_that_its_answer_shares():
    found = turns(
        *HELLO,
        Message("assistant", (ToolCall(id="call_0", name="f", arguments="{}"),)),
        Message("tool", (ToolResult(call_id="call_0"),)),
        Message("assistant", (ToolCall(id="call_0", name="g", arguments="{}"),)),
        Message("tool", (ToolResult(call_id="call_0"),)),
    )
    one, two = found[1]["content"][0]["id"], found[3]["content"][0]["id"]
    assert one == "call_0" != two
    assert [found[2]["content"][0]["tool_use_id"], found[4]["content"][0]["tool_use_id"]] == [one, two]


def test_reasoning_goes_only_to_the_provider_that_signed_it():
    thoughts = (
        Reasoning(text="mine", signature="sig", wire="anthropic"),
        Reasoning(redacted="secret", wire="anthropic"),
        Reasoning(text="theirs", signature="other", wire="gemini"),
        Reasoning(text="unsigned", wire="anthropic"),
        Text("so"),
    )
    body, sent = written(*HELLO, Message("assistant", thoughts), Message("user", (Text("x"),)))
    assert body["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "mine", "signature": "sig"},
        {"type": "redacted_thinking", "data": "secret"},
        {"type": "text", "text": "so"},
    ]
    assert sent.warnings == ("reasoning_dropped",)


def test_a_started_answer_loses_its_trailing_space_and_a_refusal_is_a_text():
    found = turns(*HELLO, Message("assistant", (Refusal("No. \n"),)))
    assert found[1] == {"role": "assistant", "content": "No."}


def test_cache_marks_of_other_dialects_survive_and_their_other_fields_do_not():
    mark = {"type": "ephemeral"}
    found = turns(Message("user", (Text("long", {"cache_control": mark, "annotations": []}),)))
    assert found[0]["content"] == [{"type": "text", "text": "long", "cache_control": mark}]


def test_blocks_that_only_another_format_knows_are_dropped_with_a_warning():
    body, sent = written(Message("user", (Text("q"), Native("gemini", {"executableCode": {}}))))
    assert (body["messages"][0]["content"], sent.warnings) == ("q", ("native_block_dropped",))


@pytest.mark.parametrize(
    ("media", "block"),
    [
        (
            Media(kind="image", data="iVBORw0KGgo="),
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
            },
        ),
        (
            Media(kind="image", url="https://a.test/x.jpg"),
            {"type": "image", "source": {"type": "url", "url": "https://a.test/x.jpg"}},
        ),
        (
            Media(kind="document", mime="application/pdf", data="JVBERg==", name="a.pdf"),
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
                "title": "a.pdf",
            },
        ),
        (
            Media(kind="document", mime="text/csv", data="YSxi"),
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a,b"}},
        ),
        (
            Media(kind="document", text="words"),
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
        ),
    ],
)
def test_media_have_their_blocks(media, block):
    assert turns(Message("user", (media,)))[0]["content"] == [block]


@pytest.mark.parametrize(
    ("part", "error"),
    [
        (Media(kind="audio", mime="audio/wav", data="AA=="), UnsupportedParameter),
        (Media(kind="image", file_id="file-of-another-provider"), UnsupportedParameter),
        (Media(kind="document", mime="application/zip", data="AA=="), UnsupportedParameter),
        (Media(kind="document", mime="text/plain", data="!"), InvalidMedia),
    ],
)
def test_media_the_format_cannot_say_are_refused(part, error):
    with pytest.raises(error):
        written(Message("user", (part,)))


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 2},
        {"logprobs": True},
        {"output_format": OutputFormat(kind="json_object")},
        {"stop": ("END", "\n")},
        {"tools": [ServerTool("gemini", {"googleSearch": {}})]},
    ],
)
def test_what_changes_the_right_answer_and_cannot_be_said_is_refused(fields):
    with pytest.raises(UnsupportedParameter):
        written(**fields)


def test_nothing_to_answer_is_the_callers_mistake():
    with pytest.raises(InvalidRequest):
        written(Message("user", (Text(" "),)))


def test_advisory_fields_are_dropped_by_name():
    _, sent = written(
        seed=1, presence_penalty=0.1, logit_bias={"1": 2.0}, extra={"store": True}, temperature=1.7
    )
    assert sent.dropped == ("store", "seed", "presence_penalty", "logit_bias")
    assert sent.warnings == ("temperature_clamped",)


@pytest.mark.parametrize("user", ["ann@mail.test", "+1 (555) 010-9999"])
def test_a_user_who_can_be_recognised_is_not_named(user):
    body, sent = written(user=user)
    assert ("metadata" in body, sent.dropped) == (False, ("user",))


def test_what_is_built_in_process_may_name_this_formats_own_files_and_fields():
    part = Media(kind="document", file_id="file_1", extra={"citations": {"enabled": True}})
    request = ChatRequest(model="m", messages=(Message("user", (part,)),), extra={"container": "k"})
    body, _ = encode(request)
    source = {"type": "file", "file_id": "file_1"}
    assert body["container"] == "k"
    assert body["messages"][0]["content"] == [
        {"type": "document", "source": source, "citations": {"enabled": True}}
    ]


def test_fields_a_host_refuses_are_left_out_by_name():
    body, sent = written(to=deployment(quirks=Quirks(unsupported=frozenset({"top_k"}))), top_k=3)
    assert ("top_k" in body, sent.dropped) == (False, ("top_k",))


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (ToolChoice("auto"), {"type": "auto"}),
        (ToolChoice("none"), {"type": "none"}),
        (ToolChoice("required"), {"type": "any"}),
        (ToolChoice("named", ("g",)), {"type": "tool", "name": "g"}),
    ],
)
def test_tool_choice_has_its_four_words(choice, expected):
    body, _ = written(tools=[Tool(name="f"), Tool(name="g")], tool_choice=choice)
    assert body["tool_choice"] == expected


def test_an_allowed_subset_is_said_by_leaving_the_others_out():
    body, _ = written(tools=[Tool(name="f"), Tool(name="g")], tool_choice=ToolChoice("required", ("g",)))
    assert [tool["name"] for tool in body["tools"]] == ["g"]
    assert body["tool_choice"] == {"type": "any"}


def test_a_tool_without_parameters_gets_an_object_and_strict_only_where_it_is_known():
    tool = Tool(name="f", schema={"properties": {}}, strict=True)
    assert written(tools=[tool])[0]["tools"] == [
        {"name": "f", "input_schema": {"type": "object", "properties": {}}, "strict": True}
    ]
    body, sent = written(tools=[tool], to=deployment("claude-3-5-sonnet-20241022"))
    assert "strict" not in body["tools"][0]
    assert sent.warnings == ("tool_strict_dropped",)


def test_tools_the_conversation_used_are_declared_again_when_the_client_left_them_out():
    body, sent = written(
        *HELLO,
        Message("assistant", (ToolCall(id="c", name="f", arguments="{}"),)),
        Message("tool", (ToolResult(call_id="c", content=(Text("1"),)),)),
        tool_choice=ToolChoice("auto"),
    )
    assert body["tools"] == [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]
    assert (body["tool_choice"], sent.warnings) == ({"type": "none"}, ("tools_restored",))


def test_an_answer_schema_is_closed_as_the_api_demands():
    schema = {"type": "object", "properties": {"a": {"type": "array", "items": {"properties": {}}}}}
    body, sent = written(output_format=OutputFormat(kind="json_schema", name="n", schema=schema))
    inner = {"properties": {}, "type": "object", "additionalProperties": False}
    assert body["output_config"]["format"] == {
        "type": "json_schema",
        "schema": {
            "type": "object",
            "properties": {"a": {"type": "array", "items": inner}},
            "additionalProperties": False,
        },
    }
    assert sent.warnings == ("schema_adapted",)


OLD, BOTH, NEW = "claude-haiku-4-5-20251001", "us.anthropic.claude-opus-4-6-v1:0", "claude-opus-4-7"


@pytest.mark.parametrize(
    ("model", "effort", "thinking", "word"),
    [
        (OLD, "none", None, None),
        (OLD, "minimal", None, None),
        (OLD, "low", {"type": "enabled", "budget_tokens": 1024}, None),
        (OLD, "medium", {"type": "enabled", "budget_tokens": 4096}, None),
        (OLD, "high", {"type": "enabled", "budget_tokens": 16384}, None),
        (OLD, "xhigh", {"type": "enabled", "budget_tokens": 32768}, None),
        (BOTH, "medium", {"type": "adaptive"}, "medium"),
        (BOTH, "xhigh", {"type": "adaptive"}, "max"),
        (NEW, "minimal", {"type": "adaptive"}, "low"),
        (NEW, "xhigh", {"type": "adaptive"}, "xhigh"),
        ("some-other-family", "low", {"type": "enabled", "budget_tokens": 1024}, None),
    ],
)
def test_an_effort_is_said_as_the_generation_understands_it(model: str, effort: Effort, thinking, word):
    body, _ = written(to=deployment(model, max_output=64_000), thinking=Thinking(effort=effort))
    assert (body.get("thinking"), body.get("output_config", {}).get("effort")) == (thinking, word)


@pytest.mark.parametrize(
    ("model", "thinking", "word"),
    [
        (OLD, {"type": "enabled", "budget_tokens": 5000}, None),
        (BOTH, {"type": "enabled", "budget_tokens": 5000}, None),
        (NEW, {"type": "adaptive"}, "high"),
    ],
)
def test_a_budget_is_kept_where_it_is_understood_and_approximated_where_it_is_not(model, thinking, word):
    body, _ = written(to=deployment(model, max_output=64_000), thinking=Thinking(budget_tokens=5000))
    assert (body.get("thinking"), body.get("output_config", {}).get("effort")) == (thinking, word)


def test_a_budget_stays_below_the_limit_or_raises_an_unsaid_one():
    def think(**fields):
        return written(to=deployment(OLD), thinking=Thinking(budget_tokens=5000), **fields)

    assert think(max_tokens=4000)[0]["thinking"] == {"type": "enabled", "budget_tokens": 3000}
    assert think()[0]["max_tokens"] == 4096 + 5000
    body, sent = think(max_tokens=500)
    assert ("thinking" in body, sent.dropped) == (False, ("thinking",))


def test_thinking_yields_to_a_forced_tool_and_to_an_open_call_that_no_thought_precedes():
    forced, _ = written(
        tools=[Tool(name="f")], tool_choice=ToolChoice("required"), thinking=Thinking(effort="high")
    )
    history = (
        *HELLO,
        Message("assistant", (ToolCall(id="c", name="f", arguments="{}"),)),
        Message("tool", (ToolResult(call_id="c", content=(Text("1"),)),)),
    )
    opened, sent = written(*history, tools=[Tool(name="f")], thinking=Thinking(effort="high"))
    assert "thinking" not in forced
    assert "thinking" not in opened
    assert sent.dropped == ("reasoning_effort",)


def test_thinking_is_left_out_for_a_model_known_not_to_reason():
    body, sent = written(to=deployment(capabilities=frozenset({"tools"})), thinking=Thinking(effort="high"))
    assert ("thinking" in body, sent.dropped) == (False, ("reasoning_effort",))


def test_sampling_parameters_that_a_model_answers_with_400_are_left_out():
    body, sent = written(temperature=0.2, top_p=0.5, top_k=5, to=deployment(NEW))
    assert (body.keys() & {"temperature", "top_p", "top_k"}) == set()
    assert sent.dropped == ("temperature", "top_p", "top_k")
    body, sent = written(temperature=0.2, top_p=0.5)
    assert (body["temperature"], "top_p" in body, sent.dropped) == (0.2, False, ("top_p",))
    body, sent = written(
        temperature=0.2, thinking=Thinking(effort="low"), to=deployment(OLD, max_output=9000)
    )
    assert ("temperature" in body, sent.dropped) == (False, ("temperature",))


def test_an_anthropic_request_is_written_back_as_it_came():
    body = {
        "model": "claude-opus-4-7",
        "max_tokens": 64,
        "system": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": "q1"},
            {"role": "user", "content": [{"type": "container_upload", "file_id": "f"}]},
            {"role": "system", "content": "mid"},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "", "signature": "s"}]},
        ],
        "tools": [{"type": "web_search_20260209", "name": "web_search", "max_uses": 2}],
        "tool_choice": {"type": "auto"},
        "thinking": {"type": "adaptive", "display": "summarized"},
        "output_config": {"effort": "max", "task_budget": {"type": "tokens", "total": 9}},
        "metadata": {"user_id": "u", "more": 1},
        "service_tier": "standard_only",
        "context_management": {"edits": []},
        "stream": True,
    }
    request = AnthropicDialect().parse(json.dumps(body).encode()).request
    assert encode(request, deployment("claude-opus-4-7"))[0] == body


def test_an_anthropic_request_for_an_older_model_says_its_thinking_in_the_older_form():
    body = {
        "model": "m", "max_tokens": 9000, "messages": [{"role": "user", "content": "q"}],
        "thinking": {"type": "adaptive"}, "output_config": {"effort": "low"},
    }  # fmt: skip
    request = AnthropicDialect().parse(json.dumps(body).encode()).request
    got, sent = encode(request, deployment("claude-sonnet-4-0"))
    assert (got["thinking"], "output_config" in got) == ({"type": "enabled", "budget_tokens": 1024}, False)
    assert sent.warnings == ("reasoning_approximated",)


def test_forwarding_replaces_the_model_and_keeps_everything_else():
    own = {"model": "alias", "max_tokens": 1, "messages": [], "never_heard_of": {"a": [1.5]}, "stream": True}
    headers = (
        (b"anthropic-version", b"2024-01-01"),
        (b"anthropic-beta", b"x-2025-01-01"),
        (b"anthropic-api-key", b"stolen"),
        (b"x-other", b"1"),
    )
    sent = CODEC.forward(Wire("anthropic", own, headers), deployment(), stream=True)
    assert json.loads(sent.http.body) == {**own, "model": "claude-haiku-4-5"}
    assert list(sent.http.headers) == [
        (b"content-type", b"application/json"),
        (b"anthropic-version", b"2024-01-01"),
        (b"anthropic-beta", b"x-2025-01-01"),
    ]


def test_embeddings_are_refused():
    with pytest.raises(UnsupportedParameter):
        CODEC.encode_embed(EmbedRequest(model="m", input=["a"]), deployment())
