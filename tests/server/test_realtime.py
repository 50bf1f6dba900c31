"""Realtime sessions over real sockets: an official WebSocket client, the gateway, an emulated upstream."""

import asyncio
import base64
import json
import os
from contextlib import asynccontextmanager
from random import Random

import pytest
from msgspec.structs import replace
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.server.kit import (
    SECRET,
    Behaviour,
    Emulator,
    Fault,
    dialects,
    gateway,
    request,
    serving,
    until,
    wire,
)
from turnout.types.secret import Secret
from turnout.types.usage import Usage

KEY = "tn_speech_4f1c9a7e2b6d8035"
PRICE = "price: {input: 4, output: 16, cache_read: 0.4, audio_in: 32, audio_out: 64}"


def config_text(base: str, server: str = "", extra: str = "") -> str:
    facts = f"capabilities: [realtime], context_window: 1000, max_output: 1000, {PRICE}"
    return f"""
server: {{port: 0, keys: [{{name: speaker, secret: {KEY}}}]{server}}}
retry: {{enabled: false}}
ledger: {{store: memory}}
providers:
  oai: {{vendor: openai, base_url: "{base}/v1", secret: {SECRET}}}
models:
  - {{model: oai/talk, upstream_model: oai-talk, {facts}}}
  - {{model: oai/spare, upstream_model: oai-spare, {facts}}}
  - {{model: oai/mute, upstream_model: oai-mute, capabilities: [tools], {PRICE}}}
routes:
  - {{name: speech, models: [oai/mute, oai/talk, oai/spare]}}
default_route: speech
{extra}
"""


@asynccontextmanager
async def speaking(extra: str = "", server: str = ""):
    emulator = Emulator(dialects())
    async with serving(emulator) as base, gateway(config_text(base, server, extra)) as rig:
        rig.emulator = emulator
        yield rig


def dial(rig, query: str = "?model=oai/talk", **options):
    options.setdefault("additional_headers", {"authorization": f"Bearer {KEY}"})
    return connect(f"ws://127.0.0.1:{rig.port}/v1/realtime{query}", max_queue=None, **options)


def said(text: str) -> str:
    part = {"type": "input_text", "text": text}
    item = {"type": "message", "role": "user", "content": [part]}
    return json.dumps({"type": "conversation.item.create", "item": item})


def create(**response) -> str:
    return json.dumps({"type": "response.create", **({"response": response} if response else {})})


async def heard(socket, last: str) -> list[dict]:
    """Every event up to the first of a type."""
    events = []
    while not events or events[-1]["type"] != last:
        events.append(json.loads(await asyncio.wait_for(socket.recv(), 5)))
    return events


async def closing(socket) -> tuple[int, list[dict]]:
    """The code a session is closed with, and every event before it."""
    events = []
    try:
        while True:
            events.append(json.loads(await asyncio.wait_for(socket.recv(), 5)))
    except ConnectionClosed as closed:
        return (closed.rcvd.code if closed.rcvd else 1006), events


async def recorded(rig):
    await until(lambda: not rig.gateway.n_open)
    (record,) = await rig.records()
    return record


async def test_a_session_passes_both_ways_and_is_paid_answer_by_answer():
    async with speaking() as rig:
        async with dial(rig, subprotocols=["realtime"]) as socket:
            assert socket.subprotocol == "realtime"
            assert socket.response.headers["x-turnout-model"] == "oai/talk"
            await socket.send(said("one two three"))
            await socket.send(create())
            types = [event["type"] for event in await heard(socket, "response.done")]
            sound = base64.b64encode(bytes(24_000)).decode()
            await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": sound}))
            await socket.send(create())
            await heard(socket, "response.done")
        record = await recorded(rig)
    spoken = ["response.output_audio_transcript.delta", "response.output_audio.delta"] * 3
    assert types == [
        "session.created",
        "conversation.item.added",
        "response.created",
        *spoken,
        "response.done",
    ]
    outcome = record.outcome
    assert (record.endpoint, record.principal, outcome.error, outcome.cost_state) == (
        "realtime",
        "speaker",
        None,
        "exact",
    )
    assert outcome.usage == Usage(input_uncached=28, cache_read=14, audio_in=10, output_text=6, audio_out=6)
    assert outcome.cost_nusd == 28 * 4_000 + 14 * 400 + 10 * 32_000 + 6 * 16_000 + 6 * 64_000
    assert [(a.model, a.outcome, a.status, a.upstream_id) for a in record.attempts] == [
        ("oai/talk", "ok", 101, "sess_emulated")
    ]
    assert record.content is None
    assert rig.emulator.served["oai-talk"].calls == 1


async def test_every_refusal_is_an_http_answer_and_dials_nobody():
    async with speaking(extra="realtime: {origins: [https://app.test]}") as rig:
        found = {}
        for name, query, options in (
            ("no key", "", {"additional_headers": {}}),
            ("a key in the address", f"?key={KEY}", {}),
            ("a page of another site", "", {"origin": "https://evil.test"}),
            ("a model that does not speak", "?model=oai/mute", {}),
            ("no such model", "?model=nobody", {}),
            ("two models", "?model=a&model=b", {}),
            ("another kind of session", "?intent=transcription", {}),
            ("two keys", "", {"subprotocols": ["realtime", "openai-insecure-api-key.tn_other"]}),
        ):
            with pytest.raises(InvalidStatus) as refused:
                await dial(rig, query, **options)
            response = refused.value.response
            found[name] = (response.status_code, json.loads(response.body)["error"]["code"])
        async with wire(rig) as raw:
            await raw.send(request("/v1/realtime", None, f"Authorization: Bearer {KEY}", method="GET"))
            found["no wish"] = ((reply := await raw.reply()).status, reply.json()["error"]["param"])
        async with wire(rig) as raw:
            wish = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
            key = "Sec-WebSocket-Key: short"
            await raw.send(request("/v1/realtime", None, *wish, key, method="GET"))
            found["no proper wish"] = ((reply := await raw.reply()).status, reply.json()["error"]["param"])
        assert found == {
            "no key": (401, "invalid_api_key"),
            "a key in the address": (400, "invalid_request"),
            "a page of another site": (403, "permission_denied"),
            "a model that does not speak": (400, "unsupported_parameter"),
            "no such model": (404, "model_not_found"),
            "two models": (400, "invalid_request"),
            "another kind of session": (400, "unsupported_parameter"),
            "two keys": (400, "conflicting_credentials"),
            "no wish": (400, "upgrade"),
            "no proper wish": (400, "sec-websocket-key"),
        }
        assert rig.emulator.served == {}
        page = {"origin": "https://app.test", "additional_headers": {}}
        async with dial(rig, subprotocols=["realtime", f"openai-insecure-api-key.{KEY}"], **page) as socket:
            assert (await heard(socket, "session.created"))[0]["session"]["model"] == "oai-talk"


async def test_a_route_leaves_out_who_cannot_speak_and_goes_on_when_one_refuses():
    async with speaking() as rig:
        rig.behave("oai-talk", Fault(kind="close"))
        async with dial(rig, "?model=turnout/speech") as socket:
            assert socket.response.headers["x-turnout-model"] == "oai/spare"
            assert socket.response.headers["x-turnout-fallbacks"] == "1"
        record = await recorded(rig)
    assert [(a.model, a.outcome) for a in record.attempts] == [("oai/talk", "failed"), ("oai/spare", "ok")]


async def test_a_spent_budget_ends_the_session_with_a_word_and_never_overspends():
    # An answer may take 0.096 USD (1,000 tokens in at 32 and 1,000 out at 64 per million); each takes 0.05.
    limit_nusd, worst_nusd = 300_000_000, 96_000_000
    extra = "budgets: [{id: talk, level: key, subject: speaker, usd: 0.3, per: day}]"
    async with speaking(extra) as rig:
        async with dial(rig) as socket:
            await socket.send(said("word " * 499 + "word"))
            for _ in range(20):
                await socket.send(create())
            code, events = await closing(socket)
            reason = socket.protocol.close_rcvd.reason
        record = await recorded(rig)
        done = sum(event["type"] == "response.done" for event in events)
        assert (code, reason, events[-1]["type"], events[-1]["error"]["code"]) == (
            1008,
            "budget_exceeded",
            "error",
            "budget_exceeded",
        )
        assert (done, record.outcome.error) == (5, "budget_exceeded")
        assert limit_nusd - worst_nusd < record.outcome.cost_nusd <= limit_nusd
        with pytest.raises(InvalidStatus) as refused:
            await dial(rig)
        assert refused.value.response.status_code == 402


async def test_a_session_holds_one_place_from_its_beginning_to_its_end():
    extra = "quotas: [{id: lines, level: model, subject: oai/talk, of: concurrent, limit: 1}]"
    async with speaking(extra) as rig:
        async with dial(rig) as socket:
            for _ in range(2):
                await socket.send(create())
                await heard(socket, "response.done")
            with pytest.raises(InvalidStatus) as refused:
                await dial(rig)
            assert refused.value.response.status_code == 503
        await until(lambda: not rig.gateway.n_open)
        async with dial(rig) as socket:
            await heard(socket, "session.created")


async def test_the_model_of_a_session_stays():
    async with speaking() as rig, dial(rig) as socket:
        await heard(socket, "session.created")
        update = {"type": "session.update", "event_id": "e1", "session": {"model": "gpt-other"}}
        await socket.send(json.dumps(update))
        (refused,) = await heard(socket, "error")
        await socket.send('{"type":"session.update","session":{"model":"a"},"session":{}}')
        (ambiguous,) = await heard(socket, "error")
        update["session"] = {"model": "oai/talk", "output_modalities": ["text"]}
        await socket.send(json.dumps(update))
        await heard(socket, "session.updated")
        await socket.send(create())
        types = {event["type"] for event in await heard(socket, "response.done")}
    assert (refused["error"]["code"], refused["error"]["event_id"]) == ("permission_denied", "e1")
    assert ambiguous["error"]["code"] == "duplicate_key"
    assert types == {"response.created", "response.output_text.delta", "response.done"}


async def test_who_leaves_in_mid_answer_pays_for_what_came_of_it():
    async with speaking() as rig:
        rig.behave("oai-talk", Fault(kind="hang", after_chunks=8))
        socket = await dial(rig)
        await socket.send(said("word " * 20))
        await socket.send(create())
        for _ in range(12):
            await socket.recv()
        socket.transport.abort()
        record = await recorded(rig)
    assert (record.outcome.error, record.outcome.cost_state) == ("client_closed", "estimated")
    assert record.attempts[0].outcome == "cancelled"
    assert 0 < record.outcome.usage.audio_out <= 8


async def test_an_upstream_that_breaks_off_is_told_and_blamed():
    async with speaking() as rig:
        rig.behave("oai-talk", Fault(kind="cut", after_chunks=2))
        async with dial(rig) as socket:
            await socket.send(said("a b c d e"))
            await socket.send(create())
            code, events = await closing(socket)
            await socket.wait_closed()
        record = await recorded(rig)
        async with dial(rig, "?model=oai/spare") as socket:
            await socket.send('{"type":"emulator.close"}')
            own = await closing(socket)
    assert (code, events[-1]["error"]["code"]) == (1011, "stream_interrupted")
    assert (record.outcome.error, record.attempts[0].outcome) == ("stream_interrupted", "failed")
    assert own[0] == 4001


async def test_draining_lets_an_answer_end_and_waits_for_nothing_else():
    async with speaking() as rig:
        rig.behave("oai-talk", Fault(kind="hang", after_chunks=1))
        async with dial(rig, "?model=oai/spare") as idle, dial(rig) as busy:
            await heard(idle, "session.created")
            await busy.send(said("one two"))
            await busy.send(create())
            await heard(busy, "response.output_audio.delta")
            for connection in list(rig.server.server_state.connections):
                connection.shutdown()
            idle_code, events = await closing(idle)
            assert rig.gateway.n_open == 1
            rig.gateway.break_off()
            for task in list(rig.server.server_state.tasks):
                task.cancel()
            busy_code, _ = await closing(busy)
        assert (idle_code, events[-1]["error"]["code"], busy_code) == (1001, "gateway_overloaded", 1001)
        await until(lambda: not rig.gateway.n_open)
        words = {record.outcome.error for record in await rig.records()}
    assert words == {"gateway_overloaded"}


async def test_sessions_have_limits_of_time_and_of_number():
    extra = "realtime: {max_session_s: 0.3, max_sessions_per_key: 1}"
    async with speaking(extra) as rig, dial(rig) as socket:
        with pytest.raises(InvalidStatus) as refused:
            await dial(rig)
        assert refused.value.response.status_code == 503
        expired = await closing(socket)
        reasons = [socket.protocol.close_rcvd.reason]
    async with speaking("realtime: {idle_s: 0.2}") as rig, dial(rig) as socket:
        idle = await closing(socket)
        reasons.append(socket.protocol.close_rcvd.reason)
    assert (expired[0], idle[0], reasons) == (1001, 1001, ["session_expired", "session_idle"])


def revoke(rig):
    """Take a key away, and leave another."""
    (key,) = rig.gateway.settings.keys
    rig.gateway.apply(replace(rig.gateway.settings, keys=(replace(key, secret=Secret("tn_another")),)))


async def test_whose_key_is_revoked_loses_the_session_that_is_open(monkeypatch):
    monkeypatch.setattr("turnout.server.session.SILENT_PINGS", 1000)
    async with speaking("realtime: {ping_s: 0.05}") as rig:
        async with dial(rig) as socket:
            await heard(socket, "session.created")
            revoke(rig)
            await asyncio.wait_for(socket.wait_closed(), 30)
            closed = socket.protocol.close_rcvd
        record = await recorded(rig)
    assert (closed.code, closed.reason, record.outcome.error) == (1008, "unauthenticated", "unauthenticated")


async def test_a_client_that_takes_nothing_fills_no_memory_and_is_given_up():
    async with speaking("realtime: {stall_s: 0.3}") as rig:
        rig.emulator.add("oai-talk", behaviour=Behaviour())
        raw = connect(
            f"ws://127.0.0.1:{rig.port}/v1/realtime?model=oai/talk",
            additional_headers={"authorization": f"Bearer {KEY}"},
            max_queue=1,
        )
        socket = await raw
        socket.transport.pause_reading()
        await socket.send(said("word " * 6_000))
        for _ in range(4):
            await socket.send(create())
        record = await recorded(rig)
        socket.transport.abort()
    assert record.outcome.error == "client_closed"
    assert record.outcome.cost_state == "estimated"


def handshake() -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    wish = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    bearer = f"Authorization: Bearer {KEY}"
    path = "/v1/realtime?model=oai/talk"
    return request(path, None, *wish, f"Sec-WebSocket-Key: {key}", bearer, method="GET")


def masked(opcode: int, data: bytes) -> bytes:
    return bytes([0x80 | opcode, 0x80 | 126]) + len(data).to_bytes(2, "big") + bytes(4) + data


async def test_broken_frames_end_one_session_and_nothing_else():
    rng = Random(5)
    cases = {
        "no mask": (b"\x81\x02{}", 1002),
        "not UTF-8": (masked(1, b'{"type": "\xff"}'), 1007),
        "too long": (bytes([0x81, 0xFF]) + (1 << 40).to_bytes(8, "big"), 1009),
        "no message to go on with": (masked(0, b"{}"), 1002),
        **{f"noise {n}": (b"\xf7" + rng.randbytes(64), 1002) for n in range(8)},
    }
    async with speaking("realtime: {max_message_mib: 0.1}") as rig:
        found = {}
        for name, (frame, _) in cases.items():
            async with wire(rig) as raw:
                await raw.send(handshake() + frame)  # behind the head, as a hasty client would
                status, _, _ = await raw.head()
                rest = await raw.rest()
                at = max(rest.rfind(code.to_bytes(2, "big")) for code in (1002, 1003, 1007, 1009))
                found[name] = (status, int.from_bytes(rest[at : at + 2], "big"))
        async with wire(rig) as raw:  # gone in the middle of a frame
            await raw.send(handshake() + masked(1, b'{"type":')[:9])
            await raw.head()
        await until(lambda: not rig.gateway.n_open)
        async with dial(rig) as socket:
            await heard(socket, "session.created")
            await socket.send(b"sound")
            assert (await closing(socket))[0] == 1003
    assert found == {name: (101, code) for name, (_, code) in cases.items()}


async def test_where_guards_apply_nothing_is_spoken():
    rule = "{name: words, everywhere: true, guard: {type: words, words: [secret]}}"
    async with speaking(f"guards: {{rules: [{rule}]}}") as rig:
        with pytest.raises(InvalidStatus) as refused:
            await dial(rig)
    assert refused.value.response.status_code == 403
