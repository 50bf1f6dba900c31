"""`POST /v1/recommend` over the wire."""

import pytest

from tests.server.kit import call, chat, message, rig

KEYED = 'keys: [{name: one, secret: tn_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, allow: ["oai/*"]}]'
AUTH = "Authorization: Bearer tn_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"


@pytest.fixture
async def gate():
    async with rig() as made:
        yield made


async def test_a_request_gets_a_ranking_and_no_upstream_is_called(gate) -> None:
    reply = await call(gate, "/v1/recommend", {"request": chat("turnout/assistant")})
    tree = reply.json()
    assert reply.status == 200
    assert tree["schema"] == "turnout.recommendation/1"
    assert [(r["rank"], r["model"], r["q"], r["sd"]) for r in tree["ranked"]] == [
        (1, "oai/one", None, None),
        (2, "ant/one", None, None),
        (3, "gem/one", None, None),
    ]
    assert tree["ranked"][0]["cost_nusd"]["mean"] > 0
    assert "attempts" not in tree["decision"]
    assert await gate.records() == ()


async def test_every_dialect_can_be_asked_about(gate) -> None:
    contents = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}
    for body in (
        {"dialect": "anthropic", "request": message("turnout/assistant")},
        {"dialect": "gemini", "request": contents, "model": "turnout/assistant"},
    ):
        reply = await call(gate, "/v1/recommend", body)
        assert [r["model"] for r in reply.json()["ranked"]] == ["oai/one", "ant/one", "gem/one"]


async def test_features_are_enough(gate) -> None:
    body = {
        "features": {"tokens_in": 500, "tokens_out": 20},
        "candidates": ["oai/one", "ant/two"],
        "constraints": {"max_cost_usd": 1},
        "top_k": 1,
    }
    tree = (await call(gate, "/v1/recommend", body)).json()
    assert len(tree["ranked"]) == 1
    assert tree["decision"]["input"]["n_tokens"] == 500
    assert tree["decision"]["strategy"] == "recommend"


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, "invalid_request"),
        ({"request": chat(), "features": {"tokens_in": 1}}, "invalid_request"),
        ({"features": {"tokens_in": -1}}, "invalid_request"),
        ({"features": {"tokens_in": 1}, "surprise": 1}, "invalid_request"),
        ({"features": {"tokens_in": 1}, "candidates": ["nobody/x"]}, "model_not_found"),
        ({"features": {"tokens_in": 1}, "constraints": {"data_policy": "zdr"}}, "unsupported_parameter"),
        ({"features": {"tokens_in": 10**7}}, "context_length_exceeded"),
    ],
)
async def test_what_cannot_be_answered_is_said(gate, body, word) -> None:
    reply = await call(gate, "/v1/recommend", body)
    assert reply.header("x-turnout-error-class") == word


async def test_a_key_sees_only_what_it_may_use() -> None:
    async with rig(server=KEYED) as made:
        denied = await call(made, "/v1/recommend", {"features": {"tokens_in": 1}})
        reply = await call(made, "/v1/recommend", {"features": {"tokens_in": 1}}, AUTH)
    assert denied.status == 401
    tree = reply.json()
    assert [(r["id"], r["model"]) for r in tree["ranked"]] == [("c1", "oai/one")]
    assert [c["id"] for c in tree["decision"]["candidates"]] == ["c1"]
    assert "ant/" not in reply.body.decode()
