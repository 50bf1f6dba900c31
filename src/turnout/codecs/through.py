"""Streams that pass through as bytes: what the taps of several formats share. Floor 2.

`DecodingTap` is for formats whose streams are small or rarely passed through: the format's own decoder reads
along, every frame is decoded once, and the bytes leave as they came.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from turnout.codecs.base import Decoder, Glance
from turnout.codecs.sse import Frame, FrameBuffer, frames
from turnout.errors import ProviderBadResponse, StreamInterrupted, TurnoutError
from turnout.types.chat import ChatResponse, FinishReason
from turnout.types.event import Event, Finish, Start, UsageUpdate
from turnout.types.http import HttpResponse
from turnout.types.usage import Usage

_QUIET = (Start, UsageUpdate, Finish)


class _Known:
    """What is known of a stream so far."""

    __slots__ = ("done", "error", "finish", "has_content", "model", "upstream_id", "usage")

    def __init__(self) -> None:
        self.has_content = False
        self.usage: Usage | None = None
        self.finish: FinishReason | None = None
        self.done = False
        self.upstream_id: str | None = None
        self.model: str | None = None
        self.error: TurnoutError | None = None


class FrameTap(_Known, ABC):
    """Hands on whole reads in which nothing may stand that is to be known; cuts the others into frames."""

    __slots__ = ("_buffer",)
    _last: ClassVar[str]
    """What is said to be missing of a stream without its terminal event."""

    def __init__(self) -> None:
        super().__init__()
        self._buffer = FrameBuffer()

    def feed(self, data: bytes) -> bytes:
        """Take upstream bytes, return the whole frames for the client."""
        whole = self._buffer.take(data)
        if not whole or (self.has_content and not self._is_marked(whole)):
            return whole
        return b"".join([self._pass(frame) for frame in frames(whole)])

    def plain(self, data: bytes) -> bytes:
        """Return whole frames in which nothing may stand that is to be known; b"" = `feed` must look."""
        if not self.has_content or self.done or self.error is not None or not self._buffer.is_between:
            return b""
        return data if data[-2:] == b"\n\n" and not self._is_marked(data) else b""

    def end(self) -> bytes:
        """Return what is still to be sent. Raises `StreamInterrupted` without a terminal event."""
        try:
            rest = b"".join([self._pass(frame) for frame in frames(self._buffer.rest())])
        except ProviderBadResponse:
            rest = b""  # half a frame: the stream was cut
        if not self.done and self.error is None:
            raise StreamInterrupted(f"the provider's stream ended before {self._last}")
        return rest

    @abstractmethod
    def _is_marked(self, data: bytes) -> bool:
        """Tell whether a read may hold something to know, once content has passed."""

    @abstractmethod
    def _pass(self, frame: Frame) -> bytes:
        """Look at a frame and return it as the client gets it."""

    def _fail(self, error: TurnoutError) -> None:
        if not self.has_content:
            raise error
        self.error = error


class DecodingTap(_Known):
    """Reads one upstream stream while it passes."""

    __slots__ = ("_decoder",)

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self._decoder = decoder

    def feed(self, data: bytes) -> bytes:
        """Look at bytes and hand them on. Raises the class of an in-stream error before content."""
        try:
            self._look(self._decoder.feed(data))
        except TurnoutError as error:
            if not self.has_content:
                raise
            self.error = error
        return data

    def end(self) -> bytes:
        """Tell that the stream is over. Raises `StreamInterrupted` without a terminal event."""
        if self.error is None:
            self._look(self._decoder.end())
            self.done = True
        return b""

    def _look(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Start():
                    self.upstream_id, self.model = event.id, event.model
                    self.usage = event.usage or self.usage
                case UsageUpdate():
                    self.usage = event.usage
                case Finish():
                    self.finish = event.reason
                case _:
                    pass
            self.has_content |= not isinstance(event, _QUIET)


def glance(decode: Callable[[HttpResponse], ChatResponse], response: HttpResponse) -> Glance:
    """Read a complete answer whole and hand it on untouched."""
    found = decode(response)
    return Glance(
        usage=found.usage,
        finish=found.choices[0].finish if found.choices else None,
        upstream_id=found.id,
        model=found.model,
        body=response.body,
    )
