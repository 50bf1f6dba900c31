"""Reads usage, end and errors from a Gemini stream that passes through as bytes. Floor 2.

Theory of operation.

1. Only whole frames leave, in order and byte for byte; a frame with a top-level `turnout` member is written
   anew without it.
2. There is no terminal event: the stream is done when every candidate seen has a finish reason.
3. Parts are looked into only until the first content has passed. Afterwards a frame costs one partial decode,
   and its counters are read when somebody asks for them.
4. Before content an error, a blocked prompt or an unusable output raises, so that another model can answer;
   after content the frame passes on and `error` is set.
"""

import msgspec
from msgspec import Raw, Struct

from turnout.codecs.gemini import errors
from turnout.codecs.gemini.response import may_name_turnout, without_turnout
from turnout.codecs.gemini.wire import (
    END_MARK,
    NO_RAW,
    UNREADABLE,
    PromptFeedback,
    finish_word,
    finished,
    usage_of,
)
from turnout.codecs.sse import Frame, FrameBuffer, frames
from turnout.errors import ProviderBadResponse, StreamInterrupted, TurnoutError
from turnout.types.chat import FinishReason
from turnout.types.usage import Usage

_SAYS_NOTHING = frozenset({"text", "thought"})
_CALL = b'"functionCall"'
"""Quotes inside a JSON string are escaped, so these bytes can only be a member's name."""


class _Content(Struct, frozen=True):
    parts: list[dict[str, Raw]] | None = None


class _Ending(Struct, frozen=True, rename="camel"):
    finish_reason: str | int | None = None
    index: int = 0


class _Candidate(Struct, frozen=True, rename="camel"):
    content: _Content | None = None
    finish_reason: str | int | None = None
    index: int = 0


class _Later(Struct, frozen=True, rename="camel"):
    """What is read of a frame once content has passed."""

    candidates: list[_Ending] | None = None
    usage_metadata: Raw = NO_RAW
    error: Raw = NO_RAW


class _First(Struct, frozen=True, rename="camel"):
    """What is read of the frames up to the first content."""

    candidates: list[_Candidate] | None = None
    usage_metadata: Raw = NO_RAW
    error: Raw = NO_RAW
    model_version: str | None = None
    response_id: str | None = None
    prompt_feedback: PromptFeedback | None = None


_read_first = msgspec.json.Decoder(_First).decode
_read_later = msgspec.json.Decoder(_Later).decode


class GeminiTap:
    """Pass-through reader of one upstream stream."""

    __slots__ = (
        "_buffer",
        "_counters",
        "_ends",
        "_has_calls",
        "_usage",
        "done",
        "error",
        "finish",
        "has_content",
        "model",
        "upstream_id",
    )

    def __init__(self) -> None:
        self.has_content = False
        self.finish: FinishReason | None = None
        self.done = False
        self.upstream_id: str | None = None
        self.model: str | None = None
        self.error: TurnoutError | None = None
        self._buffer = FrameBuffer()
        self._counters: Raw = NO_RAW
        self._usage: Usage | None = None
        self._ends: dict[int, bool] = {}
        self._has_calls = False

    @property
    def usage(self) -> Usage | None:
        """The last counters that passed."""
        if self._counters:
            self._usage = usage_of(self._counters) or self._usage
            self._counters = NO_RAW
        return self._usage

    @usage.setter
    def usage(self, usage: Usage | None) -> None:
        """Put other counters in their place."""
        self._usage = usage
        self._counters = NO_RAW

    def feed(self, data: bytes) -> bytes:
        """Take upstream bytes, return the bytes for the client. Raises for an error before content."""
        whole = self._buffer.take(data)
        return self._pass(whole) if whole else b""

    def end(self) -> bytes:
        """Return what is still to be sent. Raises `StreamInterrupted` unless every candidate has ended."""
        failed = self.error
        rest = self._pass(self._buffer.rest())
        if failed is None and isinstance(self.error, ProviderBadResponse):
            rest, self.error = b"", None  # half a frame is what a cut leaves behind
        if not self.done and self.error is None:
            raise StreamInterrupted("the provider's stream ended before its finish reason")
        return rest

    def _pass(self, whole: bytes) -> bytes:
        found = frames(whole)
        for frame in found:
            if frame.data and frame.data != END_MARK:
                self._look(frame.data)
        if not may_name_turnout(whole):
            return whole
        return b"".join(_cleaned(frame) for frame in found)

    def _look(self, data: bytes) -> None:
        try:
            failure = self._later(data) if self.has_content else self._first(data)
        except UNREADABLE as unread:
            failure = errors.unreadable(str(unread), data)
        if failure is None:
            return
        if not self.has_content:
            raise failure
        self.error = self.error or failure

    def _first(self, data: bytes) -> TurnoutError | None:
        frame = _read_first(data)
        if frame.error:
            return errors.of_object(frame.error, body=data)
        if frame.prompt_feedback is not None and frame.prompt_feedback.block_reason:
            return errors.of_blocked(frame.prompt_feedback, data)
        self.upstream_id = self.upstream_id or frame.response_id
        self.model = self.model or frame.model_version
        self._count(frame.usage_metadata)
        has_content, failure = False, None
        for candidate in frame.candidates or ():
            parts = candidate.content.parts if candidate.content is not None else None
            has_content |= any(_says_something(part) for part in parts or ())
            failure = failure or self._ended(candidate.index, candidate.finish_reason, data)
        self.has_content = has_content and failure is None
        return failure

    def _later(self, data: bytes) -> TurnoutError | None:
        frame = _read_later(data)
        if frame.error:
            return errors.of_object(frame.error, body=data)
        self._count(frame.usage_metadata)
        failure = None
        for candidate in frame.candidates or ():
            failure = failure or self._ended(candidate.index, candidate.finish_reason, data)
        return failure

    def _count(self, counters: Raw) -> None:
        if counters:
            self._counters = counters

    def _ended(self, index: int, reason: str | int | None, data: bytes) -> TurnoutError | None:
        self._has_calls = self._has_calls or _CALL in data
        if reason is None:
            self._ends.setdefault(index, False)
            self.done = False
            return None
        word = finish_word(reason)
        failure = errors.of_finish(word, data)
        if failure is None:
            self._ends[index] = True
            self.finish = finished(word, n_calls=self._has_calls).reason
            self.done = all(self._ends.values())
        return failure


def _says_something(part: dict[str, Raw]) -> bool:
    if part.keys() <= _SAYS_NOTHING:
        return "text" in part and bytes(part["text"]) != b'""'
    return True


def _cleaned(frame: Frame) -> bytes:
    try:
        clean = without_turnout(frame.data)
    except UNREADABLE:
        return frame.raw
    return frame.raw if clean is frame.data else b"data: " + clean + b"\n\n"
