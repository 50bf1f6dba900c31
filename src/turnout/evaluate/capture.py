"""A proxy in front of one provider that writes down what passes, without credentials. Floor 6.

Theory of operation.
1. One destination, given by the operator; a client chooses the path below it and nothing else.
2. Credentials pass as what they are, beside the headers, so that the recorder never sees them; it keeps a
   list of harmless headers only and replaces keys in the query (`transport/recording.py`).
3. Bytes pass as they come, in both directions: what is written is what was sent. Compression is not asked
   for, so that answers are text.
"""

import asyncio

import msgspec

from turnout.errors import TurnoutError
from turnout.server.http import (
    JSON_TYPE,
    Disconnected,
    HangUp,
    RawHeaders,
    Receive,
    Scope,
    Send,
    read_body,
    respond,
)
from turnout.transport.base import Response, Transport
from turnout.types.http import HttpRequest, Timeouts

_MAX_BODY = 32 * 1024 * 1024
_TIMEOUTS = Timeouts(connect_s=10, first_byte_s=600, idle_s=600, total_s=3600)
_HOP = frozenset(
    {
        b"host",
        b"content-length",
        b"connection",
        b"transfer-encoding",
        b"accept-encoding",
        b"te",
        b"user-agent",
    }
    | {b"keep-alive", b"upgrade", b"expect", b"trailer", b"proxy-connection", b"proxy-authorization"}
)
"""Belong to one connection, or are the transport's to write."""
_CREDENTIALS = frozenset(
    {b"authorization", b"x-api-key", b"x-goog-api-key", b"api-key", b"cookie", b"x-amz-security-token"}
)
_NOT_PASSED_BACK = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "content-length", "set-cookie"}
)


class Capture:
    """The ASGI application.

    Args:
        to: Base address of the provider; the client's path is appended.
        transport: Sends and records; see `transport.replay.RecordingTransport`.
    """

    def __init__(self, to: str, transport: Transport) -> None:
        self._to = to.rstrip("/")
        self._transport = transport

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] != "http":
            return
        try:
            body = await read_body(receive, _MAX_BODY, None, "")
            hang_up = HangUp(receive, 0.0)
        except Disconnected:
            return
        except TurnoutError as error:
            await _refuse(send, error)
            return
        try:
            await self._forward(scope, body, send)
        except asyncio.CancelledError:
            if not hang_up.gone:
                raise
        finally:
            hang_up.stop()

    async def _forward(self, scope: Scope, body: bytes, send: Send) -> None:
        headers = [(name, value) for name, value in scope["headers"] if name not in _HOP]
        secret = [header for header in headers if header[0] in _CREDENTIALS]
        request = HttpRequest(
            scope["method"],
            self._to + _target(scope),
            [header for header in headers if header[0] not in _CREDENTIALS],
            body,
        )
        try:
            response = await self._transport.send(request, _TIMEOUTS, lambda _: secret)
        except TurnoutError as error:
            await _refuse(send, error)
            return
        try:
            await _pass_back(response, send)
        finally:
            response.close()


def _target(scope: Scope) -> str:
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    return (path + (b"?" + query if query else b"")).decode("latin-1")


async def _pass_back(response: Response, send: Send) -> None:
    """Pass an answer on as it arrives; one that breaks off breaks off for the client too."""
    encoded = {"content-encoding"} if "content-encoding" in response.headers else set()
    headers = [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in response.headers.items()
        if name not in _NOT_PASSED_BACK | encoded  # the transport undid the encoding
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    while data := await response.chunk():
        await send({"type": "http.response.body", "body": data, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _refuse(send: Send, error: TurnoutError) -> None:
    body = msgspec.json.encode({"error": {"message": error.message, "type": error.row.word}})
    headers: RawHeaders = [JSON_TYPE, (b"x-turnout-error-class", error.row.word.encode())]
    await respond(send, error.row.status, headers, body)
