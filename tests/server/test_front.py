"""What a client connection must do with every byte it gets: one suite, run on our own and on uvicorn's.

uvicorn's is the measure: whatever it refuses, ours refuses; whatever ours serves, uvicorn's serves the same.
What ours refuses beyond it stands in `STRICTER`.
"""

import asyncio

import pytest

from tests.server.fronts import AFTER, END, FRONTS, front, post
from tests.server.kit import until
from turnout.server.head import MAX_HEAD_BYTES

CHUNKED = b"transfer-encoding: chunked"
REFUSED = {
    "length and chunks": post(b"content-length: 3", b"transfer-encoding: chunked", body=b"0\r\n\r\n" + AFTER),
    "chunks and length": post(b"transfer-encoding: chunked", b"content-length: 3", body=b"0\r\n\r\n" + AFTER),
    "two lengths": post(b"content-length: 3", b"content-length: 0", body=b"abc" + AFTER),
    "length twice": post(b"content-length: 0", b"content-length: 0", body=AFTER),
    "list of lengths": post(b"content-length: 0, 0", body=AFTER),
    "length with sign": post(b"content-length: +3", body=b"abc" + AFTER),
    "length in hex": post(b"content-length: 0x3", body=b"abc" + AFTER),
    "length below zero": post(b"content-length: -1", body=AFTER),
    "length beyond 64 bits": post(b"content-length: 99999999999999999999999", body=AFTER),
    "length with a space in it": post(b"content-length: 1 0", body=AFTER),
    "chunked is not last": post(b"transfer-encoding: chunked, gzip", body=b"0\r\n\r\n" + AFTER),
    "identity": post(b"transfer-encoding: identity", body=AFTER),
    "chunked with a letter more": post(b"transfer-encoding: xchunked", body=b"0\r\n\r\n" + AFTER),
    "size of a chunk in words": post(b"transfer-encoding: chunked", body=b"zz\r\n" + AFTER),
    "size of a chunk below zero": post(b"transfer-encoding: chunked", body=b"-1\r\n" + AFTER),
    "size of a chunk beyond 64 bits": post(b"transfer-encoding: chunked", body=b"f" * 17 + b"\r\n" + AFTER),
    "a chunk longer than its size": post(
        b"transfer-encoding: chunked", body=b"1\r\nabc\r\n0\r\n\r\n" + AFTER
    ),
    "a bare LF after a chunk": post(b"transfer-encoding: chunked", body=b"1\r\na\n0\r\n\r\n" + AFTER),
    "space before the colon": b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length : 3\r\n\r\nabc" + AFTER,
    "a folded line": b"GET /a HTTP/1.1\r\nhost: x\r\nx-a: 1\r\n 2\r\n\r\n" + AFTER,
    "a folded length": b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length:\r\n 3\r\n\r\nabc" + AFTER,
    "a line of space": b"GET /a HTTP/1.1\r\nhost: x\r\n \r\n\r\n" + AFTER,
    "NUL in a value": b"GET /a HTTP/1.1\r\nhost: x\r\nx-a: a\0b\r\n\r\n" + AFTER,
    "CR in a value": b"GET /a HTTP/1.1\r\nhost: x\r\nx-a: a\rcontent-length: 3\r\n\r\n" + AFTER,
    "a bare LF ends a line": b"GET /a HTTP/1.1\r\nhost: x\nx-a: b\r\n\r\n" + AFTER,
    "a bare LF ends the head": b"GET /a HTTP/1.1\r\nhost: x\r\n\n" + AFTER,
    "no name": b"GET /a HTTP/1.1\r\nhost: x\r\n: 1\r\n\r\n" + AFTER,
    "a name with a bracket": b"GET /a HTTP/1.1\r\nhost: x\r\nx(a): 1\r\n\r\n" + AFTER,
    "a target with a space": b"GET /a b HTTP/1.1\r\nhost: x\r\n\r\n" + AFTER,
    "a target of bytes": b"GET /\xc3\xa9 HTTP/1.1\r\nhost: x\r\n\r\n" + AFTER,
    "another version": b"GET /a HTTP/9.9\r\nhost: x\r\n\r\n" + AFTER,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an unknown method": b"FETCH /a HTTP/1.1\r\nhost: x\r\n\r\n" + AFTER,
    "a method in small letters": b"get /a HTTP/1.1\r\nhost: x\r\n\r\n" + AFTER,
}
STRICTER = {
    "no version": b"GET /a\r\n\r\n" + AFTER,
    "no host": b"GET /a HTTP/1.1\r\n\r\n" + AFTER,
    "two hosts": b"GET /a HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n" + AFTER,
    "a host with a path": b"GET /a HTTP/1.1\r\nhost: a/b\r\n\r\n" + AFTER,
    "a value over its limit": b"GET /a HTTP/1.1\r\nhost: x\r\nx-a: " + b"a" * 17_000 + END + AFTER,
    "too many lines": b"GET /a HTTP/1.1\r\nhost: x\r\n" + b"x-a: b\r\n" * 100 + b"\r\n" + AFTER,
    "a head over its limit": b"GET /" + b"a" * MAX_HEAD_BYTES + b" HTTP/1.1\r\nhost: x\r\n\r\n" + AFTER,
}
SERVED = {
    "alone": (b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n", ["/a"]),
    "two": (post(b"content-length: 3", body=b"abc") + AFTER, ["/a", "/smuggled"]),
    "a body that looks like a request": (post(b"content-length: %d" % len(AFTER), body=AFTER), ["/a"]),
    "chunks": (
        post(b"transfer-encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n") + AFTER,
        ["/a", "/smuggled"],
    ),
    "chunks with trailers": (
        post(b"transfer-encoding: chunked", body=b"1;x=y\r\na\r\n0\r\nx-t: 9\r\n\r\n"),
        ["/a"],
    ),
    "spaces around a value": (post(b"content-length:  3 ", body=b"abc"), ["/a"]),
    "leading zeros": (post(b"content-length: 003", body=b"abc"), ["/a"]),
    "empty lines before": (b"\r\n\r\nGET /a HTTP/1.1\r\nhost: x\r\n\r\n", ["/a"]),
    "a query and a fragment": (b"GET /a?b=c#d HTTP/1.1\r\nhost: x\r\n\r\n", ["/a"]),
    "an absolute target": (b"GET http://x/a HTTP/1.1\r\nhost: x\r\n\r\n", ["/a"]),
}


@pytest.mark.parametrize("kind", FRONTS)
async def test_what_is_ambiguous_is_refused_and_nothing_behind_it_served(kind: str) -> None:
    served = {}
    async with front(kind) as listening:
        for name, data in {**REFUSED, **(STRICTER if kind == "ours" else {})}.items():
            listening.app.seen.clear()
            answer = await listening.say(data)
            served[name] = [each.path for each in listening.app.seen], answer[:12]
    allowed = {b"HTTP/1.1 400", b"HTTP/1.1 431", b""}
    # Of a body that breaks off, the application has seen the head: it is never told that it is complete.
    assert {name: found for name, found in served.items() if found[0] or found[1] not in allowed} == {}


@pytest.mark.parametrize("kind", FRONTS)
async def test_what_is_clear_is_served(kind: str) -> None:
    found = {}
    async with front(kind) as listening:
        for name, (data, _) in SERVED.items():
            listening.app.seen.clear()
            answer = await listening.say(data)
            found[name] = [each.path for each in listening.app.seen]
            assert answer.count(b"HTTP/1.1 200 OK\r\n") == len(found[name])
    assert found == {name: paths for name, (_, paths) in SERVED.items()}


@pytest.mark.parametrize("kind", FRONTS)
async def test_manners_of_a_connection(kind: str) -> None:
    async with front(kind) as listening:
        go_on = await listening.say(post(b"content-length: 1", b"expect: 100-continue"), b"a")
        head = await listening.say(b"HEAD /a HTTP/1.1\r\nhost: x\r\n\r\n")
        older = await listening.say(b"GET /a HTTP/1.0\r\nhost: x\r\n\r\n" + AFTER, half=False)
        last = await listening.say(
            b"GET /a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" + AFTER, half=False
        )
        deaf = await listening.say(post(b"content-length: 3", body=b"abc", path=b"/deaf") + AFTER)
        seen = [each.path for each in listening.app.seen]
    assert go_on.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert head.endswith(END)
    assert [b"connection: close" in each for each in (older, last)] == [True, True]
    assert deaf.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert seen == ["/a", "/a", "/a", "/a", "/deaf", "/smuggled"]


async def test_what_follows_a_body_is_no_header() -> None:
    trailing = b"3\r\nabc\r\n0\r\nauthorization: Bearer other\r\nx-t: 1\r\n\r\n"
    async with front("ours") as listening:
        await listening.say(post(b"transfer-encoding: chunked", body=trailing))
        seen = listening.app.seen
    assert [each.headers for each in seen] == [(("host", "x"), ("transfer-encoding", "chunked"))]


@pytest.mark.parametrize("kind", FRONTS)
async def test_a_client_that_leaves_ends_its_request_and_those_behind_it(kind: str) -> None:
    async with front(kind) as listening:
        _, writer = await asyncio.open_connection("127.0.0.1", listening.port)
        writer.write(post(b"content-length: 9", body=b"abc"))
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.transport.abort()
        await until(lambda: listening.app.left)
        assert (listening.app.left, listening.app.seen, len(listening.server.server_state.tasks)) == (
            1,
            [],
            0,
        )


@pytest.mark.parametrize("kind", FRONTS)
async def test_draining_answers_what_is_open_and_closes_what_idles(kind: str) -> None:
    async with front(kind) as listening:
        idle, _keep = await asyncio.open_connection("127.0.0.1", listening.port)
        busy, writer = await asyncio.open_connection("127.0.0.1", listening.port)
        writer.write(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        await until(lambda: listening.app.seen)
        for connection in list(listening.server.server_state.connections):
            connection.shutdown()
        assert await asyncio.wait_for(idle.read(), 5) == b""
        listening.app.go_on.set()
        answer = await asyncio.wait_for(busy.read(), 5)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_body_may_not_be_framed_without_end() -> None:
    endless = post(b"transfer-encoding: chunked", body=b"0\r\nx-t: "), *[b"a" * 20_000] * 10
    async with front("ours") as listening:
        answer = await listening.say(*endless, half=False)
        assert listening.app.seen == []
    assert answer[:12] in {b"HTTP/1.1 431", b""}  # what it still sends may reset the connection
