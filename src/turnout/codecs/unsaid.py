"""Notices for what a conversation holds and a format has no word for. Floor 2.

A codec notes what it leaves out of the fields it writes. Beside these stand the small things that only some
formats have: a cache mark on a text, the name of a document, a thought. They are looked for here, in one
pass, so that a new one in any format is told by all others without a line in each of them.
"""

from collections.abc import Mapping, Sequence

from turnout.codecs.base import Encoded
from turnout.codecs.declared import Declared
from turnout.codecs.notes import REASONING_DROPPED
from turnout.codecs.plain import turns_of
from turnout.types.chat import (
    ChatRequest,
    Media,
    Message,
    Native,
    Part,
    Reasoning,
    Refusal,
    ServerTool,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)
from turnout.types.json import Json

REASONING = "reasoning"
"""In `said`: the codec itself tells of thoughts that it drops."""
SIGNATURE = "signature"
"""In `said`: tokens of calls travel."""
SHOWN = "thinking.shown"
"""In `said`: thoughts come back when they are asked for, or whenever there are some."""
ITEM = "item"
"""Member of `extra` that holds what the message says around a text."""
THINKING = frozenset(
    {"effort", "summary", "generate_summary", "max_tokens", "enabled", "exclude", "type", "budget_tokens"}
    | {"maxReasoningEffort"}
)
"""Members of the fields in `Thinking.extra` that its own fields hold."""
_PLAIN = (Refusal, Native)
_ANSWERED = frozenset(
    {"item", "native", "legacy", "instructions", "role", "type", "parameters", "id", "status", "index"}
    | {"reasoning", "reasoning_content", "reasoning_details", "thinking_blocks", "extra_content"}
    | {"document_url", "file_url", "video_url", "thoughtSignature", "citationsContent", "cohere_document"}
)
"""Members of `extra` that say no more than the part itself: marks of a reader, a second spelling, and what an
answer says of itself (ids, states, places), which clients send back with it."""


def told(written: Encoded, request: ChatRequest, wire: str, said: frozenset[str]) -> Encoded:
    """Return a call with the notices of what its conversation says beyond the format.

    Args:
        written: The call, with the notices of the codec.
        request: What it was written from.
        wire: The format it was written in; of a request in that format nothing is lost.
        said: Names of what the format can say, or its codec notes.
    """
    if request.wire in (wire, ""):
        return written
    found, turns = _Found(said, wire), turns_of(request.messages)
    if Message in map(type, turns):  # of plain turns nothing can be lost
        for turn in turns:
            if isinstance(turn, Message):
                found.message(turn)
    if request.tools:
        found.tools(request.tools)
    if request.thinking is not None:
        found.thinking(request.thinking)
    if request.output_format is not None and request.output_format.description:
        found.name("response_format.description")
    if not found.names and not found.has_thoughts:
        return written
    dropped = dict.fromkeys((*written.dropped, *found.names))
    warned = dict.fromkeys((*written.warnings, *((REASONING_DROPPED,) if found.has_thoughts else ())))
    return Encoded(written.http, tuple(dropped), tuple(warned))


class _Found:
    """Collects names, each once, in order."""

    __slots__ = ("_said", "_wire", "has_thoughts", "names")

    def __init__(self, said: frozenset[str], wire: str) -> None:
        self._said = said
        self._wire = wire
        self.names: dict[str, None] = {}
        self.has_thoughts = False

    def name(self, name: str) -> None:
        if name not in self._said:
            self.names[name] = None

    def message(self, message: Message) -> None:
        for part in message.parts:
            if not isinstance(part, Text) or part.extra:  # plain words are nearly all there is
                self.part(part)
        if message.name is not None:
            self.name("messages.name")
        if message.extra:
            self.members(message.extra)

    def tools(self, tools: Sequence[Tool | ServerTool]) -> None:
        if isinstance(tools, Declared) and not tools.has_extra:
            return
        for tool in tools:
            if isinstance(tool, Tool) and tool.extra:
                self.members(tool.extra)

    def members(self, extra: Mapping[str, Json]) -> None:
        for name, value in extra.items():
            if name == ITEM and isinstance(value, dict):
                self.members(value)
            elif name not in _ANSWERED and value not in (None, False, "", [], {}):
                self.name(name)

    def part(self, part: Part) -> None:
        if isinstance(part, ToolCall):
            if part.extra:
                self.members(part.extra)
            self.has_thoughts |= part.signature is not None and SIGNATURE not in self._said
        elif isinstance(part, ToolResult):
            self._result(part)
        elif isinstance(part, Reasoning):
            self.has_thoughts |= REASONING not in self._said and part.wire not in (self._wire, "")
        elif not isinstance(part, _PLAIN):
            if part.extra:
                self.members(part.extra)
            if isinstance(part, Media):
                self._media(part)

    def _result(self, part: ToolResult) -> None:
        if part.extra:
            self.members(part.extra)
        if part.is_error:
            self.name("tool_result.is_error")
        for each in part.content:
            if not isinstance(each, Text) or each.extra:
                self.part(each)

    def _media(self, part: Media) -> None:
        if part.detail not in (None, "auto"):
            self.name("image.detail")
        if part.name is not None:
            self.name("document.name")

    def thinking(self, asked: Thinking) -> None:
        if asked.summary is not None:
            self.name("thinking.summary")
        if asked.include is False or (asked.include and SHOWN not in self._said):
            self.name("thinking.include")
        for name, value in asked.extra.items():
            for key in value.keys() - THINKING if isinstance(value, Mapping) else ():
                self.name(f"{name}.{key}")
