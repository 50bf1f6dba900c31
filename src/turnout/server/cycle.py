"""One request and its answer on a client connection: the two ends an application is given. Floor 6.

Theory of operation.
1. The protocol feeds the request in (`feed`, `finish`, `leave`), the application takes it with `receive`; at
   most one future exists, and only while the application waits for something that is not there yet.
2. Head and first piece of an answer leave in one write: the head is kept until something follows it. On a
   fast network the second system call would cost as much as all of routing.
3. Header lines are joined at once and then counted: each line adds exactly one CR and one LF, so that any
   other control character among them is an injected line or a broken value, and nothing is sent.
4. An answer is complete when its last piece was handed to the socket. Whatever else ends the application
   (a failure, a cancellation, a wrong length) closes the connection, so that no client takes a part for all.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from turnout.server.defects import note_defect
from turnout.server.http import ON_LEAVE, Message, RawHeaders, Receive, Scope, Send

_CONTROL = bytes([*range(9), *range(10, 32), 127])
"""What no header line may hold, its own end aside (RFC 9110, 5.5)."""
_BODILESS = frozenset({204, 304})
_CLOSE = (b"connection", b"close")
_CHUNKED = (b"transfer-encoding", b"chunked")
_FAILURE = b"Internal Server Error"
_TAKEN: Scope = {}
"""Stands for a scope that the application has: what is in it points back, and a circle would wait, with the
request in it, for the cyclic collector."""


class App(Protocol):
    """An ASGI application."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        ...


class Wire(Protocol):
    """What a cycle needs of its connection."""

    transport: asyncio.Transport
    flow: FlowControl
    loop: asyncio.AbstractEventLoop

    def on_response_complete(self) -> None:
        """Go on to what follows an answer."""
        ...


class Cycle:
    """One request and its answer."""

    __slots__ = (
        "_body",
        "_chunked",
        "_fixed",
        "_head",
        "_is_head",
        "_left",
        "_more",
        "_must_allow",
        "_news",
        "_on_leave",
        "_task",
        "_tasks",
        "_waiter",
        "_wire",
        "disconnected",
        "keep_alive",
        "n_sent",
        "response_complete",
        "response_started",
        "scope",
        "status",
    )

    def __init__(
        self, wire: Wire, scope: Scope, fixed: RawHeaders, *, keep_alive: bool, must_allow: bool
    ) -> None:
        self._wire = wire
        self.scope = scope
        self._fixed = fixed
        """Headers of every answer."""
        self.keep_alive = keep_alive
        self._must_allow = must_allow
        """The client waits for `100 Continue` before it sends the body."""
        self._body = b""
        self._more = True
        self._news = False
        """Something came that the application has not been told."""
        self._waiter: asyncio.Future[None] | None = None
        self._on_leave: Callable[[], None] | None = None
        self._task: asyncio.Task[None] | None = None
        """Serves it; None before and after."""
        self._tasks: set[asyncio.Task[None]] = set()
        scope["extensions"] = {ON_LEAVE: self.on_leave}
        self._is_head = scope["method"] == "HEAD"
        self._head = b""
        """Status line and headers that wait for the first piece of body."""
        self._chunked = False
        self._left = 0
        """Bytes of the promised length still to come."""
        self.disconnected = False
        self.response_started = False
        self.response_complete = False
        self.status = 0
        """Of the answer; 0 = none was begun."""
        self.n_sent = 0
        """Bytes of its body that were taken."""

    # The connection's side.

    def feed(self, data: bytes) -> None:
        """Take in a piece of the request's body."""
        self._body = self._body + data if self._body else data
        if len(self._body) > HIGH_WATER_LIMIT:
            self._wire.flow.pause_reading()
        self._tell()

    def finish(self) -> None:
        """Take in the end of the request."""
        self._more = False
        self._tell()

    def leave(self) -> None:
        """Take in that the client is gone."""
        self.disconnected = True
        self._tell()
        if self._on_leave is not None and not self.response_complete:
            self._on_leave()

    def _tell(self) -> None:
        self._news = True
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # The application's side.

    def start(self, app: App, tasks: set[asyncio.Task[None]]) -> None:
        """Let the application answer in a task, which is among these until it ends."""
        task = self._task = self._wire.loop.create_task(self.run_asgi(app))
        self._tasks = tasks
        tasks.add(task)

    async def run_asgi(self, app: App) -> None:
        """Let the application answer."""
        scope, self.scope = self.scope, _TAKEN
        try:
            await app(scope, self.receive, self.send)
        except Exception as error:  # noqa: BLE001  the connection's boundary: answered, noted without data
            note_defect("a request", error)
            if self.response_started:
                self._wire.transport.close()
            else:
                await self._fail()
        finally:
            if not self.response_complete:
                self._wire.transport.close()
            # Here and not when it is done: a callback would cost as much as half of the task.
            if self._task is not None:
                self._tasks.discard(self._task)
                self._task = None

    def on_leave(self, call: Callable[[], None] | None) -> asyncio.Task[None] | None:
        """Call this when the client leaves; None = nothing any more. Return the task that serves."""
        self._on_leave = call
        if call is not None and self.disconnected:
            call()
        return self._task

    async def receive(self) -> Message:
        """Give the application a piece of the request, or tell it that the client has left."""
        wire = self._wire
        if self._must_allow:
            self._must_allow = False
            wire.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self._news and not self.disconnected and not self.response_complete:
            wire.flow.resume_reading()
            self._waiter = wire.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._news = False
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        body, self._body = self._body, b""
        return {"type": "http.request", "body": body, "more_body": self._more}

    async def send(self, message: Message) -> None:
        """Take a part of the answer from the application."""
        flow = self._wire.flow
        if flow.write_paused and not self.disconnected:
            await flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if kind == "http.response.body" and self.response_started and not self.response_complete:
            self._send_body(message.get("body", b""), more=message.get("more_body", False))
        elif kind == "http.response.start" and not self.response_started:
            self._start(message["status"], message["headers"])
        else:
            raise RuntimeError(f"an answer cannot go on with {kind!r} here")

    def answer(self, status: int, headers: RawHeaders, body: bytes) -> bool:
        """Write a complete answer at once; False where `send` must wait, or refuse it."""
        if self._wire.flow.write_paused or self.disconnected or self.response_started or self._is_head:
            return False
        lines = [*self._fixed, *headers, (b"content-length", b"%d" % len(body))]
        if not self.keep_alive:
            lines.append(_CLOSE)
        block = head_block(lines)
        self.response_started = True
        self.status, self.n_sent = status, len(body)
        self._must_allow = False
        self._wire.transport.write(b"%b%b%b" % (STATUS_LINE[status], block, body))
        self._complete()
        return True

    def push(self, data: bytes) -> bool:
        """Write a piece of a streamed answer at once; False where `send` must wait, or refuse it."""
        if self._wire.flow.write_paused or self.disconnected:
            return False
        if not self.response_started or self.response_complete:
            return False
        self._send_body(data, more=True)
        return True

    def _start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.response_started = True
        self.status = status
        self._must_allow = False
        lines = [*self._fixed, *headers]
        named = dict(lines)
        length = named.get(b"content-length")
        if length is not None:
            self._left = int(length)
        elif not self._is_head and status not in _BODILESS:
            self._chunked = True
            lines.append(_CHUNKED)
        if named.get(b"connection") == b"close":
            self.keep_alive = False
        elif not self.keep_alive:
            lines.append(_CLOSE)
        self._head = STATUS_LINE[status] + head_block(lines)

    def _send_body(self, body: bytes, *, more: bool) -> None:
        out, self._head = self._head, b""
        self.n_sent += len(body)
        if self._is_head:
            self._left = 0
        elif self._chunked:
            if body:
                out = b"%b%x\r\n%b\r\n" % (out, len(body), body)
            if not more:
                out += b"0\r\n\r\n"
        else:
            self._left -= len(body)
            if self._left < 0 or (self._left and not more):
                raise RuntimeError("the body has another length than its content-length")
            out += body
        if out:
            self._wire.transport.write(out)
        if not more:
            self._complete()

    def _complete(self) -> None:
        self.response_complete = True
        self._tell()
        if not self.keep_alive:
            self._wire.transport.close()
        self._wire.on_response_complete()

    async def _fail(self) -> None:
        length = (b"content-length", b"%d" % len(_FAILURE))
        await self.send({"type": "http.response.start", "status": 500, "headers": [length, _CLOSE]})
        await self.send({"type": "http.response.body", "body": _FAILURE})


def head_block(lines: list[tuple[bytes, bytes]]) -> bytes:
    """Return header lines with the blank line that ends them.

    Raises `RuntimeError` when a name or value holds a control character.
    """
    block = b"\r\n".join(map(b": ".join, lines)) + b"\r\n\r\n"
    n_ends = len(lines) + 1
    if len(block) - len(block.translate(None, _CONTROL)) != 2 * n_ends:
        raise RuntimeError("a header of the answer holds a control character")
    return block
