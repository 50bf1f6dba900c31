"""Streams of a Cohere upstream, read as events. Floor 2.

Theory of operation.

1. Blocks are opened by `content-start` and named by their index; only their deltas make events.
2. A plan before tool calls is reasoning under the id `tool_plan`. Calls are counted from 0 as they start,
   whatever index the upstream gives them; one without arguments says `{}` at its end.
3. Citations come after the text they belong to: each is an empty text with the citation in its `extra`, both
   in Cohere's form and in the one OpenAI clients read.
4. `message-end` is the terminal event and carries the usage. When a failure is raised: `push.py`.
"""

import msgspec
from msgspec import Struct

from turnout.codecs.cohere.response import error_of, failed
from turnout.codecs.cohere.wire import FAILED, PLAN, WIRE, annotations_of, finish_of, usage_of
from turnout.codecs.failures import text_in, tree_of, unreadable
from turnout.codecs.push import PushDecoder
from turnout.codecs.sse import Frame
from turnout.errors import TurnoutError
from turnout.types.event import Event, Finish, ReasoningDelta, Start, TextDelta, ToolDelta, UsageUpdate
from turnout.types.http import HttpResponse
from turnout.types.json import Json, JsonObject


class _Function(Struct, frozen=True, gc=False):
    name: str = ""
    arguments: str = ""


class _Call(Struct, frozen=True, gc=False):
    id: str = ""
    function: _Function = _Function()


class _Content(Struct, frozen=True, gc=False):
    text: str = ""
    thinking: str = ""


class _Message(Struct, frozen=True):
    content: _Content | list[Json] | None = None
    tool_plan: str = ""
    tool_calls: _Call | list[Json] | None = None
    citations: dict[str, Json] | list[Json] | None = None


class _Delta(Struct, frozen=True):
    message: _Message = _Message()
    finish_reason: str = ""
    usage: dict[str, Json] | None = None
    error: Json = None


class _Chunk(Struct, frozen=True):
    type: str = ""
    id: str = ""
    index: int = 0
    delta: _Delta = _Delta()


_read = msgspec.json.Decoder(_Chunk).decode


class CohereDecoder(PushDecoder):
    """Push parser of one upstream stream."""

    __slots__ = ("_calls", "_has_arguments")

    QUIET = (Start, UsageUpdate)
    END = "message-end"

    def __init__(self) -> None:
        super().__init__()
        self._calls: dict[int, int] = {}
        """Index as sent -> number of the call."""
        self._has_arguments: set[int] = set()

    def _read(self, frame: Frame, events: list[Event]) -> None:
        data = frame.data
        try:
            chunk = _read(data)
        except (ValueError, RecursionError) as error:
            if data == b"[DONE]":
                return
            raise unreadable(str(error), data, WIRE) from error
        match chunk.type:
            case "content-delta" | "content-start" | "tool-plan-delta" | "citation-start":
                _said(chunk.delta.message, events)
            case "tool-call-start" | "tool-call-delta" | "tool-call-end":
                self._call(chunk, data, events)
            case "message-start":
                events.append(Start(id=chunk.id, model=""))
            case "message-end":
                self._end(chunk.delta, data, events)
            case "":
                raise _untyped(data)

    def _call(self, chunk: _Chunk, data: bytes, events: list[Event]) -> None:
        said = chunk.delta.message.tool_calls
        call = said if isinstance(said, _Call) else _Call()
        if chunk.type == "tool-call-start":
            at = self._calls[chunk.index] = len(self._calls)
            name, text = call.function.name, call.function.arguments
            events.append(ToolDelta(index=at, id=call.id, name=name, arguments=text))
        else:
            known = self._calls.get(chunk.index)
            if known is None:
                raise unreadable("a delta belongs to no tool call", data, WIRE)
            at = known
            text = call.function.arguments
            if chunk.type == "tool-call-end" and at not in self._has_arguments:
                text = "{}"
            if text:
                events.append(ToolDelta(index=at, arguments=text))
        if text:
            self._has_arguments.add(at)

    def _end(self, delta: _Delta, data: bytes, events: list[Event]) -> None:
        if delta.finish_reason in FAILED:
            raise failed(delta.finish_reason, delta.error, data)
        if delta.usage is not None:
            events.append(UsageUpdate(usage_of(delta.usage)))
        reason = finish_of(delta.finish_reason, has_calls=bool(self._calls))
        events.append(Finish(reason=reason, native=delta.finish_reason or None))
        self._done = True


def _said(message: _Message, events: list[Event]) -> None:
    said, cited = message.content, message.citations
    if isinstance(said, _Content) and said.text:
        events.append(TextDelta(said.text))
    if isinstance(said, _Content) and said.thinking:
        events.append(ReasoningDelta(text=said.thinking, wire=WIRE))
    if message.tool_plan:
        events.append(ReasoningDelta(text=message.tool_plan, id=PLAN, wire=WIRE))
    if isinstance(cited, dict):
        extra: JsonObject = {"citations": [cited], "annotations": annotations_of([cited])}
        events.append(TextDelta("", extra=extra))


def _untyped(data: bytes) -> TurnoutError:
    """Return the failure of a frame that is no event: an error body, or nothing known."""
    tree = tree_of(data)
    if text_in(tree, "message"):
        return error_of(HttpResponse(500, {}, data))
    return unreadable("a frame has no type", data, WIRE)
