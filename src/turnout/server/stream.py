"""Station 10 for a streamed answer: frames go out as they are made. Floor 6.

Theory of operation.
1. Until something was sent a failure is an ordinary error answer. After that, be it only a keep-alive, it is
   told inside the stream (WIRE.md 9.4) by the writer in use.
2. On the express track whole upstream frames pass; on the other one events are written in the dialect.
3. The piece that ends the stream waits until the rings have unwound (answer.py).
"""

from turnout.codecs.base import Resumes, StreamEncoder
from turnout.engine.engine import Opened
from turnout.engine.reply import Reply
from turnout.errors import Internal, TurnoutError
from turnout.server.answer import Answer
from turnout.server.defects import note_defect
from turnout.server.http import Send
from turnout.server.keepalive import KeepAlive
from turnout.types.event import TextDelta


class Stream:
    """One streamed answer."""

    __slots__ = ("_answer", "_beat", "_exchange", "_opened", "_passed", "_passing", "_send", "_writer")

    def __init__(self, answer: Answer, opened: Opened, send: Send) -> None:
        self._answer = answer
        self._opened = opened
        self._exchange = opened.exchange
        self._send = send
        self._writer: StreamEncoder | None = None
        self._passing: Reply | None = None
        """The reply whose frames pass as they are."""
        self._passed = b""
        """The frames that passed last."""
        early = [*answer.stream_headers, *answer.ids(opened.exchange.ask.request_id)]
        self._beat = KeepAlive(send, early, self._keep_alive, answer.keep_alive_s)

    async def run(self) -> None:
        """Serve. Raises `TurnoutError` while nothing was sent."""
        reply: Reply | None = None
        failure: TurnoutError | None = None
        last = b""
        try:
            async with self._opened as reply:
                head = self._answer.head(self._exchange, reply)
                await self._beat.start_with([*self._answer.stream_headers, *head])
                last = await (self._pass(reply) if reply.express else self._encode(reply))
        except TurnoutError as error:
            failure = error
        except Exception as error:  # noqa: BLE001  the server boundary: told in the stream, noted in the log
            note_defect(self._exchange.ask.request_id, error)
            failure = Internal("an internal error occurred; the request id finds it in the log")
        finally:
            self._beat.stop()
        if failure is not None:
            await self.break_off(failure)
            return
        if reply is not None and not reply.express and self._writer is not None:
            last = self._writer.end(reply.usage, self._answer.summary(self._exchange, reply, final=True))
        await self._send({"type": "http.response.body", "body": last})

    async def break_off(self, failure: TurnoutError) -> None:
        """End the stream with a failure. Raises it while nothing was sent."""
        if not self._beat.started:
            raise failure
        reply = self._exchange.reply
        writer = self._writer or self._answer.writer(self._exchange, reply)
        if self._passing is not None and isinstance(writer, Resumes):
            writer.resume(self._passed, self._passing.upstream_id)
        last = writer.fail(failure, self._answer.opening(self._exchange, reply))
        await self._send({"type": "http.response.body", "body": last})

    def _keep_alive(self) -> bytes:
        if self._writer is None:
            self._writer = self._answer.writer(self._exchange, self._passing)
            if self._passing is not None:
                # It writes nothing else of this stream; told that content has passed, it beats as then.
                self._writer.feed([TextDelta("…")])
        return self._writer.keep_alive()

    async def _pass(self, reply: Reply) -> bytes:
        """Pass the upstream's frames; return the piece that ends the stream."""
        self._passing, self._writer = reply, None
        beat = self._beat
        held = b""
        reply.straight(self._pushed)
        async for frames in reply.frames():
            self._passed = frames
            if held:
                await beat.send(held)
                held = b""
            if reply.ended:
                held = frames
            elif not beat.pushed(frames):
                await beat.send(frames)
        return held

    def _pushed(self, frames: bytes) -> bool:
        """Pass frames that the reader was not woken for."""
        try:
            if not self._beat.pushed(frames):
                return False
        except RuntimeError:  # the client's connection closes: its reader will find that out
            return False
        self._passed = frames
        return True

    async def _encode(self, reply: Reply) -> bytes:
        """Write the events in the client's dialect; the closing frames are the writer's to make."""
        writer = self._writer = self._answer.writer(self._exchange, reply)
        beat = self._beat
        async for events in reply.events():
            frames = writer.feed(events)
            if frames and not beat.pushed(frames):
                await beat.send(frames)
        return b""
