"""Formats that take one prompt and give its continuation: completions, generate, text models. Floor 2.

One codec for all of them: what differs is a row of `families`, named by `quirks.prompt` or, at a cloud that
has several, known by the model's name.
"""

from turnout.codecs.base import Encoded, Glance
from turnout.codecs.prompt.request import WIRE, encode
from turnout.codecs.prompt.response import PromptDecoder, decode, error_of
from turnout.codecs.through import DecodingTap, glance
from turnout.errors import TurnoutError, UnsupportedParameter
from turnout.types.ask import Wire
from turnout.types.chat import ChatRequest, ChatResponse
from turnout.types.deployment import Deployment
from turnout.types.embed import EmbedRequest, EmbedResponse
from turnout.types.http import HttpResponse

__all__ = ["Prompt"]


class Prompt:
    """Speaks to upstreams that continue a prompt."""

    wire = WIRE

    def encode(self, request: ChatRequest, to: Deployment) -> Encoded:
        """Write the call for a request of any origin."""
        return encode(request, to)

    def forward(self, wire: Wire, to: Deployment, *, stream: bool) -> Encoded:
        """Refuse: no client speaks this format, so that nothing can be sent as it came."""
        raise UnsupportedParameter(f"{to.id} takes no request as it came", param="model")

    def decode(self, response: HttpResponse) -> ChatResponse:
        """Read a complete answer."""
        return decode(response)

    def glance(self, response: HttpResponse) -> Glance:
        """Read only what the engine needs from an answer that passes through."""
        return glance(decode, response)

    def decoder(self) -> PromptDecoder:
        """Return a new stream parser."""
        return PromptDecoder()

    def tap(self, *, strip_usage: bool) -> DecodingTap:
        """Return a new pass-through reader."""
        return DecodingTap(PromptDecoder())

    def error(self, response: HttpResponse) -> TurnoutError:
        """Map a non-2xx answer (or an error body) to one class of the taxonomy. Never raises."""
        return error_of(response)

    def encode_embed(self, request: EmbedRequest, to: Deployment) -> Encoded:
        """Refuse: these formats have no vectors."""
        raise UnsupportedParameter(f"{to.id} has no embeddings", param="model")

    def decode_embed(self, response: HttpResponse) -> EmbedResponse:
        """Refuse, likewise."""
        raise UnsupportedParameter("this format has no embeddings", param="model")
