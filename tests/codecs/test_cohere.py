"""Cohere's v2 chat and embeddings, written and read."""

import json

import pytest

from tests.codecs.cohere_samples import (
    ANNOTATIONS,
    ANSWER,
    CALL,
    CALLING,
    CALLS,
    CITATION,
    END,
    SPOKEN,
    START,
    TO,
    USAGE,
    body,
    content,
    frames,
)
from turnout.codecs.base import Encoded, Summary
from turnout.codecs.cohere import Cohere, CohereDialect
from turnout.codecs.openai_chat import OpenAIChatDialect
from turnout.errors import (
    ContextLengthExceeded,
    ProviderAuth,
    ProviderBadResponse,
    ProviderFailed,
    ProviderModelUnavailable,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderRejected,
    StreamInterrupted,
    UnsupportedParameter,
)
from turnout.testing.codec import check_codec, read_stream
from turnout.types.chat import ChatRequest, Choice, Message, Reasoning, Text, ToolCall
from turnout.types.embed import EmbedRequest
from turnout.types.event import Finish, ReasoningDelta, Start, TextDelta, ToolDelta, UsageUpdate
from turnout.types.http import HttpResponse
from turnout.types.usage import Usage

CODEC = Cohere()
COUNTED = Usage(input_uncached=7, output_text=3, reasoning=2, search_units=1)
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]}


def written(openai_body):
    """Encode what an OpenAI client would send; return the body and what was noted."""
    request = OpenAIChatDialect().parse(json.dumps({"model": "m", **openai_body}).encode()).request
    encoded = CODEC.encode(request, TO)
    return json.loads(encoded.http.body), encoded.dropped, encoded.warnings


def ok(value):
    return HttpResponse(200, {}, body(value))


def test_it_keeps_the_contract_of_a_codec():
    check_codec(CODEC, TO, streams=[SPOKEN, CALLS], answers=[body(ANSWER), body(CALLING)])


def test_a_conversation_with_tools_is_written_in_the_formats_own_words():
    tool = {"type": "function", "function": {"name": "look", "parameters": SCHEMA}}
    sent, dropped, warnings = written(
        {
            "messages": [
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "content": "Where?"},
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "look_1", "content": "a city"},
            ],
            "tools": [tool],
            "tool_choice": "required",
            "max_tokens": 9,
            "top_p": 0.5,
            "stop": "END",
            "seed": 4,
            "user": "u",
            "logit_bias": {"7": 1},
            "parallel_tool_calls": False,
        }
    )
    assert sent == {
        "model": "command-x",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Where?"},
            {"role": "assistant", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "look_1", "content": "a city"},
        ],
        "stream": False,
        "tools": [tool],
        "tool_choice": "REQUIRED",
        "max_tokens": 9,
        "p": 0.5,
        "seed": 4,
        "stop_sequences": ["END"],
    }
    assert (dropped, warnings) == (("logit_bias", "user", "parallel_tool_calls"), ())


def test_a_tool_that_is_named_is_the_only_one_offered():
    tools = [
        {"type": "function", "function": {"name": name, "parameters": SCHEMA, "strict": True}}
        for name in ("look", "walk")
    ]
    sent, _, _ = written(
        {
            "messages": [{"role": "user", "content": "x"}],
            "tools": tools,
            "tool_choice": {"type": "function", "function": {"name": "walk"}},
        }
    )
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["walk"]
    assert (sent["tool_choice"], sent["strict_tools"]) == ("REQUIRED", True)


def test_keywords_the_provider_refuses_are_left_out_of_an_answers_schema_and_told():
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
    sent, _, warnings = written({"messages": [{"role": "user", "content": "x"}], "response_format": form})
    assert sent["response_format"] == {
        "type": "json_object",
        "json_schema": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
    }
    assert warnings == ("schema_adapted",)


def test_pictures_and_texts_travel_and_documents_stand_beside_the_messages():
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}
    file = {"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,aGk="}}
    sent, _, _ = written({"messages": [{"role": "user", "content": [picture, file]}]})
    assert sent["messages"] == [{"role": "user", "content": [picture]}]
    assert sent["documents"] == [{"id": "doc:0", "data": {"text": "hi", "title": "a.txt"}}]


@pytest.mark.parametrize(
    ("effort", "thinking", "warnings"),
    [
        ("none", {"type": "disabled"}, ()),
        ("low", {"type": "enabled", "token_budget": 1024}, ("reasoning_approximated",)),
        ("high", {"type": "enabled", "token_budget": 16_384}, ("reasoning_approximated",)),
    ],
)
def test_effort_becomes_a_budget(effort, thinking, warnings):
    sent, _, told = written({"messages": [{"role": "user", "content": "x"}], "reasoning_effort": effort})
    assert (sent["thinking"], told) == (thinking, warnings)


@pytest.mark.parametrize("asked", [{"n": 2}, {"logprobs": True}])
def test_what_changes_the_answer_and_cannot_be_said_is_refused(asked):
    with pytest.raises(UnsupportedParameter):
        written({"messages": [{"role": "user", "content": "x"}], **asked})


def test_an_answer_is_read_with_its_thought_its_citations_and_what_is_billed():
    response = CODEC.decode(ok(ANSWER))
    cited = {"citations": [CITATION], "annotations": ANNOTATIONS}
    assert response.choices == (
        Choice(
            parts=(Reasoning(text="Hm.", wire="cohere"), Text("Paris", cited)),
            finish="stop",
            native_finish="COMPLETE",
        ),
    )
    assert (response.id, response.usage, response.extra) == ("a1", COUNTED, {"usage": USAGE})


def test_a_plan_is_a_thought_in_front_of_the_calls_and_goes_back_as_a_plan():
    response = CODEC.decode(ok(CALLING))
    plan = Reasoning(text="I will look.", id="tool_plan", wire="cohere")
    called = ToolCall(id="look_1", name="look", arguments='{"at":"Paris"}')
    assert response.choices[0].parts == (plan, called)
    request = ChatRequest(
        model="m", messages=(Message("assistant", response.choices[0].parts),), wire="cohere"
    )
    sent = json.loads(CODEC.encode(request, TO).http.body)
    assert sent["messages"] == [{"role": "assistant", "tool_plan": "I will look.", "tool_calls": [CALL]}]


def test_openai_clients_see_citations_as_annotations():
    answer = CODEC.decode(ok(ANSWER))
    request = ChatRequest(model="m", messages=())
    summary = Summary(request_id="r", model="m", created=0)
    message = json.loads(OpenAIChatDialect().render(answer, request, summary))["choices"][0]["message"]
    assert (message["content"], message["annotations"]) == ("Paris", ANNOTATIONS)


def test_a_stream_becomes_events():
    cited = {"citations": [CITATION], "annotations": ANNOTATIONS}
    assert read_stream(CODEC.decoder(), [SPOKEN]) == (
        [
            Start(id="a1", model=""),
            ReasoningDelta(text="Hm.", wire="cohere"),
            TextDelta("Par"),
            TextDelta("is"),
            TextDelta("", extra=cited),
            UsageUpdate(COUNTED),
            Finish(reason="stop", native="COMPLETE"),
        ],
        None,
    )


def test_calls_are_counted_from_zero_and_none_is_without_arguments():
    events, _ = read_stream(CODEC.decoder(), [CALLS])
    assert [event for event in events if isinstance(event, ToolDelta)] == [
        ToolDelta(index=0, id="look_1", name="look"),
        ToolDelta(index=0, arguments='{"at":'),
        ToolDelta(index=0, arguments='"Paris"}'),
        ToolDelta(index=1, id="now_1", name="now"),
        ToolDelta(index=1, arguments="{}"),
    ]


def test_a_stream_that_ends_in_an_error_raises_it_behind_its_content():
    end = {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "out of order"}}
    decoder = CODEC.decoder()
    assert decoder.feed(frames(START, content("text", "Hi"), end)) == [
        Start(id="a1", model=""),
        TextDelta("Hi"),
    ]
    with pytest.raises(ProviderFailed):
        decoder.feed(b"")


@pytest.mark.parametrize(
    ("stream", "error"),
    [
        (frames(START), StreamInterrupted),
        (frames(START, END)[:-9], StreamInterrupted),
        (b'data: {"message":"internal"}\n\n', ProviderFailed),
        (b"data: {}\n\n", ProviderBadResponse),
    ],
)
def test_a_stream_that_is_none_raises(stream, error):
    assert read_stream(CODEC.decoder(), [stream])[1] is error


@pytest.mark.parametrize(
    ("status", "said", "error"),
    [
        (400, {"error_type": "TOO_MANY_TOKENS", "message": "too many tokens"}, ContextLengthExceeded),
        (400, {"message": "too many tokens: 9 over"}, ContextLengthExceeded),
        (400, {"message": "invalid request: p"}, ProviderRejected),
        (401, {"message": "invalid api token"}, ProviderAuth),
        (404, {"message": "model 'x' not found"}, ProviderModelUnavailable),
        (429, {"message": "Please wait"}, ProviderRateLimited),
        (429, {"message": "trial key is limited to 1000 calls, see billing"}, ProviderQuotaExhausted),
        (500, {"message": "internal"}, ProviderFailed),
    ],
)
def test_every_failure_has_one_class(status, said, error):
    assert type(CODEC.error(HttpResponse(status, {}, body(said)))) is error


def test_a_failure_inside_a_200_is_raised():
    with pytest.raises(ContextLengthExceeded):
        CODEC.decode(ok({"error_type": "TOO_MANY_TOKENS", "id": "x", "message": "too many tokens"}))
    with pytest.raises(ProviderFailed):
        CODEC.decode(ok({**ANSWER, "finish_reason": "ERROR"}))


def test_vectors_are_asked_for_and_read_in_order():
    asked = EmbedRequest(model="m", input=("a", "b"), dimensions=8, extra={"input_type": "search_query"})
    encoded = CODEC.encode_embed(asked, TO)
    assert (encoded.http.url, json.loads(encoded.http.body)) == (
        "https://cohere.test/v2/embed",
        {
            "model": "command-x",
            "texts": ["a", "b"],
            "embedding_types": ["float"],
            "input_type": "search_query",
            "output_dimension": 8,
        },
    )
    said = {"embeddings": {"float": [[1, 0.5], [2, 3]]}, "meta": {"billed_units": {"input_tokens": 4}}}
    found = CODEC.decode_embed(ok(said))
    assert (found.vectors, found.usage) == (((1.0, 0.5), (2.0, 3.0)), Usage(input_uncached=4))


def test_a_kind_of_input_that_nobody_named_is_assumed_and_told():
    encoded = CODEC.encode_embed(EmbedRequest(model="m", input=("a",)), TO)
    assert encoded == Encoded(encoded.http, (), ("input_type_assumed",))
    with pytest.raises(UnsupportedParameter):
        CODEC.encode_embed(EmbedRequest(model="m", input=((1, 2),)), TO)


def test_a_clients_own_request_comes_out_as_it_went_in():
    own = {
        "model": "command-x",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "x", "mark": 1}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "t"}], "tool_calls": [CALL]},
            {
                "role": "tool",
                "tool_call_id": "look_1",
                "content": [{"type": "document", "document": {"id": "d", "data": {"text": "y"}}}],
            },
        ],
        "stream": True,
        "documents": [{"id": "0", "data": {"text": "z"}}],
        "citation_options": {"mode": "fast"},
        "thinking": {"type": "enabled", "token_budget": 5},
        "k": 3,
    }
    parsed = CohereDialect().parse(body(own))
    assert json.loads(CODEC.encode(parsed.request, TO).http.body) == own
    assert json.loads(CODEC.forward(parsed.wire, TO, stream=True).http.body) == own
