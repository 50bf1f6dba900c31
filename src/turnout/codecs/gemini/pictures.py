"""Pictures by Gemini's models (`:generateContent`) and by Imagen (`:predict`). Floor 2.

Source: "Image generation" and "Imagen" of the Gemini API docs (ai.google.dev, seen 2026-11); answers of the
first are checked against recorded traffic. Both give pictures as base64: a client that asked for addresses
gets `data:` ones, one that asked for a stream gets each picture as one event.
"""

import re
from base64 import b64encode
from collections.abc import Mapping
from math import gcd
from typing import Final

import msgspec
from msgspec import Struct

from turnout.codecs.base import Encoded
from turnout.codecs.gemini import errors
from turnout.codecs.gemini.request import JSON_TYPE, address
from turnout.codecs.gemini.response import decode
from turnout.codecs.gemini.wire import UNREADABLE, UsageMetadata, write
from turnout.codecs.notes import Notes
from turnout.errors import ContentFiltered, InvalidRequest, ProviderBadResponse, UnsupportedParameter
from turnout.types.chat import Media
from turnout.types.deployment import Deployment
from turnout.types.http import HttpRequest, HttpResponse
from turnout.types.json import Json
from turnout.types.task import FormPart, TaskRequest, TaskResponse
from turnout.types.usage import Usage

_RATIOS: Final = frozenset(
    ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
)  # of Gemini; Imagen has some of them
_IMAGEN_RATIOS: Final = frozenset(("1:1", "3:4", "4:3", "9:16", "16:9"))
_SIZE: Final = re.compile(r"(\d{1,5})x(\d{1,5})")
_DATA_URL: Final = re.compile(r"data:([\w/+.-]+);base64,(.+)", re.DOTALL)
_KNOWN: Final = frozenset({"prompt", "n", "size", "response_format", "stream", "images", "user"})
_PREDICTS: Final = "imagen"
"""What models have in their name that predict."""


class _Picture(Struct, frozen=True, rename="camel"):
    bytes_base64_encoded: str = ""
    mime_type: str = "image/png"


class _Predicted(Struct, frozen=True):
    predictions: tuple[_Picture, ...] = ()
    error: msgspec.Raw = msgspec.Raw()


class _Counted(Struct, frozen=True, rename="camel"):
    usage_metadata: UsageMetadata | None = None


_read_predicted = msgspec.json.Decoder(_Predicted).decode
_read_counted = msgspec.json.Decoder(_Counted).decode


def encode_task(request: TaskRequest, to: Deployment) -> Encoded:
    """Write a call for pictures. Raises `UnsupportedParameter` for all else, and what none can be told."""
    if request.kind != "image" or request.path == "/images/variations":
        raise UnsupportedParameter(f"{to.vendor.name} has no {request.path} in this format", param="model")
    notes = Notes()
    fields, given = _fields(request), _given(request)
    if "mask" in fields:
        raise UnsupportedParameter(f"{to.id} takes no mask", param="mask")
    for name, value in fields.items():
        if name not in _KNOWN and value is not None:
            notes.drop(name)
    predicts = _PREDICTS in to.upstream_model
    ratio = _ratio(fields.get("size"), _IMAGEN_RATIOS if predicts else _RATIOS)
    if ratio is None and fields.get("size") not in (None, "auto"):
        notes.drop("size")
    prompt = str(fields.get("prompt") or "")
    if predicts:
        verb, body = "predict", _predict(request, to, prompt, given, ratio)
    else:
        verb, body = "generateContent", _generate(request, to, prompt, given, ratio)
    headers = (JSON_TYPE, *((k.encode(), v.encode()) for k, v in to.vendor.quirks.extra_headers))
    return notes.encoded(HttpRequest("POST", address(to, verb), headers, write(body)))


def _predict(
    request: TaskRequest, to: Deployment, prompt: str, given: list[Json], ratio: str | None
) -> Mapping[str, Json]:
    if given:
        raise UnsupportedParameter(f"{to.id} takes no pictures", param="image")
    parameters: dict[str, Json] = {"sampleCount": request.n}
    if ratio is not None:
        parameters["aspectRatio"] = ratio
    return {"instances": [{"prompt": prompt}], "parameters": parameters}


def _generate(
    request: TaskRequest, to: Deployment, prompt: str, given: list[Json], ratio: str | None
) -> Mapping[str, Json]:
    if request.n > 1:
        raise UnsupportedParameter(f"{to.id} makes one picture at a time", param="n")
    config: dict[str, Json] = {"responseModalities": ["TEXT", "IMAGE"]}
    if ratio is not None:
        config["imageConfig"] = {"aspectRatio": ratio}
    turn: Json = {"role": "user", "parts": [*given, {"text": prompt}]}
    return {"contents": [turn], "generationConfig": config}


def decode_task(response: HttpResponse, request: TaskRequest, to: Deployment) -> TaskResponse:
    """Read pictures. Raises `ContentFiltered` for an answer without any, and what chats raise."""
    if _PREDICTS in to.upstream_model:
        pictures, usage, upstream_id = _predicted(response)
    else:
        answer = decode(response)
        upstream_id, usage = answer.id, _usage(answer.usage, response.body)
        parts = [part for choice in answer.choices for part in choice.parts]
        pictures = [
            _Picture(part.data, part.mime or "image/png")
            for part in parts
            if isinstance(part, Media) and part.kind == "image" and part.data is not None
        ]
    if not pictures:
        raise ContentFiltered("the model made no picture of this prompt", param="prompt")
    rows = [_row(picture, request) for picture in pictures]
    counted = _told(usage)
    if request.stream:
        event = "image_edit.completed" if request.path == "/images/edits" else "image_generation.completed"
        frames = [_frame(event, {**row, "created_at": 0, "usage": counted}) for row in rows]
        return TaskResponse(
            body=b"".join(frames), content_type="text/event-stream", usage=usage, upstream_id=upstream_id
        )
    body = write({"created": 0, "data": rows, "usage": counted})
    return TaskResponse(body=body, usage=usage, upstream_id=upstream_id)


def _fields(request: TaskRequest) -> Mapping[str, Json]:
    if request.form is None:
        return request.body
    found: dict[str, Json] = {}
    for part in request.form.parts:
        if part.filename is None and part.name != "model":
            found[part.name] = part.value.decode("utf-8", "replace")
        elif part.name == "mask":
            found["mask"] = "file"
    return found


def _given(request: TaskRequest) -> list[Json]:
    """Return the pictures that a request brings, as parts."""
    if request.form is not None:
        return [_inline(part) for part in request.form.parts if part.name in ("image", "image[]")]
    images = request.body.get("images")
    found: list[Json] = []
    for at, image in enumerate(images if isinstance(images, list) else ()):
        url = image.get("image_url") if isinstance(image, Mapping) else None
        data = _DATA_URL.fullmatch(url) if isinstance(url, str) else None
        if data is None:
            raise InvalidRequest(
                f"images[{at}].image_url must be a data: address for this model", param=f"images[{at}]"
            )
        found.append({"inlineData": {"mimeType": data[1], "data": data[2]}})
    return found


def _inline(part: FormPart) -> Json:
    return {"inlineData": {"mimeType": part.mime or "image/png", "data": b64encode(part.value).decode()}}


def _ratio(size: Json, known: frozenset[str]) -> str | None:
    found = _SIZE.fullmatch(size) if isinstance(size, str) else None
    if found is None or not int(found[2]):
        return None
    width, height = int(found[1]), int(found[2])
    common = gcd(width, height)
    ratio = f"{width // common}:{height // common}"
    ratio = {"7:4": "16:9", "4:7": "9:16"}.get(ratio, ratio)  # 1792x1024, the widest of OpenAI's
    return ratio if ratio in known else None


def _predicted(response: HttpResponse) -> tuple[list[_Picture], Usage, None]:
    try:
        answer = _read_predicted(response.body)
    except UNREADABLE as failure:
        raise errors.unreadable(str(failure), response.body) from failure
    if answer.error:
        raise errors.of_object(answer.error, body=response.body)
    pictures = [each for each in answer.predictions if each.bytes_base64_encoded]
    return pictures, Usage(images=len(pictures)), None


def _usage(usage: Usage, body: bytes) -> Usage:
    """Tell the tokens of pictures that were given apart: they are priced by themselves."""
    try:
        counted = _read_counted(body).usage_metadata or UsageMetadata()
    except UNREADABLE as failure:
        raise ProviderBadResponse("the provider's counters cannot be read") from failure
    seen = sum(each.token_count for each in counted.prompt_tokens_details if each.modality == "IMAGE")
    n_in = usage.input_uncached
    return msgspec.structs.replace(
        usage, input_uncached=None if n_in is None else max(0, n_in - seen), image_in=seen or None
    )


def _told(usage: Usage) -> Json:
    return {
        "input_tokens": usage.n_input,
        "input_tokens_details": {
            "image_tokens": usage.image_in or 0,
            "text_tokens": usage.n_input - (usage.image_in or 0),
        },
        "output_tokens": usage.n_output,
        "total_tokens": usage.n_input + usage.n_output,
    }


def _row(picture: _Picture, request: TaskRequest) -> dict[str, Json]:
    if request.response_format == "url":
        return {"url": f"data:{picture.mime_type};base64,{picture.bytes_base64_encoded}"}
    return {"b64_json": picture.bytes_base64_encoded}


def _frame(event: str, members: Mapping[str, Json]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event.encode(), write({"type": event, **members}))
