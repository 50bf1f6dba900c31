"""The texts of a request, found and replaced. Floor 4."""

from collections.abc import Callable, Mapping

import msgspec

from turnout.engine.exchange import Request
from turnout.guards.base import Source
from turnout.types.chat import Media, Message, Native, Part, Text, ToolCall, ToolResult
from turnout.types.embed import EmbedRequest
from turnout.types.json import Json
from turnout.types.task import TEXTS, Form, FormPart, TaskRequest

Edit = Callable[[Source, str], str]
_SOURCES: dict[str, Source] = {
    "system": "system",
    "developer": "system",
    "assistant": "assistant",
    "tool": "tool",
}


def texts(request: Request) -> list[tuple[Source, str]]:
    """Return every text of a request once, with who wrote it, in its order."""
    found: dict[tuple[Source, str], None] = {}

    def note(source: Source, text: str) -> str:
        if text:
            found[source, text] = None
        return text

    edited(request, note)
    return list(found)


def system_of(request: Request) -> str:
    """Return the system prompt."""
    return "\n".join(text for source, text in texts(request) if source == "system")


def edited(request: Request, edit: Edit) -> Request:
    """Return a request with its texts as `edit` returns them; the same one where nothing changes."""
    if isinstance(request, EmbedRequest):
        given = request.input
        new = [edit("user", item) if isinstance(item, str) else item for item in given]
        same = all(a is b for a, b in zip(new, given, strict=True))
        return request if same else msgspec.structs.replace(request, input=new)
    if isinstance(request, TaskRequest):
        return _task(request, edit)
    messages = tuple(_message(message, edit) for message in request.messages)
    if all(a is b for a, b in zip(messages, request.messages, strict=True)):
        return request
    return msgspec.structs.replace(request, messages=messages)


def _task(request: TaskRequest, edit: Edit) -> TaskRequest:
    names = TEXTS[request.kind]
    if request.form is not None:
        parts = tuple(_field(part, edit) if part.name in names else part for part in request.form.parts)
        same = all(a is b for a, b in zip(parts, request.form.parts, strict=True))
        return request if same else msgspec.structs.replace(request, form=Form(request.form.boundary, parts))
    changed = {name: new for name in names if (new := _said(old := request.body.get(name), edit)) != old}
    return msgspec.structs.replace(request, body={**request.body, **changed}) if changed else request


def _field(part: FormPart, edit: Edit) -> FormPart:
    text = part.value.decode("utf-8", "replace")
    new = text if part.filename is not None else edit("user", text)
    return part if new == text else msgspec.structs.replace(part, value=new.encode())


def _said(value: Json, edit: Edit) -> Json:
    """Edit what a person wrote: a text, texts in a list, and what stands under `text`."""
    if isinstance(value, str):
        return edit("user", value)
    if isinstance(value, Mapping):
        return {key: _said(item, edit) if key == "text" else item for key, item in value.items()}
    return [_said(item, edit) for item in value] if isinstance(value, list | tuple) else value


def _message(message: Message, edit: Edit) -> Message:
    source = _SOURCES.get(message.role, "user")
    parts = tuple(_part(part, source, edit) for part in message.parts)
    same = all(a is b for a, b in zip(parts, message.parts, strict=True))
    return message if same else msgspec.structs.replace(message, parts=parts)


def _part(part: Part, source: Source, edit: Edit) -> Part:
    match part:
        case Text():
            text = edit(source, part.text)
            return part if text == part.text else msgspec.structs.replace(part, text=text)
        case Media() if part.text is not None:
            text = edit("document", part.text)
            return part if text == part.text else msgspec.structs.replace(part, text=text)
        case ToolCall():
            text = edit(source, part.arguments)
            return part if text == part.arguments else msgspec.structs.replace(part, arguments=text)
        case ToolResult():
            return _result(part, edit)
        case _:
            return part


def _result(part: ToolResult, edit: Edit) -> ToolResult:
    content = tuple(_inside(each, edit) for each in part.content)
    value = _json(part.value, edit)
    if value == part.value and all(a is b for a, b in zip(content, part.content, strict=True)):
        return part
    return msgspec.structs.replace(part, content=content, value=value)


def _inside(part: Text | Media | Native, edit: Edit) -> Text | Media | Native:
    found = _part(part, "tool", edit)
    assert isinstance(found, Text | Media | Native)
    return found


def _json(value: Json, edit: Edit) -> Json:
    if isinstance(value, str):
        return edit("tool", value)
    if isinstance(value, Mapping):
        return {key: _json(item, edit) for key, item in value.items()}
    return [_json(item, edit) for item in value] if isinstance(value, list | tuple) else value
