"""A chat completion stream read into our events. Floor 2.

Theory of operation.

1. How frames become events, and when a failure is raised: `push.py`.
2. After a frame of text alone the next one is read as such a frame, by a type that allows nothing else; what
   does not fit is read in full. Unknown members beside the choices mean nothing either way.
3. Hosts number tool calls from 0, from 1, not at all, or all with 0. A new id at a known index, or an
   index not seen, opens a call; ours are numbered in the order of opening, per choice.
4. The stream is complete with `[DONE]`, or, for hosts that leave it out, when a finish reason was seen.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from turnout.codecs.openai_chat.errors import error_in_frame
from turnout.codecs.openai_chat.finish import read_finish
from turnout.codecs.openai_chat.reasoning import read_detail, read_signature
from turnout.codecs.openai_chat.response import call_arguments, custom_of, read_content
from turnout.codecs.openai_chat.usage import usage_in
from turnout.codecs.openai_chat.wire import NO_DELTA, WIRE, Answer, ChoiceOut, Delta, ToolCallDelta, as_json
from turnout.codecs.openai_errors import unreadable
from turnout.codecs.push import PushDecoder
from turnout.codecs.sse import Frame
from turnout.types.chat import Native, Reasoning, Text
from turnout.types.event import (
    Event,
    Finish,
    NativeDelta,
    ReasoningDelta,
    RefusalDelta,
    Start,
    TextDelta,
    ToolDelta,
    UsageUpdate,
)

_answer = msgspec.json.Decoder(Answer).decode


MOST_MISSES = 8
"""Frames of text that were none of the plain type, after which a stream's are no longer tried as such."""


class _Words(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    content: str
    role: str | None = None
    refusal: None = None
    tool_calls: None = None
    function_call: None = None
    reasoning: None = None
    reasoning_content: None = None
    reasoning_details: None = None
    annotations: None = None
    audio: None = None
    images: None = None


class _Saying(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    delta: _Words
    index: int = 0
    finish_reason: None = None
    logprobs: None = None
    error: None = None
    native_finish_reason: object = None
    content_filter_results: object = None
    stop_reason: object = None
    token_ids: object = None


class _Plain(Struct, frozen=True, gc=False):
    """A chunk with text and nothing else that is looked at."""

    choices: tuple[_Saying]
    usage: None = None
    x_groq: None = None
    error: None = None


_plain = msgspec.json.Decoder(_Plain).decode


class _Calls:
    """Numbers the tool calls of one choice."""

    __slots__ = ("_at", "_ids", "_latest", "n")

    def __init__(self) -> None:
        self.n = 0
        self._at: dict[int, int] = {}
        self._ids: dict[int, str] = {}
        self._latest = -1

    def place(self, call: ToolCallDelta) -> tuple[int, bool]:
        """Return the number of the call a fragment belongs to, and whether it opens it."""
        known = self._latest if call.index is None else self._at.get(call.index, -1)
        if known >= 0 and (not call.id or call.id == self._ids[known]):
            self._latest = known
            return known, False
        number, self.n = self.n, self.n + 1
        self._ids[number] = call.id or ""
        if call.index is not None:
            self._at[call.index] = number
        self._latest = number
        return number, True


class OpenAIChatDecoder(PushDecoder):
    """Push parser of one stream."""

    __slots__ = ("_calls", "_finished", "_misses", "_started")

    def __init__(self) -> None:
        super().__init__()
        self._calls: dict[int, _Calls] = {}
        self._started = False
        self._finished: set[int] = set()
        self._misses = 0

    @property
    def _has_ended(self) -> bool:
        return self._done or bool(self._finished)

    def _read(self, frame: Frame, events: list[Event]) -> None:
        data = frame.data
        if self._says_words and frame.event != "error" and (words := self._words(data)) is not None:
            events.append(words)
            return
        if data == b"[DONE]":
            self._done = True
            for at in self._calls:  # some hosts never say why they stopped
                self._finish(at, None, events)
            return
        n_before = len(events)
        try:
            answer = _answer(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise unreadable(error) from error
        if answer.error is not None or frame.event == "error":
            raise error_in_frame(data)
        self._read_answer(answer, events)
        if len(events) == n_before + 1 and isinstance(events[-1], TextDelta):
            is_plain = events[-1].logprobs is None and not events[-1].extra
            self._says_words = is_plain and frame.event != "error" and self._misses < MOST_MISSES

    def _words(self, data: bytes) -> TextDelta | None:
        try:
            only = _plain(data).choices[0]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._says_words, self._misses = False, self._misses + 1
            return None
        text = only.delta.content
        return TextDelta(text, only.index) if text and only.index in self._calls else None

    def _read_answer(self, answer: Answer, events: list[Event]) -> None:
        if not self._started and (answer.id or answer.choices):
            self._started = True
            events.append(_start(answer))
        for choice in answer.choices or ():
            if choice.error is not None:
                raise error_in_frame(msgspec.json.encode({"error": choice.error}))
            self._read_choice(choice, events)
        if answer.usage is not None or answer.x_groq is not None:
            usage = usage_in(answer.usage, answer.x_groq)
            if usage is not None:
                events.append(UsageUpdate(usage))

    def _read_choice(self, choice: ChoiceOut, events: list[Event]) -> None:
        said, at = choice.delta or NO_DELTA, choice.index or 0
        if at not in self._calls:
            self._calls[at] = _Calls()
        if said.reasoning_details or said.reasoning_content or said.reasoning:
            events += _reasoning(said, at)
        if isinstance(said.content, str) and not said.annotations:
            if said.content or _tells(choice.logprobs):
                events.append(TextDelta(said.content, at, as_json(choice.logprobs)))
        elif said.content or said.annotations:
            events += _content(said, at)
        if said.refusal:
            events.append(RefusalDelta(said.refusal, at))
        if said.tool_calls or said.function_call is not None:
            self._read_calls(said, at, events)
        if _tells(said.audio) or said.images:
            media = {"audio": as_json(said.audio), "images": as_json(said.images)}
            value = {key: part for key, part in media.items() if part}
            events.append(NativeDelta(Native(WIRE, value), at))
        if choice.finish_reason is not None:
            self._finish(at, choice.finish_reason, events)

    def _finish(self, at: int, native: str | None, events: list[Event]) -> None:
        if at in self._finished:
            return
        self._finished.add(at)
        reason = read_finish(native or "", calls=self._calls[at].n > 0)
        events.append(Finish(reason=reason, native=native, choice=at))

    def _read_calls(self, said: Delta, at: int, events: list[Event]) -> None:
        calls = self._calls[at]
        fragments = [*(said.tool_calls or ())]
        if said.function_call is not None and (said.function_call.name or said.function_call.arguments):
            fragments.append(ToolCallDelta(index=0, function=said.function_call))
        for call in fragments:
            number, opens = calls.place(call)
            events.append(_call(call, number, at, opens=opens))


def _tells(value: object) -> bool:
    """Tell whether an object holds anything: some hosts send placeholders full of nulls and empty strings."""
    return isinstance(value, Mapping) and any(value.values())


def _start(answer: Answer) -> Start:
    created = answer.created
    return Start(
        id=answer.id or "",
        model=answer.model or "",
        created=int(created) if isinstance(created, int | float) else None,
    )


def _call(call: ToolCallDelta, number: int, at: int, *, opens: bool) -> ToolDelta:
    name: str | None = None
    arguments = ""
    custom = custom_of(call)
    if custom is not None:
        name, arguments = custom.name, custom.input or ""
    elif call.function is not None:
        name, arguments = call.function.name, call_arguments(call.function.arguments)
    return ToolDelta(
        index=number,
        id=(call.id or "") if opens else None,
        name=(name or "") if opens else None,
        arguments=arguments,
        signature=read_signature(call.extra_content),
        choice=at,
        kind="custom" if custom is not None and call.type != "function" else "function",
    )


def _reasoning(said: Delta, at: int) -> list[ReasoningDelta]:
    details = [detail for detail in said.reasoning_details or () if isinstance(detail, Mapping)]
    if details:
        return [_thought(read_detail(detail), at) for detail in details]
    text = said.reasoning_content or said.reasoning
    return [ReasoningDelta(text=text, wire=WIRE, choice=at)] if isinstance(text, str) else []


def _thought(part: Reasoning, at: int) -> ReasoningDelta:
    return ReasoningDelta(
        text=part.text,
        signature=part.signature,
        redacted=part.redacted,
        id=part.id,
        wire=part.wire,
        choice=at,
    )


def _content(said: Delta, at: int) -> list[Event]:
    if said.annotations:
        words = said.content if isinstance(said.content, str) else ""
        return [TextDelta(words, at, None, {"annotations": as_json(said.annotations)})]
    parts = said.content if isinstance(said.content, list) else []
    return [
        TextDelta(part.text, at) if isinstance(part, Text) else _thought(part, at)
        for part in read_content([as_json(part) for part in parts])
    ]
