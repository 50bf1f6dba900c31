"""Speaks generateContent to upstreams. Floor 2."""

from turnout.codecs.base import Encoded, Glance
from turnout.codecs.gemini import embed, errors, pictures
from turnout.codecs.gemini import request as requests
from turnout.codecs.gemini import response as responses
from turnout.codecs.gemini.stream import GeminiDecoder
from turnout.codecs.gemini.tap import GeminiTap
from turnout.codecs.gemini.wire import WIRE
from turnout.codecs.unsaid import REASONING, SHOWN, told
from turnout.errors import TurnoutError
from turnout.types.ask import Wire
from turnout.types.chat import ChatRequest, ChatResponse
from turnout.types.deployment import Deployment
from turnout.types.embed import EmbedRequest, EmbedResponse
from turnout.types.http import HttpResponse
from turnout.types.task import TaskRequest, TaskResponse

_SAID = frozenset({SHOWN, REASONING, "signature", "image.detail", "tool_result.is_error"})
"""What the format can say beside words and tools, or notes itself (`codecs.unsaid`)."""


class Gemini:
    """The generateContent wire format, as a `Codec`. Holds nothing."""

    wire = WIRE

    def encode(self, request: ChatRequest, to: Deployment) -> Encoded:
        """Write the call."""
        return told(requests.encode(request, to), request, WIRE, _SAID)

    def forward(self, wire: Wire, to: Deployment, *, stream: bool) -> Encoded:
        """Send the client's own JSON to the deployment's model."""
        return requests.forward(wire, to, stream=stream)

    def decode(self, response: HttpResponse) -> ChatResponse:
        """Read a complete 2xx answer."""
        return responses.decode(response)

    def glance(self, response: HttpResponse) -> Glance:
        """Read usage and finish of an answer that passes through."""
        return responses.glance(response)

    def decoder(self) -> GeminiDecoder:
        """Return a new stream parser."""
        return GeminiDecoder()

    def tap(self, *, strip_usage: bool) -> GeminiTap:
        """Return a new pass-through reader."""
        return GeminiTap()

    def error(self, response: HttpResponse) -> TurnoutError:
        """Map a non-2xx answer to one class."""
        return errors.of_response(response)

    def encode_embed(self, request: EmbedRequest, to: Deployment) -> Encoded:
        """Write an embeddings call."""
        return embed.encode_embed(request, to)

    def decode_embed(self, response: HttpResponse) -> EmbedResponse:
        """Read vectors."""
        return embed.decode_embed(response)

    def encode_task(self, request: TaskRequest, to: Deployment) -> Encoded:
        """Write a call for an operation."""
        return pictures.encode_task(request, to)

    def decode_task(self, response: HttpResponse, request: TaskRequest, to: Deployment) -> TaskResponse:
        """Read a complete answer of an operation."""
        return pictures.decode_task(response, request, to)

    def task_tap(self, content_type: str, request: TaskRequest) -> None:
        """Return nothing: these answers are read whole."""
