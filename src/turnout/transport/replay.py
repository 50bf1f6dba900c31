"""Transports that play and that write recorded exchanges. Floor 3.

Theory of operation.
1. `ReplayTransport` answers from recordings only and never opens a socket. A request is matched by method,
   URL and the value of its body; equal requests are answered in the order recorded, each recording once.
2. What matches no body takes the next unplayed recording of the same method and URL (unless `exact`), so that
   a conversation with changing ids still plays in order. What matches nothing is `Internal`: a test must
   see it, and no fallback may hide it.
3. `RecordingTransport` writes an exchange when its answer ends: whole, or marked `cut` when it broke or was
   closed early. Credentials come from the authoriser, which is not written; see `recording`.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Self

from turnout.errors import GatewayOverloaded, Internal, StreamInterrupted, TurnoutError
from turnout.transport.base import Authorise, Response, Transport
from turnout.transport.recording import Recorded, digest, read_recordings, record, redacted, write_recording
from turnout.types.http import HttpRequest, Timeouts

Sink = Callable[[bytes], object]
"""Takes one line of the recording."""

_MAX_BODY = 32 * 1024 * 1024
"""Bytes of an answer that are kept for the recording; more is marked `cut`."""


class ReplayTransport:
    """Plays recorded exchanges.

    Args:
        recordings: What can be answered.
        exact: Only answer requests whose body equals a recorded one.
        chunk_bytes: Hand bodies out in pieces of this size; None = at once.
    """

    def __init__(
        self, recordings: Iterable[Recorded], *, exact: bool = False, chunk_bytes: int | None = None
    ) -> None:
        self._exact = exact
        self._chunk_bytes = chunk_bytes
        self._closed = False
        self._left: dict[tuple[str, str], deque[tuple[bytes, Recorded]]] = {}
        for recorded in recordings:
            queue = self._left.setdefault((recorded.method, redacted(recorded.url)), deque())
            queue.append((digest(recorded.sent), recorded))

    @classmethod
    def load(cls, path: Path, *, exact: bool = False, chunk_bytes: int | None = None) -> Self:
        """Read a JSONL file. Raises `ConfigError`."""
        return cls(read_recordings(path), exact=exact, chunk_bytes=chunk_bytes)

    @property
    def unplayed(self) -> tuple[Recorded, ...]:
        """What has not been asked for yet."""
        return tuple(recorded for queue in self._left.values() for _, recorded in queue)

    async def send(
        self, request: HttpRequest, timeouts: Timeouts, authorise: Authorise | None = None
    ) -> "Replayed":
        """Answer from the recordings, at once. Raises `Internal` when none fits."""
        if self._closed:
            raise GatewayOverloaded("the transport is closed")
        if authorise is not None:
            authorise(request)  # a credential of another host is refused here as well
        url = redacted(request.url)
        queue = self._left.get((request.method, url))
        if not queue:
            raise Internal(f"replay: nothing (left) recorded for {request.method} {url}")
        wanted = digest(request.body)
        index = next((n for n, (body, _) in enumerate(queue) if body == wanted), None)
        if index is None:
            if self._exact:
                raise Internal(
                    f"replay: {request.method} {url} is recorded {len(queue)} times, never with this body"
                    f" (sha256 {wanted.hex()[:16]})"
                )
            index = 0
        recorded = queue[index][1]
        del queue[index]
        return Replayed(recorded, self._chunk_bytes)

    async def close(self) -> None:
        """Refuse new requests."""
        self._closed = True


class Replayed:
    """A recorded answer."""

    __slots__ = ("_body", "_cut", "_size", "headers", "status")

    def __init__(self, recorded: Recorded, chunk_bytes: int | None) -> None:
        self.status = recorded.status
        self.headers: Mapping[str, str] = recorded.response_headers
        self._body = recorded.received
        self._size = chunk_bytes or max(1, len(self._body))
        self._cut = recorded.cut

    async def read(self) -> bytes:
        """Return the rest of the body."""
        if self._cut:
            raise StreamInterrupted("replay: the recorded answer was cut")
        body, self._body = self._body, b""
        return body

    async def chunk(self) -> bytes:
        """Return the next piece; b"" at the end."""
        piece, self._body = self._body[: self._size], self._body[self._size :]
        if not piece and self._cut:
            raise StreamInterrupted("replay: the recorded answer was cut")
        return piece

    def close(self) -> None:
        """Forget the rest."""
        self._body = b""


class RecordingTransport:
    """Passes everything to another transport and writes down what came back.

    Args:
        inner: Does the work; closed with this one.
        sink: Takes each finished exchange as one JSON line; called on the event loop.
    """

    def __init__(self, inner: Transport, sink: Sink) -> None:
        self._inner = inner
        self._sink = sink

    async def send(
        self, request: HttpRequest, timeouts: Timeouts, authorise: Authorise | None = None
    ) -> "Recording":
        """Send through the inner transport. A call without an answer leaves no record."""
        return Recording(await self._inner.send(request, timeouts, authorise), request, self._sink)

    async def close(self) -> None:
        """Close the inner transport."""
        await self._inner.close()


class Recording:
    """An answer that is written down as it is read."""

    __slots__ = ("_inner", "_parts", "_request", "_room", "_sink", "headers", "status")

    def __init__(self, inner: Response, request: HttpRequest, sink: Sink) -> None:
        self._inner = inner
        self._request: HttpRequest | None = request
        """None once it is written."""
        self._sink = sink
        self._parts: list[bytes] = []
        self._room = _MAX_BODY
        self.status = inner.status
        self.headers = inner.headers

    async def read(self) -> bytes:
        """Return the rest of the body."""
        try:
            data = await self._inner.read()
        except TurnoutError:
            self._write(cut=True)
            raise
        self._keep(data)
        self._write(cut=False)
        return data

    async def chunk(self) -> bytes:
        """Return what has arrived; b"" at the end."""
        try:
            data = await self._inner.chunk()
        except TurnoutError:
            self._write(cut=True)
            raise
        if data:
            self._keep(data)
        else:
            self._write(cut=False)
        return data

    def close(self) -> None:
        """Release the connection; an answer not read to its end is written as `cut`."""
        self._inner.close()
        self._write(cut=True)

    def _keep(self, data: bytes) -> None:
        self._parts.append(data[: max(0, self._room)])
        self._room -= len(data)

    def _write(self, *, cut: bool) -> None:
        request, self._request = self._request, None
        if request is not None:
            body = b"".join(self._parts)
            self._parts.clear()
            recorded = record(request, self.status, self.headers, body, cut=cut or self._room < 0)
            self._sink(write_recording(recorded))
