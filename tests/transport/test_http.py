"""What the pooled client does beyond the conformance suite."""

import asyncio

import pytest

from tests.transport.makers import make_http
from turnout.errors import Forbidden, GatewayOverloaded, Internal, ProviderBadResponse, StreamInterrupted
from turnout.testing.misbehaving import End, Misbehaving
from turnout.testing.transport_probe import Setup, call, opened, probe
from turnout.testing.transport_scripts import PATIENT, sized
from turnout.transport.credentials import authorise_for
from turnout.transport.guard import Origin, egress_for
from turnout.transport.head import Heads
from turnout.transport.http import HttpOptions, HttpTransport
from turnout.transport.pool import HostStats, PoolLimits
from turnout.transport.response import ResponseLimits
from turnout.types.deployment import Credential
from turnout.types.http import HttpRequest, Timeouts
from turnout.types.secret import Secret

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


async def drain(response):
    n_read = 0
    while data := await response.chunk():
        n_read += len(data)
    return n_read


def client(server, **sizes):
    pool = PoolLimits(**sizes)
    return HttpTransport(egress_for([server.base]), HttpOptions(pool=pool, tick_s=0.01))


async def test_an_idle_connection_expires():
    async with Misbehaving() as server:
        url = server.script("/", sized(b"ok"))
        transport = client(server, keepalive_s=0.0)
        assert [await call(transport, url) for _ in range(3)] == [(200, b"ok")] * 3
        assert server.n_connections == 3
        await transport.close()


async def test_an_old_connection_is_not_reused():
    async with Misbehaving() as server:
        url = server.script("/", sized(b"ok"))
        transport = client(server, max_age_s=0.0)
        assert [await call(transport, url) for _ in range(3)] == [(200, b"ok")] * 3
        await asyncio.wait_for(server.until_open(0), 2)
        assert server.n_connections == 3
        await transport.close()


async def test_housekeeping_closes_what_idles_and_what_is_too_much():
    async with Misbehaving() as server:
        url = server.script("/", 0.01, sized(b"ok"))
        transport = client(server, max_idle=2)
        await asyncio.gather(*(call(transport, url) for _ in range(5)))
        now = asyncio.get_running_loop().time()
        assert transport._housekeep(now)
        await asyncio.wait_for(server.until_open(2), 2)
        assert not transport._housekeep(now + 61)
        await asyncio.wait_for(server.until_open(0), 2)
        await transport.close()


async def test_the_last_used_connection_is_taken_first():
    async with Misbehaving() as server:
        url = server.script("/", 0.01, sized(b"ok"))
        transport = client(server)
        await asyncio.gather(*(call(transport, url) for _ in range(3)))
        for _ in range(5):
            await call(transport, url)
        assert len({request.connection for request in server.requests[3:]}) == 1
        await transport.close()


async def test_the_queue_is_first_in_first_out_and_bounded():
    async with Misbehaving() as server:
        gate = asyncio.Event()
        server.script("/held", gate, sized(b"ok"))
        urls = [server.script(f"/{number}", sized(b"ok")) for number in range(4)]
        transport = client(server, max_connections=1, max_queue=3)
        calls = [asyncio.ensure_future(call(transport, server.base + "/held"))]
        await server.until_received(1)
        for url in urls[:3]:
            calls.append(asyncio.ensure_future(call(transport, url)))
            await asyncio.sleep(0)
        assert transport.stats()[0].queued == 3
        assert await call(transport, urls[3]) == "timeout_connect"
        gate.set()
        assert await asyncio.gather(*calls) == [(200, b"ok")] * 4
        assert [request.target for request in server.requests] == ["/held", "/0", "/1", "/2"]
        assert server.n_connections == 1
        await transport.close()


async def test_a_queued_call_dials_when_the_connection_it_waited_for_breaks():
    async with Misbehaving() as server:
        gate = asyncio.Event()
        server.script("/held", gate, End.RESET)
        url = server.script("/next", sized(b"ok"))
        transport = client(server, max_connections=1)
        first = asyncio.ensure_future(call(transport, server.base + "/held"))
        await server.until_received(1)
        second = asyncio.ensure_future(call(transport, url))
        await asyncio.sleep(0)
        gate.set()
        assert await first == "provider_unreachable"
        assert await second == (200, b"ok")
        assert transport.stats()[0].open == 1
        await transport.close()


async def test_a_place_served_in_the_moment_of_cancellation_is_passed_on():
    async with Misbehaving() as server:
        url = server.script("/", sized(b"ok"))
        transport = client(server, max_connections=1)
        response = await transport.send(probe(url), PATIENT)
        await response.read()
        pool, _ = transport._routes[url]
        connection = pool.take(0.0)
        waiting = asyncio.ensure_future(pool.acquire(None))
        await asyncio.sleep(0)
        pool.release(connection)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        assert pool.stats().idle == 1
        assert await call(transport, url) == (200, b"ok")
        await transport.close()


async def test_stats_tell_what_the_connections_do():
    async with Misbehaving() as server:
        url = server.script("/", CHUNKED + b"1\r\nx\r\n", End.HOLD)
        transport = client(server)
        assert transport.stats() == ()
        response = await transport.send(probe(url), PATIENT)
        assert transport.stats() == (
            HostStats(origin=server.base, open=1, idle=0, in_flight=1, queued=0, opened_total=1),
        )
        response.close()
        assert transport.stats()[0].open == 0
        await transport.close()


async def test_reload_keeps_allowed_connections_and_closes_the_others():
    async with Misbehaving() as one, Misbehaving() as two:
        urls = [server.script("/", sized(b"ok")) for server in (one, two)]
        transport = HttpTransport(egress_for(urls))
        for url in urls:
            assert await call(transport, url) == (200, b"ok")
        transport.allow(egress_for(urls[:1]))
        await asyncio.wait_for(two.until_open(0), 2)
        assert await call(transport, urls[0]) == (200, b"ok")
        assert one.n_connections == 1
        assert await call(transport, urls[1]) == "forbidden"
        transport.allow(egress_for(urls))
        assert await call(transport, urls[1]) == (200, b"ok")
        await transport.close()


async def test_reload_lets_the_queue_finish():
    async with Misbehaving() as server:
        gate = asyncio.Event()
        server.script("/held", gate, sized(b"ok"))
        url = server.script("/next", sized(b"ok"))
        transport = client(server, max_connections=1)
        calls = [asyncio.ensure_future(call(transport, server.base + path)) for path in ("/held", "/next")]
        await server.until_received(1)
        transport.allow(egress_for([]))
        gate.set()
        assert await asyncio.gather(*calls) == [(200, b"ok")] * 2
        await asyncio.wait_for(server.until_open(0), 2)
        assert await call(transport, url) == "forbidden"
        await transport.close()


async def test_an_answer_in_flight_outlives_reload_and_close():
    async with Misbehaving() as server:
        gate = asyncio.Event()
        url = server.script("/", CHUNKED + b"1\r\na\r\n", gate, b"1\r\nb\r\n0\r\n\r\n")
        transport = client(server)
        response = await transport.send(probe(url), PATIENT)
        transport.allow(egress_for([]))
        await transport.close()
        gate.set()
        assert await response.read() == b"ab"
        await asyncio.wait_for(server.until_open(0), 2)


async def test_closing_turns_away_who_queues():
    async with Misbehaving() as server:
        url = server.script("/", End.HOLD)
        transport = client(server, max_connections=1)
        first = asyncio.ensure_future(call(transport, url))
        await server.until_received(1)
        second = asyncio.ensure_future(call(transport, url))
        await asyncio.sleep(0)
        await transport.close()
        assert await second == GatewayOverloaded.row.word
        first.cancel()
        await asyncio.wait([first])


async def test_a_body_of_which_nothing_was_taken_is_refused_after_close():
    async with Misbehaving() as server:
        url = server.script("/", CHUNKED + b"1\r\nx\r\n", End.HOLD)
        transport = client(server)
        response = await transport.send(probe(url), PATIENT)
        response.close()
        for reading in (response.read, response.chunk):
            with pytest.raises(StreamInterrupted, match="closed before its end"):
                await reading()
        await transport.close()


async def test_an_answer_nobody_reads_is_closed_in_the_end():
    async with Misbehaving() as server:
        url = server.script("/", CHUNKED + b"1\r\nx\r\n", End.HOLD)
        limits = ResponseLimits(unread_s=0.05)
        transport = HttpTransport(egress_for([url]), HttpOptions(limits=limits, tick_s=0.01))
        await transport.send(probe(url), Timeouts(total_s=None))
        await asyncio.wait_for(server.until_open(0), 2)
        await transport.close()


async def test_what_came_before_a_failure_is_handed_out_first():
    async with Misbehaving() as server:
        url = server.script("/", CHUNKED + b"1\r\nx\r\n", End.CLOSE)
        async with opened(make_http, Setup(urls=(url,))) as transport:
            response = await transport.send(probe(url), PATIENT)
            await asyncio.wait_for(server.until_open(0), 2)
            await asyncio.sleep(0.01)
            assert await response.chunk() == b"x"
            with pytest.raises(StreamInterrupted):
                await response.chunk()


async def test_what_has_arrived_is_one_chunk():
    async with Misbehaving() as server:
        url = server.script("/", CHUNKED + b"1\r\nx\r\n" * 50 + b"0\r\n\r\n")
        async with opened(make_http, Setup(urls=(url,))) as transport:
            response = await transport.send(probe(url), PATIENT)
            assert await response.chunk() == b"x" * 50
            assert await response.chunk() == b""


async def test_a_stream_has_a_limit_of_its_own():
    async with Misbehaving() as server:
        piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        url = server.script("/", CHUNKED, *((piece,) * 10), End.HOLD)
        limits = ResponseLimits(stream_bytes=200_000)
        transport = HttpTransport(egress_for([url]), HttpOptions(limits=limits, tick_s=0.01))
        response = await transport.send(probe(url), PATIENT)
        with pytest.raises(ProviderBadResponse, match="stream is longer than 200000 bytes"):
            await drain(response)
        await asyncio.wait_for(server.until_open(0), 2)
        await transport.close()


async def test_a_key_is_not_sent_to_another_host():
    async with Misbehaving() as server:
        url = server.script("/", sized(b"ok"))
        authorise = authorise_for("bearer", Credential("main", Secret("sk-1")), ["api.example.com"])
        transport = client(server)
        with pytest.raises(Forbidden, match="does not belong to"):
            await transport.send(probe(url), PATIENT, authorise)
        assert server.n_connections == 0
        await transport.close()


async def test_compression_is_asked_for_only_when_wanted():
    async with Misbehaving() as server:
        url = server.script("/", sized(b"ok"))
        for compressed, value in ((False, "identity"), (True, "gzip, deflate")):
            transport = HttpTransport(egress_for([url]), HttpOptions(compressed=compressed))
            await call(transport, url)
            assert server.requests[-1].headers["accept-encoding"] == value
            assert server.requests[-1].headers["user-agent"] == "turnout"
            await transport.close()


async def test_a_message_names_the_host_and_no_query():
    url = "http://127.0.0.1:9/v1?key=sk-secret"
    transport = HttpTransport(egress_for([url]))
    with pytest.raises(Exception, match=r"127\.0\.0\.1:9") as caught:
        await transport.send(HttpRequest("GET", url, ()), PATIENT)
    assert "sk-secret" not in str(caught.value)
    await transport.close()


def test_a_head_is_written_in_full():
    heads = Heads(Origin("https", "api.example.com", 443), "/v1?a=b", user_agent="t/1", compressed=False)
    fixed = b"host: api.example.com\r\nuser-agent: t/1\r\naccept-encoding: identity\r\n"
    for _ in range(2):
        assert heads.head("POST", ((b"x-a", b"1"),), ((b"authorization", b"k"),), 12) == (
            b"POST /v1?a=b HTTP/1.1\r\n" + fixed + b"x-a: 1\r\nauthorization: k\r\ncontent-length: 12\r\n\r\n"
        )
    assert heads.head("GET", [], [], 0) == b"GET /v1?a=b HTTP/1.1\r\n" + fixed + b"\r\n"
    assert heads.head("PUT", [], [], 0).endswith(b"content-length: 0\r\n\r\n")
    with pytest.raises(Internal, match="not an HTTP method"):
        heads.head("GET /x", (), (), 0)


def test_remembered_heads_are_bounded():
    heads = Heads(Origin("https", "api.example.com", 443), "/", user_agent="t", compressed=False)
    for number in range(1000):
        assert b"x-id: %d\r\n" % number in heads.head("POST", ((b"x-id", b"%d" % number),), (), 1)
    assert len(heads._known) <= 64
