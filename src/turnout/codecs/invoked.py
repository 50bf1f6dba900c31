"""Streams of Bedrock's InvokeModel: frames that hold events of the model's own format. Floor 2."""

import binascii
from base64 import b64decode
from collections.abc import Callable
from typing import TypeAlias

import msgspec
from msgspec import Raw, Struct

from turnout.codecs import aws_errors
from turnout.codecs.base import Decoder, Tap
from turnout.codecs.eventstream import EventFrame, EventStreamParser, write_event
from turnout.codecs.held import HoldingDecoder
from turnout.errors import ProviderBadResponse, TurnoutError
from turnout.types.chat import FinishReason
from turnout.types.event import Event
from turnout.types.usage import Usage

Unwrap: TypeAlias = Callable[[EventFrame], bytes]
"""Takes a frame off: the bytes for the format's own decoder."""

_BEDROCK = "bedrock"
_NO_EVENT = "a frame of the provider's stream holds no event"
_ABOUT = "amazon-bedrock-"
"""How members begin that the service puts beside an event."""


class _Chunk(Struct, frozen=True):
    bytes: str = ""


class _Typed(Struct, frozen=True):
    type: str = ""


_read = msgspec.json.Decoder(dict[str, Raw]).decode
_read_chunk = msgspec.json.Decoder(_Chunk).decode
_read_type = msgspec.json.Decoder(_Typed).decode


class InvokeDecoder(HoldingDecoder[EventFrame]):
    """Takes the frames off a stream and feeds what is inside to the format's decoder."""

    __slots__ = ("_inner", "_unwrap")

    def __init__(self, inner: Decoder, unwrap: Unwrap) -> None:
        super().__init__(EventStreamParser().feed)
        self._inner = inner
        self._unwrap = unwrap

    def end(self) -> list[Event]:
        """Tell that the stream is over. Raises `StreamInterrupted` without a terminal event."""
        self.feed(b"")  # a failure that waits
        return self._inner.end()

    def _take(self, frame: EventFrame, events: list[Event]) -> None:
        events += self._inner.feed(self._unwrap(frame))


class InvokeTap:
    """Takes the frames off a stream that passes through: the client gets the stream of its own format."""

    __slots__ = ("_failure", "_inner", "_parser", "_unwrap")

    def __init__(self, inner: Tap, unwrap: Unwrap) -> None:
        self._inner = inner
        self._unwrap = unwrap
        self._parser = EventStreamParser()
        self._failure: TurnoutError | None = None

    has_content: bool
    usage: Usage | None
    finish: FinishReason | None
    done: bool
    upstream_id: str | None
    model: str | None
    error: TurnoutError | None

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def feed(self, data: bytes) -> bytes:
        """Take upstream bytes, return those for the client. Raises what an exception frame means."""
        if self._failure is not None:
            raise self._failure
        out: list[bytes] = []
        try:
            for frame in self._parser.feed(data):
                out.append(self._inner.feed(self._unwrap(frame)))  # noqa: PERF401  what came before a failure is kept
        except TurnoutError as error:
            self._failure = error
            if not out:
                raise
        return b"".join(out)

    def end(self) -> bytes:
        """Return what is still to be sent. Raises `StreamInterrupted` without a terminal event."""
        if self._failure is not None:
            raise self._failure
        return self._inner.end()


def unwrapped(frame: EventFrame) -> bytes:
    """Return the event inside a frame as a server-sent event; b"" for a frame of another kind.

    Raises the class of an exception frame, and `ProviderBadResponse` for one that holds no event.
    """
    data = _inside(frame)
    if not data:
        return b""
    try:
        kind = _read_type(data).type
    except (ValueError, RecursionError) as error:
        raise ProviderBadResponse(_NO_EVENT) from error
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data.replace(b"\n", b" "))


def renamed(frame: EventFrame) -> bytes:
    """Return the event inside a frame as the frame that Converse would have sent; raises as `unwrapped`."""
    data = _inside(frame)
    try:
        named = _read(data) if data else {}
    except (ValueError, RecursionError) as error:
        raise ProviderBadResponse(_NO_EVENT) from error
    events = ((name, bytes(value)) for name, value in named.items() if not name.startswith(_ABOUT))
    return b"".join(write_event(name, value) for name, value in events)


def _inside(frame: EventFrame) -> bytes:
    """Return what a frame holds; b"" for a frame of another kind."""
    if not frame.is_event:
        raise aws_errors.of_frame(frame, _BEDROCK)
    if frame.name != "chunk":
        return b""
    try:
        return b64decode(_read_chunk(frame.payload).bytes, validate=True)
    except (ValueError, RecursionError, binascii.Error) as error:
        raise ProviderBadResponse(_NO_EVENT) from error
