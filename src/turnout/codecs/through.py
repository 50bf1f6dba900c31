"""Streams that pass through as bytes while the format's own decoder reads along. Floor 2.

For formats whose streams are small or rarely passed through: every frame is decoded once, and the bytes leave
as they came.
"""

from collections.abc import Callable

from turnout.codecs.base import Decoder, Glance
from turnout.errors import TurnoutError
from turnout.types.chat import ChatResponse, FinishReason
from turnout.types.event import Event, Finish, Start, UsageUpdate
from turnout.types.http import HttpResponse
from turnout.types.usage import Usage

_QUIET = (Start, UsageUpdate, Finish)


class DecodingTap:
    """Reads one upstream stream while it passes."""

    __slots__ = ("_decoder", "done", "error", "finish", "has_content", "model", "upstream_id", "usage")

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self.has_content = False
        self.usage: Usage | None = None
        self.finish: FinishReason | None = None
        self.done = False
        self.upstream_id: str | None = None
        self.model: str | None = None
        self.error: TurnoutError | None = None

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
