"""Our request as a call to an OpenAI-compatible host."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from turnout.codecs.openai_chat import CODEC, DIALECT
from turnout.codecs.openai_chat.quirks import short_id
from turnout.errors import UnsupportedParameter
from turnout.types.ask import Wire
from turnout.types.chat import (
    ChatRequest,
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
from turnout.types.json import Json

HI = Message("user", (Text("hi"),))
USER: dict[str, Json] = {"role": "user", "content": "hi"}


def at(**quirks: Any) -> Deployment:
    return Deployment(
        id="acme/m",
        vendor=Vendor(name="acme", base_url="https://acme.test/v1", codec="openai_chat", quirks=Quirks(**quirks)),
        model=Model(id="acme/m"),
        upstream_model="m-2026",
    )


def body(request: ChatRequest, **quirks: Any) -> dict[str, Any]:
    sent: dict[str, Any] = json.loads(CODEC.encode(request, at(**quirks)).http.body)
    return sent


def messages(*turns: Message, wire: str = "anthropic") -> Any:
    return body(ChatRequest(model="m", messages=turns, wire=wire))["messages"]


def forwarded(tree: Mapping[str, Json], *, stream: bool = False, **quirks: Any) -> dict[str, Any]:
    encoded = CODEC.forward(Wire("openai_chat", tree), at(**quirks), stream=stream)
    sent: dict[str, Any] = json.loads(encoded.http.body)
    return sent


def test_the_call_goes_to_the_deployments_address() -> None:
    http = CODEC.encode(
        ChatRequest(model="m", messages=(HI,)),
        at(query="api-version=1", extra_headers=(("X-Title", "turnout"),)),
    ).http
    assert (http.method, http.url, http.headers) == (
        "POST",
        "https://acme.test/v1/chat/completions?api-version=1",
        ((b"content-type", b"application/json"), (b"x-title", b"turnout")),
    )
    assert json.loads(http.body) == {"model": "m-2026", "messages": [USER]}


def test_every_field_is_written() -> None:
    request = ChatRequest(
        model="m",
        messages=(HI,),
        tools=(Tool(name="f", description="d", schema={"type": "object"}, strict=True),),
        tool_choice=ToolChoice("required"),
        parallel_tool_calls=False,
        max_tokens=9,
        temperature=0.5,
        top_p=0.9,
        top_k=4,
        stop=("a", "b"),
        seed=1,
        n=2,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        logit_bias={"1": 2.0},
        logprobs=True,
        top_logprobs=2,
        output_format=OutputFormat(kind="json_schema", schema={"type": "object"}, strict=True),
        thinking=Thinking(effort="high"),
        user="u",
        stream=True,
    )
    assert body(request, max_tokens_field="max_completion_tokens") == {
        "model": "m-2026",
        "messages": [USER],
        "tools": [
            {
                "type": "function",
                "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True},
            }
        ],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "max_completion_tokens": 9,
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 4,
        "stop": ["a", "b"],
        "seed": 1,
        "n": 2,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "logit_bias": {"1": 2.0},
        "logprobs": True,
        "top_logprobs": 2,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
        },
        "reasoning_effort": "high",
        "user": "u",
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_fields_of_this_format_survive_and_those_of_others_are_named() -> None:
    request = ChatRequest(model="m", messages=(HI,), wire="openai_chat", extra={"service_tier": "flex"})
    assert body(request)["service_tier"] == "flex"
    foreign = CODEC.encode(
        ChatRequest(model="m", messages=(HI,), wire="gemini", extra={"safetySettings": []}), at()
    )
    assert (json.loads(foreign.http.body).keys(), foreign.dropped) == (
        {"model", "messages"},
        ("safetySettings",),
    )


def test_tool_results_of_a_user_turn_become_messages_of_their_own_in_call_order() -> None:
    picture = Media(kind="image", mime="image/png", data="AA")
    assert messages(
        HI,
        Message(
            "assistant",
            (
                Text("let me "),
                Text("see"),
                ToolCall(id="c1", name="f", arguments=""),
                ToolCall(id="c2", name="g", arguments='{"x":1}'),
            ),
        ),
        Message(
            "user",
            (
                ToolResult(call_id="c2", content=(Text("two"), Text("lines"), picture)),
                ToolResult(call_id="c1", value={"ok": True}),
                Text("go on"),
            ),
        ),
    )[1:] == [
        {
            "role": "assistant",
            "content": "let me see",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": "c2", "type": "function", "function": {"name": "g", "arguments": '{"x":1}'}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": '{"ok":true}'},
        {"role": "tool", "tool_call_id": "c2", "content": "two\nlines"},
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
                {"type": "text", "text": "go on"},
            ],
        },
    ]


def test_system_blocks_of_other_formats_are_one_text() -> None:
    assert messages(Message("system", (Text("a", {"cache_control": {}}), Text("b"))), HI)[0] == {
        "role": "system",
        "content": "a\n\nb",
    }


def test_media_are_written() -> None:
    assert messages(
        Message(
            "user",
            (
                Media(kind="image", url="https://x/y.png", detail="high"),
                Media(kind="audio", mime="audio/wav", data="AA"),
                Media(kind="document", mime="application/pdf", data="BB", name="a.pdf"),
                Media(kind="document", mime="application/pdf", data="BB"),
                Media(kind="document", text="plain", name="notes"),
                Media(kind="video", mime="video/mp4", data="CC"),
                Refusal("no"),
            ),
        )
    )[0]["content"] == [
        {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "high"}},
        {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,BB", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,BB", "filename": "document"}},
        {"type": "text", "text": "notes\n\nplain"},
        {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,CC"}},
        {"type": "refusal", "refusal": "no"},
    ]


@pytest.mark.parametrize(
    "part",
    [Media(kind="document", file_id="f"), Media(kind="document", url="https://x"), Media(kind="image", file_id="f")],
)
def test_media_that_cannot_be_said_are_refused(part: Media) -> None:
    with pytest.raises(UnsupportedParameter):
        messages(Message("user", (part,)))


def test_reasoning_and_blocks_of_other_formats_stay_behind() -> None:
    encoded = CODEC.encode(
        ChatRequest(
            model="m",
            messages=(
                HI,
                Message("assistant", (Reasoning(text="t", signature="s", wire="anthropic"), Text("a"))),
                Message("user", (Native("anthropic", {"type": "search_result"}), Text("b"))),
            ),
            wire="anthropic",
        ),
        at(),
    )
    assert json.loads(encoded.http.body)["messages"][1:] == [
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": [{"type": "text", "text": "b"}]},
    ]
    assert encoded.dropped == ("messages.search_result",)


def test_reasoning_of_this_format_goes_back_in_the_hosts_field() -> None:
    turn = Message("assistant", (Reasoning(text="t", wire="openai_chat"), Text("a")))
    sent = body(ChatRequest(model="m", messages=(turn,)), reasoning_field="reasoning")
    assert sent["messages"] == [{"role": "assistant", "content": "a", "reasoning": "t"}]


def test_a_signature_of_gemini_travels_with_its_call() -> None:
    [turn] = messages(Message("assistant", (ToolCall(id="c", name="f", arguments="{}", signature="s"),)))
    assert turn["tool_calls"][0]["extra_content"] == {"google": {"thought_signature": "s"}}


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (ToolChoice("none"), "none"),
        (ToolChoice("named", ("f",)), {"type": "function", "function": {"name": "f"}}),
        (ToolChoice("named", ("sql",)), {"type": "custom", "custom": {"name": "sql"}}),
        (
            ToolChoice("required", ("f",)),
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]},
            },
        ),
    ],
)
def test_tool_choices_are_written(choice: ToolChoice, written: Json) -> None:
    tools = (Tool(name="f"), ServerTool("openai_chat", {"type": "custom", "custom": {"name": "sql"}}))
    assert body(ChatRequest(model="m", messages=(HI,), tools=tools, tool_choice=choice))["tool_choice"] == written


def test_tools_that_another_provider_runs_are_refused() -> None:
    request = ChatRequest(model="m", messages=(HI,), tools=(ServerTool("anthropic", {"type": "web_search"}),))
    with pytest.raises(UnsupportedParameter):
        CODEC.encode(request, at())


@pytest.mark.parametrize(
    ("field", "thinking", "written", "warnings"),
    [
        ("reasoning_effort", Thinking(budget_tokens=3000), {"reasoning_effort": "medium"}, True),
        ("reasoning_effort", Thinking(enabled=False), {}, True),
        ("reasoning_effort", Thinking(enabled=True), {}, False),
        ("reasoning", Thinking(budget_tokens=3000, include=False), {"reasoning": {"max_tokens": 3000, "exclude": True}}, False),
        ("reasoning", Thinking(enabled=False), {"reasoning": {"enabled": False}}, False),
        ("thinking", Thinking(enabled=False), {"thinking": {"type": "disabled"}}, False),
        ("thinking", Thinking(effort="low"), {"thinking": {"type": "enabled"}, "reasoning_effort": "low"}, False),
    ],
)  # fmt: skip
def test_thinking_is_asked_for_in_the_hosts_way(
    field: str, thinking: Thinking, written: dict[str, Json], warnings: bool
) -> None:
    encoded = CODEC.encode(ChatRequest(model="m", messages=(HI,), thinking=thinking), at(thinking_field=field))
    sent = json.loads(encoded.http.body)
    assert {key: value for key, value in sent.items() if key not in ("model", "messages")} == written
    assert encoded.warnings == (("reasoning_approximated",) if warnings else ())


def test_express_changes_only_model_and_usage() -> None:
    tree: dict[str, Json] = {"model": "x", "messages": [USER], "max_tokens": 3, "stream": True, "unheard_of": {"a": 1}}
    assert forwarded(tree, stream=True) == {**tree, "model": "m-2026", "stream_options": {"include_usage": True}}
    assert tree["model"] == "x"


def test_express_keeps_other_stream_options() -> None:
    tree: dict[str, Json] = {"messages": [USER], "stream": True, "stream_options": {"include_obfuscation": False}}
    sent = forwarded(tree, stream=True)
    assert sent["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    assert "stream_options" not in forwarded(tree, stream=True, stream_usage=False)
    assert forwarded(tree, stream=False)["stream"] is False


def test_quirks_hold_on_both_tracks() -> None:
    picture: Json = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
    tree: dict[str, Json] = {
        "model": "x",
        "messages": [{"role": "developer", "content": "d"}, {"role": "user", "content": [picture]}],
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "tool_choice": "required",
        "max_completion_tokens": 5,
        "service_tier": "flex",
    }
    quirks: dict[str, Any] = {
        "required_as_any": True,
        "image_url_string": True,
        "unsupported": frozenset({"service_tier", "seed"}),
    }
    expected = {
        "model": "m-2026",
        "messages": [
            {"role": "system", "content": "d"},
            {"role": "user", "content": [{"type": "image_url", "image_url": "https://x/y.png"}]},
        ],
        "tools": tree["tools"],
        "tool_choice": "any",
        "max_tokens": 5,
    }
    request = DIALECT.parse(json.dumps(tree).encode()).request
    encoded = CODEC.encode(request, at(**quirks))
    passed = CODEC.forward(Wire("openai_chat", tree), at(**quirks), stream=False)
    for sent in (encoded, passed):
        assert (json.loads(sent.http.body), sent.dropped) == (expected, ("service_tier",))
    assert forwarded(tree, developer_role=True, max_tokens_field="max_completion_tokens")["messages"] == tree["messages"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"tool_choice": "none"}, "tool_choice"),
        ({"stop": ["x"]}, "stop"),
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"max_tokens": 5}, "max_tokens"),
        ({"parallel_tool_calls": False}, "parallel_tool_calls"),
    ],
)
def test_a_parameter_that_changes_the_answer_is_refused_not_dropped(fields: dict[str, Json], param: str) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        forwarded({"messages": [USER], **fields}, unsupported=frozenset(fields))
    assert caught.value.param == param


def test_parameters_that_say_the_default_are_dropped() -> None:
    fields: dict[str, Json] = {"n": 1, "logprobs": False, "tool_choice": "auto", "parallel_tool_calls": True, "stop": []}
    sent = CODEC.forward(
        Wire("openai_chat", {"messages": [USER], **fields}), at(unsupported=frozenset(fields)), stream=False
    )
    assert json.loads(sent.http.body).keys() == {"messages", "model"}


def test_a_schema_is_refused_where_it_is_not_understood() -> None:
    with pytest.raises(UnsupportedParameter):
        forwarded({"messages": [USER], "response_format": {"type": "json_schema"}}, json_schema=False)


def test_call_ids_take_the_length_the_host_demands() -> None:
    call: Json = {"id": "call_abcdefgh", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    kept: Json = {"id": "A1b2C3d4E", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    sent = forwarded(
        {
            "messages": [
                {"role": "assistant", "tool_calls": [call, kept]},
                {"role": "tool", "tool_call_id": "call_abcdefgh", "content": "1"},
                {"role": "tool", "tool_call_id": "A1b2C3d4E", "content": "2"},
            ]
        },
        tool_id_length=9,
    )["messages"]
    short = short_id("call_abcdefgh", 9)
    assert len(short) == 9
    assert [call["id"] for call in sent[0]["tool_calls"]] == [short, "A1b2C3d4E"]
    assert [sent[1]["tool_call_id"], sent[2]["tool_call_id"]] == [short, "A1b2C3d4E"]


def test_the_old_function_form_goes_out_as_it_came() -> None:
    tree: dict[str, Json] = {
        "model": "m-2026",
        "messages": [
            USER,
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "42"},
        ],
        "functions": [{"name": "f", "parameters": {"type": "object"}}],
        "function_call": "auto",
    }
    assert body(DIALECT.parse(json.dumps(tree).encode()).request) == tree


def test_the_old_function_form_is_modern_for_other_formats() -> None:
    request = DIALECT.parse(
        json.dumps({"model": "m", "messages": [USER], "functions": [{"name": "f"}]}).encode()
    ).request
    assert [tool.name for tool in request.tools if isinstance(tool, Tool)] == ["f"]
