"""Speaks generateContent to clients. Floor 2."""

from turnout.codecs.base import Body, EmbedBody, Summary
from turnout.codecs.gemini import embed_call, errors
from turnout.codecs.gemini import parse as requests
from turnout.codecs.gemini import render as answers
from turnout.codecs.gemini.answer_stream import GeminiStream
from turnout.codecs.gemini.wire import WIRE, write
from turnout.errors import TurnoutError
from turnout.types.chat import ChatRequest, ChatResponse
from turnout.types.embed import EmbedRequest, EmbedResponse


class GeminiDialect:
    """The generateContent wire format, as a `Dialect`. Holds nothing."""

    wire = WIRE

    def parse(self, body: bytes) -> Body:
        """Read a request whose model stands in the body."""
        return requests.parse(body)

    def parse_call(self, body: bytes, *, model: str, stream: bool) -> Body:
        """Read a request whose model and method came in the URL. Raises `InvalidRequest` as `parse` does."""
        return requests.parse_call(body, model=model, stream=stream)

    def parse_embed_call(self, body: bytes, *, model: str, alone: bool) -> EmbedBody:
        """Read texts to embed. Raises `InvalidRequest`, `UnsupportedParameter` for what is not text."""
        return embed_call.parse_embed_call(body, model=model, alone=alone)

    def render_embed(self, response: EmbedResponse, request: EmbedRequest, summary: Summary) -> bytes:
        """Write vectors in the form the call was made in."""
        return embed_call.render_embed(response, request, summary)

    def render(self, response: ChatResponse, request: ChatRequest, summary: Summary) -> bytes:
        """Write a complete answer."""
        return answers.render(response, request, summary)

    def stream(self, request: ChatRequest, summary: Summary) -> GeminiStream:
        """Return a new stream writer."""
        return GeminiStream(request, summary)

    def error(self, error: TurnoutError, request_id: str) -> tuple[int, bytes]:
        """Write a failure before the first byte."""
        status, body = errors.body_of(error, request_id)
        return status, write(body)
