"""What both of two formats can say comes through from one to the other."""

import json

import msgspec
import pytest

from turnout.codecs.anthropic import Anthropic, AnthropicDialect
from turnout.codecs.base import Summary
from turnout.codecs.bedrock import Bedrock, BedrockDialect
from turnout.codecs.cohere import Cohere, CohereDialect
from turnout.codecs.gemini import Gemini, GeminiDialect
from turnout.codecs.ollama import Ollama, OllamaDialect
from turnout.codecs.openai_chat import OpenAIChat, OpenAIChatDialect
from turnout.codecs.openai_responses import OpenAIResponses, OpenAIResponsesDialect
from turnout.types.chat import (
    ChatRequest,
    ChatResponse,
    Choice,
    Media,
    Message,
    Reasoning,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from turnout.types.deployment import Deployment, Model, Quirks, Vendor
from turnout.types.event import Finish, Start, TextDelta, ToolDelta
from turnout.types.http import HttpResponse
from turnout.types.usage import Usage

SUMMARY = Summary(request_id="req_0", model="v/m", created=0)
PNG = "iVBORw0K"
MARK = {"cache_control": {"type": "ephemeral"}}


def written(codec, request, model="m"):
    vendor = Vendor(name="v", base_url="https://v.invalid", codec=codec.wire)
    to = Deployment(id=model, vendor=vendor, model=Model(id=f"v/{model}"), upstream_model=model)
    return json.loads(codec.encode(request, to).http.body)


def bedrock(body, model="anthropic.claude-opus-4-6-v1:0"):
    return BedrockDialect().parse_call(json.dumps(body).encode(), model=model, stream=False).request


def test_arguments_laid_out_in_lines_stay_one_frame_of_a_gemini_stream():
    stream = GeminiDialect().stream(ChatRequest(model="m", messages=(), stream=True), SUMMARY)
    call = ToolDelta(index=0, id="c", name="f", arguments='{\n  "place": "a\\nb"\r\n}')
    out = stream.feed([call, Finish(reason="tool_calls")]) + stream.end(Usage(), SUMMARY)
    decoder = Gemini().decoder()
    events = [*decoder.feed(out), *decoder.end()]
    (heard,) = [event for event in events if isinstance(event, ToolDelta)]
    assert json.loads(heard.arguments) == {"place": "a\nb"}


CACHED = {
    "system": [{"text": "be brief"}, {"cachePoint": {"type": "default"}}],
    "messages": [
        {"role": "user", "content": [{"text": "hi"}, {"cachePoint": {"type": "default"}}]},
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "c1", "name": "f", "input": {}}}]},
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "c1", "content": [{"text": "42"}]}},
                {"cachePoint": {"type": "default"}},
                {"text": "go on"},
            ],
        },
    ],
    "toolConfig": {
        "tools": [
            {"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}},
            {"cachePoint": {"type": "default"}},
        ]
    },
}


def test_cache_points_of_converse_are_marks_at_anthropic_and_back():
    there = written(Anthropic(), bedrock(CACHED), "claude-opus-4-6")
    assert there["system"] == [{"type": "text", "text": "be brief", **MARK}]
    assert there["messages"][0]["content"] == [{"type": "text", "text": "hi", **MARK}]
    assert there["messages"][2]["content"][0]["cache_control"] == MARK["cache_control"]
    assert there["tools"][0]["cache_control"] == MARK["cache_control"]
    back = AnthropicDialect().parse(json.dumps(there).encode()).request
    assert written(Bedrock(), back) == {**CACHED, "inferenceConfig": {"maxTokens": 4096}}


def test_cache_points_of_converse_stay_where_they_are():
    assert written(Bedrock(), bedrock(CACHED)) == CACHED


def test_a_mark_inside_a_tools_answer_becomes_the_point_behind_it():
    result = ToolResult(call_id="c1", content=(Text("42", MARK),))
    call = Message("assistant", (ToolCall(id="c1", name="f", arguments="{}"),))
    request = ChatRequest(
        model="m", messages=(Message("user", (Text("hi"),)), call, Message("tool", (result,))), wire="x"
    )
    assert written(Bedrock(), request)["messages"][2]["content"] == [
        {"toolResult": {"toolUseId": "c1", "content": [{"text": "42"}]}},
        {"cachePoint": {"type": "default"}},
    ]


@pytest.mark.parametrize(
    ("fields", "thinking", "top_k"),
    [
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2048}, "top_k": 5},
            {"enabled": True, "budget_tokens": 2048},
            5,
        ),
        (
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
            {"enabled": True, "adaptive": True, "effort": "xhigh"},
            None,
        ),
        ({"thinking": {"type": "disabled"}}, {"enabled": False}, None),
        (
            {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}},
            {"enabled": True, "effort": "low"},
            None,
        ),
        ({"reasoning_effort": "high"}, {"enabled": True, "effort": "high"}, None),
    ],
)
def test_additional_fields_of_converse_are_read_and_written_back(fields, thinking, top_k):
    body = {
        "messages": [{"role": "user", "content": [{"text": "hi"}]}],
        "additionalModelRequestFields": {**fields, "other": 1},
    }
    got = bedrock(body)
    taken = {name: value for name, value in fields.items() if name != "top_k"}
    assert (got.thinking, got.top_k) == (Thinking(**thinking, extra=taken), top_k)
    assert got.extra == {"additionalModelRequestFields": {"other": 1}}
    assert written(Bedrock(), got) == body


def test_guarded_words_are_words_elsewhere():
    guarded = {"guardContent": {"text": {"text": "is this true?", "qualifiers": ["query"]}}}
    got = bedrock({"messages": [{"role": "user", "content": [guarded]}]})
    assert written(OpenAIChat(), got)["messages"] == [{"role": "user", "content": "is this true?"}]
    assert written(Bedrock(), got)["messages"][0]["content"] == [guarded]


def test_documents_of_cohere_are_words_of_the_turn_elsewhere():
    documents = ["plain", {"id": "d", "data": {"title": "Facts", "text": "Water is wet."}}]
    body = {
        "model": "m",
        "messages": [
            {"role": "user", "content": "so?"},
            {
                "role": "tool",
                "tool_call_id": "c",
                "content": [{"type": "document", "document": {"data": "7"}}],
            },
        ],
        "documents": documents,
    }
    got = CohereDialect().parse(json.dumps(body).encode()).request
    assert got.messages[0].parts == (
        Media(kind="document", text="plain", extra={"cohere_document": "plain"}),
        Media(kind="document", text="Water is wet.", name="Facts", extra={"cohere_document": documents[1]}),
        Text("so?"),
    )
    assert written(Cohere(), got) == {**body, "stream": False}
    there = written(OpenAIChat(), got)["messages"]
    words = [part["text"] for part in there[0]["content"]]
    assert (words, there[1]["content"]) == (["plain", "Facts\n\nWater is wet.", "so?"], "7")


SHOWN = ChatRequest(
    model="m",
    messages=(
        Message("user", (Text("hi"),)),
        Message("assistant", (ToolCall(id="c1", name="f", arguments="{}"),)),
        Message(
            "tool",
            (
                ToolResult(
                    call_id="c1",
                    content=(Text("here"), Media(kind="image", mime="image/png", data="iVBORw0K")),
                ),
            ),
        ),
    ),
    wire="x",
)


def test_what_a_tool_showed_stands_behind_its_answer_at_cohere():
    url = {"url": "data:image/png;base64,iVBORw0K"}
    assert written(Cohere(), SHOWN)["messages"][2:] == [
        {"role": "tool", "tool_call_id": "c1", "content": "here"},
        {"role": "user", "content": [{"type": "image_url", "image_url": url}]},
    ]


def test_what_a_tool_showed_stands_behind_its_answer_at_ollama_and_has_a_type_on_the_way_back():
    body = written(Ollama(), SHOWN)
    assert body["messages"][2:] == [
        {"role": "tool", "content": "here", "tool_name": "f", "tool_call_id": "c1"},
        {"role": "user", "content": "", "images": ["iVBORw0K"]},
    ]
    back = OllamaDialect().parse(json.dumps(body).encode()).request
    assert back.messages[3].parts[-1] == Media(kind="image", mime="image/png", data="iVBORw0K")


TOOLS = tuple(Tool(name=name, schema={"type": "object"}) for name in ("a", "b"))


@pytest.mark.parametrize(
    ("codec", "names"),
    [
        (Anthropic(), lambda body: [tool["name"] for tool in body["tools"]]),
        (Bedrock(), lambda body: [tool["toolSpec"]["name"] for tool in body["toolConfig"]["tools"]]),
        (Cohere(), lambda body: [tool["function"]["name"] for tool in body["tools"]]),
        (Ollama(), lambda body: [tool["function"]["name"] for tool in body["tools"]]),
    ],
    ids=lambda value: getattr(value, "wire", ""),
)
def test_a_subset_of_tools_holds_where_the_format_has_no_word_for_one(codec, names):
    request = ChatRequest(
        model="m",
        messages=(Message("user", (Text("hi"),)),),
        tools=TOOLS,
        tool_choice=ToolChoice("auto", ("b",)),
        wire="x",
    )
    assert names(written(codec, request)) == ["b"]


@pytest.mark.parametrize(
    ("value", "failed", "response"),
    [
        ([{"degrees": 50}], False, {"output": [{"degrees": 50}]}),
        ({"degrees": 50}, False, {"degrees": 50}),
        ({"why": "cold"}, True, {"error": {"why": "cold"}}),
        ({"error": "cold"}, True, {"error": "cold"}),
    ],
)
def test_a_structured_answer_of_a_tool_reaches_gemini(value, failed, response):
    call = ToolCall(id="c1", name="f", arguments="{}")
    messages = (
        Message("user", (Text("hi"),)),
        Message("assistant", (call,)),
        Message("tool", (ToolResult(call_id="c1", value=value, is_error=failed),)),
    )
    body = written(Gemini(), ChatRequest(model="m", messages=messages, wire="x"))
    assert body["contents"][2]["parts"][0]["functionResponse"]["response"] == response


def test_calls_without_ids_and_their_answers_get_the_same_at_cohere():
    calls = tuple(ToolCall(id="", name=name, arguments="{}") for name in ("f", "g"))
    results = tuple(ToolResult(call_id="", name=name, content=(Text(name),)) for name in ("g", "f"))
    messages = (Message("user", (Text("hi"),)), Message("assistant", calls), Message("tool", results))
    _, called, *answers = written(Cohere(), ChatRequest(model="m", messages=messages, wire="x"))["messages"]
    assert [call["id"] for call in called["tool_calls"]] == ["call_0", "call_1"]
    assert [(answer["tool_call_id"], answer["content"]) for answer in answers] == [
        ("call_1", "g"),
        ("call_0", "f"),
    ]


def test_readable_words_of_an_encrypted_thought_reach_a_chat_client():
    thought = Reasoning(text="because", redacted="opaque", wire="openai_responses")
    asked = ChatRequest(
        model="m",
        messages=(),
        thinking=Thinking(enabled=True, extra={"reasoning": {"enabled": True}}),
        wire="openai_chat",
    )
    response = ChatResponse(id="x", model="m", choices=(Choice(parts=(thought, Text("yes"))),))
    said = OpenAIChatDialect().render(response, asked, SUMMARY)
    parts = OpenAIChat().decode(HttpResponse(200, {}, said)).choices[0].parts
    assert [(part.text, part.redacted) for part in parts if isinstance(part, Reasoning)] == [
        ("because", None),
        ("", "opaque"),
    ]


@pytest.mark.parametrize(
    ("codec", "dialect"), [(Anthropic(), AnthropicDialect()), (Bedrock(), BedrockDialect())]
)
def test_tokens_of_sound_and_pictures_are_input_where_they_are_not_told_apart(codec, dialect):
    usage = Usage(input_uncached=10, audio_in=5, image_in=7, cache_read=3, output_text=2)
    response = ChatResponse(id="x", model="m", choices=(Choice(parts=(Text("yes"),)),), usage=usage)
    said = dialect.render(response, ChatRequest(model="m", messages=()), SUMMARY)
    assert codec.decode(HttpResponse(200, {}, said)).usage.n_input == 25


MARKED = {
    "model": "claude-opus-4-6",
    "max_tokens": 100,
    "system": [{"type": "text", "text": "be brief"}, {"type": "text", "text": "be kind", **MARK}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "hi", **MARK}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "42", **MARK},
                {"type": "text", "text": "so?"},
            ],
        },
    ],
    "tools": [{"name": "f", "input_schema": {"type": "object"}, **MARK}],
}


def test_cache_marks_reach_a_host_that_passes_them_on_and_are_told_at_others():
    request = AnthropicDialect().parse(json.dumps(MARKED).encode()).request
    for marks in (True, False):
        vendor = Vendor(
            name="v", base_url="https://v.invalid", codec="openai_chat", quirks=Quirks(cache_marks=marks)
        )
        to = Deployment(id="m", vendor=vendor, model=Model(id="v/m"), upstream_model="m")
        sent = OpenAIChat().encode(request, to)
        body = json.loads(sent.http.body)
        assert ("cache_control" in sent.dropped, b"cache_control" in sent.http.body) == (not marks, marks)
        if marks:
            assert body["messages"][0]["content"] == [
                {"type": "text", "text": "be brief"},
                {"type": "text", "text": "be kind", **MARK},
            ]
            assert body["messages"][1]["content"] == [{"type": "text", "text": "hi", **MARK}]
            assert body["messages"][3]["content"] == [{"type": "text", "text": "42", **MARK}]
            assert body["messages"][4]["content"] == "so?"
            assert body["tools"][0]["cache_control"] == MARK["cache_control"]


def test_each_of_many_marks_finds_its_words_once():
    says = [("a", True), ("b", False), ("a", True), ("b", True), ("a", False)]
    words = [{"type": "text", "text": text, **(MARK if marked else {})} for text, marked in says]
    many = [{"type": "text", "text": f"{n}", **MARK} for n in range(5_000)]
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [*words, *many]}]}
    vendor = Vendor(
        name="v", base_url="https://v.invalid", codec="openai_chat", quirks=Quirks(cache_marks=True)
    )
    to = Deployment(id="m", vendor=vendor, model=Model(id="v/m"), upstream_model="m")
    sent = OpenAIChat().encode(AnthropicDialect().parse(json.dumps(body).encode()).request, to)
    content = json.loads(sent.http.body)["messages"][0]["content"]
    assert [(part["text"], MARK.items() <= part.items()) for part in content[:5]] == [
        *(("a", True), ("b", True), ("a", True), ("b", False), ("a", False))
    ]
    assert content[5:] == many


def test_a_mark_on_a_picture_is_told_where_only_words_can_be_marked():
    picture = Media(kind="image", mime="image/png", data=PNG, extra=MARK)
    vendor = Vendor(
        name="v", base_url="https://v.invalid", codec="openai_chat", quirks=Quirks(cache_marks=True)
    )
    to = Deployment(id="m", vendor=vendor, model=Model(id="v/m"), upstream_model="m")
    request = ChatRequest(model="m", messages=(Message("user", (picture,)),), wire="x")
    assert OpenAIChat().encode(request, to).dropped == ("cache_control",)


FOUND = {
    "type": "search_result",
    "source": "https://a.invalid/x",
    "title": "Facts",
    "content": [{"type": "text", "text": "Water is wet."}],
    "citations": {"enabled": True},
}
GUARD = {"guardContent": {"text": {"text": "call 555", "qualifiers": ["query"]}}}
SEARCH = {
    "searchResult": {
        "source": "s",
        "title": "t",
        "content": [{"text": "call 555"}],
        "citations": {"enabled": True},
    }
}


def redacted(request):
    """What a layer does that may not let some words out."""
    messages = [
        Message(turn.role, tuple(Text(part.text.replace("555", "***"), part.extra) for part in turn.parts))
        for turn in request.messages
    ]
    return msgspec.structs.replace(request, messages=messages)


def test_results_of_a_clients_own_search_are_words_elsewhere_and_come_back_as_they_were():
    body = {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": [FOUND]}]}
    got = AnthropicDialect().parse(json.dumps(body).encode()).request
    assert written(Anthropic(), got)["messages"][0]["content"] == [FOUND]
    words = "Facts\nhttps://a.invalid/x\n\nWater is wet."
    assert written(OpenAIChat(), got)["messages"] == [{"role": "user", "content": words}]
    assert written(Bedrock(), got)["messages"][0]["content"] == [{"text": words}]


@pytest.mark.parametrize(
    ("block", "sent"),
    [
        (GUARD, {"guardContent": {"text": {"text": "call ***", "qualifiers": ["query"]}}}),
        (SEARCH, {"text": "t\ns\n\ncall ***"}),
        ({"citationsContent": {"content": [{"text": "call 555"}], "citations": []}}, {"text": "call ***"}),
    ],
)
def test_words_that_a_layer_changed_do_not_come_back_from_what_they_were_read_from(block, sent):
    got = bedrock({"messages": [{"role": "user", "content": [block]}]})
    assert written(Bedrock(), got)["messages"][0]["content"] == [block]
    assert written(Bedrock(), redacted(got))["messages"][0]["content"] == [sent]


def test_words_that_a_layer_changed_do_not_come_back_to_anthropic_or_cohere():
    found = {**FOUND, "content": [{"type": "text", "text": "call 555"}]}
    body = {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": [found]}]}
    got = AnthropicDialect().parse(json.dumps(body).encode()).request
    assert "555" not in json.dumps(written(Anthropic(), redacted(got)))
    document = {"type": "document", "document": {"id": "d", "data": {"text": "call 555"}}}
    body = {"model": "m", "messages": [{"role": "user", "content": [document]}], "documents": ["call 555"]}
    got = CohereDialect().parse(json.dumps(body).encode()).request
    beside, inside = got.messages[0].parts
    assert (written(Cohere(), got)["documents"], inside.text) == (["call 555"], "call 555")
    changed = (msgspec.structs.replace(beside, text="call ***"), Text("call ***", inside.extra))
    sent = written(Cohere(), msgspec.structs.replace(got, messages=(Message("user", changed),)))
    assert sent["documents"] == [{"data": {"text": "call ***"}}]
    assert sent["messages"][0]["content"] == [{"type": "document", "document": {"data": "call ***"}}]


@pytest.mark.parametrize(
    ("codec", "dialect"),
    [(OpenAIChat(), OpenAIChatDialect()), (OpenAIResponses(), OpenAIResponsesDialect())],
    ids=lambda value: value.wire,
)
def test_what_anthropic_found_on_the_web_is_cited_to_openais_clients(codec, dialect):
    cited = [
        {"type": "web_search_result_location", "url": "https://a.invalid", "title": "A", "cited_text": "x"},
        {"type": "char_location", "document_index": 0, "cited_text": "no address"},
    ]
    asked = ChatRequest(model="m", messages=(), wire=codec.wire, include_usage=True)
    note = {"type": "url_citation", "url_citation": {"url": "https://a.invalid", "title": "A"}}
    response = ChatResponse(
        id="x", model="m", choices=(Choice(parts=(Text("so", {"citations": cited}),)),), wire="anthropic"
    )
    (part,) = codec.decode(HttpResponse(200, {}, dialect.render(response, asked, SUMMARY))).choices[0].parts
    assert (part.text, part.extra["annotations"]) == ("so", [note])
    stream = dialect.stream(msgspec.structs.replace(asked, stream=True), SUMMARY)
    delta = TextDelta("so", extra={"citations": cited})
    out = stream.feed([Start(id="x", model="m"), delta, Finish(reason="stop")]) + stream.end(Usage(), SUMMARY)
    decoder = codec.decoder()
    events = [*decoder.feed(out), *decoder.end()]
    assert [each.extra["annotations"] for each in events if isinstance(each, TextDelta) and each.extra] == [
        [note]
    ]
