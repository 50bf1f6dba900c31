"""What a wire format must offer, in both directions. Floor 2.

Theory of operation. A `Codec` speaks to an upstream, a `Dialect` to a client; one package per wire
format implements both. Everything is sans-IO: bytes and values in, bytes and values out.

1. Decoders are *push* parsers: any split of the upstream's bytes yields the same events.
2. `Decoder.end` tells a clean end from a cut stream: without the terminal event it raises
   `StreamInterrupted`.
3. The *express track* (client's dialect = upstream's format, nothing changed the request) never
   decodes content: `Codec.forward` re-emits the client's JSON with the model replaced and a `Tap`
   reads usage, finish and errors from bytes that pass through untouched.
4. What a format cannot say is listed in `Encoded.dropped`, never silently lost.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from msgspec import Struct

from turnout.errors import TurnoutError
from turnout.types.ask import Endpoint, Preferences, Wire
from turnout.types.chat import NOTHING, ChatRequest, ChatResponse, FinishReason
from turnout.types.deployment import Deployment
from turnout.types.embed import EmbedRequest, EmbedResponse
from turnout.types.event import Event
from turnout.types.http import Headers, HttpRequest, HttpResponse
from turnout.types.json import Json, JsonObject
from turnout.types.task import TaskRequest, TaskResponse
from turnout.types.usage import Usage


class Encoded(Struct, frozen=True):
    """A request ready to be sent, with what had to be left out."""

    http: HttpRequest
    """Without credentials: the transport's authoriser adds them."""
    dropped: tuple[str, ...] = ()
    """Names of client parameters this upstream cannot be told, for `x-turnout-dropped-params`."""
    warnings: tuple[str, ...] = ()
    """Closed words, such as `reasoning_approximated`, `unknown_finish`."""


class Decoder(Protocol):
    """Push parser of one upstream stream."""

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes, return the events they complete. Raises what an in-stream error means."""
        ...

    def end(self) -> list[Event]:
        """Tell the decoder that the stream is over. Raises `StreamInterrupted` without a terminal event."""
        ...


class Tap(Protocol):
    """Reads what the engine must know from an upstream stream that passes through as bytes."""

    has_content: bool
    """A content-bearing frame has passed: the attempt commits with it."""
    usage: Usage | None
    finish: FinishReason | None
    done: bool
    """The terminal event has passed."""
    upstream_id: str | None
    model: str | None

    def feed(self, data: bytes) -> bytes:
        """Take upstream bytes, return the bytes for the client: whole frames only, without a `turnout` key.

        Raises `TurnoutError` for an in-stream error *before* content. After content the error frame either
        passes on, being what the format itself has for this, and `error` is set; or it is held and raised.
        """
        ...

    error: TurnoutError | None

    def end(self) -> bytes:
        """Return what is still to be sent. Raises `StreamInterrupted` without a terminal event."""
        ...


@runtime_checkable
class Plain(Protocol):
    """A tap that knows frames of which nothing has to be kept."""

    def plain(self, data: bytes) -> bytes:
        """Return what `feed` would of one frame of content that changes nothing here; b"" = it is another.

        Asking changes nothing. After b"" the same bytes are fed.
        """
        ...


class Codec(Protocol):
    """Speaks one wire format to upstreams."""

    wire: str
    """Name of the format; equal to the dialect's."""

    def encode(self, request: ChatRequest, to: Deployment) -> Encoded:
        """Write the call. `request.stream` decides between the streaming and the plain form.

        Raises `UnsupportedParameter` where a *binding* parameter cannot be said (WIRE.md 2.2).
        """
        ...

    def forward(self, wire: Wire, to: Deployment, *, stream: bool) -> Encoded:
        """Write the call from the client's own JSON, with the model replaced; a stream is asked for usage."""
        ...

    def decode(self, response: HttpResponse) -> ChatResponse:
        """Read a complete 2xx answer. Raises `ProviderBadResponse`, or the class of an error inside a 200."""
        ...

    def glance(self, response: HttpResponse) -> "Glance":
        """Read only what the engine needs from a complete 2xx answer on the express track."""
        ...

    def decoder(self) -> Decoder:
        """Return a new stream parser."""
        ...

    def tap(self, *, strip_usage: bool) -> Tap:
        """Return a new pass-through reader. `strip_usage`: only we asked for the usage chunk."""
        ...

    def error(self, response: HttpResponse) -> TurnoutError:
        """Map a non-2xx answer (or an error body) to one class of the taxonomy. Never raises."""
        ...

    def encode_embed(self, request: EmbedRequest, to: Deployment) -> Encoded:
        """Write an embeddings call. Raises `UnsupportedParameter` where the format has none."""
        ...

    def decode_embed(self, response: HttpResponse) -> EmbedResponse:
        """Read vectors. Raises `ProviderBadResponse`."""
        ...


class TaskTap(Protocol):
    """Reads what the engine must know from the streamed answer of an operation, which passes as bytes."""

    usage: Usage | None
    done: bool
    """The terminal event has passed; of bytes without events, their end."""

    def feed(self, data: bytes) -> bytes:
        """Take upstream bytes, return those for the client. Raises an in-stream error before content."""
        ...

    def end(self) -> bytes:
        """Return what is still to be sent. Raises `StreamInterrupted` without a terminal event."""
        ...


@runtime_checkable
class Performs(Protocol):
    """A codec whose format has operations beside conversations and vectors."""

    def encode_task(self, request: TaskRequest, to: Deployment) -> Encoded:
        """Write the call. Raises `UnsupportedParameter` for an operation the format does not have."""
        ...

    def decode_task(self, response: HttpResponse, request: TaskRequest, to: Deployment) -> TaskResponse:
        """Read a complete answer; `request` is as the client sent it. Raises `ProviderBadResponse`."""
        ...

    def task_tap(self, content_type: str, request: TaskRequest) -> TaskTap | None:
        """Return a reader for an answer that may pass as it comes; None = it must be read whole."""
        ...


class Glance(Struct, frozen=True):
    """What the engine reads from an answer it passes through untouched."""

    usage: Usage
    finish: FinishReason | None
    upstream_id: str | None = None
    model: str | None = None
    body: bytes = b""
    """The bytes for the client: the upstream's own, minus any `turnout` member (S-45)."""


class Summary(Struct, frozen=True, kw_only=True):
    """What Turnout adds to an answer: the `turnout` object and the echo of the model."""

    request_id: str
    model: str
    """Concrete name that answered, `provider/model`."""
    created: int
    """Unix seconds."""
    provider: str = ""
    attempts: int = 1
    cost_usd: str | None = None
    cost_state: str = "unknown"
    full: JsonObject | None = None
    """The whole Decision, when `explain: full` was asked."""
    show: bool = False
    """Whether the client asked to see the `turnout` object."""

    def told(self) -> JsonObject:
        """Return the `turnout` object (WIRE.md 6)."""
        out: dict[str, Json] = {
            "request_id": self.request_id,
            "model": self.model,
            "provider": self.provider,
            "attempts": self.attempts,
            "cost_usd": self.cost_usd,
            "cost_state": self.cost_state,
        }
        if self.full is not None:
            out["decision"] = self.full
        return out


class Envelope(Struct, frozen=True, kw_only=True):
    """What a client request says beside its content and preferences, whatever it asks for."""

    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = {}
    session: str | None = None
    route: str | None = None
    explain: str | None = None
    timeout_s: float | None = None
    retries: int | None = None
    warnings: tuple[str, ...] = ()
    ours: frozenset[str] = frozenset()
    """Members of the `turnout` object that were given: they win over headers, which win over all the rest."""
    surface: str | None = None
    """Product place the request is for."""


class Body(Envelope, frozen=True):
    """A client request, parsed: content, preferences and the JSON it came as."""

    request: ChatRequest
    prefer: Preferences
    wire: Wire
    extra: Mapping[str, Json] = NOTHING


class EmbedBody(Envelope, frozen=True, kw_only=True):
    """An embeddings request, parsed."""

    request: EmbedRequest
    prefer: Preferences = Preferences()
    wire: Wire


class TaskBody(Envelope, frozen=True, kw_only=True):
    """A request for an operation, parsed."""

    request: TaskRequest
    endpoint: Endpoint
    """Word by which keys are allowed it and Records name it."""
    prefer: Preferences = Preferences()
    wire: Wire


class StreamEncoder(Protocol):
    """Writes one client stream."""

    def feed(self, events: Sequence[Event]) -> bytes:
        """Return the frames for these events; b"" when nothing is to be shown yet."""
        ...

    def end(self, usage: Usage | None, summary: Summary) -> bytes:
        """Return the closing frames."""
        ...

    def fail(self, error: TurnoutError, summary: Summary) -> bytes:
        """Return the frames of a failure after commit (WIRE.md 9.4)."""
        ...

    def keep_alive(self) -> bytes:
        """Return the frame that keeps a silent stream open (WIRE.md 2.5)."""
        ...


@runtime_checkable
class Resumes(StreamEncoder, Protocol):
    """A stream writer that can end what the upstream's own frames began, where frames are numbered."""

    def resume(self, passed: bytes, answer_id: str | None) -> None:
        """Go on after the frames that passed last, under the upstream's id of the answer."""
        ...


class Dialect(Protocol):
    """Speaks one wire format to clients."""

    wire: str

    def parse(self, body: bytes) -> Body:
        """Read a request strictly. Raises `InvalidRequest` with the path of the offending field."""
        ...

    def render(self, response: ChatResponse, request: ChatRequest, summary: Summary) -> bytes:
        """Write a complete answer."""
        ...

    def stream(self, request: ChatRequest, summary: Summary) -> StreamEncoder:
        """Return a new stream writer. `summary` holds what is known at commit."""
        ...

    def error(self, error: TurnoutError, request_id: str) -> tuple[int, bytes]:
        """Write a failure before the first byte: HTTP status and body."""
        ...


@runtime_checkable
class Addressed(Dialect, Protocol):
    """A dialect whose model and verb stand in the path instead of the body."""

    def parse_call(self, body: bytes, *, model: str, stream: bool) -> Body:
        """Read a request whose address named `model` and whether it streams. Raises `InvalidRequest`."""
        ...


@runtime_checkable
class Embeds(Protocol):
    """A dialect in which clients ask for vectors."""

    def parse_embed(self, body: bytes) -> EmbedBody:
        """Read an embeddings request. Raises `InvalidRequest`."""
        ...

    def render_embed(self, response: EmbedResponse, request: EmbedRequest, summary: Summary) -> bytes:
        """Write vectors as the client wants them encoded."""
        ...


@runtime_checkable
class EmbedsByAddress(Protocol):
    """A dialect in which clients ask for vectors at an address that names the model."""

    def parse_embed_call(self, body: bytes, *, model: str, alone: bool) -> EmbedBody:
        """Read a call to `model`; `alone`: of the form for one text. Raises `InvalidRequest`."""
        ...

    def render_embed(self, response: EmbedResponse, request: EmbedRequest, summary: Summary) -> bytes:
        """Write vectors in the form the call was made in."""
        ...


@runtime_checkable
class Carries(Protocol):
    """A dialect some of whose headers are part of the request (`anthropic-beta` and its kin)."""

    def carry(self, body: Body, headers: Headers) -> Body:
        """Return the request with those of the client's headers that belong to it, on either track."""
        ...


@runtime_checkable
class InLines(Protocol):
    """A dialect whose streams are a JSON object per line, not events."""

    lines: bool
