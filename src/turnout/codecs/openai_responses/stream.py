"""A stream of response events read into ours. Floor 2.

Theory of operation.

1. How frames become events, and when a failure is raised: `push.py`.
2. Frames are known by the `type` in their data: two compatible hosts leave the event line out.
3. Content comes in deltas, or whole in `.done` frames, or whole in the item's own `.done`: what an item has
   said already is not said again. Items that come only in the terminal response are read from there.
4. Calls are numbered in the order in which their items opened.
5. The stream is complete with `response.completed` or `response.incomplete`; `response.failed` is an error.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Literal, cast

import msgspec
from msgspec import Meta, Struct

from turnout.codecs.openai_errors import unreadable
from turnout.codecs.openai_responses.errors import error_of
from turnout.codecs.openai_responses.finish import FAILED, has_calls, has_refusal, read_finish
from turnout.codecs.openai_responses.items import CALLS, read_output, read_reasoning
from turnout.codecs.openai_responses.parts import annotations
from turnout.codecs.openai_responses.response import words_of
from turnout.codecs.openai_responses.usage import read_usage
from turnout.codecs.openai_responses.wire import WIRE, Answer, Frame, objects, text_of
from turnout.codecs.push import PushDecoder
from turnout.codecs.sse import Frame as SseFrame
from turnout.types.chat import Native, Part, Reasoning, Refusal, Text, ToolCall
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
from turnout.types.json import Json, JsonObject

_frame = msgspec.json.Decoder(Frame).decode
MOST_MISSES = 8
"""Frames behind text that were none, after which a stream's are no longer tried as such."""


class _Saying(Struct, frozen=True, gc=False):
    """A frame of text and nothing else that is looked at."""

    type: Literal["response.output_text.delta"]
    delta: str
    output_index: int = 0
    content_index: int = 0
    logprobs: Annotated[list[object], Meta(max_length=0)] | None = None


_saying = msgspec.json.Decoder(_Saying).decode
TERMINAL = frozenset({"response.completed", "response.incomplete", "response.done"})
FAILURES = frozenset({"error", "response.failed", "response.cancelled"})


class _Item:
    """What one item of the answer has said so far."""

    __slots__ = ("call", "custom", "said", "source")

    def __init__(self) -> None:
        self.call = -1
        """Number of the call; -1 = it is none."""
        self.custom = False
        self.said: set[int] = set()
        """Parts that came in deltas."""
        self.source = ""
        """Of a thought, the frames it is read from: summary or text, where a host sends both."""


class OpenAIResponsesDecoder(PushDecoder):
    """Push parser of one stream."""

    __slots__ = ("_at", "_calls", "_items", "_misses", "_refused", "_started")

    def __init__(self) -> None:
        super().__init__()
        self._items: dict[int, _Item] = {}
        self._calls = 0
        self._started = False
        self._refused = False
        self._at = (0, 0)
        """Item and part of the text that came last."""
        self._misses = 0

    def _words(self, data: bytes) -> TextDelta | None:
        try:
            said = _saying(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._says_words, self._misses = False, self._misses + 1
            return None
        here = (said.output_index, said.content_index) == self._at
        return TextDelta(said.delta) if here and said.delta else None

    def _read(self, raw: SseFrame, events: list[Event]) -> None:
        data = raw.data
        self._says_words = False
        if data == b"[DONE]":
            return
        try:
            frame = _frame(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise unreadable(error) from error
        kind = frame.type
        if kind == "response.output_text.delta":  # nearly every frame
            self._item(frame).said.add(frame.content_index)
            if frame.logprobs:
                events.append(TextDelta(frame.delta or "", 0, words_of(_json(frame.logprobs))))
            elif frame.delta:
                events.append(TextDelta(frame.delta))
                self._at = (frame.output_index, frame.content_index)
                self._says_words = self._misses < MOST_MISSES
            return
        read = _READERS.get(kind)
        if read is not None:
            read(self, frame, events)
        elif kind in TERMINAL:
            self._finish(frame, events)
        elif kind in FAILURES or raw.event == "error" or (not kind and frame.error is not None):
            said = frame.response.get("error") if isinstance(frame.response, Mapping) else None
            raise error_of(said or msgspec.json.decode(data))

    def _item(self, frame: Frame) -> _Item:
        item = self._items.get(frame.output_index)
        if item is None:
            item = self._items[frame.output_index] = _Item()
        return item

    def _start(self, frame: Frame, events: list[Event]) -> None:
        if self._started or not isinstance(frame.response, Mapping):
            return
        self._started = True
        response, created = frame.response, frame.response.get("created_at")
        events.append(
            Start(
                id=text_of(response, "id"),
                model=text_of(response, "model"),
                created=int(created) if isinstance(created, int | float) else None,
            )
        )

    def _text_done(self, frame: Frame, events: list[Event]) -> None:
        item = self._item(frame)
        if frame.content_index not in item.said and frame.text:
            item.said.add(frame.content_index)
            events.append(TextDelta(frame.text, 0, words_of(_json(frame.logprobs))))

    def _annotate(self, frame: Frame, events: list[Event]) -> None:
        if frame.annotation:
            events.append(TextDelta("", 0, None, annotations([_json(frame.annotation)])))

    def _refuse(self, frame: Frame, events: list[Event]) -> None:
        item = self._item(frame)
        whole = frame.delta is None
        if whole and frame.content_index in item.said:
            return
        item.said.add(frame.content_index)
        self._refused = True
        text = frame.refusal if whole else frame.delta
        if text:
            events.append(RefusalDelta(text))

    def _think(self, frame: Frame, events: list[Event]) -> None:
        item = self._item(frame)
        is_summary = frame.type.startswith("response.reasoning_summary")
        source = "summary" if is_summary else "text"
        at = frame.summary_index if is_summary else frame.content_index
        text = frame.text if frame.delta is None else frame.delta
        if (item.source or source) != source or (frame.delta is None and at in item.said) or not text:
            return
        item.source = source
        border = "\n\n" if item.said and at not in item.said else ""
        item.said.add(at)
        events.append(ReasoningDelta(text=border + text, wire=WIRE))

    def _open(self, frame: Frame, events: list[Event]) -> None:
        raw = frame.item or {}
        if text_of(cast("JsonObject", raw), "type") in CALLS:
            self._open_call(self._item(frame), cast("JsonObject", raw), events)  # JSON decoders make no else

    def _open_call(self, item: _Item, raw: JsonObject, events: list[Event]) -> None:
        if item.call >= 0:
            return
        item.call, self._calls = self._calls, self._calls + 1
        item.custom = raw.get("type") == "custom_tool_call"
        events.append(
            ToolDelta(
                index=item.call, id=text_of(raw, "call_id"), name=text_of(raw, "name"), kind=_kind(item)
            )
        )

    def _argue(self, frame: Frame, events: list[Event]) -> None:
        item = self._item(frame)
        whole = frame.delta is None
        text = (frame.input if item.custom else frame.arguments) if whole else frame.delta
        if item.call < 0 or not text or (whole and item.said):
            return
        item.said.add(0)
        events.append(ToolDelta(index=item.call, arguments=text, kind=_kind(item)))

    def _close(self, frame: Frame, events: list[Event]) -> None:
        """Read what an item holds when it is whole, as far as it was not said before."""
        raw = cast("JsonObject", frame.item or {})  # JSON decoders make nothing else
        item, kind = self._item(frame), text_of(raw, "type")
        if kind in CALLS:
            self._open_call(item, raw, events)
            text = text_of(raw, "input" if item.custom else "arguments")
            if text and not item.said:
                item.said.add(0)
                events.append(ToolDelta(index=item.call, arguments=text, kind=_kind(item)))
        elif kind == "reasoning":
            thought = read_reasoning(raw)
            text = "" if item.said else thought.text
            item.said.add(0)
            if text or thought.redacted is not None or thought.signature is not None:
                events.append(_thought(thought, text))
        elif kind == "message":
            self._close_message(item, raw, events)
        elif raw:
            item.said.add(0)
            events.append(NativeDelta(Native(WIRE, raw)))

    def _close_message(self, item: _Item, raw: JsonObject, events: list[Event]) -> None:
        for at, part in enumerate(objects(raw.get("content"))):
            if at in item.said:
                continue
            item.said.add(at)
            if part.get("type") == "refusal" and text_of(part, "refusal"):
                self._refused = True
                events.append(RefusalDelta(text_of(part, "refusal")))
            elif text_of(part, "text"):
                notes = annotations(objects(part.get("annotations")))
                logprobs = words_of(part.get("logprobs"))
                events.append(TextDelta(text_of(part, "text"), 0, logprobs, notes))

    def _finish(self, frame: Frame, events: list[Event]) -> None:
        self._done = True
        try:
            answer = msgspec.convert(frame.response or {}, Answer)
        except msgspec.ValidationError as error:
            raise unreadable(error) from error
        if answer.error is not None or answer.status in FAILED:
            raise error_of(answer.error)
        self._start(frame, events)
        if not self._items and isinstance(frame.response, Mapping):
            for part in read_output(objects(frame.response.get("output"))):
                self._late(part, events)
        calls = self._calls > 0 or has_calls(answer)
        reason, native = read_finish(answer, calls=calls, refused=self._refused or has_refusal(answer))
        if answer.usage is not None:
            events.append(UsageUpdate(read_usage(answer.usage)))
        events.append(Finish(reason=reason, native=native))

    def _late(self, part: Part, events: list[Event]) -> None:
        """Read a part that came only with the terminal response."""
        match part:
            case Text(text=text):
                events.append(TextDelta(text))
            case Refusal(text=text):
                events.append(RefusalDelta(text))
            case Reasoning():
                events.append(_thought(part, part.text))
            case ToolCall():
                delta = ToolDelta(
                    index=self._calls, id=part.id, name=part.name, arguments=part.arguments, kind=part.kind
                )
                self._calls += 1
                events.append(delta)
            case Native():
                events.append(NativeDelta(part))
            case _:
                pass


def _thought(part: Reasoning, text: str) -> ReasoningDelta:
    return ReasoningDelta(
        text=text, signature=part.signature, redacted=part.redacted, id=part.id, wire=part.wire
    )


def _kind(item: _Item) -> Literal["function", "custom"]:
    return "custom" if item.custom else "function"


def _json(value: object) -> Json:
    return cast("Json", value)  # JSON decoders make nothing else


_Reader = Callable[[OpenAIResponsesDecoder, Frame, list[Event]], None]
_READERS: Mapping[str, _Reader] = {
    "response.created": OpenAIResponsesDecoder._start,  # noqa: SLF001  its own table
    "response.in_progress": OpenAIResponsesDecoder._start,  # noqa: SLF001
    "response.output_text.done": OpenAIResponsesDecoder._text_done,  # noqa: SLF001
    "response.output_text.annotation.added": OpenAIResponsesDecoder._annotate,  # noqa: SLF001
    "response.refusal.delta": OpenAIResponsesDecoder._refuse,  # noqa: SLF001
    "response.refusal.done": OpenAIResponsesDecoder._refuse,  # noqa: SLF001
    "response.reasoning_summary_text.delta": OpenAIResponsesDecoder._think,  # noqa: SLF001
    "response.reasoning_summary_text.done": OpenAIResponsesDecoder._think,  # noqa: SLF001
    "response.reasoning_text.delta": OpenAIResponsesDecoder._think,  # noqa: SLF001
    "response.reasoning_text.done": OpenAIResponsesDecoder._think,  # noqa: SLF001
    "response.function_call_arguments.delta": OpenAIResponsesDecoder._argue,  # noqa: SLF001
    "response.function_call_arguments.done": OpenAIResponsesDecoder._argue,  # noqa: SLF001
    "response.custom_tool_call_input.delta": OpenAIResponsesDecoder._argue,  # noqa: SLF001
    "response.custom_tool_call_input.done": OpenAIResponsesDecoder._argue,  # noqa: SLF001
    "response.output_item.added": OpenAIResponsesDecoder._open,  # noqa: SLF001
    "response.output_item.done": OpenAIResponsesDecoder._close,  # noqa: SLF001
}
