"""Our request as a call to an OpenAI-compatible host."""

import json
from typing import Any

import pytest

from turnout.codecs.openai_chat import CODEC, DIALECT
from turnout.errors import UnsupportedParameter
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
        vendor=Vendor(
            name="acme", base_url="https://acme.test/v1", codec="openai_chat", quirks=Quirks(**quirks)
        ),
        model=Model(id="acme/m"),
        upstream_model="m-2026",
    )


def body(request: ChatRequest, **quirks: Any) -> dict[str, Any]:
    sent: dict[str, Any] = json.loads(CODEC.encode(request, at(**quirks)).http.body)
    return sent


def messages(*turns: Message, wire: str = "anthropic") -> Any:
    return body(ChatRequest(model="m", messages=turns, wire=wire))["messages"]


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
                "function": {
                    "name": "f",
                    "description": "d",
                    "parameters": {"type": "object"},
                    "strict": True,
                },
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
    [
        Media(kind="document", file_id="f"),
        Media(kind="document", url="https://x"),
        Media(kind="image", file_id="f"),
    ],
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
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "f"}}],
                },
            },
        ),
    ],
)
def test_tool_choices_are_written(choice: ToolChoice, written: Json) -> None:
    tools = (Tool(name="f"), ServerTool("openai_chat", {"type": "custom", "custom": {"name": "sql"}}))
    assert (
        body(ChatRequest(model="m", messages=(HI,), tools=tools, tool_choice=choice))["tool_choice"]
        == written
    )


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
        (
            "reasoning",
            Thinking(budget_tokens=3000, include=False),
            {"reasoning": {"max_tokens": 3000, "exclude": True}},
            False,
        ),
        ("reasoning", Thinking(enabled=False), {"reasoning": {"enabled": False}}, False),
        ("thinking", Thinking(enabled=False), {"thinking": {"type": "disabled"}}, False),
        (
            "thinking",
            Thinking(effort="low"),
            {"thinking": {"type": "enabled"}, "reasoning_effort": "low"},
            False,
        ),
    ],
)
def test_thinking_is_asked_for_in_the_hosts_way(
    field: str, thinking: Thinking, written: dict[str, Json], warnings: bool
) -> None:
    encoded = CODEC.encode(
        ChatRequest(model="m", messages=(HI,), thinking=thinking), at(thinking_field=field)
    )
    sent = json.loads(encoded.http.body)
    assert {key: value for key, value in sent.items() if key not in ("model", "messages")} == written
    assert encoded.warnings == (("reasoning_approximated",) if warnings else ())


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


def test_calls_without_ids_get_stable_ones_and_their_answers_the_same() -> None:
    turns = (
        Message(
            "assistant",
            (ToolCall(id="", name="f", arguments="{}"), ToolCall(id="", name="g", arguments="{}")),
        ),
        Message(
            "user", (ToolResult(call_id="", name="g", value=2), ToolResult(call_id="", name="f", value=1))
        ),
    )
    written = messages(*turns, wire="gemini")
    assert [call["id"] for call in written[0]["tool_calls"]] == ["call_0", "call_1"]
    assert written[1:] == [
        {"role": "tool", "tool_call_id": "call_0", "content": "1"},
        {"role": "tool", "tool_call_id": "call_1", "content": "2"},
    ]
