"""Streams for clients of the responses format, written from events of any origin. Floor 2.

Theory of operation. The grammar (WIRE.md 3.2) is `created in_progress item* (completed | incomplete |
failed)`; every frame has the next `sequence_number`, every item the next `output_index`, ids never change.

1. Text and thoughts come one item at a time: an event of another kind closes the open one. What follows a
   closed message is a new one.
2. Other formats may interleave the arguments of parallel calls, which this one allows: a call is open from
   its first fragment to the end of the answer, while the items after it go on.
3. Thoughts of other providers, and tokens of their calls, are sealed (seal.py), so that they come back with
   the next turn and go to nobody but their provider.
4. How it ended and what it used is known last: `Finish` and `UsageUpdate` are kept for `end`, whose terminal
   frame holds the whole answer again.
"""

import re
from collections.abc import Mapping, Sequence
from typing import assert_never

from turnout.codecs.base import Summary
from turnout.codecs.citations import annotations_of
from turnout.codecs.openai_failure import failure_of
from turnout.codecs.openai_responses.opened import OpenCall, OpenMessage, OpenThought
from turnout.codecs.openai_responses.parts import flat
from turnout.codecs.openai_responses.render import (
    Names,
    echo,
    ending,
    message_item,
    token_item,
    write_call,
    write_reasoning,
)
from turnout.codecs.openai_responses.usage import write_usage
from turnout.codecs.openai_responses.wire import WIRE, objects, write
from turnout.errors import TurnoutError
from turnout.types.chat import ChatRequest, Reasoning, ToolCall
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
from turnout.types.usage import Usage

KEEP_ALIVE = b": keep-alive\n\n"
_TEXT_HEAD = (
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":%d'
)
_TEXT_END = b',"logprobs":[]}\n\n'
_NUMBER = re.compile(rb'"sequence_number": ?(\d{1,9})\b')
"""Cannot stand inside a JSON string, where quotes are escaped."""
_NATIVE_CODES = {
    "rate_limited": "rate_limit_exceeded",
    "provider_rate_limited": "rate_limit_exceeded",
    "content_filtered": "invalid_prompt",
}
"""Class word -> the word OpenAI has for it; everything else is `server_error` (WIRE.md 9.4)."""


class OpenAIResponsesStream:
    """Writes one client stream."""

    __slots__ = (
        "_calls",
        "_finish",
        "_names",
        "_next",
        "_open",
        "_output",
        "_refused",
        "_request",
        "_started",
        "_summary",
        "_usage",
    )

    def __init__(self, request: ChatRequest, summary: Summary) -> None:
        self._request = request
        self._summary = summary
        self._names = Names.of(summary)
        self._next = 0
        self._started = False
        self._open: OpenMessage | OpenThought | None = None
        self._calls: dict[int, OpenCall] = {}
        self._output: list[Json] = []
        """Items as they are when whole; an open one holds its place."""
        self._refused = False
        self._finish = Finish(reason="stop")
        self._usage: Usage | None = None

    def feed(self, events: Sequence[Event]) -> bytes:
        """Return the frames for these events; b"" when nothing is to be shown yet."""
        if len(events) == 1 and isinstance(self._open, OpenMessage):  # nearly always
            words = self._words(events[0], self._open)
            if words is not None:
                return words
        return self._frames(events)

    def _frames(self, events: Sequence[Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            match event:
                case TextDelta():
                    if event.choice == 0:
                        self._text(event, out)
                case Start():
                    pass
                case UsageUpdate():
                    self._usage = event.usage
                case Finish():
                    if event.choice == 0:
                        self._finish = event
                case ToolDelta() | ReasoningDelta() | RefusalDelta() | NativeDelta():
                    if event.choice == 0:
                        self._begin(out)
                        self._take(event, out)
                case _:
                    assert_never(event)
        return b"".join(out)

    def end(self, usage: Usage | None, summary: Summary) -> bytes:
        """Return the closing frames."""
        out: list[bytes] = []
        self._begin(out)
        self._close(out)
        self._close_calls(out)
        response = echo(self._request, self._summary, self._names)
        response |= ending(self._finish.reason, refused=self._refused)
        response["output"] = self._output
        counted = usage or self._usage
        if counted is not None:
            response["usage"] = write_usage(counted)
        if summary.show:
            response["turnout"] = summary.told()
        out.append(self._frame(f"response.{response['status']}", {"response": response}))
        return b"".join(out)

    def fail(self, error: TurnoutError, summary: Summary) -> bytes:
        """Return the frames of a failure after commit (WIRE.md 9.4); open items stay open.

        A stream that passed through has begun in the upstream's frames: it does not begin again here.
        """
        out: list[bytes] = []
        code = _NATIVE_CODES.get(error.row.word, "server_error")
        told: dict[str, Json] = {"code": code, "message": error.message}
        out.append(self._frame("error", {**told, "param": error.param}))
        response = echo(self._request, self._summary, self._names)
        response["status"] = "failed"
        response["output"] = [item for item in self._output if item is not None]
        response["error"] = {**told, "turnout": failure_of(error, summary.request_id)}
        out.append(self._frame("response.failed", {"response": response}))
        return b"".join(out)

    def resume(self, passed: bytes, answer_id: str | None) -> None:
        """Go on after frames of the upstream: their numbers and their id of the answer."""
        numbers = _NUMBER.findall(passed)
        self._next = int(numbers[-1]) + 1 if numbers else 0
        self._names = Names(self._names.rest, answer_id or "")

    def keep_alive(self) -> bytes:
        """Return the frame that keeps a silent stream open."""
        return KEEP_ALIVE

    def _frame(self, kind: str, members: JsonObject) -> bytes:
        number, self._next = self._next, self._next + 1
        data = write({"type": kind, "sequence_number": number, **members})
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)

    def _begin(self, out: list[bytes]) -> None:
        if not self._started:
            self._started = True
            response = echo(self._request, self._summary, self._names)
            out.append(self._frame("response.created", {"response": response}))
            out.append(self._frame("response.in_progress", {"response": response}))

    def _take(self, event: ToolDelta | ReasoningDelta | RefusalDelta | NativeDelta, out: list[bytes]) -> None:
        match event:
            case ToolDelta():
                self._call(event, out)
            case ReasoningDelta():
                self._think(event, out)
            case RefusalDelta():
                self._refused = True
                message = self._speaking("refusal", out)
                message.texts.append(event.text)
                place = {"item_id": message.id, **message.place(), "delta": event.text}
                out.append(self._frame("response.refusal.delta", place))
            case NativeDelta():
                if event.block.wire == WIRE:
                    self._close(out)
                    self._whole(event.block.value, out)
            case _:
                assert_never(event)

    def _words(self, event: Event, message: OpenMessage) -> bytes | None:
        """Return the frame of plain text that goes on with the open part; None = it does not."""
        if not isinstance(event, TextDelta) or message.kind != "output_text" or event.choice != 0:
            return None
        text = event.text
        if not text or event.logprobs is not None or event.extra:
            return None
        message.texts.append(text)
        number, self._next = self._next, self._next + 1
        return _TEXT_HEAD % number + message.tail + write(text) + _TEXT_END

    def _text(self, event: TextDelta, out: list[bytes]) -> None:
        words = self._words(event, self._open) if isinstance(self._open, OpenMessage) else None
        if words is not None:
            out.append(words)
            return
        if not event.text and not event.extra:
            return
        self._begin(out)
        message = self._speaking("output_text", out)
        if event.text:
            message.texts.append(event.text)
            tokens = objects(event.logprobs.get("content")) if isinstance(event.logprobs, Mapping) else ()
            message.logprobs += tokens
            number, self._next = self._next, self._next + 1
            out.append(
                b"".join(
                    (
                        _TEXT_HEAD % number,
                        message.tail,
                        write(event.text),
                        b',"logprobs":%b}\n\n' % (write(tokens) if tokens else b"[]"),
                    )
                )
            )
        for note in objects(annotations_of(event.extra)) if event.extra else ():
            place = {"item_id": message.id, **message.place(), "annotation_index": len(message.notes)}
            message.notes.append(flat(note))
            out.append(
                self._frame("response.output_text.annotation.added", {**place, "annotation": flat(note)})
            )

    def _speaking(self, kind: str, out: list[bytes]) -> OpenMessage:
        """Return the open message with an open part of this kind."""
        message = self._open
        if not isinstance(message, OpenMessage):
            self._close(out)
            at = self._place()
            message = self._open = OpenMessage(self._names.item("msg", at), at)
            self._added(message_item([], message.id, "in_progress"), at, out)
        if message.kind != kind:
            self._close_part(message, out)
            message.kind = kind
            place: JsonObject = {"item_id": message.id, **message.place(), "part": message.part()}
            out.append(self._frame("response.content_part.added", place))
            where = {"item_id": message.id, **message.place()}
            message.tail = b"," + write(where)[1:-1] + b',"delta":'
        return message

    def _close_part(self, message: OpenMessage, out: list[bytes]) -> None:
        if not message.kind:
            return
        part, place = message.part(), {"item_id": message.id, **message.place()}
        if message.kind == "refusal":
            out.append(self._frame("response.refusal.done", {**place, "refusal": part["refusal"]}))
        else:
            said = {"text": part["text"], "logprobs": message.logprobs}
            out.append(self._frame("response.output_text.done", {**place, **said}))
        out.append(self._frame("response.content_part.done", {**place, "part": part}))
        message.content.append(part)
        message.kind, message.texts, message.notes, message.logprobs = "", [], [], []

    def _think(self, event: ReasoningDelta, out: list[bytes]) -> None:
        ends = event.signature is not None or event.redacted is not None
        if not event.text and not ends:
            return
        thought = self._open
        if not isinstance(thought, OpenThought):
            self._close(out)
            at = self._place()
            thought = self._open = OpenThought(self._names.item("rs", at), at)
            self._added({"id": thought.id, "type": "reasoning", "summary": []}, at, out)
        if event.text:
            self._summarise(thought, event.text, out)
        if ends:
            part = Reasoning(
                text="".join(thought.texts),
                signature=event.signature,
                redacted=event.redacted,
                wire=event.wire,
            )
            self._close_thought(thought, part, out)

    def _summarise(self, thought: OpenThought, text: str, out: list[bytes]) -> None:
        place: JsonObject = {"item_id": thought.id, "output_index": thought.at, "summary_index": 0}
        if not thought.texts:
            part = {"type": "summary_text", "text": ""}
            out.append(self._frame("response.reasoning_summary_part.added", {**place, "part": part}))
        thought.texts.append(text)
        out.append(self._frame("response.reasoning_summary_text.delta", {**place, "delta": text}))

    def _close_thought(self, thought: OpenThought, part: Reasoning, out: list[bytes]) -> None:
        if part.text:
            place: JsonObject = {"item_id": thought.id, "output_index": thought.at, "summary_index": 0}
            out.append(self._frame("response.reasoning_summary_text.done", {**place, "text": part.text}))
            whole = {"type": "summary_text", "text": part.text}
            out.append(self._frame("response.reasoning_summary_part.done", {**place, "part": whole}))
        self._open = None
        self._done(write_reasoning(part, thought.id), thought.at, out)

    def _call(self, event: ToolDelta, out: list[bytes]) -> None:
        call = self._calls.get(event.index)
        if call is None:
            self._close(out)
            call = self._open_call(event, out)
        elif event.signature is not None:
            self._whole(self._token(call.call.id, event.signature), out)
        if event.arguments:
            call.texts.append(event.arguments)
            kind = "custom_tool_call_input" if call.call.kind == "custom" else "function_call_arguments"
            place: JsonObject = {"item_id": call.item_id, "output_index": call.at, "delta": event.arguments}
            out.append(self._frame(f"response.{kind}.delta", place))

    def _open_call(self, event: ToolDelta, out: list[bytes]) -> OpenCall:
        call_id = self._names.call(event.id or "", event.index)
        if event.signature is not None:
            self._whole(self._token(call_id, event.signature), out)
        at = self._place()
        said = ToolCall(id=call_id, name=event.name or "", arguments="", kind=event.kind)
        call = self._calls[event.index] = OpenCall(said, self._names.item("fc", at), at)
        self._added(write_call(said, call_id, call.item_id, "in_progress"), at, out)
        return call

    def _token(self, call_id: str, token: str) -> JsonObject:
        return token_item(call_id, token, self._names.item("rs", len(self._output)))

    def _close_calls(self, out: list[bytes]) -> None:
        for call in self._calls.values():
            whole = ToolCall(
                id=call.call.id, name=call.call.name, arguments="".join(call.texts), kind=call.call.kind
            )
            item = write_call(whole, call.call.id, call.item_id)
            place: JsonObject = {"item_id": call.item_id, "output_index": call.at}
            if whole.kind == "custom":
                said = {**place, "input": item["input"]}
                out.append(self._frame("response.custom_tool_call_input.done", said))
            else:
                said = {**place, "name": whole.name, "arguments": item["arguments"]}
                out.append(self._frame("response.function_call_arguments.done", said))
            self._done(item, call.at, out)

    def _close(self, out: list[bytes]) -> None:
        """Close the open message or thought."""
        match self._open:
            case OpenMessage() as message:
                self._close_part(message, out)
                self._open = None
                self._done(message_item(message.content, message.id), message.at, out)
            case OpenThought() as thought:
                self._close_thought(thought, Reasoning(text="".join(thought.texts)), out)
            case None:
                pass

    def _place(self) -> int:
        self._output.append(None)
        return len(self._output) - 1

    def _whole(self, item: JsonObject, out: list[bytes]) -> None:
        at = self._place()
        self._added(item, at, out)
        self._done(item, at, out)

    def _added(self, item: JsonObject, at: int, out: list[bytes]) -> None:
        out.append(self._frame("response.output_item.added", {"output_index": at, "item": item}))

    def _done(self, item: JsonObject, at: int, out: list[bytes]) -> None:
        self._output[at] = item
        out.append(self._frame("response.output_item.done", {"output_index": at, "item": item}))
