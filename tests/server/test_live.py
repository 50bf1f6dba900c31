"""Gemini's live sessions over real sockets: a client, the gateway, an emulated upstream (ADR 155)."""

import asyncio
import base64
import json
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.server.kit import SECRET, Emulator, Fault, dialects, gateway, serving, until
from tests.server.test_realtime import revoke

KEY = "tn_live_4f1c9a7e2b6d8035"
PATH = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
PRICE = "price: {input: 4, output: 16, audio_in: 32, audio_out: 64}"
TEXT = {"responseModalities": ["TEXT"]}


def config_text(base: str, extra: str = "") -> str:
    facts = f"capabilities: [realtime], context_window: 1000, max_output: 1000, {PRICE}"
    return f"""
server: {{port: 0, keys: [{{name: speaker, secret: {KEY}}}]}}
retry: {{enabled: false}}
ledger: {{store: memory}}
providers:
  gem: {{vendor: gemini, base_url: "{base}/v1beta", secret: {SECRET}}}
  oai: {{vendor: openai, base_url: "{base}/v1", secret: {SECRET}}}
models:
  - {{model: gem/talk, upstream_model: gem-talk, {facts}}}
  - {{model: gem/spare, upstream_model: gem-spare, {facts}}}
  - {{model: gem/mute, upstream_model: gem-mute, capabilities: [tools], {PRICE}}}
  - {{model: oai/talk, upstream_model: oai-talk, {facts}}}
routes:
  - {{name: speech, models: [gem/mute, oai/talk, gem/talk, gem/spare]}}
default_route: speech
{extra}
"""


@asynccontextmanager
async def speaking(extra: str = ""):
    emulator = Emulator(dialects())
    async with serving(emulator) as base, gateway(config_text(base, extra)) as rig:
        rig.emulator = emulator
        yield rig


def dial(rig, path: str = PATH, key: str | None = KEY, **options):
    headers = {} if key is None else {"x-goog-api-key": key}
    return connect(f"ws://127.0.0.1:{rig.port}{path}", additional_headers=headers, max_queue=None, **options)


async def begin(socket, model="models/gem/talk", **setup):
    """Open a session; return the upstream's first message."""
    await socket.send(json.dumps({"setup": {"model": model, **setup}}))
    return await heard_one(socket)


async def heard_one(socket):
    raw = await asyncio.wait_for(socket.recv(), 30)
    assert isinstance(raw, bytes)
    return json.loads(raw)


async def say(socket, text):
    turn = {"role": "user", "parts": [{"text": text}]}
    await socket.send(json.dumps({"clientContent": {"turns": [turn], "turnComplete": True}}))


async def turn(socket):
    """Every message up to the end of the model's turn."""
    found = []
    while not found or "turnComplete" not in found[-1].get("serverContent", {}):
        found.append(await heard_one(socket))
    return found


async def closing(socket):
    """The code and reason a session is closed with."""
    try:
        while True:
            await asyncio.wait_for(socket.recv(), 30)
    except ConnectionClosed as closed:
        return closed.rcvd.code, closed.rcvd.reason


async def talk_on(socket):
    """Ask and listen, for as long as the session lasts."""
    while True:
        await say(socket, "one two three four five six seven eight nine ten")
        await turn(socket)


async def recorded(rig):
    await until(lambda: not rig.gateway.n_open)
    return (await rig.records())[-1]


async def test_a_session_passes_both_ways_and_is_paid_turn_by_turn():
    async with speaking() as rig:
        async with dial(rig) as socket:
            assert await begin(socket) == {"setupComplete": {"sessionId": "live_emulated"}}
            await say(socket, "one two three")
            spoken = await turn(socket)
            sound = base64.b64encode(bytes(24_000)).decode()
            blob = {"mimeType": "audio/pcm;rate=16000", "data": sound}
            await socket.send(json.dumps({"realtimeInput": {"audio": blob}}).encode())
            await socket.send(json.dumps({"realtimeInput": {"text": "four five"}}))
            await turn(socket)
        record = await recorded(rig)
    assert [list(each) for each in spoken] == [*[["serverContent"]] * 4, ["serverContent", "usageMetadata"]]
    outcome = record.outcome
    assert (record.endpoint, record.dialect, record.principal, outcome.error, outcome.cost_state) == (
        *("realtime", "gemini_live", "speaker"),
        None,
        "exact",
    )
    usage = outcome.usage
    assert (usage.audio_in, usage.audio_out, usage.output_text) == (10, 5, 0)
    assert outcome.cost_nusd == usage.input_uncached * 4_000 + 10 * 32_000 + 5 * 64_000
    assert usage.n_input == rig.emulator.served["gem-talk"].input_tokens
    assert [(a.model, a.outcome, a.status, a.upstream_id) for a in record.attempts] == [
        ("gem/talk", "ok", 101, "live_emulated")
    ]


async def test_a_tool_is_called_and_both_prompts_are_paid():
    async with speaking() as rig:
        async with dial(rig) as socket:
            await begin(socket, generationConfig=TEXT)
            await say(socket, "use the tool")
            called = await heard_one(socket)
            response = {"id": "call_1", "name": "weather", "response": {"sky": "rain"}}
            await socket.send(json.dumps({"toolResponse": {"functionResponses": [response]}}))
            said = await turn(socket)
        record = await recorded(rig)
    assert called["toolCall"]["functionCalls"][0]["name"] == "weather"
    words = [
        part["text"] for each in said for part in each["serverContent"].get("modelTurn", {}).get("parts", ())
    ]
    assert "".join(words) == "use the tool"
    served = rig.emulator.served["gem-talk"]
    usage = record.outcome.usage
    assert (usage.n_input, usage.n_output) == (served.input_tokens, served.output_tokens)


async def test_whoever_may_not_come_in_is_told_so_by_an_http_answer():
    async with speaking("realtime: {origins: [https://app.test]}") as rig:
        found = {}
        for name, options in (
            ("no key", {"key": None}),
            ("a wrong key", {"key": "tn_wrong"}),
            ("a key in the address", {"path": f"{PATH}?key={KEY}"}),
            ("a query", {"path": f"{PATH}?alt=json"}),
            ("a page of another site", {"origin": "https://evil.test"}),
        ):
            with pytest.raises(InvalidStatus) as refused:
                await dial(rig, **options)
            response = refused.value.response
            found[name] = (response.status_code, json.loads(response.body)["error"]["status"])
    assert found == {
        "no key": (401, "UNAUTHENTICATED"),
        "a wrong key": (401, "UNAUTHENTICATED"),
        "a key in the address": (400, "INVALID_ARGUMENT"),
        "a query": (400, "INVALID_ARGUMENT"),
        "a page of another site": (403, "PERMISSION_DENIED"),
    }
    assert not rig.emulator.served


async def test_a_key_in_the_address_is_taken_where_that_is_wanted():
    async with speaking("realtime: {key_in_query: true}") as rig:
        async with dial(rig, f"/{PATH}?key={KEY}", None) as socket:
            assert await begin(socket) == {"setupComplete": {"sessionId": "live_emulated"}}
        for path, key, status in (
            (f"{PATH}?key=tn_no", None, 401),
            (f"{PATH}?key={KEY}&a=b", None, 400),
            (f"{PATH}?key=tn_other", KEY, 400),
        ):
            with pytest.raises(InvalidStatus) as refused:
                await dial(rig, path, key)
            assert refused.value.response.status_code == status


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        ('{"setup": {"model": "models/gem/mute"}}', "unsupported_parameter: no model can do"),
        ('{"setup": {"model": "models/nobody"}}', "model_not_found: "),
        ('{"setup": {"model": "oai/talk"}}', "unsupported_parameter: "),
        ('{"setup": {}}', "invalid_request: setup.model"),
        ('{"clientContent": {}}', "invalid_request: the first message"),
        ("{", "invalid_request: "),
    ],
)
async def test_what_cannot_be_opened_is_closed_with_the_reason(first, reason):
    async with speaking() as rig:
        async with dial(rig) as socket:
            await socket.send(first)
            code, told = await closing(socket)
        assert (code, told[: len(reason)]) == (1008, reason)
        assert not rig.emulator.served


async def test_another_model_is_tried_when_the_upstream_refuses_the_setup():
    async with speaking() as rig:
        rig.behave("gem-talk", Fault(kind="close"))
        async with dial(rig) as socket:
            await begin(socket, "turnout/speech", generationConfig=TEXT)
            await say(socket, "hello")
            await turn(socket)
        record = await recorded(rig)
    assert [(each.model, each.outcome) for each in record.attempts] == [
        ("gem/talk", "failed"),
        ("gem/spare", "ok"),
    ]


async def test_a_session_is_set_up_once():
    async with speaking() as rig, dial(rig) as socket:
        await begin(socket)
        await socket.send(json.dumps({"setup": {"model": "models/gem/spare"}}))
        assert (await closing(socket))[0] == 1008
        assert (await recorded(rig)).outcome.error == "invalid_request"


async def test_a_session_that_breaks_is_reckoned():
    async with speaking() as rig:
        rig.behave("gem-talk", Fault(kind="cut", after_chunks=2))
        async with dial(rig) as socket:
            await begin(socket)
            await say(socket, "one two three")
            assert (await closing(socket))[0] == 1011
        record = await recorded(rig)
    assert (record.outcome.error, record.outcome.cost_state) == ("stream_interrupted", "estimated")
    assert record.outcome.usage.audio_out == 2 * 3200 // 2560


async def test_a_budget_ends_a_session_and_guards_keep_it_shut():
    budget = "budgets: [{id: small, level: key, usd: 0.2, per: day}]"
    async with speaking(budget) as rig:
        async with dial(rig) as socket:
            await begin(socket)
            with pytest.raises(ConnectionClosed) as closed:
                await talk_on(socket)
        code, reason = closed.value.rcvd.code, closed.value.rcvd.reason
        assert (code, reason.partition(":")[0]) == (1008, "budget_exceeded")
    guards = "guards: {rules: [{name: watch, guard: {type: pii}, mode: monitor, everywhere: true}]}"
    async with speaking(guards) as rig, dial(rig) as socket:
        await socket.send(json.dumps({"setup": {"model": "models/gem/talk"}}))
        code, reason = await closing(socket)
        assert (code, reason.partition(":")[0]) == (1008, "forbidden")
        assert not rig.emulator.served


async def test_whose_key_is_revoked_loses_the_session_that_is_open(monkeypatch):
    monkeypatch.setattr("turnout.server.session.SILENT_PINGS", 1000)
    async with speaking("realtime: {ping_s: 0.05}") as rig, dial(rig) as socket:
        await begin(socket)
        revoke(rig)
        code, reason = await closing(socket)
    assert (code, reason.partition(":")[0]) == (1008, "unauthenticated")
