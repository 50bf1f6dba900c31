"""Token counts, Gemini's vectors and its list of models (WIRE.md 3.3, 3.5, 3.6)."""

import base64

import pytest

from tests.server.kit import call, chat
from turnout.testing.emulator.script import reply_with
from turnout.types.chat import Text

UPSTREAMS = ("oai/one", "ant/one", "gem/one")
TURNS = {"contents": [{"role": "user", "parts": [{"text": "Hi there, you"}]}]}
GOOGLE = "x-goog-api-client: google-genai-sdk/3.0.0"


@pytest.mark.parametrize("model", UPSTREAMS)
async def test_tokens_are_counted_for_the_model_and_nothing_is_sent(rig, model):
    message = {"model": model, "messages": [{"role": "user", "content": "Hi there, you"}]}
    thinking = message | {"thinking": {"type": "enabled", "budget_tokens": 2048}}
    answers = [
        await call(rig, "/v1/messages/count_tokens?beta=true", message),
        await call(rig, "/v1/messages/count_tokens", thinking),
        await call(rig, f"/v1beta/models/{model}:countTokens", TURNS),
        await call(
            rig, f"/v1/models/{model}:countTokens", {"generateContentRequest": {"model": "models/x", **TURNS}}
        ),
    ]
    assert [(each.status, each.json()) for each in answers] == [
        (200, {"input_tokens": 8}),
        (200, {"input_tokens": 8}),
        (200, {"totalTokens": 8}),
        (200, {"totalTokens": 8}),
    ]
    assert {each.header("x-turnout-count") for each in answers} == {"estimate"}
    assert not rig.emulator.served


async def test_a_count_is_refused_where_the_call_would_be(rig):
    message = {"model": "nope", "messages": [{"role": "user", "content": "Hi"}]}
    refused = await call(rig, "/v1/messages/count_tokens", message)
    shapeless = await call(rig, "/v1/messages/count_tokens", {"model": "oai/one"})
    assert (refused.status, refused.json()["error"]["type"]) == (404, "not_found_error")
    assert (shapeless.status, shapeless.json()["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize("base", ["/v1beta/models/oai", "/v1/models/oai", "/v1beta/oai"])
async def test_gemini_clients_get_vectors_one_by_one_and_in_batches(rig, base):
    one = {"content": {"parts": [{"text": "one"}]}, "outputDimensionality": 4}
    batch = await call(rig, f"{base}/vectors:batchEmbedContents", {"requests": [one, one]})
    alone = await call(rig, f"{base}/vectors:embedContent", one)
    assert (batch.status, alone.status) == (200, 200)
    (vector, same), single = batch.json()["embeddings"], alone.json()["embedding"]
    assert vector == same == single
    assert len(single["values"]) == 4


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"requests": []}, "requests"),
        ({}, "requests"),
        ({"requests": [{"content": {"parts": [{"inlineData": {}}]}}]}, "requests[0].content.parts[0]"),
        (
            {
                "requests": [
                    {"content": {"parts": [{"text": "a"}]}, "taskType": "X"},
                    {"content": {"parts": [{"text": "b"}]}},
                ]
            },
            "requests",
        ),
    ],
)
async def test_what_cannot_be_embedded_is_refused_with_its_path(rig, body, param):
    reply = await call(rig, "/v1beta/models/oai/vectors:batchEmbedContents", body)
    assert (reply.status, reply.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert param in reply.json()["error"]["message"]


async def test_googles_clients_list_models_in_their_own_shape(rig):
    by_path = await call(rig, "/v1beta/models?pageSize=50", None, method="GET")
    by_header = await call(rig, "/v1/models", None, GOOGLE, method="GET")
    one = await call(rig, "/v1beta/models/oai/one", None, method="GET")
    assert by_path.json() == by_header.json()
    assert one.json() == by_path.json()["models"][0]
    assert one.json() == {
        "name": "models/oai/one",
        "displayName": "oai/one",
        "version": "",
        "supportedGenerationMethods": ["generateContent", "countTokens"],
        "inputTokenLimit": 100000,
        "outputTokenLimit": 8192,
    }


async def test_a_model_nobody_has_is_missing_in_the_clients_own_words(rig):
    google = await call(rig, "/v1/models/nope", None, GOOGLE, method="GET")
    openai = await call(rig, "/v1/models/nope", None, method="GET")
    anthropic = await call(rig, "/v1/models/nope", None, "anthropic-version: 2023-06-01", method="GET")
    assert google.json()["error"]["status"] == "NOT_FOUND"
    assert openai.json()["error"]["code"] == "model_not_found"
    assert anthropic.json()["error"]["type"] == "not_found_error"


@pytest.mark.parametrize("model", ["oai-one", "ant-one"])
async def test_a_picture_in_base64_for_urls_reaches_other_vendors_in_the_usual_one(rig, model):
    picture, seen = bytes(range(256)), []

    def answer(request):
        seen.extend(part.data for part in request.messages[0].parts)
        return reply_with(request, (Text("seen"),), model=model)

    rig.emulator.add(model, answer)
    data = base64.urlsafe_b64encode(picture).decode()
    parts = [{"inlineData": {"mimeType": "image/png", "data": data}}]
    body = {"contents": [{"role": "user", "parts": parts}]}
    await call(rig, f"/v1beta/models/{model.replace('-', '/')}:generateContent", body)
    assert base64.b64decode(seen[0], validate=True) == picture


async def test_an_unknown_verb_is_no_endpoint(rig):
    reply = await call(rig, "/v1beta/models/oai/one:tuneModel", chat())
    assert (reply.status, reply.json()["error"]["status"]) == (404, "NOT_FOUND")
