"""Answers of Ollama, complete and streamed, and vectors. Floor 2.

Theory of operation of a stream: a JSON object per line, the last one with `done: true` and the counters. A
call comes whole in one line. An error line, or a line that is no JSON, found behind content of the same
read waits for the next call, so that the split of the bytes changes nothing.
"""

import msgspec

from turnout.codecs.base import Encoded
from turnout.codecs.failures import unreadable
from turnout.codecs.held import HoldingDecoder
from turnout.codecs.lines import LineBuffer
from turnout.codecs.notes import Notes
from turnout.codecs.ollama.request import http
from turnout.codecs.ollama.wire import WIRE, call_of, created_of, finish_of, read_chunk, usage_of
from turnout.errors import StreamInterrupted, UnsupportedParameter
from turnout.types.chat import ChatResponse, Choice, Part, Reasoning, Text
from turnout.types.deployment import Deployment
from turnout.types.embed import EmbedRequest, EmbedResponse
from turnout.types.event import Event, Finish, ReasoningDelta, Start, TextDelta, ToolDelta, UsageUpdate
from turnout.types.http import HttpResponse
from turnout.types.json import Json
from turnout.types.usage import Usage

_TIMES = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")
"""Kept in the answer's `extra`."""
_PASSED = ("truncate", "keep_alive", "options")

_read = msgspec.json.Decoder(dict[str, Json]).decode


def decode(response: HttpResponse) -> ChatResponse:
    """Read a complete answer. Raises the class of an error inside a 200, or `ProviderBadResponse`."""
    chunk = read_chunk(response.body)
    said = chunk.message
    if said is None or not chunk.done:
        raise unreadable("it has no message, or is not done", response.body, WIRE)
    parts: list[Part] = []
    if said.thinking:
        parts.append(Reasoning(text=said.thinking, wire=WIRE))
    if said.content or not said.tool_calls:
        parts.append(Text(said.content))
    calls = [call_of(call) for call in said.tool_calls or ()]
    parts += calls
    return ChatResponse(
        id="",
        model=chunk.model,
        choices=(
            Choice(
                parts=tuple(parts),
                finish=finish_of(chunk.done_reason, has_calls=bool(calls)),
                native_finish=chunk.done_reason,
            ),
        ),
        usage=usage_of(chunk),
        created=created_of(chunk.created_at),
        wire=WIRE,
        extra={name: value for name in _TIMES if (value := getattr(chunk, name)) is not None},
    )


class OllamaDecoder(HoldingDecoder[bytes]):
    """Push parser of one upstream stream."""

    __slots__ = ("_buffer", "_done", "_n_calls", "_started")

    def __init__(self) -> None:
        self._buffer = LineBuffer()
        super().__init__(self._buffer.take)
        self._started = False
        self._done = False
        self._n_calls = 0

    def end(self) -> list[Event]:
        """Tell that the stream is over. Raises `StreamInterrupted` without a line that says `done`."""
        if self._failure is not None:
            raise self._failure
        rest = self._buffer.rest()
        if rest and not self._done and _is_whole(rest):
            return self.feed(rest + b"\n")
        if not self._done:
            self._failure = StreamInterrupted("the provider's stream ended before a line that is done")
            raise self._failure
        return []

    def _take(self, line: bytes, events: list[Event]) -> None:
        if self._done:
            return
        chunk = read_chunk(line)
        if not self._started:
            self._started = True
            events.append(Start(id="", model=chunk.model, created=created_of(chunk.created_at)))
        said = chunk.message
        if said is not None:
            if said.thinking:
                events.append(ReasoningDelta(text=said.thinking, wire=WIRE))
            if said.content:
                events.append(TextDelta(said.content))
            for call in map(call_of, said.tool_calls or ()):
                events.append(
                    ToolDelta(index=self._n_calls, id=call.id, name=call.name, arguments=call.arguments)
                )
                self._n_calls += 1
        if chunk.done:
            self._done = True
            events.append(UsageUpdate(usage_of(chunk)))
            reason = finish_of(chunk.done_reason, has_calls=self._n_calls > 0)
            events.append(Finish(reason=reason, native=chunk.done_reason))


def encode_embed(request: EmbedRequest, to: Deployment) -> Encoded:
    """Write an embeddings call. Raises `UnsupportedParameter` for tokens: the format takes texts only."""
    notes = Notes()
    texts = [text for text in request.input if isinstance(text, str)]
    if len(texts) != len(request.input):
        raise UnsupportedParameter(f"{to.id} takes text only", param="input")
    body: dict[str, object] = {"model": to.upstream_model, "input": texts}
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    for name, value in request.extra.items():
        if name in _PASSED and request.wire in {WIRE, ""}:
            body[name] = value
        else:
            notes.drop(name)
    if request.user:
        notes.drop("user")
    return notes.encoded(http(body, to, "embed"))


def decode_embed(response: HttpResponse) -> EmbedResponse:
    """Read vectors in input order. Raises `ProviderBadResponse`."""
    try:
        tree = _read(response.body)
        vectors = msgspec.convert(tree.get("embeddings"), tuple[tuple[float, ...], ...])
    except (ValueError, RecursionError) as error:
        raise unreadable(str(error), response.body, WIRE) from error
    counted = tree.get("prompt_eval_count")
    usage = Usage(input_uncached=counted if isinstance(counted, int) else None)
    return EmbedResponse(model=str(tree.get("model") or ""), vectors=vectors, usage=usage)


def _is_whole(line: bytes) -> bool:
    try:
        _read(line)
    except (ValueError, RecursionError):
        return False
    return True
