"""Formats in the envelopes of clouds."""

import json
from base64 import b64encode

import pytest

from tests.codecs.anthropic_samples import START, STOP, begin, delta, stream
from turnout.codecs.anthropic import Anthropic, AnthropicDialect
from turnout.codecs.bedrock import Bedrock
from turnout.codecs.eventstream import write_event, write_exception
from turnout.codecs.gemini import Gemini
from turnout.codecs.hosts import CARRIES, address_of, compose
from turnout.codecs.openai_chat import OpenAIChat
from turnout.codecs.openai_responses import OpenAIResponses
from turnout.codecs.prompt import Prompt
from turnout.codecs.sse import frames
from turnout.errors import (
    ProviderBadResponse,
    ProviderModelUnavailable,
    ProviderRateLimited,
    StreamInterrupted,
    UnsupportedParameter,
)
from turnout.testing.codec import check_codec, read_stream
from turnout.types.chat import ChatRequest, Message, Text
from turnout.types.deployment import Deployment, Model, Vendor
from turnout.types.embed import EmbedRequest
from turnout.types.event import Finish, Start, TextDelta, UsageUpdate
from turnout.types.http import HttpResponse
from turnout.types.usage import Usage

AZURE = "https://r.openai.azure.com"
PROJECT = "https://eu-aiplatform.googleapis.com/v1/projects/p/locations/eu"
BEDROCK = "https://bedrock-runtime.eu-west-1.amazonaws.com"
EVENTS = stream(
    START,
    begin(0, type="text", text=""),
    delta(0, "text_delta", text="Hi"),
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    STOP,
)


CARRIED = (OpenAIChat(), OpenAIResponses(), Anthropic(), Gemini(), Bedrock(), Prompt())


def framed(events):
    """Put events into frames, as the provider does."""
    return b"".join(chunk(frame.data) for frame in frames(events))


def chunk(data):
    return write_event("chunk", json.dumps({"bytes": b64encode(data).decode(), "p": "ab"}).encode())


def to(url, codec, host, model="m@1", **fields):
    vendor = Vendor(name="cloud", base_url=url, codec=codec, host=host, **fields)
    return Deployment(id="d", vendor=vendor, model=Model(id=f"cloud/{model}"), upstream_model=model)


def ask(**fields):
    return ChatRequest(model="m", messages=(Message("user", (Text("x"),)),), max_tokens=5, **fields)


def client_request(**fields):
    body = {"model": "c", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}], **fields}
    parsed = AnthropicDialect().parse(json.dumps(body).encode())
    return AnthropicDialect().carry(parsed, ((b"anthropic-beta", b"one, two"),))


@pytest.mark.parametrize(
    ("base", "version", "url"),
    [
        (f"{AZURE}/openai/v1", "", f"{AZURE}/openai/v1/chat/completions"),
        (AZURE, "", f"{AZURE}/openai/v1/chat/completions"),
        (
            f"{AZURE}/openai/v1",
            "2024-10-21",
            f"{AZURE}/openai/deployments/my%20gpt/chat/completions?api-version=2024-10-21",
        ),
    ],
)
def test_azure_is_addressed_by_version_or_by_deployment(base, version, url):
    codec = compose("azure", OpenAIChat())
    deployment = to(base, "openai_chat", "azure", "my gpt", api_version=version)
    assert codec.encode(ask(), deployment).http.url == url


def test_azures_answers_as_resources_belong_to_no_deployment_and_its_vectors_do():
    deployment = to(AZURE, "openai_responses", "azure", "gpt", api_version="v")
    sent = compose("azure", OpenAIResponses()).encode(ask(), deployment).http.url
    embed = compose("azure", OpenAIChat()).encode_embed(EmbedRequest(model="m", input=("a",)), deployment)
    assert sent == f"{AZURE}/openai/responses?api-version=v"
    assert embed.http.url == f"{AZURE}/openai/deployments/gpt/embeddings?api-version=v"


@pytest.mark.parametrize(
    ("streams", "verb"), [(False, "generateContent"), (True, "streamGenerateContent?alt=sse")]
)
def test_vertex_is_addressed_by_publisher(streams, verb):
    sent = compose("vertex", Gemini()).encode(
        ask(stream=streams), to(PROJECT, "gemini", "vertex", "gemini-x")
    )
    assert sent.http.url == f"{PROJECT}/publishers/google/models/gemini-x:{verb}"


@pytest.mark.parametrize(("streams", "verb"), [(False, "rawPredict"), (True, "streamRawPredict")])
def test_vertex_takes_the_model_out_of_claudes_body(streams, verb):
    body = client_request(stream=streams)
    codec, deployment = compose("vertex", Anthropic()), to(PROJECT, "anthropic", "vertex", "claude-x@1")
    for sent in (
        codec.encode(body.request, deployment).http,
        codec.forward(body.wire, deployment, stream=streams).http,
    ):
        said = json.loads(sent.body)
        assert sent.url == f"{PROJECT}/publishers/anthropic/models/claude-x@1:{verb}"
        assert ("model" in said, said["anthropic_version"]) == (False, "vertex-2023-10-16")
        assert said.get("stream", False) is streams
        assert b"anthropic-version" not in dict(sent.headers)
        assert dict(sent.headers)[b"anthropic-beta"].replace(b" ", b"") == b"one,two"


@pytest.mark.parametrize(("streams", "verb"), [(False, "invoke"), (True, "invoke-with-response-stream")])
def test_bedrock_takes_model_stream_and_betas_out_of_claudes_call(streams, verb):
    body = client_request(stream=streams)
    codec, deployment = (
        compose("bedrock_invoke", Anthropic()),
        to(BEDROCK, "anthropic", "bedrock_invoke", "a.c:0"),
    )
    for sent in (
        codec.encode(body.request, deployment).http,
        codec.forward(body.wire, deployment, stream=streams).http,
    ):
        assert sent.url == f"{BEDROCK}/model/a.c%3A0/{verb}"
        assert json.loads(sent.body) == {
            "max_tokens": 5,
            "messages": [{"role": "user", "content": "x"}],
            "anthropic_version": "bedrock-2023-05-31",
            "anthropic_beta": ["one", "two"],
        }
        assert dict(sent.headers) == {b"content-type": b"application/json"}


def test_a_codec_in_frames_keeps_the_contract_of_a_codec():
    message = {
        "id": "msg_1",
        "type": "message",
        "model": "c",
        "content": [{"type": "text", "text": "x"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    check_codec(
        compose("bedrock_invoke", Anthropic()),
        to(BEDROCK, "anthropic", "bedrock_invoke"),
        streams=[framed(EVENTS)],
        answers=[json.dumps(message).encode()],
    )


def test_a_framed_stream_reads_as_the_plain_one_and_passes_as_the_plain_one():
    codec = compose("bedrock_invoke", Anthropic())
    plain = read_stream(Anthropic().decoder(), [EVENTS])
    assert read_stream(codec.decoder(), [framed(EVENTS)]) == plain
    tap = codec.tap(strip_usage=False)
    assert tap.feed(framed(EVENTS)) + tap.end() == EVENTS
    assert (tap.done, tap.finish, tap.upstream_id, tap.has_content) == (True, "stop", "msg_1", True)


def test_amazons_own_models_are_invoked_as_converse_says_it():
    codec = compose("bedrock_invoke", Bedrock())
    sent = codec.encode(
        ask(stream=True), to(BEDROCK, "bedrock", "bedrock_invoke", "us.amazon.nova-lite-v1:0")
    )
    assert sent.http.url == f"{BEDROCK}/model/us.amazon.nova-lite-v1%3A0/invoke-with-response-stream"
    assert json.loads(sent.http.body) == {
        "messages": [{"role": "user", "content": [{"text": "x"}]}],
        "inferenceConfig": {"maxTokens": 5},
        "schemaVersion": "messages-v1",
    }
    usage = {"inputTokens": 5, "outputTokens": 2, "cacheReadInputTokenCount": 0}
    said = [
        {"messageStart": {"role": "assistant"}},
        {"contentBlockDelta": {"delta": {"text": "Hi"}, "contentBlockIndex": 0}},
        {"messageStop": {"stopReason": "end_turn"}},
        {"metadata": {"usage": usage}, "amazon-bedrock-invocationMetrics": {"inputTokenCount": 5}},
    ]
    stream = b"".join(chunk(json.dumps(each).encode()) for each in said)
    counted = Usage(input_uncached=5, output_text=2, cache_read=0)
    assert read_stream(codec.decoder(), [stream]) == (
        [
            Start(id="", model=""),
            TextDelta("Hi"),
            Finish(reason="stop", native="end_turn"),
            UsageUpdate(counted),
        ],
        None,
    )


def test_an_exception_behind_content_is_raised_after_it():
    codec = compose("bedrock_invoke", Anthropic())
    begun = framed(stream(START, begin(0, type="text", text=""), delta(0, "text_delta", text="Hi")))
    cut = begun + write_exception("throttlingException", b'{"message":"slow down"}')
    events, failed = read_stream(codec.decoder(), [cut])
    assert ([type(event) for event in events], failed) == ([Start, TextDelta], ProviderRateLimited)
    tap = codec.tap(strip_usage=False)
    assert b"Hi" in tap.feed(cut)
    with pytest.raises(ProviderRateLimited):
        tap.end()
    fresh = codec.tap(strip_usage=False)
    with pytest.raises(ProviderRateLimited):
        fresh.feed(write_exception("throttlingException", b"{}"))


def test_a_framed_stream_that_is_cut_or_holds_nothing_is_a_failure():
    codec = compose("bedrock_invoke", Anthropic())
    assert read_stream(codec.decoder(), [framed(EVENTS)[:-300]])[1] is StreamInterrupted
    assert read_stream(codec.decoder(), [write_event("chunk", b'{"bytes":"?"}')])[1] is ProviderBadResponse
    assert read_stream(codec.decoder(), [write_event("chunk", b"[]")])[1] is ProviderBadResponse


def test_bedrocks_failures_are_in_its_own_words():
    codec = compose("bedrock_invoke", Anthropic())
    said = HttpResponse(404, {"x-amzn-errortype": "ResourceNotFoundException"}, b'{"message":"no"}')
    assert type(codec.error(said)) is ProviderModelUnavailable
    with pytest.raises(UnsupportedParameter):
        codec.encode_embed(EmbedRequest(model="m", input=("a",)), to(BEDROCK, "anthropic", "bedrock_invoke"))


def test_vertex_predicts_vectors():
    codec, deployment = compose("vertex", Gemini()), to(PROJECT, "gemini", "vertex", "text-embedding-004")
    sent = codec.encode_embed(EmbedRequest(model="m", input=("a", "b"), dimensions=8), deployment).http
    assert (sent.url, json.loads(sent.body)) == (
        f"{PROJECT}/publishers/google/models/text-embedding-004:predict",
        {"instances": [{"content": "a"}, {"content": "b"}], "parameters": {"outputDimensionality": 8}},
    )
    vectors = [{"embeddings": {"values": [n, 0], "statistics": {"token_count": 3}}} for n in (1, 2)]
    found = codec.decode_embed(HttpResponse(200, {}, json.dumps({"predictions": vectors}).encode()))
    assert (found.vectors, found.usage) == (((1.0, 0.0), (2.0, 0.0)), Usage(input_uncached=6))
    for body in (b"{}", b"[]", b"x"):
        with pytest.raises(ProviderBadResponse):
            codec.decode_embed(HttpResponse(200, {}, body))


def test_the_global_location_stands_in_no_host_name():
    url = "https://global-aiplatform.googleapis.com/v1/projects/p/locations/global"
    assert address_of(url) == "https://aiplatform.googleapis.com/v1/projects/p/locations/global"
    assert address_of(PROJECT) == PROJECT


def test_every_host_composes_with_what_it_carries():
    known = {c.wire: c for c in CARRIED}
    for host, wires in CARRIES.items():
        for wire in wires:
            assert compose(host, known[wire]).wire == wire
