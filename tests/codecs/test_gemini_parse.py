"""A generateContent request of a client becomes a conversation in nobody's dialect."""

import json

import pytest

from turnout.codecs.gemini import GeminiDialect
from turnout.codecs.gemini.wire import MINTED
from turnout.errors import InvalidRequest
from turnout.types.ask import Wire
from turnout.types.chat import (
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

HI = {"role": "user", "parts": [{"text": "hi"}]}


def parse(tree, *, model="gemini-2.5-flash", stream=False):
    return GeminiDialect().parse_call(json.dumps(tree).encode(), model=model, stream=stream)


def request(**fields):
    return parse({"contents": [HI], **fields}).request


def parts(*given, role="user"):
    (message,) = parse({"contents": [{"role": role, "parts": list(given)}]}).request.messages
    return message.parts


def test_model_and_stream_come_from_the_url():
    body = parse({"contents": [HI]}, model="gemini/gemini-2.5-pro", stream=True)
    assert (body.request.model, body.request.stream, body.request.include_usage) == (
        "gemini/gemini-2.5-pro",
        True,
        True,
    )
    assert body.wire == Wire("gemini", {"contents": [HI]})


def test_without_a_url_the_body_names_the_model_and_does_not_send_it_on():
    body = GeminiDialect().parse(
        json.dumps({"model": "models/gemini-2.5-pro", "stream": True, "contents": [HI]}).encode()
    )
    assert (body.request.model, body.request.stream) == ("gemini-2.5-pro", True)
    assert body.wire.body == {"contents": [HI]}


def test_roles_become_ours_and_the_system_instruction_leads():
    tree = {
        "systemInstruction": {"role": "user", "parts": [{"text": "Be brief."}]},
        "contents": [HI, {"role": "model", "parts": [{"text": "Hello."}]}, {"parts": [{"text": "Bye."}]}],
    }
    assert list(parse(tree).request.messages) == [
        Message("system", (Text("Be brief."),)),
        Message("user", (Text("hi"),)),
        Message("assistant", (Text("Hello."),)),
        Message("user", (Text("Bye."),)),
    ]


def test_snake_case_and_single_objects_are_read_like_camel_case_and_lists():
    tree = {
        "system_instruction": {"parts": {"text": "s"}},
        "contents": {"role": "user", "parts": {"inline_data": {"mime_type": "image/png", "data": "QQ=="}}},
        "tools": {"function_declarations": {"name": "f", "parameters_json_schema": {"type": "object"}}},
        "tool_config": {"function_calling_config": {"mode": "any", "allowed_function_names": ["f"]}},
        "generation_config": {
            "max_output_tokens": 5,
            "stop_sequences": ["x"],
            "thinking_config": {"thinking_budget": 0},
        },
    }
    got = parse(tree).request
    assert list(got.messages) == [
        Message("system", (Text("s"),)),
        Message("user", (Media(kind="image", mime="image/png", data="QQ=="),)),
    ]
    assert got.tools == (Tool(name="f", schema={"type": "object"}),)
    assert got.tool_choice == ToolChoice("named", ("f",))
    assert (got.max_tokens, got.stop) == (5, ("x",))
    assert got.thinking == Thinking(enabled=False, budget_tokens=0)
    assert got.extra == {}


def test_every_kind_of_part_has_its_place():
    assert parts(
        {"text": "a"},
        {"text": "think", "thought": True, "thoughtSignature": "c2ln"},
        {"text": "signed", "thoughtSignature": "c2ln"},
        {"inlineData": {"mimeType": "audio/wav", "data": "QQ==", "displayName": "a.wav"}},
        {"fileData": {"fileUri": "https://example.com/cat.png", "mimeType": "image/png"}},
        {"fileData": {"fileUri": f"{'https://generativelanguage.googleapis.com'}/v1beta/files/x"}},
        {"fileData": {"fileUri": "gs://b/v.mp4", "mimeType": "video/mp4"}, "videoMetadata": {"fps": 2}},
        {"executableCode": {"language": "PYTHON", "code": "1"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
        {"somethingNew": {"a_b": 1}},
    ) == (
        Text("a"),
        Reasoning(text="think", signature="c2ln", wire="gemini"),
        Text("signed", {"thoughtSignature": "c2ln"}),
        Media(kind="audio", mime="audio/wav", data="QQ==", name="a.wav"),
        Media(kind="image", mime="image/png", url="https://example.com/cat.png"),
        Media(kind="document", file_id="https://generativelanguage.googleapis.com/v1beta/files/x"),
        Media(kind="video", mime="video/mp4", file_id="gs://b/v.mp4", extra={"videoMetadata": {"fps": 2}}),
        Native("gemini", {"executableCode": {"language": "PYTHON", "code": "1"}}),
        Native("gemini", {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}}),
        Native("gemini", {"somethingNew": {"a_b": 1}}),
    )


def test_calls_and_results_keep_their_ids_signatures_and_values():
    tree = {
        "contents": [
            {
                "role": "model",
                "parts": [
                    {
                        "functionCall": {"id": "c1", "name": "f", "args": {"x": 1.0}},
                        "thoughtSignature": "c2ln",
                    }
                ],
            },
            {
                "role": "user",
                "parts": [
                    {
                        "functionResponse": {
                            "id": "c1",
                            "name": "f",
                            "response": {"output": "fine"},
                            "parts": [{"inlineData": {"mimeType": "image/png", "data": "QQ=="}}],
                        }
                    }
                ],
            },
        ]
    }
    assert list(parse(tree).request.messages) == [
        Message("assistant", (ToolCall(id="c1", name="f", arguments='{"x":1.0}', signature="c2ln"),)),
        Message(
            "tool",
            (
                ToolResult(
                    call_id="c1",
                    name="f",
                    content=(Text("fine"), Media(kind="image", mime="image/png", data="QQ==")),
                    value={"output": "fine"},
                ),
            ),
        ),
    ]


def test_calls_without_ids_get_some_and_results_find_theirs_by_name_and_order():
    def called(name, **args):
        return {"functionCall": {"name": name, "args": args}}

    def answered(name, text):
        return {"functionResponse": {"name": name, "response": {"result": text}}}

    tree = {
        "contents": [
            {"role": "model", "parts": [called("f", n=1), called("g"), called("f", n=2)]},
            {"role": "user", "parts": [answered("g", "g1"), answered("f", "f1"), answered("f", "f2")]},
        ]
    }
    calls, results = parse(tree).request.messages
    ids = [part.id for part in calls.parts]
    assert len(set(ids)) == 3
    assert all(each.startswith(MINTED) for each in ids)
    assert [part.call_id for part in results.parts] == [ids[1], ids[0], ids[2]]
    assert list(parse(tree).request.messages) == [calls, results]


def test_a_turn_that_mixes_results_with_text_stays_one_user_message():
    tree = {
        "contents": [
            {"role": "model", "parts": [{"functionCall": {"id": "a", "name": "f"}}]},
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"id": "a", "name": "f", "response": {"error": "no"}}},
                    {"text": "so?"},
                ],
            },
        ]
    }
    assert parse(tree).request.messages[1] == Message(
        "user",
        (
            ToolResult(call_id="a", name="f", content=(Text("no"),), is_error=True, value={"error": "no"}),
            Text("so?"),
        ),
    )


def test_tools_are_functions_or_belong_to_the_upstream():
    schema = {"type": "OBJECT", "properties": {"q": {"type": "STRING", "nullable": True}}}
    got = request(
        tools=[
            {
                "functionDeclarations": [
                    {"name": "f", "description": "d", "parameters": schema, "behavior": "BLOCKING"}
                ],
                "googleSearch": {},
            },
            {"url_context": {}},
        ]
    )
    assert got.tools == (
        Tool(
            name="f",
            description="d",
            schema={"type": "object", "properties": {"q": {"type": ["string", "null"]}}},
            extra={"parameters": schema, "behavior": "BLOCKING"},
        ),
        ServerTool("gemini", {"googleSearch": {}}),
        ServerTool("gemini", {"urlContext": {}}),
    )
    assert got.facts.server_tools
    assert got.facts.native_wire == "gemini"


@pytest.mark.parametrize(
    ("calling", "choice", "kept"),
    [
        ({"mode": "AUTO"}, ToolChoice("auto"), {}),
        ({"mode": "NONE"}, ToolChoice("none"), {}),
        ({"mode": "ANY"}, ToolChoice("required"), {}),
        ({"mode": "ANY", "allowedFunctionNames": ["f", "g"]}, ToolChoice("required", ("f", "g")), {}),
        ({"mode": "any", "allowedFunctionNames": ["f"]}, ToolChoice("named", ("f",)), {}),
        (
            {"mode": "VALIDATED"},
            ToolChoice("auto"),
            {"toolConfig": {"functionCallingConfig": {"mode": "VALIDATED"}}},
        ),
        ({}, None, {}),
    ],
)
def test_tool_config_becomes_a_choice(calling, choice, kept):
    got = request(toolConfig={"functionCallingConfig": calling})
    assert (got.tool_choice, got.extra) == (choice, kept)


def test_generation_config_is_read_and_its_unknown_rest_kept():
    got = request(
        generationConfig={
            "maxOutputTokens": 100,
            "temperature": 0.5,
            "topP": 0.9,
            "topK": 40.0,
            "seed": 7,
            "candidateCount": 2,
            "presencePenalty": 0.1,
            "frequencyPenalty": 0.2,
            "responseLogprobs": True,
            "logprobs": 3,
            "responseModalities": ["TEXT"],
            "thinkingConfig": {"thinkingLevel": "low", "includeThoughts": True, "new": 1},
        },
        safetySettings=[{"category": "c", "threshold": "BLOCK_NONE"}],
        labels={"team": "a"},
    )
    assert (got.max_tokens, got.temperature, got.top_p, got.top_k, got.seed, got.n) == (
        100, 0.5, 0.9, 40, 7, 2,
    )  # fmt: skip
    assert (got.presence_penalty, got.frequency_penalty, got.logprobs, got.top_logprobs) == (
        0.1,
        0.2,
        True,
        3,
    )
    assert got.thinking == Thinking(enabled=True, effort="low", include=True)
    assert got.extra == {
        "generationConfig": {"thinkingConfig": {"new": 1}},
        "safetySettings": [{"category": "c", "threshold": "BLOCK_NONE"}],
        "labels": {"team": "a"},
    }
    assert got.kept == {"generationConfig": {"responseModalities": ["TEXT"]}}  # says nothing: never missed


@pytest.mark.parametrize(
    ("config", "form", "rest"),
    [
        ({"responseMimeType": "application/json"}, OutputFormat(kind="json_object"), {}),
        (
            {"responseMimeType": "application/json", "responseJsonSchema": {"type": "object"}},
            OutputFormat(kind="json_schema", schema={"type": "object"}),
            {},
        ),
        (
            {"responseMimeType": "application/json", "responseSchema": {"type": "STRING", "enum": ["a"]}},
            OutputFormat(kind="json_schema", schema={"type": "string", "enum": ["a"]}),
            {"responseMimeType": "application/json", "responseSchema": {"type": "STRING", "enum": ["a"]}},
        ),
        ({"responseMimeType": "text/plain"}, None, {"responseMimeType": "text/plain"}),
    ],
)
def test_the_shape_of_the_answer_is_read(config, form, rest):
    got = request(generationConfig=config)
    spelled = got.kept if form is not None else got.extra
    assert (got.output_format, spelled.get("generationConfig", {})) == (form, rest)


@pytest.mark.parametrize(
    ("config", "thinking"),
    [
        ({"thinkingBudget": -1}, Thinking(enabled=True, adaptive=True)),
        ({"thinkingBudget": 0}, Thinking(enabled=False, budget_tokens=0)),
        ({"thinkingBudget": 200}, Thinking(enabled=True, budget_tokens=200)),
        ({"includeThoughts": True}, Thinking(include=True)),
        ({}, None),
    ],
)
def test_thinking_is_read(config, thinking):
    assert request(generationConfig={"thinkingConfig": config}).thinking == thinking


def test_facts_say_what_filters_need():
    tree = {
        "contents": [
            {
                "role": "user",
                "parts": [{"text": "12345"}, {"inlineData": {"mimeType": "application/pdf", "data": "QQ=="}}],
            },
            {"role": "model", "parts": [{"functionCall": {"name": "fn", "args": {}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "fn", "response": {"output": "abc"}}}]},
        ],
        "tools": [{"functionDeclarations": [{"name": "fn", "description": "four"}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
        "generationConfig": {"responseMimeType": "application/json"},
    }
    assert parse(tree).request.facts == Facts(
        n_chars=5 + len("fn{}") + 3 + len("fn") + len("four") + len("{}"),
        n_messages=3,
        n_media=1,
        modalities=frozenset({"document"}),
        n_tools=1,
        forced_tool=True,
        structured="json_object",
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"cachedContent": "cachedContents/x"},
        {"generationConfig": {"responseModalities": ["IMAGE"]}},
        {"tools": [{"codeExecution": {}}]},
    ],
)
def test_what_only_gemini_can_do_binds_the_request_to_it(fields):
    assert request(**fields).facts.native_wire == "gemini"


def test_our_own_object_and_the_fields_of_peers_do_not_travel():
    body = parse({"contents": [HI], "turnout": {"route": "r", "tags": ["t"]}, "models": ["a/b"]})
    assert (body.route, body.tags, body.prefer.candidates) == ("r", ("t",), ("a/b",))
    assert body.wire.body == {"contents": [HI]}
    assert body.request.extra == {}


def test_another_providers_thought_comes_back_whole_and_never_travels_to_gemini():
    from turnout.codecs.gemini.seal import sealed

    thought = Reasoning(text="hm", signature="sig", wire="anthropic")
    part = {"text": "", "thought": True, "thoughtSignature": sealed(thought)}
    turn = {"role": "model", "parts": [part, {"text": "so"}]}
    body = parse({"contents": [HI, turn]})
    assert body.request.messages[1] == Message("assistant", (thought, Text("so")))
    assert body.wire.body == {"contents": [HI, {"role": "model", "parts": [{"text": "so"}]}]}


def turn(**part):
    return {"contents": [{"parts": [part]}]}


REFUSED = {
    "contents is missing": {},
    "contents must hold at least one turn": {"contents": []},
    "contents must be an array, not a number": {"contents": 3},
    "contents[0].role is 'boss'; expected 'user' or 'model'": {"contents": [{"role": "boss"}]},
    "contents[0].parts[0] is empty": turn(),
    "contents[0].parts[0].text must be a string, not a number": turn(text=1),
    "contents[0].parts[0] has more than one of inlineData, text": turn(text="a", inlineData={}),
    "contents[0].parts[0].inlineData.data is missing": turn(inlineData={}),
    "contents[0].parts[0].fileData.fileUri is missing": turn(fileData={}),
    "contents[0].parts[0].functionCall.name is missing": turn(functionCall={}),
    "contents[0].parts[0].functionCall.args must be an object, not an array": turn(
        functionCall={"name": "f", "args": []}
    ),
    "contents[0].parts[0].functionResponse.response must be an object, not a string": turn(
        functionResponse={"name": "f", "response": "x"}
    ),
    "generationConfig.topK must be a whole number, not 1.5": {"generationConfig": {"topK": 1.5}},
    "generationConfig.topP must be a number, not a boolean": {"generationConfig": {"topP": True}},
    "generationConfig.topK is given twice, also as top_k": {"generationConfig": {"topK": 1, "top_k": 2}},
    "generationConfig.stopSequences must be an array of strings, not a string": {
        "generationConfig": {"stopSequences": "x"}
    },
    "generationConfig.stopSequences[0] must be a string, not null": {
        "generationConfig": {"stopSequences": [None]}
    },
    "toolConfig.functionCallingConfig.mode is 'MAYBE'; expected AUTO, ANY, NONE or VALIDATED": {
        "toolConfig": {"functionCallingConfig": {"mode": "MAYBE"}}
    },
    "tools[0].functionDeclarations[0].name is missing": {"tools": [{"functionDeclarations": [{}]}]},
    "base_url is refused: it is for the operator to set": {"base_url": "https://x"},
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_malformed_request_is_refused_with_its_path(message):
    tree = REFUSED[message]
    with pytest.raises(InvalidRequest) as caught:
        parse(tree if "contents" in message else {"contents": [HI], **tree})
    assert (caught.value.message, caught.value.param) == (message, message.split(" ")[0])


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"contents": [], "contents": []}', b'{"a": "\xff"}'])
def test_what_is_no_json_object_is_refused(body):
    with pytest.raises(InvalidRequest):
        GeminiDialect().parse_call(body, model="m", stream=False)


def test_a_schema_may_hold_names_that_peers_may_not():
    schema = {"type": "OBJECT", "properties": {"api_key": {"type": "STRING"}}}
    got = request(generationConfig={"responseMimeType": "application/json", "responseSchema": schema})
    assert got.kept["generationConfig"]["responseSchema"] == schema
