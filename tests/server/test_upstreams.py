"""Upstreams that are dead, slow, hostile or lying: one clear class each, and nothing leaks."""

import asyncio
import gzip
import json
import logging

import pytest

from tests.server.kit import SECRET, Fault, call, chat, frames, gateway, message
from tests.server.kit import rig as start
from turnout.testing.misbehaving import End, Misbehaving

GOOD = {
    "id": "x",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


def http(body, *lines, status="200 OK", length=None):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"HTTP/1.1 {status}", "content-type: application/json", *lines]
    if length != "none":
        head.append(f"content-length: {len(data) if length is None else length}")
    return "\r\n".join([*head, "\r\n"]).encode() + data


def behind(base, codec="openai_chat"):
    return f"""
server: {{port: 0}}
journal: {{enabled: false}}
max_retries: 0
timeouts: {{first_byte_s: 0.2, idle_s: 0.2, connect_s: 0.2}}
providers: {{up: {{codec: {codec}, base_url: "{base}", auth: bearer, secret: {SECRET}}}}}
models: [up/m]
"""


LIES = {
    "less than promised": ((http(GOOD, length=9999), End.CLOSE), "stream_interrupted"),
    "more than promised": ((http(GOOD, length=10), End.CLOSE), "provider_bad_response"),
    "garbage json": ((http(b'{"id": "x", "choices": [{'),), "provider_bad_response"),
    "not an answer": ((http({"hello": "world"}),), "provider_bad_response"),
    "array": ((http(b"[]"),), "provider_bad_response"),
    "no choices": ((http({**GOOD, "choices": []}),), "provider_bad_response"),
    "empty": ((http(b""),), "provider_bad_response"),
    "html": ((http(b"<html>502</html>", status="502 Bad Gateway"),), "provider_error"),
    "html 200": ((http(b"<html>welcome</html>"),), "provider_bad_response"),
    "error in 200": (
        (http({"error": {"message": "busy", "type": "server_error", "code": 503}}),),
        "provider_overloaded",
    ),
    "rate in 200": ((http({"error": {"message": "slow down", "code": 429}}),), "provider_rate_limited"),
    "bad utf-8": ((http(b'{"id": "\xff"}'),), "provider_bad_response"),
    "not http": ((b"SSH-2.0-OpenSSH_9\r\n", End.CLOSE), "provider_bad_response"),
    "closed at once": ((End.CLOSE,), "provider_unreachable"),
    "reset": ((End.RESET,), "provider_unreachable"),
    "half a head": ((b"HTTP/1.1 200 OK\r\ncontent-", End.CLOSE), "provider_unreachable"),
    "silent": ((End.HOLD,), "timeout_ttft"),
    "silent after the head": ((http(b"{", length=50), End.HOLD), "timeout_idle"),
    "huge head": ((b"HTTP/1.1 200 OK\r\n" + b"x-a: " + b"a" * 100_000, End.HOLD), "provider_bad_response"),
    "redirect": ((http(b"", "location: http://evil.test/", status="302 Found"),), "provider_bad_response"),
    "401": ((http({"error": {"message": f"bad key {SECRET}"}}, status="401 No"),), "provider_auth"),
    "403": ((http({"error": {"message": "no"}}, status="403 No"),), "provider_auth"),
    "418": ((http({"error": {"message": "teapot"}}, status="418 No"),), "provider_rejected"),
    "500 empty": ((http(b"", status="500 No"),), "provider_error"),
    "599": ((http(b"x", status="599 Odd"),), "provider_error"),
    "204": ((b"HTTP/1.1 204 No Content\r\n\r\n",), "provider_bad_response"),
    "gzip bomb": (
        (http(gzip.compress(b"\0" * 200_000_000), "content-encoding: gzip"),),
        "provider_bad_response",
    ),
}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("lie", LIES)
async def test_a_lie_has_one_class(lie, path):
    steps, word = LIES[lie]
    async with Misbehaving() as upstream:
        upstream.script("/chat/completions", *steps)
        async with gateway(behind(upstream.base)) as rig:
            body = chat("up/m") if "chat" in path else message("up/m")
            reply = await call(rig, path, body)
            record = await rig.record(reply.header("x-turnout-request-id"))
    told = reply.json()["error"]["turnout"]
    assert (told["class"], reply.header("x-turnout-error-class")) == (word, word)
    assert record.outcome.error == word
    assert reply.status >= 400
    assert SECRET not in reply.body.decode()
    assert SECRET not in reply.head.decode("latin-1")


SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
ROLE = b'data: {"id":"x","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
WORD = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'

STREAM_LIES = {
    "nothing": ((SSE, End.CLOSE), "stream_interrupted"),
    "a role and an end": ((SSE, ROLE, End.CLOSE), "stream_interrupted"),
    "half a frame": ((SSE, ROLE, WORD[:30], End.CLOSE), "stream_interrupted"),
    "garbage": ((SSE, b"data: {nope\n\n", End.CLOSE), "provider_bad_response"),
    "an error": (
        (SSE, b'data: {"error":{"message":"busy","code":503}}\n\n', End.CLOSE),
        "provider_overloaded",
    ),
    "an error event": (
        (SSE, b'event: error\ndata: {"error":{"message":"slow down","code":429}}\n\n', End.CLOSE),
        "provider_rate_limited",
    ),
    "html": ((http(b"<html>", "x: y"),), "provider_bad_response"),
    "silence": ((SSE, End.HOLD), "timeout_idle"),
    "comments for ever": ((SSE, *[b": still here\n\n", 0.05] * 20, End.CLOSE), "timeout_ttft"),
    "roles for ever": ((SSE, *[ROLE, 0.05] * 20, End.CLOSE), "timeout_ttft"),
    "a frame too large": ((SSE, b"data: " + b"x" * 9_000_000, End.CLOSE), "provider_bad_response"),
}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("lie", STREAM_LIES)
async def test_a_stream_that_lies_before_content_is_an_ordinary_error(lie, path):
    steps, word = STREAM_LIES[lie]
    async with Misbehaving() as upstream:
        upstream.script("/chat/completions", *steps)
        async with gateway(behind(upstream.base)) as rig:
            body = chat("up/m", stream=True) if "chat" in path else message("up/m", stream=True)
            reply = await call(rig, path, body)
    assert reply.header("content-type") == "application/json"
    assert reply.json()["error"]["turnout"]["class"] == word
    assert reply.status >= 429


BUSY = b'data: {"error":{"message":"busy at host-7.internal","code":503}}\n\n'
AFTER = {
    "closes": ((End.CLOSE,), "stream_interrupted"),
    "resets": ((End.RESET,), "stream_interrupted"),
    "half a frame": ((WORD[:30], End.CLOSE), "stream_interrupted"),
    "garbage": ((b"data: {nope\n\n", End.CLOSE), "provider_bad_response"),
    "falls silent": ((End.HOLD,), "timeout_idle"),
    "an error": ((BUSY, End.CLOSE), "provider_overloaded"),
    "an error and an end": ((BUSY + b"data: [DONE]\n\n", End.CLOSE), "provider_overloaded"),
    "an error in a choice": (
        (b'data: {"choices":[{"index":0,"delta":{},"error":{"message":"busy","code":503}}]}\n\n', End.CLOSE),
        "provider_overloaded",
    ),
}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("lie", AFTER)
async def test_a_stream_that_lies_after_content_is_told_in_the_stream(lie, path):
    steps, word = AFTER[lie]
    async with Misbehaving() as upstream:
        upstream.script("/chat/completions", SSE, ROLE, WORD, *steps)
        async with gateway(behind(upstream.base)) as rig:
            body = chat("up/m", stream=True) if "chat" in path else message("up/m", stream=True)
            reply = await call(rig, path, body)
            record = await rig.record(reply.header("x-turnout-request-id"))
    assert reply.status == 200
    assert b"hi" in reply.body
    assert word.encode() in frames(reply.body)[-2 if "chat" in path else -1]
    assert reply.body.count(b"error_type" if "chat" in path else b"event: error") == 1
    assert b"host-7" not in reply.body
    assert (record.outcome.error, record.outcome.usage_source) == (word, "estimated")


async def test_a_stream_that_never_ends_is_limited_by_the_deadline():
    async with Misbehaving() as upstream:
        upstream.script("/chat/completions", SSE, *[WORD, 0.02] * 200, End.CLOSE)
        async with gateway(behind(upstream.base)) as rig:
            reply = await call(
                rig, "/v1/chat/completions", chat("up/m", stream=True), "x-turnout-timeout-ms: 300"
            )
    assert b"timeout_total" in frames(reply.body)[-2]


async def test_an_upstream_that_is_not_there_is_unreachable_and_then_left_alone():
    async with gateway(behind("http://127.0.0.1:1")) as rig:
        replies = [await call(rig, "/v1/chat/completions", chat("up/m")) for _ in range(12)]
    words = [reply.header("x-turnout-error-class") for reply in replies]
    assert words[0] == "provider_unreachable"
    assert words[-1] == "capacity_exhausted"
    assert (replies[-1].status, int(replies[-1].header("retry-after")) > 0) == (503, True)


async def test_an_answer_that_is_too_large_is_not_read_to_its_end():
    async with Misbehaving() as upstream:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        piece = b"%x\r\n%b\r\n" % (1 << 20, b" " * (1 << 20))
        upstream.script("/chat/completions", head, *[piece] * 40, End.CLOSE)
        async with gateway(behind(upstream.base)) as rig:
            reply = await call(rig, "/v1/chat/completions", chat("up/m"))
    assert reply.json()["error"]["turnout"]["class"] == "provider_bad_response"


# Nothing leaks (S-16, S-64)


PROMPT = "canary-prompt-7d1f"
ANSWER = "canary-answer-93bc"
CLIENT_KEY = "tn_canary_client_key_55aa"
KEYS = f"keys: [{{name: app, secret: {CLIENT_KEY}}}]"


@pytest.fixture
def everything(caplog):
    """All log lines of all loggers, at the finest level."""
    caplog.set_level(logging.DEBUG)
    return caplog


async def visit_all(rig, path, body):
    replies = []
    for fault in (
        "auth",
        "context",
        "garbage",
        "html",
        "error_in_200",
        "cut",
        "close",
        "filtered",
        "model_gone",
    ):
        for name in ("oai-one", "ant-one", "gem-one"):
            rig.behave(name, Fault(kind=fault))
        replies += [
            await call(rig, path, {**body, "stream": stream}, f"x-api-key: {CLIENT_KEY}")
            for stream in (False, True)
        ]
    return replies


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_no_failure_shows_a_secret_or_a_prompt(everything, path):
    async with start(server=KEYS) as rig:
        replies = []
        for model in ("oai/one", "ant/one", "gem/one"):
            body = chat(model, PROMPT) if "chat" in path else message(model, PROMPT)
            replies += await visit_all(rig, path, body)
            rig.built.engine.fleet.keep(())
        bad = [b'{"model": "' + PROMPT.encode(), b'{"a": "\xff' + PROMPT.encode() + b'"}']
        for raw in bad:
            replies.append(await call(rig, path, raw, f"x-api-key: {CLIENT_KEY}"))
        replies.append(await call(rig, path, b"{}", f"x-api-key: {CLIENT_KEY}x"))
        records = await rig.records()
    seen = "\n".join(reply.head.decode("latin-1") + reply.body.decode() for reply in replies)
    quoted = [reply for reply in replies if PROMPT.encode() in reply.body]
    # Only an answer may quote the prompt, as the emulator's does; an error never.
    assert all(reply.status == 200 for reply in quoted)
    for secret in (SECRET, CLIENT_KEY):
        assert secret not in seen
        assert secret not in everything.text
        assert all(secret not in repr(record) for record in records)
    assert PROMPT not in everything.text
    assert all(PROMPT not in repr(record) for record in records)


async def test_a_defect_is_logged_by_place_and_not_by_what_was_worked_on(everything, monkeypatch):
    def explode(*args, **kwargs):
        raise ValueError(f"cannot digest {PROMPT} of {SECRET}")

    async with start() as rig:
        dialect = rig.gateway._dialects["openai_chat"]
        monkeypatch.setattr(type(dialect), "parse", explode)
        reply = await call(rig, "/v1/chat/completions", chat(text=PROMPT))
    assert (reply.status, reply.json()["error"]["code"]) == (500, "internal_error")
    request_id = reply.header("x-turnout-request-id")
    lines = [line for line in everything.text.splitlines() if request_id in line]
    assert len(lines) == 1
    assert "ValueError at" in lines[0]
    assert "explode" in lines[0]
    assert PROMPT not in reply.body.decode() + everything.text
    assert SECRET not in reply.body.decode() + everything.text


async def test_a_defect_in_mid_stream_ends_the_stream_with_an_error(everything, monkeypatch):
    async with start() as rig:
        from turnout.codecs.openai_chat.writer import OpenAIChatStream

        feed = OpenAIChatStream.feed
        n_fed = 0

        def explode(self, events):
            nonlocal n_fed
            n_fed += 1
            if n_fed > 2:
                raise ValueError(PROMPT)
            return feed(self, events)

        monkeypatch.setattr(OpenAIChatStream, "feed", explode)
        rig.behave("ant-one", tokens_per_s=200)
        reply = await call(rig, "/v1/chat/completions", chat("ant/one", stream=True))
        record = await rig.record(reply.header("x-turnout-request-id"))
    assert b'"error_type":"internal"' in frames(reply.body)[-2]
    assert frames(reply.body)[-1] == b"data: [DONE]"
    assert record.outcome.error == "internal"
    assert PROMPT not in everything.text
    assert "ValueError at" in everything.text


async def test_what_clients_do_wrong_fills_no_log(everything):
    async with start() as rig:
        everything.set_level(logging.INFO)
        await call(rig, "/v1/chat/completions", b"{")
        await call(rig, "/v1/nothing", {})
        await call(rig, "/livez", None, "upgrade: websocket", "connection: upgrade", method="GET")
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        writer.write(b"nonsense\r\n\r\n")
        await reader.read()
        writer.close()
    assert [line for line in everything.text.splitlines() if "turnout" in line or "uvicorn" in line] == []
