"""Calls of providers' counters, as recordings have them."""

import base64
import json

import pytest

from tests.codecs.recorded import exchanges
from turnout.codecs.counting import counted, counting, has_counter
from turnout.errors import ProviderBadResponse
from turnout.types.deployment import Deployment, Model, Vendor
from turnout.types.http import HttpRequest, HttpResponse

BODY = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1, "stream": False}


def to(codec, url, host=None, model="m"):
    vendor = Vendor(name="v", base_url=url, codec=codec, host=host)
    return Deployment(id="v/m", vendor=vendor, model=Model(id="v/m"), upstream_model=model)


def asked(deployment, url, body):
    call = HttpRequest("POST", url, ((b"x", b"y"),), json.dumps(body).encode())
    found = counting(call, deployment)
    assert (found.method, found.headers) == ("POST", ((b"x", b"y"),))
    return found.url, json.loads(found.body)


def test_each_counter_is_asked_as_its_maker_has_it():
    turns = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
    words = [{"role": "user", "content": [{"text": "Hi"}]}]
    vertex = "https://v/v1/projects/p/locations/l"
    kept = {"model": "m", "messages": BODY["messages"]}
    claude = to("anthropic", vertex, "vertex", "c@1")
    assert asked(to("anthropic", "https://a/v1"), "https://a/v1/messages", BODY) == (
        "https://a/v1/messages/count_tokens",
        kept,
    )
    assert asked(claude, f"{vertex}/publishers/anthropic/models/c@1:rawPredict", BODY) == (
        f"{vertex}/publishers/anthropic/models/count-tokens:rawPredict",
        {**kept, "model": "c@1", "anthropic_version": "vertex-2023-10-16"},
    )
    assert asked(
        to("openai_responses", "https://o/v1"), "https://o/v1/responses", {"input": "Hi", "n": 1}
    ) == ("https://o/v1/responses/input_tokens", {"input": "Hi"})
    assert asked(to("gemini", "https://g/v1beta"), "https://g/v1beta/models/m:generateContent", turns) == (
        "https://g/v1beta/models/m:countTokens",
        {"generateContentRequest": {**turns, "model": "models/m"}},
    )
    google = f"{vertex}/publishers/google/models/m"
    assert asked(to("gemini", vertex, "vertex"), f"{google}:generateContent", {**turns, "labels": {}}) == (
        f"{google}:countTokens",
        turns,
    )
    assert asked(
        to("bedrock", "https://b"), "https://b/model/m/converse", {"messages": words, "inferenceConfig": {}}
    ) == ("https://b/model/m/count-tokens", {"input": {"converse": {"messages": words}}})
    url, body = asked(to("anthropic", "https://b", "bedrock_invoke"), "https://b/model/m/invoke", BODY)
    assert url == "https://b/model/m/count-tokens"
    assert json.loads(base64.b64decode(body["input"]["invokeModel"]["body"])) == BODY


def test_where_nobody_counts_is_known():
    known = (
        to("openai_chat", "https://o"),
        to("cohere", "https://c"),
        to("openai_responses", "https://z", "azure"),
    )
    assert [has_counter(each) for each in known] == [False, False, False]
    assert has_counter(to("gemini", "https://g"))


@pytest.mark.parametrize(
    ("deployment", "body"),
    [
        (to("anthropic", "https://a"), b'{"input_tokens":14}'),
        (to("anthropic", "https://b", "bedrock_invoke"), b'{"inputTokens":14}'),
        (to("bedrock", "https://b"), b'{"inputTokens":14}'),
        (to("gemini", "https://g"), b'{"totalTokens":14,"promptTokensDetails":[]}'),
        (to("openai_responses", "https://o"), b'{"object":"response.input_tokens","input_tokens":14}'),
    ],
)
def test_answers_are_read(deployment, body):
    assert counted(HttpResponse(200, {}, body), deployment) == 14
    for wrong in (b"", b"{}", b"[]", b'{"input_tokens":-1,"inputTokens":"x","totalTokens":null}'):
        with pytest.raises(ProviderBadResponse):
            counted(HttpResponse(200, {}, wrong), deployment)


RECORDED = {
    "anthropic": ("count_tokens", to("anthropic", "https://api.anthropic.com/v1")),
    "openai": ("input_tokens", to("openai_responses", "https://api.openai.com/v1")),
    "gemini": (":countTokens", to("gemini", "https://generativelanguage.googleapis.com/v1beta")),
}
CALLS = {
    "count_tokens": "https://api.anthropic.com/v1/messages",
    "input_tokens": "https://api.openai.com/v1/responses",
    ":countTokens": "{}:generateContent",
}


@pytest.mark.parametrize("provider", RECORDED)
def test_recorded_counters_were_asked_as_they_are_asked_here(shared, provider):
    end, deployment = RECORDED[provider]
    n_seen = 0
    for record in exchanges(
        shared, provider, lambda _method, url, _body: url.partition("?")[0].endswith(end)
    ):
        if record.status != 200:
            continue
        n_seen += 1
        recorded = json.loads(record.request_body)
        url = record.url.partition("?")[0]
        body = {**recorded.get("generateContentRequest", recorded), "stream": False, "max_tokens": 1}
        if end == ":countTokens":
            body = {
                name: value for name, value in body.items() if name not in ("model", "stream", "max_tokens")
            }
            name = url.rpartition("/")[2].removesuffix(end)
            deployment = to("gemini", url.partition("/models/")[0], model=name)
            recorded = {"generateContentRequest": {**body, "model": f"models/{name}"}}
        assert asked(deployment, CALLS[end].format(url.removesuffix(end)), body) == (url, recorded)
        (number,) = [
            value for key, value in json.loads(record.response_body).items() if key.endswith("okens")
        ]
        assert counted(HttpResponse(200, {}, record.response_body), deployment) == number
    assert n_seen
