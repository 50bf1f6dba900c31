"""Reads what the engine must know from a chat completion stream that passes through as bytes. Floor 2.

Theory of operation.

1. Bytes leave as they came, whole frames at a time, except: frames holding a `turnout` member are written
   again without it (S-45), and for a client that did not ask for usage the usage-only chunk is left out
   and so is the member that says null in all others (WIRE.md 3.1).
2. Every frame is parsed, into a struct of the few members looked at: that costs less than looking for
   markers in the bytes, and an escaped key cannot slip through.
3. An error frame, and a frame that cannot be read, raises: at once before content, and after content when
   the frames before it were handed out. It does not pass: a client is told of a failure after commit in
   our words and form (WIRE.md 9.4), with the `[DONE]` it waits for.
4. A host that ends without `[DONE]` after a finish reason gets one at `end`, because clients wait for it.
"""

from collections.abc import Sequence
from enum import Enum

import msgspec
from msgspec import UNSET, Struct

from turnout.codecs.openai_chat.errors import error_in_frame
from turnout.codecs.openai_chat.finish import read_finish
from turnout.codecs.openai_chat.usage import usage_in
from turnout.codecs.openai_chat.wire import UsageOut, XGroq
from turnout.codecs.openai_errors import unreadable
from turnout.codecs.sse import Frame, FrameBuffer, frames
from turnout.errors import ProviderBadResponse, StreamInterrupted, TurnoutError
from turnout.types.chat import FinishReason
from turnout.types.usage import Usage

DONE = b"data: [DONE]\n\n"
_NULLS = (b',"usage":null', b', "usage": null')
"""Cannot stand inside a JSON string, where quotes are escaped; so cutting them out keeps the JSON whole."""


class _Delta(Struct, frozen=True):
    content: object = None
    reasoning_content: object = None
    reasoning: object = None
    refusal: object = None
    tool_calls: list[object] | None = None
    function_call: object = None
    audio: object = None
    images: object = None


class _Choice(Struct, frozen=True):
    delta: _Delta | None = None
    finish_reason: str | None = None
    error: object = None


class _Chunk(Struct, frozen=True):
    id: str | None = None
    model: str | None = None
    choices: list[_Choice] | None = None
    usage: UsageOut | None = None
    x_groq: XGroq | None = None
    error: object = None
    turnout: object = UNSET


_chunk = msgspec.json.Decoder(_Chunk).decode
_tree = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class _Fate(Enum):
    PASS = 0
    DROP = 1
    CLEAN = 2
    """Written again without the `turnout` member."""


class OpenAIChatTap:
    """Pass-through reader of one stream."""

    __slots__ = (
        "_broken",
        "_buffer",
        "_calls",
        "_strip_usage",
        "done",
        "error",
        "finish",
        "has_content",
        "model",
        "upstream_id",
        "usage",
    )

    def __init__(self, *, strip_usage: bool) -> None:
        self.has_content = False
        self.usage: Usage | None = None
        self.finish: FinishReason | None = None
        self.done = False
        self.upstream_id: str | None = None
        self.model: str | None = None
        self.error: TurnoutError | None = None
        self._strip_usage = strip_usage
        self._buffer = FrameBuffer()
        self._calls = False
        self._broken: TurnoutError | None = None

    def feed(self, data: bytes) -> bytes:
        """Take upstream bytes, return the bytes for the client."""
        out = self._take(data)
        return _without_nulls(out) if self._strip_usage else out

    def _take(self, data: bytes) -> bytes:
        if self._broken is not None:
            raise self._broken
        whole = self._buffer.take(data)
        if not whole:
            return whole
        if whole[:7] == b"data: {" and whole.find(b"\n\n") == len(whole) - 2 and not self.done:
            # One plain frame, the usual read: seen in place (JSON allows white space after it).
            fate = self._see(whole[6:])
            if fate is _Fate.PASS:
                return whole
            return _without_turnout(whole[6:]) if fate is _Fate.CLEAN else b""
        return self._pass(frames(whole))

    def plain(self, data: bytes) -> bytes:
        """Return what `feed` would of one frame of content that changes nothing here; b"" = it is another."""
        if data[:7] != b"data: {" or data.find(b"\n\n") != len(data) - 2:
            return b""
        if not self.has_content or self.finish is not None or self.done or self._broken is not None:
            return b""
        if not self.upstream_id or not self._buffer.is_between:
            return b""
        try:
            chunk = _chunk(data[6:])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return b""
        if chunk.usage is not None or chunk.x_groq is not None or chunk.error is not None:
            return b""
        if chunk.turnout is not UNSET or not chunk.choices:
            return b""
        for choice in chunk.choices:
            if choice.finish_reason is not None or choice.error is not None:
                return b""
            if choice.delta is not None and choice.delta.tool_calls:
                return b""
        return _without_nulls(data) if self._strip_usage else data

    def end(self) -> bytes:
        """Return what is still to be sent. Raises `StreamInterrupted` without a terminal event."""
        if self._broken is not None:
            raise self._broken
        try:
            out = self._pass(frames(self._buffer.rest()))
            out = _without_nulls(out) if self._strip_usage else out
        except ProviderBadResponse:
            # Half a frame is what a cut leaves behind; whether it matters is decided below.
            out = b""
        if self.done:
            return out
        if self.finish is None:
            raise StreamInterrupted("the provider's stream ended before its answer did")
        self.done = True
        return out + DONE

    def _pass(self, whole: Sequence[Frame]) -> bytes:
        out: list[bytes] = []
        for frame in whole:
            if self.done:
                break
            try:
                fate = self._see(frame.data, frame.event)
            except TurnoutError as error:
                if not out or not self.has_content:
                    raise
                self._broken = error
                break
            if fate is _Fate.PASS:
                out.append(frame.raw)
            elif fate is _Fate.CLEAN:
                out.append(_without_turnout(frame.data, frame.event))
        return b"".join(out)

    def _see(self, data: bytes, event: str = "") -> _Fate:
        if not data:
            return _Fate.PASS
        if data == b"[DONE]":
            self.done = True
            if self.finish is None:  # a host that never says why it stopped
                self.finish = read_finish("", calls=self._calls)
            return _Fate.PASS
        try:
            chunk = _chunk(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise unreadable(error) from error
        if not self.upstream_id:
            self.upstream_id, self.model = chunk.id, chunk.model
        if chunk.usage is not None or chunk.x_groq is not None:
            self.usage = usage_in(chunk.usage, chunk.x_groq) or self.usage
        if chunk.error is not None or event == "error":
            raise error_in_frame(data)
        for choice in chunk.choices or ():
            self._see_choice(choice)
        if self._strip_usage and chunk.usage is not None and not chunk.choices:
            return _Fate.DROP
        return _Fate.PASS if chunk.turnout is UNSET else _Fate.CLEAN

    def _see_choice(self, choice: _Choice) -> None:
        delta = choice.delta
        if delta is not None and (not self.has_content or delta.tool_calls):
            self._calls = self._calls or bool(delta.tool_calls) or _tells(delta.function_call)
            self.has_content = self.has_content or _holds_content(delta)
        if choice.finish_reason is not None:
            self.finish = read_finish(choice.finish_reason, calls=self._calls)
        if choice.error is not None:
            raise error_in_frame(_encode({"error": choice.error}))


def _holds_content(delta: _Delta) -> bool:
    return bool(
        delta.content
        or delta.reasoning_content
        or delta.reasoning
        or delta.tool_calls
        or delta.refusal
        or _tells(delta.function_call)
        or _tells(delta.audio)
        or delta.images
    )


def _tells(value: object) -> bool:
    return isinstance(value, dict) and any(value.values())


def _without_nulls(out: bytes) -> bytes:
    for null in _NULLS:
        out = out.replace(null, b"")
    return out


def _without_turnout(data: bytes, event: str = "") -> bytes:
    tree = {key: value for key, value in _tree(data).items() if key != "turnout"}
    head = f"event: {event}\n".encode() if event else b""
    return head + b"data: " + _encode(tree) + b"\n\n"
