"""Answers that are kept as they pass, and answers that are given again. Floor 4.

Theory of operation.

1. A `Recorded` reply keeps what is read of it, in the form in which it is read: the upstream's own bytes,
   a complete answer, batches of events, vectors. Beyond a limit it keeps nothing.
2. It is `complete` when it was read to its clean end; anything else is never kept.
3. A `Replayed` reply gives the same out again. Bytes go back the way they came: nothing of them is written
   anew. A complete answer can be streamed, and a stream be given as a complete answer.
"""

from collections.abc import AsyncIterator
from typing import Final

import msgspec

from turnout.engine.collect import Collector
from turnout.engine.reply import Reply, as_events
from turnout.stores.cache.base import Form, Kept
from turnout.types.chat import ChatResponse, Text
from turnout.types.deployment import Deployment
from turnout.types.embed import EmbedResponse
from turnout.types.event import Event

_ENCODER: Final = msgspec.msgpack.Encoder()
_ANSWER: Final = msgspec.msgpack.Decoder(ChatResponse)
_EVENTS: Final = msgspec.msgpack.Decoder(list[Event])
_VECTORS: Final = msgspec.msgpack.Decoder(EmbedResponse)


class Recorded(Reply):
    """A reply that is kept as it is read."""

    __slots__ = ("_left", "_reply", "form", "kept")

    def __init__(self, reply: Reply, max_bytes: int) -> None:
        super().__init__(reply.deployment, express=reply.express)
        self._reply = reply
        self._left = max_bytes
        self.form: Form | None = None
        """None while nothing was read."""
        self.kept: list[bytes] = []
        self._follow()

    @property
    def ended(self) -> bool:
        """Whether the bytes handed out so far hold the terminal event of the answer."""
        return self._reply.ended

    @property
    def complete(self) -> bool:
        """Whether all of it was read, to a clean end, and kept."""
        return self.form is not None and self._left >= 0 and self.done and self.failure is None

    async def response(self) -> ChatResponse:
        """Return the complete answer."""
        try:
            answer = await self._reply.response()
        finally:
            self._follow()
        self._keep("answer", _ENCODER.encode(answer))
        return answer

    async def vectors(self) -> EmbedResponse:
        """Return the vectors."""
        found = await self._reply.vectors()
        self._follow()
        self._keep("vectors", _ENCODER.encode(found))
        return found

    async def events(self) -> AsyncIterator[list[Event]]:
        """Yield batches of events as they arrive."""
        try:
            async for events in self._reply.events():
                if self._left >= 0:
                    self._keep("events", _ENCODER.encode(events))
                self._follow()
                yield events
        finally:
            self._follow()

    async def frames(self) -> AsyncIterator[bytes]:
        """Yield the upstream's own frames."""
        try:
            async for frame in self._reply.frames():
                self._keep("frames", frame)
                self._follow()
                yield frame
        finally:
            self._follow()

    def body(self) -> bytes:
        """Return the upstream's own body."""
        body = self._reply.body()
        self._keep("body", body)
        return body

    def _keep(self, form: Form, piece: bytes) -> None:
        self.form = form
        self._left -= len(piece)
        if self._left >= 0:
            self.kept.append(piece)
        else:
            self.kept.clear()

    def _follow(self) -> None:
        """Copy the state of the reply that is really read."""
        reply = self._reply
        self.usage = reply.usage
        self.finish = reply.finish
        self.done = reply.done
        self.failure = reply.failure
        self.n_text = reply.n_text
        self.upstream_id = reply.upstream_id
        self.warnings = reply.warnings


class Replayed(Reply):
    """An answer given again."""

    __slots__ = ("_kept", "_sent", "_whole")

    def __init__(self, deployment: Deployment, kept: Kept, *, whole: bool) -> None:
        super().__init__(deployment, express=kept.form in ("body", "frames"))
        self._kept = kept
        self._whole = whole
        """Whether a stream is given out at once."""
        self._sent = False
        self.finish = kept.finish  # type: ignore[assignment]  # one of its words when it was kept
        if kept.form == "body":
            self.done = True

    @property
    def ended(self) -> bool:
        """Whether the last piece was handed out."""
        return self.done or self._sent

    def body(self) -> bytes:
        """Return the upstream's own body."""
        return self._kept.pieces[0]

    async def frames(self) -> AsyncIterator[bytes]:
        """Yield the upstream's own frames."""
        pieces = self._kept.pieces
        if self._whole:
            pieces = (b"".join(pieces),)
        last = len(pieces) - 1
        for at, piece in enumerate(pieces):
            self._sent = at == last
            yield piece
        self.done = True

    async def vectors(self) -> EmbedResponse:
        """Return the vectors."""
        found = _VECTORS.decode(self._kept.pieces[0])
        self.usage = found.usage
        self.done = True
        return found

    async def response(self) -> ChatResponse:
        """Return the complete answer."""
        answer = _answer(self._kept)
        self.usage = answer.usage
        self.upstream_id = answer.id
        self.done = True
        return answer

    async def events(self) -> AsyncIterator[list[Event]]:
        """Yield the answer as batches of events."""
        if self._kept.form == "answer":
            answer = _ANSWER.decode(self._kept.pieces[0])
            batches = [list(as_events(answer))]
        else:
            batches = [_EVENTS.decode(piece) for piece in self._kept.pieces]
        if self._whole:
            batches = [[event for batch in batches for event in batch]]
        for events in batches:
            self._saw(events)
            yield events
        self.done = True


def text_of(kept: Kept) -> str:
    """Return the words of a kept answer; "" where there are none, or only an upstream's own bytes."""
    if kept.form not in ("answer", "events"):
        return ""
    choices = _answer(kept).choices
    return "\n".join(part.text for choice in choices for part in choice.parts if isinstance(part, Text))


def _answer(kept: Kept) -> ChatResponse:
    if kept.form == "answer":
        return _ANSWER.decode(kept.pieces[0])
    collector = Collector()
    for piece in kept.pieces:
        collector.add(_EVENTS.decode(piece))
    return collector.response()
