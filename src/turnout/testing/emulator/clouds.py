"""Where an emulated provider hears which format, and the clouds that carry one in an envelope. Floor 6."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from turnout.codecs.base import Addressed, Body, Dialect, StreamEncoder, Summary
from turnout.codecs.eventstream import write_event
from turnout.codecs.sse import frames
from turnout.codecs.strict import parse
from turnout.errors import TurnoutError
from turnout.types.chat import ChatRequest, ChatResponse
from turnout.types.event import Event
from turnout.types.json import Json
from turnout.types.usage import Usage

_ENDS = (
    ("/chat/completions", "openai_chat"),
    ("/completions", "openai_completions"),
    ("/responses", "openai_responses"),
    ("/messages", "anthropic"),
    ("/embeddings", "openai_chat"),
    ("/v2/chat", "cohere"),
    ("/v2/embed", "cohere"),
    ("/api/chat", "ollama"),
    ("/api/generate", "ollama_generate"),
    ("/api/embed", "ollama"),
)
_COLON = {
    "generateContent": ("gemini", False),
    "streamGenerateContent": ("gemini", True),
    "batchEmbedContents": ("gemini", False),
    "embedContent": ("gemini", False),
    "rawPredict": ("anthropic", False),
    "streamRawPredict": ("anthropic", True),
}
_SLASH = {
    "converse": ("bedrock", False),
    "converse-stream": ("bedrock", True),
    "invoke": ("anthropic", False),
    "invoke-with-response-stream": ("anthropic", True),
}
STREAM_TYPES: Mapping[str, bytes] = {
    "bedrock": b"application/vnd.amazon.eventstream",
    "ollama": b"application/x-ndjson",
    "ollama_generate": b"application/x-ndjson",
}
"""Format -> content type of its streams, where that is not the one of server-sent events."""


class Place(Struct, frozen=True):
    """What a path asks for."""

    wire: str = ""
    """Format; "" = nothing is heard there."""
    model: str = ""
    """Where the path names it."""
    stream: bool = False
    framed: bool = False
    """The stream goes inside event-stream frames."""


def place_of(path: str) -> Place:
    """Read a path."""
    for end, wire in _ENDS:
        if path.endswith(end):
            return Place(wire)
    model, _, verb = path.partition("/models/")[2].rpartition(":")
    if model and verb in _COLON:
        wire, stream = _COLON[verb]
        return Place(wire, unquote(model), stream)
    model, _, verb = path.partition("/model/")[2].rpartition("/")
    if model and verb in _SLASH:
        wire, stream = _SLASH[verb]
        return Place(wire, unquote(model), stream, framed=stream and wire == "anthropic")
    return Place()


def dialect_at(place: Place, dialects: Mapping[str, Dialect]) -> Dialect | None:
    """Return the dialect of a place, in its envelope."""
    dialect = dialects.get(place.wire)
    if dialect is not None and place.model and not isinstance(dialect, Addressed):
        return Enveloped(dialect, framed=place.framed)
    return dialect


def parse_at(dialect: Dialect, place: Place, body: bytes) -> Body:
    """Read a request. Raises `InvalidRequest`."""
    if place.model and isinstance(dialect, Addressed):
        return dialect.parse_call(body, model=place.model, stream=place.stream)
    return dialect.parse(body)


class Enveloped:
    """A dialect whose model and verb a cloud puts into the path."""

    def __init__(self, inner: Dialect, *, framed: bool) -> None:
        self.wire = inner.wire
        self._inner = inner
        self._framed = framed

    def parse(self, body: bytes) -> Body:
        """Read a request as the format itself has it."""
        return self._inner.parse(body)

    def parse_call(self, body: bytes, *, model: str, stream: bool) -> Body:
        """Read a request whose address named model and verb, and whose body names the envelope's version."""
        own: dict[str, Json] = {**parse(body), "model": model, "stream": stream}
        own.pop("anthropic_version", None)
        return self._inner.parse(msgspec.json.encode(own))

    def render(self, response: ChatResponse, request: ChatRequest, summary: Summary) -> bytes:
        """Write a complete answer."""
        return self._inner.render(response, request, summary)

    def stream(self, request: ChatRequest, summary: Summary) -> StreamEncoder:
        """Return a new stream writer."""
        encoder = self._inner.stream(request, summary)
        return Framed(encoder) if self._framed else encoder

    def error(self, error: TurnoutError, request_id: str) -> tuple[int, bytes]:
        """Write a failure before the first byte."""
        return self._inner.error(error, request_id)


class Framed:
    """Writes a stream whose events go inside event-stream frames."""

    def __init__(self, inner: StreamEncoder) -> None:
        self._inner = inner

    def feed(self, events: Sequence[Event]) -> bytes:
        """Return the frames for these events."""
        return _framed(self._inner.feed(events))

    def end(self, usage: Usage | None, summary: Summary) -> bytes:
        """Return the closing frames."""
        return _framed(self._inner.end(usage, summary))

    def fail(self, error: TurnoutError, summary: Summary) -> bytes:
        """Return the frames of a failure after commit."""
        return _framed(self._inner.fail(error, summary))

    def keep_alive(self) -> bytes:
        """Return nothing: the envelope has no frame that means nothing."""
        return b""


def _framed(events: bytes) -> bytes:
    return b"".join(
        write_event("chunk", msgspec.json.encode({"bytes": b64encode(frame.data).decode(), "p": "abc"}))
        for frame in frames(events)
        if frame.data
    )
