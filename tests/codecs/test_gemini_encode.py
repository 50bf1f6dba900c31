"""A conversation of any origin becomes a generateContent call."""

import json

import pytest

from tests.codecs.gemini_samples import BASE, ask, deployment
from turnout.codecs.gemini import Gemini, GeminiDialect
from turnout.codecs.gemini.contents import UNSIGNED
from turnout.codecs.gemini.wire import mint_id
from turnout.errors import UnsupportedParameter
from turnout.types.ask import Wire
from turnout.types.chat import (
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

HI = {"role": "user", "parts": [{"text": "hi"}]}


def encode(request, to=None):
    return Gemini().encode(request, to or deployment())


def body(request, to=None):
    return json.loads(encode(request, to).http.body)


def turns(*messages, to=None, **fields):
    return body(ask(*messages, **fields), to)["contents"]


def same(tree):
    """Read a client's request and write it again."""
    asked = GeminiDialect().parse_call(json.dumps(tree).encode(), model="m", stream=False)
    return body(asked.request)


@pytest.mark.parametrize(
    ("stream", "model", "quirks", "url"),
    [
        (False, "gemini-2.5-flash", {}, "/models/gemini-2.5-flash:generateContent"),
        (True, "gemini-2.5-flash", {}, "/models/gemini-2.5-flash:streamGenerateContent?alt=sse"),
        (True, "m", {"query": "v=1"}, "/models/m:streamGenerateContent?alt=sse&v=1"),
        (False, "tunedModels/mine", {}, "/tunedModels/mine:generateContent"),
        (False, "a b?c", {}, "/models/a%20b%3Fc:generateContent"),
    ],
)
def test_model_and_method_stand_in_the_url(stream, model, quirks, url):
    http = encode(ask(stream=stream), deployment(model, **quirks)).http
    assert (http.method, http.url) == ("POST", BASE + url)


def test_headers_name_the_type_and_what_the_host_wants():
    to = deployment(extra_headers=(("x-a", "b"),))
    assert encode(ask(), to).http.headers == ((b"content-type", b"application/json"), (b"x-a", b"b"))
    assert encode(ask(stream=True)).http.headers[1] == (b"accept", b"text/event-stream")


def test_the_express_track_sends_the_clients_own_json():
    wire = Wire("gemini", {"contents": [HI], "neverHeardOf": {"a": [1]}})
    sent = Gemini().forward(wire, deployment(), stream=True)
    assert json.loads(sent.http.body) == {"contents": [HI], "neverHeardOf": {"a": [1]}}
    assert sent.http.url.endswith(":streamGenerateContent?alt=sse")
    assert (sent.dropped, sent.warnings) == ((), ())


def test_a_plain_question_is_nothing_but_contents():
    assert body(ask()) == {"contents": [HI]}


def test_system_messages_are_folded_and_a_late_one_is_noted():
    request = ask(
        Message("system", (Text("a"),)), Message("user", (Text("hi"),)), Message("developer", (Text("b"),))
    )
    encoded = encode(request)
    assert json.loads(encoded.http.body) == {
        "systemInstruction": {"parts": [{"text": "a"}, {"text": "b"}]},
        "contents": [HI],
    }
    assert encoded.warnings == ("system_folded",)


def test_a_conversation_of_instructions_only_still_has_a_turn():
    assert turns(Message("system", (Text("a"),))) == [{"role": "user", "parts": [{"text": ""}]}]


def test_tool_results_share_the_turn_after_their_calls_in_the_order_of_the_calls():
    got = turns(
        Message("user", (Text("go"),)),
        Message(
            "assistant",
            (
                Text("ok"),
                ToolCall(id="a", name="f", arguments='{"x": 1.50}'),
                ToolCall(id="b", name="g", arguments=""),
            ),
        ),
        Message("tool", (ToolResult(call_id="b", content=(Text("two"),)),)),
        Message("tool", (ToolResult(call_id="a", content=(Text("bad"),), is_error=True),)),
        Message("user", (Text("and?"),)),
    )
    assert got[1:] == [
        {
            "role": "model",
            "parts": [
                {"text": "ok"},
                {"functionCall": {"name": "f", "args": {"x": 1.5}, "id": "a"}},
                {"functionCall": {"name": "g", "args": {}, "id": "b"}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "f", "response": {"error": "bad"}, "id": "a"}},
                {"functionResponse": {"name": "g", "response": {"output": "two"}, "id": "b"}},
            ],
        },
        {"role": "user", "parts": [{"text": "and?"}]},
    ]


def test_results_inside_a_user_turn_come_before_its_text():
    got = turns(
        Message("assistant", (ToolCall(id="a", name="f", arguments="{}"),)),
        Message("user", (Text("see"), ToolResult(call_id="a", content=(Text("1"),)))),
    )
    assert [list(part) for part in got[1]["parts"]] == [["functionResponse"], ["text"]]


def test_arguments_travel_as_the_models_own_text():
    text = '{"n": 12345678901234567890123, "x": 1.0}'
    raw = encode(ask(Message("assistant", (ToolCall(id="a", name="f", arguments=text),)))).http.body
    assert text.encode() in raw


@pytest.mark.parametrize("text", ["[1]", "not json", '{"a"'])
def test_arguments_that_are_no_object_are_wrapped_with_a_warning(text):
    encoded = encode(ask(Message("assistant", (ToolCall(id="a", name="f", arguments=text),))))
    call = json.loads(encoded.http.body)["contents"][0]["parts"][0]["functionCall"]
    assert (call["args"], encoded.warnings) == ({"input": text}, ("tool_arguments_wrapped",))


def test_ids_this_codec_made_are_taken_off_again():
    made = mint_id("r1|0|0")
    got = turns(
        Message("assistant", (ToolCall(id=made, name="f", arguments="{}"),)),
        Message("tool", (ToolResult(call_id=made, content=(Text("1"),)),)),
    )
    assert got == [
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": "1"}}}]},
    ]


@pytest.mark.parametrize(
    ("model", "signatures"),
    [
        ("gemini-2.5-flash", [None, None, "own"]),
        ("gemini-3-flash-preview", [UNSIGNED, None, "own"]),
        ("gemini-flash-latest", [UNSIGNED, None, "own"]),
        ("gemma-3-27b", [None, None, "own"]),
    ],
)
def test_generation_3_gets_a_stand_in_for_the_signature_of_calls_it_did_not_make(model, signatures):
    got = turns(
        Message(
            "assistant",
            (ToolCall(id="a", name="f", arguments="{}"), ToolCall(id="b", name="f", arguments="{}")),
        ),
        Message("assistant", (ToolCall(id="c", name="f", arguments="{}", signature="own"),)),
        to=deployment(model),
    )
    parts = [part for turn in got for part in turn["parts"]]
    assert [part.get("thoughtSignature") for part in parts] == signatures


def test_thoughts_and_signatures_go_back_to_google_alone():
    message = Message(
        "assistant",
        (
            Reasoning(text="mine", signature="s1", wire="gemini"),
            Reasoning(text="theirs", signature="s2", wire="anthropic"),
            Text("so", {"thoughtSignature": "s3", "citations": []}),
            Refusal("no"),
        ),
    )
    encoded = encode(ask(message))
    assert json.loads(encoded.http.body)["contents"][0]["parts"] == [
        {"text": "mine", "thought": True, "thoughtSignature": "s1"},
        {"text": "so", "thoughtSignature": "s3"},
        {"text": "no"},
    ]
    assert encoded.warnings == ("reasoning_dropped",)


def test_blocks_only_another_format_knows_are_dropped_with_a_warning():
    encoded = encode(
        ask(Message("user", (Text("hi"), Native("anthropic", {"x": 1}), Native("gemini", {"y": 2}))))
    )
    assert json.loads(encoded.http.body)["contents"] == [
        {"role": "user", "parts": [{"text": "hi"}, {"y": 2}]}
    ]
    assert encoded.warnings == ("native_block_dropped",)


@pytest.mark.parametrize(
    ("media", "part"),
    [
        (
            Media(kind="image", mime="image/png", data="QQ=="),
            {"inlineData": {"data": "QQ==", "mimeType": "image/png"}},
        ),
        (
            Media(kind="image", url="data:image/webp;base64,QQ=="),
            {"inlineData": {"data": "QQ==", "mimeType": "image/webp"}},
        ),
        (
            Media(kind="image", url="https://example.com/a.PNG?x=1"),
            {"fileData": {"fileUri": "https://example.com/a.PNG?x=1", "mimeType": "image/png"}},
        ),
        (
            Media(kind="image", url="https://example.com/a"),
            {"fileData": {"fileUri": "https://example.com/a", "mimeType": "image/jpeg"}},
        ),
        (
            Media(kind="document", data="QQ==", name="a.pdf"),
            {"inlineData": {"data": "QQ==", "mimeType": "application/pdf"}},
        ),
        (Media(kind="document", text="words"), {"text": "words"}),
    ],
)
def test_media_become_inline_data_or_addresses(media, part):
    assert turns(Message("user", (media,))) == [{"role": "user", "parts": [part]}]


def test_a_file_in_another_providers_store_is_unsupported():
    with pytest.raises(UnsupportedParameter, match="stored at another provider"):
        encode(ask(Message("user", (Media(kind="document", file_id="file-1"),))))


def test_media_in_a_result_stand_inside_it_or_beside_it_for_older_models():
    messages = (
        Message("assistant", (ToolCall(id="a", name="f", arguments="{}"),)),
        Message(
            "tool",
            (
                ToolResult(
                    call_id="a", content=(Text("see"), Media(kind="image", mime="image/png", data="QQ=="))
                ),
            ),
        ),
    )
    image = {"inlineData": {"data": "QQ==", "mimeType": "image/png"}}
    answered = {"name": "f", "response": {"output": "see"}, "id": "a"}
    assert turns(*messages)[1]["parts"] == [{"functionResponse": answered}, image]
    assert turns(*messages, to=deployment("gemini-3-pro"))[1]["parts"] == [
        {"functionResponse": {**answered, "parts": [image]}}
    ]


def test_a_result_that_a_layer_rewrote_is_sent_as_rewritten():
    def result(text):
        return ToolResult(call_id="a", name="f", content=(Text(text),), value={"output": "long text"})

    (kept,) = turns(Message("tool", (result("long text"),)))
    (trimmed,) = turns(Message("tool", (result("long"),)))
    assert kept["parts"][0]["functionResponse"]["response"] == {"output": "long text"}
    assert trimmed["parts"][0]["functionResponse"]["response"] == {"output": "long"}


def test_tools_carry_json_schema_and_the_choice_names_them():
    schema = {"type": "object", "additionalProperties": False}
    got = body(
        ask(
            tools=(Tool(name="f", description="d", schema=schema, strict=True), Tool(name="g")),
            tool_choice=ToolChoice("required", ("f",)),
        )
    )
    assert got["tools"] == [
        {
            "functionDeclarations": [
                {"name": "f", "description": "d", "parametersJsonSchema": schema},
                {"name": "g"},
            ]
        }
    ]
    assert got["toolConfig"] == {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}}


@pytest.mark.parametrize(
    ("choice", "calling"),
    [
        (ToolChoice("auto"), {"mode": "AUTO"}),
        (ToolChoice("none"), {"mode": "NONE"}),
        (ToolChoice("required"), {"mode": "ANY"}),
        (ToolChoice("named", ("f",)), {"mode": "ANY", "allowedFunctionNames": ["f"]}),
    ],
)
def test_every_choice_has_a_mode(choice, calling):
    got = body(ask(tools=(Tool(name="f"),), tool_choice=choice))
    assert got["toolConfig"] == {"functionCallingConfig": calling}


def test_a_host_without_json_schema_gets_its_own_schema_language_and_a_notice():
    schema = {"type": "object", "properties": {"a": {"type": ["string", "null"], "not": {}}}}
    to = deployment(json_schema=False)
    request = ask(
        tools=(Tool(name="f", schema=schema),), output_format=OutputFormat(kind="json_schema", schema=schema)
    )
    encoded = encode(request, to)
    written = {"type": "OBJECT", "properties": {"a": {"nullable": True, "type": "STRING"}}}
    sent = json.loads(encoded.http.body)
    assert sent["tools"] == [{"functionDeclarations": [{"name": "f", "parameters": written}]}]
    assert sent["generationConfig"] == {"responseMimeType": "application/json", "responseSchema": written}
    assert encoded.warnings == ("schema_adapted",)


def test_a_strict_schema_that_would_be_relaxed_is_unsupported():
    schema = {"type": "object", "properties": {"a": {"not": {}}}}
    request = ask(output_format=OutputFormat(kind="json_schema", schema=schema, strict=True))
    with pytest.raises(UnsupportedParameter, match="cannot keep to not of a strict schema"):
        encode(request, deployment(json_schema=False))


def test_sampling_and_shape_of_the_answer():
    got = body(
        ask(
            max_tokens=9,
            temperature=0.0,
            top_p=0.5,
            top_k=3,
            stop=("a", "b"),
            seed=1,
            n=2,
            presence_penalty=0.1,
            frequency_penalty=0.2,
            logprobs=True,
            top_logprobs=4,
            output_format=OutputFormat(kind="json_schema", name="n", schema={"type": "object"}),
        )
    )
    assert got["generationConfig"] == {
        "maxOutputTokens": 9,
        "temperature": 0.0,
        "topP": 0.5,
        "topK": 3,
        "stopSequences": ["a", "b"],
        "seed": 1,
        "candidateCount": 2,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "responseLogprobs": True,
        "logprobs": 4,
        "responseMimeType": "application/json",
        "responseJsonSchema": {"type": "object"},
    }


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"stop": ("1", "2", "3", "4", "5", "6")}, "stop"),
        ({"n": 9}, "n"),
        ({"tools": (ServerTool("anthropic", {"type": "web_search"}),)}, "tools"),
    ],
)
def test_a_binding_parameter_that_cannot_be_said_is_unsupported(fields, param):
    with pytest.raises(UnsupportedParameter) as caught:
        encode(ask(**fields))
    assert caught.value.param == param


def test_what_gemini_has_no_word_for_is_named():
    request = ask(
        Message("user", (Text("hi", {"cache_control": {"type": "ephemeral"}}),)),
        Message("user", (Media(kind="image", data="QQ==", mime="image/png", detail="high"),)),
        wire="openai_chat",
        user="u",
        logit_bias={"1": 1.0},
        parallel_tool_calls=False,
        tools=(Tool(name="f"),),
        extra={"store": True, "metadata": {}},
    )
    assert encode(request).dropped == (
        "cache_control",
        "detail",
        "store",
        "metadata",
        "user",
        "logit_bias",
        "parallel_tool_calls",
    )


@pytest.mark.parametrize(
    ("model", "thinking", "config", "warned"),
    [
        ("gemini-2.5-flash", Thinking(effort="low"), {"thinkingBudget": 1024}, True),
        ("gemini-2.5-flash", Thinking(effort="xhigh"), {"thinkingBudget": 24576}, True),
        ("gemini-2.5-flash", Thinking(effort="none"), {"thinkingBudget": 0}, False),
        ("gemini-2.5-pro", Thinking(effort="none"), {"thinkingBudget": 128}, True),
        ("gemini-2.5-flash", Thinking(enabled=False), {"thinkingBudget": 0}, False),
        ("gemini-2.5-flash", Thinking(enabled=True, budget_tokens=2000), {"thinkingBudget": 2000}, False),
        ("gemini-2.5-flash", Thinking(enabled=True, adaptive=True), {"thinkingBudget": -1}, False),
        ("gemini-2.5-flash-lite", Thinking(budget_tokens=10), {"thinkingBudget": 512}, True),
        ("gemini-2.5-pro", Thinking(budget_tokens=90_000), {"thinkingBudget": 32768}, True),
        ("gemini-2.5-flash", Thinking(include=True), {"includeThoughts": True}, False),
        ("gemini-3-flash-preview", Thinking(effort="medium"), {"thinkingLevel": "MEDIUM"}, False),
        ("gemini-3-flash-preview", Thinking(effort="xhigh"), {"thinkingLevel": "HIGH"}, True),
        ("gemini-3-flash-preview", Thinking(effort="none"), {"thinkingLevel": "MINIMAL"}, True),
        ("gemini-3-pro-preview", Thinking(effort="medium"), {"thinkingLevel": "HIGH"}, True),
        ("gemini-3.1-pro-preview", Thinking(effort="medium"), {"thinkingLevel": "MEDIUM"}, False),
        ("gemini-3.1-pro-preview", Thinking(effort="minimal"), {"thinkingLevel": "LOW"}, True),
        ("gemini-3-pro-preview", Thinking(enabled=True, budget_tokens=99), {"thinkingBudget": 99}, False),
    ],
)
def test_effort_becomes_a_budget_or_a_level(model, thinking, config, warned):
    encoded = encode(ask(thinking=thinking, wire="openai_chat"), deployment(model))
    assert json.loads(encoded.http.body)["generationConfig"] == {"thinkingConfig": config}
    assert encoded.warnings == (("reasoning_approximated",) if warned else ())


def test_a_model_known_not_to_reason_is_not_asked_to():
    to = deployment(capabilities=frozenset({"tools"}))
    encoded = encode(ask(thinking=Thinking(effort="high")), to)
    assert (json.loads(encoded.http.body), encoded.dropped) == ({"contents": [HI]}, ("reasoning_effort",))


@pytest.mark.parametrize(
    "tree",
    [
        {
            "contents": [HI],
            "cachedContent": "cachedContents/x",
            "safetySettings": [{"category": "c", "threshold": "t"}],
            "generationConfig": {
                "responseModalities": ["IMAGE"],
                "thinkingConfig": {"thinkingBudget": -1, "includeThoughts": True},
                "responseMimeType": "text/x.enum",
                "responseSchema": {"type": "STRING", "enum": ["a"]},
            },
        },
        {
            "contents": [HI],
            "tools": [
                {"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT"}, "behavior": "B"}]},
                {"googleSearch": {"timeRangeFilter": {}}},
            ],
            "toolConfig": {
                "functionCallingConfig": {"mode": "VALIDATED", "allowedFunctionNames": ["f"]},
                "includeServerSideToolInvocations": True,
            },
        },
        {
            "contents": [
                {
                    "role": "model",
                    "parts": [
                        {
                            "functionCall": {"name": "f", "args": {}, "willContinue": True},
                            "partMetadata": {"a": 1},
                        },
                        {"thought": True, "thoughtSignature": "c2ln"},
                        {"text": "", "thoughtSignature": "c2ln"},
                    ],
                },
                {
                    "role": "user",
                    "parts": [
                        {"text": "first"},
                        {
                            "functionResponse": {
                                "name": "f",
                                "response": {"a": 1},
                                "scheduling": "SILENT",
                                "parts": [{"inlineData": {"mimeType": "image/png", "data": "QQ=="}}],
                            }
                        },
                    ],
                },
            ]
        },
    ],
)
def test_a_gemini_request_comes_out_as_it_went_in(tree):
    assert same(tree) == tree
