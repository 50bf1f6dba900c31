"""Operations at OpenAI-compatible hosts: the request passes as it came, but for its model. Floor 2.

Answers pass too, whole or in pieces; what is read of them is usage, failures and the end. Two things are
translated: rankings (`codecs.ranking`), and speech that comes as base64 in JSON (Mistral).
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from turnout.codecs import form, ranking
from turnout.codecs.base import Encoded, TaskTap
from turnout.codecs.openai_chat.encode import post
from turnout.codecs.openai_chat.errors import error_in
from turnout.codecs.openai_chat.quirks import adapt
from turnout.codecs.openai_chat.wire import WIRE
from turnout.codecs.openai_errors import unreadable
from turnout.codecs.sse import Frame, FrameBuffer, frames
from turnout.errors import ProviderBadResponse, StreamInterrupted, TurnoutError, UnsupportedParameter
from turnout.types.deployment import Deployment
from turnout.types.http import HttpRequest, HttpResponse
from turnout.types.json import Json
from turnout.types.task import Form, TaskRequest, TaskResponse, merged
from turnout.types.usage import Usage

_TYPES = re.compile(r"(application/(json|octet-stream|x-subrip)|text/(plain|vtt|srt)|audio/[\w.+-]+)(;.*)?")
"""Content types of answers; any other is told as bytes: what a browser would run is never one of them."""
_BYTES = "application/octet-stream"
_SOUNDS: Mapping[str, str] = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}


_UNSAID = ("model", "response_format")
"""Fields that a host with one model and one form of answer need not be told."""


class _Details(Struct, frozen=True):
    image_tokens: int | None = None
    audio_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None


class _Counted(Struct, frozen=True):
    """Usage under all the names hosts give it."""

    input_tokens: int | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    completion_tokens: int | None = None
    input_tokens_details: _Details | None = None
    input_token_details: _Details | None = None
    prompt_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    seconds: float | None = None
    prompt_audio_seconds: float | None = None


class _Answer(Struct, frozen=True):
    """What is read of an answer, or of one event of a stream."""

    type: str | None = None
    error: object = None
    usage: _Counted | None = None
    data: list[msgspec.Raw] | None = None
    duration: float | str | None = None
    audio_data: str | None = None
    id: object = None
    turnout: msgspec.Raw = msgspec.Raw()


_read = msgspec.json.Decoder(_Answer).decode
_NOTHING = _Answer()


def encode_task(request: TaskRequest, to: Deployment) -> Encoded:
    """Write the call: the client's own form or JSON with the model replaced."""
    quirks = to.vendor.quirks
    path = quirks.paths.get(request.path, request.path)
    if request.form is not None and request.path in quirks.modelless:
        return _alone(request, request.form, to, path)
    if request.form is not None:
        return Encoded(_post_form(request, to, path))
    body: dict[str, Json] = {**request.body, "model": to.upstream_model}
    if request.kind == "rerank":
        n_wanted = ranking.n_wanted(request)
        body = {name: value for name, value in body.items() if name not in ranking.OWN}
        if n_wanted is not None:
            body[quirks.rerank_limit] = n_wanted
    dropped = adapt(body, quirks)
    return Encoded(post(body, to, path), dropped)


def _alone(request: TaskRequest, given: Form, to: Deployment, path: str) -> Encoded:
    """Write a form to a host with one model for it. Raises `UnsupportedParameter` for subtitles and text."""
    if request.response_format not in (None, "json", "verbose_json"):
        raise UnsupportedParameter(f"{to.id} answers in JSON", param="response_format")
    known = to.vendor.quirks.modelless[request.path]
    fields = [part for part in given.parts if part.filename is None]
    kept = [part for part in fields if part.name in known]
    names = [part.name for part in fields if part.name not in known and part.name not in _UNSAID]
    files = [part for part in given.parts if part.filename is not None]
    http = _form(Form(given.boundary, (*kept, *files)), to, path)
    return Encoded(http, tuple(dict.fromkeys(names)))


def _post_form(request: TaskRequest, to: Deployment, path: str) -> HttpRequest:
    assert request.form is not None
    return _form(form.with_field(request.form, "model", to.upstream_model), to, path)


def _form(written: Form, to: Deployment, path: str) -> HttpRequest:
    http = post({}, to, path)
    headers = [(name, value) for name, value in http.headers if name != b"content-type"]
    headers.insert(0, (b"content-type", form.content_type(written)))
    return HttpRequest(http.method, http.url, headers, form.write(written))


def decode_task(response: HttpResponse, request: TaskRequest, to: Deployment) -> TaskResponse:
    """Read a complete answer. Raises `ProviderBadResponse`, or the class of an error inside a 200."""
    told = response.headers.get("content-type", "")
    if request.kind == "rerank":
        _seen(response)
        return ranking.decode(response.body, request, to, WIRE)
    if not told.startswith("application/json"):
        return TaskResponse(body=response.body, content_type=_type(told))
    seen = _seen(response)
    if request.kind == "speech":
        return _speech(seen, request)
    usage = usage_of(seen, outside=to.vendor.quirks.audio_outside_prompt)
    if request.kind == "image" and not (usage.n_input or usage.n_output):
        usage = merged(usage, Usage(images=len(seen.data or ())))
    body = response.body if not bytes(seen.turnout) else _without_ours(response.body)
    return TaskResponse(body=body, usage=usage, upstream_id=seen.id if isinstance(seen.id, str) else None)


def _seen(response: HttpResponse) -> _Answer:
    try:
        seen = _read(response.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable(error) from error
    if seen.error is not None:
        raise error_in(seen.error, response)
    return seen


def _speech(seen: _Answer, request: TaskRequest) -> TaskResponse:
    if seen.audio_data is None:
        raise ProviderBadResponse("the provider's answer holds no speech")
    try:
        sound = b64decode(seen.audio_data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProviderBadResponse("the provider's speech is not base64") from error
    return TaskResponse(body=sound, content_type=_SOUNDS.get(request.response_format or "mp3", _BYTES))


def _without_ours(body: bytes) -> bytes:
    tree: dict[str, msgspec.Raw] = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    tree.pop("turnout", None)
    return msgspec.json.encode(tree)


def _type(told: str) -> str:
    return told if _TYPES.fullmatch(told) else _BYTES


def usage_of(seen: _Answer, *, outside: bool = False) -> Usage:
    """Read what was counted. `outside`: tokens of sound are no part of the prompt's."""
    counted = seen.usage
    duration = seen.duration
    seconds = float(duration) if isinstance(duration, float) else None
    if counted is None:
        return Usage(audio_s=_up(seconds))
    told = counted.seconds if counted.seconds is not None else counted.prompt_audio_seconds
    n_in = counted.input_tokens if counted.input_tokens is not None else counted.prompt_tokens
    n_out = counted.output_tokens if counted.output_tokens is not None else counted.completion_tokens
    inputs = counted.input_tokens_details or counted.input_token_details or counted.prompt_tokens_details
    outputs = counted.output_tokens_details or counted.completion_tokens_details
    inputs, outputs = inputs or _Details(), outputs or _Details()
    heard, cached = inputs.audio_tokens or 0, inputs.cached_tokens or 0
    drawn, thought = outputs.image_tokens or 0, outputs.reasoning_tokens or 0
    apart = (inputs.image_tokens or 0) + cached + (0 if outside else heard)
    spoken = n_out if seen.type is not None and seen.type.startswith("speech.") else None
    return Usage(
        input_uncached=None if n_in is None else max(0, n_in - apart),
        cache_read=cached or None,
        image_in=inputs.image_tokens or None,
        audio_in=heard or None,
        output_text=None if n_out is None else max(0, n_out - drawn - thought - (spoken or 0)),
        reasoning=thought or None,
        image_out=drawn or None,
        audio_out=spoken or None,
        audio_s=_up(told if told is not None else seconds),
    )


def _up(seconds: float | None) -> int | None:
    return None if seconds is None else int(-(-seconds // 1))


def task_tap(content_type: str, request: TaskRequest) -> TaskTap | None:
    """Return a reader for events, or for speech as bytes; None for what must be read whole."""
    if content_type.startswith("text/event-stream"):
        return EventTap()
    if request.kind == "speech" and not content_type.startswith("application/json"):
        return BytesTap()
    return None


class BytesTap:
    """Lets bytes pass. Where they end is the transport's to say."""

    __slots__ = ("done", "usage")

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.done = False

    def feed(self, data: bytes) -> bytes:
        """Hand bytes on."""
        return data

    def end(self) -> bytes:
        """Note the end."""
        self.done = True
        return b""


class EventTap:
    """Reads events while they pass: whole frames only, without a `turnout` member."""

    __slots__ = ("_buffer", "_has_passed", "done", "usage")

    def __init__(self) -> None:
        self._buffer = FrameBuffer()
        self._has_passed = False
        self.usage: Usage | None = None
        self.done = False

    def feed(self, data: bytes) -> bytes:
        """Take upstream bytes, return whole frames. Raises an error that is the first event."""
        whole = self._buffer.take(data)
        return b"".join(self._looked(frame) for frame in frames(whole)) if whole else b""

    def end(self) -> bytes:
        """Return the last frame. Raises `StreamInterrupted` where none said that it is the last."""
        rest = b"".join(self._looked(frame) for frame in frames(self._buffer.rest()))
        if not self.done:
            raise StreamInterrupted("the provider's stream ended without its last event")
        return rest

    def _looked(self, frame: Frame) -> bytes:
        if not frame.data or frame.data == b"[DONE]":
            self.done |= bool(frame.data)
            return frame.raw
        try:
            seen = _read(frame.data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            seen = _NOTHING
        if seen.error is not None or frame.event == "error" or seen.type == "error":
            failure = self._failure(seen, frame)
            if not self._has_passed:
                raise failure
            self.done = True  # it passes: that is how this format ends a stream that failed
            return frame.raw
        self._has_passed = True
        if seen.type is not None and seen.type.endswith((".done", ".completed")):
            self.done = True
        if seen.usage is not None:
            found = usage_of(seen)
            self.usage = found if self.usage is None else _sum(self.usage, found)
        if not bytes(seen.turnout):
            return frame.raw
        head = f"event: {frame.event}\n" if frame.event else ""
        return head.encode() + b"data: " + _without_ours(frame.data) + b"\n\n"

    def _failure(self, seen: _Answer, frame: Frame) -> TurnoutError:
        error = seen.error if seen.error is not None else msgspec.json.decode(frame.data)
        return error_in(error, HttpResponse(200, {}, frame.data))


def _sum(one: Usage, other: Usage) -> Usage:
    """Add up two pictures of one stream, each with a usage of its own."""
    counts: dict[str, int] = {}
    for name in Usage.__struct_fields__:
        found = [count for count in (getattr(one, name), getattr(other, name)) if count is not None]
        if found:
            counts[name] = sum(found)
    return Usage(**counts)
