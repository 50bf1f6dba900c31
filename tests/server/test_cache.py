"""The cache end to end, over real sockets: what a client gets again, what it costs, what is recorded."""

import asyncio
import itertools
import json

import msgspec

from tests.server.kit import call as send
from tests.server.kit import chat, message
from tests.server.kit import rig as start
from turnout.testing.emulator.script import last_user_text, reply_with
from turnout.types.chat import Text

ALICE = "tn_alice_secret_0123456789abcdef"
KEYS = f"keys: [{{name: alice, secret: {ALICE}}}]"
CACHE = """
cache: {replay: chunks}
budgets: [{id: b, level: key, usd: 5, per: lifetime}]
quotas: [{id: q, level: key, of: requests, limit: 1000, per: 1h}]
ledger: {store: memory}
"""
ROUTES = """
  - {name: plain, models: [oai/one], cache: exact}
  - {name: anthropic, models: [ant/one], cache: {mode: exact, sampled: true, tools: true}}
  - {name: gemini, models: [gem/one], cache: exact}
  - {name: none, models: [oai/one], cache: 'off'}
"""


def rig():
    return start(CACHE, routes=ROUTES, server=KEYS)


def call(running, path, body, *headers):
    return send(running, path, body, f"Authorization: Bearer {ALICE}", *headers)


def counted(running, *models):
    """Count what each upstream is asked, and let it answer with the question."""
    seen = []

    def script(request):
        seen.append(request.model)
        return reply_with(request, (Text(f"{last_user_text(request)} " * 20),), model=request.model)

    for model in models:
        running.emulator.add(model, script)
    return seen


def openai(route, text="say it again", **more):
    return "/v1/chat/completions", {**chat(f"turnout/{route}", text), **more}


def anthropic(route, text, **more):
    return "/v1/messages", {**message(f"turnout/{route}", text), **more}


def gemini(route, text, **more):
    verb = "streamGenerateContent?alt=sse" if more.get("stream") else "generateContent"
    body = {"contents": [{"role": "user", "parts": [{"text": text}]}]}
    return f"/v1beta/models/turnout%2F{route}:{verb}", body


def told(reply):
    return reply.header("x-turnout-cache"), reply.header("x-turnout-reason")


VOLATILE = ("created", "id", "responseId")


def settled(body):
    """A body without what is made anew for every answer."""
    lines = []
    for line in body.decode().splitlines():
        if not line.startswith(("data: {", "{")):
            lines.append(line)
            continue
        tree = json.loads(line.removeprefix("data: "))
        tree = {name: value for name, value in tree.items() if name not in VOLATILE}
        if isinstance(tree.get("message"), dict):
            tree["message"].pop("id", None)
        lines.append(json.dumps(tree))
    return lines


async def test_an_answer_given_again_is_the_answer_in_every_dialect():
    async with rig() as running:
        cases = itertools.product(
            (openai, anthropic, gemini), ("plain", "anthropic", "gemini"), (False, True)
        )
        for at, (make, route, stream) in enumerate(cases):
            seen = counted(running, "oai-one", "ant-one", "gem-one")
            path, body = make(route, f"say it again {at}", **({"stream": True} if stream else {}))
            first = await call(running, path, body)
            second = await call(running, path, body)
            one, two = (await running.records())[-2:]
            check_again(first, second, one, two)
            assert (len(seen), one.outcome.cache, stream or "0") == (1, "miss", stream or cost_of(second))


def cost_of(reply):
    return reply.header("x-turnout-cost-usd")


def check_again(first, second, one, two):
    assert (first.status, second.status) == (200, 200)
    assert (told(first)[0], told(second)) == ("miss", ("hit", "cache_hit"))
    assert settled(first.body) == settled(second.body)
    assert len(second.body) > 300
    assert first.header("x-turnout-cache-key") == second.header("x-turnout-cache-key")
    assert second.header("x-turnout-cache-age-s") == "0"
    assert (two.outcome.cost_nusd, two.outcome.cache, two.attempts) == (0, "hit", ())
    assert two.cache.saved_nusd == one.outcome.cost_nusd > 0
    assert (two.decision.kind, two.outcome.error, two.outcome.finish) == ("cached", None, "stop")


async def test_a_hundred_clients_at_once_make_one_call_and_each_counts_as_a_request():
    async with rig() as running:
        running.behave("oai-one", ttft_s=0.1)
        path, body = openai("plain")
        replies = await asyncio.gather(*(call(running, path, body) for _ in range(100)))
        left = (await call(running, path, body)).header("x-ratelimit-remaining-requests")
        records = await running.records()
    assert {reply.status for reply in replies} == {200}
    assert left == str(1000 - 101)
    assert sum(len(each.attempts) for each in records) == 1
    assert sorted(each.outcome.cost_nusd > 0 for each in records) == [False] * 100 + [True]


ASKED = [
    (("x-turnout-cache: bypass",), "bypass"),
    (("x-turnout-cache: refresh",), "refresh"),
    (("cf-aig-skip-cache: true",), "bypass"),
    (("x-portkey-cache-force-refresh: true",), "refresh"),
    (("cache-control: no-cache",), "refresh"),
    (("cache-control: max-age=0",), "refresh"),
    (("cache-control: max-age=600, only-if-cached",), "hit"),
    (("cf-aig-cache-key: mine",), "miss"),
    (("x-openrouter-cache: true", "x-openrouter-cache-ttl: 60"), "hit"),
    (("helicone-cache-enabled: true",), "hit"),
    (("x-bf-cache-ttl: 60s",), "hit"),
]


async def test_what_headers_ask():
    async with rig() as running:
        counted(running, "oai-one")
        path, body = openai("plain")
        await call(running, path, body)
        replies = [await call(running, path, body, *headers) for headers, _ in ASKED]
    assert [reply.header("x-turnout-cache") for reply in replies] == [status for _, status in ASKED]


async def test_what_bodies_and_bad_headers_ask_and_who_wins():
    async with rig() as running:
        seen = counted(running, "oai-one")
        path, body = openai("plain")
        missing = await call(running, path, body, "x-turnout-cache: only")
        kept = await call(running, path, {**body, "cache": {"no-store": True, "ttl": 60}})
        first = await call(running, path, body)
        again = await call(running, path, {**body, "cache": {"no-cache": True}})
        ours = await call(running, path, {**body, "cache": {"no-cache": True}}, "x-turnout-cache: default")
        bypass = {**body, "turnout": {"cache": {"mode": "bypass"}}}
        best = await call(running, path, bypass, "x-turnout-cache: only")
        bad = await call(running, path, body, "cf-aig-cache-ttl: soon")
        off = await call(running, *openai("none"))
    assert (missing.status, missing.json()["error"]["code"]) == (404, "not_cached")
    found = [each.header("x-turnout-cache") for each in (kept, first, again, ours, best)]
    assert found == ["miss", "miss", "refresh", "hit", "bypass"]
    assert (bad.status, off.header("x-turnout-cache"), len(seen)) == (400, None, 5)


async def test_guards_look_at_what_is_given_again_and_put_back_the_callers_own_words():
    guards = """
guards:
  rules:
    - {name: personal, guard: {type: pii}, mode: redact, everywhere: true}
"""
    async with start(guards, routes=ROUTES) as running:
        seen = counted(running, "oai-one")
        said = []
        for address in ("jo@example.org", "al@example.org"):
            path, body = "/v1/chat/completions", chat("turnout/plain", f"Write to {address}")
            reply = await call(running, path, body)
            said.append((reply.header("x-turnout-cache"), address.encode() in reply.body))
    assert said == [("miss", True), ("hit", True)]
    assert len(seen) == 1


async def test_a_policy_that_changes_and_a_model_that_goes_leave_nothing_to_give_again():
    async with rig() as running:
        seen = counted(running, "oai-one", "oai-two")
        path, body = openai("plain")
        await call(running, path, body)
        changed = running.config.replace("{name: plain, models: [oai/one]", "{name: plain, models: [oai/two]")
        running.built.reload(running.parsed(changed))
        reply = await call(running, path, body)
        running.built.reload(running.parsed(running.config))
        back = await call(running, path, body)
    assert (told(reply)[0], told(back)[0], len(seen)) == ("miss", "hit", 2)


async def test_vectors_are_given_again():
    async with start("cache: {default: exact}") as running:
        body = {"model": "oai/vectors", "input": ["one", "two"]}
        first = await call(running, "/v1/embeddings", body)
        second = await call(running, "/v1/embeddings", body)
        other = await call(running, "/v1/embeddings", {**body, "input": ["one"]})
    assert [each.header("x-turnout-cache") for each in (first, second, other)] == ["miss", "hit", "miss"]
    assert first.json()["data"] == second.json()["data"]


async def test_a_question_that_means_the_same_is_answered_alike_under_an_artifact(tmp_path):
    from turnout.learn.cache_card import CacheCard, DataCard
    from turnout.signals.embed import encoder_of

    card = CacheCard(
        encoder=encoder_of("hash").id,
        kind="hash",
        threshold=0.5,
        max_false_hits=0.01,
        confidence=0.95,
        n=1000,
        n_hits=10,
        n_false=0,
        bound=0.003,
        bound_hits=0.26,
        recall=0.1,
        data=DataCard(name="pairs.csv", sha256="0" * 64, n=1000, n_same=400),
        created="2026-01-01",
    )
    (tmp_path / "card.json").write_bytes(msgspec.json.encode(card))
    cache = f"cache: {{semantic: {{artifact: {tmp_path}/card.json}}}}"
    routes = "  - {name: faq, models: [oai/one], cache: semantic}\n"
    async with start(cache, routes=routes) as running:
        seen = counted(running, "oai-one")
        said = [
            await send(running, *openai("faq", text))
            for text in (
                "How do I reset my password?",
                "How can I reset my password?",
                "How do I reset my router?",
                "how do i reset my password",
            )
        ]
        streamed = await send(running, *openai("faq", "How could I reset my password?", stream=True))
        records = await running.records()
    words = [each.header("x-turnout-cache") for each in (*said, streamed)]
    assert words == ["miss", "semantic-hit", "miss", "semantic-hit", "semantic-hit"]
    assert (len(seen), said[1].json()["choices"], b"[DONE]" in streamed.body) == (
        2,
        said[0].json()["choices"],
        True,
    )
    near = records[1].cache.near
    assert (near.key, near.threshold) == (said[0].header("x-turnout-cache-key"), 0.5)
    assert records[2].cache.near.veto == "word"
