"""Reads generateContent streams: server-sent events, or one JSON array. Floor 2.

Theory of operation.

1. The first byte decides the form: `[` or `{` starts JSON (a call without `alt=sse`, or an error body), all
   else is an event stream. Both forms are cut into whole GenerateContentResponse objects first, so any split
   of the bytes yields the same events.
2. Every frame carries cumulative usage. A frame becomes: `Start` (the first one), its parts in order, then
   `UsageUpdate` when the counters changed.
3. Tool calls come whole, one `ToolDelta` each; ids are made where Gemini gave none (`wire.MINTED`).
4. There is no terminal event. A candidate may repeat `finishReason` on every frame (older models do), so
   `Finish` is held back until `end`, which raises `StreamInterrupted` unless every candidate seen has ended.
5. A failure found behind events of the same read waits: the events are returned, the next call raises it.
"""

import re

from msgspec import Raw, Struct
from msgspec.json import Decoder

from turnout.codecs.gemini import errors
from turnout.codecs.gemini.response import (
    CANDIDATE,
    candidate_extra,
    finish_of,
    logprobs_of,
    read_parts,
    refuse,
    seed_of,
)
from turnout.codecs.gemini.wire import (
    END_MARK,
    NO_RAW,
    UNREADABLE,
    WIRE,
    Frame,
    finished,
    read_frame,
    read_int,
    unix_seconds,
    usage_of,
)
from turnout.codecs.sse import MAX_FRAME, SseSplitter
from turnout.codecs.sse import Frame as SseFrame
from turnout.errors import ProviderBadResponse, StreamInterrupted, TurnoutError
from turnout.types.chat import Media, Native, Reasoning, Text, ToolCall
from turnout.types.event import (
    Event,
    Finish,
    NativeDelta,
    ReasoningDelta,
    Start,
    TextDelta,
    ToolDelta,
    UsageUpdate,
)
from turnout.types.json import Json

_STRUCTURE = re.compile(rb'["\\{}\[\]]')
_BLANK = b" \t\r\n"
_NOISE = frozenset({"avgLogprobs", "finishMessage", "logprobsResult", "tokenCount"})
"""Members of a candidate that say nothing about its text, so they make no event of their own."""


class ObjectSplitter:
    """Cuts a JSON array, or a sequence of objects, into its top-level objects as their bytes arrive."""

    __slots__ = ("_at", "_depth", "_pending", "_quoted", "_start")

    def __init__(self) -> None:
        self._pending = bytearray()
        self._at = 0
        self._start = 0
        self._depth = 0
        self._quoted = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes, return the objects they complete. Raises `ProviderBadResponse` past 8 MiB."""
        self._pending += data
        found = []
        while (mark := _STRUCTURE.search(self._pending, self._at)) is not None:
            at, sign = mark.start(), mark[0]
            if sign == b"\\":
                if at + 1 == len(self._pending):
                    self._at = at
                    break
                self._at = at + 2
                continue
            self._at = at + 1
            if self._closes(sign, at):
                found.append(bytes(self._pending[self._start : at + 1]))
                self._start = at + 1
        else:
            self._at = len(self._pending)
        self._forget()
        return found

    def _closes(self, sign: bytes, at: int) -> bool:
        if sign == b'"':
            self._quoted = not self._quoted
        elif not self._quoted and sign == b"{":
            if self._depth == 0:
                self._start = at
            self._depth += 1
        elif not self._quoted and sign == b"}":
            self._depth -= 1
            return self._depth == 0
        return False

    def _forget(self) -> None:
        done = self._start if self._depth else self._at
        del self._pending[:done]
        self._at -= done
        self._start = 0
        if len(self._pending) > MAX_FRAME:
            raise ProviderBadResponse(f"the provider sent a stream frame larger than {MAX_FRAME >> 20} MiB")


class FrameReader:
    """Bytes of either form in, JSON of whole frames out."""

    __slots__ = ("_array", "_sse")

    def __init__(self) -> None:
        self._sse: SseSplitter | None = None
        self._array: ObjectSplitter | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes, return the frames they complete."""
        if self._sse is None and self._array is None:
            data = data.lstrip(_BLANK)
            if not data:
                return []
            if data[:1] in b"[{":
                self._array = ObjectSplitter()
            else:
                self._sse = SseSplitter()
        if self._sse is not None:
            return _data_of(self._sse.feed(data))
        return self._array.feed(data) if self._array is not None else []

    def alone(self, data: bytes) -> bytes | None:
        """Return the frame that these bytes are, if it is one like the last (`SseSplitter.alone`)."""
        return self._sse.alone(data) if self._sse is not None else None

    def end(self) -> list[bytes]:
        """Return the last frame of an event stream that lacks its blank line."""
        if self._sse is None:
            return []
        return _data_of(self._sse.end())


def _data_of(frames: list[SseFrame]) -> list[bytes]:
    return [frame.data for frame in frames if frame.data and frame.data != END_MARK]


class _Words(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    text: str


class _Said(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    parts: tuple[_Words]
    role: str = ""


class _Saying(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    content: _Said
    index: int = 0


class _Plain(Struct, frozen=True, gc=False, rename="camel"):
    """A frame with text and counters, and nothing else that is looked at."""

    candidates: tuple[_Saying]
    usage_metadata: Raw = NO_RAW
    prompt_feedback: None = None
    error: None = None


_plain = Decoder(_Plain).decode
MOST_MISSES = 8
"""Frames of text that were none of the plain type, after which a stream's are no longer tried as such."""


class _Candidate:
    """What is known of one candidate so far."""

    __slots__ = ("n_calls", "word")

    def __init__(self) -> None:
        self.n_calls = 0
        self.word: str | None = None


class GeminiDecoder:
    """Push parser of one upstream stream."""

    __slots__ = ("_candidates", "_failure", "_is_plain", "_misses", "_reader", "_seed", "_started", "_usage")

    def __init__(self) -> None:
        self._reader = FrameReader()
        self._candidates: dict[int, _Candidate] = {}
        self._started = False
        self._seed = ""
        self._usage = b""
        self._failure: TurnoutError | None = None
        self._is_plain = False
        """The frame before held text and nothing else: the next one is first read as such a frame."""
        self._misses = 0

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes, return the events they complete. Raises the class of an in-stream error."""
        self._raise_held()
        events: list[Event] = []
        try:
            alone = self._reader.alone(data) if self._is_plain else None
            if alone is not None and self._took(alone, events):
                return events
            for frame in self._reader.feed(data):
                self._take(frame, events)
        except TurnoutError as failure:
            self._failure = failure
            if not events:
                raise
        return events

    def end(self) -> list[Event]:
        """Close the stream. Raises `StreamInterrupted` unless every candidate has ended."""
        self._raise_held()
        events: list[Event] = []
        try:
            for frame in self._reader.end():
                self._take(frame, events)
        except ProviderBadResponse:
            events.clear()  # half a frame is what a cut leaves behind; whether it matters is decided below
        if not self._candidates or any(each.word is None for each in self._candidates.values()):
            raise StreamInterrupted("the provider's stream ended before its finish reason")
        for index, each in self._candidates.items():
            ended = finished(each.word, n_calls=each.n_calls)
            events.append(Finish(reason=ended.reason, native=ended.native, choice=index))
        return events

    def _raise_held(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _take(self, data: bytes, events: list[Event]) -> None:
        if self._is_plain and self._took(data, events):
            return
        n_before = len(events)
        try:
            frame = read_frame(data)
            self._events(frame, data, events)
        except UNREADABLE as failure:
            raise errors.unreadable(str(failure), data) from failure
        first = events[n_before] if len(events) > n_before else None
        says = isinstance(first, TextDelta) and first.logprobs is None and not first.extra
        self._is_plain = says and self._misses < MOST_MISSES

    def _took(self, data: bytes, events: list[Event]) -> bool:
        """Read a frame as one of text alone; False = it is none."""
        try:
            frame = _plain(data)
        except UNREADABLE:
            self._is_plain, self._misses = False, self._misses + 1
            return False
        (said,) = frame.candidates
        text = said.content.parts[0].text
        if not text or said.index not in self._candidates:
            return False
        events.append(TextDelta(text, said.index))
        self._counted(frame.usage_metadata, events)
        return True

    def _events(self, frame: Frame, data: bytes, events: list[Event]) -> None:
        refuse(frame, data)
        if not self._started:
            self._started = True
            self._seed = seed_of(frame, data)
            created = unix_seconds(frame.create_time)
            events.append(Start(id=frame.response_id, model=frame.model_version, created=created))
        for fields in frame.candidates or ():
            self._candidate(fields, data, events)
        self._counted(frame.usage_metadata, events)

    def _counted(self, told: Raw, events: list[Event]) -> None:
        counters = bytes(told)
        if counters and counters != self._usage:
            self._usage = counters
            usage = usage_of(told)
            if usage is not None:
                events.append(UsageUpdate(usage))

    def _candidate(self, fields: dict[str, Raw], data: bytes, events: list[Event]) -> None:
        index = read_int(fields["index"]) if "index" in fields else 0
        state = self._candidates.get(index)
        if state is None:
            state = self._candidates[index] = _Candidate()
        # Before its parts: a frame that says its own content is broken must not commit the attempt.
        state.word = finish_of(fields, data) or state.word
        first = len(events)
        for part in read_parts(fields, seed=f"{self._seed}|{index}", n_calls=state.n_calls):
            state.n_calls += self._part(part, index, state.n_calls, events)
        if not fields.keys() <= CANDIDATE:
            _attach(fields, index, first, events)

    @staticmethod
    def _part(part: object, index: int, n_calls: int, events: list[Event]) -> int:
        """Append the event of a part; return how many calls it was."""
        match part:
            case Text():
                events.append(TextDelta(part.text, index, None, part.extra))
            case Reasoning():
                delta = ReasoningDelta(text=part.text, signature=part.signature, wire=WIRE, choice=index)
                events.append(delta)
            case ToolCall():
                events.append(
                    ToolDelta(
                        index=n_calls,
                        id=part.id,
                        name=part.name,
                        arguments=part.arguments,
                        signature=part.signature,
                        choice=index,
                    )
                )
                return 1
            case Media():
                inline: dict[str, Json] = {"mimeType": part.mime, "data": part.data}
                events.append(NativeDelta(Native(WIRE, {"inlineData": inline, **part.extra}), index))
            case Native():
                events.append(NativeDelta(part, index))
        return 0


def _attach(fields: dict[str, Raw], index: int, first: int, events: list[Event]) -> None:
    """Put what a candidate says about its text (grounding, citations, logprobs) on its last delta."""
    extra = candidate_extra(fields)
    logprobs = logprobs_of(fields.get("logprobsResult"))
    told = {name: value for name, value in extra.items() if name not in _NOISE}
    if not told and logprobs is None:
        return
    for at in range(len(events) - 1, first - 1, -1):
        delta = events[at]
        if isinstance(delta, TextDelta):
            events[at] = TextDelta(delta.text, index, logprobs, {**delta.extra, **told})
            return
    events.append(TextDelta("", index, logprobs, told))
