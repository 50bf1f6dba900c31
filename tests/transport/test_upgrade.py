"""Dialling a WebSocket: by the same guard as everything else, and believed only with a proof."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from turnout.errors import Forbidden, ProviderBadResponse, ProviderUnreachable, TimeoutTtft
from turnout.transport.guard import egress_for
from turnout.transport.http import HttpTransport
from turnout.transport.upgrade import MOST_BODY
from turnout.transport.websocket import Closed, Message, accept_key
from turnout.types.http import HttpRequest, Timeouts

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
HELLO = b"\x81\x05hello"


@asynccontextmanager
async def upstream(answer):
    """Serve one script per connection: what `answer(key)` returns is sent, then the connection is held."""

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        key = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
        data = answer(key.split(b": ")[1])
        if data is not None:
            writer.write(data)
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    transport = HttpTransport(egress_for([base]))
    try:
        yield transport, HttpRequest("GET", f"{base}/v1/realtime?model=m", ())
    finally:
        await transport.close()
        server.close()


def upgrade(transport, request, first_byte_s: float | None = 5.0):
    return transport.upgrade(request, Timeouts(connect_s=5.0, first_byte_s=first_byte_s), None, 1000)


def proven(key: bytes, rest: bytes = b"") -> bytes:
    return SWITCH + b"Sec-WebSocket-Accept: " + accept_key(key) + b"\r\n\r\n" + rest


async def test_what_follows_the_handshake_at_once_is_the_first_message():
    async with upstream(lambda key: proven(key, HELLO + b"\x88\x02\x03\xe8")) as (transport, request):
        found = await upgrade(transport, request)
        assert await found.socket.receive() == Message(b"hello")
        with pytest.raises(Closed) as closed:
            await found.socket.receive()
        assert (closed.value.code, found.response.status) == (1000, 101)
        found.socket.abort()


async def test_a_refusal_is_the_http_answer_it_is():
    body = b'{"error": {"code": "invalid_api_key"}}'
    head = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with upstream(lambda _: head + body) as (transport, request):
        found = await upgrade(transport, request)
        assert (found.socket, found.response.status, found.response.body) == (None, 401, body)
    endless = b"HTTP/1.1 500 No\r\nContent-Length: 9999999\r\n\r\n" + bytes(3 * MOST_BODY)
    async with upstream(lambda _: endless) as (transport, request):
        assert len((await upgrade(transport, request)).response.body) == MOST_BODY


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (lambda _: proven(b"another key"), ProviderBadResponse),
        (lambda _: SWITCH + b"\r\n", ProviderBadResponse),
        (
            lambda key: proven(key).replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: x\r\n\r\n"),
            ProviderBadResponse,
        ),
        (lambda _: b"SSH-2.0-hello\r\n", ProviderBadResponse),
        (lambda _: None, ProviderUnreachable),
    ],
)
async def test_what_is_no_handshake_is_a_failure_of_the_upstream(answer, failure):
    async with upstream(answer) as (transport, request):
        with pytest.raises(failure):
            await upgrade(transport, request)


async def test_only_what_is_configured_is_dialled_and_nobody_waits_for_ever():
    async with upstream(lambda _: b"") as (transport, request):
        with pytest.raises(Forbidden):
            await upgrade(transport, HttpRequest("GET", "https://elsewhere.test/v1/realtime", ()))
        with pytest.raises(TimeoutTtft):
            await upgrade(transport, request, 0.05)
