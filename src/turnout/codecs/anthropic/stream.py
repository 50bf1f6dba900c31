"""Streams of an Anthropic upstream, read as events. Floor 2.

Theory of operation.

1. A block is known by its index from `content_block_start` to `content_block_stop`. Starts make no event
   (they do not commit an attempt, WIRE.md 2.6); the first delta of a block does, or its stop.
2. Text, thoughts and arguments become events as they come. All other blocks are collected and come out as
   one `NativeDelta` at their stop, with the JSON of `input_json_delta` in their `input`.
3. Citations precede the text they belong to: they wait for it and travel in its `extra`. A text block next
   to a cited one begins with `citations` in `extra`, also an empty list, so that the border is kept.
4. A call without arguments says `{}` at its stop. Every call's index counts calls, not blocks.
5. Usage is cumulative; the counters of later frames replace those of earlier ones one by one.
6. How frames become events, and when a failure is raised: `push.py`.
"""

from typing import Literal

import msgspec
from msgspec import Struct

from turnout.codecs.anthropic.errors import of_event, unreadable
from turnout.codecs.anthropic.wire import WIRE, add_counters, finished, read, string, usage_of, write
from turnout.codecs.push import PushDecoder
from turnout.codecs.sse import Frame
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
from turnout.types.json import Json


class Delta(Struct, frozen=True, gc=False):
    """What a frame adds to a block, or to the message."""

    type: str = ""
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    citation: dict[str, Json] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None


class Message(Struct, frozen=True):
    """The message as `message_start` announces it."""

    id: str | None = None
    model: str | None = None
    usage: dict[str, Json] | None = None


class Chunk(Struct, frozen=True):
    """One frame."""

    type: str = ""
    index: int = 0
    delta: Delta | None = None
    content_block: dict[str, Json] | None = None
    message: Message | None = None
    usage: dict[str, Json] | None = None


read_chunk = msgspec.json.Decoder(Chunk).decode


class _Words(Struct, frozen=True, gc=False):
    type: Literal["text_delta"]
    text: str


class _Saying(Struct, frozen=True, gc=False):
    """A frame of text and nothing else that is looked at."""

    type: Literal["content_block_delta"]
    delta: _Words
    index: int = 0


_saying = msgspec.json.Decoder(_Saying).decode
MOST_MISSES = 8
"""Frames behind text that were none, after which a stream's are no longer tried as such."""


class _Block:
    """A block between its start and its stop."""

    __slots__ = ("call", "citations", "fragments", "has_input", "kind", "said", "value")

    def __init__(self, value: dict[str, Json], call: int) -> None:
        self.value = value
        self.kind = string(value, "type")
        self.call = call
        """Number of the call among calls; -1 = no call."""
        self.fragments: list[str] = []
        """Input of a block that is collected."""
        self.has_input = False
        """Arguments of the call have come."""
        self.citations: list[Json] | None = None
        """Waiting for their text; None = this text needs no `citations`."""
        self.said = False
        """An event has named this block."""


class AnthropicDecoder(PushDecoder):
    """Push parser of one upstream stream."""

    __slots__ = ("_at", "_beside_text", "_blocks", "_counters", "_finished", "_misses", "_n_calls")

    QUIET = (Start, UsageUpdate)
    END = "message_stop"

    def __init__(self) -> None:
        super().__init__()
        self._blocks: dict[int, _Block] = {}
        self._counters: dict[str, Json] = {}
        self._n_calls = 0
        self._beside_text: _Block | None = None
        """The block before was a text: this one."""
        self._finished = False
        self._at = 0
        """The block of the text that came last."""
        self._misses = 0

    def _words(self, data: bytes) -> TextDelta | None:
        try:
            said = _saying(data)
        except (ValueError, RecursionError):
            self._says_words, self._misses = False, self._misses + 1
            return None
        return TextDelta(said.delta.text) if said.index == self._at else None

    def _read(self, frame: Frame, events: list[Event]) -> None:
        data = frame.data
        self._says_words = False
        try:
            chunk = read_chunk(data)
        except (ValueError, RecursionError) as error:
            if data == b"[DONE]":
                return  # some compatible hosts end with OpenAI's mark
            raise unreadable(str(error), data) from error
        match chunk.type:
            case "content_block_delta":
                block = self._blocks.get(chunk.index)
                if block is None or chunk.delta is None:
                    raise unreadable("a delta belongs to no block", data)
                self._at = chunk.index
                if not self._delta(block, chunk.delta, events):
                    self._merge(block, data)
            case "content_block_start":
                self._start(chunk.index, chunk.content_block or {}, events)
            case "content_block_stop":
                block = self._blocks.pop(chunk.index, None)
                if block is not None:
                    self._stop(block, events)
            case _:
                self._message(chunk, data, events)

    def _message(self, chunk: Chunk, data: bytes, events: list[Event]) -> None:
        match chunk.type:
            case "message_start":
                said = chunk.message or Message()
                add_counters(self._counters, said.usage)
                usage = usage_of(self._counters) if self._counters else None
                events.append(Start(id=said.id or "", model=said.model or "", usage=usage))
            case "message_delta":
                add_counters(self._counters, chunk.usage)
                if self._counters:
                    events.append(UsageUpdate(usage_of(self._counters)))
                if chunk.delta is not None and chunk.delta.stop_reason is not None:
                    self._finish(chunk.delta.stop_reason, chunk.delta.stop_sequence, events)
            case "message_stop":
                if not self._finished:
                    self._finish(None, None, events)
                self._done = True
            case "error":
                raise of_event(data)

    def _start(self, index: int, value: dict[str, Json], events: list[Event]) -> None:
        is_call = string(value, "type") == "tool_use"
        block = _Block(value, self._n_calls if is_call else -1)
        self._n_calls += is_call
        before, self._beside_text = self._beside_text, block if block.kind == "text" else None
        self._blocks[index] = block
        if block.kind == "text":
            cited = value.get("citations")
            if isinstance(cited, list) or (before is not None and "citations" in before.value):
                block.citations = list(cited) if isinstance(cited, list) else []
            text = string(value, "text")
            if text:
                self._delta(block, Delta("text_delta", text=text), events)
        elif block.kind == "thinking" and (text := string(value, "thinking")):
            self._delta(block, Delta("thinking_delta", thinking=text), events)

    def _delta(self, block: _Block, delta: Delta, events: list[Event]) -> bool:
        """Take a delta; False = its type means nothing for a block of this kind."""
        match delta.type:
            case "text_delta" if block.kind == "text":
                cited, block.citations = block.citations, None
                if cited is None:
                    events.append(TextDelta(delta.text or ""))
                    self._says_words = self._misses < MOST_MISSES
                else:
                    events.append(TextDelta(delta.text or "", extra={"citations": cited}))
            case "input_json_delta":
                self._fragment(block, delta.partial_json or "", events)
            case "thinking_delta" if block.kind == "thinking":
                events.append(ReasoningDelta(text=delta.thinking or "", wire=WIRE))
            case "signature_delta" if block.kind == "thinking":
                block.said = True
                events.append(ReasoningDelta(signature=delta.signature, wire=WIRE))
            case "citations_delta" if delta.citation is not None:
                block.citations = [*(block.citations or ()), delta.citation]
            case _:
                return False
        return True

    def _merge(self, block: _Block, data: bytes) -> None:
        """Keep a delta of an unknown type in the collected block: texts are appended, the rest replaces."""
        frame = read(data)
        for name, new in frame["delta"].items():
            old = block.value.get(name)
            if name != "type":
                block.value[name] = old + new if isinstance(old, str) and isinstance(new, str) else new

    def _fragment(self, block: _Block, text: str, events: list[Event]) -> None:
        if block.call < 0:
            block.fragments.append(text)
            return
        events.append(ToolDelta(index=block.call, arguments=text) if block.said else self._call(block, text))
        block.said = True
        block.has_input |= text != ""

    def _call(self, block: _Block, arguments: str) -> ToolDelta:
        return ToolDelta(
            index=block.call,
            id=string(block.value, "id"),
            name=string(block.value, "name"),
            arguments=arguments,
        )

    def _stop(self, block: _Block, events: list[Event]) -> None:
        match block.kind:
            case "text":
                if block.citations:  # citations without a text of their own, or after it
                    events.append(TextDelta("", extra={"citations": block.citations}))
            case "tool_use":
                if not block.has_input:
                    given = block.value.get("input")
                    whole = write(given).decode() if given else "{}"
                    events.append(
                        ToolDelta(index=block.call, arguments=whole)
                        if block.said
                        else self._call(block, whole)
                    )
            case "thinking":
                signature = string(block.value, "signature")
                if signature and not block.said:
                    events.append(ReasoningDelta(signature=signature, wire=WIRE))
            case "redacted_thinking":
                events.append(ReasoningDelta(redacted=string(block.value, "data"), wire=WIRE))
            case _:
                events.append(NativeDelta(Native(WIRE, _collected(block))))

    def _finish(self, word: str | None, sequence: str | None, events: list[Event]) -> None:
        self._finished = True
        end = finished(word, has_calls=self._n_calls > 0)
        events.append(Finish(reason=end.reason, native=end.native, stop_sequence=sequence))


def _collected(block: _Block) -> dict[str, Json]:
    text = "".join(block.fragments)
    if not text:
        return block.value
    try:
        given: Json = read(text)
    except (ValueError, RecursionError):
        given = {"arguments": text}
    return {**block.value, "input": given}
