"""The two faces of the format: `OpenAIResponses` to upstreams, its dialect to clients. Floor 2."""

from turnout.codecs.base import Body, Encoded, Glance, Summary
from turnout.codecs.openai_responses.encode import encode, forward
from turnout.codecs.openai_responses.errors import read_error, write_error
from turnout.codecs.openai_responses.render import render
from turnout.codecs.openai_responses.request import parse_request
from turnout.codecs.openai_responses.response import decode, glance
from turnout.codecs.openai_responses.stream import OpenAIResponsesDecoder
from turnout.codecs.openai_responses.tap import OpenAIResponsesTap
from turnout.codecs.openai_responses.wire import WIRE
from turnout.codecs.openai_responses.writer import OpenAIResponsesStream
from turnout.codecs.unsaid import SHOWN, told
from turnout.errors import ProviderBadResponse, TurnoutError, UnsupportedParameter
from turnout.types.ask import Wire
from turnout.types.chat import ChatRequest, ChatResponse
from turnout.types.deployment import Deployment
from turnout.types.embed import EmbedRequest, EmbedResponse
from turnout.types.http import HttpResponse

_SAID = frozenset(
    {SHOWN, "response_format.description", "thinking.summary", "image.detail", "document.name", "annotations"}
)
"""What the format can say beside words and tools, or notes itself (`codecs.unsaid`)."""


class OpenAIResponses:
    """Speaks responses to OpenAI and the hosts that are compatible with it."""

    wire = WIRE
    beside = "openai_chat"
    """Vectors, pictures, sound and moderations are other endpoints of the same hosts (`codecs.beside`)."""

    def encode(self, request: ChatRequest, to: Deployment) -> Encoded:
        """Write the call."""
        return told(encode(request, to), request, WIRE, _SAID)

    def forward(self, wire: Wire, to: Deployment, *, stream: bool) -> Encoded:
        """Write the call from the client's own JSON."""
        return forward(wire, to, stream=stream)

    def decode(self, response: HttpResponse) -> ChatResponse:
        """Read a complete answer."""
        return decode(response)

    def glance(self, response: HttpResponse) -> Glance:
        """Read what the engine needs from an answer that passes through."""
        return glance(response)

    def decoder(self) -> OpenAIResponsesDecoder:
        """Return a new stream parser."""
        return OpenAIResponsesDecoder()

    def tap(self, *, strip_usage: bool) -> OpenAIResponsesTap:
        """Return a new pass-through reader: usage is part of every answer."""
        return OpenAIResponsesTap()

    def error(self, response: HttpResponse) -> TurnoutError:
        """Map a failed answer to one class."""
        return read_error(response)

    def encode_embed(self, request: EmbedRequest, to: Deployment) -> Encoded:
        """Refuse: this format has no embeddings."""
        raise UnsupportedParameter("the responses format has no embeddings", param="model")

    def decode_embed(self, response: HttpResponse) -> EmbedResponse:
        """Refuse: nothing was asked for."""
        raise ProviderBadResponse("the responses format has no embeddings")


class OpenAIResponsesDialect:
    """Speaks responses to clients."""

    wire = WIRE

    def parse(self, body: bytes) -> Body:
        """Read a request."""
        return parse_request(body)

    def render(self, response: ChatResponse, request: ChatRequest, summary: Summary) -> bytes:
        """Write a complete answer."""
        return render(response, request, summary)

    def stream(self, request: ChatRequest, summary: Summary) -> OpenAIResponsesStream:
        """Return a new stream writer."""
        return OpenAIResponsesStream(request, summary)

    def error(self, error: TurnoutError, request_id: str) -> tuple[int, bytes]:
        """Write a failure before the first byte."""
        return write_error(error, request_id)
