"""`check_transport`: what every network transport must do, shown against a misbehaving server. Floor 6.

async def test_mine():
    await check_transport(lambda setup: MyTransport(setup.urls, setup.max_connections))
"""

import asyncio
from collections.abc import Awaitable, Callable

from turnout.errors import GatewayOverloaded
from turnout.testing.misbehaving import End, Misbehaving
from turnout.testing.transport_probe import Make, Outcome, Setup, call, expected, opened, outcome, probe
from turnout.testing.transport_scripts import BROKEN, CLEAN, PATIENT, SLOW, WHOLE_ONLY, Scripted, sized
from turnout.transport.dial import system_lookup
from turnout.types.http import HttpRequest, Timeouts

WAIT_S = 3.0
"""How long a check waits for something that must happen."""


async def check_transport(make: Make) -> None:
    """Run every check; the first that fails raises `AssertionError` naming what went wrong."""
    for scripted in SCRIPTS:
        await check_script(make, scripted)
    for check in CHECKS:
        await check(make)


async def check_script(make: Make, scripted: Scripted) -> None:
    """Play one script, read as a whole and (unless its limit is one of whole bodies) in chunks."""
    modes = (True,) if scripted in WHOLE_ONLY else (True, False)
    for whole in modes:
        async with Misbehaving() as server:
            url = server.script("/x", *scripted.steps)
            after = server.script("/after", sized(b"after"))
            async with opened(make, Setup(urls=(server.base,), max_connections=1)) as transport:
                got = await outcome(transport, scripted, url, whole=whole)
                assert got == expected(scripted), f"{scripted.name}: {got}, expected {expected(scripted)}"
                then = await call(transport, after)
                assert then == (200, b"after"), f"{scripted.name}: the next call gave {then}"


async def check_split_anywhere(make: Make) -> None:
    """An answer cut into two writes at any byte is the same answer."""
    answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    async with Misbehaving() as server, opened(make, Setup(urls=(server.base,))) as transport:
        for cut in range(1, len(answer)):
            url = server.script(f"/{cut}", answer[:cut], 0.001, answer[cut:])
            assert await call(transport, url) == (200, b"abcde"), f"cut at {cut}"


async def check_request_as_sent(make: Make) -> None:
    """Method, target, headers and body arrive as given, framed by the transport."""
    async with Misbehaving() as server, opened(make, Setup(urls=(server.base,))) as transport:
        url = server.script("/v1/chat?beta=true", sized(b"ok"))
        body = b"x" * 100_000
        response = await transport.send(
            HttpRequest("POST", url, ((b"x-a", b"1"), (b"x-a", b"2")), body),
            PATIENT,
            lambda _: ((b"authorization", b"Bearer k"),),
        )
        assert await response.read() == b"ok"
        (got,) = server.requests
        assert (got.method, got.target, got.body) == ("POST", "/v1/chat?beta=true", body)
        assert got.headers["host"] == server.base.removeprefix("http://")
        assert got.headers["content-length"] == "100000"
        assert got.headers["authorization"] == "Bearer k"
        assert got.headers["x-a"] == "2", "the last of two lines, as the server folds them"


async def check_smuggling_refused(make: Make) -> None:
    """A header that could end its line, or that frames the message, is not sent (S-43)."""
    async with Misbehaving() as server, opened(make, Setup(urls=(server.base,))) as transport:
        url = server.script("/", sized(b"ok"))
        for line in (
            (b"x-a", b"1\r\nx-b: 2"),
            (b"x-a", b"1\n"),
            (b"x-a", b"\0"),
            (b"x a", b"1"),
            (b"x:a", b"1"),
            (b"", b"1"),
            (b"Transfer-Encoding", b"chunked"),
            (b"content-length", b"0"),
            (b"host", b"other"),
        ):
            got = await call(transport, url, request=HttpRequest("POST", url, (line,), b"{}"))
            assert got == "internal", f"{line}: {got}"
        assert server.requests == []


async def check_reuse(make: Make) -> None:
    """200 calls one after the other use one connection."""
    async with Misbehaving() as server, opened(make, Setup(urls=(server.base,))) as transport:
        url = server.script("/", sized(b"ok"))
        for _ in range(200):
            assert await call(transport, url) == (200, b"ok")
        assert (len(server.requests), server.n_connections) == (200, 1)


async def check_cap(make: Make) -> None:
    """50 calls at once never use more than the 4 connections allowed, and all are answered."""
    async with Misbehaving() as server:
        url = server.script("/", 0.002, sized(b"ok"))
        async with opened(make, Setup(urls=(server.base,), max_connections=4)) as transport:
            got = await asyncio.gather(*(call(transport, url) for _ in range(50)))
            assert got == [(200, b"ok")] * 50
            assert server.n_connections == 4


async def check_stale_connection(make: Make) -> None:
    """A reused connection that closes without a byte is tried once more on a new one; a new one is not."""
    async with Misbehaving() as server, opened(make, Setup(urls=(server.base,))) as transport:
        for steps in ((sized(b"one"),), (End.CLOSE,), (sized(b"two"),), (End.CLOSE,)):
            server.script("/", *steps)
        url = server.base + "/"
        assert await call(transport, url) == (200, b"one")
        assert await call(transport, url) == (200, b"two")
        assert [request.connection for request in server.requests] == [0, 0, 1]
        assert await call(transport, url) == "provider_unreachable", "closed twice: told, not tried for ever"
        assert len(server.requests) == 5
        assert await call(transport, url) == "provider_unreachable", "a new connection is not tried again"
        assert len(server.requests) == 6


async def check_half_answer_is_not_retried(make: Make) -> None:
    """Once a byte of an answer came, the request is not sent again."""
    async with Misbehaving() as server, opened(make, Setup(urls=(server.base,))) as transport:
        for steps in ((sized(b"one"),), (b"HTTP/1.1 2", End.CLOSE), (sized(b"two"),)):
            server.script("/", *steps)
        assert await call(transport, server.base + "/") == (200, b"one")
        assert await call(transport, server.base + "/") == "provider_unreachable"
        assert len(server.requests) == 2


async def check_unread_answer_is_closed(make: Make) -> None:
    """An answer closed before its end takes its connection with it and frees the place."""
    async with Misbehaving() as server:
        stream = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"
        url = server.script("/stream", stream, End.HOLD)
        after = server.script("/after", sized(b"after"))
        async with opened(make, Setup(urls=(server.base,), max_connections=1)) as transport:
            response = await transport.send(probe(url), PATIENT)
            assert await response.chunk() == b"hello"
            response.close()
            response.close()
            await asyncio.wait_for(server.until_open(0), WAIT_S)
            assert await call(transport, after) == (200, b"after")


async def check_cancellation(make: Make) -> None:
    """A call cancelled at any point frees its place and closes what it had opened."""
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"
    for steps, n_received in (((End.HOLD,), 1), ((head, End.HOLD), 1), ((head + b"1234", End.HOLD), 1)):
        async with Misbehaving() as server:
            url = server.script("/", *steps)
            after = server.script("/after", sized(b"after"))
            async with opened(make, Setup(urls=(server.base,), max_connections=1)) as transport:
                first = asyncio.ensure_future(call(transport, url))
                await asyncio.wait_for(server.until_received(n_received), WAIT_S)
                queued = asyncio.ensure_future(call(transport, after))
                await asyncio.sleep(0.01)
                await _cancel(queued)
                await _cancel(first)
                await asyncio.wait_for(server.until_open(0), WAIT_S)
                assert await call(transport, after) == (200, b"after"), f"cancelled in {steps!r}"


async def check_cancelled_while_connecting(make: Make) -> None:
    """A call cancelled before it has a connection frees its place."""
    gate = asyncio.Event()

    async def slow(_host: str, _port: int) -> tuple[str, ...]:
        await gate.wait()
        return ("127.0.0.1",)

    async with Misbehaving() as server:
        server.script("/", sized(b"ok"))
        url = f"http://localhost:{server.port}/"
        async with opened(make, Setup(urls=(url,), max_connections=1, lookup=slow)) as transport:
            first = asyncio.ensure_future(call(transport, url))
            await asyncio.sleep(0.01)
            await _cancel(first)
            gate.set()
            assert await call(transport, url) == (200, b"ok")


async def check_queue_is_limited(make: Make) -> None:
    """Waiting for a connection counts as connecting."""
    limits = Timeouts(connect_s=0.1, first_byte_s=2.0, idle_s=2.0, total_s=5.0)
    async with Misbehaving() as server:
        url = server.script("/", End.HOLD)
        async with opened(make, Setup(urls=(server.base,), max_connections=1)) as transport:
            first = asyncio.ensure_future(call(transport, url))
            await asyncio.wait_for(server.until_received(1), WAIT_S)
            assert await call(transport, url, timeouts=limits) == "timeout_connect"
            await _cancel(first)


async def check_no_connection(make: Make) -> None:
    """Refused, unknown and hanging destinations each have their class."""

    async def unknown(_host: str, _port: int) -> tuple[str, ...]:
        raise OSError("name or service not known")

    async def hangs(_host: str, _port: int) -> tuple[str, ...]:
        await asyncio.Event().wait()
        raise AssertionError("never reached")

    async with Misbehaving() as server:
        closed = server.base
    limits = Timeouts(connect_s=0.1, first_byte_s=2.0, idle_s=2.0, total_s=5.0)
    named = "http://localhost:9"
    for url, lookup, word in (
        (closed, system_lookup, "provider_unreachable"),
        (named, unknown, "provider_unreachable"),
        (named, hangs, "timeout_connect"),
    ):
        async with opened(make, Setup(urls=(url,), lookup=lookup)) as transport:
            got = await call(transport, url + "/", timeouts=limits)
            assert got == word, f"{url} {lookup}: {got}"


async def check_guard(make: Make) -> None:
    """Unlisted destinations and names that resolve to private addresses are refused (S-50, S-51)."""
    answers = [("127.0.0.1",), ("127.0.0.1", "10.0.0.1")]

    async def rebinding(_host: str, _port: int) -> tuple[str, ...]:
        return answers.pop(0)

    async with Misbehaving() as server:
        listed = server.script("/", sized(b"ok"), End.CLOSE)
        url = f"http://localhost:{server.port}/"
        async with opened(make, Setup(urls=(url,), lookup=rebinding)) as transport:
            assert await call(transport, listed) == "forbidden", "127.0.0.1 is not localhost by name"
            assert await call(transport, f"http://localhost:{server.port + 1}/") == "forbidden"
            assert await call(transport, f"https://localhost:{server.port}/") == "forbidden"
        async with opened(make, Setup(urls=("https://api.example.com",), lookup=rebinding)) as transport:
            assert await call(transport, "https://api.example.com/") == "forbidden", "public name, loopback"
            assert await call(transport, "https://api.example.com/") == "forbidden"
        assert server.n_connections == 0


async def check_redirect_is_not_followed(make: Make) -> None:
    """A 3xx answer is handed back; its target is not contacted (S-52)."""
    async with Misbehaving() as server, opened(make, Setup(urls=(server.base,))) as transport:
        target = server.script("/elsewhere", sized(b"wrong"))
        location = b"location: " + target.encode()
        url = server.script("/", b"HTTP/1.1 307 T\r\n" + location + b"\r\ncontent-length: 0\r\n\r\n")
        response = await transport.send(probe(url), PATIENT)
        assert (response.status, response.headers["location"]) == (307, target)
        assert await response.read() == b""
        assert [request.target for request in server.requests] == ["/"]


async def check_slow_reader_holds_the_upstream_back(make: Make) -> None:
    """A stream that is not read is not buffered without limit, and loses nothing."""
    piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    n_pieces = 400
    async with Misbehaving() as server, opened(make, Setup(urls=(server.base,))) as transport:
        head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        url = server.script("/", head, *((piece,) * n_pieces), b"0\r\n\r\n")
        response = await transport.send(probe(url), PATIENT)
        await asyncio.sleep(0.1)
        size = biggest = 0
        while part := await response.chunk():
            size += len(part)
            biggest = max(biggest, len(part))
        assert size == 65536 * n_pieces
        assert biggest <= 4 << 20, "what waits unread is bounded"


async def check_close(make: Make) -> None:
    """A closed transport has no connections and takes no requests."""
    async with Misbehaving() as server:
        url = server.script("/", sized(b"ok"))
        transport = make(Setup(urls=(server.base,)))
        assert await call(transport, url) == (200, b"ok")
        await transport.close()
        await asyncio.wait_for(server.until_open(0), WAIT_S)
        assert await call(transport, url) == GatewayOverloaded.row.word
        await transport.close()


async def _cancel(task: "asyncio.Future[Outcome]") -> None:
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled(), "cancellation is not swallowed"


SCRIPTS: tuple[Scripted, ...] = (*CLEAN, *BROKEN, *SLOW, *WHOLE_ONLY)
CHECKS: tuple[Callable[[Make], Awaitable[None]], ...] = (
    check_split_anywhere,
    check_request_as_sent,
    check_smuggling_refused,
    check_reuse,
    check_cap,
    check_stale_connection,
    check_half_answer_is_not_retried,
    check_unread_answer_is_closed,
    check_cancellation,
    check_cancelled_while_connecting,
    check_queue_is_limited,
    check_no_connection,
    check_guard,
    check_redirect_is_not_followed,
    check_slow_reader_holds_the_upstream_back,
    check_close,
)
"""Every check that is not a script; tests may run them one by one."""
