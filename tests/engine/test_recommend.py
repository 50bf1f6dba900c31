"""Recommending: the router's own decision, ranked and explained, and nothing opened."""

import socket

import pytest

from tests.engine.kit import request, rig
from turnout.client import AsyncClient
from turnout.config import Config, parse_config
from turnout.engine.recommend import Wanted, described
from turnout.errors import Forbidden, InvalidRequest, NoEligibleModel
from turnout.types.ask import Preferences
from turnout.types.principal import Principal
from turnout.types.recommendation import Constraints, Features
from turnout.types.record import Attempt, CostView, Quantiles

CONFIG = """
providers:
  a: {base_url: 'http://a:1/v1', auth: none}
  b: {base_url: 'http://b:1/v1', auth: none}
egress: {allow_http: [a, b]}
models:
  - {model: a/dear, price: {input: 10, output: 30}, capabilities: [tools], region: eu}
  - {model: a/cheap, price: {input: 1, output: 3}, capabilities: []}
  - {model: b/unpriced, region: us}
routes:
  - {name: ordered, models: [b/unpriced, a/cheap, a/dear]}
"""


@pytest.fixture
def no_sockets(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


async def made():
    return await rig({}, config=parse_config(CONFIG, env={}))


async def recommended(model="auto", *, features=None, principal=None, wanted=None, **prefer):
    one = await made()
    asked, given = (request(model), None) if features is None else described(features, model)
    extra = {"principal": principal} if principal else {}
    ask = one.ask(prefer=Preferences(**prefer), given=given, **extra)
    return one.engine.recommend(asked, ask, Wanted(**(wanted or {})))


def ids(found):
    return [each.id for each in found.ranked]


async def test_a_route_is_ranked_as_it_would_be_asked() -> None:
    one = await made()
    found = one.engine.recommend(request("turnout/ordered"), one.ask(), Wanted())
    decision = one.engine.select(request("turnout/ordered"), one.ask())
    assert tuple(ids(found)) == decision.chosen == ("b/unpriced", "a/cheap", "a/dear")
    assert found.decision.reason == "highest_score"
    assert found.ranked[1].reasons == ("next_choice", "cheapest", "quality_unknown", "ttft_unknown")


async def test_what_nobody_measured_is_unknown_and_never_a_guess() -> None:
    found = await recommended("turnout/ordered")
    first = found.ranked[0]
    assert (first.rank, first.model, first.q, first.sd, first.utility) == (1, "b/unpriced", None, None, None)
    assert (first.cost_nusd, first.ttft_s) == (CostView(None, None), Quantiles(None, None))
    assert first.reasons[1:] == ("quality_unknown", "price_unknown", "ttft_unknown")


async def test_listed_models_are_judged_by_quality_cost_and_time() -> None:
    found = await recommended("auto", candidates=("a/dear", "a/cheap", "b/unpriced"))
    assert found.decision.strategy == "recommend"
    assert ids(found) == ["a/cheap", "a/dear", "b/unpriced"]
    assert found.ranked[0].utility > found.ranked[1].utility
    assert found.decision.objective.lambda_ == 8.0


async def test_public_scores_say_how_good_a_model_is() -> None:
    client = AsyncClient(Config())
    found = client.recommend(
        "What is 2+2?", models=["openai/gpt-4o", "openai/gpt-4o-mini"], constraints=Constraints()
    )
    measured = {each.id: each.q for each in found.ranked}
    assert measured["openai/gpt-4o"] > measured["openai/gpt-4o-mini"]


async def test_weights_of_the_caller_make_the_index() -> None:
    client = AsyncClient(Config())
    found = client.recommend(
        "x", models=["openai/gpt-4o", "openai/gpt-4o-mini"], turnout={"weights": {"aider_polyglot": 1}}
    )
    assert "benchmarks" in found.decision.candidates[0].scores
    with pytest.raises(InvalidRequest, match=r"turnout.weights: .*no scores"):
        client.recommend("x", models=["openai/gpt-4o"], turnout={"weights": {"aider_poly": 1}})


def test_no_key_and_no_socket_is_needed(no_sockets) -> None:
    client = AsyncClient(Config())
    found = client.recommend(
        "What is the capital of France?", models=["openai/gpt-5-mini", "anthropic/claude-haiku-4-5"]
    )
    assert sorted(ids(found)) == ["anthropic/claude-haiku-4-5", "openai/gpt-5-mini"]
    assert found.model == found.ranked[0].model


async def test_an_entered_client_counts_its_live_numbers() -> None:
    async with AsyncClient(parse_config(CONFIG + "journal: {enabled: false}\n", env={})) as client:
        seen = Attempt(
            n=1,
            deployment="a/dear",
            model="a/dear",
            provider="a",
            start_s=0,
            ttft_s=0.5,
            duration_s=1,
            outcome="ok",
        )
        client._engine.engine.observe(seen)
        found = client.recommend("x", models=["a/dear"])
    assert found.ranked[0].ttft_s.p50 == pytest.approx(0.5, rel=0.03)


async def test_features_stand_for_the_words() -> None:
    features = Features(
        tokens_in=1234, tokens_out=77, max_tokens=100, modalities=frozenset({"image"}), n_tools=2
    )
    found = await recommended("turnout/ordered", features=features)
    size = found.decision.input
    assert (size.n_tokens, size.max_tokens_out, size.modalities, size.n_tools) == (1234, 100, ("image",), 2)
    assert [(d.filter, d.reason) for c in found.decision.candidates for d in c.filters] == [
        ("capable", "no_image")
    ] * 2
    cost = found.decision.candidates[2].cost_nusd
    assert cost.mean == 1234 * 10_000 + 77 * 30_000


async def test_the_words_of_a_request_are_not_in_the_answer() -> None:
    import msgspec

    client = AsyncClient(parse_config(CONFIG, env={}))
    found = client.recommend("the secret ingredient is mace", model="turnout/ordered")
    assert b"mace" not in msgspec.json.encode(found)


async def test_constraints_drop_with_a_reason() -> None:
    bounds = Constraints(regions=("eu",))
    found = await recommended(candidates=("a/dear", "a/cheap", "b/unpriced"), wanted={"constraints": bounds})
    assert ids(found) == ["a/dear"]
    drops = {c.id: [(d.filter, d.reason) for d in c.filters] for c in found.decision.candidates}
    assert drops["a/cheap"] == [("allowed", "region_unknown")]
    assert drops["b/unpriced"] == [("allowed", "region_not_allowed")]


async def test_a_cost_cap_drops_the_dear_and_the_unpriced() -> None:
    bounds = Constraints(max_cost_usd=0.001)
    found = await recommended(candidates=("a/dear", "a/cheap", "b/unpriced"), wanted={"constraints": bounds})
    assert ids(found) == ["a/cheap"]


async def test_a_deployment_seen_too_slow_is_dropped() -> None:
    one = await made()
    seen = Attempt(
        n=1,
        deployment="a/cheap",
        model="a/cheap",
        provider="a",
        start_s=0,
        ttft_s=3,
        duration_s=4,
        outcome="ok",
    )
    one.engine.observe(seen)
    wanted = Wanted(constraints=Constraints(max_ttft_ms=1500))
    ask = one.ask(prefer=Preferences(candidates=("a/cheap", "a/dear")))
    found = one.engine.recommend(request("auto"), ask, wanted)
    assert ids(found) == ["a/dear"]
    with pytest.raises(NoEligibleModel, match="ttft_over_cap"):
        one.engine.recommend(request("a/cheap"), one.ask(), wanted)


async def test_top_k_names_that_many() -> None:
    assert ids(await recommended("turnout/ordered", wanted={"top_k": 2})) == ["b/unpriced", "a/cheap"]


async def test_what_a_key_may_not_use_is_not_told() -> None:
    found = await recommended("turnout/ordered", principal=Principal(allow=("a/*",)))
    assert [c.id for c in found.decision.candidates] == ["a/cheap", "a/dear"]
    with pytest.raises(Forbidden):
        await recommended("turnout/ordered", principal=Principal(allow=("z/*",)))


async def test_equal_requests_get_equal_rankings() -> None:
    assert (await recommended("turnout/ordered")).ranked == (await recommended("turnout/ordered")).ranked
