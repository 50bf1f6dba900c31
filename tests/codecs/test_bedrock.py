"""Bedrock's Converse and ConverseStream, written and read."""

import json

import pytest

from tests.codecs.bedrock_samples import (
    ANSWER,
    BEGIN,
    CALLS,
    CITED,
    COUNTS,
    END,
    NOTE,
    RAN,
    SPOKEN,
    USE,
    body,
    delta,
    frames,
    start,
    to,
)
from turnout.codecs.anthropic import AnthropicDialect
from turnout.codecs.bedrock import Bedrock, BedrockDialect
from turnout.codecs.eventstream import write_event, write_exception
from turnout.codecs.openai_chat import OpenAIChatDialect
from turnout.errors import (
    ContextLengthExceeded,
    InvalidMedia,
    InvalidModelOutput,
    ProviderAuth,
    ProviderBadResponse,
    ProviderFailed,
    ProviderModelUnavailable,
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderRejected,
    StreamInterrupted,
    UnsupportedParameter,
)
from turnout.testing.codec import check_codec, read_stream
from turnout.types.chat import ChatRequest, Choice, Message, Native, Reasoning, Text, ToolCall, ToolResult
from turnout.types.embed import EmbedRequest
from turnout.types.event import Finish, NativeDelta, ReasoningDelta, Start, TextDelta, ToolDelta, UsageUpdate
from turnout.types.http import HttpResponse
from turnout.types.usage import Usage

CODEC = Bedrock()
COUNTED = Usage(input_uncached=7, cache_read=10, cache_write_5m=5, cache_write_1h=15, output_text=5)
PARAMETERS = {"type": "object", "properties": {"at": {"type": "string"}}}


def written(asked, dialect=None, deployment=None):
    """Encode what a client of another dialect would send; return the body and what was noted."""
    request = (dialect or OpenAIChatDialect()).parse(json.dumps({"model": "m", **asked}).encode()).request
    encoded = CODEC.encode(request, deployment or to())
    return json.loads(encoded.http.body), encoded.dropped, encoded.warnings


def hello(**members):
    return {"messages": [{"role": "user", "content": "x"}], **members}


def ok(value):
    return HttpResponse(200, {"x-amzn-requestid": "r1"}, body(value))


def test_it_keeps_the_contract_of_a_codec():
    check_codec(CODEC, to(), streams=[SPOKEN, CALLS], answers=[body(ANSWER)])


def test_a_models_id_is_one_encoded_segment_of_the_address():
    request = ChatRequest(model="m", messages=(Message("user", (Text("x"),)),), stream=True)
    url = CODEC.encode(request, to("arn:aws:bedrock:eu:1:profile/x")).http.url
    assert url == "https://bedrock.test/model/arn%3Aaws%3Abedrock%3Aeu%3A1%3Aprofile%2Fx/converse-stream"


def test_a_conversation_with_tools_is_written_in_turns_that_alternate():
    call = {"id": "call 1", "type": "function", "function": {"name": "look", "arguments": '{"at": "x"}'}}
    sent, dropped, warnings = written(
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Where?"},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "call 1", "content": "a city"},
                {"role": "user", "content": "And?"},
            ],
            "tools": [{"type": "function", "function": {"name": "look", "parameters": PARAMETERS}}],
            "tool_choice": "required",
            "max_tokens": 9,
            "temperature": 1.5,
            "stop": ["END"],
            "seed": 1,
        }
    )
    sent_id = sent["messages"][1]["content"][0]["toolUse"]["toolUseId"]
    assert sent == {
        "messages": [
            {"role": "user", "content": [{"text": "Where?"}]},
            {
                "role": "assistant",
                "content": [{"toolUse": {"toolUseId": sent_id, "name": "look", "input": {"at": "x"}}}],
            },
            {
                "role": "user",
                "content": [
                    {"toolResult": {"toolUseId": sent_id, "content": [{"text": "a city"}]}},
                    {"text": "And?"},
                ],
            },
        ],
        "system": [{"text": "Be brief."}],
        "toolConfig": {
            "tools": [{"toolSpec": {"name": "look", "inputSchema": {"json": PARAMETERS}}}],
            "toolChoice": {"any": {}},
        },
        "inferenceConfig": {"maxTokens": 9, "temperature": 1.0, "stopSequences": ["END"]},
    }
    assert sent_id.startswith("tooluse_")
    assert (dropped, warnings) == (("seed",), ("temperature_clamped",))


def test_calls_of_tools_that_are_no_longer_offered_still_declare_them():
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "y"},
    ]
    sent, _, _ = written({"messages": messages})
    assert sent["toolConfig"]["tools"][0]["toolSpec"]["name"] == "look"


def test_tools_that_must_not_be_called_are_left_out():
    tools = [{"type": "function", "function": {"name": "look", "parameters": PARAMETERS}}]
    sent, _, _ = written(hello(tools=tools, tool_choice="none"))
    assert "toolConfig" not in sent


def test_a_cache_mark_of_another_dialect_becomes_a_cache_point():
    mark = {"cache_control": {"type": "ephemeral"}}
    asked = {
        "max_tokens": 9,
        "system": [{"type": "text", "text": "long", **mark}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "x", **mark}]}],
        "tools": [{"name": "look", "input_schema": PARAMETERS, **mark}],
    }
    sent, _, _ = written(asked, AnthropicDialect())
    point = {"cachePoint": {"type": "default"}}
    assert sent["system"] == [{"text": "long"}, point]
    assert sent["messages"][0]["content"] == [{"text": "x"}, point]
    assert sent["toolConfig"]["tools"][1] == point


def test_pictures_and_documents_travel_with_a_name_the_api_takes():
    picture = {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,/9j/"}}
    file = {"type": "file", "file": {"filename": "a_b.pdf", "file_data": "data:application/pdf;base64,AAAA"}}
    sent, _, _ = written({"messages": [{"role": "user", "content": [picture, file]}]})
    assert sent["messages"][0]["content"] == [
        {"image": {"format": "jpeg", "source": {"bytes": "/9j/"}}},
        {"document": {"format": "pdf", "name": "a b pdf", "source": {"bytes": "AAAA"}}},
    ]


def test_a_picture_by_address_is_refused():
    picture = {"type": "image_url", "image_url": {"url": "https://a.test/x.png"}}
    with pytest.raises(UnsupportedParameter):
        written({"messages": [{"role": "user", "content": [picture]}]})


def test_the_schema_of_an_answer_is_closed_relaxed_and_written_as_a_text():
    schema = {"type": "object", "properties": {"minimum": {"type": "integer", "minimum": 1}}}
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    sent, _, warnings = written(hello(response_format=form))
    text = sent["outputConfig"]["textFormat"]
    said = text["structure"]["jsonSchema"]
    assert (text["type"], said["name"], json.loads(said["schema"]), warnings) == (
        "json_schema",
        "n",
        {"type": "object", "properties": {"minimum": {"type": "integer"}}, "additionalProperties": False},
        ("schema_adapted",),
    )


@pytest.mark.parametrize(
    "asked", [{"n": 2}, {"logprobs": True}, {"response_format": {"type": "json_object"}}]
)
def test_what_changes_the_answer_and_cannot_be_said_is_refused(asked):
    with pytest.raises(UnsupportedParameter):
        written(hello(**asked))


@pytest.mark.parametrize(
    ("model", "fields", "dropped", "warnings"),
    [
        (
            "us.anthropic.claude-sonnet-4-5-v1:0",
            {"thinking": {"type": "enabled", "budget_tokens": 16_384}},
            (),
            ("reasoning_approximated",),
        ),
        (
            "us.anthropic.claude-opus-4-8",
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
            (),
            (),
        ),
        (
            "us.amazon.nova-2-lite-v1:0",
            {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}},
            (),
            (),
        ),
        ("openai.gpt-oss-120b-1:0", {"reasoning_effort": "high"}, (), ()),
        ("qwen.qwen3-32b-v1:0", {"reasoning_config": "high"}, (), ()),
        ("us.deepseek.r1-v1:0", None, ("reasoning_effort",), ()),
    ],
)
def test_effort_is_told_as_the_family_of_the_model_reads_it(model, fields, dropped, warnings):
    sent, lost, told = written(hello(reasoning_effort="high"), deployment=to(model))
    assert (sent.get("additionalModelRequestFields"), lost, told) == (fields, dropped, warnings)


def test_a_budget_stays_below_the_limit_or_is_dropped():
    sent, _, _ = written(hello(reasoning_effort="high", max_tokens=2000))
    assert sent["additionalModelRequestFields"] == {"thinking": {"type": "enabled", "budget_tokens": 1999}}
    sent, dropped, _ = written(hello(reasoning_effort="high", max_tokens=500))
    assert ("additionalModelRequestFields" in sent, dropped) == (False, ("reasoning_effort",))


def test_top_k_is_told_as_the_family_reads_it():
    asked = {"max_tokens": 9, "top_k": 5, **hello()}
    sent, _, _ = written(asked, AnthropicDialect(), to("amazon.nova-lite-v1:0"))
    assert sent["additionalModelRequestFields"] == {"inferenceConfig": {"topK": 5}}
    _, dropped, _ = written(asked, AnthropicDialect(), to("meta.llama3-v1:0"))
    assert dropped == ("top_k",)


def test_an_answer_is_read_with_thoughts_citations_calls_and_cache():
    response = CODEC.decode(ok(ANSWER))
    assert response.choices == (
        Choice(
            parts=(
                Reasoning(text="Hm.", signature="sig", wire="bedrock"),
                Text("It is "),
                Text("Paris", {"citationsContent": CITED, "annotations": [NOTE]}),
                ToolCall(id="tooluse_1", name="look", arguments='{"at":"Paris"}'),
            ),
            finish="tool_calls",
            native_finish="tool_use",
        ),
    )
    assert (response.id, response.usage, response.extra) == ("r1", COUNTED, {"metrics": {"latencyMs": 5}})


@pytest.mark.parametrize("word", ["guardrail_intervened", "content_filtered"])
def test_a_guardrail_that_stepped_in_is_a_filter(word):
    assert CODEC.decode(ok({**ANSWER, "stopReason": word})).choices[0].finish == "content_filter"


def test_malformed_output_is_a_failure():
    with pytest.raises(InvalidModelOutput):
        CODEC.decode(ok({**ANSWER, "stopReason": "malformed_tool_use"}))
    stream = frames(BEGIN, delta(0, text="x"), ("messageStop", {"stopReason": "malformed_model_output"}))
    assert read_stream(CODEC.decoder(), [stream])[1] is InvalidModelOutput


def test_a_stream_becomes_events():
    assert read_stream(CODEC.decoder(), [SPOKEN]) == (
        [
            Start(id="", model=""),
            ReasoningDelta(text="Hm.", wire="bedrock"),
            ReasoningDelta(signature="sig", wire="bedrock"),
            TextDelta("It is "),
            TextDelta("Paris"),
            TextDelta("", extra={"citations": CITED["citations"], "annotations": [NOTE]}),
            Finish(reason="stop", native="end_turn"),
            UsageUpdate(COUNTED),
        ],
        None,
    )


def test_calls_are_counted_apart_from_tools_the_provider_ran_itself():
    events, _ = read_stream(CODEC.decoder(), [CALLS])
    assert events[1:-2] == [
        NativeDelta(Native("bedrock", {"toolUse": {**RAN, "input": '{"code":1}'}})),
        ToolDelta(index=0, id="tooluse_1", name="look"),
        ToolDelta(index=0, arguments='{"at":'),
        ToolDelta(index=0, arguments='"Paris"}'),
        ToolDelta(index=1, id="tooluse_2", name="now"),
        ToolDelta(index=1, arguments="{}"),
    ]


def test_a_stream_without_its_usage_is_whole_and_one_without_its_end_is_not():
    assert read_stream(CODEC.decoder(), [frames(BEGIN, delta(0, text="x"), END)])[1] is None
    assert read_stream(CODEC.decoder(), [frames(BEGIN, delta(0, text="x"))])[1] is StreamInterrupted


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("internalServerException", ProviderFailed),
        ("modelStreamErrorException", ProviderFailed),
        ("serviceUnavailableException", ProviderOverloaded),
        ("throttlingException", ProviderRateLimited),
        ("validationException", ProviderRejected),
    ],
)
def test_an_exception_frame_is_raised_as_its_class_behind_the_content(name, error):
    stream = frames(BEGIN, delta(0, text="x")) + write_exception(name, b'{"message":"no"}')
    assert read_stream(CODEC.decoder(), [stream]) == ([Start(id="", model=""), TextDelta("x")], error)


def test_a_delta_of_a_call_without_its_start_cannot_be_read():
    stream = frames(BEGIN, delta(0, toolUse={"input": "{}"}))
    assert read_stream(CODEC.decoder(), [stream])[1] is ProviderBadResponse


@pytest.mark.parametrize(
    ("status", "kind", "message", "error"),
    [
        (
            400,
            "ValidationException:http://x/",
            "Input Tokens Exceeded: exceeds maximum length",
            ContextLengthExceeded,
        ),
        (400, "ValidationException", "The provided model identifier is invalid.", ProviderModelUnavailable),
        (400, "ValidationException", "This model doesn't support the video content block", InvalidMedia),
        (400, "ValidationException", "expected maxTokens to be positive", ProviderRejected),
        (403, "UnrecognizedClientException", "The security token is invalid.", ProviderAuth),
        (403, "AccessDeniedException", "You don't have access to the model", ProviderModelUnavailable),
        (404, "ResourceNotFoundException", "no such", ProviderModelUnavailable),
        (424, "ModelErrorException", "no", ProviderFailed),
        (429, "ThrottlingException", "slow down", ProviderRateLimited),
        (429, "ModelNotReadyException", "warming", ProviderOverloaded),
        (500, "InternalServerException", "no", ProviderFailed),
        (503, "ServiceUnavailableException", "no", ProviderOverloaded),
    ],
)
def test_every_failure_has_one_class(status, kind, message, error):
    by_header = HttpResponse(status, {"x-amzn-errortype": kind}, body({"message": message}))
    by_body = HttpResponse(status, {}, body({"__type": f"com.amazon#{kind}", "message": message}))
    assert (type(CODEC.error(by_header)), type(CODEC.error(by_body))) == (error, error)


def test_vectors_are_asked_for_in_the_body_of_each_family():
    texts = CODEC.encode_embed(EmbedRequest(model="m", input=("a", "b")), to("cohere.embed-v4:0"))
    one = CODEC.encode_embed(
        EmbedRequest(model="m", input=("a",), dimensions=256), to("amazon.titan-embed-v2:0")
    )
    assert json.loads(texts.http.body) == {"texts": ["a", "b"], "input_type": "search_document"}
    assert json.loads(one.http.body) == {"inputText": "a", "dimensions": 256}
    assert one.http.url == "https://bedrock.test/model/amazon.titan-embed-v2%3A0/invoke"
    with pytest.raises(UnsupportedParameter):
        CODEC.encode_embed(EmbedRequest(model="m", input=("a", "b")), to("amazon.titan-embed-v2:0"))
    with pytest.raises(UnsupportedParameter):
        CODEC.encode_embed(EmbedRequest(model="m", input=("a",)), to("meta.llama3"))


def test_vectors_are_read_with_their_count():
    single = CODEC.decode_embed(ok({"embedding": [1, 2], "inputTextTokenCount": 3}))
    headers = {"x-amzn-bedrock-input-token-count": "4"}
    many = CODEC.decode_embed(HttpResponse(200, headers, body({"embeddings": {"float": [[1], [2]]}})))
    assert (single.vectors, single.usage) == (((1.0, 2.0),), Usage(input_uncached=3))
    assert (many.vectors, many.usage) == (((1.0,), (2.0,)), Usage(input_uncached=4))


def test_a_clients_own_request_comes_out_as_it_went_in():
    own = {
        "messages": [
            {"role": "user", "content": [{"text": "x"}, {"cachePoint": {"type": "default"}}]},
            {
                "role": "assistant",
                "content": [
                    {"reasoningContent": {"redactedContent": "AAAA"}},
                    {"citationsContent": CITED},
                    {"toolUse": USE},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "toolResult": {
                            "toolUseId": "tooluse_1",
                            "content": [{"json": {"a": 1}}],
                            "status": "success",
                        }
                    },
                    {"guardContent": {"text": {"text": "y"}}},
                ],
            },
        ],
        "system": [{"text": "s"}],
        "toolConfig": {"tools": [{"systemTool": {"name": "nova_grounding"}}], "toolChoice": {"auto": {}}},
        "inferenceConfig": {"maxTokens": 5, "topP": 0.5},
        "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1", "trace": "enabled"},
    }
    parsed = BedrockDialect().parse_call(body(own), model="m", stream=False)
    assert json.loads(CODEC.encode(parsed.request, to()).http.body) == own
    assert json.loads(CODEC.forward(parsed.wire, to(), stream=False).http.body) == own


def test_a_result_of_a_call_without_an_id_finds_its_call():
    call, result = ToolCall(id="", name="look", arguments="{}"), ToolResult(call_id="", name="look")
    messages = (Message("assistant", (call,)), Message("tool", (result,)))
    sent = json.loads(CODEC.encode(ChatRequest(model="m", messages=messages, wire="gemini"), to()).http.body)
    used, answered = (turn["content"][0] for turn in sent["messages"])
    assert used["toolUse"]["toolUseId"] == answered["toolResult"]["toolUseId"]


def test_a_start_that_is_a_call_commits_before_its_input():
    assert CODEC.decoder().feed(frames(BEGIN, start(0, toolUse={"toolUseId": "a", "name": "b"}), COUNTS)) == [
        Start(id="", model=""),
        ToolDelta(index=0, id="a", name="b"),
        UsageUpdate(COUNTED),
    ]


def test_bytes_that_are_no_text_inside_a_whole_frame_are_a_bad_response():
    for name, said in (
        ("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":"\xff"}}'),
        ("contentBlockDelta", b'{"contentBlockIndex":9,"delta":{"x\xff":1}}'),
        ("messageStart", b"[]"),
    ):
        events, failed = read_stream(CODEC.decoder(), [write_event(name, said)])
        assert (events, failed) in (([], ProviderBadResponse), ([], StreamInterrupted))
    begun = frames(start(0, toolUse=RAN)) + write_event("contentBlockDelta", b'{"delta":{"\xff":1}}')
    assert read_stream(CODEC.decoder(), [begun])[1] is StreamInterrupted
