"""Cohere's v2 wire format: chat, embeddings and rankings. Floor 2."""

from turnout.codecs.base import Encoded, Glance
from turnout.codecs.cohere import rerank
from turnout.codecs.cohere import response as answers
from turnout.codecs.cohere.dialect import CohereDialect
from turnout.codecs.cohere.request import encode, forward
from turnout.codecs.cohere.stream import CohereDecoder
from turnout.codecs.cohere.wire import WIRE
from turnout.codecs.through import DecodingTap, glance
from turnout.codecs.unsaid import REASONING, SHOWN, told
from turnout.errors import TurnoutError
from turnout.types.ask import Wire
from turnout.types.chat import ChatRequest, ChatResponse
from turnout.types.deployment import Deployment
from turnout.types.embed import EmbedRequest, EmbedResponse
from turnout.types.http import HttpResponse
from turnout.types.task import TaskRequest, TaskResponse

__all__ = ["Cohere", "CohereDialect"]

_SAID = frozenset({SHOWN, REASONING, "messages.name", "image.detail", "document.name"})
"""What the format can say beside words and tools, or notes itself (`codecs.unsaid`)."""


class Cohere:
    """Speaks Cohere's v2 format to upstreams."""

    wire = WIRE

    def encode(self, request: ChatRequest, to: Deployment) -> Encoded:
        """Write the call for a request of any origin."""
        return told(encode(request, to), request, WIRE, _SAID)

    def forward(self, wire: Wire, to: Deployment, *, stream: bool) -> Encoded:
        """Write the call from the client's own JSON, with the model replaced."""
        return forward(wire, to, stream=stream)

    def decode(self, response: HttpResponse) -> ChatResponse:
        """Read a complete answer. Raises the class of an error inside a 200, or `ProviderBadResponse`."""
        return answers.decode(response)

    def glance(self, response: HttpResponse) -> Glance:
        """Read only what the engine needs from an answer that passes through."""
        return glance(answers.decode, response)

    def decoder(self) -> CohereDecoder:
        """Return a new stream parser."""
        return CohereDecoder()

    def tap(self, *, strip_usage: bool) -> DecodingTap:
        """Return a new pass-through reader. This format always reports usage: there is nothing to strip."""
        return DecodingTap(CohereDecoder())

    def error(self, response: HttpResponse) -> TurnoutError:
        """Map a non-2xx answer (or an error body) to one class of the taxonomy. Never raises."""
        return answers.error_of(response)

    def encode_embed(self, request: EmbedRequest, to: Deployment) -> Encoded:
        """Write an embeddings call."""
        return answers.encode_embed(request, to)

    def decode_embed(self, response: HttpResponse) -> EmbedResponse:
        """Read vectors."""
        return answers.decode_embed(response)

    def encode_task(self, request: TaskRequest, to: Deployment) -> Encoded:
        """Write a call for an operation."""
        return rerank.encode_task(request, to)

    def decode_task(self, response: HttpResponse, request: TaskRequest, to: Deployment) -> TaskResponse:
        """Read a complete answer of an operation."""
        return rerank.decode_task(response, request, to)

    def task_tap(self, content_type: str, request: TaskRequest) -> None:
        """Return nothing: these answers are read whole."""
