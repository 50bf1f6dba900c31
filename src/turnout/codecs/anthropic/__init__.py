"""The Anthropic messages wire format, in both directions. Floor 2."""

from turnout.codecs.anthropic.dialect import AnthropicDialect
from turnout.codecs.anthropic.errors import of_response
from turnout.codecs.anthropic.request import encode, forward
from turnout.codecs.anthropic.response import decode, glance
from turnout.codecs.anthropic.stream import AnthropicDecoder
from turnout.codecs.anthropic.tap import AnthropicTap
from turnout.codecs.anthropic.wire import WIRE
from turnout.codecs.base import Encoded, Glance
from turnout.codecs.unsaid import REASONING, SHOWN, told
from turnout.errors import ProviderBadResponse, TurnoutError, UnsupportedParameter
from turnout.types.ask import Wire
from turnout.types.chat import ChatRequest, ChatResponse
from turnout.types.deployment import Deployment
from turnout.types.embed import EmbedRequest, EmbedResponse
from turnout.types.http import HttpResponse

__all__ = ["Anthropic", "AnthropicDialect"]

_SAID = frozenset(
    {
        SHOWN,
        REASONING,
        "messages.name",
        "cache_control",
        "image.detail",
        "document.name",
        "tool_result.is_error",
    }
)
"""What the format can say beside words and tools, or notes itself (`codecs.unsaid`)."""


class Anthropic:
    """Speaks the Anthropic messages format to upstreams."""

    wire = WIRE

    def encode(self, request: ChatRequest, to: Deployment) -> Encoded:
        """Write the call for a request of any origin."""
        return told(encode(request, to), request, WIRE, _SAID)

    def forward(self, wire: Wire, to: Deployment, *, stream: bool) -> Encoded:
        """Write the call from the client's own JSON, with the model replaced."""
        return forward(wire, to, stream=stream)

    def decode(self, response: HttpResponse) -> ChatResponse:
        """Read a complete answer. Raises the class of an error inside a 200, or `ProviderBadResponse`."""
        return decode(response)

    def glance(self, response: HttpResponse) -> Glance:
        """Read only what the engine needs from an answer that passes through."""
        return glance(response)

    def decoder(self) -> AnthropicDecoder:
        """Return a new stream parser."""
        return AnthropicDecoder()

    def tap(self, *, strip_usage: bool) -> AnthropicTap:
        """Return a new pass-through reader. This format always reports usage: there is nothing to strip."""
        return AnthropicTap()

    def error(self, response: HttpResponse) -> TurnoutError:
        """Map a non-2xx answer (or an error body) to one class of the taxonomy. Never raises."""
        return of_response(response)

    def encode_embed(self, request: EmbedRequest, to: Deployment) -> Encoded:
        """Refuse: the format has no embeddings."""
        raise UnsupportedParameter(f"{to.vendor.name} has no embeddings for {request.model}", param="model")

    def decode_embed(self, response: HttpResponse) -> EmbedResponse:
        """Refuse: the format has no embeddings."""
        raise ProviderBadResponse(f"the messages format has no embeddings, yet {response.status} came")
