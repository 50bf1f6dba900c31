"""A conversation of any origin written as Converse turns. Floor 2.

Theory of operation. The API has two roles that must alternate, and refuses blank texts.

1. Leading system and developer messages become `system`; later ones are folded into it with a warning.
2. A tool's answer is a block of a user turn. Neighbours of one role are joined, unless the request came in
   this format: then its turns stand as they were sent.
3. A call and its answers get the same id, one of the accepted alphabet; those without ids are matched by
   order.
4. Reasoning goes only to the provider that signed it. A cache mark (`cache_control`) becomes a `cachePoint`
   behind its block, as it was read from one.
"""

import re

from msgspec import Raw

from turnout.codecs.bedrock.blocks import (
    CITED,
    GUARDED,
    MARK,
    POINT,
    SEARCHED,
    cited_words,
    found_words,
    rebuilt,
)
from turnout.codecs.bedrock.wire import FORMATS, WIRE, read, tool_id
from turnout.codecs.notes import ARGUMENTS_WRAPPED, NATIVE_DROPPED, REASONING_DROPPED, SYSTEM_FOLDED, Notes
from turnout.codecs.plain import Answered, Called, Words, turns_of
from turnout.codecs.waiting import Waiting
from turnout.errors import InvalidRequest, UnsupportedParameter
from turnout.types.chat import (
    ChatRequest,
    Media,
    Message,
    Native,
    Part,
    Reasoning,
    Refusal,
    Role,
    Text,
    ToolCall,
    ToolResult,
)
from turnout.types.json import JsonObject

Block = dict[str, object]
_NAME = re.compile(r"[^a-zA-Z0-9\s\-()\[\]]+")
"""What a document's name may not hold."""
_MAGIC = (("/9j/", "jpeg"), ("iVBOR", "png"), ("R0lG", "gif"), ("UklG", "webp"))
_BUCKET = "s3://"


class Turns:
    """The conversation as the API takes it."""

    def __init__(self, request: ChatRequest, notes: Notes) -> None:
        self._native = request.wire == WIRE
        self._notes = notes
        self._sent: dict[str, str] = {}
        self._open = Waiting()
        self._n_documents = 0
        self.system: list[Block] = []
        self.messages: list[Block] = []
        self._last: tuple[str, list[Block]] = ("", [])
        self._is_joined = False
        """The last turn is made of several, in any order."""
        for turn in request.messages if self._native else turns_of(request.messages):
            if isinstance(turn, Message):
                self._add(turn)
            else:
                self._plain(turn)
        self._order()
        if not self.messages and self.system:
            notes.warn("system_as_user")
            self.messages, self.system = [{"role": "user", "content": self.system}], []
        if not self.messages:
            raise InvalidRequest("messages hold nothing that can be answered", param="messages")

    @property
    def calls(self) -> list[str]:
        """Names of the tools that were called."""
        names: dict[str, None] = {}
        for turn in self.messages:
            content = turn["content"]
            for block in content if isinstance(content, list) else ():
                if isinstance(use := block.get("toolUse"), dict):
                    names[str(use.get("name"))] = None
        return list(names)

    def _add(self, message: Message) -> None:
        if message.name is not None:
            self._notes.drop("messages.name")
        self._put(message.role, [block for part in message.parts for block in self._blocks(part)])

    def _plain(self, turn: Words | Called | Answered) -> None:
        """Write a turn of another format of which nothing can be lost."""
        blocks: list[Block] = [{"text": turn.text}] if turn.text and not turn.text.isspace() else []
        if isinstance(turn, Called):
            blocks += [{"toolUse": self._call(call)} for call in turn.calls]
        elif isinstance(turn, Answered):
            said = blocks if blocks or turn.value is None else [{"json": turn.value}]
            out: Block = {"toolUseId": self._answered(turn.call_id, turn.name), "content": said}
            blocks = [{"toolResult": out}]
            if turn.words and not turn.words.isspace():
                blocks.append({"text": turn.words})
        self._put(turn.role, blocks)

    def _put(self, role: Role, blocks: list[Block]) -> None:
        if role == "system" or role == "developer":  # noqa: PLR1714  # no set for every turn
            if self.messages:
                self._notes.warn(SYSTEM_FOLDED)
            self.system += blocks
            return
        if role != "assistant":
            role = "user"
        if role == self._last[0] and not self._native:
            self._last[1].extend(blocks)
            self._is_joined = True
        elif blocks or self._native:
            if self._is_joined:
                self._order()
            self._last = (role, blocks)
            self.messages.append({"role": role, "content": blocks})

    def _order(self) -> None:
        """Put the last turn in order, once it is whole."""
        if self._is_joined:
            self._last[1][:] = _results_first(self._last[1])
            self._is_joined = False

    def _blocks(self, part: Part) -> list[Block]:
        block = self._block(part)
        if block is None:
            return []
        mark = _mark(part)
        if mark is None:
            return [block]
        if mark.get("ttl") not in (None, "5m"):
            self._notes.drop("cache_control.ttl")
        return [block, dict(POINT)]

    def _block(self, part: Part) -> Block | None:
        match part:
            case Text() if part.extra and self._native:
                return _own(part)
            case Text() | Refusal():
                return {"text": part.text} if self._native or part.text.strip() else None
            case Media():
                return self._media(part)
            case ToolCall():
                return {"toolUse": self._call(part)}
            case ToolResult():
                return {"toolResult": self._result(part)}
            case Reasoning() if part.wire == WIRE:
                return {"reasoningContent": _reasoning(part)}
            case Native() if part.wire == WIRE:
                return dict(part.value)
            case Reasoning():
                self._notes.warn(REASONING_DROPPED)
            case _:
                self._notes.warn(NATIVE_DROPPED)
        return None

    def _media(self, media: Media) -> Block:
        if media.kind == "audio" or media.file_id is not None:
            raise UnsupportedParameter(f"this format takes no such {media.kind}", param="messages")
        own = {key: value for key, value in media.extra.items() if key != MARK} if self._native else {}
        source: Block
        if media.url is not None:
            if not media.url.startswith(_BUCKET):
                raise UnsupportedParameter(
                    f"this format takes no {media.kind} by address; send its content", param="messages"
                )
            source = {"s3Location": {"uri": media.url}}
        elif media.text is not None:
            source = {"text": media.text}
        else:
            source = {"bytes": media.data or ""}
        block: Block = {"format": _format(media), **own, "source": source}
        if media.kind == "document":
            block["name"] = media.name if self._native and media.name else self._name(media.name)
        return {media.kind: block}

    def _name(self, given: str | None) -> str:
        self._n_documents += 1
        good = " ".join(_NAME.sub(" ", given or "").split())[:200]
        return good or f"document {self._n_documents}"

    def _call(self, call: ToolCall) -> Block:
        text = call.arguments.strip()
        given: object = {}
        if call.kind == "custom":
            given = {"input": call.arguments}
        elif _is_object(text):
            given = Raw(text.encode())
        elif text:
            self._notes.warn(ARGUMENTS_WRAPPED)
            given = {"arguments": call.arguments}
        sent = tool_id(call.id or f"{call.name}/{len(self._sent)}/{len(self._open)}")
        if call.id:
            self._sent[call.id] = sent
        else:
            self._open.add(call.name, sent)
        return {"toolUseId": sent, "name": call.name, "input": given}

    def _result(self, result: ToolResult) -> Block:
        blocks = [block for block in map(self._block, result.content) if block is not None]
        if result.value is not None and not blocks:
            blocks = [{"json": result.value}]
        out: Block = {"toolUseId": self._answered(result.call_id, result.name), "content": blocks}
        if result.is_error:
            out["status"] = "error"
        elif self._native and "status" in result.extra:
            out["status"] = result.extra["status"]
        return out

    def _answered(self, call_id: str, name: str | None) -> str:
        if call_id:
            return self._sent.get(call_id) or tool_id(call_id)
        waits = self._open
        return (waits.oldest() if name is None else waits.of_tool(name)) or tool_id(f"/{name}")


def _own(part: Text) -> Block:
    """Return the block a text was read from; a layer may have changed its words since."""
    cited, found = part.extra.get(CITED), part.extra.get(SEARCHED)
    if cited is not None and cited_words(cited) == part.text:
        return {CITED: cited}
    if found is not None and found_words(found) == part.text:
        return {SEARCHED: found}
    if GUARDED in part.extra:
        return {GUARDED: rebuilt(part.extra[GUARDED], part.text)}
    return {"text": part.text}


def _mark(part: Part) -> JsonObject | None:
    """Return the cache mark of a part; one inside a tool's answer stands for the whole answer here."""
    if not isinstance(part, Text | Media | ToolCall | ToolResult):
        return None
    mark = part.extra.get(MARK)
    if isinstance(mark, dict):
        return mark
    inner = part.content if isinstance(part, ToolResult) else ()
    return next((found for each in inner if (found := _mark(each)) is not None), None)


def _reasoning(part: Reasoning) -> Block:
    if part.redacted is not None:
        return {"redactedContent": part.redacted}
    said: Block = {"text": part.text}
    if part.signature is not None:
        said["signature"] = part.signature
    return {"reasoningText": said}


def _format(media: Media) -> str:
    mime = media.mime
    if mime is None and media.kind == "image":
        return next((word for start, word in _MAGIC if (media.data or "").startswith(start)), "png")
    known = FORMATS.get(mime or ("text/plain" if media.text is not None else "application/pdf"))
    if known is None and mime is not None and "/" in mime:
        raise UnsupportedParameter(f"this format takes no {media.kind} of type {mime}", param="messages")
    return known or mime or "txt"


def _is_object(text: str) -> bool:
    try:
        return isinstance(read(text), dict)
    except (ValueError, RecursionError):
        return False


def _results_first(blocks: list[Block]) -> list[Block]:
    """Return blocks with the answers of tools in front, each with the cache point behind it."""
    results: list[Block] = []
    others: list[Block] = []
    into = others
    for block in blocks:
        if block != POINT:
            into = results if "toolResult" in block else others
        into.append(block)
    return results + others
