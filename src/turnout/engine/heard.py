"""A reply whose answer is kept as it is read: for what judges answers after they were given. Floor 4."""

from collections.abc import AsyncIterator

from turnout.engine.collect import Collector
from turnout.engine.reply import Relay, Reply
from turnout.types.chat import ChatResponse
from turnout.types.embed import EmbedResponse
from turnout.types.event import Event


class Heard(Relay):
    """A reply whose answer is kept as it is read."""

    __slots__ = ("_collected", "_reply", "answer")

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.deployment, express=reply.express)
        self._reply = reply
        self._collected = Collector()
        self.answer: ChatResponse | None = None
        """Once it was read to its end."""
        self._follow()

    @property
    def ended(self) -> bool:
        """Whether the bytes handed out so far hold the terminal event of the answer."""
        return self._reply.ended

    async def response(self) -> ChatResponse:
        """Return the complete answer."""
        try:
            self.answer = await self._reply.response()
        finally:
            self._follow()
        return self.answer

    async def vectors(self) -> EmbedResponse:
        """Return the vectors; nothing of them is kept."""
        return await self._reply.vectors()

    async def events(self) -> AsyncIterator[list[Event]]:
        """Yield batches of events as they arrive."""
        try:
            async for events in self._reply.events():
                self._collected.add(events)
                self._follow()
                yield events
        finally:
            self._follow()
            if self.done and self.failure is None:
                self.answer = self._collected.response()

    async def frames(self) -> AsyncIterator[bytes]:
        """Yield the upstream's own frames; nothing of them is kept."""
        async for frame in self._reply.frames():
            self._follow()
            yield frame

    def body(self) -> bytes:
        """Return the upstream's own body; nothing of it is kept."""
        return self._reply.body()

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
