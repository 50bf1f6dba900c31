"""Content parts of messages and tool results: words, pictures, documents, both directions. Floor 2.

Citations are kept in the form of chat completions, where an address lies in an object of its own, so that
clients of either format read them; here they are made flat again.
"""

from collections.abc import Iterable, Mapping

from turnout.codecs.citations import annotations_of
from turnout.codecs.openai_responses.wire import WIRE, objects, text_of, without
from turnout.errors import UnsupportedParameter
from turnout.types.chat import NOTHING, Media, MediaKind, Native, Refusal, Text
from turnout.types.json import Json, JsonObject

WORDS = frozenset({"input_text", "output_text", "text"})
MEDIA: Mapping[str, MediaKind] = {"input_image": "image", "input_file": "document", "input_audio": "audio"}
"""Part type -> medium."""
TEXT_KNOWN = frozenset({"type", "text", "annotations", "logprobs"})
_IMAGE_KNOWN = frozenset({"type", "image_url", "file_id", "detail"})
_FILE_KNOWN = frozenset({"type", "file_data", "file_url", "file_id", "filename"})
_CITATION = "url_citation"


def read_part(raw: JsonObject) -> Text | Media | Refusal | Native:
    """Read one content part; what only this format knows stays as it is."""
    match raw:
        case {"type": "input_text" | "output_text" | "text", "text": str() as text}:
            return Text(text, _text_extra(raw))
        case {"type": "refusal", "refusal": str() as text}:
            return Refusal(text)
        case {"type": "input_image", "image_url": str() as url}:
            return _media("image", url, raw, _IMAGE_KNOWN)
        case {"type": "input_image", "file_id": str() as file_id}:
            extra = without(raw, _IMAGE_KNOWN) or NOTHING
            return Media(kind="image", file_id=file_id, detail=_detail(raw), extra=extra)
        case {"type": "input_file", "file_data": str() as data}:
            return _media("document", data, raw, _FILE_KNOWN)
        case {"type": "input_file", "file_url": str() as url}:
            return _media("document", url, raw, _FILE_KNOWN)
        case {"type": "input_file", "file_id": str() as file_id}:
            extra = without(raw, _FILE_KNOWN) or NOTHING
            return Media(kind="document", file_id=file_id, name=_name(raw), extra=extra)
        case _:
            return Native(WIRE, raw)


def write_part(part: Text | Media | Refusal, *, same: bool, said: bool) -> dict[str, Json]:
    """Write one content part.

    Args:
        part: What to say.
        same: Whether the request came in this format, so that `extra` fields are known here.
        said: Whether the model said it (`output_text`) or it was told (`input_text`).
    """
    match part:
        case Text() if said:
            return write_text(part, same=same)
        case Text():
            return {"type": "input_text", "text": part.text, **(_plain(part.extra) if same else NOTHING)}
        case Refusal() if said:
            return {"type": "refusal", "refusal": part.text}
        case Refusal():
            return {"type": "input_text", "text": part.text}
        case Media():
            return _write_media(part, part.extra if same else NOTHING, same=same)


def write_text(part: Text, *, same: bool) -> dict[str, Json]:
    """Write what the model said, with its citations."""
    written: dict[str, Json] = {"type": "output_text", "text": part.text}
    written["annotations"] = [flat(note) for note in objects(annotations_of(part.extra))]
    return {**written, **_plain(part.extra)} if same else written


def nested(note: Json) -> Json:
    """Return a citation in the form of chat completions."""
    if isinstance(note, Mapping) and note.get("type") == _CITATION and _CITATION not in note:
        return {"type": _CITATION, _CITATION: {key: value for key, value in note.items() if key != "type"}}
    return note


def flat(note: Json) -> Json:
    """Return a citation in the form of responses."""
    if isinstance(note, Mapping) and note.get("type") == _CITATION:
        inner = note.get(_CITATION)
        return {"type": _CITATION, **inner} if isinstance(inner, Mapping) else note
    return note


def annotations(notes: Iterable[Json]) -> Mapping[str, Json]:
    """Return the `extra` of a text that holds these citations."""
    found = [nested(note) for note in notes]
    return {"annotations": found} if found else NOTHING


def _text_extra(raw: JsonObject) -> Mapping[str, Json]:
    if len(raw) == 2:  # type and text
        return NOTHING
    notes = annotations(objects(raw.get("annotations")))
    rest = without(raw, TEXT_KNOWN)
    return {**notes, **rest} if rest else notes


def _plain(extra: Mapping[str, Json]) -> Mapping[str, Json]:
    """Return the members of `extra` that are members of the part."""
    return {key: value for key, value in extra.items() if key not in ("annotations", "item")}


def _detail(raw: JsonObject) -> str | None:
    return text_of(raw, "detail") or None


def _name(raw: JsonObject) -> str | None:
    return text_of(raw, "filename") or None


def _media(kind: MediaKind, url: str, raw: JsonObject, known: frozenset[str]) -> Media:
    extra = without(raw, known) or NOTHING
    name, detail = _name(raw), _detail(raw)
    head, found, data = url.partition(";base64,")
    if found and head.startswith("data:"):
        return Media(kind=kind, mime=head[5:] or None, data=data, name=name, detail=detail, extra=extra)
    if "file_data" in raw:
        return Media(kind=kind, data=url, name=name, extra=extra)
    return Media(kind=kind, url=url, name=name, detail=detail, extra=extra)


def _write_media(part: Media, extra: Mapping[str, Json], *, same: bool) -> dict[str, Json]:
    inline = None
    if part.data is not None:
        inline = f"data:{part.mime};base64,{part.data}" if part.mime else part.data
    if part.kind == "image":
        place: dict[str, Json] = (
            {"file_id": part.file_id} if part.file_id is not None else {"image_url": inline or part.url}
        )
        detail: dict[str, Json] = {} if part.detail is None else {"detail": part.detail}
        return {"type": "input_image", **place, **detail, **extra}
    if part.kind != "document":
        raise UnsupportedParameter(f"{part.kind} cannot be sent to a responses endpoint", param="input")
    if part.text is not None:
        return {"type": "input_text", "text": f"{part.name}\n\n{part.text}" if part.name else part.text}
    if part.file_id is not None:
        place = {"file_id": part.file_id}
    elif inline is not None:
        place = {"file_data": inline}
    else:
        place = {"file_url": part.url}
    # OpenAI refuses inline data without a name, which other formats do not ask for.
    name = part.name if part.name is not None or same or inline is None else "document"
    return {"type": "input_file", **place, **({} if name is None else {"filename": name}), **extra}
