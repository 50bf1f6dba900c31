"""Which models a request may go to: names, precedence (WIRE.md 8), and `/v1/explain` telling the same."""

import json
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.server.kit import Fault, call, chat, message
from tests.server.kit import rig as start

TWO_ROUTES = "  - {name: other, models: [gem/two, ant/two]}"


async def chosen(rig, body, *headers, path="/v1/chat/completions"):
    reply = await call(rig, path, body, *headers)
    if reply.status != 200:
        return reply.json()["error"]["code"]
    return reply.header("x-turnout-model"), reply.header("x-turnout-route"), reply.header("x-turnout-reason")


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("oai/one", ("oai/one", "direct", "pinned_by_caller")),
        ("oai/one[1m]", ("oai/one", "direct", "pinned_by_caller")),
        ("turnout/assistant", ("oai/one", "assistant", "highest_score")),
        ("helper", ("oai/one", "assistant", "highest_score")),
        ("fast", ("ant/two", "direct", "pinned_by_caller")),
        ("auto", ("oai/one", "assistant", "highest_score")),
        ("one", "model_not_found"),
        ("turnout/nowhere", "model_not_found"),
        ("oai/one:anything", "model_not_found"),
        ("oai/one:free", "model_not_found"),
        ("oai/one@eu", "model_not_found"),
        ("OAI/ONE", "model_not_found"),
        ("../oai/one", "model_not_found"),
        ("x" * 250, "model_not_found"),
    ],
)
async def test_a_name_means_one_thing(rig, model, found):
    assert await chosen(rig, chat(model)) == found


async def test_bare_names_resolve_where_only_one_model_has_them():
    async with start("  # more\n", edit=lambda text: text.replace("oai/two", "oai/gpt-lonely")) as rig:
        assert await chosen(rig, chat("gpt-lonely")) == ("oai/gpt-lonely", "direct", "pinned_by_caller")


@pytest.mark.parametrize(
    ("body", "headers", "found", "warning"),
    [
        ({"model": "auto"}, ["x-turnout-route: other"], ("gem/two", "other"), None),
        ({"model": "auto"}, ["x-merge-routing-policy-id: other"], ("gem/two", "other"), None),
        ({"model": "auto"}, ["x-portkey-config: other"], ("gem/two", "other"), None),
        ({"model": "auto", "turnout": {"route": "other"}}, [], ("gem/two", "other"), None),
        ({"model": "auto", "preset": "other"}, [], ("gem/two", "other"), None),
        (
            {"model": "auto", "turnout": {"route": "other"}},
            ["x-turnout-route: assistant"],
            ("gem/two", "other"),
            "route_ignored",
        ),
        (
            {"model": "turnout/assistant", "turnout": {"route": "other"}},
            [],
            ("gem/two", "other"),
            "route_ignored",
        ),
        (
            {"model": "turnout/assistant"},
            ["x-turnout-route: other"],
            ("oai/one", "assistant"),
            "route_ignored",
        ),
        (
            {"model": "auto", "preset": "assistant"},
            ["x-turnout-route: other"],
            ("gem/two", "other"),
            "route_ignored",
        ),
        ({"model": "turnout/other"}, ["x-turnout-route: other"], ("gem/two", "other"), None),
        ({"model": "ant/one"}, ["x-turnout-route: other"], ("ant/one", "direct"), "route_ignored"),
        ({"model": "ant/one", "turnout": {"route": "other"}}, [], ("ant/one", "direct"), "route_ignored"),
        ({"model": "fast"}, ["x-turnout-route: other"], ("gem/two", "other"), None),
        (
            {"model": "auto", "models": ["ant/one"]},
            ["x-turnout-route: other"],
            ("ant/one", "direct"),
            "route_ignored",
        ),
        ({"model": "auto", "models": ["ant/one", "gem/one"]}, [], ("ant/one", "direct"), None),
        ({"model": "oai/one", "models": ["ant/one"], "route": "fallback"}, [], ("oai/one", "direct"), None),
        ({"model": "auto", "turnout": {"candidates": ["gem/one"]}}, [], ("gem/one", "direct"), None),
        ({"model": "auto", "provider": {"only": ["gem"]}}, [], ("gem/one", "assistant"), None),
        ({"model": "auto", "provider": {"ignore": ["oai"]}}, [], ("ant/one", "assistant"), None),
        ({"model": "auto", "turnout": {"avoid": ["oai/*"]}}, [], ("ant/one", "assistant"), None),
        ({"model": "auto"}, ["x-turnout-allow: gem/*"], ("gem/one", "assistant"), None),
        ({"model": "auto"}, ["cf-aig-allowed-providers: ant"], ("ant/one", "assistant"), None),
    ],
)
async def test_of_several_wishes_the_first_in_rank_wins(body, headers, found, warning):
    async with start(routes=TWO_ROUTES) as rig:
        reply = await call(rig, "/v1/chat/completions", {**chat(), **body}, *headers)
        record = await rig.record(reply.header("x-turnout-request-id"))
    assert reply.status == 200, reply.body
    assert (reply.header("x-turnout-model"), reply.header("x-turnout-route")) == found
    assert reply.header("x-turnout-warnings") == warning
    assert record.warnings == ((warning,) if warning else ())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("fallbacks", ["ant/one"]),
        ("fallbacks", [{"model": "ant/one"}]),
        ("fallbacks", [{"provider": "ant", "model": "one"}]),
        ("models", ["ant/one"]),
        ("turnout", {"fallbacks": ["ant/one"]}),
    ],
)
async def test_listed_fallbacks_are_used_when_the_model_fails(rig, field, value):
    rig.behave("oai-one", Fault(kind="server_error"))
    reply = await call(rig, "/v1/chat/completions", chat(**{field: value}), "x-turnout-retries: 0")
    assert (reply.status, reply.header("x-turnout-model")) == (200, "ant/one")
    alone = await call(rig, "/v1/chat/completions", chat(), "x-turnout-retries: 0")
    assert alone.status == 502


async def test_fallbacks_can_be_forbidden(rig):
    rig.behave("oai-one", Fault(kind="server_error"))
    body = chat("auto", provider={"allow_fallbacks": False})
    reply = await call(rig, "/v1/chat/completions", body, "x-turnout-retries: 0")
    assert (reply.status, reply.header("x-turnout-attempts")) == (502, "1")


async def test_every_attempt_of_a_failure_is_told(rig):
    rig.behave("oai-one", Fault(kind="server_error"))
    rig.behave("ant-one", Fault(kind="rate_limit", retry_after_s=9))
    rig.behave("gem-one", Fault(kind="overloaded"))
    reply = await call(rig, "/v1/chat/completions", chat("auto"), "x-turnout-retries: 0")
    told = reply.json()["error"]["turnout"]
    assert (reply.status, told["class"], reply.header("retry-after")) == (502, "all_attempts_failed", "9")
    assert told["attempts"] == [
        {"n": 1, "model": "oai/one", "class": "provider_error", "status": 500},
        {"n": 2, "model": "ant/one", "class": "provider_rate_limited", "status": 429},
        {"n": 3, "model": "gem/one", "class": "provider_overloaded", "status": 503},
    ]


@pytest.mark.parametrize(
    "field",
    [
        {"api_base": "http://evil.test"},
        {"base_url": "http://evil.test"},
        {"api_key": "sk-x"},
        {"custom_host": "x"},
        {"extra_headers": {"a": "b"}},
        {"fallbacks": [{"model": "oai/one", "api_base": "http://evil.test"}]},
        {"provider": {"order": ["oai"], "base_url": "x"}},
        {"turnout": {"cache": {"api_key": "x"}}},
        {"tensorzero::deny": True},
        {"mock_response": "x"},
        {"debug": True},
        {"turnout": {"rute": "x"}},
        {"turnout": {"constraints": {"max_cost": 1}}},
        {"models": ["m"] * 11},
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_what_is_not_a_callers_to_say_is_refused_by_name(rig, path, field):
    body = chat(**field) if "chat" in path else message("oai/one", **field)
    reply = await call(rig, path, body)
    assert (reply.status, reply.json()["error"]["type"]) == (400, "invalid_request_error")
    assert rig.emulator.served == {}


# Explain


SURFACES = {
    "chat": ("/v1/chat/completions", chat),
    "messages": ("/v1/messages", message),
    "embeddings": ("/v1/embeddings", lambda model, **f: {"model": model, "input": "Hello"}),
}


async def explained(rig, endpoint, body, *headers):
    return await call(rig, "/v1/explain", {"endpoint": endpoint, "request": body}, *headers)


def seeded(rig, seed):
    """Make the gateway draw the same numbers for its next request."""
    rig.built.engine._seeds = Random(seed)


REQUESTS = st.fixed_dictionaries(
    {
        "model": st.sampled_from(
            ["auto", "turnout/assistant", "turnout/drawn", "oai/one", "fast", "helper", "gem/two", "nope"]
        )
    },
    optional={
        "max_tokens": st.sampled_from([1, 100, 8192, 9000, 200_000]),
        "models": st.lists(st.sampled_from(["ant/one", "gem/one", "oai/two"]), max_size=3),
        "fallbacks": st.lists(st.sampled_from(["ant/two", "gem/two"]), max_size=2),
        "provider": st.sampled_from([{"only": ["ant"]}, {"ignore": ["oai"]}, {"max_price": {"prompt": 0.5}}]),
        "turnout": st.sampled_from(
            [
                {"route": "assistant"},
                {"route": "drawn"},
                {"constraints": {"max_cost_usd": 0.001}},
                {"avoid": ["gem/*"]},
            ]
        ),
    },
)


async def test_explain_equals_what_a_real_call_decides():
    """The property over random requests: same candidates, drops, plan and reason, or the same refusal."""
    drawn = "  - {name: drawn, models: [oai/one, ant/one, gem/one], strategy: {type: weighted}}"
    compared = []
    cases = []

    @settings(max_examples=40, deadline=None, derandomize=True, database=None)
    @given(REQUESTS, st.integers(0, 2**32 - 1))
    def collect(body, seed):
        cases.append((body, seed))

    collect()
    async with start(routes=drawn) as rig:
        for body, seed in cases:
            asked = {**chat(), **body}
            seeded(rig, seed)
            told = await explained(rig, "chat", asked)
            seeded(rig, seed)
            real = await call(rig, "/v1/chat/completions", asked, "x-turnout-explain: full")
            if real.status == 200:
                expected, found = real.json()["turnout"]["decision"], told.json()
            else:
                expected, found = real.json()["error"], told.json()["error"]
                expected.pop("turnout")
                found.pop("turnout")
            for each in (expected, found):
                each.pop("decision_id", None)
                for candidate in each.get("candidates", ()):
                    for live in ("ttft_s", "health", "in_flight"):
                        candidate.pop(live, None)
            assert found == expected, body
            assert real.status == told.status
            compared.append(real.status)
    assert compared.count(200) >= 20
    assert set(compared) > {200, 404}


@pytest.mark.parametrize("endpoint", SURFACES)
async def test_explain_speaks_for_each_endpoint_and_sends_nothing(rig, endpoint):
    path, make = SURFACES[endpoint]
    model = "oai/vectors" if endpoint == "embeddings" else "turnout/assistant"
    told = await explained(rig, endpoint, make(model))
    assert rig.emulator.served == {}
    assert await rig.records() == ()
    real = await call(rig, path, make(model))
    decision = told.json()
    assert decision["candidates"][0]["model"] == real.header("x-turnout-model")
    assert decision["asked"]["dialect"] == ("anthropic" if endpoint == "messages" else "openai_chat")
    assert (decision["policy_version"], decision["config_digest"][:7]) == (1, "sha256:")


async def test_explain_of_a_format_whose_model_stands_in_the_address(rig):
    body = {
        "endpoint": "generate_content",
        "model": "turnout/assistant",
        "request": {"contents": [{"parts": [{"text": "Hello"}]}]},
    }
    told = await call(rig, "/v1/explain", body)
    assert (told.status, told.json()["chosen"]) == (200, ["oai/one", "ant/one", "gem/one"])
    del body["model"]
    assert (await call(rig, "/v1/explain", body)).json()["error"]["param"] == "model"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"endpoint": "nope", "request": {}}, "endpoint"),
        ({"endpoint": ["chat"], "request": {}}, "endpoint"),
        ({"endpoint": "chat"}, "request"),
        ({"endpoint": "chat", "request": "text"}, "request"),
        ({"endpoint": "chat", "request": {}, "more": 1}, "more"),
        ({"endpoint": "chat", "request": {"messages": [{"role": "user", "content": "x"}]}}, "model"),
    ],
)
async def test_a_malformed_envelope_is_told_by_its_path(rig, body, param):
    reply = await call(rig, "/v1/explain", body)
    assert (reply.status, reply.json()["error"]["param"]) == (400, param)


async def test_a_key_sees_the_callers_view_of_a_decision():
    keys = "keys: [{name: narrow, secret: tn_narrow_0123456789abcdef, allow: [ant, gem]}]"
    ids = "models: [{model: ant/one, id: secret-deployment-name}, oai/one, gem/one]"
    key = "x-api-key: tn_narrow_0123456789abcdef"

    def edit(text):
        head, _, tail = text.partition("models:\n")
        return head + ids + "\nroutes:" + tail.partition("routes:")[2].replace("ant/two", "ant/one")

    async with start(server=keys, edit=edit) as rig:
        told = (await explained(rig, "chat", chat("turnout/assistant"), key)).json()
        shown = await call(
            rig, "/v1/chat/completions", chat("turnout/assistant"), key, "x-turnout-explain: full"
        )
    for decision in (told, shown.json()["turnout"]["decision"]):
        assert [(c["id"], c["model"]) for c in decision["candidates"]] == [
            ("c1", "ant/one"),
            ("c2", "gem/one"),
        ]
        assert decision["chosen"] == ["c1", "c2"]
        assert decision["plan"] == {"sequence": [{"try": "c1"}, {"try": "c2"}]}
        assert {"rng_seed", "config_digest"} & set(decision) == set()
        assert "secret-deployment" not in json.dumps(decision)
        assert "oai" not in json.dumps(decision)
