"""The two faces of the format: `OpenAIChat` to upstreams, `OpenAIChatDialect` to clients. Floor 2."""

from turnout.codecs.base import EmbedBody, Encoded, Summary, TaskTap
from turnout.codecs.openai_chat import tasks
from turnout.codecs.openai_chat.embeddings import decode_embed, encode_embed, parse_embed, render_embed
from turnout.codecs.openai_chat.encode import encode, forward
from turnout.codecs.openai_chat.errors import read_error
from turnout.codecs.openai_chat.marks import MARK
from turnout.codecs.openai_chat.render import render
from turnout.codecs.openai_chat.request import parse_request
from turnout.codecs.openai_chat.response import decode, glance
from turnout.codecs.openai_chat.stream import OpenAIChatDecoder
from turnout.codecs.openai_chat.tap import OpenAIChatTap
from turnout.codecs.openai_chat.wire import WIRE
from turnout.codecs.openai_chat.writer import OpenAIChatStream
from turnout.codecs.openai_failure import write_error
from turnout.codecs.unsaid import SHOWN, told
from turnout.errors import TurnoutError
from turnout.types.chat import ChatRequest, ChatResponse
from turnout.types.deployment import Deployment
from turnout.types.embed import EmbedRequest, EmbedResponse
from turnout.types.http import HttpResponse
from turnout.types.task import TaskRequest, TaskResponse

_SAID = frozenset(
    {"response_format.description", "signature", "messages.name", "image.detail", "document.name"}
)
"""What the format can say beside words and tools, or notes itself (`codecs.unsaid`)."""
_SAID_IN_FULL = _SAID | {SHOWN}
"""Likewise, where `reasoning` is an object."""
_MARKS = frozenset({MARK})


class OpenAIChat:
    """Speaks chat completions, embeddings and the other operations to any OpenAI-compatible host."""

    wire = WIRE
    forward = staticmethod(forward)  # what each request of the express track calls, without a call between
    glance = staticmethod(glance)

    def encode(self, request: ChatRequest, to: Deployment) -> Encoded:
        """Write the call."""
        quirks = to.vendor.quirks
        said = _SAID if quirks.thinking_field != "reasoning" else _SAID_IN_FULL
        if quirks.cache_marks:
            said |= _MARKS
        return told(encode(request, to), request, WIRE, said)

    def decode(self, response: HttpResponse) -> ChatResponse:
        """Read a complete answer."""
        return decode(response)

    def decoder(self) -> OpenAIChatDecoder:
        """Return a new stream parser."""
        return OpenAIChatDecoder()

    def tap(self, *, strip_usage: bool) -> OpenAIChatTap:
        """Return a new pass-through reader."""
        return OpenAIChatTap(strip_usage=strip_usage)

    def error(self, response: HttpResponse) -> TurnoutError:
        """Map a failed answer to one class."""
        return read_error(response)

    def encode_embed(self, request: EmbedRequest, to: Deployment) -> Encoded:
        """Write an embeddings call."""
        return encode_embed(request, to)

    def decode_embed(self, response: HttpResponse) -> EmbedResponse:
        """Read vectors."""
        return decode_embed(response)

    def encode_task(self, request: TaskRequest, to: Deployment) -> Encoded:
        """Write a call for an operation."""
        return tasks.encode_task(request, to)

    def decode_task(self, response: HttpResponse, request: TaskRequest, to: Deployment) -> TaskResponse:
        """Read a complete answer of an operation."""
        return tasks.decode_task(response, request, to)

    def task_tap(self, content_type: str, request: TaskRequest) -> TaskTap | None:
        """Return a reader for an answer that may pass as it comes; None = it must be read whole."""
        return tasks.task_tap(content_type, request)


class OpenAIChatDialect:
    """Speaks chat completions and embeddings to clients."""

    wire = WIRE
    parse = staticmethod(parse_request)

    def render(self, response: ChatResponse, request: ChatRequest, summary: Summary) -> bytes:
        """Write a complete answer."""
        return render(response, request, summary)

    def stream(self, request: ChatRequest, summary: Summary) -> OpenAIChatStream:
        """Return a new stream writer."""
        return OpenAIChatStream(request, summary)

    def error(self, error: TurnoutError, requestid: str) -> tuple[int, bytes]:
        """Write a failure before the first byte."""
        return write_error(error, requestid, WIRE)

    def parse_embed(self, body: bytes) -> EmbedBody:
        """Read an embeddings request."""
        return parse_embed(body)

    def render_embed(self, response: EmbedResponse, request: EmbedRequest, summary: Summary) -> bytes:
        """Write vectors as the client wants them encoded."""
        return render_embed(response, request, summary)
