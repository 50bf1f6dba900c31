"""Requests of the responses format: read from clients, written for upstreams, of this and other formats."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.codecs.responses_samples import call, deployment, message, parse, sent, thought
from turnout.codecs.openai_responses import CODEC, DIALECT
from turnout.codecs.openai_responses.meaning import meaning
from turnout.codecs.openai_responses.seal import seal, seal_call
from turnout.errors import InvalidRequest, UnsupportedParameter
from turnout.types.chat import (
    ChatRequest,
    Facts,
    Media,
    Message,
    Native,
    OutputFormat,
    Reasoning,
    ServerTool,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)

TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "2"}
SIGNED = Reasoning(text="hm", signature="sig==", wire="anthropic")


def same(**members):
    """Assert that a request of a client goes to an upstream of this format as it came."""
    raw = {"model": "m-1", **members}
    body = DIALECT.parse(json.dumps(raw).encode())
    assert meaning(sent(body.request)) == meaning(raw)
    forwarded = CODEC.forward(body.wire, deployment(), stream=body.request.stream)
    assert json.loads(forwarded.http.body) == raw
    return body.request


def refused(**members):
    with pytest.raises(InvalidRequest) as caught:
        parse(**members)
    return caught.value.param


def test_a_string_is_what_the_user_says():
    request = same(input="Hi", instructions="Be brief.")
    assert list(request.messages) == [
        Message("system", (Text("Be brief."),), extra={"instructions": True}),
        Message("user", (Text("Hi"),)),
    ]
    assert request.facts == Facts(n_chars=11, n_messages=2)


def test_a_turn_of_the_model_is_one_turn():
    request = same(
        input=[
            {"role": "user", "content": [{"type": "input_text", "text": "add"}]},
            thought(),
            message("I will."),
            call(),
            call(call_id="call_2", id="fc_2"),
            OUTPUT,
            {**OUTPUT, "call_id": "call_2"},
        ],
        tools=[TOOL],
    )
    roles = [(turn.role, [type(part) for part in turn.parts]) for turn in request.messages]
    assert roles == [
        ("user", [Text]),
        ("assistant", [Reasoning, Text, ToolCall, ToolCall]),
        ("tool", [ToolResult, ToolResult]),
    ]


def test_messages_of_one_turn_stay_apart():
    same(
        input=[
            message("one", phase="commentary"),
            message("two", id="msg_2"),
            {"role": "assistant", "content": "three"},
            {"role": "user", "content": "go on"},
        ]
    )


@pytest.mark.parametrize(
    "item",
    [
        {"type": "item_reference", "id": "msg_1"},
        {"type": "compaction", "id": "c", "encrypted_content": "x"},
        {"type": "mcp_approval_response", "approval_request_id": "a", "approve": True},
        {"role": "user", "content": [{"type": "input_hologram", "data": "x"}]},
    ],
)
def test_what_only_this_format_can_say_binds_the_request(item):
    request = same(input=[item, {"role": "user", "content": "x"}])
    assert request.facts.native_wire == "openai_responses"


def test_what_the_provider_did_in_earlier_turns_binds_nothing():
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    request = same(
        input=[{"role": "user", "content": "x"}, search, message("found"), {"role": "user", "content": "y"}]
    )
    assert request.facts.native_wire == ""
    assert request.messages[1].parts[0] == Native("openai_responses", search)


@pytest.mark.parametrize(
    "tool", [{"type": "web_search"}, {"type": "custom", "name": "g"}, {"type": "mcp", "server_label": "s"}]
)
def test_tools_of_the_provider_bind_the_request(tool):
    request = same(input="x", tools=[TOOL, tool])
    assert list(request.tools)[1] == ServerTool("openai_responses", tool)
    assert (request.facts.native_wire, request.facts.server_tools) == ("openai_responses", True)


def test_pictures_and_documents_are_read():
    parts = [
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
        {"type": "input_image", "image_url": "https://a.invalid/b.png"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,BBBB", "filename": "a.pdf"},
        {"type": "input_file", "file_url": "https://a.invalid/c.pdf"},
        {"type": "input_file", "file_id": "file_1"},
        {"type": "input_image", "file_id": "file_2"},
    ]
    request = same(input=[{"role": "user", "content": parts}])
    assert request.messages[0].parts == (
        Media(kind="image", mime="image/png", data="AAAA", detail="low"),
        Media(kind="image", url="https://a.invalid/b.png"),
        Media(kind="document", mime="application/pdf", data="BBBB", name="a.pdf"),
        Media(kind="document", url="https://a.invalid/c.pdf"),
        Media(kind="document", file_id="file_1"),
        Media(kind="image", file_id="file_2"),
    )
    assert request.facts.modalities == frozenset({"image", "document"})


def test_every_option_has_its_field():
    request = same(
        input="x",
        tools=[TOOL],
        tool_choice={"type": "function", "name": "f"},
        parallel_tool_calls=False,
        max_output_tokens=9,
        temperature=0.5,
        top_p=0.9,
        text={"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}},
        reasoning={"effort": "low", "summary": "auto"},
        user="u",
        stream=True,
    )
    assert list(request.tools) == [Tool(name="f", schema={"type": "object"}, strict=True)]
    assert request.tool_choice == ToolChoice("named", ("f",))
    assert (request.parallel_tool_calls, request.max_tokens) == (False, 9)
    assert (request.temperature, request.top_p, request.user, request.stream) == (0.5, 0.9, "u", True)
    assert request.output_format == OutputFormat(
        kind="json_schema", name="n", schema={"type": "object"}, strict=True
    )
    assert request.thinking == Thinking(
        enabled=True,
        effort="low",
        summary="auto",
        include=True,
        extra={"reasoning": {"effort": "low", "summary": "auto"}},
    )
    assert (request.extra, request.facts.forced_tool, request.facts.structured) == ({}, True, "json_schema")


def test_what_the_gateway_does_itself_is_never_lost():
    request = same(
        input="x",
        store=False,
        metadata={"a": "b"},
        include=["reasoning.encrypted_content"],
        truncation="disabled",
        service_tier="flex",
        text={"verbosity": "low"},
        max_tool_calls=3,
    )
    assert set(request.kept) == {"store", "metadata", "include", "truncation"}
    assert set(request.extra) == {"service_tier", "text", "max_tool_calls"}


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", ToolChoice("auto")),
        ("required", ToolChoice("required")),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
            ToolChoice("required", ("f",)),
        ),
        ({"type": "web_search"}, None),
    ],
)
def test_choices_of_tools(choice, expected):
    request = same(input="x", tools=[TOOL], tool_choice=choice)
    assert request.tool_choice == expected
    assert bool(request.facts.native_wire) is (expected is None)


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({}, "input"),
        ({"input": 3}, "input"),
        ({"input": ["x"]}, "input[0]"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"text": "x"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
            "input[0].content[0].image_url",
        ),
        ({"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output"),
        ({"input": [{"type": 3}]}, "input[0].type"),
        ({"input": "x", "tools": [{"type": "function"}]}, "tools[0].name"),
        ({"input": "x", "tool_choice": "maybe"}, "tool_choice"),
        ({"input": "x", "temperature": "hot"}, "temperature"),
        ({"input": "x", "text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
        ({"input": "x", "api_base": "http://evil.invalid"}, "api_base"),
        ({"input": "x", "prompt": {"api_key": "k"}}, "prompt.api_key"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_path(members, param):
    assert refused(**members) == param


def test_another_providers_thought_comes_back_whole_and_reaches_only_its_provider():
    sealed = {"type": "reasoning", "summary": [], "encrypted_content": seal(SIGNED)}
    body = DIALECT.parse(
        json.dumps(
            {"model": "m", "input": [{"role": "user", "content": "x"}, sealed, call(), OUTPUT]}
        ).encode()
    )
    assert body.wire.format == ""
    assert body.request.messages[1].parts[0] == SIGNED
    assert "sig" not in json.dumps(sent(body.request))
    assert [item["type"] for item in sent(body.request)["input"] if "type" in item] == [
        *("function_call", "function_call_output")
    ]


def test_the_token_of_a_call_comes_back_to_its_call():
    token = {"type": "reasoning", "summary": [], "encrypted_content": seal_call("call_1", "tok")}
    request = parse(input=[{"role": "user", "content": "x"}, token, call(), OUTPUT])
    (called,) = request.messages[1].parts
    assert isinstance(called, ToolCall)
    assert called.signature == "tok"


def test_a_sealed_text_that_was_tampered_with_says_nothing():
    broken = {"type": "reasoning", "summary": [], "encrypted_content": "tn1:%%%"}
    request = parse(input=[broken, {"role": "user", "content": "x"}])
    assert request.messages[0].parts == (Reasoning(extra={"item": broken}),)
    assert "tn1" not in json.dumps(sent(request))


FOREIGN = ChatRequest(
    model="m",
    wire="openai_chat",
    messages=(
        Message("system", (Text("Be brief."),)),
        Message("system", (Text("Be kind."),)),
        Message("user", (Text("add"), Media(kind="image", url="https://a.invalid/b.png"))),
        Message(
            "assistant",
            (
                Reasoning(text="hm", redacted="opaque", id="rs_1", wire="openai_responses"),
                SIGNED,
                Text("I will."),
                ToolCall(id="call_1", name="f", arguments=""),
            ),
        ),
        Message("tool", (ToolResult(call_id="call_1", content=(Text("1"), Text("2"))),)),
        Message("developer", (Text("Faster."),)),
    ),
    tools=(Tool(name="f", description="adds"),),
    tool_choice=ToolChoice("auto"),
    max_tokens=9,
    seed=3,
    top_k=2,
    output_format=OutputFormat(kind="json_schema", schema={"type": "object"}),
    thinking=Thinking(effort="high", include=True),
    stream=True,
    extra={"odd": 1},
)


def test_a_request_of_another_format_is_written():
    encoded = CODEC.encode(FOREIGN, deployment(developer_role=True))
    assert encoded.http.url == "http://127.0.0.1:9/v1/responses"
    assert encoded.dropped == ("top_k", "seed", "odd")
    assert json.loads(encoded.http.body) == {
        "model": "m-1",
        "instructions": "Be brief.\n\nBe kind.",
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "add"},
                    {"type": "input_image", "image_url": "https://a.invalid/b.png"},
                ],
            },
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "hm"}],
                "encrypted_content": "opaque",
            },
            {"role": "assistant", "content": "I will."},
            {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_1", "output": "1\n2"},
            {"role": "developer", "content": "Faster."},
        ],
        "tools": [
            {
                "type": "function",
                "name": "f",
                "description": "adds",
                "parameters": {"type": "object", "properties": {}},
                "strict": False,
            }
        ],
        "tool_choice": "auto",
        "max_output_tokens": 9,
        "text": {"format": {"type": "json_schema", "name": "answer", "schema": {"type": "object"}}},
        "reasoning": {"effort": "high", "summary": "auto"},
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "stream": True,
    }


def test_encrypted_thoughts_are_asked_of_models_that_reason():
    plain = ChatRequest(model="m", messages=(Message("user", (Text("x"),)),))
    assert "include" not in sent(plain)
    assert "include" not in sent(plain, deployment(frozenset({"tools"})))
    assert sent(plain, deployment(frozenset({"reasoning"})))["include"] == ["reasoning.encrypted_content"]


def test_calls_without_ids_and_with_long_ones_find_their_answers():
    long = "x" * 65
    request = ChatRequest(
        model="m",
        messages=(
            Message("user", (Text("x"),)),
            Message(
                "assistant",
                (ToolCall(id="", name="f", arguments="{}"), ToolCall(id=long, name="g", arguments="{}")),
            ),
            Message(
                "user",
                (
                    ToolResult(call_id=long, content=(Text("2"),)),
                    ToolResult(call_id="", name="f", value={"n": 1}),
                    Text("go on"),
                ),
            ),
        ),
    )
    items = sent(request)["input"]
    calls = [item["call_id"] for item in items if item.get("type") == "function_call"]
    answers = [(item["call_id"], item["output"]) for item in items if "output" in item]
    assert calls[0] == "call_0"
    assert len(calls[1]) <= 64
    assert answers == [(calls[0], '{"n":1}'), (calls[1], "2")]
    assert items[-1] == {"role": "user", "content": "go on"}


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("stop", ("x",), "stop"),
        ("n", 2, "n"),
        ("tools", (ServerTool("anthropic", {"type": "web_search"}),), "tools"),
    ],
)
def test_what_binds_and_cannot_be_said_is_refused(field, value, param):
    request = ChatRequest(model="m", messages=(Message("user", (Text("x"),)),), **{field: value})
    with pytest.raises(UnsupportedParameter) as caught:
        CODEC.encode(request, deployment())
    assert caught.value.param == param


def test_quirks_of_a_host():
    request = parse(input="x", temperature=1, max_output_tokens=3, tools=[TOOL])
    encoded = CODEC.encode(request, deployment(unsupported=["temperature"]))
    assert encoded.dropped == ("temperature",)
    assert "temperature" not in json.loads(encoded.http.body)
    for lacking in ("tools", "max_output_tokens"):
        with pytest.raises(UnsupportedParameter):
            CODEC.encode(request, deployment(unsupported=[lacking]))
    shaped = parse(input="x", text={"format": {"type": "json_schema", "name": "n", "schema": {}}})
    with pytest.raises(UnsupportedParameter):
        CODEC.encode(shaped, deployment(json_schema=False))
    wanted = deployment(query="api-version=1", extra_headers=[["X-A", "b"]])
    sent_to = CODEC.encode(request, wanted).http
    assert sent_to.url.endswith("/responses?api-version=1")
    assert (b"x-a", b"b") in sent_to.headers


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "role", "content", "text", "call_id", "name", "arguments", "output", "id"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(given_input=JSON, tools=JSON, choice=JSON, reasoning=JSON)
def test_any_json_is_read_or_refused(given_input, tools, choice, reasoning):
    raw = {"model": "m", "input": given_input, "tools": tools, "tool_choice": choice, "reasoning": reasoning}
    try:
        body = DIALECT.parse(json.dumps(raw).encode())
    except InvalidRequest:
        return
    CODEC.encode(body.request, deployment())
    CODEC.forward(body.wire, deployment(), stream=False)
