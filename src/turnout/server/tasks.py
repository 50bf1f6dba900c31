"""Rankings, pictures, speech, transcriptions and moderations as endpoints. Floor 6.

Theory of operation.

1. An operation takes the way of any request: read, opened, answered once its rings have unwound. What differs
   is how it is read (JSON, or a form) and that its answer may be bytes.
2. A form is read as it arrives, and refused as soon as it is too long. It is held in memory once: it must be
   sent again when a model fails.
3. Speech, and whatever the client wants streamed, passes in pieces (`Passing`); never more than a piece of it
   is held. All else is answered whole, with what it cost. A call with an idempotency key and a background job
   are always answered whole.
"""

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, Protocol

import msgspec

from turnout.codecs.base import TaskBody
from turnout.codecs.tasks import OPERATIONS, Operation, parse, parse_form
from turnout.engine.engine import Opened
from turnout.engine.reply import Reply
from turnout.errors import InvalidRequest, RequestTooLarge, TurnoutError
from turnout.server.answer import Answer, Whole
from turnout.server.http import STREAM_HEADERS, Disconnected, RawHeaders, Send, respond
from turnout.server.ids import new_boundary
from turnout.server.keepalive import KeepAlive
from turnout.server.multipart import Begin, Data, Multipart
from turnout.server.paths import OPENAI, Paths
from turnout.server.verbs import Steps
from turnout.server.visit import Visit
from turnout.types.task import Form, FormPart, TaskResponse

MAX_FIELD: Final = 1024 * 1024
"""Bytes of one field of a form that is not a file."""
NO_SNIFF: Final = (b"x-content-type-options", b"nosniff")
_EVENTS: Final = "text/event-stream"
_DEFERRED: Final = frozenset({"/rerank", "/images/generations", "/images/edits", "/moderations"})
"""What can be asked in the background: what may come, and is answered, as JSON."""
_encode = msgspec.msgpack.Encoder().encode


class Streaming(Protocol):
    """An answer that goes out in pieces."""

    async def run(self) -> None:
        """Serve. Raises `TurnoutError` while nothing was sent."""
        ...

    async def break_off(self, failure: TurnoutError) -> None:
        """End with a failure. Raises it while nothing was sent."""
        ...


class Doing(NamedTuple):
    """What the gateway does for operations, beside `Steps`."""

    open: Callable[[Visit, TaskBody, str], Opened]
    once: Callable[[Visit, bytes, str, Callable[[], Awaitable[Whole]]], Awaitable[None]]
    stream: Callable[[Visit, Streaming], Awaitable[None]]
    wished: Callable[[Visit, bytes], Awaitable[None]]
    """Takes in a request whose own `turnout.background` asks for a job."""
    max_bytes: Callable[[], int]
    """Limit of a request's body."""


class Tasks:
    """The endpoints at one gateway."""

    def __init__(self, steps: Steps, doing: Doing, answer: Answer) -> None:
        self._steps = steps
        self._doing = doing
        self._answer = answer

    def mount(self, paths: Paths[Visit]) -> frozenset[Callable[[Visit], Awaitable[None]]]:
        """Serve the paths; return the endpoints that serve background jobs too."""
        endpoints = {path: self._endpoint(operation) for path, operation in OPERATIONS.items()}
        for path, endpoint in endpoints.items():
            paths.add("POST", path, endpoint, OPENAI)
        paths.add_root("/v2/rerank", endpoints["/rerank"], ("POST",))
        return frozenset(endpoints[path] for path in _DEFERRED)

    def _endpoint(self, operation: Operation) -> Callable[[Visit], Awaitable[None]]:
        async def serve(visit: Visit) -> None:
            self._steps.enter(visit, operation.endpoint)
            raw, body = await self._read(visit, operation)
            await self._perform(visit, operation, raw, body)

        return serve

    async def _read(self, visit: Visit, operation: Operation) -> tuple[bytes, TaskBody]:
        """Return the request, and what an idempotency key stands for beside it."""
        if not visit.inbound.content_type.lower().startswith("multipart/"):
            raw = await self._steps.body(visit)
            return raw, parse(operation, raw)
        given = await read_form(visit, self._doing.max_bytes())
        # A client that tries again writes its form under another boundary.
        raw = b"" if visit.inbound.idempotency_key is None else _encode(given.parts)
        return raw, parse_form(operation, given)

    async def _perform(self, visit: Visit, operation: Operation, raw: bytes, body: TaskBody) -> None:
        if "background" in body.ours and visit.opens is None:
            if operation.path not in _DEFERRED or body.request.form is not None:
                raise InvalidRequest(
                    f"{operation.path} cannot be asked in the background like this",
                    param="turnout.background",
                )
            await self._doing.wished(visit, raw)
            return
        opened = self._doing.open(visit, body, OPENAI)
        whole = visit.opens is not None or visit.inbound.idempotency_key is not None
        if (body.request.stream or operation.kind == "speech") and not whole:
            await self._doing.stream(visit, Passing(self._answer, opened, visit.send))
        else:
            await self._doing.once(visit, raw, operation.path, lambda: collected(self._answer, opened))


async def collected(answer: Answer, opened: Opened) -> Whole:
    """Serve one opened request to its complete answer. Raises `TurnoutError`."""
    async with opened as reply:
        found = await reply.task()
    return answer.finished(opened.exchange, reply, found.body, _types(found))


async def read_form(visit: Visit, most: int) -> Form:
    """Read a form as it arrives.

    Raises:
        InvalidRequest: It is malformed.
        RequestTooLarge: It, or a field of it, is too long; said as soon as that is seen.
        Disconnected: The client left.
    """
    inbound = visit.inbound
    if inbound.content_encoding not in ("", "identity"):
        raise InvalidRequest("a form is sent without content-encoding", param="content-encoding")
    if inbound.content_length is not None and inbound.content_length > most:
        raise RequestTooLarge(f"the form has {inbound.content_length} bytes; at most {most} are accepted")
    parser = Multipart(inbound.content_type)
    taking = _Taking()
    n_bytes, more = 0, True
    while more:
        message = await visit.receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        data: bytes = message.get("body", b"")
        more = bool(message.get("more_body"))
        n_bytes += len(data)
        if n_bytes > most:
            raise RequestTooLarge(f"the form exceeds {most} bytes")
        for piece in parser.feed(data):
            taking.take(piece)
    parser.end()
    return Form(new_boundary(), tuple(taking.parts))


class _Taking:
    """The parts of a form, as far as they have come."""

    __slots__ = ("_part", "_value", "parts")

    def __init__(self) -> None:
        self.parts: list[FormPart] = []
        self._part: Begin | None = None
        self._value = bytearray()

    def take(self, piece: object) -> None:
        """Take the next piece."""
        if isinstance(piece, Begin):
            self._part = piece
            self._value = bytearray()
            return
        part = self._part
        assert part is not None
        if isinstance(piece, Data):
            self._value += piece.data
            if part.filename is None and len(self._value) > MAX_FIELD:
                raise RequestTooLarge(f"{part.name[:64]}: a field of the form exceeds {MAX_FIELD} bytes")
            return
        self.parts.append(FormPart(part.name, bytes(self._value), part.filename, part.content_type))
        self._value = bytearray()


class Passing:
    """One answer that passes in pieces, where the upstream sends it in pieces; else it is sent whole."""

    __slots__ = ("_answer", "_beat", "_is_events", "_opened", "_send", "_started")

    def __init__(self, answer: Answer, opened: Opened, send: Send) -> None:
        self._answer = answer
        self._opened = opened
        self._send = send
        self._beat: KeepAlive | None = None
        self._is_events = False
        self._started = False

    async def run(self) -> None:
        """Serve. Raises `TurnoutError` while nothing was sent."""
        found: TaskResponse | None = None
        last = b""
        try:
            async with self._opened as reply:
                if reply.content_type is None:
                    found = await reply.task()
                else:
                    last = await self._pass(reply, reply.content_type)
        except TurnoutError as error:
            await self.break_off(error)
            return
        finally:
            if self._beat is not None:
                self._beat.stop()
        if found is None:
            await self._send({"type": "http.response.body", "body": last})
            return
        whole = self._answer.finished(self._opened.exchange, reply, found.body, _types(found))
        await respond(self._send, 200, whole.headers, whole.body)

    async def break_off(self, failure: TurnoutError) -> None:
        """End with a failure: as an event, or, among bytes, by breaking the connection (WIRE.md 9.4)."""
        if not self._started:
            raise failure
        if not self._is_events:
            raise Disconnected from failure
        _, _, body = self._answer.failure(failure, self._opened.exchange.ask.request_id)
        await self._send({"type": "http.response.body", "body": b"event: error\ndata: %b\n\n" % body})

    async def _pass(self, reply: Reply, content_type: str) -> bytes:
        """Pass the upstream's pieces; return the one that ends the answer."""
        self._is_events = content_type.startswith(_EVENTS)
        head = self._answer.head(self._opened.exchange, reply)
        types = STREAM_HEADERS if self._is_events else [(b"content-type", content_type.encode("latin-1"))]
        await self._start([*types, NO_SNIFF, *head])
        held = b""
        async for piece in reply.pieces():
            if held:
                await self._write(held)
                held = b""
            if reply.ended:
                held = piece
            else:
                await self._write(piece)
        return held

    async def _start(self, headers: RawHeaders) -> None:
        self._started = True
        if not self._is_events:
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
            return
        self._beat = KeepAlive(self._send, [], lambda: b": keep-alive\n\n", self._answer.keep_alive_s)
        await self._beat.start_with(headers)

    async def _write(self, data: bytes) -> None:
        if self._beat is not None:
            await self._beat.send(data)
        else:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})


def _types(found: TaskResponse) -> RawHeaders:
    return [(b"content-type", found.content_type.encode("latin-1")), NO_SNIFF]
