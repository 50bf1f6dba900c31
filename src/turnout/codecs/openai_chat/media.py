"""Content parts of OpenAI chat: pictures, sound, films and documents, both directions. Floor 2."""

from collections.abc import Mapping

from turnout.codecs.openai_chat.wire import WIRE, Audio, ImageUrl, PartIn, Url
from turnout.errors import UnsupportedParameter
from turnout.types.chat import NOTHING, Media, MediaKind, Native, Refusal, Text
from turnout.types.json import Json, JsonObject

AUDIO_MIMES = {"wav": "audio/wav", "mp3": "audio/mpeg", "flac": "audio/flac", "ogg": "audio/ogg"}
_AUDIO_FORMATS = {mime: name for name, mime in AUDIO_MIMES.items()} | {
    "audio/x-wav": "wav",
    "audio/mp3": "mp3",
}
KINDS: Mapping[str, MediaKind] = {
    "image_url": "image",
    "input_audio": "audio",
    "video_url": "video",
    "file": "document",
    "document_url": "document",
    "file_url": "document",
}
"""Part type -> medium."""
_URL_PARTS = frozenset({"video_url", "document_url", "file_url"})


def read_part(part: PartIn, raw: JsonObject) -> Text | Media | Refusal | Native:
    """Read one content part; what only this format knows stays as it is."""
    match part:
        case PartIn(type="text", text=str() as text):
            return Text(text, _rest(raw, "text"))
        case PartIn(type="image_url", image_url=ImageUrl() as image):
            return _from_url(
                "image", image.url, _rest(raw, "image_url", ("url", "detail")), detail=image.detail
            )
        case PartIn(type="image_url", image_url=str() as url):
            return _from_url("image", url, _rest(raw, "image_url"))
        case PartIn(type="input_audio", input_audio=Audio() as audio):
            mime = AUDIO_MIMES.get(audio.format, f"audio/{audio.format}")
            extra = _rest(raw, "input_audio", ("data", "format"))
            return Media(kind="audio", mime=mime, data=audio.data, extra=extra)
        case PartIn(type="input_audio", input_audio=str() as data):
            return _from_url("audio", data, _rest(raw, "input_audio"), bare=True)
        case PartIn(type="file", file=file) if file is not None and (file.file_data or file.file_id):
            extra = _rest(raw, "file", ("file_data", "filename", "file_id"))
            if file.file_data is None:
                return Media(kind="document", file_id=file.file_id, name=file.filename, extra=extra)
            return _from_url("document", file.file_data, extra, name=file.filename, bare=True)
        case PartIn(type="refusal", refusal=str() as text):
            return Refusal(text)
        case PartIn(type=kind) if kind in _URL_PARTS:
            return _from_url_part(part, raw)
        case _:
            return Native(WIRE, raw)


def write_part(part: Text | Media | Refusal, *, same: bool) -> dict[str, Json]:
    """Write one content part.

    Args:
        part: What to say.
        same: Whether the request came in this format, so that `extra` fields are known here.
    """
    match part:
        case Text():
            return {"type": "text", "text": part.text, **(part.extra if same else NOTHING)}
        case Refusal():
            return {"type": "refusal", "refusal": part.text}
        case Media():
            if not same and part.kind == "document" and part.data is None and part.text is None:
                raise UnsupportedParameter("a document by URL or file id cannot be sent in this wire format")
            return _write_media(part, part.extra if same else NOTHING, named=same)


def _from_url_part(part: PartIn, raw: JsonObject) -> Media | Native:
    value = part.video_url or part.document_url or part.file_url
    url = value.url if isinstance(value, Url) else value
    if url is None:
        return Native(WIRE, raw)
    # The part's own name stays in `extra`: three names exist for the same thing.
    extra = {key: value for key, value in raw.items() if key != "type"}
    return _from_url(KINDS[part.type], url, extra)


def _from_url(
    kind: MediaKind,
    url: str,
    extra: JsonObject,
    *,
    name: str | None = None,
    detail: str | None = None,
    bare: bool = False,
) -> Media:
    """Split a `data:` URL into type and data. `bare`: what is no URL is base64 as it stands."""
    head, found, data = url.partition(";base64,")
    if found and head.startswith("data:"):
        return Media(kind=kind, mime=head[5:] or None, data=data, name=name, detail=detail, extra=extra)
    if bare and not url.startswith(("http://", "https://")):
        return Media(kind=kind, data=url, name=name, extra=extra)
    return Media(kind=kind, url=url, name=name, detail=detail, extra=extra)


def _rest(raw: JsonObject, field: str, known: tuple[str, ...] = ()) -> JsonObject:
    """Return the members of a part that have no field of ours, `extra` of the nested object included."""
    inner = raw.get(field)
    unknown = (
        {key: value for key, value in inner.items() if key not in known}
        if known and isinstance(inner, Mapping)
        else None
    )
    if len(raw) == 2 and not unknown:
        return NOTHING
    rest = {key: value for key, value in raw.items() if key not in ("type", field)}
    return {**rest, field: unknown} if unknown else rest


def _write_media(part: Media, extra: Mapping[str, Json], *, named: bool) -> dict[str, Json]:
    where = part.url
    if part.data is not None:
        where = f"data:{part.mime};base64,{part.data}" if part.mime else part.data
    if not _URL_PARTS.isdisjoint(extra):
        return {"type": next(key for key in extra if key in _URL_PARTS), **extra}
    if part.kind == "document" and part.text is not None:
        return {"type": "text", "text": f"{part.name}\n\n{part.text}" if part.name else part.text}
    if part.kind == "document":
        return _merged("file", _file(part, where, named=named), extra)
    if where is None:
        raise UnsupportedParameter(f"{part.kind} by file id cannot be sent to a chat completions endpoint")
    if part.kind == "image":
        return _merged(
            "image_url", {"url": where, **({"detail": part.detail} if part.detail is not None else {})}, extra
        )
    if part.kind == "video":
        return {"type": "video_url", "video_url": {"url": where}}
    if part.data is None or part.mime is None:
        return _merged("input_audio", where, extra)
    name = _AUDIO_FORMATS.get(part.mime, part.mime.removeprefix("audio/"))
    return _merged("input_audio", {"data": part.data, "format": name}, extra)


def _file(part: Media, where: str | None, *, named: bool) -> dict[str, Json]:
    place: dict[str, Json] = {"file_data": where} if part.file_id is None else {"file_id": part.file_id}
    # OpenAI refuses inline data without a name, which other formats do not ask for.
    name = part.name if part.name is not None or named else "document"
    return place if name is None else {**place, "filename": name}


def _merged(field: str, value: Json, extra: Mapping[str, Json]) -> dict[str, Json]:
    inner = extra.get(field)
    if isinstance(inner, Mapping) and isinstance(value, Mapping):
        return {"type": field, **extra, field: {**value, **inner}}
    return {"type": field, **extra, field: value}
