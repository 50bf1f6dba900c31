"""A client's chat completion request as we understand it."""

import json

import pytest

from turnout.codecs.base import Body
from turnout.codecs.openai_chat import DIALECT
from turnout.types.chat import (
    ChatRequest,
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
from turnout.types.json import Json

USER: dict[str, Json] = {"role": "user", "content": "hi"}


def parse(**fields: Json) -> Body:
    return DIALECT.parse(json.dumps({"model": "m", "messages": [USER], **fields}).encode())


def turns(*messages: dict[str, Json]) -> list[Message]:
    return list(parse(messages=list(messages)).request.messages)


def test_a_request_is_read_whole() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    tree = {
        "model": "gpt-5-mini",
        "messages": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Weather?"}],
        "tools": [
            {
                "type": "function",
                "function": {"name": "get", "description": "d", "parameters": schema, "strict": True},
            }
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "max_completion_tokens": 64,
        "temperature": 0,
        "top_p": 0.9,
        "top_k": 5,
        "stop": "END",
        "seed": 7,
        "n": 2,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "logit_bias": {"50256": -100},
        "logprobs": True,
        "top_logprobs": 3,
        "response_format": {"type": "json_object"},
        "reasoning_effort": "low",
        "user": "u",
        "stream": True,
        "stream_options": {"include_usage": True},
        "service_tier": "flex",
    }
    body = DIALECT.parse(json.dumps(tree).encode())
    assert body.request == ChatRequest(
        model="gpt-5-mini",
        messages=(Message("developer", (Text("Be brief."),)), Message("user", (Text("Weather?"),))),
        tools=(Tool(name="get", description="d", schema=schema, strict=True),),
        tool_choice=ToolChoice("auto"),
        parallel_tool_calls=False,
        max_tokens=64,
        temperature=0.0,
        top_p=0.9,
        top_k=5,
        stop=("END",),
        seed=7,
        n=2,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        logit_bias={"50256": -100.0},
        logprobs=True,
        top_logprobs=3,
        output_format=OutputFormat(kind="json_object"),
        thinking=Thinking(enabled=True, effort="low", extra={"reasoning_effort": "low"}),
        user="u",
        stream=True,
        include_usage=True,
        wire="openai_chat",
        extra={"service_tier": "flex"},
        facts=Facts(
            n_chars=len("Be brief.Weather?") + len(json.dumps(tree["tools"], separators=(",", ":"))),
            n_messages=2,
            n_tools=1,
            structured="json_object",
        ),
    )
    assert (body.wire.format, body.wire.body, body.session) == ("openai_chat", tree, "u")


def test_our_own_fields_do_not_travel() -> None:
    body = parse(turnout={"route": "r"}, models=["a"])
    assert (body.route, body.prefer.candidates) == ("r", ("a",))
    assert body.wire.body == {"model": "m", "messages": [USER]}
    assert body.request.extra == {}


def test_content_parts_are_read() -> None:
    [turn] = turns(
        {
            "role": "user",
            "name": "ann",
            "content": [
                {"type": "text", "text": "see", "cache_control": {"type": "ephemeral"}},
                {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "image_url", "image_url": "https://x/z.png"},
                {"type": "input_audio", "input_audio": {"data": "BBBB", "format": "mp3"}},
                {
                    "type": "file",
                    "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,CCCC"},
                },
                {"type": "file", "file": {"file_id": "file-1"}},
                {"type": "video_url", "video_url": {"url": "https://x/v.mp4"}},
                {"type": "document_url", "document_url": "https://x/d.pdf"},
                {"type": "weather_report", "sky": "grey"},
            ],
        }
    )
    assert turn == Message(
        "user",
        (
            Text("see", {"cache_control": {"type": "ephemeral"}}),
            Media(kind="image", url="https://x/y.png", detail="low"),
            Media(kind="image", mime="image/png", data="AAAA"),
            Media(kind="image", url="https://x/z.png"),
            Media(kind="audio", mime="audio/mpeg", data="BBBB"),
            Media(kind="document", mime="application/pdf", data="CCCC", name="a.pdf"),
            Media(kind="document", file_id="file-1"),
            Media(kind="video", url="https://x/v.mp4", extra={"video_url": {"url": "https://x/v.mp4"}}),
            Media(kind="document", url="https://x/d.pdf", extra={"document_url": "https://x/d.pdf"}),
            Native("openai_chat", {"type": "weather_report", "sky": "grey"}),
        ),
        "ann",
    )


def test_media_are_counted() -> None:
    picture: Json = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
    sound: Json = {"type": "input_audio", "input_audio": {"data": "BBBB", "format": "wav"}}
    facts = parse(
        messages=[{"role": "user", "content": [{"type": "text", "text": "abc"}, picture, picture, sound]}]
    ).request.facts
    assert facts == Facts(n_chars=3, n_messages=1, n_media=3, modalities=frozenset({"image", "audio"}))


def test_a_tool_loop_is_read() -> None:
    calls: Json = [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
        {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "free text"}},
    ]
    assert turns(
        USER,
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c1", "content": "one"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "two"}]},
    )[1:] == [
        Message(
            "assistant",
            (
                ToolCall(id="c1", name="f", arguments='{"a": 1}'),
                ToolCall(id="c2", name="g", arguments="free text", kind="custom"),
            ),
        ),
        Message("tool", (ToolResult(call_id="c1", content=(Text("one"),)),)),
        Message("tool", (ToolResult(call_id="c2", content=(Text("two"),)),)),
    ]


def test_a_gemini_signature_on_a_call_is_kept() -> None:
    content: Json = {"google": {"thought_signature": "sig"}}
    call: Json = {"id": "c", "function": {"name": "f", "arguments": "{}"}, "extra_content": content}
    [turn] = turns({"role": "assistant", "tool_calls": [call]})
    assert turn.parts == (
        ToolCall(id="c", name="f", arguments="{}", signature="sig", extra={"extra_content": content}),
    )


def test_the_old_function_form_is_read_with_stable_ids() -> None:
    body = parse(
        functions=[{"name": "f", "parameters": {"type": "object"}}],
        function_call={"name": "f"},
        messages=[
            USER,
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "42"},
        ],
    )
    assert list(body.request.tools) == [Tool(name="f", schema={"type": "object"}, extra={"legacy": True})]
    assert body.request.tool_choice == ToolChoice("named", ("f",))
    assert body.request.facts.forced_tool
    assert list(body.request.messages)[1:] == [
        Message("assistant", (ToolCall(id="call_1", name="f", arguments="{}", extra={"legacy": True}),)),
        Message(
            "tool", (ToolResult(call_id="call_1", name="f", content=(Text("42"),), extra={"legacy": True}),)
        ),
    ]


@pytest.mark.parametrize(
    ("fields", "thoughts"),
    [
        ({"reasoning_content": "hm"}, [Reasoning(text="hm", wire="openai_chat")]),
        ({"reasoning": "hm"}, [Reasoning(text="hm", wire="openai_chat")]),
        (
            {
                "reasoning": "hm",
                "reasoning_details": [
                    {
                        "type": "reasoning.text",
                        "text": "hm",
                        "signature": "s",
                        "format": "anthropic-claude-v1",
                    },
                    {"type": "reasoning.encrypted", "data": "xx", "id": "r1", "format": "unknown"},
                ],
            },
            [
                Reasoning(text="hm", signature="s", wire="anthropic"),
                Reasoning(redacted="xx", id="r1", wire="openai_chat"),
            ],
        ),
        (
            {"thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}]},
            [Reasoning(text="hm", signature="s", wire="anthropic")],
        ),
    ],
)
def test_reasoning_in_history_is_read_in_all_its_spellings(
    fields: dict[str, Json], thoughts: list[Reasoning]
) -> None:
    [turn] = turns({"role": "assistant", "content": "ok", **fields})
    assert list(turn.parts) == [*thoughts, Text("ok")]
    assert turn.extra == fields


def test_mistrals_thinking_parts_are_reasoning() -> None:
    part: Json = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    [turn] = turns({"role": "assistant", "content": [part, {"type": "text", "text": "ok"}]})
    assert turn.parts == (Reasoning(text="hm", wire="openai_chat", extra={"native": part}), Text("ok"))


def test_refusals_in_history_are_content() -> None:
    [turn] = turns({"role": "assistant", "content": None, "refusal": "No."})
    assert turn.parts == (Refusal("No."),)


def test_tools_of_other_kinds_bind_the_request_to_this_format() -> None:
    custom: Json = {"type": "custom", "custom": {"name": "sql"}}
    request = parse(
        tools=[custom, {"function": {"name": "f"}, "cache_control": 1}], tool_choice="required"
    ).request
    assert list(request.tools) == [
        ServerTool("openai_chat", custom),
        Tool(name="f", extra={"cache_control": 1}),
    ]
    assert (request.facts.server_tools, request.facts.native_wire) == (True, "openai_chat")


@pytest.mark.parametrize(
    ("choice", "read"),
    [
        ("none", ToolChoice("none")),
        ("any", ToolChoice("required")),
        ({"type": "function", "function": {"name": "f"}}, ToolChoice("named", ("f",))),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "f"}}],
                },
            },
            ToolChoice("required", ("f",)),
        ),
    ],
)
def test_tool_choices_are_read(choice: Json, read: ToolChoice) -> None:
    assert parse(tools=[{"function": {"name": "f"}}], tool_choice=choice).request.tool_choice == read


@pytest.mark.parametrize(
    ("fields", "thinking"),
    [
        ({"reasoning_effort": "none"}, Thinking(enabled=False, effort="none")),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2048}},
            Thinking(enabled=True, budget_tokens=2048),
        ),
        ({"thinking": {"type": "adaptive"}}, Thinking(enabled=True, adaptive=True)),
        ({"reasoning": {"max_tokens": 99, "exclude": True}}, Thinking(budget_tokens=99, include=False)),
        (
            {"reasoning": {"effort": "high", "summary": "auto"}, "reasoning_effort": "high"},
            Thinking(enabled=True, effort="high", summary="auto", include=True),
        ),
        ({"thinking": {"type": "enabled"}, "reasoning_effort": "max"}, Thinking(enabled=True)),
    ],
)
def test_three_ways_of_asking_for_reasoning_are_one_wish(fields: dict[str, Json], thinking: Thinking) -> None:
    read = parse(**fields).request.thinking
    assert read is not None
    assert read == Thinking(
        enabled=thinking.enabled,
        effort=thinking.effort,
        budget_tokens=thinking.budget_tokens,
        adaptive=thinking.adaptive,
        summary=thinking.summary,
        include=thinking.include,
        extra=fields,
    )


def test_a_schema_for_the_answer_is_read() -> None:
    schema: Json = {"name": "n", "schema": {"type": "object"}, "strict": True, "description": "d"}
    request = parse(response_format={"type": "json_schema", "json_schema": schema}).request
    assert request.output_format == OutputFormat(
        kind="json_schema", name="n", schema={"type": "object"}, strict=True, description="d"
    )
    assert request.facts.structured == "json_schema"


def test_what_has_no_field_of_ours_is_kept() -> None:
    request = parse(
        logprobs=5,
        response_format={"type": "grammar", "grammar": "x"},
        stream_options={"include_usage": False, "include_obfuscation": False},
        metadata={"run": "1"},
    ).request
    assert request.extra == {
        "logprobs": 5,
        "response_format": {"type": "grammar", "grammar": "x"},
        "stream_options": {"include_obfuscation": False},
        "metadata": {"run": "1"},
    }
    assert (request.logprobs, request.output_format, request.include_usage) == (None, None, False)
