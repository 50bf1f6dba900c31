"""Content blocks of the Anthropic format read as parts. Floor 2.

Blocks are read after `scan` (requests) or from an upstream's own JSON (answers). A block this file does
not know, or a known one in an unknown shape, becomes `Native`: kept whole and re-emitted to this format.
"""

from collections.abc import Callable, Mapping

from turnout.codecs.anthropic.wire import WIRE, is_sealed, read, string, unsealed, without, write
from turnout.codecs.plain import Answered, Called, Turn, Words
from turnout.types.chat import (
    NOTHING,
    Media,
    MediaKind,
    Message,
    Native,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
)
from turnout.types.json import Json, JsonObject

SEARCHED = "search_result"
"""Member of the `extra` of a text that was read from such a block: the block as it came."""
_TEXT = frozenset({"type", "text"})
_MEDIA = frozenset({"type", "source"})
_DOCUMENT = frozenset({"type", "source", "title"})
_CALL = frozenset({"type", "id", "name", "input"})
_RESULT = frozenset({"type", "tool_use_id", "content", "is_error"})
_RESULTS = (Text, Media, Native)
_THINKING = frozenset({"type", "thinking", "signature"})
_REDACTED = frozenset({"type", "data"})

IN_PLACE: Mapping[str, Json] = {"role": "system"}
"""Mark in `Message.extra` of a system turn that stands inside `messages` and not in `system`."""


def read_turns(body: JsonObject) -> list[Turn]:
    """Read `system` and `messages` of a request that `scan` has found well-formed."""
    system, turns = body.get("system"), body.get("messages")
    found: list[Turn] = []
    if system:
        words = _only_text(system)
        found.append(Message("system", read_content(system)) if words is None else Words("system", words))
    for turn in turns if isinstance(turns, list) else ():
        if not isinstance(turn, dict):
            continue
        role, content = turn.get("role"), turn.get("content")
        if role == "assistant":
            found.append(_said(content) or Message("assistant", read_content(content)))
        elif role == "system":
            found.append(Message("system", read_content(content), extra=IN_PLACE))
        else:
            found.append(_told(content) or Message("user", read_content(content)))
    return found


def _said(content: Json) -> Words | Called | None:
    """Read what the model said, if it is one text, calls or both; None = it is more."""
    if not isinstance(content, list):
        return Words("assistant", content) if isinstance(content, str) else None
    text, calls = "", []
    for block in content:
        if not isinstance(block, dict):
            return None
        kind, words = block.get("type"), block.get("text")
        if kind == "tool_use" and _CALL.issuperset(block):
            calls.append(_call(block))
        elif kind == "text" and words and isinstance(words, str) and len(block) == 2 and not (text or calls):
            text = words
        else:
            return None
    return Called(text, calls) if calls else Words("assistant", text) if text else None


def _told(content: Json) -> Words | Answered | None:
    """Read what the model was told, if it is one text or the answer of one tool; None = it is more."""
    if isinstance(content, str):
        return Words("user", content)
    first = content[0] if isinstance(content, list) and content else None
    if not isinstance(first, dict) or first.get("type") != "tool_result":
        text = _only_text(content)
        return None if text is None else Words("user", text)
    assert isinstance(content, list)
    answer, call_id, words = first.get("content"), first.get("tool_use_id"), ""
    if not isinstance(answer, str):
        answer = _only_text(answer)
    if len(content) > 1 and not (words := _only_text(content[1:]) or ""):
        return None
    if answer is None or not _RESULT.issuperset(first) or first.get("is_error") is True:
        return None
    return Answered("user", call_id, answer, None, words) if isinstance(call_id, str) else None


def _only_text(content: Json) -> str | None:
    """Return the words of content that is nothing but one text; None = it is more."""
    if isinstance(content, list) and len(content) == 1:
        only = content[0]
        if not isinstance(only, dict) or len(only) > 2 or only.get("type") != "text":
            return None
        content = only.get("text")
    return content if isinstance(content, str) else None


def read_content(content: Json) -> tuple[Part, ...]:
    """Read a text or a list of blocks."""
    if isinstance(content, str):
        return (Text(content),)
    if not isinstance(content, list):
        return ()
    return tuple([read_block(block) for block in content if isinstance(block, dict)])


def read_block(block: JsonObject) -> Part:
    """Read one block."""
    kind = block.get("type")
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    return _native(block) if reader is None else reader(block)


def arguments_of(given: Json) -> str:
    """Return the input of a call as compact JSON text; none = `{}`."""
    return write(given).decode() if isinstance(given, dict) else "{}"


def _native(block: JsonObject) -> Native:
    return Native(WIRE, block)


def _text(block: JsonObject) -> Part:
    return Text(string(block, "text"), without(block, _TEXT) if len(block) > 2 else NOTHING)


def _call(block: JsonObject) -> ToolCall:
    call_id, name, given = block.get("id"), block.get("name"), block.get("input")
    return ToolCall(
        id=call_id if isinstance(call_id, str) else "",
        name=name if isinstance(name, str) else "",
        arguments=write(given).decode() if isinstance(given, dict) else "{}",
        extra=NOTHING if _CALL.issuperset(block) else without(block, _CALL),
    )


def _result(block: JsonObject) -> Part:
    given = block.get("content")
    extra = NOTHING if _RESULT.issuperset(block) else without(block, _RESULT)
    content: tuple[Text | Media | Native, ...]
    if isinstance(given, str):
        content = (Text(given),)
    else:
        content = tuple([part for part in read_content(given) if isinstance(part, _RESULTS)])
    failed = block.get("is_error") is True
    return ToolResult(call_id=string(block, "tool_use_id"), content=content, is_error=failed, extra=extra)


def _thinking(block: JsonObject) -> Part:
    text, signature = string(block, "thinking"), string(block, "signature")
    if is_sealed(signature):
        return unsealed(text, signature)
    return Reasoning(text=text, signature=signature, wire=WIRE, extra=without(block, _THINKING))


def _redacted(block: JsonObject) -> Part:
    return Reasoning(redacted=string(block, "data"), wire=WIRE, extra=without(block, _REDACTED))


def _image(block: JsonObject) -> Part:
    return _media("image", block, without(block, _MEDIA), None)


def _found(block: JsonObject) -> Part:
    words = found_words(block)
    return Text(words, {SEARCHED: block}) if words else _native(block)


def found_words(block: Json) -> str:
    """Return what a result of the client's own search says, with where it was found."""
    if not isinstance(block, dict):
        return ""
    texts = [part.text for part in read_content(block.get("content")) if isinstance(part, Text)]
    head = [each for each in (string(block, "title"), string(block, "source")) if each]
    return "\n\n".join(["\n".join(head), *texts] if head else texts) if texts else ""


def _document(block: JsonObject) -> Part:
    title = block.get("title")
    return _media("document", block, without(block, _DOCUMENT), title if isinstance(title, str) else None)


def _media(kind: MediaKind, block: JsonObject, extra: dict[str, Json], name: str | None) -> Part:
    source = block.get("source")
    if not isinstance(source, dict):
        return _native(block)
    mime = string(source, "media_type") or None
    match source.get("type"):
        case "base64":
            return Media(kind=kind, mime=mime, data=string(source, "data"), name=name, extra=extra)
        case "url":
            return Media(kind=kind, url=string(source, "url"), name=name, extra=extra)
        case "file":
            return Media(kind=kind, file_id=string(source, "file_id"), name=name, extra=extra)
        case "text":
            return Media(kind=kind, mime=mime, text=string(source, "data"), name=name, extra=extra)
        case "content":
            parts = read_content(source.get("content"))
            words = [part.text for part in parts if isinstance(part, Text)]
            if len(words) == len(parts):
                extra["source"] = source
                return Media(kind=kind, mime="text/plain", text="\n".join(words), name=name, extra=extra)
    return _native(block)


_READERS: Mapping[str, Callable[[JsonObject], Part]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "search_result": _found,
    "tool_use": _call,
    "tool_result": _result,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
}


def object_of(text: str) -> bool:
    """Tell whether a text is one JSON object."""
    if text[:1] != "{" and text.lstrip()[:1] != "{":
        return False
    try:
        return isinstance(read(text), dict)
    except (ValueError, RecursionError):
        return False
