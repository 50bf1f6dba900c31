"""An answer on its way: filled by a connection, read by one task. Floor 3.

Theory of operation.
1. The connection appends decoded framing to `parts` and counts; the reader takes everything that is there
   at once. At most one future exists, and only while the reader waits for something not there yet.
2. `want` says what the reader waits for: the head, any data, or the end. The connection wakes it only when
   that has happened, so a body read as a whole wakes its reader once.
3. An answer ends exactly once: `complete` (clean end), `fail` (with a class of the taxonomy) or `close`.
   From then on `line` is None and the connection belongs to somebody else. Data that arrived before a
   failure is still handed out by `chunk` before the failure is raised.
4. Deadlines are compared by the coarse tick (`check`); nothing on the hot path reads a clock. Arrivals and
   reads are seen as a changed `fed + reads` mark.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from turnout.errors import (
    ProviderBadResponse,
    StreamInterrupted,
    TimeoutIdle,
    TimeoutTotal,
    TimeoutTtft,
    TurnoutError,
)
from turnout.transport.decompress import Decompressor, decode_all, decompressor, require_end
from turnout.transport.headers import HeaderMap
from turnout.transport.watch import Watched
from turnout.types.http import Timeouts

HEAD, DATA, END = 0, 1, 2
"""What a reader waits for."""

_NO_HEADERS = HeaderMap(())


class ResponseLimits(Struct, frozen=True, kw_only=True):
    """How much of a hostile upstream's answer is taken (S-54)."""

    head_bytes: int = 64 * 1024
    """Status line, header lines, interim answers; and the same again for framing and trailers."""
    body_bytes: int = 32 * 1024 * 1024
    """Of a body read as a whole, before and after decoding."""
    stream_bytes: int = 512 * 1024 * 1024
    """Of a body read in chunks, over its whole life; far above any answer of a model."""
    buffer_bytes: int = 1024 * 1024
    """Unread bytes of a stream at which the upstream is held back."""
    unread_s: float = 300.0
    """How long an unfinished answer may go without being read before its connection is closed."""


class Line(Protocol):
    """The connection an answer arrives on."""

    where: str

    def abort(self) -> None:
        """Close at once."""
        ...

    def pause(self) -> None:
        """Stop reading from the socket."""
        ...

    def resume(self) -> None:
        """Read from the socket again."""
        ...

    def unsent(self) -> int:
        """Return how many bytes of the request still wait to be sent."""
        ...


class PooledResponse:
    """`Response` of `HttpTransport`."""

    __slots__ = (
        "_decoder",
        "_items",
        "_limits",
        "_loop",
        "_mark",
        "_paused",
        "_reads",
        "_since",
        "_started",
        "_timeouts",
        "_whole",
        "encoding",
        "error",
        "fed",
        "headers",
        "line",
        "parts",
        "received",
        "stale",
        "status",
        "straight",
        "taken",
        "unsent",
        "waiter",
        "want",
        "where",
    )

    def __init__(
        self, line: Line, limits: ResponseLimits, timeouts: Timeouts, items: set[Watched], started: float
    ) -> None:
        self.where = line.where
        """Host and port, for messages."""
        self._limits = limits
        self._timeouts = timeouts
        self._items = items
        self._loop: asyncio.AbstractEventLoop | None = None
        """The one that runs: asking which it is, is a system call."""
        self._started = started
        """When the attempt began (total limit)."""
        self._since: float | None = None
        """When something last happened, as far as the tick has seen; None = not seen yet."""
        self._mark = 0
        self._reads = 0
        self._whole = False
        self._paused = False
        self._decoder: Decompressor | None = None
        self.status = 0
        self.headers = _NO_HEADERS
        self.encoding = b""
        self.parts: list[bytes] = []
        self.fed = 0
        """Bytes that came from the socket."""
        self.received = 0
        """Bytes of body among them."""
        self.taken = 0
        """Bytes of body the reader has."""
        self.error: TurnoutError | None = None
        self.stale = False
        """Failed before a byte came, on a connection that had served before."""
        self.unsent = 0
        self.want = HEAD
        self.waiter: asyncio.Future[None] | None = None
        self.straight: Callable[[bytes], bool] | None = None
        """See `Straight`."""
        self.line: Line | None = line

    async def head(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait until the head is there, or `error` is set."""
        self._loop = loop
        if self.line is None:  # it failed while it was sent
            return
        waiter = self.waiter = loop.create_future()
        try:
            await waiter
        except BaseException:  # cancelled: nobody will read on
            self.close()
            raise
        self.waiter = None

    async def read(self) -> bytes:
        """Return the rest of the body, decoded."""
        if self.line is not None:
            self._whole = True
            if self._paused:
                self._resume()
            await self._wait(END)
        if self.error is not None:
            self.parts.clear()
            raise self.error
        data = self._take()
        limit = self._limits.body_bytes
        if len(data) > limit:
            raise ProviderBadResponse(f"{self.where}: body is longer than {limit} bytes")
        if not self.encoding:
            return data
        decoder = self._undo()
        return data if decoder is None or not self.received else decode_all(decoder, data, limit)

    async def chunk(self) -> bytes:
        """Return what has arrived, waiting for at least one byte; b"" at the clean end."""
        if self.encoding:
            return await self._decoded()
        if not self.parts:
            if self.line is not None:
                self._reads += 1
                self.want = DATA
                waiter = self.waiter = (self._loop or asyncio.get_running_loop()).create_future()
                try:  # as `_wait`, and not by it: a stream does this for each of its frames
                    await waiter
                except BaseException:
                    self.close()
                    raise
                finally:
                    self.waiter = None
            if not self.parts:
                return self._end()
        return self._take()

    def close(self) -> None:
        """Give the connection up when the answer is not complete. Idempotent."""
        line = self.line
        if line is not None:
            self.fail(StreamInterrupted(f"{self.where}: the answer was closed before its end"))
            line.abort()
        self.parts.clear()

    def complete(self) -> None:
        """Note the clean end; the connection is free. Called by the connection."""
        self.line = None
        self.straight = None  # it points back
        self._items.discard(self)
        waiter = self.waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def went_straight(self) -> bool:
        """Offer what arrived to `straight`; return whether it was taken. Called by the connection."""
        straight, parts = self.straight, self.parts
        if straight is None or len(parts) != 1 or self.encoding or self.received > self._limits.stream_bytes:
            return False
        if not straight(parts[0]):
            return False
        parts.clear()
        self.taken = self.received
        if self._paused:  # one read was more than the buffer holds
            self._resume()
        return True

    def fail(self, error: TurnoutError) -> None:
        """Note how the answer broke. The first failure stays."""
        if self.line is not None:
            self.error = error
            self.complete()

    def crowded(self) -> None:
        """React to more unread bytes than the buffer holds. Called by the connection."""
        line = self.line
        if line is None:
            return
        if not self._whole:
            self._paused = True
            line.pause()
        elif self.received - self.taken > self._limits.body_bytes:
            limit = self._limits.body_bytes
            self._break(ProviderBadResponse(f"{self.where}: body is longer than {limit} bytes"))

    def check(self, now: float) -> None:
        """End the answer when one of its limits has passed. Called by the tick."""
        limits = self._timeouts
        if limits.total_s is not None and now - self._started >= limits.total_s:
            self._break(TimeoutTotal(f"{self.where}: no complete answer within {limits.total_s:g} s"))
        elif not self.status:
            self._check_head(now)
        else:
            self._check_body(now)

    def _check_head(self, now: float) -> None:
        if self._since is None:
            self._since = now
        if self.unsent and self.line is not None:
            left = self.line.unsent()
            if left < self.unsent:  # the limit counts from the request's last byte
                self.unsent = left
                self._since = now
        limit = self._timeouts.first_byte_s
        if limit is not None and now - self._since >= limit:
            self._break(TimeoutTtft(f"{self.where}: no answer within {limit:g} s"))

    def _check_body(self, now: float) -> None:
        mark = self.fed + self._reads
        if mark != self._mark or self._since is None:
            self._mark = mark
            self._since = now
            return
        waits = self.waiter is not None
        limit = self._timeouts.idle_s if waits else self._limits.unread_s
        if limit is not None and now - self._since >= limit:
            what = "silent" if waits else "not read"
            self._break(TimeoutIdle(f"{self.where}: the answer was {what} for {limit:g} s"))

    def _break(self, error: TurnoutError) -> None:
        line = self.line
        if line is not None:
            self.fail(error)
            line.abort()

    async def _wait(self, want: int) -> None:
        self._reads += 1
        self.want = want
        waiter = self.waiter = (self._loop or asyncio.get_running_loop()).create_future()
        try:
            await waiter
        except BaseException:  # cancelled: nobody will read on
            self.close()
            raise
        finally:
            self.waiter = None

    def _take(self) -> bytes:
        parts = self.parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self.taken = self.received
        if self._paused:
            self._resume()
        if self.received > self._limits.stream_bytes and self.line is not None:
            limit = self._limits.stream_bytes
            self._break(ProviderBadResponse(f"{self.where}: stream is longer than {limit} bytes"))
        return data

    def _resume(self) -> None:
        self._paused = False
        if self.line is not None:
            self.line.resume()

    def _end(self) -> bytes:
        if self.error is not None:
            raise self.error
        return b""

    async def _decoded(self) -> bytes:
        decoder = self._undo()
        if decoder is None:
            self.encoding = b""
            return await self.chunk()
        while True:
            if decoder.more:
                out = decoder.feed(b"")
            elif self.parts:
                out = decoder.feed(self._take())
            elif self.line is not None:
                await self._wait(DATA)
                continue
            else:
                self._end()
                if self.received:
                    require_end(decoder)
                return b""
            if out:
                return out

    def _undo(self) -> Decompressor | None:
        if self._decoder is None:
            self._decoder = decompressor(self.encoding.decode("latin-1"))
        return self._decoder
