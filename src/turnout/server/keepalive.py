"""Frames that keep a silent stream open (WIRE.md 2.5). Floor 6."""

import asyncio
from collections.abc import Awaitable, Callable

from turnout.server.cycle import Cycle
from turnout.server.http import RawHeaders, Send


class KeepAlive:
    """Sends a stream's bytes and, when none were sent for a while, a keep-alive frame.

    Keep-alives may begin before a model was chosen: they send status 200 and the early headers, after which
    every failure is told inside the stream. They do not commit the choice.
    """

    __slots__ = (
        "_early",
        "_every_s",
        "_frame",
        "_handle",
        "_loop",
        "_push",
        "_raw",
        "_sent_at",
        "_stopped",
        "_task",
        "started",
    )

    def __init__(self, send: Send, early: RawHeaders, frame: Callable[[], bytes], every_s: float) -> None:
        self._raw = send
        cycle = getattr(send, "__self__", None)
        self._push = cycle.push if isinstance(cycle, Cycle) else None
        """Of a connection of ours with nobody between: a piece needs no coroutine."""
        self._early = early
        self._frame = frame
        self._every_s = every_s
        self._loop = asyncio.get_running_loop()
        self._sent_at = self._loop.time()
        self._task: asyncio.Task[None] | None = None
        self._handle = self._loop.call_later(every_s, self._tick)
        self._stopped = False
        self.started = False
        """Whether status and headers are out."""

    async def start_with(self, headers: RawHeaders) -> None:
        """Send status 200 and the headers, unless a keep-alive already had to."""
        if not self.started:
            self.started = True
            await self._raw({"type": "http.response.start", "status": 200, "headers": headers})

    def send(self, data: bytes) -> Awaitable[None]:
        """Send a piece of the stream; to be awaited."""
        self._sent_at = self._loop.time()
        return self._raw({"type": "http.response.body", "body": data, "more_body": True})

    def pushed(self, data: bytes) -> bool:
        """Send a piece of the stream at once; False = it was not, and `send` is to be awaited."""
        push = self._push
        if push is None or not push(data):
            return False
        self._sent_at = self._loop.time()
        return True

    def stop(self) -> None:
        """Beat no more. A beat on its way ends by itself: cut in half, it could leave out the head."""
        self._stopped = True
        self._handle.cancel()

    def _tick(self) -> None:
        silent_s = self._loop.time() - self._sent_at
        if silent_s >= self._every_s * 0.99 and (self._task is None or self._task.done()):
            self._task = self._loop.create_task(self._beat())
            silent_s = 0.0
        self._handle = self._loop.call_later(self._every_s - silent_s, self._tick)

    async def _beat(self) -> None:
        await self.start_with(self._early)
        if not self._stopped:
            await self.send(self._frame())
