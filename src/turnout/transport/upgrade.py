"""Dialling a WebSocket upstream: an HTTP/1.1 request that asks for another protocol. Floor 3.

Theory of operation.
1. The connection is dialled by the same dialer as every other: judged address, verified TLS. It is never
   pooled: it belongs to one session.
2. An answer other than 101 is read as the HTTP answer it is, at most `MOST_BODY` bytes of it, so that its
   error is classed like any other.
3. 101 without the right proof is no WebSocket and closes the connection. Bytes behind the head are the first
   of the new protocol.
"""

import asyncio
import secrets
from base64 import b64encode
from typing import Final, cast

import httptools
from httptools import HttpParserError, HttpParserUpgrade
from msgspec import Struct

from turnout.errors import ProviderBadResponse, ProviderUnreachable
from turnout.transport.headers import HeaderMap
from turnout.transport.websocket import WebSocket, accept_key
from turnout.types.http import HttpResponse

MOST_HEAD: Final = 64 * 1024
MOST_BODY: Final = 64 * 1024
SWITCHING: Final = 101


class Upgraded(Struct, frozen=True):
    """How an upstream answered the wish for another protocol."""

    response: HttpResponse
    socket: WebSocket | None
    """None = it did not agree."""


def asking(head: bytes, key: bytes) -> bytes:
    """Return a request's head with the wish for a WebSocket in it."""
    wish = b"connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: "
    return head.removesuffix(b"\r\n") + wish + key + b"\r\n\r\n"


def new_key() -> bytes:
    """Return a client's key (RFC 6455, 4.1)."""
    return b64encode(secrets.token_bytes(16))


class Handshake(asyncio.Protocol):
    """The connection until the upstream has answered.

    Args:
        where: Host and port, for messages.
        max_message: Bytes of one message of the socket that comes of it.
    """

    def __init__(self, where: str, max_message: int) -> None:
        self._where = where
        self._max_message = max_message
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Upgraded] = asyncio.get_running_loop().create_future()
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = bytearray()
        self._n_seen = 0
        self._key = b""

    async def ask(self, head: bytes) -> Upgraded:
        """Send the request and return how it was answered.

        Raises `ProviderUnreachable` (closed before it was), `ProviderBadResponse`. Leaving by an exception,
        cancellation included, has closed the connection.
        """
        assert self._transport is not None
        self._key = new_key()
        try:
            self._transport.write(asking(head, self._key))
            found = await self._answer
        except BaseException:
            self._transport.abort()
            raise
        if found.socket is None:
            self._transport.abort()
        return found

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)  # what a stream protocol always gets

    def data_received(self, data: bytes) -> None:
        """Read the answer."""
        if self._answer.done():
            return
        self._n_seen += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as found:
            self._switch(data[found.args[0] :])
        except HttpParserError:
            self._fail(ProviderBadResponse(f"{self._where}: the answer is not valid HTTP/1.1"))
        if self._n_seen > MOST_HEAD + MOST_BODY and not self._answer.done():
            self._complete()

    def eof_received(self) -> bool:
        """Take a body without length as complete."""
        if self._headers:
            self._complete()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Take in that the upstream hung up."""
        self._fail(ProviderUnreachable(f"{self._where}: connection closed before it answered"))

    # Called by the parser.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header."""
        self._headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body of a refusal."""
        self._body += body[: MOST_BODY - len(self._body)]

    def on_message_complete(self) -> None:
        """The answer is complete."""
        if self._parser.get_status_code() != SWITCHING:
            self._complete()

    def _complete(self) -> None:
        if not self._answer.done():
            self._answer.set_result(Upgraded(self._response(), None))

    def _response(self) -> HttpResponse:
        return HttpResponse(self._parser.get_status_code(), HeaderMap(self._headers), bytes(self._body))

    def _switch(self, rest: bytes) -> None:
        response = self._response()
        proof = response.headers.get("sec-websocket-accept", "").encode()
        if response.status != SWITCHING or proof != accept_key(self._key):
            self._fail(ProviderBadResponse(f"{self._where}: the answer is no WebSocket handshake"))
            return
        if response.headers.get("sec-websocket-extensions"):
            self._fail(ProviderBadResponse(f"{self._where}: the handshake names extensions nobody offered"))
            return
        assert self._transport is not None
        socket = WebSocket("client", self._max_message)
        self._transport.set_protocol(socket)
        socket.connection_made(self._transport)
        if rest:
            socket.data_received(rest)
        self._answer.set_result(Upgraded(response, socket))

    def _fail(self, error: ProviderBadResponse | ProviderUnreachable) -> None:
        if not self._answer.done():
            self._answer.set_exception(error)
            self._answer.exception()  # nobody may be asking: then there is nobody to tell
            if self._transport is not None:
                self._transport.abort()
