"""One end of a WebSocket connection on a socket of ours: whole messages, bounded both ways. Floor 3.

Theory of operation.
1. `websockets` frames, unmasks, answers pings and keeps the closing handshake; it never sees a socket. This
   file moves its bytes, and is the only one that knows it (docs/adr/088). Its log is cut off: at level debug
   it would write what was said (S-64).
2. A message is handed out whole, at most `max_message` bytes, and its text is valid UTF-8; otherwise the
   connection is failed with 1009 or 1007.
3. At most `QUEUED_BYTES` of whole messages, and the one that is being put together, wait to be taken. Beyond
   that the socket is not read, so that a slow taker slows the sender and fills no memory.
4. `send` waits while the socket's own buffer is full; `tell` does not, and is for a last word. One task
   receives.
5. `end` never waits: it writes the closing frame behind what is still to be sent and lets go of the socket
   when the other side answers, or after `CLOSE_S`. It may be called at any time, also when cancelled.
"""

import asyncio
import logging
from base64 import b64encode
from collections import deque
from collections.abc import Callable
from hashlib import sha1
from typing import Final, Literal, cast

from msgspec import Struct
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, OPEN, SERVER, Protocol

QUEUED_BYTES: Final = 256 * 1024
CLOSE_S: Final = 2.0
"""How long the other side may take to answer a closing frame."""
NORMAL, GOING_AWAY, UNREADABLE, POLICY, BROKEN = 1000, 1001, 1007, 1008, 1011
LOST: Final = 1006
"""What a connection that ended without a closing frame ended with; never sent."""
_MOST_REASON: Final = 123
"""Bytes of a reason that fit into a closing frame (RFC 6455, 5.5)."""
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SILENT = logging.Logger("websocket", logging.CRITICAL + 1)  # noqa: LOG001  one that no configuration turns on


class Message(Struct, frozen=True):
    """One message."""

    data: bytes
    is_text: bool = True


class Closed(Exception):  # noqa: N818  an event, not a defect
    """The connection is over.

    Attributes:
        code: Code of the closing frame; 1005 = it named none, 1006 = there was none.
        reason: As the other side wrote it.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"closed with {code}")
        self.code = code
        self.reason = reason


def accept_key(key: bytes) -> bytes:
    """Return what a server proves with that it read the client's key (RFC 6455, 4.2.2)."""
    return b64encode(sha1(key + _GUID, usedforsecurity=False).digest())


class WebSocket(asyncio.Protocol):
    """One end, from the moment both sides have agreed on the protocol.

    Args:
        side: Which end.
        max_message: Bytes.

    Attributes:
        on_lost: Called once, when the socket is gone.
        gone: Whether it is.
        heard_at: Loop time at which anything came, pongs included.
        is_held: Whether the socket is not read, because too much waits to be taken.
    """

    def __init__(self, side: Literal["client", "server"], max_message: int) -> None:
        made = SERVER if side == "server" else CLIENT
        self._ws = Protocol(made, state=OPEN, max_size=max_message, logger=_SILENT)
        self.on_lost: Callable[[Exception | None], None] | None = None
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Message] = deque()
        self._n_queued = 0
        self._parts: list[bytes] = []
        self._parts_are_text = True
        self._news: asyncio.Future[None] | None = None
        self._room = asyncio.Event()
        """Set while the socket's own buffer has room."""
        self._room.set()
        self._lost = asyncio.Event()
        self.is_held = False
        self._closing: asyncio.TimerHandle | None = None
        self.gone = False
        self.heard_at = self._loop.time()

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over a socket."""
        self._transport = cast("asyncio.Transport", transport)  # what a stream protocol always gets

    def data_received(self, data: bytes) -> None:
        """Take in bytes."""
        self.heard_at = self._loop.time()
        self._ws.receive_data(data)
        self._flush()
        for event in self._ws.events_received():
            if isinstance(event, Frame):
                self._take(event)
        if self._ws.close_expected():
            self._await_end()
        self._wake()

    def eof_received(self) -> bool:
        """Take in that nothing more comes."""
        self._ws.receive_eof()
        self._flush()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Take in that the socket is gone."""
        self.gone = True
        self._ws.receive_eof()
        if self._closing is not None:
            self._closing.cancel()
        self._wake()
        self._room.set()
        self._lost.set()
        if self.on_lost is not None:
            self.on_lost(exc)

    def pause_writing(self) -> None:
        """The other side takes too slowly."""
        self._room.clear()

    def resume_writing(self) -> None:
        """There is room again."""
        self._room.set()

    # Called by whoever holds this end.

    async def receive(self) -> Message:
        """Return the next message. Raises `Closed`, when everything that came before was handed out."""
        while not self._queue:
            if self.gone or self._ws.state is not OPEN:
                raise self._over()
            self._news = self._loop.create_future()
            try:
                await self._news
            finally:
                self._news = None
        message = self._queue.popleft()
        self._n_queued -= len(message.data)
        if self.is_held and self._n_queued <= QUEUED_BYTES and self._transport is not None and not self.gone:
            self.is_held = False
            self.heard_at = self._loop.time()  # it could not be heard until now
            self._transport.resume_reading()
        return message

    async def send(self, message: Message) -> None:
        """Send a message, waiting while there is no room. Raises `Closed`."""
        if not self._room.is_set():
            await self._room.wait()
        self.tell(message)

    @property
    def is_full(self) -> bool:
        """Whether `send` would wait."""
        return not self._room.is_set()

    def tell(self, message: Message) -> None:
        """Send a message without waiting for room. Raises `Closed`."""
        if self.gone or self._ws.state is not OPEN:
            raise self._over()
        if message.is_text:
            self._ws.send_text(message.data)
        else:
            self._ws.send_binary(message.data)
        self._flush()

    def ping(self) -> None:
        """Ask whether the other side is there; its answer moves `heard_at`."""
        if not self.gone and self._room.is_set() and self._ws.state is OPEN:
            self._ws.send_ping(b"")
            self._flush()

    def end(self, code: int, reason: str = "") -> None:
        """Close in good order. Idempotent."""
        if self._ws.state is OPEN and not self.gone:
            self._ws.send_close(code, _cut(reason))
            self._flush()
        self._await_end()

    async def closed(self) -> None:
        """Wait until the socket is gone; after `end`, that is `CLOSE_S` at most."""
        await self._lost.wait()

    def abort(self) -> None:
        """Close at once; what is unsent is dropped. Idempotent."""
        if self._transport is not None:
            self._transport.abort()

    def _over(self) -> Closed:
        close = self._ws.close_rcvd
        if close is not None:
            return Closed(close.code, close.reason)
        sent = self._ws.close_sent
        return Closed(LOST) if sent is None else Closed(sent.code, sent.reason)

    def _take(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._parts_are_text = frame.opcode is Opcode.TEXT
        elif frame.opcode is not Opcode.CONT:
            return  # pings are answered, closing frames are remembered
        self._parts.append(bytes(frame.data))
        if not frame.fin:
            return
        data, self._parts = b"".join(self._parts), []
        if self._parts_are_text and not _is_utf8(data):
            self._ws.fail(UNREADABLE, "the text is not UTF-8")
            self._flush()
            return
        self._queue.append(Message(data, self._parts_are_text))
        self._n_queued += len(data)
        if self._n_queued > QUEUED_BYTES and not self.is_held and self._transport is not None:
            self.is_held = True
            self._transport.pause_reading()

    def _flush(self) -> None:
        transport = self._transport
        for data in self._ws.data_to_send():
            if transport is None or transport.is_closing():
                return
            if data:
                transport.write(data)
            else:  # the end of the stream: closing sends what is buffered first
                transport.close()

    def _await_end(self) -> None:
        if self._closing is None and not self.gone:
            if self.is_held and self._transport is not None:  # the answer to a closing frame must be read
                self.is_held = False
                self._transport.resume_reading()
            self._closing = self._loop.call_later(CLOSE_S, self.abort)

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _cut(reason: str) -> str:
    return reason.encode()[:_MOST_REASON].decode(errors="ignore")
