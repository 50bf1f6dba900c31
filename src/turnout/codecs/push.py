"""What decoders of event streams share: frames in, events out, failures at the right moment. Floor 2.

Theory of operation.

1. `SseSplitter` gives the same frames for any split of the bytes, and a decoder reads frame by frame: any
   split gives the same events.
2. A failure, in-stream or of ours, is raised at once if the same read completed no event with content before
   it, else at the next call: events that arrived are never lost to what came after them.
3. Most of a stream is text, a few words in each read: after a frame of text alone the next read is tried as
   another one (`_words`), which makes the event that the general way would.
4. Half a frame at the end is what a cut leaves behind; whether it matters is decided by whether the answer
   had ended. A stream that ends before its answer is `StreamInterrupted`, whatever came last.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from turnout.codecs.sse import Frame, SseSplitter
from turnout.errors import ProviderBadResponse, StreamInterrupted, TurnoutError
from turnout.types.event import Event, TextDelta


class PushDecoder(ABC):
    """Push parser of one upstream stream of server-sent events."""

    __slots__ = ("_done", "_failure", "_says_words", "_splitter")

    QUIET: ClassVar[tuple[type, ...]] = ()
    """Events that carry no content: a failure behind them may be raised at once."""
    END: ClassVar[str] = "its answer did"
    """What a stream that was cut did not come to."""

    def __init__(self) -> None:
        self._splitter = SseSplitter()
        self._done = False
        """The terminal frame has passed; what follows means nothing."""
        self._failure: TurnoutError | None = None
        self._says_words = False
        """The frame before held text and nothing else: the next one is first read as such a frame."""

    def _words(self, data: bytes) -> TextDelta | None:
        """Read a frame as one of text alone, going on where the text before stood; None = it is none."""
        return None

    @abstractmethod
    def _read(self, frame: Frame, events: list[Event]) -> None:
        """Append the events of a frame that has data. Raises the class of an in-stream error."""

    @property
    def _has_ended(self) -> bool:
        """Whether the answer is complete; a format may know that before its terminal frame."""
        return self._done

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes, return the events they complete. Raises the class of an in-stream error."""
        if self._failure is not None:
            raise self._failure
        if self._says_words and (alone := self._splitter.alone(data)) is not None:
            words = self._words(alone)
            if words is not None:
                return [words]
        events: list[Event] = []
        try:
            for frame in self._splitter.feed(data):
                if frame.data and not self._done:
                    self._read(frame, events)
        except TurnoutError as error:
            self._failure = error
            if not events or all(isinstance(event, self.QUIET) for event in events):
                raise
        return events

    def end(self) -> list[Event]:
        """Tell that the stream is over. Raises `StreamInterrupted` where its answer was not."""
        if self._failure is not None:
            raise self._failure
        events: list[Event] = []
        try:
            for frame in self._splitter.end():
                if frame.data and not self._done:
                    self._read(frame, events)
        except ProviderBadResponse:
            events.clear()
        if not self._has_ended:
            raise StreamInterrupted(f"the provider's stream ended before {self.END}")
        return events
