"""Budgets and quotas as clients meet them."""

import re

import httpx
import pytest

from tests.server.kit import rig
from turnout.server.headers import duration

KEYS = (
    "keys: [{name: alice, secret: tn_alice_secret_0123456789abcdef, team: blue}, "
    "{name: bob, secret: tn_bob_secret_0123456789abcdef0, team: blue}]"
)
ASK = {"model": "oai/one", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}


def headers(name):
    return {"authorization": f"Bearer tn_{name}_secret_0123456789abcdef{'0' if name == 'bob' else ''}"}


async def post(url, name, path="/v1/chat/completions", body=ASK):
    async with httpx.AsyncClient() as client:
        return await client.post(url + path, json=body, headers=headers(name))


async def test_a_quota_is_told_on_every_answer_and_refuses_with_when_to_come_back():
    quotas = (
        "ledger: {store: memory}\nquotas:\n  - {id: rpm, level: key, of: requests, limit: 2, per: 1m}\n"
        "  - {id: tpm, level: team, of: tokens, limit: 1000, per: 1m}"
    )
    async with rig(quotas, server=KEYS) as gateway:
        first = await post(gateway.url, "alice")
        assert first.status_code == 200
        told = {name: value for name, value in first.headers.items() if "ratelimit" in name}
        assert told["x-ratelimit-limit-requests"] == "2"
        assert told["x-ratelimit-remaining-requests"] == "1"
        assert re.fullmatch(r"1m[01]s", told["x-ratelimit-reset-requests"])
        assert told["x-ratelimit-limit-tokens"] == "1000"
        assert int(told["x-ratelimit-remaining-tokens"]) < 1000
        claude = {"model": "ant/one", "messages": ASK["messages"], "max_tokens": 20}
        second = await post(gateway.url, "alice", "/v1/messages", claude)
        assert second.headers["anthropic-ratelimit-requests-remaining"] == "0"
        assert re.fullmatch(
            r"20\d\d-\d\d-\d\dT[\d:]{8}Z", second.headers["anthropic-ratelimit-requests-reset"]
        )
        third = await post(gateway.url, "alice")
        assert third.status_code == 429
        error = third.json()["error"]
        assert (error["code"], error["message"]) == (
            "rate_limit_exceeded",
            "the limit is 2 requests for this key a minute: 2 are used",
        )
        assert 1 <= int(third.headers["retry-after"]) <= 61
        assert third.headers["x-ratelimit-remaining-requests"] == "0"
        assert (await post(gateway.url, "bob")).status_code == 200


async def test_a_spent_budget_is_refused_in_the_clients_dialect_and_recorded():
    budgets = "ledger: {store: memory}\nbudgets: [{id: b, level: key, usd: 0.00000001, per: lifetime}]"
    async with rig(budgets, server=KEYS) as gateway:
        refused = await post(gateway.url, "alice")
        assert refused.status_code == 402
        assert refused.json()["error"]["code"] == "budget_exceeded"
        claude = {"model": "ant/one", "messages": ASK["messages"], "max_tokens": 20}
        refused = await post(gateway.url, "alice", "/v1/messages", claude)
        assert (refused.status_code, refused.json()["error"]["type"]) == (402, "billing_error")
        assert gateway.emulator.served == {}
        assert [record.outcome.error for record in await gateway.records()] == ["budget_exceeded"] * 2


async def test_the_ledger_is_what_the_journal_and_the_upstream_counted():
    budgets = "ledger: {store: memory}\nbudgets: [{id: b, level: team, usd: 1, per: lifetime}]"
    async with rig(budgets, server=KEYS) as gateway:
        for name in ("alice", "bob", "alice"):
            assert (await post(gateway.url, name)).status_code == 200
        limits = gateway.built.engine.snapshot.limits
        ((budget, subject),) = limits.budgets_of([("team", "blue")])
        (used,) = await gateway.built.books.ledger.used([limits.take(budget, subject, 0, 0.0)])
        served = gateway.emulator.served["oai-one"]
        assert used == sum(record.outcome.cost_nusd for record in await gateway.records())
        assert used == served.input_tokens * 1000 + served.output_tokens * 2000


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.0, "0ms"), (0.0061, "7ms"), (1, "1s"), (59.2, "1m0s"), (90, "1m30s"), (7201, "2h0m1s")],
)
def test_a_time_is_written_as_openai_does(seconds, said):
    assert duration(seconds) == said
