"""Streams that pass through as bytes, with one eye on them. Floor 2.

Theory of operation. Once content has passed, a read is looked at with five substring searches and handed
on: no frame of text is parsed. Only reads that may hold something to know (`_is_marked`) are cut into frames.

1. A mark cannot hide: inside a JSON text its quotes would be escaped, and the start of an escape that
   could spell a letter is a mark itself. A mark that means nothing costs one parse.
2. Frames leave as they came, except that a `turnout` member is taken out (SECURITY.md S-45).
3. Content is a delta, or the stop of a block that comes whole. Before it an `error` frame is raised, so
   that another model may be asked; behind it the frame passes and `error` is set.
"""

import msgspec
from msgspec import Struct

from turnout.codecs.anthropic.errors import of_event, unreadable
from turnout.codecs.anthropic.response import unbranded
from turnout.codecs.anthropic.stream import Message
from turnout.codecs.anthropic.wire import add_counters, finished, string, usage_of
from turnout.codecs.sse import Frame
from turnout.codecs.through import FrameTap
from turnout.types.json import Json

_SPOKEN = frozenset({"text", "thinking"})
"""Blocks whose content comes in deltas."""


class _Stopped(Struct, frozen=True):
    stop_reason: str | None = None


class _Seen(Struct, frozen=True):
    """Of a frame, only what the engine needs."""

    type: str = ""
    message: Message | None = None
    content_block: dict[str, Json] | None = None
    delta: _Stopped | None = None
    usage: dict[str, Json] | None = None


_read = msgspec.json.Decoder(_Seen).decode


class AnthropicTap(FrameTap):
    """Reads one upstream stream while it passes."""

    __slots__ = ("_counters", "_has_calls", "_kind")
    _last = "message_stop"

    def __init__(self) -> None:
        super().__init__()
        self._counters: dict[str, Json] = {}
        self._has_calls = False
        self._kind = ""

    def _is_marked(self, data: bytes) -> bool:
        return (
            b'"message_' in data
            or b'"error"' in data
            or b'"tool_use"' in data
            or b'"turnout"' in data
            or b"\\u00" in data
        )

    def _pass(self, frame: Frame) -> bytes:
        data = frame.data
        if not data:
            return frame.raw
        if data == b"[DONE]":
            return b""  # OpenAI's mark, which some compatible hosts add and no client of this format knows
        try:
            seen = _read(data)
        except (ValueError, RecursionError) as error:
            raise unreadable(str(error), data) from error
        self._look(seen, data)
        own = unbranded(data)
        if own is data:
            return frame.raw
        return b"event: %b\ndata: %b\n\n" % (seen.type.encode(), own)

    def _look(self, seen: _Seen, data: bytes) -> None:
        match seen.type:
            case "content_block_delta":
                self.has_content = True
            case "content_block_start":
                self._kind = string(seen.content_block or {}, "type")
                self._has_calls |= self._kind == "tool_use"
            case "content_block_stop":
                self.has_content |= self._kind not in _SPOKEN
            case "message_start":
                said = seen.message or Message()
                self.upstream_id, self.model = said.id, said.model
                self._count(said.usage)
            case "message_delta":
                self._count(seen.usage)
                if seen.delta is not None and seen.delta.stop_reason is not None:
                    self.finish = finished(seen.delta.stop_reason, has_calls=self._has_calls).reason
            case "message_stop":
                self.done = True
            case "error":
                self._fail(of_event(data))

    def _count(self, counters: dict[str, Json] | None) -> None:
        add_counters(self._counters, counters)
        if self._counters:
            self.usage = usage_of(self._counters)
