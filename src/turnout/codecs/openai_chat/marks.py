"""Cache marks of other formats, for hosts of this one that pass them on. Floor 2.

OpenAI itself caches without being told. Hosts with Claude behind them take Anthropic's mark where Anthropic
has it: on a part of text, also in an answer of a tool, and on a tool (`Quirks.cache_marks`; OpenRouter,
"Prompt caching", and recorded requests). A text with a mark is written as a part: a plain one has no room.
"""

from collections.abc import Mapping

from turnout.codecs.openai_chat.turns import Turns
from turnout.types.chat import NOTHING, Media, Message, Text, Tool, ToolCall, ToolResult
from turnout.types.json import Json

MARK = "cache_control"


class MarkedTurns(Turns):
    """Writes the turns of a request from another format, with its marks."""

    def add(self, turn: Message) -> None:
        """Write one turn."""
        super().add(turn)
        texts = [part for part in turn.parts if isinstance(part, Text)]
        if any(MARK in part.extra for part in texts):
            self._mark_words(self.messages[-1], texts)
        if any(isinstance(part, Media | ToolCall) and MARK in part.extra for part in turn.parts):
            self.dropped[MARK] = None  # only words can be marked

    def _result(self, call_id: str, result: ToolResult, turn: Message) -> list[Json]:
        leftover = super()._result(call_id, result, turn)
        inner = (part.extra[MARK] for part in result.content if isinstance(part, Text) and MARK in part.extra)
        mark, message = result.extra.get(MARK, next(inner, None)), self.messages[-1]
        if mark is not None and isinstance(message, dict):
            message["content"] = [{"type": "text", "text": message["content"], MARK: mark}]
        return leftover

    def _mark_words(self, message: Json, texts: list[Text]) -> None:
        assert isinstance(message, dict)
        content = message["content"]
        written = content if isinstance(content, list) else [_part(part) for part in texts]
        _mark(written, [part for part in texts if MARK in part.extra])
        message["content"] = written


def mark_of(tool: Tool) -> Mapping[str, Json]:
    """Return the mark of a tool, as a member of what is written of it."""
    mark = tool.extra.get(MARK)
    return NOTHING if mark is None else {MARK: mark}


def _part(part: Text) -> dict[str, Json]:
    return {"type": "text", "text": part.text}


def _mark(content: list[Json], texts: list[Text]) -> None:
    """Mark for each text the first part of its words that has no mark yet."""
    marks: dict[str, list[Json]] = {}
    for text in reversed(texts):
        marks.setdefault(text.text, []).append(text.extra[MARK])
    for part in content:
        if not isinstance(part, dict) or MARK in part:
            continue
        words = part.get("text")
        left = marks.get(words) if isinstance(words, str) else None
        if left:
            part[MARK] = left.pop()
