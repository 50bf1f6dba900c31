"""A conversation of any origin written as Cohere messages. Floor 2."""

import base64
import binascii
from collections.abc import Sequence

from turnout.codecs.cohere.wire import DOCUMENT, PLAN, WIRE, words_of, write
from turnout.codecs.failures import as_object
from turnout.codecs.notes import NATIVE_DROPPED, REASONING_DROPPED, Notes
from turnout.codecs.plain import Answered, Called, Words, turns_of
from turnout.codecs.waiting import Waiting
from turnout.errors import InvalidMedia, UnsupportedParameter
from turnout.types.chat import (
    ChatRequest,
    Media,
    Message,
    Native,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from turnout.types.json import Json, JsonObject

_TEXTS = ("text/", "application/json", "application/xml", "application/yaml")


class Turns:
    """The conversation as the API takes it: messages, and documents that stand beside them."""

    def __init__(self, request: ChatRequest, notes: Notes) -> None:
        self._native = request.wire in {WIRE, ""}
        self._notes = notes
        self._n_calls = 0
        self._nameless = Waiting()
        """(tool, made id) of calls that came without an id and wait for their answer."""
        self.messages: list[Json] = []
        self.documents: list[Json] = []
        for turn in request.messages if self._native else turns_of(request.messages):
            if isinstance(turn, Message):
                self._add(turn)
            else:
                self._plain(turn)

    def _plain(self, turn: Words | Called | Answered) -> None:
        """Write a turn of another format of which nothing can be lost."""
        if isinstance(turn, Words):
            role = "system" if turn.role == "developer" else turn.role
            self.messages.append({"role": role, "content": turn.text})
        elif isinstance(turn, Called):
            said: dict[str, Json] = {"content": turn.text} if turn.text else {}
            calls = [self._call(call) for call in turn.calls]
            self.messages.append({"role": "assistant", **said, "tool_calls": calls})
        else:
            call_id = self._answered(turn.call_id, turn.name)
            self.messages.append({"role": "tool", "tool_call_id": call_id, "content": turn.text})
            if turn.words:
                self.messages.append({"role": "user", "content": turn.words})

    def _add(self, message: Message) -> None:
        if message.name is not None:
            self._notes.drop("messages.name")
        own = message.extra if self._native else {}
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        for result in results:
            self.messages.append({"role": "tool", **self._result(result), **own})
        # A tool's answer holds words only: what it shows stands behind the answers, in a turn of the user.
        shown = [part for result in results for part in result.content if isinstance(part, Media)]
        rest = [*shown, *(part for part in message.parts if not isinstance(part, ToolResult))]
        if not rest and results:
            return
        role = {"developer": "system", "tool": "user"}.get(message.role, message.role)
        if role == "assistant":
            self.messages.append({"role": role, **self._assistant(rest), **own})
        else:
            self.messages.append({"role": role, "content": _short(self._content(rest)), **own})

    def _assistant(self, parts: Sequence[Part]) -> JsonObject:
        turn: dict[str, Json] = {}
        plan = "".join(part.text for part in parts if isinstance(part, Reasoning) and part.id == PLAN)
        calls = [self._call(part) for part in parts if isinstance(part, ToolCall)]
        content = self._content([part for part in parts if not isinstance(part, ToolCall)])
        if content or not calls:
            turn["content"] = _short(content)
        if plan and calls:
            turn["tool_plan"] = plan
        if calls:
            turn["tool_calls"] = calls
        return turn

    def _content(self, parts: Sequence[Part]) -> list[JsonObject]:
        return [block for block in map(self._block, parts) if block is not None]

    def _block(self, part: Part) -> JsonObject | None:
        match part:
            case Text() if self._native and DOCUMENT in part.extra:
                return _document_block(part)
            case Text():
                return {"type": "text", "text": part.text, **(part.extra if self._native else {})}
            case Refusal():
                return {"type": "text", "text": part.text}
            case Media():
                return self._media(part)
            case Reasoning() if part.id == PLAN:
                return None
            case Reasoning() if part.wire == WIRE:
                return {"type": "thinking", "thinking": part.text, **part.extra}
            case Reasoning():
                self._notes.warn(REASONING_DROPPED)
                return None
            case Native() if part.wire == WIRE:
                return part.value
            case _:
                self._notes.warn(NATIVE_DROPPED)
                return None

    def _media(self, media: Media) -> JsonObject | None:
        if self._native and DOCUMENT in media.extra:
            self.documents.append(_beside(media))
            return None
        if media.kind == "image" and media.file_id is None:
            url = media.url or f"data:{media.mime or 'image/png'};base64,{media.data or ''}"
            detail = {"detail": media.detail} if media.detail is not None else {}
            return {"type": "image_url", "image_url": {"url": url, **detail}}
        if media.kind != "document" or media.file_id is not None or media.url is not None:
            raise UnsupportedParameter(f"this format takes no such {media.kind}", param="messages")
        data: dict[str, Json] = {"text": _text_of(media)}
        if media.name is not None:
            data["title"] = media.name
        self.documents.append({"id": f"doc:{len(self.documents)}", "data": data})
        return None

    def _result(self, result: ToolResult) -> JsonObject:
        content: list[JsonObject] = []
        for part in result.content:
            if isinstance(part, Text):
                block = self._block(part)
                content += [] if block is None else [block]
            elif isinstance(part, Native) and part.wire == WIRE:
                content.append(part.value)
            elif isinstance(part, Native):
                self._notes.warn(NATIVE_DROPPED)
        call_id = self._answered(result.call_id, result.name)
        if not content and result.value is not None:
            return {"tool_call_id": call_id, "content": write(result.value).decode()}
        return {"tool_call_id": call_id, "content": _short(content)}

    def _call(self, call: ToolCall) -> JsonObject:
        call_id = call.id or f"call_{self._n_calls}"
        self._n_calls += 1
        if not call.id:
            self._nameless.add(call.name, call_id)
        function: JsonObject = {"name": call.name, "arguments": call.arguments or "{}"}
        return {"id": call_id, "type": "function", "function": function}

    def _answered(self, call_id: str, name: str | None) -> str:
        """Return the id of the call a result answers: its own, or the oldest open call of its tool."""
        if call_id or not self._nameless:
            return call_id
        named = None if name is None else self._nameless.of_tool(name)
        return named or self._nameless.oldest() or ""


def _document_block(part: Text) -> JsonObject:
    """Return the document a text was read from; around other words, if a layer changed them since."""
    own = part.extra[DOCUMENT]
    if isinstance(own, dict) and words_of(as_object(own.get("document")).get("data")) == part.text:
        return own
    return {"type": "document", "document": {"data": part.text}}


def _beside(media: Media) -> Json:
    """Likewise, of one that stands beside the messages."""
    own = media.extra[DOCUMENT]
    if own == media.text or as_object(as_object(own).get("data")).get("text") == media.text:
        return own
    data: dict[str, Json] = {"text": media.text}
    if media.name is not None:
        data["title"] = media.name
    return {**{key: value for key, value in as_object(own).items() if key == "id"}, "data": data}


def _short(blocks: list[JsonObject]) -> Json:
    """Return one plain text as a string, and anything else as blocks."""
    if not blocks:
        return ""
    if len(blocks) == 1 and len(blocks[0]) == 2 and blocks[0].get("type") == "text":
        return blocks[0]["text"]
    return blocks


def _text_of(media: Media) -> str:
    if media.text is not None:
        return media.text
    if not (media.mime or "").startswith(_TEXTS):
        raise UnsupportedParameter(f"this format takes no documents of type {media.mime}", param="messages")
    try:
        return base64.b64decode(media.data or "", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise InvalidMedia("a text document is not valid base64 of UTF-8 text", param="messages") from error
