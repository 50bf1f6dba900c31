"""One HTTP/1.1 connection: bytes of the socket through the parser into the answer. Floor 3.

Theory of operation.
1. A connection carries one exchange at a time. `response` is set exactly while an answer is awaited; bytes
   that arrive when it is not are nobody's and close the connection (response splitting).
2. The parser (llhttp, strict) calls back while it is fed. It is stopped as soon as a second message begins
   in the bytes of the first: what belongs to no request is never parsed into an answer.
3. The phases of failure: closed before the head is complete = `ProviderUnreachable`; bytes that are not
   HTTP or exceed a limit = `ProviderBadResponse`; closed after the head = `StreamInterrupted`.
4. A message without length or chunks ends with the connection; that end is clean.
5. Only a connection whose answer ended by its own framing, with nothing after it and nothing unsent, goes
   back to the pool. After `HEAD` it does not: the parser cannot know that no body follows.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol, cast

import httptools

from turnout.errors import ProviderBadResponse, ProviderUnreachable, StreamInterrupted, TurnoutError
from turnout.transport.headers import HeaderMap
from turnout.transport.response import DATA, HEAD, PooledResponse, ResponseLimits

_FRAMING_RATIO = 16
"""Framing bytes tolerated per byte of body beyond the head limit; chunks of one byte need five."""
_MANY_PARTS = 8
"""Pieces of one read above which they are joined, so that tiny chunks do not cost an object each."""
_BIG_BODY = 64 * 1024
"""From here on the body is not copied behind the head, and its sending is watched."""


class Owner(Protocol):
    """The pool, as a connection sees it."""

    def release(self, connection: "Connection") -> None:
        """Take a connection back for the next request."""
        ...

    def lost(self, connection: "Connection") -> None:
        """Forget a connection; called once."""
        ...


class Connection(asyncio.Protocol):
    """Protocol of the socket and target of the parser's callbacks."""

    __slots__ = (
        "_complete",
        "_encoding",
        "_head_only",
        "_headers",
        "_interim",
        "_keep",
        "_limits",
        "_parser",
        "_paused",
        "_transport",
        "born",
        "gone",
        "n_served",
        "owner",
        "response",
        "where",
    )

    def __init__(self, where: str, limits: ResponseLimits, born: float) -> None:
        self.where = where
        """Host and port, for messages."""
        self.owner: Owner | None = None
        """Set by the pool that counts this connection; None again once it is forgotten."""
        self.born = born
        self.gone = False
        """Closed or closing."""
        self.n_served = 0
        self.response: PooledResponse | None = None
        self._limits = limits
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._encoding = b""
        self._interim = False
        self._complete = False
        self._head_only = False
        self._keep = False
        self._paused = False

    def start(self, response: PooledResponse, head: bytes, body: bytes, *, head_only: bool) -> None:
        """Send a request whose answer goes into `response`."""
        transport = self._transport
        assert transport is not None
        self.response = response
        self._complete = False
        self._head_only = head_only
        try:
            if len(body) < _BIG_BODY:
                transport.write(head + body)
            else:
                transport.writelines((head, body))
                response.unsent = transport.get_write_buffer_size() or 1
        except RuntimeError as error:  # uvloop, when the socket closed in this very turn of the loop
            self._lose(response, error)
            self.abort()

    def abort(self) -> None:
        """Close at once; what is unsent or unread is dropped."""
        self.response = None
        self._leave()
        if self._transport is not None:
            self._transport.abort()

    def retire(self) -> None:
        """Close an idle connection in good order."""
        self._leave()
        if self._transport is not None:
            self._transport.close()

    def pause(self) -> None:
        """Stop reading from the socket."""
        if not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read from the socket again."""
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def unsent(self) -> int:
        """Return how many bytes of the request still wait to be sent."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)  # what a stream protocol always gets
        self._parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        """Feed the parser and wake the reader when what it waits for is there."""
        response = self.response
        if response is None:
            self.abort()
            return
        response.fed += len(data)
        parts = response.parts
        before = len(parts)
        try:
            self._parser.feed_data(data)  # type: ignore[union-attr] # set before any data comes
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._keep = False
            if not self._complete:
                self._break(response, error)
                return
        if self._complete:
            self._finish(response)
            return
        if len(parts) - before > _MANY_PARTS:
            parts[before:] = [b"".join(parts[before:])]
        if response.fed > self._limits.head_bytes + _FRAMING_RATIO * response.received:
            self._break(response, _too_long(response, self._limits))
            return
        if response.received - response.taken > self._limits.buffer_bytes:
            response.crowded()
        waiter = response.waiter
        if waiter is not None and not waiter.done():
            want = response.want
            if (want == DATA and parts and not response.went_straight()) or (
                want == HEAD and response.status
            ):
                waiter.set_result(None)

    def eof_received(self) -> bool:
        """End an answer that has no other end; anything else is cut."""
        response = self.response
        if response is None:
            self._leave()
        elif response.status and not _framed(response.headers.raw):
            self._keep = False
            self._finish(response)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the answer that was still awaited."""
        response, self.response = self.response, None
        self._transport = self._parser = None
        self._leave()
        if response is not None:
            self._lose(response, exc)

    # Called by the parser.

    def on_message_begin(self) -> None:
        """Refuse a message that nobody asked for."""
        if self._complete:
            raise ProviderBadResponse("bytes after the answer's end")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header line (after the head: a trailer, which is dropped)."""
        if len(name) == 16 and name.lower() == b"content-encoding":
            self._encoding = value if not self._encoding else self._encoding + b"," + value
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Hand the head over, unless it is an interim one."""
        response = self.response
        assert response is not None
        assert self._parser is not None
        headers, self._headers = self._headers, []
        encoding, self._encoding = self._encoding, b""
        status = self._parser.get_status_code()
        if status < 200:
            if status < 100:
                raise ProviderBadResponse(f"{response.where}: status {status} does not exist")
            self._interim = True
            return
        limit = self._limits.head_bytes
        if response.fed > limit and sum(len(name) + len(value) + 4 for name, value in headers) > limit:
            raise _too_long(response, self._limits)
        response.headers = HeaderMap(headers)
        response.encoding = encoding
        response.status = status
        if self._head_only:
            self._complete = True
            self._keep = False
            raise ProviderBadResponse("the answer to HEAD ends here")  # stops the parser, seen by nobody

    def on_body(self, data: bytes) -> None:
        """Keep a piece of body."""
        response = self.response
        assert response is not None
        response.parts.append(data)
        response.received += len(data)

    def on_message_complete(self) -> None:
        """Note the end that the framing promised."""
        if self._interim:
            self._interim = False
            return
        self._complete = True
        self._keep = self._parser.should_keep_alive()  # type: ignore[union-attr] # it is calling

    def _finish(self, response: PooledResponse) -> None:
        self.response = None
        response.complete()
        if self._paused:
            self.resume()
        if response.unsent and self.unsent():  # answered before it was asked in full
            self.abort()
            return
        if not self._keep:
            self.retire()
            return
        self.n_served += 1
        if self._headers:  # trailers
            self._headers = []
            self._encoding = b""
        if self.owner is not None:
            self.owner.release(self)

    def _lose(self, response: PooledResponse, exc: Exception | None) -> None:
        reason = f" ({type(exc).__name__})" if exc is not None else ""
        response.stale = self.n_served > 0 and not response.fed
        response.fail(_cut(response, reason))

    def _break(self, response: PooledResponse, error: Exception) -> None:
        cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else error
        if not isinstance(cause, TurnoutError):
            word = "another protocol" if isinstance(error, httptools.HttpParserUpgrade) else str(error)
            cause = ProviderBadResponse(f"{response.where}: the answer is not HTTP/1.1 ({word})")
        response.fail(cause)
        self.abort()

    def _leave(self) -> None:
        self.gone = True
        owner, self.owner = self.owner, None
        if owner is not None:
            owner.lost(self)


def _framed(raw: Sequence[tuple[bytes, bytes]]) -> bool:
    return any(name.lower() in {b"content-length", b"transfer-encoding"} for name, _ in raw)


def _cut(response: PooledResponse, reason: str) -> TurnoutError:
    if response.status:
        return StreamInterrupted(f"{response.where}: connection closed before the answer's end{reason}")
    return ProviderUnreachable(f"{response.where}: connection closed before an answer came{reason}")


def _too_long(response: PooledResponse, limits: ResponseLimits) -> ProviderBadResponse:
    what = "framing" if response.status else "head"
    return ProviderBadResponse(f"{response.where}: the answer's {what} is over {limits.head_bytes} bytes")
