"""What the second client is for: outbound proxies and HTTP/2."""

import asyncio
import base64
import ssl

import h2.config
import h2.connection
import h2.events
import pytest

from turnout.errors import ConfigError
from turnout.testing.misbehaving import Misbehaving
from turnout.testing.transport_probe import call, probe
from turnout.testing.transport_scripts import PATIENT, sized
from turnout.transport.guard import egress_for
from turnout.transport.library import LibraryOptions, LibraryTransport
from turnout.transport.pool import HostStats
from turnout.transport.response import ResponseLimits
from turnout.transport.tls import tls_context
from turnout.types.http import HttpRequest, Timeouts

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])


class Proxy:
    """A forward proxy: CONNECT tunnels, absolute targets; remembers the first line of every request."""

    def __init__(self, to_port):
        self.to_port = to_port
        self.seen = []

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exc):
        self.server.close()

    async def serve(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        self.seen.append((lines[0], [line for line in lines if line.lower().startswith("proxy-auth")]))
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.to_port)
        if lines[0].startswith("CONNECT"):
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        else:
            method, target, version = lines[0].split(" ")
            path = "/" + target.split("/", 3)[3]
            up_writer.write(head.replace(lines[0].encode(), f"{method} {path} {version}".encode(), 1))
        await asyncio.gather(self.pump(reader, up_writer), self.pump(up_reader, writer))

    async def pump(self, reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()


async def test_a_proxy_carries_plain_requests_and_needs_no_name_to_resolve():
    async with Misbehaving() as server, Proxy(server.port) as proxy:
        server.script("/v1?a=b", sized(b"ok"))
        url = "http://api.example.com/v1?a=b"
        egress = egress_for([url], allow_http=["api.example.com"])
        transport = LibraryTransport(egress, proxy=proxy.url.replace("//", "//us%65r:pass%21@"))
        assert await call(transport, url) == (200, b"ok")
        await transport.close()
    auth = "Proxy-Authorization: Basic " + base64.b64encode(b"user:pass!").decode()
    assert proxy.seen == [("POST http://api.example.com/v1?a=b HTTP/1.1", [auth])]


async def test_a_proxy_tunnels_tls_and_the_certificate_is_the_upstreams(certificates):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem")
    trust = tls_context(ca_file=str(certificates / "ca.pem"))
    async with Misbehaving(context) as server, Proxy(server.port) as proxy:
        server.script("/", sized(b"ok"))
        for host, expected in (("localhost", (200, b"ok")), ("api.example.com", "provider_unreachable")):
            url = f"https://{host}/"
            transport = LibraryTransport(egress_for([url]), proxy=proxy.url, tls=trust)
            assert await call(transport, url) == expected
            await transport.close()
    assert [line for line, _ in proxy.seen] == [
        "CONNECT localhost:443 HTTP/1.1",
        "CONNECT api.example.com:443 HTTP/1.1",
    ]


async def test_behind_a_proxy_the_list_of_targets_still_applies():
    async with Proxy(1) as proxy:
        transport = LibraryTransport(egress_for(["https://api.example.com"]), proxy=proxy.url)
        assert await call(transport, "https://evil.example/") == "forbidden"
        assert proxy.seen == []
        await transport.close()


async def test_a_proxy_at_a_private_address_must_be_allowed():
    async def private(_host, _port):
        return ["10.0.0.9"]

    transport = LibraryTransport(
        egress_for(["https://api.example.com"]), proxy="http://proxy.internal:3128", lookup=private
    )
    assert await call(transport, "https://api.example.com/") == "forbidden"
    await transport.close()


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "http://0x7f.1:80", "127.0.0.1:80"])
async def test_a_proxy_that_cannot_be_used_is_refused_at_load(proxy):
    with pytest.raises(ConfigError, match=r"egress\.proxy"):
        LibraryTransport(egress_for([]), proxy=proxy)


async def test_proxies_of_the_environment_are_not_used(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with Misbehaving() as server:
        url = server.script("/", sized(b"ok"))
        transport = LibraryTransport(egress_for([url]))
        assert await call(transport, url) == (200, b"ok")
        await transport.close()


async def test_reload_keeps_allowed_connections_and_closes_the_others():
    async with Misbehaving() as one, Misbehaving() as two:
        urls = [server.script("/", sized(b"ok")) for server in (one, two)]
        transport = LibraryTransport(egress_for(urls))
        for url in urls:
            assert await call(transport, url) == (200, b"ok")
        assert transport.stats()[0] == HostStats(
            origin=one.base, open=1, idle=1, in_flight=0, queued=0, opened_total=1
        )
        transport.allow(egress_for(urls[:1]))
        await asyncio.wait_for(two.until_open(0), 2)
        assert await call(transport, urls[0]) == (200, b"ok")
        assert await call(transport, urls[1]) == "forbidden"
        assert one.n_connections == 1
        await transport.close()


class H2Server(asyncio.Protocol):
    """Answers HTTP/2 requests by their path; counts connections and resets."""

    n_connections = 0
    resets = 0
    requests = ()

    def connection_made(self, transport):
        H2Server.n_connections += 1
        self.transport = transport
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.h2.initiate_connection()
        self.flush()

    def flush(self):
        self.transport.write(self.h2.data_to_send())

    def data_received(self, data):
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                H2Server.requests += (dict(event.headers),)
            elif isinstance(event, h2.events.DataReceived):
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.answer(event.stream_id, H2Server.requests[-1][b":path"])
            elif isinstance(event, h2.events.StreamReset):
                H2Server.resets += 1
        self.flush()

    def answer(self, stream, path):
        if path == b"/silent":
            return
        self.h2.send_headers(stream, [(":status", "200"), ("content-type", "text/plain")])
        self.h2.send_data(stream, b"", end_stream=False)
        self.h2.send_data(stream, b"hello")
        if path == b"/cut":
            self.h2.reset_stream(stream)
        elif path != b"/held":
            self.h2.end_stream(stream)


@pytest.fixture
async def h2_url(certificates):
    H2Server.n_connections = H2Server.resets = 0
    H2Server.requests = ()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem")
    context.set_alpn_protocols(["h2"])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(H2Server, "127.0.0.1", 0, ssl=context)
    yield f"https://localhost:{server.sockets[0].getsockname()[1]}"
    server.close()


def h2_client(url, certificates, **limits):
    trust = tls_context(ca_file=str(certificates / "ca.pem"))
    options = LibraryOptions(limits=ResponseLimits(**limits))
    return LibraryTransport(egress_for([url]), options, http2=True, tls=trust)


async def test_http2_shares_one_connection(h2_url, certificates):
    transport = h2_client(h2_url, certificates)
    assert await call(transport, h2_url + "/") == (200, b"hello")
    got = await asyncio.gather(*(call(transport, f"{h2_url}/{n}") for n in range(10)))
    assert got == [(200, b"hello")] * 10
    assert H2Server.n_connections == 1
    assert H2Server.requests[0][b":authority"] == h2_url.removeprefix("https://").encode()
    assert H2Server.requests[0][b"accept-encoding"] == b"identity"
    await transport.close()


async def test_http2_failures_have_the_same_classes(h2_url, certificates):
    transport = h2_client(h2_url, certificates)
    fast = Timeouts(connect_s=2.0, first_byte_s=0.1, idle_s=0.1, total_s=5.0)
    assert await call(transport, h2_url + "/silent", timeouts=fast) == "timeout_ttft"
    assert await call(transport, h2_url + "/held", timeouts=fast) == "timeout_idle"
    assert await call(transport, h2_url + "/cut") == "stream_interrupted"
    assert H2Server.resets == 2, "the upstream is told that nobody waits for the first two"
    assert await call(transport, h2_url + "/") == (200, b"hello"), "the connection survives its streams"
    assert H2Server.n_connections == 1
    await transport.close()


async def test_an_http2_answer_given_up_is_reset(h2_url, certificates):
    transport = h2_client(h2_url, certificates)
    response = await transport.send(probe(h2_url + "/held"), PATIENT)
    assert await response.chunk() == b"hello"
    response.close()
    assert await call(transport, h2_url + "/") == (200, b"hello")
    assert (H2Server.resets, H2Server.n_connections) == (1, 1)
    await transport.close()


async def test_a_body_over_the_limit_is_refused_over_http2(h2_url, certificates):
    transport = h2_client(h2_url, certificates, body_bytes=4)
    assert await call(transport, h2_url + "/") == "provider_bad_response"
    await transport.close()


async def test_without_http2_an_upstream_is_spoken_to_in_1_1(certificates):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem")
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with Misbehaving(context) as server:
        server.script("/", sized(b"ok"))
        url = f"https://localhost:{server.port}/"
        transport = LibraryTransport(egress_for([url]), tls=tls_context(ca_file=str(certificates / "ca.pem")))
        response = await transport.send(HttpRequest("GET", url, ()), PATIENT)
        assert await response.read() == b"ok"
        await transport.close()
