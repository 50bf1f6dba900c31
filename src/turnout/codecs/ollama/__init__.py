"""Ollama's native format: `/api/chat` and `/api/embed`. Floor 2."""

from turnout.codecs.base import Encoded, Glance
from turnout.codecs.ollama import response as answers
from turnout.codecs.ollama.dialect import OllamaDialect
from turnout.codecs.ollama.generate import OllamaGenerateDialect
from turnout.codecs.ollama.request import encode, forward
from turnout.codecs.ollama.wire import WIRE, error_of
from turnout.codecs.through import DecodingTap, glance
from turnout.codecs.unsaid import REASONING, SHOWN, told
from turnout.errors import TurnoutError
from turnout.types.ask import Wire
from turnout.types.chat import ChatRequest, ChatResponse
from turnout.types.deployment import Deployment
from turnout.types.embed import EmbedRequest, EmbedResponse
from turnout.types.http import HttpResponse

__all__ = ["Ollama", "OllamaDialect", "OllamaGenerateDialect"]

_SAID = frozenset({SHOWN, REASONING, "messages.name"})
"""What the format can say beside words and tools, or notes itself (`codecs.unsaid`)."""


class Ollama:
    """Speaks Ollama's native format to upstreams."""

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

    def decoder(self) -> answers.OllamaDecoder:
        """Return a new stream parser."""
        return answers.OllamaDecoder()

    def tap(self, *, strip_usage: bool) -> DecodingTap:
        """Return a new pass-through reader. This format always reports usage: there is nothing to strip."""
        return DecodingTap(answers.OllamaDecoder())

    def error(self, response: HttpResponse) -> TurnoutError:
        """Map a non-2xx answer (or an error body) to one class of the taxonomy. Never raises."""
        return error_of(response)

    def encode_embed(self, request: EmbedRequest, to: Deployment) -> Encoded:
        """Write an embeddings call."""
        return answers.encode_embed(request, to)

    def decode_embed(self, response: HttpResponse) -> EmbedResponse:
        """Read vectors."""
        return answers.decode_embed(response)
