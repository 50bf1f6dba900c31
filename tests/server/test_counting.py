"""Tokens counted by the provider that would be asked (ADR 153)."""

import pytest

from tests.server.kit import Fault, call
from tests.server.test_openai_responses import running
from turnout.server.counting import Counters
from turnout.server.till import Till
from turnout.testing.emulator.tasks import COUNTED

KEYS = "keys: [{name: bob, secret: sk-bob-0123456789abc}]"
BOB = "authorization: Bearer sk-bob-0123456789abc"
TURNS = {"contents": [{"role": "user", "parts": [{"text": "Hi there, you"}]}]}
WATCHED = "guards: {rules: [{name: watch, guard: {type: pii}, mode: monitor}]}"
LIMITS = "ledger: {store: memory}\nquotas: [{id: few, level: key, of: requests, limit: 2, per: 1h}]"


def message(model):
    return {"model": model, "messages": [{"role": "user", "content": "Hi there, you"}]}


async def counts(rig, model, *headers):
    """Count by every dialect; return what was told and who counted."""
    answers = [
        await call(rig, "/v1/messages/count_tokens", message(model), *headers),
        await call(rig, f"/v1beta/models/{model}:countTokens", TURNS, *headers),
        await call(rig, "/v1/responses/input_tokens", {"model": model, "input": "Hi there, you"}, *headers),
    ]
    assert [each.status for each in answers] == [200, 200, 200]
    values = [next(v for k, v in each.json().items() if k != "object") for each in answers]
    return list(zip(values, [each.header("x-turnout-count") for each in answers], strict=True))


def started(extra="", **options):
    return running(f"counting: {{providers: [ant, gem, res]}}\n{extra}", **options)


def listen(rig):
    rig.gateway.verbs.counters = Counters(Till(rig.built))


@pytest.mark.parametrize("model", ["ant/one", "gem/one", "res/one"])
async def test_a_provider_that_counts_is_asked_by_every_dialect(model):
    async with started() as rig:
        listen(rig)
        assert await counts(rig, model) == [(COUNTED, "exact")] * 3
        records = await rig.records()
    assert [(r.endpoint, r.outcome.model, r.outcome.error, r.outcome.cost_nusd) for r in records] == [
        ("count", model, None, 0)
    ] * 3


async def test_whatever_stands_in_a_counters_way_the_estimate_is_told():
    async with started() as rig:
        listen(rig)
        rig.behave("ant-one", Fault(kind="server_error"))
        assert await counts(rig, "ant/one") == [(8, "estimate")] * 3
        assert await counts(rig, "oai/one") == [(8, "estimate")] * 3
        failed = [record.outcome.error for record in await rig.records()]
        health = rig.built.engine.health()["ant/one"]
    assert failed == ["provider_error"] * 3
    assert (health.state, health.n_observed) == ("closed", 0)


async def test_what_guards_look_at_is_not_sent_to_be_counted():
    async with started(WATCHED) as rig:
        listen(rig)
        wished = await call(rig, "/v1/messages/count_tokens", message("ant/one") | {"guardrails": ["watch"]})
        assert (wished.status, wished.header("x-turnout-count")) == (200, "estimate")
        assert not rig.emulator.served


async def test_a_counter_takes_requests_of_its_callers_quota_and_no_more_than_there_are():
    async with started(LIMITS, server=KEYS) as rig:
        listen(rig)
        assert await counts(rig, "ant/one", BOB) == [(COUNTED, "exact"), (COUNTED, "exact"), (8, "estimate")]
        refused = await call(rig, "/v1/messages/count_tokens", message("ant/one"))
        assert refused.status == 401
        assert [record.principal for record in await rig.records()] == ["bob", "bob"]
