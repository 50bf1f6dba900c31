"""Live sessions as Gemini has them (`BidiGenerateContent`): how they open, and what a gateway reads. Floor 2.

Theory of operation.
1. The first message of a client is its `setup`, which names the model; the upstream agrees with
   `setupComplete`. A session keeps that model.
2. A turn of the model begins with its first content or call of a tool and ends with `turnComplete`. What it
   used is told in `usageMetadata`, once or again and again while it grows; where a tool was answered
   meanwhile, the prompt is a longer one, and both were paid for.
3. A turn that ended without being told is reckoned by whoever pays; what is told after that is not counted
   again.

Source: Gemini API reference, Live API; Vertex AI reference, Live API (seen 2026-11).
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Raw, Struct

from turnout.codecs import strict
from turnout.codecs.speech import Asked, Heard, Speech
from turnout.errors import InvalidRequest
from turnout.types.deployment import Deployment
from turnout.types.json import JsonObject
from turnout.types.usage import Usage

WIRE: Final = "gemini_live"
CODEC: Final = "gemini"
"""Format of conversations at hosts that have such sessions."""
SETUP: Final = "setup"
AUDIO_CHARS_PER_TOKEN: Final = 2_560
"""Base64 of 40 ms of 24 kHz PCM: Gemini counts 25 tokens for a second of sound."""
_SERVICE: Final = "ws/google.ai.generativelanguage.{}.GenerativeService.BidiGenerateContent"
_AT_VERTEX: Final = "ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent"
VERSIONS: Final = ("v1beta", "v1alpha", "v1")
PATHS: Final = tuple("/" + _SERVICE.format(version) for version in VERSIONS)
"""Where clients open sessions."""
_AUDIO: Final = "AUDIO"
_PUBLISHED: Final = "publishers/google/models/"
MOST_MODEL: Final = 512


class _Counted(Struct, rename="camel"):
    modality: str = ""
    token_count: int = 0


class _Told(Struct, rename="camel"):
    prompt_token_count: int = 0
    cached_content_token_count: int = 0
    response_token_count: int = 0
    tool_use_prompt_token_count: int = 0
    thoughts_token_count: int = 0
    prompt_tokens_details: list[_Counted] = []
    cache_tokens_details: list[_Counted] = []
    response_tokens_details: list[_Counted] = []


class _Blob(Struct, rename="camel"):
    mime_type: str = ""
    data: Raw = Raw(b"")


class _Part(Struct, rename="camel"):
    text: Raw = Raw(b"")
    inline_data: _Blob | None = None


class _Turn(Struct):
    parts: list[_Part] = []


class _Content(Struct, rename="camel"):
    model_turn: _Turn | None = None
    turn_complete: bool = False


class _Setup(Struct, rename="camel"):
    session_id: str = ""


class _Message(Struct, rename="camel"):
    setup_complete: _Setup | None = None
    server_content: _Content | None = None
    tool_call: Raw = Raw(b"")
    usage_metadata: _Told | None = None


_read = msgspec.json.Decoder(_Message).decode


def is_spoken(to: Deployment) -> bool:
    """Tell whether a deployment's vendor has sessions of this format."""
    return to.vendor.codec == CODEC and to.vendor.host in (None, "vertex")


def address(to: Deployment) -> str:
    """Return where a deployment's sessions are opened."""
    parts = urlsplit(to.url)
    base = f"{parts.scheme}://{parts.netloc}"
    if to.vendor.host is not None:
        return f"{base}/{_AT_VERTEX}"
    version = parts.path.rpartition("/")[2]
    return f"{base}/{_SERVICE.format(version if version in VERSIONS else VERSIONS[0])}"


def opening(body: JsonObject, to: Deployment) -> bytes:
    """Return the setup with the upstream's name of the model."""
    setup = body.get(SETUP)
    assert isinstance(setup, Mapping)
    return msgspec.json.encode({**body, SETUP: {**setup, "model": _name(to)}})


def _name(to: Deployment) -> str:
    name = to.upstream_model.removeprefix("models/")
    if to.vendor.host is None:
        return f"models/{name}"
    place = urlsplit(to.url).path.strip("/").partition("/")[2]
    return f"{place}/publishers/google/models/{name}"


def read_setup(data: bytes) -> tuple[JsonObject, str]:
    """Read the first message of a client; return it, and the model it names. Raises `InvalidRequest`."""
    tree = strict.parse(data)
    setup = tree.get(SETUP)
    if not isinstance(setup, Mapping):
        raise InvalidRequest("the first message of a session is its setup", param=SETUP)
    model = setup.get("model")
    # Clients of Vertex name it by its place in a project of their own.
    name = model.removeprefix("models/").rpartition(_PUBLISHED)[2] if isinstance(model, str) else ""
    if not isinstance(model, str) or not name or len(model) > MOST_MODEL:
        raise InvalidRequest("setup.model: expected the name of a model", param="setup.model")
    return tree, name


def ask(data: bytes) -> Asked:
    """Read a further message of the client. Raises `InvalidRequest`."""
    tree = strict.parse(data)
    if SETUP in tree:
        raise InvalidRequest("a session is set up once, by its first message", param=SETUP)
    return Asked({})


class Ear:
    """Reads the upstream's messages of one session."""

    __slots__ = ("_held", "_is_late", "_n", "_runs")

    def __init__(self) -> None:
        self._n = 0
        """Answers so far."""
        self._runs = False
        self._held: _Told | None = None
        """What the turn under way has used, as told last."""
        self._is_late = False
        """The last turn was reckoned: what is told of it now comes too late."""

    def __call__(self, data: bytes) -> list[Heard]:
        """Return what a message says; what cannot be read says nothing."""
        try:
            message = _read(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return []
        if message.setup_complete is not None:
            return [Heard("session", message.setup_complete.session_id)]
        found: list[Heard] = []
        content = message.server_content
        self._content(content, calls=bool(bytes(message.tool_call)), found=found)
        if message.usage_metadata is not None:
            self._told(message.usage_metadata, found)
        if content is not None and content.turn_complete and self._runs:
            self._is_late = self._held is None
            self._end(self._held, found)
            self._runs, self._held = False, None
        return found

    @property
    def _id(self) -> str:
        return f"turn_{self._n}"

    def _content(self, content: _Content | None, *, calls: bool, found: list[Heard]) -> None:
        parts = content.model_turn.parts if content is not None and content.model_turn is not None else []
        n_text = sum(len(memoryview(part.text)) for part in parts)
        n_audio = sum(
            len(memoryview(part.inline_data.data)) for part in parts if part.inline_data is not None
        )
        if (parts or calls) and not self._runs:
            self._n += 1
            self._runs, self._is_late = True, False
            found.append(Heard("began", self._id))
        if n_text:
            found.append(Heard("text", self._id, n_chars=n_text))
        if n_audio:
            found.append(Heard("audio", self._id, n_chars=n_audio))

    def _told(self, told: _Told, found: list[Heard]) -> None:
        if not self._runs:
            if not self._is_late:
                self._n += 1
                self._end(told, found)
            self._is_late = False
            return
        held = self._held
        if held is not None and not _grew(held, told):  # another prompt: a tool was answered meanwhile
            found.append(Heard("ended", f"{self._id}+", _usage(held)))
        self._held = told

    def _end(self, told: _Told | None, found: list[Heard]) -> None:
        found.append(Heard("ended", self._id, None if told is None else _usage(told)))


def _grew(before: _Told, now: _Told) -> bool:
    same = before.prompt_token_count == now.prompt_token_count
    return same and now.response_token_count >= before.response_token_count


def _usage(told: _Told) -> Usage:
    """Return what was used, each token counted once: cached ones as such, whatever they hold."""
    n_in = max(told.prompt_token_count, 0) + max(told.tool_use_prompt_token_count, 0)
    n_out = max(told.response_token_count, 0)
    cached = _within(told.cached_content_token_count, n_in)
    heard = _of(told.prompt_tokens_details) - _of(told.cache_tokens_details)
    audio_in = _within(heard, n_in - cached)
    audio_out = _within(_of(told.response_tokens_details), n_out)
    return Usage(
        input_uncached=n_in - cached - audio_in,
        cache_read=cached,
        audio_in=audio_in,
        output_text=n_out - audio_out,
        audio_out=audio_out,
        reasoning=max(told.thoughts_token_count, 0) or None,
    )


def _of(details: list[_Counted]) -> int:
    return sum(each.token_count for each in details if each.modality == _AUDIO)


def _within(value: int, most: int) -> int:
    return min(max(value, 0), most)


SPEECH: Final = Speech(
    audio_chars_per_token=AUDIO_CHARS_PER_TOKEN,
    has_errors=False,
    has_bytes=True,
    address=address,
    is_spoken=is_spoken,
    opening=opening,
    ear=Ear,
    ask=ask,
)
"""The format, as a session asks for it."""
