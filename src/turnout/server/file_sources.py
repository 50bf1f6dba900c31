"""Files that requests name by id, put in their place. Floor 6.

Theory of operation (ADR 154).

1. Files are the gateway's own, so no provider knows them: where a request names one of its caller's, its
   content stands there before the request is read. What follows (guards, routing, translation, the provider)
   sees a document or a picture like any other.
2. An id that the caller has no file of stays as it came: it may be one of the provider's own store.
3. Only parts of conversations are looked at, in the shapes of Anthropic's and OpenAI's two formats. What the
   files of one request may have together is bounded.
"""

import asyncio
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec

from turnout.codecs import strict
from turnout.errors import InvalidRequest, RequestTooLarge, UnsupportedParameter
from turnout.server.anthropic_files import UNKNOWN, mime_of
from turnout.server.uploads import Shelf, missing, owner_of
from turnout.stores.files import File
from turnout.types.json import Json, JsonObject
from turnout.types.principal import Principal

MOST_PLACED: Final = 32 * 1024 * 1024
"""Bytes of all files of one request; what Anthropic takes as one (API reference, "Request size limits")."""
_MARK: Final = b'"file_id"'
_BEGINNINGS: Final = {
    b"%PDF-": "application/pdf",
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
}
_write = msgspec.json.Encoder().encode
Part = dict[str, Json]
Shown = Callable[[Part, File, bytes], Part]


def names_files(raw: bytes) -> bool:
    """Tell whether a request may name files by id."""
    return _MARK in raw


async def in_place(shelf: Shelf | None, who: Principal, raw: bytes) -> bytes:
    """Return a request with the caller's files in the place of their ids; as it is where there are none.

    Raises:
        InvalidRequest: A file is not what its place is for.
        RequestTooLarge: They are too much together.
        UnsupportedParameter: One is to be put where only a provider's own file can be.
    """
    if shelf is None:
        return raw
    tree = strict.parse(raw)
    named = {file_id for part in _parts(tree) if (file_id := _id_in(part)) is not None}
    if not named:
        return raw
    placed = await asyncio.to_thread(_placed, shelf, who, tree, named)
    return raw if placed is None else placed


def _placed(shelf: Shelf, who: Principal, tree: JsonObject, named: set[str]) -> bytes | None:
    """Return the request with files in place; None = none of the ids is one of the caller's."""
    now, owner = datetime.now(UTC), owner_of(who)
    files = {name: file for name in named if (file := shelf.files.get(name, owner, now)) is not None}
    if not files:
        return None
    held: dict[str, bytes] = {}
    n_bytes = 0
    for part in _parts(tree):
        file = files.get(_id_in(part) or "")
        if file is None:
            continue
        n_bytes += file.n_bytes
        if n_bytes > MOST_PLACED:
            raise RequestTooLarge(f"the files of a request may have {MOST_PLACED} bytes together")
        if file.id not in held:
            held[file.id] = _content(shelf, file)
        new = _SHOWN[str(part.get("type"))](part, file, held[file.id])
        part.clear()
        part.update(new)
    return _write(tree)


def _content(shelf: Shelf, file: File) -> bytes:
    try:
        return shelf.files.path(file.id).read_bytes()
    except FileNotFoundError:
        raise missing(file.id) from None  # it has just been deleted


def _parts(tree: Json) -> Iterator[Part]:
    """Yield the parts of conversations in a request, wherever they stand."""
    if isinstance(tree, list):
        for each in tree:
            yield from _parts(each)
    elif isinstance(tree, dict):
        kind = tree.get("type")
        if isinstance(kind, str) and kind in _SHOWN:
            yield tree
            return
        for name in ("messages", "content", "system", "input", "output", "requests", "params", "body"):
            if isinstance(below := tree.get(name), dict | list):
                yield from _parts(below)


def _id_in(part: Part) -> str | None:
    """Return the id that a part names."""
    match part.get("type"):
        case "image" | "document":
            source = part.get("source")
            is_file = isinstance(source, dict) and source.get("type") == "file"
            found = source.get("file_id") if isinstance(source, dict) and is_file else None
        case "file":
            held = part.get("file")
            found = held.get("file_id") if isinstance(held, dict) else None
        case _:
            found = part.get("file_id")
    return found if isinstance(found, str) else None


def _block(part: Part, file: File, content: bytes) -> Part:
    """Return a block of Anthropic's: pictures and PDF as base64, what can be read as text."""
    mime = _type(file, content)
    is_picture = part["type"] == "image"
    if is_picture != mime.startswith("image/"):
        raise InvalidRequest(f"{file.id} is {mime}, which cannot be {part['type']} here", param="file_id")
    if is_picture or mime == "application/pdf":
        encoded = b64encode(content).decode()
        return {**part, "source": {"type": "base64", "media_type": mime, "data": encoded}}
    return {**part, "source": {"type": "text", "media_type": "text/plain", "data": _text(file, content)}}


def _chat(part: Part, file: File, content: bytes) -> Part:
    held = part.get("file")
    rest = (
        {name: value for name, value in held.items() if name != "file_id"} if isinstance(held, dict) else {}
    )
    return {**part, "file": {"filename": file.name, **rest, "file_data": _url(file, content)}}


def _input_file(part: Part, file: File, content: bytes) -> Part:
    rest = {name: value for name, value in part.items() if name != "file_id"}
    return {"filename": file.name, **rest, "file_data": _url(file, content)}


def _input_image(part: Part, file: File, content: bytes) -> Part:
    mime = _type(file, content)
    if not mime.startswith("image/"):
        raise InvalidRequest(f"{file.id} is {mime}, and no picture", param="file_id")
    rest = {name: value for name, value in part.items() if name != "file_id"}
    return {**rest, "image_url": _url(file, content)}


def _container(part: Part, file: File, content: bytes) -> Part:
    raise UnsupportedParameter(
        f"{file.id} is kept at the gateway; a provider's container takes files of that provider's own store",
        param="container_upload",
    )


def _url(file: File, content: bytes) -> str:
    return f"data:{_type(file, content)};base64,{b64encode(content).decode()}"


def _type(file: File, content: bytes) -> str:
    """Return the type of a file: what is known of it, else what it begins with."""
    known = mime_of(file)
    if known != UNKNOWN:
        return known
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((mime for start, mime in _BEGINNINGS.items() if content.startswith(start)), UNKNOWN)


def _text(file: File, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise InvalidRequest(f"{file.id} is neither a PDF nor text in UTF-8", param="file_id") from None


_SHOWN: Final[dict[str, Shown]] = {
    "image": _block,
    "document": _block,
    "container_upload": _container,
    "file": _chat,
    "input_file": _input_file,
    "input_image": _input_image,
}
"""Type of a part -> what puts a file into it."""
