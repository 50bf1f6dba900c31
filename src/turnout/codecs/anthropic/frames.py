"""Streams for Anthropic clients, written from events of any origin. Floor 2.

Theory of operation. The grammar (WIRE.md 3.3) is `message_start (start delta* stop)* message_delta
message_stop`: one block is open at a time, indexes rise from 0, and nothing follows an `error`.

1. An event for another block than the open one closes the open one. A closed block never opens again.
2. Other formats may interleave the arguments of parallel calls. While the open call's arguments are not a
   whole JSON value, events of other blocks wait in a queue; they are written when it is whole, or at the
   end, gathered by call. So no delta is lost and no block overlaps another.
3. A thinking block gets its signature just before its stop. Thoughts of other providers are sealed
   (`wire.sealed`), so that they come back with the next turn and go to nobody but their provider.
4. How it ended and what it used is known last: `Finish` and `UsageUpdate` are kept for `end`.
"""

from collections import deque
from collections.abc import Mapping, Sequence

from turnout.codecs.anthropic.errors import status_and_body
from turnout.codecs.anthropic.response import citations_of, message_id, signature_of
from turnout.codecs.anthropic.wire import WIRE, read, stop_reason, usage_object, without, write
from turnout.codecs.base import Summary
from turnout.errors import TurnoutError
from turnout.types.chat import ChatRequest, Reasoning
from turnout.types.event import (
    Content,
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

_CHARS_PER_TOKEN = 4
"""For the input count of `message_start`, where the upstream counts only at its end."""
_PING = b'event: ping\ndata: {"type": "ping"}\n\n'
_COMMENT = b": keep-alive\n\n"
_DELTA = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":%b}\n\n'
_TEXT_HEAD = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
    b'"delta":{"type":"text_delta","text":'
)
_STOP = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'
_MESSAGE_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_INPUT = frozenset({"input"})


class AnthropicStream:
    """Writes one client stream."""

    __slots__ = (
        "_arguments",
        "_calls",
        "_finish",
        "_index",
        "_open",
        "_queue",
        "_refused",
        "_request",
        "_start",
        "_started",
        "_summary",
        "_text_head",
        "_thought",
        "_usage",
    )

    def __init__(self, request: ChatRequest, summary: Summary) -> None:
        self._request = request
        self._summary = summary
        self._start = Start(id="", model="")
        self._started = False
        self._usage: Usage | None = None
        self._finish = Finish(reason="stop")
        self._refused = False
        self._index = -1
        """Of the block opened last."""
        self._open: str | int = ""
        """What is open: "" nothing, "text", "thinking", or the number of a call."""
        self._calls: set[int] = set()
        """Calls opened so far."""
        self._arguments: list[str] = []
        """Of the open call."""
        self._thought = Reasoning()
        """Origin of the open thought, without its text."""
        self._queue: deque[Content] = deque()
        self._text_head = b""
        """Of the frames of the open text, up to what it says."""

    def feed(self, events: Sequence[Event]) -> bytes:
        """Return the frames for these events; b"" when nothing is to be shown yet."""
        if len(events) == 1 and self._open == "text" and not self._queue:  # nearly always
            only = events[0]
            if isinstance(only, TextDelta) and only.text and only.choice == 0 and not only.extra:
                return self._text_head + write(only.text) + b"}}\n\n"
        out: list[bytes] = []
        for event in events:
            match event:
                case Start():
                    self._start = event
                case UsageUpdate():
                    self._usage = event.usage
                case Finish():
                    if event.choice == 0:
                        self._finish = event
                case _:
                    if event.choice == 0:
                        self._begin(out)
                        self._take(event, out)
        return b"".join(out)

    def end(self, usage: Usage | None, summary: Summary) -> bytes:
        """Return the closing frames."""
        out: list[bytes] = []
        self._begin(out)
        self._flush(out)
        self._close(out)
        finish = self._finish
        reason = finish.reason
        if reason == "stop" and self._refused:
            reason = "content_filter"
        elif reason == "stop" and self._calls and finish.native != "pause_turn":
            reason = "tool_calls"
        word = stop_reason(reason, finish.native, finish.stop_sequence)
        counted = usage or self._usage or self._start.usage
        closing: dict[str, Json] = {
            "type": "message_delta",
            "delta": {"stop_reason": word, "stop_sequence": finish.stop_sequence},
            "usage": self._estimate() if counted is None else usage_object(counted),
        }
        if summary.show:
            closing["turnout"] = summary.told()
        out += (_frame("message_delta", closing), _MESSAGE_STOP)
        return b"".join(out)

    def fail(self, error: TurnoutError, summary: Summary) -> bytes:
        """Return the frames of a failure after commit (WIRE.md 9.4)."""
        _, body = status_and_body(error, summary.request_id)
        return _frame("error", {"type": "error", "error": body["error"]})

    def keep_alive(self) -> bytes:
        """Return the frame that keeps a silent stream open (WIRE.md 2.5)."""
        return _PING if self._started else _COMMENT

    def _begin(self, out: list[bytes]) -> None:
        if self._started:
            return
        self._started = True
        counted = self._usage or self._start.usage
        message: dict[str, Json] = {
            "id": message_id(self._start.id, self._summary),
            "type": "message",
            "role": "assistant",
            "model": self._summary.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": self._estimate() if counted is None else usage_object(counted),
        }
        out.append(_frame("message_start", {"type": "message_start", "message": message}))

    def _estimate(self) -> JsonObject:
        n_tokens = -(-self._request.facts.n_chars // _CHARS_PER_TOKEN)
        return usage_object(Usage(input_uncached=n_tokens))

    def _take(self, event: Content, out: list[bytes]) -> None:
        if isinstance(self._open, str) or (isinstance(event, ToolDelta) and event.index == self._open):
            self._write(event, out)
            if self._queue and self._is_whole():
                waiting, self._queue = self._queue, deque()
                for late in waiting:
                    self._take(late, out)
        elif self._queue or not self._is_whole():
            self._queue.append(event)
        else:
            self._write(event, out)

    def _is_whole(self) -> bool:
        """Tell whether the open call has all its arguments."""
        if not self._arguments or not self._arguments[-1].rstrip().endswith("}"):
            return False
        try:
            read("".join(self._arguments))
        except (ValueError, RecursionError):
            return False
        return True

    def _flush(self, out: list[bytes]) -> None:
        """Write what waits, whole or not, each call's fragments together."""
        waiting, self._queue = self._queue, deque()
        while waiting:
            first = waiting.popleft()
            self._write(first, out)
            if isinstance(first, ToolDelta):
                others: deque[Content] = deque()
                for event in waiting:
                    if isinstance(event, ToolDelta) and event.index == first.index:
                        self._write(event, out)
                    else:
                        others.append(event)
                waiting = others

    def _write(self, event: Content, out: list[bytes]) -> None:
        match event:
            case TextDelta():
                self._text(event.text, event.extra, out)
            case ToolDelta():
                self._tool(event, out)
            case ReasoningDelta():
                self._reasoning(event, out)
            case RefusalDelta():
                self._refused = True
                self._text(event.text, {}, out)
            case NativeDelta():
                if event.block.wire == WIRE:
                    self._native(event.block.value, out)

    def _text(self, text: str, extra: Mapping[str, Json], out: list[bytes]) -> None:
        cited = citations_of(extra) if extra else []
        if self._open == "text" and text and (cited or extra.get("citations") == []):
            self._close(out)  # the border of a cited text
        if not text and not cited:
            return
        if self._open != "text":
            block: dict[str, Json] = {"type": "text", "text": ""}
            self._start_block("text", {**block, "citations": []} if cited else block, out)
        for citation in cited:
            self._delta({"type": "citations_delta", "citation": citation}, out)
        if text:
            out.append(self._text_head + write(text) + b"}}\n\n")

    def _tool(self, event: ToolDelta, out: list[bytes]) -> None:
        if self._open != event.index:
            if event.index in self._calls:
                return  # the call was whole: more text would break it
            given = event.id or f"{message_id(self._start.id, self._summary)}_{event.index}"
            block: JsonObject = {"type": "tool_use", "id": given, "name": event.name or "", "input": {}}
            self._start_block(event.index, block, out)
            self._calls.add(event.index)
            self._arguments = []
        if event.arguments:
            self._arguments.append(event.arguments)
            self._delta({"type": "input_json_delta", "partial_json": event.arguments}, out)

    def _reasoning(self, event: ReasoningDelta, out: list[bytes]) -> None:
        if event.redacted is not None and event.wire == WIRE:
            self._whole({"type": "redacted_thinking", "data": event.redacted}, out)
            return
        ends = event.signature is not None or event.redacted is not None
        if not event.text and not ends:
            return
        if self._open != "thinking":
            block: JsonObject = {"type": "thinking", "thinking": "", "signature": ""}
            self._start_block("thinking", block, out)
            self._thought = Reasoning()
        if event.text:
            self._delta({"type": "thinking_delta", "thinking": event.text}, out)
        self._thought = Reasoning(
            signature=event.signature,
            redacted=event.redacted,
            id=event.id or self._thought.id,
            wire=event.wire or self._thought.wire,
        )
        if ends:
            self._close(out)

    def _native(self, value: JsonObject, out: list[bytes]) -> None:
        given = value.get("input")
        if not isinstance(given, Mapping):
            self._whole(value, out)
            return
        self._start_block("native", {**without(value, _INPUT), "input": {}}, out)
        self._delta({"type": "input_json_delta", "partial_json": write(given).decode()}, out)
        self._close(out)

    def _whole(self, block: JsonObject, out: list[bytes]) -> None:
        self._start_block("native", block, out)
        self._close(out)

    def _start_block(self, kind: str | int, block: JsonObject, out: list[bytes]) -> None:
        self._close(out)
        self._open = kind
        self._index += 1
        self._text_head = _TEXT_HEAD % self._index
        start: JsonObject = {"type": "content_block_start", "index": self._index, "content_block": block}
        out.append(_frame("content_block_start", start))

    def _delta(self, delta: JsonObject, out: list[bytes]) -> None:
        out.append(_DELTA % (self._index, write(delta)))

    def _close(self, out: list[bytes]) -> None:
        if self._open == "":
            return
        if self._open == "thinking":
            self._delta({"type": "signature_delta", "signature": signature_of(self._thought)}, out)
        elif isinstance(self._open, int) and not self._arguments:
            self._delta({"type": "input_json_delta", "partial_json": "{}"}, out)
        out.append(_STOP % self._index)
        self._open = ""


def _frame(event: str, data: JsonObject) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event.encode(), write(data))
