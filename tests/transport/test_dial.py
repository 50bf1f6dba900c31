"""Resolve, judge, dial: for each connection, on the address actually dialled (S-51)."""

import asyncio
import socket

import pytest

from tests.transport.makers import make_http, make_library
from turnout.errors import Forbidden, ProviderUnreachable
from turnout.testing.misbehaving import End, Misbehaving
from turnout.testing.transport_probe import Setup, call, opened
from turnout.testing.transport_scripts import sized
from turnout.transport.dial import Dialer, Resolver
from turnout.transport.guard import Guard, Origin, egress_for
from turnout.transport.http import HttpOptions, HttpTransport
from turnout.types.http import Timeouts

MAKERS = pytest.mark.parametrize("make", [make_http, make_library], ids=["http", "library"])


def answering(*answers):
    """Resolve to each answer in turn, then to the last; `asked` counts."""
    left = list(answers)

    async def lookup(_host, _port):
        lookup.asked += 1
        return left.pop(0) if len(left) > 1 else left[0]

    lookup.asked = 0
    return lookup


def public(url, lookup, **options):
    """A client that may dial loopback by network, so that a public name can lead there in a test."""
    return HttpTransport(
        egress_for([url], allow_cidrs=["127.0.0.1/32", "::1/128"], allow_http=["api.example.com"]),
        HttpOptions(tick_s=0.01, **options),
        lookup=lookup,
    )


async def test_a_name_that_turns_private_is_refused_at_the_next_connection():
    async with Misbehaving() as server:
        server.script("/", sized(b"ok") + b"", End.CLOSE)
        url = f"http://api.example.com:{server.port}/"
        lookup = answering(["127.0.0.1"], ["169.254.169.254"])
        transport = public(url, lookup, dns_ttl_s=0.0)
        assert await call(transport, url) == (200, b"ok")
        await server.until_open(0)
        assert await call(transport, url) == "forbidden"
        await transport.close()


async def test_a_cached_answer_is_judged_again():
    guard = Guard(egress_for(["https://api.example.com"], allow_cidrs=["10.0.0.0/8"]))
    origin = Origin("https", "api.example.com", 443)
    dialer = Dialer(guard, Resolver(answering(["10.0.0.1"])))
    assert await dialer.addresses(origin) == ["10.0.0.1"]
    dialer.guard = Guard(egress_for(["https://api.example.com"]))
    with pytest.raises(Forbidden, match="private"):
        await dialer.addresses(origin)


async def test_names_are_remembered_for_their_time_only():
    origin = Origin("https", "api.example.com", 443)
    for ttl_s, asked in ((30.0, 1), (0.0, 3)):
        lookup = answering(["8.8.8.8"])
        resolver = Resolver(lookup, ttl_s=ttl_s)
        for _ in range(3):
            assert await resolver.resolve(origin) == ["8.8.8.8"]
        assert lookup.asked == asked


async def test_literals_are_not_looked_up():
    lookup = answering(["8.8.8.8"])
    assert await Resolver(lookup).resolve(Origin("http", "127.0.0.1", 80)) == ("127.0.0.1",)
    assert await Resolver(lookup).resolve(Origin("http", "::1", 80)) == ("::1",)
    assert lookup.asked == 0


async def test_a_name_without_address_is_unreachable():
    with pytest.raises(ProviderUnreachable, match="no address"):
        await Resolver(answering([])).resolve(Origin("https", "api.example.com", 443))


@MAKERS
async def test_the_next_address_is_tried_when_one_refuses(make):
    async with Misbehaving() as server:
        server.script("/", sized(b"ok"))
        url = f"http://localhost:{server.port}/"
        lookup = answering(["::1", "127.0.0.2", "127.0.0.1"])
        async with opened(make, Setup(urls=(url,), lookup=lookup)) as transport:
            assert await call(transport, url) == (200, b"ok")


@MAKERS
async def test_ipv6_is_spoken(make):
    if not socket.has_ipv6:
        pytest.skip("no IPv6 on this machine")
    try:
        server = await Misbehaving(host="::1").__aenter__()
    except OSError:
        pytest.skip("no IPv6 loopback on this machine")
    url = server.script("/", sized(b"ok"))
    async with opened(make, Setup(urls=(url,))) as transport:
        assert await call(transport, url) == (200, b"ok")
        assert server.requests[0].headers["host"] == f"[::1]:{server.port}"
    await server.__aexit__()


@MAKERS
async def test_an_address_that_swallows_packets_is_a_connect_timeout(make):
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:  # more than the backlog holds: further packets are dropped
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        url = f"http://127.0.0.1:{port}/"
        limits = Timeouts(connect_s=0.1, first_byte_s=2.0, idle_s=2.0, total_s=5.0)
        async with opened(make, Setup(urls=(url,))) as transport:
            assert await call(transport, url, timeouts=limits) == "timeout_connect"
        for filler in fillers:
            filler.close()


async def test_one_black_hole_does_not_eat_the_whole_limit():
    asked = []

    class Hanging(asyncio.Protocol):
        pass

    class Dials(Dialer):
        async def _connect(self, origin, address, make):
            asked.append(address)
            if address == "8.8.8.8":
                await asyncio.Event().wait()
            return make()

    guard = Guard(egress_for(["https://api.example.com"]))
    dialer = Dials(guard, Resolver(answering(["8.8.8.8", "1.1.1.1"])))
    by = asyncio.get_running_loop().time() + 0.1
    await dialer.dial(Origin("https", "api.example.com", 443), Hanging, by)
    assert asked == ["8.8.8.8", "1.1.1.1"]


async def test_the_total_limit_holds_while_connecting():
    async def hangs(_host, _port):
        await asyncio.Event().wait()

    url = "http://localhost:9/"
    async with opened(make_http, Setup(urls=(url,), lookup=hangs)) as transport:
        limits = Timeouts(connect_s=5.0, first_byte_s=5.0, idle_s=5.0, total_s=0.05)
        assert await call(transport, url, timeouts=limits) == "timeout_total"


async def test_a_peer_that_was_not_dialled_is_refused(monkeypatch):
    async with Misbehaving() as server:
        url = server.script("/", sized(b"ok"))
        monkeypatch.setattr(Guard, "peer", lambda *_: (_ for _ in ()).throw(Forbidden("peer")))
        for make in (make_http, make_library):
            async with opened(make, Setup(urls=(url,))) as transport:
                assert await call(transport, url) == "forbidden"
        assert server.requests == []
