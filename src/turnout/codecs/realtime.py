"""Realtime sessions as OpenAI has them: where they are opened, and the few events a gateway reads. Floor 2.

Everything else passes as it came. What is read here: which responses run and what they used, the model a
client asks for in mid-session, and the model that writes down what was said.

Source: OpenAI, Realtime API reference, client and server events; Azure OpenAI, realtime reference (2026-11).
"""

from typing import Final
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct

from turnout.codecs import strict
from turnout.codecs.speech import Asked, Heard, Speech
from turnout.types.deployment import Deployment
from turnout.types.usage import Usage

WIRE: Final = "openai_realtime"
SPOKEN: Final = frozenset({"openai_chat", "openai_responses"})
"""Wire formats whose vendors have sessions of this kind."""
AUDIO_CHARS_PER_TOKEN: Final = 3_200
"""Base64 of 50 ms of 24 kHz PCM: OpenAI counts one token for so much spoken output."""
TEXT_CHARS_PER_TOKEN: Final = 3.6
_SURFACE: Final = "/openai/v1"
_OURS: Final = b'"turnout"'


class _Details(Struct):
    text_tokens: int = 0
    audio_tokens: int = 0
    cached_tokens: int = 0
    cached_tokens_details: "_Details | None" = None


class _Usage(Struct):
    input_tokens: int = 0
    output_tokens: int = 0
    input_token_details: _Details | None = None
    output_token_details: _Details | None = None


class _Thing(Struct):
    id: str = ""
    usage: _Usage | None = None


class _Event(Struct):
    type: str = ""
    response: _Thing | None = None
    session: _Thing | None = None
    response_id: str = ""
    delta: Raw = Raw(b"")


NOTHING_HEARD: Final = Heard()
_read = msgspec.json.Decoder(_Event).decode
_AUDIO: Final = frozenset({"response.output_audio.delta", "response.audio.delta"})
_TEXT: Final = frozenset(
    {"response.output_text.delta", "response.text.delta", "response.function_call_arguments.delta"}
)


def address(to: Deployment) -> str:
    """Return where a deployment's sessions are opened."""
    model, vendor = quote(to.upstream_model, safe=""), to.vendor
    if vendor.host is None:
        return f"{to.url}/realtime?model={model}"
    base = to.url.removesuffix(_SURFACE)
    if not vendor.api_version:
        return f"{base}{_SURFACE}/realtime?model={model}"
    return f"{base}/openai/realtime?api-version={quote(vendor.api_version, safe='')}&deployment={model}"


def is_spoken(to: Deployment) -> bool:
    """Tell whether a deployment's vendor has sessions of this format."""
    return to.vendor.codec in SPOKEN and to.vendor.host in (None, "azure")


def hear(data: bytes) -> Heard:
    """Read an event of the upstream. What cannot be read says nothing."""
    try:
        event = _read(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return NOTHING_HEARD
    response = event.response
    match event.type:
        case "response.created" if response is not None:
            return Heard("began", response.id)
        case "response.done" if response is not None:
            return Heard("ended", response.id, None if response.usage is None else _usage(response.usage))
        case "session.created" if event.session is not None:
            return Heard("session", event.session.id)
    if event.type in _AUDIO:
        return Heard("audio", event.response_id, n_chars=len(memoryview(event.delta)))
    if event.type in _TEXT:
        return Heard("text", event.response_id, n_chars=len(memoryview(event.delta)))
    return NOTHING_HEARD


def without_ours(data: bytes) -> bytes:
    """Return an event of the upstream without an object that only we may write (S-45)."""
    if _OURS not in data:
        return data
    try:
        tree = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return b"{}"
    if isinstance(tree, dict) and tree.pop("turnout", None) is not None:
        return msgspec.json.encode(tree)
    return data


def ask(data: bytes) -> Asked:
    """Read an event of the client. Raises `InvalidRequest` for what two parsers could read differently."""
    return Asked(strict.parse(data))


def error_event(code: str, message: str, kind: str, about: str | None = None) -> bytes:
    """Write the event that tells a client what went wrong.

    Args:
        code: Word of the taxonomy.
        message: What was wrong and what to do.
        kind: OpenAI's type of error.
        about: The client's id of the event that caused it.
    """
    error = {"type": kind, "code": code, "message": message, "param": None, "event_id": about}
    return msgspec.json.encode({"type": "error", "event_id": f"event_turnout_{code}", "error": error})


def _usage(told: _Usage) -> Usage:
    """Return what was used, each token counted once: cached ones as such, whatever they hold."""
    given, made = told.input_token_details or _Details(), told.output_token_details or _Details()
    cached_audio = 0 if given.cached_tokens_details is None else given.cached_tokens_details.audio_tokens
    n_in, n_out = max(told.input_tokens, 0), max(told.output_tokens, 0)
    cached = _within(given.cached_tokens, n_in)
    audio_in = _within(given.audio_tokens - cached_audio, n_in - cached)
    audio_out = _within(made.audio_tokens, n_out)
    return Usage(
        input_uncached=n_in - cached - audio_in,
        cache_read=cached,
        audio_in=audio_in,
        output_text=n_out - audio_out,
        audio_out=audio_out,
    )


def _within(value: int, most: int) -> int:
    return min(max(value, 0), most)


def _heard(data: bytes) -> tuple[Heard]:
    return (hear(data),)


SPEECH: Final = Speech(
    audio_chars_per_token=AUDIO_CHARS_PER_TOKEN,
    has_errors=True,
    has_bytes=False,
    address=address,
    is_spoken=is_spoken,
    opening=lambda _body, _to: None,
    ear=lambda: _heard,
    ask=ask,
)
"""The format, as a session asks for it."""
