"""TLS towards upstreams is verified, at 1.2 or above, and names the host."""

import asyncio
import ssl

import pytest

from tests.transport.makers import make_http, make_library
from turnout.errors import ConfigError
from turnout.testing.misbehaving import End, Misbehaving
from turnout.testing.transport_probe import Setup, call
from turnout.testing.transport_scripts import sized
from turnout.transport.guard import egress_for
from turnout.transport.http import HttpTransport
from turnout.transport.library import LibraryTransport
from turnout.transport.tls import tls_context
from turnout.types.http import Timeouts

CLIENTS = [HttpTransport, LibraryTransport]
both_clients = pytest.mark.parametrize("client", CLIENTS, ids=["http", "library"])


@pytest.fixture
def server_tls(certificates):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem")
    return context


@pytest.fixture
def trust(certificates):
    return tls_context(ca_file=str(certificates / "ca.pem"))


@both_clients
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_private_authority_is_trusted_when_given(client, host, server_tls, trust):
    names = []
    server_tls.sni_callback = lambda _sock, name, _context: names.append(name)
    async with Misbehaving(server_tls) as server:
        server.script("/", sized(b"ok"))
        url = f"https://{host}:{server.port}/"
        transport = client(egress_for([url]), tls=trust)
        assert [await call(transport, url) for _ in range(3)] == [(200, b"ok")] * 3
        assert server.n_connections == 1
        await transport.close()
    assert names == ["localhost" if host == "localhost" else None]


@both_clients
async def test_an_unknown_authority_is_refused(client, server_tls):
    async with Misbehaving(server_tls) as server:
        url = f"https://localhost:{server.port}/"
        transport = client(egress_for([url]))
        assert await call(transport, url) == "provider_unreachable"
        assert server.requests == []
        await transport.close()


@both_clients
async def test_a_certificate_for_another_name_is_refused(client, server_tls, trust):
    async def elsewhere(_host, _port):
        return ["127.0.0.1"]

    async with Misbehaving(server_tls) as server:
        url = f"https://other.example:{server.port}/"
        egress = egress_for([url], allow_cidrs=["127.0.0.0/8"])
        transport = client(egress, tls=trust, lookup=elsewhere)
        assert await call(transport, url) == "provider_unreachable"
        assert server.requests == []
        await transport.close()


@both_clients
async def test_tls_below_1_2_is_refused(client, certificates, trust):
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.load_cert_chain(certificates / "server.pem")
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1 is"):
        old.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match=r"TLSv1_1 is"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    async with Misbehaving(old) as server:
        url = f"https://localhost:{server.port}/"
        transport = client(egress_for([url]), tls=trust)
        assert await call(transport, url) == "provider_unreachable"
        await transport.close()


@pytest.mark.parametrize("make", [make_http, make_library], ids=["http", "library"])
async def test_a_handshake_that_hangs_counts_as_connecting(make):
    limits = Timeouts(connect_s=0.1, first_byte_s=2.0, idle_s=2.0, total_s=5.0)
    async with Misbehaving() as silent:
        url = silent.script("/", End.HOLD).replace("http:", "https:")
        transport = make(Setup(urls=(url,)))
        assert await call(transport, url, timeouts=limits) == "timeout_connect"
        await asyncio.wait_for(silent.until_open(0), 2)
        await transport.close()


async def test_a_stream_over_tls_arrives_whole(server_tls, trust):
    piece = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    async with Misbehaving(server_tls) as server:
        head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        server.script("/", head, *((piece,) * 80), b"0\r\n\r\n")
        url = f"https://localhost:{server.port}/"
        transport = HttpTransport(egress_for([url]), tls=trust)
        assert await call(transport, url) == (200, b"x" * 0x8000 * 80)
        await transport.close()


@both_clients
def test_a_context_that_does_not_verify_is_refused(client):
    lax = ssl.create_default_context()
    lax.check_hostname = False
    lax.verify_mode = ssl.CERT_NONE
    with pytest.raises(ConfigError, match="verification must be on"):
        client(egress_for([]), tls=lax)
    old = ssl.create_default_context()
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is"):
        old.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ConfigError, match=r"TLS 1\.2"):
        client(egress_for([]), tls=old)


def test_an_unreadable_authority_file_is_named():
    with pytest.raises(ConfigError, match="ca_file /nowhere"):
        tls_context(ca_file="/nowhere")
    with pytest.raises(ConfigError, match="expected a PEM file"):
        tls_context(ca_file=__file__)


def test_the_system_store_can_be_trusted_instead():
    context = tls_context(system=True)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
