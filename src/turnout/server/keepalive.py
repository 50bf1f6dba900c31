"""Frames that keep a silent stream open (WIRE.md 2.5). Floor 6."""

import asyncio
from collections.abc import Callable

from turnout.server.http import RawHeaders, Send


class KeepAlive:
    """Sends a stream's bytes and, when none were sent for a while, a keep-alive frame.

    Keep-alives may begin before a model was chosen: they send status 200 and the early headers, after which
    every failure is told inside the stream. They do not commit the choice.
    """

    __slots__ = ("_early", "_every_s", "_handle", "_loop", "_raw", "_sent_at", "_task", "frame", "started")

    def __init__(self, send: Send, early: RawHeaders, frame: Callable[[], bytes], every_s: float) -> None:
        self._raw = send
        self._early = early
        self.frame = frame
        """Makes the keep-alive; the stream's own writer takes it over once it exists."""
        self._every_s = every_s
        self._loop = asyncio.get_running_loop()
        self._sent_at = self._loop.time()
        self._task: asyncio.Task[None] | None = None
        self._handle = self._loop.call_later(every_s, self._tick)
        self.started = False
        """Whether status and headers are out."""

    async def start_with(self, headers: RawHeaders) -> None:
        """Send status 200 and the headers, unless a keep-alive already had to."""
        if not self.started:
            self.started = True
            await self._raw({"type": "http.response.start", "status": 200, "headers": headers})

    async def send(self, data: bytes) -> None:
        """Send a piece of the stream."""
        self._sent_at = self._loop.time()
        await self._raw({"type": "http.response.body", "body": data, "more_body": True})

    def stop(self) -> None:
        """Beat no more."""
        self._handle.cancel()
        if self._task is not None:
            self._task.cancel()

    def _tick(self) -> None:
        silent_s = self._loop.time() - self._sent_at
        if silent_s >= self._every_s * 0.99:
            self._task = self._loop.create_task(self._beat())
            silent_s = 0.0
        self._handle = self._loop.call_later(self._every_s - silent_s, self._tick)

    async def _beat(self) -> None:
        await self.start_with(self._early)
        await self.send(self.frame())
