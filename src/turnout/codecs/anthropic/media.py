"""Pictures and documents of any origin written as Anthropic blocks. Floor 2."""

import base64
import binascii
from collections.abc import Mapping

from turnout.errors import InvalidMedia, UnsupportedParameter
from turnout.types.chat import Media
from turnout.types.json import Json

_MAGIC = (("/9j/", "image/jpeg"), ("iVBOR", "image/png"), ("R0lG", "image/gif"), ("UklG", "image/webp"))
"""How the four accepted image formats begin in base64, for data that came without its type."""
_PDF = "application/pdf"
_TEXTS = ("text/", "application/json", "application/xml", "application/yaml")


def media_block(media: Media, *, own_files: bool) -> dict[str, object]:
    """Write a picture or a document, without its `extra`.

    Args:
        media: The part.
        own_files: A file id in it is one of this format's providers.

    Raises:
        UnsupportedParameter: The format has no block for it.
        InvalidMedia: It cannot be read.
    """
    if media.kind in {"audio", "video"}:
        raise UnsupportedParameter(f"this model takes no {media.kind}", param="messages")
    if media.file_id is not None:
        if not own_files:
            raise UnsupportedParameter(
                "a stored file is known only to the provider that keeps it; send its content or an address",
                param="messages",
            )
        return _block(media, {"type": "file", "file_id": media.file_id})
    if media.url is not None:
        return _block(media, {"type": "url", "url": media.url})
    if media.text is not None:
        # A document of blocks, or one of texts: its own source is in `extra` and replaces this one.
        return _block(media, {"type": "text", "media_type": media.mime or "text/plain", "data": media.text})
    return _from_data(media, media.data or "")


def _from_data(media: Media, data: str) -> dict[str, object]:
    mime = media.mime or _sniffed(data)
    if media.kind == "image" or (mime and mime.startswith("image/")):
        picture = {"type": "base64", "media_type": mime or "image/png", "data": data}
        return {"type": "image", "source": picture}
    if mime in {None, _PDF}:
        return _block(media, {"type": "base64", "media_type": mime or _PDF, "data": data})
    assert mime is not None
    if mime.startswith(_TEXTS):
        return _block(media, {"type": "text", "media_type": "text/plain", "data": _decoded(data)})
    raise UnsupportedParameter(f"this model takes no documents of type {mime}", param="messages")


def _block(media: Media, source: Mapping[str, Json]) -> dict[str, object]:
    block: dict[str, object] = {"type": media.kind, "source": source}
    if media.name is not None and media.kind == "document":
        block["title"] = media.name
    return block


def _sniffed(data: str) -> str | None:
    return next((mime for start, mime in _MAGIC if data.startswith(start)), None)


def _decoded(data: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise InvalidMedia("a text document is not valid base64 of UTF-8 text", param="messages") from error
