"""Input that is wrong: each gets a clear error in the client's dialect, and nothing reaches an upstream."""

import asyncio
import gzip
import json

import pytest

from tests.server.kit import call, chat, message, request, sweep, until, wire
from tests.server.kit import rig as start

CHAT, MESSAGES, GENERATE = "/v1/chat/completions", "/v1/messages", "/v1beta/models/gem/one:generateContent"
EMBED = "/v1/embeddings"
PATHS = (CHAT, MESSAGES, GENERATE, EMBED)
GOOD = {
    CHAT: chat(),
    MESSAGES: message(),
    GENERATE: {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]},
    EMBED: {"model": "oai/vectors", "input": "Hello"},
}


def told(path, reply):
    """Return class word and message of an error in the dialect of its path."""
    body = reply.json()
    if path.startswith("/v1beta"):
        reason = next(each for each in body["error"]["details"] if "reason" in each)
        return reason["metadata"]["class"], body["error"]["message"]
    if "messages" in path:
        assert body["type"] == "error"
    return body["error"]["turnout"]["class"], body["error"]["message"]


def nested(n):
    return b'{"model": "oai/one", "messages": ' + b"[" * n + b"]" * n + b"}"


MALFORMED = {
    "empty": b"",
    "cut": b'{"model": "oai/one", "messages": [',
    "text": b"hello",
    "array": b"[]",
    "number": b"1",
    "null": b"null",
    "duplicate": b'{"model": "oai/one", "model": "ant/one", "messages": []}',
    "deep duplicate": b'{"model": "m", "messages": [{"role": "user", "role": "system", "content": "x"}]}',
    "nan": b'{"model": "oai/one", "messages": [], "temperature": NaN}',
    "infinity": b'{"model": "oai/one", "messages": [], "temperature": -Infinity}',
    "utf-8": b'{"model": "oai/one", "messages": [{"role": "user", "content": "\xff\xfe"}]}',
    "surrogate": b'{"model": "oai/one", "messages": [{"role": "user", "content": "\xed\xa0\x80"}]}',
    "half": rb'{"model": "oai/one", "messages": [{"role": "user", "content": "\ud800"}]}',
    "bom": b'\xef\xbb\xbf{"model": "oai/one", "messages": []}',
    "deep": nested(65),
    "very deep": nested(100_000),
    "trailing": b'{"model": "oai/one", "messages": []} {}',
    "control": b'{"model": "oai/one", "messages": [{"role": "user", "content": "a\nb"}]}',
}


@pytest.mark.parametrize("kind", MALFORMED)
@pytest.mark.parametrize("path", PATHS)
async def test_what_is_not_json_is_refused(rig, path, kind):
    reply = await call(rig, path, MALFORMED[kind])
    word, text = told(path, reply)
    assert (reply.status, word) == (400, "invalid_request")
    assert text
    assert rig.emulator.served == {}


@pytest.mark.parametrize(
    ("path", "field", "value", "param"),
    [
        (CHAT, "messages", "text", "messages"),
        (CHAT, "messages", [], "messages"),
        (CHAT, "messages", [{"content": "x"}], "messages[0].role"),
        (CHAT, "messages", [{"role": "robot", "content": "x"}], "messages[0].role"),
        (CHAT, "messages", [{"role": "user", "content": 5}], "messages[0].content"),
        (CHAT, "model", 5, "model"),
        (CHAT, "temperature", "hot", "temperature"),
        (CHAT, "max_tokens", -1, "max_tokens"),
        (CHAT, "max_tokens", 1.5, "max_tokens"),
        (CHAT, "stream", "yes", "stream"),
        (CHAT, "tools", [{"type": "function"}], "tools[0].function"),
        (CHAT, "tool_choice", "maybe", "tool_choice"),
        (CHAT, "response_format", {"type": "json_schema"}, "response_format.json_schema"),
        (CHAT, "n", 0, "n"),
        (CHAT, "turnout", "x", "turnout"),
        (CHAT, "models", "oai/one", "models"),
        (EMBED, "input", {"a": 1}, "input"),
        (EMBED, "encoding_format", "hex", "encoding_format"),
    ],
)
async def test_a_wrong_type_is_told_by_its_path(rig, path, field, value, param):
    reply = await call(rig, path, {**GOOD[path], field: value})
    error = reply.json()["error"]
    assert (reply.status, error["type"]) == (400, "invalid_request_error")
    assert error["param"] == param
    assert rig.emulator.served == {}


@pytest.mark.parametrize("field", ["model", "messages", "max_tokens"])
async def test_a_missing_field_of_messages_is_named(rig, field):
    body = {key: value for key, value in message().items() if key != field}
    reply = await call(rig, MESSAGES, body)
    assert reply.status == 400
    assert field in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "x"]
)
async def test_another_content_type_is_refused(rig, kind):
    data = json.dumps(chat()).encode()
    raw = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\ncontent-length: {len(data)}\r\n\r\n"
    async with wire(rig) as connection:
        await connection.send(raw.encode() + data)
        reply = await connection.reply()
    assert (reply.status, reply.json()["error"]["param"]) == (400, "content-type")


# Sizes


SMALL = "max_body_mib: 0.001"


@pytest.mark.parametrize("path", [CHAT, MESSAGES, GENERATE])
async def test_a_declared_body_that_is_too_large_is_refused_before_it_is_read(path):
    async with start(server=SMALL) as rig, wire(rig) as connection:
        head = (
            f"POST {path} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 1000000000\r\n\r\n"
        )
        await connection.send(head.encode())
        reply = await connection.reply()
    assert (reply.status, told(path, reply)[0]) == (413, "request_too_large")


@pytest.mark.parametrize("sizes", [[5000], [600, 600], [10] * 200])
async def test_a_chunked_body_is_counted_as_it_comes(sizes):
    async with start(server=SMALL) as rig, wire(rig) as connection:
        head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".encode()
        await connection.send(head + b"".join(b"%x\r\n%b\r\n" % (n, b"x" * n) for n in sizes) + b"0\r\n\r\n")
        reply = await connection.reply()
    assert (reply.status, told(CHAT, reply)[0]) == (413, "request_too_large")


async def test_a_client_that_sends_on_sees_the_refusal_and_can_go_on():
    async with start(server=SMALL) as rig, wire(rig) as connection:
        data = b"x" * 3_000_000
        head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(data)}\r\n\r\n".encode()
        await connection.send(head + data)
        refused = await connection.reply()
        await connection.send(request(CHAT, chat()))
        served = await connection.reply()
    assert (refused.status, served.status) == (413, 200)


async def test_a_body_of_the_largest_size_is_served():
    text = "x" * 900
    async with start(server=SMALL) as rig:
        assert (await call(rig, CHAT, chat(text=text))).status == 200


@pytest.mark.parametrize("encoding", ["gzip", "GZIP"])
async def test_a_compressed_body_is_read(rig, encoding):
    reply = await call(rig, CHAT, gzip.compress(json.dumps(chat()).encode()), f"content-encoding: {encoding}")
    assert reply.status == 200


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (gzip.compress(b"\0" * 50_000_000), "gzip", 413),
        (gzip.compress(json.dumps(chat()).encode())[:-9], "gzip", 400),
        (gzip.compress(json.dumps(chat()).encode()) + b"more", "gzip", 400),
        (gzip.compress(json.dumps(chat()).encode()) * 2, "gzip", 400),
        (b"not gzip", "gzip", 400),
        (b"x", "br", 400),
        (b"x", "zstd", 400),
        (b"x", "gzip, gzip", 400),
        (b"x", "deflate", 400),
    ],
    ids=["bomb", "cut", "trailing", "two members", "not gzip", "br", "zstd", "twice", "deflate"],
)
async def test_a_compressed_body_that_cannot_be_read_is_refused(rig, body, encoding, status):
    reply = await call(rig, CHAT, body, f"content-encoding: {encoding}")
    assert reply.status == status
    assert told(CHAT, reply)[0] == ("request_too_large" if status == 413 else "invalid_request")


# Heads


async def refused_raw(rig, data):
    """Send bytes; return what came back until the other side closed."""
    async with wire(rig) as connection:
        await connection.send(data)
        reply = await connection.reply()
        rest = await connection.rest()
    return reply, rest


def post(*lines, body=b""):
    return b"\r\n".join([b"POST /v1/chat/completions HTTP/1.1", b"host: x", *lines]) + b"\r\n\r\n" + body


HEADS = {
    "both lengths": post(b"content-length: 3", b"transfer-encoding: chunked"),
    "te first": post(b"transfer-encoding: chunked", b"content-length: 3"),
    "two lengths": post(b"content-length: 3", b"content-length: 4", body=b"abcd"),
    "same lengths": post(b"content-length: 3", b"content-length: 3", body=b"abc"),
    "length list": post(b"content-length: 3, 3", body=b"abc"),
    "negative length": post(b"content-length: -3", body=b"abc"),
    "two te": post(b"transfer-encoding: chunked", b"transfer-encoding: chunked"),
    "te identity": post(b"transfer-encoding: identity"),
    "te gzip": post(b"transfer-encoding: chunked, gzip"),
    "space before colon": b"GET /livez HTTP/1.1\r\nhost : x\r\n\r\n",
    "fold": b"GET /livez HTTP/1.1\r\nhost: x\r\nx-a: 1\r\n 2\r\n\r\n",
    "nul": b"GET /livez HTTP/1.1\r\nhost: x\r\nx-a: a\0b\r\n\r\n",
    "bare cr": b"GET /livez HTTP/1.1\r\nhost: x\r\nx-a: a\rb\r\n\r\n",
    "no name": b"GET /livez HTTP/1.1\r\nhost: x\r\n: 1\r\n\r\n",
    "bad name": b"GET /livez HTTP/1.1\r\nhost: x\r\nx(a): 1\r\n\r\n",
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /livez HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    "host slash": b"GET /livez HTTP/1.1\r\nhost: a/b\r\n\r\n",
    "host query": b"GET /livez HTTP/1.1\r\nhost: a?b\r\n\r\n",
    "host hash": b"GET /livez HTTP/1.1\r\nhost: a#b\r\n\r\n",
    "host user": b"GET /livez HTTP/1.1\r\nhost: u@a\r\n\r\n",
    "host backslash": b"GET /livez HTTP/1.1\r\nhost: a\\b\r\n\r\n",
    "host empty": b"GET /livez HTTP/1.1\r\nhost:\r\n\r\n",
    "no version": b"GET /livez\r\n\r\n",
    "version 9": b"GET /livez HTTP/9.9\r\nhost: x\r\n\r\n",
    "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "noise": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "method": b"FETCH /livez HTTP/1.1\r\nhost: x\r\n\r\n",
    "raw path": b"GET /liv\xc3\xa9 HTTP/1.1\r\nhost: x\r\n\r\n",
    "absolute without path": b"GET http://gateway.test HTTP/1.1\r\nhost: x\r\n\r\n",
    "bad chunk": post(b"transfer-encoding: chunked", body=b"zz\r\n"),
}


@pytest.mark.parametrize("kind", HEADS)
async def test_an_ambiguous_or_broken_head_is_refused_and_closed(rig, kind):
    if kind == "noise":
        async with wire(rig) as connection:
            await connection.send(HEADS[kind])
            data = await connection.rest()
        assert data.startswith(b"HTTP/1.1 400 ")
        return
    reply, rest = await refused_raw(rig, HEADS[kind])
    assert (reply.status, rest) == (400, b"")
    assert told(CHAT, reply)[0] == reply.header("x-turnout-error-class") == "invalid_request"
    assert (reply.header("connection"), reply.header("x-turnout-request-id")[:4]) == ("close", "req_")
    assert rig.emulator.served == {}


@pytest.mark.parametrize(
    ("path", "field"),
    [("/v1/messages", "type"), ("/v1beta/models/x:generateContent", "error"), (CHAT, "error")],
)
async def test_a_refused_head_is_answered_in_the_dialect_of_its_path(rig, path, field):
    data = f"POST {path} HTTP/1.1\r\nhost: a/b\r\n\r\n".encode()
    reply, _ = await refused_raw(rig, data)
    assert told(path, reply)[0] == "invalid_request"
    assert field in reply.json()


@pytest.mark.parametrize(
    "lines",
    [
        ["x-a: " + "a" * 17_000],
        [f"x-{n}: {'a' * 1000}" for n in range(40)],
        [f"x-{n}: a" for n in range(101)],
        [f"x-{n}: {'a' * 500}" for n in range(99)],
    ],
    ids=["one too long", "together too long", "too many", "many and long"],
)
async def test_too_much_of_a_head_is_refused(rig, lines):
    reply, rest = await refused_raw(rig, request("/livez", None, *lines, method="GET"))
    assert (reply.status, told(CHAT, reply)[0], rest) == (431, "request_too_large", b"")


async def test_a_head_that_never_ends_is_refused_at_its_limit(rig):
    async with wire(rig) as connection:
        await connection.send(b"GET /livez HTTP/1.1\r\nhost: x\r\nx-a: " + b"a" * 40_000)
        reply = await connection.reply()
    assert reply.status == 431


@pytest.mark.parametrize(
    "lines",
    [[f"x-{n}: a" for n in range(90)], ["x-a: " + "a" * 16_000], [f"x-{n}: {'a' * 300}" for n in range(90)]],
)
async def test_a_large_head_within_the_limits_is_served(rig, lines):
    assert (await call(rig, "/livez", None, *lines, method="GET")).status == 200


async def test_a_long_url_is_refused(rig):
    reply, _ = await refused_raw(rig, request("/livez?" + "a" * 40_000, None, method="GET"))
    assert reply.status == 431


async def test_a_body_in_the_same_packet_does_not_count_as_head(rig):
    assert (await call(rig, CHAT, chat(text="x" * 60_000))).status == 200


# Slow clients


async def test_a_head_that_trickles_is_given_up(rig):
    async with wire(rig) as connection:
        await connection.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\n")
        await until(lambda: rig.server.connections)
        await asyncio.sleep(0.02)
        sweep(rig, 9)
        await connection.send(b"x-a: 1\r\n")
        await asyncio.sleep(0.02)
        sweep(rig, 11)
        reply = await connection.reply()
        assert await connection.rest() == b""
    assert (reply.status, told(MESSAGES, reply)[0]) == (408, "invalid_request")


async def test_a_body_that_trickles_is_given_up(rig):
    async with wire(rig) as connection:
        await connection.send(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{{".encode())
        await until(lambda: rig.gateway.n_open == 1)
        sweep(rig, 59)
        assert rig.gateway.n_open == 1
        sweep(rig, 62)
        reply = await connection.reply()
    assert reply.status == 408
    await until(lambda: rig.gateway.n_open == 0)


async def test_a_connection_that_says_nothing_is_closed(rig):
    async with wire(rig) as connection:
        await until(lambda: rig.server.connections)
        sweep(rig, 11)
        assert await connection.rest() == b""


async def test_an_idle_connection_is_closed_and_a_busy_one_is_not(rig):
    async with wire(rig) as connection:
        await connection.send(request("/livez", method="GET"))
        await connection.reply()
        sweep(rig, 60)
        await connection.send(request("/livez", method="GET"))
        assert (await connection.reply()).status == 200
        sweep(rig, 80)
        assert await connection.rest() == b""


async def test_a_slow_answer_is_not_a_slow_client(rig):
    rig.behave("oai-one", ttft_s=0.2)
    async with wire(rig) as connection:
        await connection.send(request(CHAT, chat()))
        await until(lambda: "oai-one" in rig.emulator.served)
        sweep(rig, 1000)
        assert (await connection.reply()).status == 200


async def test_an_address_may_have_so_many_connections():
    async with start(server="max_connections_per_address: 2") as rig:
        async with wire(rig) as one, wire(rig) as two, wire(rig) as three:
            await one.send(request("/livez", method="GET"))
            await two.send(request("/livez", method="GET"))
            refused = await three.reply()
            assert [(await each.reply()).status for each in (one, two)] == [200, 200]
        assert (refused.status, refused.header("retry-after")) == (503, "1")
        await until(lambda: not rig.server.connections)
        assert (await call(rig, "/livez", method="GET")).status == 200


async def test_a_gateway_that_is_full_says_so():
    async with start(server="max_open: 1") as rig:
        rig.behave("oai-one", ttft_s=0.2)
        async with wire(rig) as connection:
            await connection.send(request(CHAT, chat()))
            await until(lambda: rig.gateway.n_open == 1)
            full = await call(rig, MESSAGES, message())
            assert (await connection.reply()).status == 200
    assert (full.status, told(MESSAGES, full)[0], full.header("retry-after")) == (
        529,
        "gateway_overloaded",
        "1",
    )


# Well-formed, and still unusual


async def test_pipelined_requests_are_answered_in_turn(rig):
    rig.behave("oai-one", ttft_s=0.05)
    async with wire(rig) as connection:
        await connection.send(
            request(CHAT, chat()) + request("/livez", method="GET") + request("/v1/nothing", method="GET")
        )
        replies = [await connection.reply() for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 404]
    assert replies[0].json()["object"] == "chat.completion"


async def test_a_client_that_waits_for_100_gets_it(rig):
    data = json.dumps(chat()).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {len(data)}\r\n\r\n"
    async with wire(rig) as connection:
        await connection.send(head.encode())
        go_on = await connection.reply()
        await connection.send(data)
        reply = await connection.reply()
    assert (go_on.status, reply.status) == (100, 200)


@pytest.mark.parametrize("upgrade", ["websocket", "h2c", "TLS/1.0"])
async def test_an_upgrade_is_not_taken(rig, upgrade):
    lines = (
        f"upgrade: {upgrade}",
        "connection: Upgrade",
        "sec-websocket-version: 13",
        "sec-websocket-key: eA==",
    )
    reply = await call(rig, CHAT, None, *lines, method="GET")
    assert (reply.status, reply.header("upgrade")) == (405, None)


@pytest.mark.parametrize("body", [None, chat()])
async def test_an_upgrade_cut_off_half_way_hangs_nothing(rig, body):
    data = request(CHAT, body, "upgrade: websocket", "connection: Upgrade")
    async with wire(rig) as connection:
        await connection.send(data[: len(data) // 2])
    await until(lambda: rig.gateway.n_open == 0)
    assert (await call(rig, "/livez", method="GET")).status == 200


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", CHAT, "POST"),
        ("DELETE", MESSAGES, "POST"),
        ("PUT", "/v1/models", "GET"),
        ("POST", "/livez", "GET, HEAD"),
        ("OPTIONS", "/v1/embeddings", "POST"),
        ("GET", "/openai/v1/chat/completions", "POST"),
        ("DELETE", "/v1/models/oai/one", "GET, POST"),
    ],
)
async def test_a_known_path_with_another_method_names_those_it_has(rig, method, path, allow):
    reply = await call(rig, path, method=method)
    assert (reply.status, reply.header("allow")) == (405, allow)
    assert told(path, reply)[0] == "not_found"
    assert f"no such endpoint: {method} {path}; use {' or '.join(allow.split(', '))}".encode() in reply.body


@pytest.mark.parametrize(
    "path", ["/v2/chat/completions", "/v1/chat", "/admin", "/v1/models/x:embed", "/metrics", "/docs", "/.env"]
)
async def test_an_unknown_path_is_not_found(rig, path):
    for method in ("GET", "POST"):
        reply = await call(rig, path, {} if method == "POST" else None, method=method)
        assert reply.status == 404 or (reply.status, method) == (405, "GET")


async def test_a_base_url_with_v1_too_many_is_told_in_the_clients_own_format(rig):
    for path in (CHAT, MESSAGES):
        reply = await call(rig, f"/v1{path}", {})
        hint = f"no such endpoint: POST /v1{path}; leave /v1 out of the client's base URL".encode()
        assert (reply.status, hint in reply.body) == (404, True)
        assert (b'"type":"error"' in reply.body) == (path == MESSAGES)


async def test_head_answers_without_a_body(rig):
    for path in ("/", "/api/hello", "/livez", "/readyz"):
        async with wire(rig) as connection:
            await connection.send(request(path, method="HEAD") + request("/livez", method="GET"))
            status, headers, _ = await connection.head()
            second = await connection.reply()
        assert (status, dict(headers)["content-length"], second.status) == (200, "0", 200)


@pytest.mark.parametrize(
    "path", ["/chat/completions", "/openai/v1/chat/completions", "/api/v1/chat/completions"]
)
async def test_aliases_of_a_path_lead_to_the_same_endpoint(rig, path):
    assert (await call(rig, path, chat())).status == 200
    assert (await call(rig, path + "?api-version=2024-10-21&beta=true", chat())).status == 200


@pytest.mark.parametrize("path", ["/messages", "/anthropic/v1/messages", "/v1/messages?beta=true"])
async def test_aliases_of_messages_lead_to_the_same_endpoint(rig, path):
    assert (await call(rig, path, message())).status == 200


async def test_an_absolute_target_means_its_path(rig):
    reply = await call(rig, f"http://gateway.test{CHAT}", chat())
    other = await call(rig, "http://evil.test/livez", method="GET")
    assert (reply.status, other.status) == (200, 200)


async def test_only_allowed_hosts_are_served():
    async with start(server="allowed_hosts: [gateway.test, '::1']") as rig:
        fine = await call(rig, "/livez", method="GET")
        async with wire(rig) as connection:
            await connection.send(b"GET /livez HTTP/1.1\r\nhost: Gateway.Test:4000\r\n\r\n")
            upper = await connection.reply()
        other, rest = await refused_raw(rig, b"GET /livez HTTP/1.1\r\nhost: evil.test\r\n\r\n")
    assert (fine.status, upper.status, other.status, rest) == (200, 200, 421, b"")


async def test_http_1_0_is_answered_and_closed(rig):
    async with wire(rig) as connection:
        await connection.send(b"GET /livez HTTP/1.0\r\n\r\n")
        reply = await connection.reply()
        assert (reply.status, await connection.rest()) == (200, b"")


async def test_a_connection_survives_an_error(rig):
    async with wire(rig) as connection:
        for body, status in ((b"{", 400), (chat("nope"), 404), (chat(), 200)):
            await connection.send(request(CHAT, body))
            assert (await connection.reply()).status == status
