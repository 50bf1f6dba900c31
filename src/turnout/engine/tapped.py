"""A streamed answer that passes through as bytes, a tap reading along. Floor 4.

Theory of operation.
1. Whoever reads (`frames`) is woken for each read of the upstream's connection, takes it through the tap and
   sends what that gives. Everything is decided there: ends, failures, holding back, what is left out.
2. Most reads are one frame of content, of which nothing has to be decided. Where reader and transport can
   (`straight`), these go from connection to connection without waking anybody: only while the reader waits
   for exactly this read, and only if the tap, asked without being changed, finds it `plain`, and the client's
   connection takes it at once. Else nothing has happened, and the reader is woken as in 1.
3. What layers put around a reply has no `straight`, so nothing passes by somebody who wants to see it.
4. The function points back at the reply; a response lets go of it when it ends.
"""

from collections.abc import AsyncIterator

from turnout.codecs.base import Plain, Tap
from turnout.engine.reply import Push, Reply
from turnout.errors import TurnoutError
from turnout.transport.base import Response, Straight
from turnout.types.chat import ChatResponse
from turnout.types.deployment import Deployment
from turnout.types.event import Event


class TappedReply(Reply):
    """A stream that passes through as bytes."""

    __slots__ = ("_held", "_response", "_tap")

    def __init__(self, deployment: Deployment, response: Response, tap: Tap, held: bytes) -> None:
        super().__init__(deployment, express=True)
        self._response = response
        self._tap = tap
        self._held = held

    @property
    def ended(self) -> bool:
        """Whether the terminal frame is among the bytes handed out."""
        return self._tap.done

    def frames(self) -> AsyncIterator[bytes]:
        """Yield the upstream's frames; the ones that committed come first."""
        return self

    def straight(self, push: Push) -> None:
        """Hand plain frames to `push` as they arrive."""
        response, tap = self._response, self._tap
        if not isinstance(response, Straight) or not isinstance(tap, Plain):
            return
        plain = tap.plain

        def arrived(data: bytes) -> bool:
            out = plain(data)
            if not out or not push(out):
                return False
            self.n_text += len(out)
            return True

        response.straight = arrived

    def __aiter__(self) -> "TappedReply":
        return self

    async def __anext__(self) -> bytes:
        if self._held:
            held, self._held = self._held, b""
            self.n_text += len(held)
            self._saw_tap()
            return held
        tap = self._tap
        while not self.done and self.failure is None:
            try:
                data = await self._response.chunk()
                out = tap.feed(data) if data else tap.end()
            except TurnoutError as error:
                self.failure = error
                raise
            if tap.finish is not None or tap.usage is not None or tap.error is not None:
                self._saw_tap()
            if not data:
                self.done = True
            if out:
                self.n_text += len(out)
                return out
        raise StopAsyncIteration

    def _saw_tap(self) -> None:
        tap = self._tap
        self.usage = tap.usage
        self.finish = tap.finish
        self.upstream_id = tap.upstream_id
        self.upstream_model = tap.model
        if tap.error is not None:
            self.failure = tap.error

    async def response(self) -> ChatResponse:
        """Refuse: an express reply is read as bytes."""
        raise TypeError("an express reply has frames(), not response()")

    def events(self) -> AsyncIterator[list[Event]]:
        """Refuse: an express reply is read as bytes."""
        raise TypeError("an express reply has frames(), not events()")
