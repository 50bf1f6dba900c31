"""Ollama's native format, written and read."""

import json

import pytest

from turnout.codecs.lines import MAX_LINE
from turnout.codecs.ollama import Ollama, OllamaDialect
from turnout.codecs.openai_chat import OpenAIChatDialect
from turnout.errors import (
    ContextLengthExceeded,
    ProviderBadResponse,
    ProviderFailed,
    ProviderModelUnavailable,
    ProviderOverloaded,
    ProviderRejected,
    StreamInterrupted,
    UnsupportedParameter,
)
from turnout.testing.codec import check_codec, read_stream
from turnout.types.chat import Choice, Reasoning, Text, ToolCall
from turnout.types.deployment import Deployment, Model, Vendor
from turnout.types.embed import EmbedRequest
from turnout.types.event import Finish, ReasoningDelta, Start, TextDelta, ToolDelta, UsageUpdate
from turnout.types.http import HttpResponse
from turnout.types.usage import Usage

CODEC = Ollama()
HOST = Vendor(name="own", base_url="http://127.0.0.1:11434", codec="ollama")
COUNTED = Usage(input_uncached=7, output_text=5)
COUNTS = {"prompt_eval_count": 7, "eval_count": 5, "total_duration": 9}
CALL = {"id": "call_1", "function": {"index": 0, "name": "look", "arguments": {"at": "Paris"}}}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}


def to(model="qwen3", **facts):
    return Deployment(id="o", vendor=HOST, model=Model(id=f"own/{model}", **facts), upstream_model=model)


def chunk(*, done=False, **message):
    end = {"done_reason": "stop", **COUNTS} if done else {}
    at = "2026-01-01T00:00:00.5Z"
    return {
        "model": "qwen3",
        "created_at": at,
        "message": {"role": "assistant", **message},
        "done": done,
        **end,
    }


def body(value):
    return json.dumps(value, ensure_ascii=False).encode()


def lines(*chunks):
    return b"".join(body(each) + b"\n" for each in chunks)


START = Start(id="", model="qwen3", created=1_767_225_600)
END = chunk(content="", done=True)
SPOKEN = lines(chunk(content="", thinking="Hm."), chunk(content="Par"), chunk(content="is é"), END)
CALLS = lines(chunk(content="", tool_calls=[CALL]), chunk(content="", tool_calls=[CALL]), END)
ANSWER = chunk(content="Paris", thinking="Hm.", tool_calls=[CALL], done=True)


def written(asked, deployment=None):
    request = OpenAIChatDialect().parse(json.dumps({"model": "m", **asked}).encode()).request
    encoded = CODEC.encode(request, deployment or to())
    return json.loads(encoded.http.body), encoded.dropped, encoded.warnings


def hello(**members):
    return {"messages": [{"role": "user", "content": "x"}], **members}


def test_it_keeps_the_contract_of_a_codec():
    check_codec(CODEC, to(), streams=[SPOKEN, CALLS, SPOKEN[:-1]], answers=[body(ANSWER)])


def test_a_conversation_with_tools_and_a_picture_is_written_in_the_formats_own_words():
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": "x"}'}}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    tool = {"type": "function", "function": {"name": "look", "parameters": SCHEMA}}
    sent, dropped, warnings = written(
        {
            "messages": [
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "Where?"}, picture]},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c1", "content": "a city"},
            ],
            "tools": [tool],
            "max_tokens": 9,
            "temperature": 0.5,
            "stop": "END",
            "user": "u",
        }
    )
    assert sent == {
        "model": "qwen3",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Where?", "images": ["AAAA"]},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "c1", "function": {"name": "look", "arguments": {"at": "x"}}}],
            },
            {"role": "tool", "content": "a city", "tool_name": "look", "tool_call_id": "c1"},
        ],
        "stream": False,
        "tools": [tool],
        "options": {"num_predict": 9, "temperature": 0.5, "stop": ["END"]},
    }
    assert (dropped, warnings) == (("user",), ())


@pytest.mark.parametrize(
    ("form", "sent_as"),
    [
        ({"type": "json_object"}, "json"),
        ({"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}, SCHEMA),
    ],
)
def test_the_shape_of_an_answer_is_a_word_or_a_schema(form, sent_as):
    assert written(hello(response_format=form))[0]["format"] == sent_as


@pytest.mark.parametrize(
    ("model", "effort", "think", "warnings"),
    [
        ("qwen3", "none", False, ()),
        ("qwen3", "high", True, ("reasoning_approximated",)),
        ("gpt-oss:20b", "high", "high", ()),
        ("gpt-oss:20b", "minimal", "low", ("reasoning_approximated",)),
    ],
)
def test_effort_is_a_switch_and_for_one_family_a_level(model, effort, think, warnings):
    sent, _, told = written(hello(reasoning_effort=effort), to(model))
    assert (sent["think"], told) == (think, warnings)


def test_a_model_that_cannot_think_is_not_asked_to():
    sent, dropped, _ = written(hello(reasoning_effort="high"), to(capabilities=frozenset({"tools"})))
    assert ("think" in sent, dropped) == (False, ("reasoning_effort",))


@pytest.mark.parametrize(
    "asked",
    [
        {"n": 2},
        {"logprobs": True},
        {"tools": [{"type": "function", "function": {"name": "look"}}], "tool_choice": "required"},
        {
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.test"}}]}
            ]
        },
    ],
)
def test_what_changes_the_answer_and_cannot_be_said_is_refused(asked):
    with pytest.raises(UnsupportedParameter):
        written(hello(**asked) if "messages" not in asked else asked)


def test_an_answer_is_read_with_its_thought_its_calls_and_its_times():
    response = CODEC.decode(HttpResponse(200, {}, body(ANSWER)))
    assert response.choices == (
        Choice(
            parts=(
                Reasoning(text="Hm.", wire="ollama"),
                Text("Paris"),
                ToolCall(id="call_1", name="look", arguments='{"at":"Paris"}'),
            ),
            finish="tool_calls",
            native_finish="stop",
        ),
    )
    assert (response.usage, response.extra, response.created) == (
        COUNTED,
        {"total_duration": 9},
        START.created,
    )


def test_a_stream_becomes_events():
    assert read_stream(CODEC.decoder(), [SPOKEN]) == (
        [
            START,
            ReasoningDelta(text="Hm.", wire="ollama"),
            TextDelta("Par"),
            TextDelta("is é"),
            UsageUpdate(COUNTED),
            Finish(reason="stop", native="stop"),
        ],
        None,
    )


def test_calls_of_several_lines_are_counted():
    events, _ = read_stream(CODEC.decoder(), [CALLS])
    assert events[1:] == [
        ToolDelta(index=0, id="call_1", name="look", arguments='{"at":"Paris"}'),
        ToolDelta(index=1, id="call_1", name="look", arguments='{"at":"Paris"}'),
        UsageUpdate(COUNTED),
        Finish(reason="tool_calls", native="stop"),
    ]


@pytest.mark.parametrize(
    ("stream", "events", "error"),
    [
        (lines(chunk(content="x")), [START, TextDelta("x")], StreamInterrupted),
        (lines(chunk(content="x"), {"error": "out of memory"}), [START, TextDelta("x")], ProviderFailed),
        (lines({"error": "no"}), [], ProviderFailed),
        (b"<html>\n", [], ProviderBadResponse),
    ],
)
def test_a_stream_that_is_not_whole_raises_behind_its_content(stream, events, error):
    assert read_stream(CODEC.decoder(), [stream]) == (events, error)


def test_a_line_without_an_end_is_refused_at_its_limit():
    decoder = CODEC.decoder()
    with pytest.raises(ProviderBadResponse, match="8 MiB"):
        decoder.feed(b'"' * (MAX_LINE + 1))


@pytest.mark.parametrize(
    ("status", "message", "error"),
    [
        (400, "qwen does not support tools", ProviderRejected),
        (400, "input length exceeds the context length", ContextLengthExceeded),
        (404, "model 'x' not found", ProviderModelUnavailable),
        (500, "llama runner terminated", ProviderFailed),
        (503, "server busy, please try again", ProviderOverloaded),
    ],
)
def test_every_failure_has_one_class(status, message, error):
    assert type(CODEC.error(HttpResponse(status, {}, body({"error": message})))) is error


def test_vectors_are_asked_for_and_read_in_order():
    encoded = CODEC.encode_embed(EmbedRequest(model="m", input=("a", "b"), dimensions=8), to())
    said = {"model": "m", "embeddings": [[1, 2], [3, 4]], "prompt_eval_count": 4}
    found = CODEC.decode_embed(HttpResponse(200, {}, body(said)))
    assert (encoded.http.url, json.loads(encoded.http.body)) == (
        "http://127.0.0.1:11434/api/embed",
        {"model": "qwen3", "input": ["a", "b"], "dimensions": 8},
    )
    assert (found.vectors, found.usage) == (((1.0, 2.0), (3.0, 4.0)), Usage(input_uncached=4))


def test_a_clients_own_request_comes_out_as_it_went_in():
    own = {
        "model": "qwen3",
        "messages": [
            {"role": "user", "content": "x", "images": ["AAAA"]},
            {
                "role": "assistant",
                "content": "",
                "thinking": "t",
                "tool_calls": [{"function": {"name": "look", "arguments": {"at": 1}}}],
            },
            {"role": "tool", "content": "y", "tool_name": "look"},
        ],
        "stream": True,
        "options": {"num_ctx": 512, "seed": 1},
        "keep_alive": "5m",
        "think": False,
        "format": "json",
    }
    parsed = OllamaDialect().parse(body(own))
    assert json.loads(CODEC.encode(parsed.request, to()).http.body) == own
    assert json.loads(CODEC.forward(parsed.wire, to(), stream=True).http.body) == own
