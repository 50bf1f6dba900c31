"""Amazon Bedrock's Converse and ConverseStream. Floor 2."""

from turnout.codecs import aws_errors
from turnout.codecs.base import Encoded, Glance
from turnout.codecs.bedrock import embed, rerank
from turnout.codecs.bedrock.dialect import BedrockDialect
from turnout.codecs.bedrock.request import encode, forward
from turnout.codecs.bedrock.response import decode
from turnout.codecs.bedrock.stream import BedrockDecoder
from turnout.codecs.bedrock.wire import WIRE
from turnout.codecs.through import DecodingTap, glance
from turnout.codecs.unsaid import REASONING, SHOWN, told
from turnout.errors import TurnoutError
from turnout.types.ask import Wire
from turnout.types.chat import ChatRequest, ChatResponse
from turnout.types.deployment import Deployment
from turnout.types.embed import EmbedRequest, EmbedResponse
from turnout.types.http import HttpResponse
from turnout.types.task import TaskRequest, TaskResponse

__all__ = ["Bedrock", "BedrockDialect"]

_SAID = frozenset(
    {
        SHOWN,
        "response_format.description",
        REASONING,
        "messages.name",
        "cache_control",
        "document.name",
        "tool_result.is_error",
    }
)
"""What the format can say beside words and tools, or notes itself (`codecs.unsaid`)."""


class Bedrock:
    """Speaks Converse to upstreams."""

    wire = WIRE

    def encode(self, request: ChatRequest, to: Deployment) -> Encoded:
        """Write the call for a request of any origin."""
        return told(encode(request, to), request, WIRE, _SAID)

    def forward(self, wire: Wire, to: Deployment, *, stream: bool) -> Encoded:
        """Write the call from the client's own JSON, addressed to the deployment's model."""
        return forward(wire, to, stream=stream)

    def decode(self, response: HttpResponse) -> ChatResponse:
        """Read a complete answer. Raises the class of a failed one, or `ProviderBadResponse`."""
        return decode(response)

    def glance(self, response: HttpResponse) -> Glance:
        """Read only what the engine needs from an answer that passes through."""
        return glance(decode, response)

    def decoder(self) -> BedrockDecoder:
        """Return a new stream parser."""
        return BedrockDecoder()

    def tap(self, *, strip_usage: bool) -> DecodingTap:
        """Return a new pass-through reader. This format always reports usage: there is nothing to strip."""
        return DecodingTap(BedrockDecoder())

    def error(self, response: HttpResponse) -> TurnoutError:
        """Map a non-2xx answer (or an error body) to one class of the taxonomy. Never raises."""
        return aws_errors.of_response(response, WIRE)

    def encode_embed(self, request: EmbedRequest, to: Deployment) -> Encoded:
        """Write an embeddings call."""
        return embed.encode_embed(request, to)

    def decode_embed(self, response: HttpResponse) -> EmbedResponse:
        """Read vectors."""
        return embed.decode_embed(response)

    def encode_task(self, request: TaskRequest, to: Deployment) -> Encoded:
        """Write a call for an operation."""
        return rerank.encode_task(request, to)

    def decode_task(self, response: HttpResponse, request: TaskRequest, to: Deployment) -> TaskResponse:
        """Read a complete answer of an operation."""
        return rerank.decode_task(response, request, to)

    def task_tap(self, content_type: str, request: TaskRequest) -> None:
        """Return nothing: these answers are read whole."""
