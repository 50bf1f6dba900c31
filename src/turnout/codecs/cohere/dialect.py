"""Cohere's v2 format as its clients speak it: requests read, answers and failures written. Floor 2.

The gateway and the emulator speak it, and the comparison with recorded traffic reads requests with it.
"""

from collections.abc import Mapping, Sequence

from turnout.codecs.base import Body, EmbedBody, Summary
from turnout.codecs.cohere import parse as requests
from turnout.codecs.cohere.wire import PLAN, WIRE, WORDS, write
from turnout.errors import TurnoutError
from turnout.types.chat import ChatRequest, ChatResponse, Choice, Native, Reasoning, Refusal, Text, ToolCall
from turnout.types.embed import EmbedRequest, EmbedResponse
from turnout.types.event import Event, Finish, ReasoningDelta, RefusalDelta, TextDelta, ToolDelta
from turnout.types.json import Json, JsonObject
from turnout.types.usage import Usage

_ERRORS: Mapping[str, str] = {
    "context_length_exceeded": "TOO_MANY_TOKENS",
    "unauthenticated": "INVALID_TOKEN",
    "model_not_found": "NOT_FOUND",
    "provider_rate_limited": "TOO_MANY_REQUESTS",
}


class CohereDialect:
    """Speaks Cohere's v2 format to clients."""

    wire = WIRE

    def parse(self, body: bytes) -> Body:
        """Read a request strictly. Raises `InvalidRequest` with the path of the offending field."""
        return requests.parse(body)

    def render(self, response: ChatResponse, request: ChatRequest, summary: Summary) -> bytes:
        """Write a complete answer."""
        choice = response.choices[0]
        return write(
            {
                "id": response.id or summary.request_id,
                "message": _message(choice),
                "finish_reason": WORDS[choice.finish],
                "usage": _usage(response.usage),
            }
        )

    def stream(self, request: ChatRequest, summary: Summary) -> "CohereStream":
        """Return a new stream writer."""
        return CohereStream(summary)

    def error(self, error: TurnoutError, request_id: str) -> tuple[int, bytes]:
        """Write a failure before the first byte: HTTP status and body."""
        word = _ERRORS.get(error.row.word)
        body: dict[str, Json] = {"id": request_id, "message": error.message}
        return error.row.status, write({**body, "error_type": word} if word else body)

    def parse_embed(self, body: bytes) -> EmbedBody:
        """Read an embeddings request. Raises `InvalidRequest`."""
        return requests.parse_embed(body)

    def render_embed(self, response: EmbedResponse, request: EmbedRequest, summary: Summary) -> bytes:
        """Write vectors."""
        return write(
            {
                "id": summary.request_id,
                "texts": list(request.input),
                "embeddings": {"float": response.vectors},
                "meta": {"billed_units": {"input_tokens": response.usage.n_input}},
                "response_type": "embeddings_by_type",
            }
        )


class CohereStream:
    """Writes one client stream."""

    __slots__ = ("_block", "_call", "_finish", "_index", "_started", "_summary")

    def __init__(self, summary: Summary) -> None:
        self._summary = summary
        self._started = False
        self._block = ""
        """Kind of the open content block; "" = none."""
        self._index = -1
        self._call = -1
        """Index of the open call; -1 = none."""
        self._finish: Finish | None = None

    def feed(self, events: Sequence[Event]) -> bytes:
        """Return the frames for these events."""
        out: list[bytes] = []
        for event in events:
            match event:
                case TextDelta() | RefusalDelta():
                    self._say("text", event.text, out)
                case ReasoningDelta() if event.id == PLAN:
                    self._start(out)
                    out.append(_frame("tool-plan-delta", {"delta": {"message": {"tool_plan": event.text}}}))
                case ReasoningDelta():
                    self._say("thinking", event.text, out)
                case ToolDelta():
                    self._tool(event, out)
                case Finish():
                    self._finish = event
                case _:
                    pass
        return b"".join(out)

    def end(self, usage: Usage | None, summary: Summary) -> bytes:
        """Return the closing frames."""
        out: list[bytes] = []
        self._start(out)
        self._close(out)
        word = WORDS[self._finish.reason] if self._finish is not None else "COMPLETE"
        counted = _usage(usage) if usage is not None else None
        out.append(_frame("message-end", {"delta": {"finish_reason": word, "usage": counted}}))
        out.append(b"data: [DONE]\n\n")
        return b"".join(out)

    def fail(self, error: TurnoutError, summary: Summary) -> bytes:
        """Return the frames of a failure after commit."""
        return _frame("message-end", {"delta": {"finish_reason": "ERROR", "error": error.message}})

    def keep_alive(self) -> bytes:
        """Return the frame that keeps a silent stream open."""
        return b": keep-alive\n\n"

    def _start(self, out: list[bytes]) -> None:
        if not self._started:
            self._started = True
            said: JsonObject = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": []}
            start: JsonObject = {"id": self._summary.request_id, "delta": {"message": said}}
            out.append(_frame("message-start", start))

    def _say(self, kind: str, text: str, out: list[bytes]) -> None:
        self._start(out)
        if self._block != kind:
            self._close(out)
            self._block, self._index = kind, self._index + 1
            out.append(self._content("content-start", {"type": kind, kind: ""}))
        out.append(self._content("content-delta", {kind: text}))

    def _content(self, name: str, block: JsonObject) -> bytes:
        return _frame(name, {"index": self._index, "delta": {"message": {"content": block}}})

    def _tool(self, event: ToolDelta, out: list[bytes]) -> None:
        self._start(out)
        function: dict[str, Json] = {"arguments": event.arguments}
        call: dict[str, Json] = {"function": function}
        name = "tool-call-delta"
        if event.name is not None:
            self._close(out)
            self._call, name = event.index, "tool-call-start"
            call = {"id": event.id, "type": "function", "function": {"name": event.name, **function}}
        out.append(_frame(name, {"index": event.index, "delta": {"message": {"tool_calls": call}}}))

    def _close(self, out: list[bytes]) -> None:
        if self._block:
            out.append(_frame("content-end", {"index": self._index}))
        if self._call >= 0:
            out.append(_frame("tool-call-end", {"index": self._call}))
        self._block, self._call = "", -1


def _frame(name: str, members: JsonObject) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), write({"type": name, **members}))


def _message(choice: Choice) -> JsonObject:
    said: dict[str, Json] = {"role": "assistant"}
    content: list[Json] = []
    calls: list[Json] = []
    for part in choice.parts:
        match part:
            case Text() | Refusal():
                content.append({"type": "text", "text": part.text})
                if isinstance(part, Text) and isinstance(part.extra.get("citations"), list):
                    said["citations"] = part.extra["citations"]
            case Reasoning() if part.id == PLAN:
                said["tool_plan"] = part.text
            case Reasoning():
                content.append({"type": "thinking", "thinking": part.text})
            case ToolCall():
                function: JsonObject = {"name": part.name, "arguments": part.arguments}
                calls.append({"id": part.id, "type": "function", "function": function})
            case Native() if part.wire == WIRE:
                content.append(part.value)
            case _:
                pass
    if content:
        said["content"] = content
    if calls:
        said["tool_calls"] = calls
    return said


def _usage(usage: Usage) -> JsonObject:
    units: JsonObject = {"input_tokens": usage.n_input, "output_tokens": usage.n_output}
    tokens = units if usage.reasoning is None else {**units, "reasoning_tokens": usage.reasoning}
    return {"billed_units": units, "tokens": tokens}
