"""Clouds that serve a format behind an envelope of their own, composed around its codec. Floor 2.

Theory of operation.

1. A host is one `Envelope`, never a codec per pair: the codec writes the call as for its maker, the
   envelope changes the address, a few members of the body and, where the host frames streams otherwise, the
   bytes on the way back.
2. `compose` makes a codec of both. Its `wire` is the inner one's, so the express track stays open: a client
   of that format gets the bytes of the format, whatever carried them.
3. Only the top level of a body is read; the values in it are passed on as the bytes they are.

Sources: Azure OpenAI REST reference; "Claude on Vertex AI" and the Vertex AI REST reference; InvokeModel
and InvokeModelWithResponseStream of the Bedrock API reference (all seen 2026-11).
"""

from collections.abc import Mapping
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct

from turnout.codecs import aws_errors
from turnout.codecs.base import Codec, Decoder, Encoded, Glance, Performs, Tap, TaskTap
from turnout.codecs.failures import unreadable
from turnout.codecs.invoked import InvokeDecoder, InvokeTap, Unwrap, renamed, unwrapped
from turnout.codecs.notes import Notes
from turnout.errors import TurnoutError, UnsupportedParameter
from turnout.types.ask import Wire
from turnout.types.chat import ChatRequest, ChatResponse
from turnout.types.deployment import Deployment, Host
from turnout.types.embed import EmbedRequest, EmbedResponse
from turnout.types.http import HttpRequest, HttpResponse
from turnout.types.json import Json
from turnout.types.task import TaskRequest, TaskResponse
from turnout.types.usage import Usage

CARRIES: Mapping[Host, frozenset[str]] = {
    "azure": frozenset({"openai_chat", "openai_responses"}),
    "vertex": frozenset({"gemini", "anthropic"}),
    "bedrock_invoke": frozenset({"anthropic", "bedrock", "prompt"}),
}
"""Host -> the wire formats it can carry."""
VERSIONED: frozenset[Host] = frozenset({"azure"})
"""Hosts whose surface has versions."""
_SURFACE = "/openai/v1"
_BEDROCK = "bedrock"
_VERSION = b"anthropic-version"
_BETA = b"anthropic-beta"
_PREDICTED: Mapping[str, str] = {"taskType": "task_type", "title": "title"}
"""Gemini's word for what a vector is to serve -> Vertex's."""
_VERSIONS: Mapping[Host, bytes] = {
    "vertex": b'"vertex-2023-10-16"',
    "bedrock_invoke": b'"bedrock-2023-05-31"',
}

_read = msgspec.json.Decoder(dict[str, Raw]).decode
_write = msgspec.json.Encoder().encode


def compose(host: Host, codec: Codec) -> Codec:
    """Return a codec that speaks `codec`'s format through a host."""
    match host:
        case "azure":
            return Hosted(codec, Azure())
        case "vertex":
            return VertexHosted(codec, Vertex())
        case "bedrock_invoke":
            return BedrockHosted(codec, BedrockInvoke())


def address_of(url: str) -> str:
    """Return an address as the host has it: the location `global` stands in no host name."""
    return url.replace("https://global-aiplatform.", "https://aiplatform.")


class Envelope:
    """What a host changes about a call; this one changes nothing."""

    def wrap(self, http: HttpRequest, to: Deployment, *, stream: bool) -> HttpRequest:
        """Return the call as the host wants it."""
        return http


class Azure(Envelope):
    """Azure OpenAI: its versioned surface, or with an `api_version` one address per deployment."""

    def wrap(self, http: HttpRequest, to: Deployment, *, stream: bool) -> HttpRequest:
        """Address the resource."""
        tail = http.url.removeprefix(to.url)
        base = to.url.removesuffix(_SURFACE)
        version = to.vendor.api_version
        if not version:
            return _at(http, base + _SURFACE + tail)
        path, _, query = tail.partition("?")
        # Answers as a resource of their own belong to no deployment.
        folder = "" if path == "/responses" else f"/deployments/{quote(to.upstream_model, safe='')}"
        queries = "&".join(part for part in (query, f"api-version={quote(version, safe='')}") if part)
        return _at(http, f"{base}/openai{folder}{path}?{queries}")


class Vertex(Envelope):
    """Vertex AI: a publisher's model in the path, Claude's format by `rawPredict`."""

    def wrap(self, http: HttpRequest, to: Deployment, *, stream: bool) -> HttpRequest:
        """Address the publisher."""
        tail = http.url.removeprefix(to.url)
        if not tail.startswith("/messages"):
            return _at(http, f"{to.url}/publishers/google{tail}")
        verb = "streamRawPredict" if stream else "rawPredict"
        model = quote(to.upstream_model, safe="@")
        body = _read(http.body)
        body.pop("model", None)
        body.setdefault("anthropic_version", Raw(_VERSIONS["vertex"]))
        headers = [(name, value) for name, value in http.headers if name != _VERSION]
        url = f"{to.url}/publishers/anthropic/models/{model}:{verb}"
        return HttpRequest(http.method, url, headers, _write(body))


class BedrockInvoke(Envelope):
    """Bedrock's InvokeModel: model and streaming in the path, betas in the body."""

    def wrap(self, http: HttpRequest, to: Deployment, *, stream: bool) -> HttpRequest:
        """Address the model."""
        verb = "invoke-with-response-stream" if stream else "invoke"
        body = _read(http.body)
        for name in ("model", "stream"):
            body.pop(name, None)
        url = f"{to.url}/model/{quote(to.upstream_model, safe='')}/{verb}"
        if not http.url.removeprefix(to.url).startswith("/messages"):
            if http.url.startswith(f"{to.url}/model/"):  # Converse's body is that of Amazon's own models
                body.setdefault("schemaVersion", Raw(b'"messages-v1"'))
            return HttpRequest(http.method, url, http.headers, _write(body))
        body.setdefault("anthropic_version", Raw(_VERSIONS["bedrock_invoke"]))
        betas = [each for name, value in http.headers if name == _BETA for each in value.decode().split(",")]
        if betas:
            body.setdefault("anthropic_beta", Raw(_write([beta.strip() for beta in betas])))
        headers = [(name, value) for name, value in http.headers if name not in {_VERSION, _BETA}]
        return HttpRequest(http.method, url, headers, _write(body))


class Hosted:
    """A codec in an envelope."""

    def __init__(self, inner: Codec, envelope: Envelope) -> None:
        self.wire = inner.wire
        self._inner = inner
        self._envelope = envelope

    def encode(self, request: ChatRequest, to: Deployment) -> Encoded:
        """Write the call for a request of any origin."""
        return self._wrapped(self._inner.encode(request, to), to, stream=request.stream)

    def forward(self, wire: Wire, to: Deployment, *, stream: bool) -> Encoded:
        """Write the call from the client's own JSON."""
        return self._wrapped(self._inner.forward(wire, to, stream=stream), to, stream=stream)

    def decode(self, response: HttpResponse) -> ChatResponse:
        """Read a complete answer."""
        return self._inner.decode(response)

    def glance(self, response: HttpResponse) -> Glance:
        """Read only what the engine needs from an answer that passes through."""
        return self._inner.glance(response)

    def decoder(self) -> Decoder:
        """Return a new stream parser."""
        return self._inner.decoder()

    def tap(self, *, strip_usage: bool) -> Tap:
        """Return a new pass-through reader."""
        return self._inner.tap(strip_usage=strip_usage)

    def error(self, response: HttpResponse) -> TurnoutError:
        """Map a failed answer to one class. Never raises."""
        return self._inner.error(response)

    def encode_embed(self, request: EmbedRequest, to: Deployment) -> Encoded:
        """Write an embeddings call."""
        return self._wrapped(self._inner.encode_embed(request, to), to, stream=False)

    def decode_embed(self, response: HttpResponse) -> EmbedResponse:
        """Read vectors."""
        return self._inner.decode_embed(response)

    def encode_task(self, request: TaskRequest, to: Deployment) -> Encoded:
        """Write a call for an operation. Raises `UnsupportedParameter` where the format has none."""
        return self._wrapped(self._performing.encode_task(request, to), to, stream=False)

    def decode_task(self, response: HttpResponse, request: TaskRequest, to: Deployment) -> TaskResponse:
        """Read a complete answer of an operation."""
        return self._performing.decode_task(response, request, to)

    def task_tap(self, content_type: str, request: TaskRequest) -> TaskTap | None:
        """Return a reader for an answer that may pass as it comes."""
        return self._performing.task_tap(content_type, request)

    @property
    def _performing(self) -> Performs:
        if not isinstance(self._inner, Performs):
            raise UnsupportedParameter(f"the format {self.wire} has no such operation", param="model")
        return self._inner

    def _wrapped(self, encoded: Encoded, to: Deployment, *, stream: bool) -> Encoded:
        http = self._envelope.wrap(encoded.http, to, stream=stream)
        return Encoded(http, encoded.dropped, encoded.warnings)


class VertexHosted(Hosted):
    """Vertex AI has no batch of embeddings of its own: it predicts them."""

    def encode_embed(self, request: EmbedRequest, to: Deployment) -> Encoded:
        """Write a `:predict` call. Raises `UnsupportedParameter` as the format itself does."""
        plain = self._inner.encode_embed(request, to)
        notes = Notes()
        for name in plain.dropped:
            notes.drop(name)
        more: dict[str, Json] = {}
        for name, value in request.extra.items() if request.wire == self.wire else ():
            if name in _PREDICTED:
                more[_PREDICTED[name]] = value
            elif name != "outputDimensionality":
                notes.drop(name)
        body: dict[str, Json] = {"instances": [{**more, "content": text} for text in request.input]}
        if request.dimensions is not None:
            body["parameters"] = {"outputDimensionality": request.dimensions}
        url = f"{to.url}/publishers/google/models/{quote(to.upstream_model, safe='@')}:predict"
        return notes.encoded(HttpRequest("POST", url, plain.http.headers, _write(body)))

    def decode_embed(self, response: HttpResponse) -> EmbedResponse:
        """Read predicted vectors."""
        try:
            found = _read_predicted(response.body).predictions
        except (ValueError, RecursionError) as error:
            raise unreadable(str(error), response.body, self.wire) from error
        if not found:
            raise unreadable("it has no vectors", response.body, self.wire)
        counted = [each.embeddings.statistics.token_count for each in found]
        known = [n for n in counted if n is not None]
        usage = Usage(input_uncached=int(sum(known)) if len(known) == len(counted) else None)
        return EmbedResponse(model="", vectors=tuple(each.embeddings.values for each in found), usage=usage)


class BedrockHosted(Hosted):
    """Streams come as event-stream frames, failures in the provider's own words."""

    def decoder(self) -> Decoder:
        """Return a new stream parser."""
        return InvokeDecoder(self._inner.decoder(), self._unwrap)

    def tap(self, *, strip_usage: bool) -> Tap:
        """Return a new pass-through reader: frames in, the format's own stream out."""
        return InvokeTap(self._inner.tap(strip_usage=strip_usage), self._unwrap)

    def error(self, response: HttpResponse) -> TurnoutError:
        """Map a failed answer to one class. Never raises."""
        return aws_errors.of_response(response, _BEDROCK)

    def encode_embed(self, request: EmbedRequest, to: Deployment) -> Encoded:
        """Refuse: the formats carried have no embeddings."""
        raise UnsupportedParameter(f"{to.vendor.name} has no embeddings for {request.model}", param="model")

    @property
    def _unwrap(self) -> Unwrap:
        return renamed if self.wire == _BEDROCK else unwrapped


class _Statistics(Struct, frozen=True):
    token_count: float | None = None


class _Vector(Struct, frozen=True):
    values: tuple[float, ...]
    statistics: _Statistics = _Statistics()


class _Prediction(Struct, frozen=True):
    embeddings: _Vector


class _Predicted(Struct, frozen=True):
    predictions: tuple[_Prediction, ...] = ()


_read_predicted = msgspec.json.Decoder(_Predicted).decode


def _at(http: HttpRequest, url: str) -> HttpRequest:
    return HttpRequest(http.method, url, http.headers, http.body)
