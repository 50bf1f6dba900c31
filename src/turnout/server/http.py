"""ASGI in a few functions: bodies in, answers out, and the client who hangs up. Floor 6.

The data plane speaks raw ASGI: a framework route costs about as much as the rest of the request.
"""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from turnout.errors import InvalidRequest, RequestTooLarge

Scope: TypeAlias = "MutableMapping[str, Any]"
Message: TypeAlias = "MutableMapping[str, Any]"
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
RawHeaders: TypeAlias = list[tuple[bytes, bytes]]

JSON_TYPE = (b"content-type", b"application/json")
STREAM_HEADERS: RawHeaders = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]
LINE_HEADERS: RawHeaders = [(b"content-type", b"application/x-ndjson"), *STREAM_HEADERS[1:]]
_MAX_RATIO = 100
"""A decompressed body may be this many times larger than what was sent (SECURITY.md section 7)."""


class Disconnected(Exception):  # noqa: N818  an event, not a defect
    """The client left before its request was complete."""


async def read_body(receive: Receive, limit: int, length: int | None, encoding: str) -> bytes:
    """Read a request body of at most `limit` bytes, decoded.

    Raises `RequestTooLarge` before more than the limit was read, `InvalidRequest` for an unknown or broken
    encoding, `Disconnected` when the client leaves.
    """
    if length is not None and length > limit:
        raise RequestTooLarge(f"the request body has {length} bytes; at most {limit} are accepted")
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Disconnected
    body: bytes = message.get("body", b"")
    if len(body) > limit:
        raise RequestTooLarge(f"the request body exceeds {limit} bytes")
    if message.get("more_body"):
        parts = [body]
        size = len(body)
        while message.get("more_body"):
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > limit:
                raise RequestTooLarge(f"the request body exceeds {limit} bytes")
        body = b"".join(parts)
    if encoding and encoding != "identity":
        return _decompress(body, encoding, limit)
    return body


def _decompress(body: bytes, encoding: str, limit: int) -> bytes:
    if encoding != "gzip":
        raise InvalidRequest(
            f"content-encoding {encoding[:32]!r} is not accepted; send identity or gzip",
            param="content-encoding",
        )
    limit = min(limit, max(len(body) * _MAX_RATIO, 1024))
    engine = zlib.decompressobj(wbits=31)
    try:
        decoded = engine.decompress(body, limit + 1)
    except zlib.error:
        raise InvalidRequest("the body is not valid gzip", param="content-encoding") from None
    if len(decoded) > limit or engine.unconsumed_tail:
        raise RequestTooLarge("the decompressed request body exceeds the limit")
    if not engine.eof:
        raise InvalidRequest("the gzip body is cut off", param="content-encoding")
    if engine.unused_data:
        raise InvalidRequest("something follows the gzip body", param="content-encoding")
    return decoded


async def respond(send: Send, status: int, headers: RawHeaders, body: bytes) -> None:
    """Send one complete answer."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*headers, (b"content-length", b"%d" % len(body))],
        }
    )
    await send({"type": "http.response.body", "body": body})


UPGRADE = "turnout.upgrade"
"""ASGI extension, where the client wishes for another protocol: a function that takes the protocol to go on
with, the head of the answer, and what to call when the server is to stop."""
HEAD = "turnout.head"
"""ASGI extension: the `Known` that a head was told again by. What it remembers holds of this request too."""
ON_LEAVE = "turnout.on_leave"
"""ASGI extension: a function that takes what to call when the client leaves; None = nothing any more. It
returns the task that serves the request, where the server knows it."""


class Leave:
    """Cancels the serving task when the connection says that the client left. Costs nothing until then."""

    __slots__ = ("_on_leave", "_serving", "gone")

    def __init__(self, on_leave: Callable[[Callable[[], None] | None], "asyncio.Task[None] | None"]) -> None:
        self._serving: asyncio.Task[None] | None = None
        self._on_leave = on_leave
        self.gone = False
        """Whether the client left: the cancellation is ours to swallow."""
        # Which task runs, the connection knows; to ask the loop takes a system call.
        self._serving = on_leave(self._left) or asyncio.current_task()
        if self.gone and self._serving is not None:  # it had left before
            self._serving.cancel()

    def _left(self) -> None:
        self.gone = True
        if self._serving is not None:
            self._serving.cancel()

    def stop(self) -> None:
        """Stop watching."""
        self._on_leave(None)


class HangUp:
    """Cancels the serving task when the client disconnects, on any ASGI server.

    A task that waits for the disconnect costs as much as a fifth of a short request, so it is started only
    for requests that last: `delay_s` after the body was read.
    """

    __slots__ = ("_handle", "_receive", "_serving", "_watch", "gone")

    def __init__(self, receive: Receive, delay_s: float = 0.05) -> None:
        self._receive = receive
        self._serving = asyncio.current_task()
        self._watch: asyncio.Task[None] | None = None
        self.gone = False
        """Whether the client left: the cancellation is ours to swallow."""
        self._handle = asyncio.get_running_loop().call_later(delay_s, self._start)

    def _start(self) -> None:
        self._watch = asyncio.get_running_loop().create_task(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        if self._serving is not None:
            self._serving.cancel()

    def stop(self) -> None:
        """Stop watching."""
        self._handle.cancel()
        if self._watch is not None:
            self._watch.cancel()
