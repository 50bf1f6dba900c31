"""One request and its answer on a client connection: uvicorn's cycle with a leaner way out. Floor 6.

Theory of operation.
1. Head and first piece of body leave in one write: the head is kept until something follows it. On a loopback
   or a fast network the second system call would cost as much as all of routing.
2. Header lines are joined at once and then counted: each line adds exactly one CR and one LF, so that any
   other control character among them is an injected line or a broken value, and nothing is sent.
3. A cycle ends exactly as uvicorn's does: complete when the last piece was handed to the socket, closed when
   the client wanted no more or the lengths disagree.
"""

from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from turnout.server.http import Message

_CONTROL = bytes([*range(9), *range(10, 32), 127])
"""What no header line may hold, its own end aside (RFC 9110, 5.5)."""
_BODILESS = frozenset({204, 304})
_CLOSE = (b"connection", b"close")
_CHUNKED = (b"transfer-encoding", b"chunked")


class Cycle(RequestResponseCycle):
    """One request and its answer."""

    _head = b""
    """Status line and headers that wait for the first piece of body."""

    async def send(self, message: Message) -> None:  # type: ignore[override]  # ours is any mapping
        """Take a part of the answer from the application."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if kind == "http.response.body" and self.response_started and not self.response_complete:
            self._send_body(message.get("body", b""), more=message.get("more_body", False))
        elif kind == "http.response.start" and not self.response_started:
            self._start(message["status"], message["headers"])
        else:
            raise RuntimeError(f"an answer cannot go on with {kind!r} here")

    async def receive(self) -> Any:
        """Give the application a part of the request, or tell it that the client has left."""
        event = self.message_event
        if not event.is_set() or self.waiting_for_100_continue or self.flow.read_paused:
            return await super().receive()
        event.clear()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body, self.body = self.body, bytearray()
        return {"type": "http.request", "body": bytes(body), "more_body": self.more_body}

    def _start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        lines = [*self.default_headers, *headers]
        named = dict(lines)
        length = named.get(b"content-length")
        if length is not None:
            self.chunked_encoding = False
            self.expected_content_length = int(length)
        elif self.scope["method"] != "HEAD" and status not in _BODILESS:
            self.chunked_encoding = True
            lines.append(_CHUNKED)
        if named.get(b"connection") == b"close":
            self.keep_alive = False
        elif not self.keep_alive:
            lines.append(_CLOSE)
        self._head = STATUS_LINE[status] + head_block(lines)

    def _send_body(self, body: bytes, *, more: bool) -> None:
        head, self._head = self._head, b""
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
            out = head
        elif self.chunked_encoding:
            out = b"%b%x\r\n%b\r\n" % (head, len(body), body) if body else head
            if not more:
                out += b"0\r\n\r\n"
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0:
                raise RuntimeError("the body is longer than its content-length")
            out = head + body
        if out:
            self.transport.write(out)
        if not more:
            self._complete()

    def _complete(self) -> None:
        if self.expected_content_length:
            raise RuntimeError("the body is shorter than its content-length")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


def head_block(lines: list[tuple[bytes, bytes]]) -> bytes:
    """Return header lines with the blank line that ends them.

    Raises `RuntimeError` when a name or value holds a control character.
    """
    block = b"\r\n".join(map(b": ".join, lines)) + b"\r\n\r\n"
    n_ends = len(lines) + 1
    if len(block) - len(block.translate(None, _CONTROL)) != 2 * n_ends:
        raise RuntimeError("a header of the answer holds a control character")
    return block
