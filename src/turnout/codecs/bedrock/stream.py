"""Streams of ConverseStream, read as events. Floor 2.

Theory of operation.

1. A block is known by its `contentBlockIndex`. Texts and thoughts have no start; calls do, and their index
   counts calls, not blocks. A call without input says `{}` at its stop.
2. A block that only this format knows (a tool the provider ran, a picture) is collected and comes out as
   one `NativeDelta` at its stop.
3. `messageStop` finishes; `metadata` with the usage comes after it. A stream that ends between the two is
   whole, its usage unknown.
4. An exception frame is raised; one found behind content of the same read waits for the next call, so that
   the split of the bytes changes nothing.
"""

import msgspec
from msgspec import Struct

from turnout.codecs import aws_errors
from turnout.codecs.bedrock.blocks import annotations_of
from turnout.codecs.bedrock.wire import MALFORMED, WIRE, finish_of, usage_of
from turnout.codecs.eventstream import EventFrame, EventStreamParser
from turnout.codecs.failures import as_object, text_in, tree_of, unreadable
from turnout.codecs.held import HoldingDecoder
from turnout.errors import StreamInterrupted
from turnout.types.chat import Native
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
from turnout.types.json import Json, JsonObject


class _Reasoning(Struct, frozen=True, rename="camel"):
    text: str | None = None
    signature: str | None = None
    redacted_content: str | None = None


class _Use(Struct, frozen=True):
    input: str = ""


class _Delta(Struct, frozen=True, rename="camel"):
    text: str | None = None
    tool_use: _Use | None = None
    reasoning_content: _Reasoning | None = None
    citation: dict[str, Json] | None = None


class _Chunk(Struct, frozen=True, rename="camel"):
    content_block_index: int = 0
    delta: _Delta | None = None
    start: dict[str, Json] | None = None
    stop_reason: str | None = None
    usage: dict[str, Json] | None = None


_read = msgspec.json.Decoder(_Chunk).decode


class _Block:
    """A block with a start."""

    __slots__ = ("call", "has_input", "native")

    def __init__(self, call: int, native: dict[str, Json] | None) -> None:
        self.call = call
        """Number of the call; -1 = no call."""
        self.has_input = False
        self.native = native
        """What is collected of a block that only this format knows."""


class BedrockDecoder(HoldingDecoder[EventFrame]):
    """Push parser of one upstream stream."""

    __slots__ = ("_blocks", "_finished", "_n_calls")

    def __init__(self) -> None:
        super().__init__(EventStreamParser().feed)
        self._blocks: dict[int, _Block] = {}
        self._n_calls = 0
        self._finished = False

    def end(self) -> list[Event]:
        """Tell that the stream is over. Raises `StreamInterrupted` without `messageStop`."""
        self.feed(b"")  # a failure that waits
        if not self._finished:
            raise StreamInterrupted("the provider's stream ended before messageStop")
        return []

    def _take(self, frame: EventFrame, events: list[Event]) -> None:
        if not frame.is_event:
            raise aws_errors.of_frame(frame, WIRE)
        try:
            chunk = _read(frame.payload)
        except (ValueError, RecursionError) as error:
            raise unreadable(str(error), frame.payload, WIRE) from error
        match frame.name:
            case "contentBlockDelta" if chunk.delta is not None:
                self._delta(chunk.content_block_index, chunk.delta, frame.payload, events)
            case "contentBlockStart" if chunk.start is not None:
                self._start(chunk.content_block_index, chunk.start, events)
            case "contentBlockStop":
                self._stop(chunk.content_block_index, events)
            case "messageStart":
                events.append(Start(id="", model=""))
            case "messageStop":
                self._finish(chunk.stop_reason, frame.payload, events)
            case "metadata" if chunk.usage is not None:
                events.append(UsageUpdate(usage_of(chunk.usage)))
            case _:
                pass

    def _start(self, index: int, start: JsonObject, events: list[Event]) -> None:
        use = start.get("toolUse")
        if isinstance(use, dict) and "type" not in use:
            self._blocks[index] = _Block(self._n_calls, None)
            call_id, name = text_in(use, "toolUseId"), text_in(use, "name")
            events.append(ToolDelta(index=self._n_calls, id=call_id, name=name))
            self._n_calls += 1
        else:
            self._blocks[index] = _Block(-1, dict(start))

    def _delta(self, index: int, delta: _Delta, data: bytes, events: list[Event]) -> None:
        block = self._blocks.get(index)
        if block is not None and block.native is not None:
            _grow(block.native, as_object(tree_of(data).get("delta")))
        elif delta.text is not None:
            events.append(TextDelta(delta.text))
        elif delta.tool_use is not None:
            if block is None:
                raise unreadable("a delta belongs to no tool call", data, WIRE)
            if delta.tool_use.input:
                block.has_input = True
                events.append(ToolDelta(index=block.call, arguments=delta.tool_use.input))
        elif delta.reasoning_content is not None:
            _think(delta.reasoning_content, events)
        elif delta.citation is not None:
            notes = annotations_of([delta.citation])
            extra: dict[str, Json] = {"citations": [delta.citation]}
            events.append(TextDelta("", extra={**extra, "annotations": notes} if notes else extra))

    def _stop(self, index: int, events: list[Event]) -> None:
        block = self._blocks.pop(index, None)
        if block is None:
            return
        if block.native is not None:
            events.append(NativeDelta(Native(WIRE, block.native)))
        elif not block.has_input:
            events.append(ToolDelta(index=block.call, arguments="{}"))

    def _finish(self, word: str | None, data: bytes, events: list[Event]) -> None:
        if word in MALFORMED:
            raise aws_errors.of_stop(word or "", data, WIRE)
        self._finished = True
        events.append(Finish(reason=finish_of(word, has_calls=self._n_calls > 0), native=word))


def _think(said: _Reasoning, events: list[Event]) -> None:
    if said.redacted_content is not None:
        events.append(ReasoningDelta(redacted=said.redacted_content, wire=WIRE))
    elif said.signature is not None:
        events.append(ReasoningDelta(signature=said.signature, wire=WIRE))
    elif said.text is not None:
        events.append(ReasoningDelta(text=said.text, wire=WIRE))


def _grow(native: dict[str, Json], delta: JsonObject) -> None:
    """Add a delta to a collected block: texts are appended, lists joined, the rest replaces."""
    for name, more in delta.items():
        known = native.get(name)
        if isinstance(known, dict) and isinstance(more, dict):
            inner = dict(known)
            _grow(inner, more)
            native[name] = inner
        elif isinstance(known, dict) and isinstance(more, list):
            content = known.get("content")
            native[name] = {**known, "content": [*(content if isinstance(content, list) else []), *more]}
        elif isinstance(known, str) and isinstance(more, str):
            native[name] = known + more
        else:
            native[name] = more
