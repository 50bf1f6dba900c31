"""Event streams byte by byte: frames, keep-alives, the express track, failures after the first byte."""

import asyncio
import json

import pytest

from tests.server.kit import Fault, call, chat, data_of, frames, gateway, message, request, until, wire
from tests.server.kit import rig as start
from turnout.testing.misbehaving import Misbehaving

STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
USAGE = {"include_usage": True}


def chunked(*pieces):
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


def frame(value):
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


def delta(text, **more):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return frame({"id": "up-1", "object": "chat.completion.chunk", "choices": [choice], **more})


FINISH = frame({"id": "up-1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
USED = frame(
    {"id": "up-1", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}
)
DONE = b"data: [DONE]\n\n"


def behind(base, extra="", **server):
    """A configuration with one openai-format upstream at `base`, and one that speaks another format."""
    more = "".join(f", {key}: {value}" for key, value in server.items())
    return f"""
server: {{port: 0{more}}}
journal: {{enabled: false}}
retry: {{enabled: false}}
providers:
  oai: {{codec: openai_chat, base_url: "{base}", auth: none}}
  ant: {{codec: anthropic, base_url: "{base}", auth: none}}
models: [oai/m, ant/m]
{extra}
"""


async def scripted(*steps, body=None, headers=(), path="/chat/completions", **server):
    """Stream one request to an upstream that follows `steps`; return the answer and what the upstream saw."""
    async with Misbehaving() as upstream:
        upstream.script(path, *steps)
        async with gateway(behind(upstream.base, **server)) as rig:
            reply = await call(rig, "/v1/chat/completions", body or chat("oai/m", stream=True), *headers)
            return reply, upstream.requests


@pytest.mark.parametrize("model", ["oai/one", "ant/one", "gem/one"])
async def test_the_head_of_a_stream_is_exact(rig, model):
    reply = await call(rig, "/v1/chat/completions", chat(model, stream=True))
    assert reply.status == 200
    assert reply.header("content-type") == "text/event-stream; charset=utf-8"
    assert reply.header("cache-control") == "no-cache, no-transform"
    assert reply.header("x-accel-buffering") == "no"
    assert reply.header("content-encoding") is None
    assert reply.header("content-length") is None
    assert reply.header("x-turnout-cost-usd") is None


@pytest.mark.parametrize("usage", [True, False], ids=["usage", "plain"])
@pytest.mark.parametrize("model", ["oai/one", "ant/one", "gem/one"])
async def test_chat_frames_are_one_data_line_each(rig, model, usage):
    fields = {"stream_options": USAGE} if usage else {}
    reply = await call(rig, "/v1/chat/completions", chat(model, stream=True, **fields))
    pieces = frames(reply.body)
    assert b"\r" not in reply.body
    assert all(piece.startswith(b"data: ") and piece.count(b"\n") == 0 for piece in pieces)
    assert pieces[-1] == b"data: [DONE]"
    chunks = [data_of(piece) for piece in pieces[:-1]]
    content = chunks[:-1] if usage else chunks
    assert [chunk["object"] for chunk in chunks] == ["chat.completion.chunk"] * len(chunks)
    assert len({(chunk["id"], chunk["model"], chunk["created"]) for chunk in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert [c["choices"][0]["finish_reason"] for c in content] == [None] * (len(content) - 1) + ["stop"]
    assert content[-1]["choices"][0]["delta"] == {}
    if usage:
        assert [chunk["usage"] for chunk in content] == [None] * len(content)
        assert (chunks[-1]["choices"], chunks[-1]["usage"]["total_tokens"] > 0) == ([], True)
    else:
        assert all("usage" not in chunk for chunk in chunks)
    assert all("turnout" not in chunk for chunk in chunks)


@pytest.mark.parametrize("model", ["oai/one", "ant/one", "gem/one"])
async def test_messages_frames_are_named_and_nested(rig, model):
    reply = await call(rig, "/v1/messages", message(model, stream=True))
    pieces = frames(reply.body)
    found = []
    for piece in pieces:
        name, data = piece.split(b"\n")
        found.append(json.loads(data.removeprefix(b"data: "))["type"])
        assert name == b"event: " + found[-1].encode()
    kinds = [kind for kind in found if kind != "ping"]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}
    final = next(data_of(piece) for piece in pieces if b"event: message_delta" in piece)
    assert {"input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"} <= set(
        final["usage"]
    )
    assert reply.header("request-id") == reply.header("x-turnout-request-id")


async def test_each_frame_leaves_when_it_is_made():
    gate = asyncio.Event()
    async with Misbehaving() as upstream:
        upstream.script(
            "/chat/completions",
            STREAM + chunked(delta("one")),
            gate,
            chunked(delta("two"), FINISH, DONE) + b"0\r\n\r\n",
        )
        async with gateway(behind(upstream.base)) as rig, wire(rig) as connection:
            await connection.send(request("/v1/chat/completions", chat("oai/m", stream=True)))
            status, _, _ = await connection.head()
            first = await connection.chunk()
            gate.set()
            rest = b""
            while piece := await connection.chunk():
                rest += piece
    assert (status, first) == (200, delta("one"))
    assert rest == delta("two") + FINISH + DONE


async def test_frames_that_need_no_look_and_those_that_do_arrive_in_their_order():
    plain = [delta(f"word {n}") for n in range(3)]
    sent = [
        delta("first"),
        plain[0],
        delta("forged", turnout={"request_id": "req_forged"}),
        plain[1],
        delta("half")[:20],
        delta("half")[20:],
        plain[2] + plain[2],
        FINISH,
        delta("after the end"),
        DONE,
    ]
    gates = [asyncio.Event() for _ in sent]
    steps = [step for gate, piece in zip(gates, sent, strict=True) for step in (gate, chunked(piece))]
    async with Misbehaving() as upstream:
        upstream.script("/chat/completions", STREAM, *steps, b"0\r\n\r\n")
        async with gateway(behind(upstream.base)) as rig, wire(rig) as connection:
            await connection.send(request("/v1/chat/completions", chat("oai/m", stream=True)))
            gates[0].set()
            await connection.head()
            got = [await connection.chunk()]
            for at in (1, 2, 3):  # each is on its way before the next one comes
                gates[at].set()
                got.append(await connection.chunk())
            for gate in gates[4:]:
                gate.set()
            rest = b""
            while piece := await connection.chunk():
                rest += piece
    assert got == [sent[0], plain[0], delta("forged"), plain[1]]
    assert rest == b"".join((delta("half"), plain[2], plain[2], FINISH, delta("after the end"), DONE))


# The `turnout` object


@pytest.mark.parametrize("usage", [True, False], ids=["usage", "plain"])
@pytest.mark.parametrize("explain", ["summary", "full"])
@pytest.mark.parametrize("model", ["oai/one", "gem/one"])
async def test_the_turnout_object_stands_in_the_last_frame_when_asked_for(rig, model, explain, usage):
    fields = {"stream_options": USAGE} if usage else {}
    body = chat(model, stream=True, **fields)
    reply = await call(rig, "/v1/chat/completions", body, f"x-turnout-explain: {explain}")
    chunks = [data_of(piece) for piece in frames(reply.body)[:-1]]
    assert [at for at, chunk in enumerate(chunks) if "turnout" in chunk] == [len(chunks) - 1]
    told = chunks[-1]["turnout"]
    assert (told["request_id"], told["model"]) == (reply.header("x-turnout-request-id"), model)
    assert (told["provider"], told["attempts"], told["cost_state"]) == (model[:3], 1, "exact")
    assert float(told["cost_usd"]) > 0
    assert ("decision" in told) == (explain == "full")
    assert bool(chunks[-1]["choices"]) is not usage


async def test_the_turnout_object_of_messages_stands_in_the_message_delta(rig):
    reply = await call(rig, "/v1/messages", message("ant/one", stream=True), "x-turnout-explain: summary")
    told = [data_of(piece) for piece in frames(reply.body) if b"turnout" in piece]
    assert [each["type"] for each in told] == ["message_delta"]
    assert told[0]["turnout"]["request_id"] == reply.header("request-id")


@pytest.mark.parametrize("explain", ["none", "summary"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
async def test_a_whole_answer_shows_it_only_when_asked(rig, path, explain):
    body = chat("oai/one") if "chat" in path else message("ant/one")
    reply = await call(rig, path, body, f"x-turnout-explain: {explain}")
    assert ("turnout" in reply.json()) == (explain == "summary")


async def test_no_upstream_forges_the_turnout_object():
    forged = {"request_id": "req_forged", "model": "best/of-all"}
    whole = json.dumps(
        {
            "id": "x",
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
            ],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            "turnout": forged,
        }
    ).encode()
    plain = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(whole)
    async with Misbehaving() as upstream:
        upstream.script("/chat/completions", plain + whole)
        upstream.script(
            "/chat/completions", STREAM + chunked(delta("hi", turnout=forged), FINISH, DONE) + b"0\r\n\r\n"
        )
        async with gateway(behind(upstream.base)) as rig:
            complete = await call(rig, "/v1/chat/completions", chat("oai/m"))
            streamed = await call(rig, "/v1/chat/completions", chat("oai/m", stream=True))
    assert b"forged" not in complete.body + streamed.body
    assert complete.json()["choices"][0]["message"]["content"] == "hi"
    assert b"hi" in streamed.body


# The express track


async def test_fields_nobody_knows_survive_both_ways_on_the_express_track():
    answer = STREAM + chunked(delta("hi", novel={"deep": [1]}), FINISH, USED, DONE) + b"0\r\n\r\n"
    body = chat("oai/m", stream=True, brand_new={"x": 1}, stream_options=USAGE)
    reply, received = await scripted(answer, body=body)
    sent = json.loads(received[0].body)
    assert sent == {**body, "model": "m"}
    assert reply.body == delta("hi", novel={"deep": [1]}) + FINISH + USED + DONE
    assert reply.header("x-turnout-dropped-params") is None


async def test_a_whole_answer_passes_untouched_on_the_express_track():
    choice = b'{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}'
    answer = b'{"id": "x",  "novel": [1, 2.50], "choices": [' + choice + b"]}"
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(answer)
    reply, received = await scripted(head + answer, body=chat("oai/m", brand_new=True))
    assert reply.body == answer
    assert json.loads(received[0].body)["brand_new"] is True


async def test_off_the_express_track_unknown_fields_are_dropped_and_named(rig):
    reply = await call(rig, "/v1/chat/completions", chat("ant/one", brand_new=1, other_new=2))
    assert reply.status == 200
    assert reply.header("x-turnout-dropped-params") == "brand_new,other_new"


async def test_the_answer_names_the_requested_model_where_the_route_says_so():
    extra = "routes: [{name: r, models: [oai/m], response_model: requested}]\ndefault_route: r"
    async with Misbehaving() as upstream:
        upstream.script(
            "/chat/completions", STREAM + chunked(delta("hi", model="m-2026"), FINISH, DONE) + b"0\r\n\r\n"
        )
        async with gateway(behind(upstream.base, extra)) as rig:
            reply = await call(rig, "/v1/chat/completions", chat("auto", stream=True))
    assert {data_of(piece)["model"] for piece in frames(reply.body)[:-1]} == {"auto"}


async def test_headers_of_the_operator_alone_go_upstream():
    answer = STREAM + chunked(delta("hi"), FINISH, DONE) + b"0\r\n\r\n"
    headers = ("cookie: a=b", "x-forwarded-for: 1.2.3.4", "x-custom: secret", "authorization: Bearer mine")
    _, received = await scripted(answer, headers=headers)
    names = set(received[0].headers)
    assert names & {"cookie", "x-forwarded-for", "x-custom", "authorization", "x-turnout-explain"} == set()
    assert len(received[0].headers["x-turnout-hop"]) == 16


async def test_upstream_headers_stay_with_us():
    head = STREAM.replace(
        b"\r\n\r\n", b"\r\nset-cookie: a=b\r\nserver: theirs\r\nlocation: /x\r\nx-their: 1\r\n\r\n"
    )
    reply, _ = await scripted(head + chunked(delta("hi"), FINISH, DONE) + b"0\r\n\r\n")
    assert {name for name, _ in reply.headers} & {"set-cookie", "server", "location", "x-their"} == set()


# Keep-alives


async def test_keep_alives_come_before_the_upstream_answered_and_in_silence():
    gates = [asyncio.Event(), asyncio.Event()]
    steps = (gates[0], STREAM + chunked(delta("one")), gates[1], chunked(FINISH, DONE) + b"0\r\n\r\n")
    async with Misbehaving() as upstream:
        upstream.script("/chat/completions", *steps)
        config = behind(upstream.base, keep_alive_s="0.05")
        async with gateway(config) as rig, wire(rig) as connection:
            await connection.send(request("/v1/chat/completions", chat("oai/m", stream=True)))
            status, headers, _ = await connection.head()
            early = [await connection.chunk(), await connection.chunk()]
            gates[0].set()
            said = await connection.chunk()
            late = [await connection.chunk(), await connection.chunk()]
            gates[1].set()
            rest = b""
            while piece := await connection.chunk():
                rest += piece
    assert (status, dict(headers)["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert "x-turnout-model" not in dict(headers)
    assert {*early, *late} == {b": keep-alive\n\n"}
    assert said == delta("one")
    assert rest.replace(b": keep-alive\n\n", b"") == FINISH + DONE


@pytest.mark.parametrize("model", ["oai/one", "ant/one"])
async def test_messages_clients_get_pings_once_the_message_has_begun(model):
    async with start(server="keep_alive_s: 0.02") as rig:
        rig.behave(model.replace("/", "-"), ttft_s=0.08, tokens_per_s=25)
        reply = await call(rig, "/v1/messages", message(model, text="one two", stream=True))
    before, _, after = reply.body.partition(b"event: message_start")
    assert before.count(b": keep-alive\n\n") >= 1
    assert b"ping" not in before
    assert after.count(b'event: ping\ndata: {"type": "ping"}\n\n') >= 1
    assert b": keep-alive" not in after


async def test_a_keep_alive_does_not_commit_the_choice():
    async with start(server="keep_alive_s: 0.03") as rig:
        rig.behave("oai-one", Fault(kind="server_error"), ttft_s=0.1)
        body = chat("turnout/assistant", stream=True)
        reply = await call(
            rig, "/v1/chat/completions", body, "x-turnout-retries: 0", "x-turnout-explain: summary"
        )
    chunks = [data_of(piece) for piece in frames(reply.body) if piece.startswith(b"data: {")]
    assert reply.body.startswith(b": keep-alive\n\n")
    assert chunks[-1]["turnout"]["model"] == "ant/one"
    assert chunks[-1]["turnout"]["attempts"] == 2


# Failure after the first byte (WIRE.md 9.4)


async def failing(path, body, **behaviour):
    async with start(server="keep_alive_s: 0.03") as rig:
        rig.behave(body["model"].replace("/", "-"), Fault(kind="server_error"), **behaviour)
        reply = await call(rig, path, body, "x-turnout-retries: 0")
        return reply, await rig.record(reply.header("x-turnout-request-id"))


async def test_an_early_200_then_a_failure_is_told_in_the_chat_stream():
    reply, record = await failing("/v1/chat/completions", chat("oai/one", stream=True), ttft_s=0.08)
    pieces = [piece for piece in frames(reply.body) if not piece.startswith(b":")]
    assert reply.status == 200
    assert pieces[1:] == [b"data: [DONE]"]
    chunk = data_of(pieces[0])
    assert (chunk["error"]["code"], chunk["error"]["metadata"]["error_type"]) == (502, "provider_error")
    assert chunk["choices"] == [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]
    assert record.outcome.error == "provider_error"


async def test_an_early_200_then_a_failure_is_told_in_the_messages_stream():
    reply, _ = await failing("/v1/messages", message("ant/one", stream=True), ttft_s=0.08)
    pieces = [piece for piece in frames(reply.body) if not piece.startswith(b":")]
    assert len(pieces) == 1
    assert pieces[0].startswith(b"event: error\ndata: ")
    told = data_of(pieces[0])
    assert (told["type"], told["error"]["turnout"]["class"]) == ("error", "provider_error")


@pytest.mark.parametrize("kind", ["cut", "half_frame", "wrong_length"])
@pytest.mark.parametrize("model", ["oai/one", "ant/one", "gem/one"])
async def test_a_chat_stream_that_breaks_ends_with_an_error_chunk(rig, model, kind):
    rig.behave(model.replace("/", "-"), Fault(kind=kind))
    reply = await call(rig, "/v1/chat/completions", chat(model, stream=True))
    pieces = frames(reply.body)
    assert pieces[-1] == b"data: [DONE]"
    last = data_of(pieces[-2])
    assert last["error"]["metadata"]["error_type"] == "stream_interrupted"
    assert last["choices"][0]["finish_reason"] == "error"
    assert data_of(pieces[0])["choices"][0]["delta"]["role"] == "assistant"
    record = await rig.record(reply.header("x-turnout-request-id"))
    assert (record.outcome.error, record.outcome.usage_source) == ("stream_interrupted", "estimated")


@pytest.mark.parametrize("model", ["oai/one", "ant/one", "gem/one"])
async def test_a_messages_stream_that_breaks_ends_with_an_error_event(rig, model):
    rig.behave(model.replace("/", "-"), Fault(kind="cut"))
    reply = await call(rig, "/v1/messages", message(model, stream=True))
    pieces = frames(reply.body)
    assert pieces[-1].startswith(b"event: error\n")
    assert data_of(pieces[-1])["error"]["turnout"]["class"] == "stream_interrupted"
    assert b"event: message_stop" not in reply.body


async def test_a_deadline_that_passes_in_mid_stream_is_told_in_the_stream(rig):
    rig.behave("ant-one", tokens_per_s=10)
    reply = await call(rig, "/v1/chat/completions", chat("ant/one", stream=True), "x-turnout-timeout-ms: 250")
    pieces = frames(reply.body)
    assert data_of(pieces[-2])["error"]["metadata"]["error_type"] == "timeout_total"
    assert len({data_of(piece)["id"] for piece in pieces[:-1]}) == 1
    assert await until(lambda: rig.emulator.served["ant-one"].cancelled == 1) < 0.25


async def test_text_cannot_start_a_frame_of_its_own(rig):
    evil = "x\n\ndata: [DONE]\n\nevent: error\ndata: {}\r\n\r\n"
    rig.emulator.add("ant-one", lambda asked: reply_text(asked, evil))
    chatted = await call(rig, "/v1/chat/completions", chat("ant/one", stream=True))
    messaged = await call(rig, "/v1/messages", message("oai/one", stream=True))
    said = "".join(
        data_of(piece)["choices"][0]["delta"].get("content") or "" for piece in frames(chatted.body)[:-1]
    )
    assert said == evil
    assert chatted.body.count(b"[DONE]\n") == 1
    assert messaged.status == 200


def reply_text(asked, text):
    from turnout.testing.emulator.script import reply_with
    from turnout.types.chat import Text

    return reply_with(asked, (Text(text),), model="x")


async def test_a_slow_reader_pauses_the_upstream():
    """Back-pressure: what is not read is not fetched."""
    piece = delta("x" * 60_000)
    n_sent = 0

    async def feed(reader, writer):
        nonlocal n_sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(STREAM)
        for _ in range(400):
            writer.write(chunked(piece))
            await writer.drain()
            n_sent += 1
        writer.write(chunked(FINISH, DONE) + b"0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(feed, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with gateway(behind(base)) as rig, wire(rig) as connection:
        await connection.send(request("/v1/chat/completions", chat("oai/m", stream=True)))
        await connection.head()
        await asyncio.sleep(0.3)
        stalled = n_sent
        total = 0
        while data := await connection.chunk():
            total += len(data)
    server.close()
    assert stalled < 400
    assert total == 400 * len(piece) + len(FINISH + DONE)
