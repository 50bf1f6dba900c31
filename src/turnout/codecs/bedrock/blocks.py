"""Converse blocks read as parts, of requests and answers. Floor 2.

A block this file does not know, or a known one in an unknown shape, becomes `Native`: kept whole and
written back to this format alone.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from turnout.codecs.bedrock.wire import MIMES, WIRE, write
from turnout.codecs.failures import as_object, text_in
from turnout.types.chat import Media, MediaKind, Native, Part, Reasoning, Text, ToolCall, ToolResult
from turnout.types.json import Json, JsonObject

CITED = "citationsContent"
GUARDED = "guardContent"
SEARCHED = "searchResult"
MARK = "cache_control"
"""The mark under which all formats know a cache breakpoint: member of the `extra` of the part before it."""
POINT: JsonObject = {"cachePoint": {"type": "default"}}
_EPHEMERAL: JsonObject = {"type": "ephemeral"}
_KINDS: Mapping[str, MediaKind] = {"image": "image", "document": "document", "video": "video"}
_KNOWN = frozenset({"format", "name", "source"})


def read_blocks(content: Json) -> tuple[Part, ...]:
    """Read the content of a turn."""
    parts: list[Part] = []
    for block in content if isinstance(content, list) else ():
        last = parts[-1] if parts else None
        if (
            block == POINT
            and isinstance(last, Text | Media | ToolCall | ToolResult)
            and MARK not in last.extra
        ):
            parts[-1] = replace(last, extra={**last.extra, MARK: _EPHEMERAL})
        elif isinstance(block, dict):
            parts.append(read_block(block))
    return tuple(parts)


def read_block(block: JsonObject) -> Part:
    """Read one block: an object with one member that names its kind."""
    if len(block) != 1:
        return Native(WIRE, block)
    kind, value = next(iter(block.items()))
    if kind == "text" and isinstance(value, str):
        return Text(value)
    if not isinstance(value, dict):
        return Native(WIRE, block)
    match kind:
        case "image" | "document" | "video":
            return _media(_KINDS[kind], value) or Native(WIRE, block)
        case "toolUse" if "type" not in value:
            return read_call(value)
        case "toolResult" if "type" not in value:
            return _result(value)
        case "reasoningContent":
            return _reasoning(value) or Native(WIRE, block)
        case "citationsContent" | "searchResult" | "guardContent":
            return _worded(kind, value) or Native(WIRE, block)
        case _:
            return Native(WIRE, block)


def read_call(value: JsonObject) -> ToolCall:
    """Read a call; no input is `{}`."""
    given = value.get("input")
    return ToolCall(
        id=text_in(value, "toolUseId"),
        name=text_in(value, "name"),
        arguments=write({} if given is None else given).decode(),
    )


def annotations_of(citations: Json) -> list[Json]:
    """Return those citations that have an address, in the form OpenAI clients read."""
    notes: list[Json] = []
    for each in citations if isinstance(citations, list) else ():
        if not isinstance(each, dict):
            continue
        web = as_object(as_object(each.get("location")).get("web"))
        url = text_in(web, "url") or text_in(each, "source")
        if url:
            said: JsonObject = {"title": text_in(each, "title") or text_in(web, "domain"), "url": url}
            notes.append({"type": "url_citation", "url_citation": said})
    return notes


def cited_words(value: Json) -> str:
    """Return the words of cited content; a layer may have changed those of the part that was read from it."""
    content = as_object(value).get("content")
    blocks = content if isinstance(content, list) else []
    return "".join([text_in(each, "text") for each in blocks if isinstance(each, dict)])


def found_words(value: Json) -> str:
    """Return what a result of the client's own search says, with where it was found."""
    tree, words = as_object(value), cited_words(value)
    head = "\n".join([each for each in (text_in(tree, "title"), text_in(tree, "source")) if each])
    return "\n\n".join([head, words] if head else [words]) if words else ""


def rebuilt(value: Json, text: str) -> JsonObject:
    """Return guarded content around these words: a layer may have changed them since they were read."""
    tree = as_object(value)
    return {**tree, "text": {**as_object(tree.get("text")), "text": text}}


def _worded(kind: str, value: JsonObject) -> Text | None:
    """Read a block that is words and something about them; None where there are no words."""
    if kind == CITED:
        return _cited(value)
    words = found_words(value) if kind == SEARCHED else text_in(as_object(value.get("text")), "text")
    return Text(words, {kind: value}) if words else None


def _cited(value: JsonObject) -> Text:
    notes = annotations_of(value.get("citations"))
    return Text(cited_words(value), {CITED: value, "annotations": notes} if notes else {CITED: value})


def _media(kind: MediaKind, value: JsonObject) -> Media | None:
    source = value.get("source")
    if not isinstance(source, dict) or len(source) != 1:
        return None
    mime = MIMES.get(text_in(value, "format"), text_in(value, "format") or None)
    name = text_in(value, "name") or None
    extra = {key: each for key, each in value.items() if key not in _KNOWN}
    how, what = next(iter(source.items()))
    if how == "bytes" and isinstance(what, str):
        return Media(kind=kind, mime=mime, data=what, name=name, extra=extra)
    if how == "text" and isinstance(what, str):
        return Media(kind=kind, mime=mime, text=what, name=name, extra=extra)
    return None


def _result(value: JsonObject) -> ToolResult:
    content = value.get("content")
    blocks = content if isinstance(content, list) else []
    extra = {"status": "success"} if value.get("status") == "success" else {}
    call_id, is_error = text_in(value, "toolUseId"), value.get("status") == "error"
    if len(blocks) == 1 and isinstance(blocks[0], dict) and blocks[0].get("json") is not None:
        return ToolResult(call_id=call_id, is_error=is_error, value=blocks[0]["json"], extra=extra)
    parts = read_blocks(blocks)
    kept = tuple(part for part in parts if isinstance(part, Text | Media | Native))
    return ToolResult(call_id=call_id, is_error=is_error, content=kept, extra=extra)


def _reasoning(value: JsonObject) -> Reasoning | None:
    redacted, said = value.get("redactedContent"), value.get("reasoningText")
    if isinstance(redacted, str):
        return Reasoning(redacted=redacted, wire=WIRE)
    if not isinstance(said, dict) or not isinstance(said.get("text"), str):
        return None
    return Reasoning(text=text_in(said, "text"), signature=text_in(said, "signature") or None, wire=WIRE)
