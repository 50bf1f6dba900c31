"""The older completions endpoint of OpenAI, for clients alone: a prompt in, its continuation out. Floor 2.

To an upstream it is a chat with one turn of the user. What a chat cannot do is refused: text between two
texts (`suffix`), the prompt said again (`echo`), the best of several (`best_of`), and several prompts or
prompts of tokens in one request.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from turnout.codecs import extras, strict
from turnout.codecs.base import Body, Summary
from turnout.codecs.openai_chat.usage import write_usage
from turnout.codecs.openai_chat.wire import WIRE, Count, StreamOptions
from turnout.codecs.openai_failure import write_error
from turnout.errors import InvalidRequest, TurnoutError, UnsupportedParameter
from turnout.types.ask import Wire
from turnout.types.chat import NOTHING, ChatRequest, ChatResponse, Choice, Facts, FinishReason, Message, Text
from turnout.types.event import Event, Finish, TextDelta
from turnout.types.json import Json, JsonObject
from turnout.types.usage import Usage

NAME = "openai_completions"
DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"
_encode = msgspec.json.Encoder().encode


class _Request(Struct, frozen=True):
    model: Annotated[str, Meta(min_length=1, max_length=512)]
    prompt: str | list[object]
    suffix: str | None = None
    echo: bool | None = None
    best_of: Annotated[int, Meta(ge=1)] | None = None
    max_tokens: Count | None = None
    temperature: float | None = None
    top_p: float | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    stop: str | list[str] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    seed: int | None = None
    user: str | None = None


_KNOWN = frozenset(_Request.__struct_fields__)


class OpenAICompletionsDialect:
    """Speaks legacy completions to clients."""

    wire = NAME

    def parse(self, body: bytes) -> Body:
        """Read a request."""
        tree = strict.parse(body)
        wishes = extras.read(tree)
        tree = extras.without(tree, wishes)
        return wishes.body(_read(tree), Wire(NAME, tree))

    def render(self, response: ChatResponse, request: ChatRequest, summary: Summary) -> bytes:
        """Write a complete answer."""
        body = {
            **_head(summary),
            "choices": [_choice(choice, i) for i, choice in enumerate(response.choices)],
        }
        if response.usage != Usage():
            body["usage"] = write_usage(response.usage, summary.cost_usd if summary.show else None)
        if summary.show:
            body["turnout"] = summary.told()
        return _encode(body)

    def stream(self, request: ChatRequest, summary: Summary) -> "CompletionsStream":
        """Return a new stream writer."""
        return CompletionsStream(request, summary)

    def error(self, error: TurnoutError, request_id: str) -> tuple[int, bytes]:
        """Write a failure before the first byte."""
        return write_error(error, request_id, WIRE)


class CompletionsStream:
    """Writes one stream."""

    __slots__ = ("_head", "_offsets", "_tail", "_usage")

    def __init__(self, request: ChatRequest, summary: Summary) -> None:
        self._usage = request.include_usage
        self._head = b"data: " + _encode(_head(summary))[:-1]
        self._tail = b"}]" + (b',"usage":null' if request.include_usage else b"") + b"}\n\n"
        self._offsets: dict[int, int] = {}

    def feed(self, events: Sequence[Event]) -> bytes:
        """Return the frames for these events."""
        out: list[bytes] = []
        for event in events:
            if isinstance(event, TextDelta) and event.text:
                start = self._offsets.get(event.choice, 0)
                self._offsets[event.choice] = start + len(event.text)
                logprobs = _logprobs(event.logprobs, start)
                out.append(self._chunk(event.choice, event.text, logprobs, None))
            elif isinstance(event, Finish):
                out.append(self._chunk(event.choice, "", None, _reason(event.reason)))
        return b"".join(out)

    def end(self, usage: Usage | None, summary: Summary) -> bytes:
        """Return the closing frames."""
        shown = b',"turnout":' + _encode(summary.told()) if summary.show else b""
        if not (self._usage or shown):
            return DONE
        counts = b""
        if self._usage:
            counts = b',"usage":' + _encode(write_usage(usage or Usage(), None))
        return self._head + b',"choices":[]' + counts + shown + b"}\n\n" + DONE

    def fail(self, error: TurnoutError, summary: Summary) -> bytes:
        """Return the frames of a failure after commit (WIRE.md 9.4)."""
        told: Json = {
            "code": error.row.status,
            "message": error.message,
            "metadata": {"error_type": error.row.word, "request_id": summary.request_id},
        }
        return self._head + b',"error":' + _encode(told) + b',"choices":[]}\n\n' + DONE

    def keep_alive(self) -> bytes:
        """Return the frame that keeps a silent stream open."""
        return KEEP_ALIVE

    def _chunk(self, index: int, text: str, logprobs: Json, finish: str | None) -> bytes:
        choice: JsonObject = {"text": text, "index": index, "logprobs": logprobs, "finish_reason": finish}
        return self._head + b',"choices":[' + _encode(choice)[:-1] + self._tail


def _read(tree: JsonObject) -> ChatRequest:
    asked = strict.convert(tree, _Request)
    prompt = _prompt(asked.prompt)
    _refuse(asked)
    extra = {key: value for key, value in tree.items() if key not in _KNOWN}
    for key, value in extra.items():
        extras.refuse(value, key)
    options = asked.stream_options
    return ChatRequest(
        model=asked.model,
        messages=(Message("user", (Text(prompt),)),),
        max_tokens=asked.max_tokens,
        temperature=asked.temperature,
        top_p=asked.top_p,
        stop=(asked.stop,) if isinstance(asked.stop, str) else tuple(asked.stop or ()),
        seed=asked.seed,
        n=asked.n,
        presence_penalty=asked.presence_penalty,
        frequency_penalty=asked.frequency_penalty,
        logit_bias=asked.logit_bias,
        logprobs=None if asked.logprobs is None else True,
        top_logprobs=asked.logprobs or None,
        user=asked.user,
        stream=asked.stream is True,
        include_usage=options is not None and options.include_usage is True,
        wire=NAME,
        extra=extra or NOTHING,
        facts=Facts(n_chars=len(prompt), n_messages=1),
    )


def _prompt(given: str | list[object]) -> str:
    if isinstance(given, str):
        return given
    match given:
        case [str() as only]:
            return only
        case [str(), *_]:
            raise UnsupportedParameter("several prompts in one request: send one each", param="prompt")
        case [int() | list(), *_]:
            raise UnsupportedParameter("a prompt of tokens cannot be sent on: send its text", param="prompt")
        case _:
            raise InvalidRequest("prompt: expected a string", param="prompt", code="invalid_type")


def _refuse(asked: _Request) -> None:
    if asked.echo:
        raise UnsupportedParameter("echo cannot be served: a chat does not repeat its prompt", param="echo")
    if asked.suffix:
        raise UnsupportedParameter("suffix cannot be served: a chat does not fill in", param="suffix")
    if asked.best_of is not None and asked.best_of > (asked.n or 1):
        raise UnsupportedParameter(
            "best_of cannot be served; n gives several, to choose from", param="best_of"
        )


def _head(summary: Summary) -> dict[str, Json]:
    return {
        "id": "cmpl-" + summary.request_id.removeprefix("req_"),
        "object": "text_completion",
        "created": summary.created,
        "model": summary.model,
    }


def _choice(choice: Choice, index: int) -> Json:
    return {
        "text": "".join(part.text for part in choice.parts if isinstance(part, Text)),
        "index": index,
        "logprobs": _logprobs(choice.logprobs, 0),
        "finish_reason": _reason(choice.finish),
    }


def _reason(finish: FinishReason) -> str:
    return finish if finish in ("length", "content_filter") else "stop"


def _logprobs(chat: Json, start: int) -> Json:
    """Return the probabilities of tokens in four columns; `start` is where the text of the first begins."""
    content = chat.get("content") if isinstance(chat, Mapping) else None
    if not isinstance(content, list) or not content:
        return None
    tokens, values, tops, offsets = list[Json](), list[Json](), list[Json](), list[Json]()
    for row in content:
        if not isinstance(row, Mapping):
            continue
        token, top = row.get("token"), row.get("top_logprobs")
        tokens.append(token)
        values.append(row.get("logprob"))
        tops.append(_alternatives(top))
        offsets.append(start)
        start += len(token) if isinstance(token, str) else 0
    return {"tokens": tokens, "token_logprobs": values, "top_logprobs": tops, "text_offset": offsets}


def _alternatives(rows: Json) -> Json:
    if not isinstance(rows, list) or not rows:
        return None
    return {str(row.get("token")): row.get("logprob") for row in rows if isinstance(row, Mapping)}
