"""Complete generateContent answers, read."""

import json

import pytest

from tests.codecs.gemini_samples import answer, deployment, frame
from turnout.codecs.base import Glance
from turnout.codecs.gemini import Gemini
from turnout.codecs.gemini.wire import mint_id
from turnout.errors import (
    ContentFiltered,
    InvalidModelOutput,
    ProviderBadResponse,
    ProviderFailed,
    ProviderOverloaded,
    UnsupportedParameter,
)
from turnout.types.chat import ChatResponse, Choice, Media, Native, Reasoning, Text, ToolCall
from turnout.types.embed import EmbedRequest, EmbedResponse
from turnout.types.usage import Usage


def decode(body):
    return Gemini().decode(answer(body))


def test_a_plain_answer():
    body = frame({"text": "Paris"}, finish="STOP", usage={"promptTokenCount": 3, "candidatesTokenCount": 1})
    body["createTime"] = "2025-12-19T23:45:33.943266Z"
    assert decode(body) == ChatResponse(
        id="r1",
        model="gemini-2.5-flash",
        choices=(Choice(parts=(Text("Paris"),), finish="stop", native_finish="STOP"),),
        usage=Usage(input_uncached=3, output_text=1),
        created=1766187933,
        wire="gemini",
        extra={"createTime": "2025-12-19T23:45:33.943266Z"},
    )


def test_every_kind_of_part_keeps_its_signature():
    body = frame(
        {"text": "hm", "thought": True},
        {"thought": True, "thoughtSignature": "s0"},
        {"text": "so", "thoughtSignature": "s1"},
        {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}, "thoughtSignature": "s2"},
        {"inlineData": {"mimeType": "image/png", "data": "QQ=="}, "thoughtSignature": "s3"},
        {"executableCode": {"code": "1"}, "thoughtSignature": "s4"},
        {"inlineData": {"mimeType": "image/png", "data": "QQ=="}, "thought": True},
        {"text": ""},
        finish="STOP",
    )
    (choice,) = decode(body).choices
    assert choice.parts == (
        Reasoning(text="hm", wire="gemini"),
        Reasoning(signature="s0", wire="gemini"),
        Text("so", {"thoughtSignature": "s1"}),
        ToolCall(id="c1", name="f", arguments='{"a":1}', signature="s2"),
        Media(kind="image", mime="image/png", data="QQ==", extra={"thoughtSignature": "s3"}),
        Native("gemini", {"executableCode": {"code": "1"}, "thoughtSignature": "s4"}),
        Native("gemini", {"inlineData": {"mimeType": "image/png", "data": "QQ=="}, "thought": True}),
    )
    assert choice.finish == "tool_calls"


def test_arguments_keep_their_text_without_the_printing_of_the_answer():
    body = b"""{"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": {
      "n": 12345678901234567890123, "x": 1.0, "s": "a  b\\u00e9"
    }}}]}, "finishReason": "STOP"}], "responseId": "r1"}"""
    (call,) = decode(body).choices[0].parts
    assert call == ToolCall(
        id=mint_id("r1|0|0"), name="f", arguments='{"n":12345678901234567890123,"x":1.0,"s":"a  b\\u00e9"}'
    )


def test_calls_without_ids_get_different_ones_in_every_answer():
    body = frame({"functionCall": {"name": "f"}}, {"functionCall": {"name": "f"}}, finish="STOP")
    first = [part.id for part in decode(body).choices[0].parts]
    second = [part.id for part in decode({**body, "responseId": "r2"}).choices[0].parts]
    assert len({*first, *second}) == 4
    del body["responseId"]
    assert len({part.id for part in decode(body).choices[0].parts} - {*first, *second}) == 2


@pytest.mark.parametrize(
    ("word", "finish", "native"),
    [
        ("STOP", "stop", "STOP"),
        ("MAX_TOKENS", "length", "MAX_TOKENS"),
        ("SAFETY", "content_filter", "SAFETY"),
        ("MODEL_ARMOR", "content_filter", "MODEL_ARMOR"),
        ("IMAGE_PROHIBITED_CONTENT", "content_filter", "IMAGE_PROHIBITED_CONTENT"),
        (1, "stop", "STOP"),
        (2, "length", "MAX_TOKENS"),
        (8, "content_filter", "SPII"),
        (99, "stop", "99"),
        ("BRAND_NEW", "stop", "BRAND_NEW"),
    ],
)
def test_finish_reasons_may_be_words_or_numbers(word, finish, native):
    body = frame({"text": "x"}, finish=word)
    (choice,) = decode(body).choices
    assert (choice.finish, choice.native_finish) == (finish, native)
    assert Gemini().glance(answer(body)).finish == finish


def test_a_filtered_answer_may_have_no_content_at_all():
    body = {"candidates": [{"finishReason": "MODEL_ARMOR", "finishMessage": "policy"}]}
    (choice,) = decode(body).choices
    assert choice == Choice(
        parts=(), finish="content_filter", native_finish="MODEL_ARMOR", extra={"finishMessage": "policy"}
    )


def test_a_length_stop_stays_one_with_calls():
    body = frame({"functionCall": {"name": "f", "args": {}}}, finish="MAX_TOKENS")
    assert decode(body).choices[0].finish == "length"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (frame({"text": "x"}, finish="MALFORMED_FUNCTION_CALL"), InvalidModelOutput),
        (frame({"text": "x"}, finish=15), InvalidModelOutput),
        (frame({"text": "x"}, finish="OTHER"), ProviderFailed),
        ({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}, ContentFiltered),
        ({"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}, ProviderOverloaded),
        ({"candidates": []}, ProviderBadResponse),
        ({"candidates": 3}, ProviderBadResponse),
        ({"candidates": [{"content": {"parts": [{"text": 1}]}}]}, ProviderBadResponse),
        (b"<html>", ProviderBadResponse),
        (b"", ProviderBadResponse),
        (b'{"candidates": [{"content": {"parts": [{"text": "\xff"}]}}]}', ProviderBadResponse),
        (b"[" * 100_000, ProviderBadResponse),
        (b"[]", ProviderBadResponse),
    ],
)
def test_failures_inside_a_good_answer_are_failures(body, kind):
    with pytest.raises(kind) as caught:
        decode(body)
    assert type(caught.value) is kind
    assert caught.value.upstream.wire == "gemini"


def test_several_candidates_and_what_they_say_beside_their_parts():
    body = frame({"text": "a"}, finish="STOP", groundingMetadata={"x": 1}, avgLogprobs=-0.5)
    body["candidates"] += frame({"text": "b"}, finish="MAX_TOKENS", index=1)["candidates"]
    first, second = decode(body).choices
    assert first.extra == {"groundingMetadata": {"x": 1}, "avgLogprobs": -0.5}
    assert second == Choice(parts=(Text("b"),), finish="length", native_finish="MAX_TOKENS")


def test_log_probabilities_take_the_form_other_dialects_know():
    result = {
        "chosenCandidates": [{"token": "é", "logProbability": -0.25}],
        "topCandidates": [{"candidates": [{"token": "é", "logProbability": -0.25}, {"token": "e"}]}],
    }
    (choice,) = decode(frame({"text": "é"}, finish="STOP", logprobsResult=result)).choices
    assert choice.logprobs == {
        "content": [
            {
                "token": "é",
                "logprob": -0.25,
                "bytes": [195, 169],
                "top_logprobs": [
                    {"token": "é", "logprob": -0.25, "bytes": [195, 169]},
                    {"token": "e", "logprob": 0.0, "bytes": [101]},
                ],
            }
        ]
    }
    assert choice.extra == {"logprobsResult": result}


@pytest.mark.parametrize(
    ("counted", "usage"),
    [
        (
            {
                "promptTokenCount": 100,
                "cachedContentTokenCount": 40,
                "candidatesTokenCount": 5,
                "thoughtsTokenCount": 7,
                "toolUsePromptTokenCount": 10,
            },
            Usage(input_uncached=70, cache_read=40, output_text=5, reasoning=7),
        ),
        ({"promptTokenCount": 9}, Usage(input_uncached=9, output_text=0)),
        ({"candidatesTokenCount": 9, "thoughtsTokenCount": 1}, Usage(output_text=9, reasoning=1)),
        (
            {
                "promptTokenCount": 100,
                "cachedContentTokenCount": 30,
                "promptTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 40},
                    {"modality": "AUDIO", "tokenCount": 60},
                ],
                "cacheTokensDetails": [{"modality": 4, "tokenCount": 20}],
                "candidatesTokenCount": 12,
                "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 12}],
            },
            Usage(input_uncached=30, cache_read=30, audio_in=40, output_text=0, audio_out=12),
        ),
        (None, Usage()),
    ],
)
def test_counters_are_taken_apart_without_counting_twice(counted, usage):
    body = frame({"text": "x"}, finish="STOP", usage=counted)
    assert decode(body).usage == usage
    assert Gemini().glance(answer(body)).usage == usage


def test_a_stream_that_came_as_one_array_is_read_as_one_answer():
    counted = {"promptTokenCount": 2, "candidatesTokenCount": 2}
    body = json.dumps(
        [
            frame({"text": "hm", "thought": True}),
            frame({"text": "m", "thought": True, "thoughtSignature": "s"}),
            frame({"text": "Pa"}),
            frame({"text": "ris"}),
            frame({"functionCall": {"id": "c", "name": "f"}}, finish="STOP", usage=counted),
        ]
    ).encode()
    assert decode(body) == ChatResponse(
        id="r1",
        model="gemini-2.5-flash",
        choices=(
            Choice(
                parts=(
                    Reasoning(text="hmm", signature="s", wire="gemini"),
                    Text("Paris"),
                    ToolCall(id="c", name="f", arguments="{}"),
                ),
                finish="tool_calls",
                native_finish="STOP",
            ),
        ),
        usage=Usage(input_uncached=2, output_text=2),
        wire="gemini",
    )


def test_a_glance_reads_what_the_engine_needs_and_leaves_the_bytes():
    body = json.dumps(frame({"functionCall": {"name": "f"}}, finish="STOP"), indent=2).encode()
    assert Gemini().glance(answer(body)) == Glance(
        usage=Usage(), finish="tool_calls", upstream_id="r1", model="gemini-2.5-flash", body=body
    )


@pytest.mark.parametrize("name", ["turnout", "\\u0074urnout", "turn\\u006Fut"])
def test_only_turnout_speaks_under_its_name(name):
    body = json.dumps(frame({"text": 'say "turnout"'}, finish="STOP")).encode()
    forged = body[:-1] + b', "' + name.encode() + b'": {"cost_usd": "0"}}'
    assert json.loads(Gemini().glance(answer(forged)).body) == json.loads(body)
    assert Gemini().glance(answer(body)).body == body


def test_texts_become_one_batch_of_embeddings():
    request = EmbedRequest(
        model="m", input=("a", "b"), dimensions=8, user="u", wire="openai_chat", extra={"x": 1}
    )
    encoded = Gemini().encode_embed(request, deployment("gemini-embedding-001"))
    assert encoded.http.url.endswith("/models/gemini-embedding-001:batchEmbedContents")
    assert json.loads(encoded.http.body) == {
        "requests": [
            {
                "model": "models/gemini-embedding-001",
                "content": {"parts": [{"text": text}]},
                "outputDimensionality": 8,
            }
            for text in ("a", "b")
        ]
    }
    assert encoded.dropped == ("x", "user")


def test_tokens_cannot_be_embedded():
    with pytest.raises(UnsupportedParameter, match="takes text only"):
        Gemini().encode_embed(EmbedRequest(model="m", input=((1, 2),)), deployment())


@pytest.mark.parametrize(
    ("body", "response"),
    [
        (
            {"embeddings": [{"values": [0.5, 1]}, {"values": [2, 3]}]},
            EmbedResponse(model="", vectors=((0.5, 1.0), (2.0, 3.0))),
        ),
        (
            {"embedding": {"values": [0.5]}, "usageMetadata": {"promptTokenCount": 4}},
            EmbedResponse(model="", vectors=((0.5,),), usage=Usage(input_uncached=4)),
        ),
    ],
)
def test_vectors_are_read_from_both_methods(body, response):
    assert Gemini().decode_embed(answer(body)) == response


@pytest.mark.parametrize(
    "body", [{}, {"embeddings": [{"values": []}]}, b"nope", {"embeddings": [{"values": ["a"]}]}]
)
def test_an_answer_without_vectors_is_a_bad_response(body):
    with pytest.raises(ProviderBadResponse):
        Gemini().decode_embed(answer(body))
