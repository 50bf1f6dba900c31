"""The Converse format as its clients speak it: requests read, answers and failures written. Floor 2.

The emulator speaks it, and the comparison with recorded traffic reads requests with it.
"""

from collections.abc import Mapping, Sequence

import msgspec

from turnout.codecs import strict
from turnout.codecs.base import Body, Summary
from turnout.codecs.bedrock import parse as requests
from turnout.codecs.bedrock.blocks import CITED
from turnout.codecs.bedrock.wire import WIRE, WORDS, usage_object, write
from turnout.codecs.eventstream import write_event, write_exception
from turnout.errors import TurnoutError
from turnout.types.chat import (
    ChatRequest,
    ChatResponse,
    Choice,
    Native,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
)
from turnout.types.event import Event, Finish, NativeDelta, ReasoningDelta, RefusalDelta, TextDelta, ToolDelta
from turnout.types.json import Json, JsonObject
from turnout.types.usage import Usage

_EXCEPTIONS: Mapping[int, str] = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}


class BedrockDialect:
    """Speaks Converse to clients. The model stands in the address."""

    wire = WIRE

    def parse(self, body: bytes) -> Body:
        """Read a request whose model stands in the body, as `modelId`. Raises `InvalidRequest`."""
        tree = strict.parse(body)
        model = tree.get("modelId")
        return self.parse_call(
            body, model=model if isinstance(model, str) else "", stream=tree.get("stream") is True
        )

    def parse_call(self, body: bytes, *, model: str, stream: bool) -> Body:
        """Read a request whose address named the model. Raises `InvalidRequest`."""
        return requests.parse_call(body, model, stream=stream)

    def render(self, response: ChatResponse, request: ChatRequest, summary: Summary) -> bytes:
        """Write a complete answer."""
        choice = response.choices[0]
        return write(
            {
                "metrics": {"latencyMs": 0},
                "output": {"message": {"role": "assistant", "content": _content(choice)}},
                "stopReason": WORDS[choice.finish],
                "usage": usage_object(response.usage),
            }
        )

    def stream(self, request: ChatRequest, summary: Summary) -> "BedrockStream":
        """Return a new stream writer."""
        return BedrockStream()

    def error(self, error: TurnoutError, request_id: str) -> tuple[int, bytes]:
        """Write a failure before the first byte: HTTP status and body."""
        status = error.row.status
        return status, write(
            {"__type": _EXCEPTIONS.get(status, "InternalServerException"), "message": error.message}
        )


class BedrockStream:
    """Writes one client stream, as event-stream frames."""

    __slots__ = ("_finish", "_index", "_kind", "_started")

    def __init__(self) -> None:
        self._started = False
        self._kind = ""
        """Kind of the open block; "" = none."""
        self._index = -1
        self._finish: Finish | None = None

    def feed(self, events: Sequence[Event]) -> bytes:
        """Return the frames for these events."""
        out: list[bytes] = []
        for event in events:
            match event:
                case TextDelta() | RefusalDelta():
                    self._say("text", {"text": event.text}, out)
                case ReasoningDelta():
                    self._say("reasoning", {"reasoningContent": _thought(event)}, out)
                case ToolDelta():
                    self._tool(event, out)
                case NativeDelta() if event.block.wire == WIRE:
                    self._open("native", out)
                    self._frame("contentBlockStart", {"start": event.block.value}, out)
                    self._close(out)
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
        word = WORDS[self._finish.reason] if self._finish is not None else "end_turn"
        out.append(write_event("messageStop", write({"stopReason": word})))
        counted = usage_object(usage or Usage())
        out.append(write_event("metadata", write({"metrics": {"latencyMs": 0}, "usage": counted})))
        return b"".join(out)

    def fail(self, error: TurnoutError, summary: Summary) -> bytes:
        """Return the frame of a failure after commit."""
        name = _EXCEPTIONS.get(error.row.status, "ModelStreamErrorException")
        return write_exception(name[:1].lower() + name[1:], write({"message": error.message}))

    def keep_alive(self) -> bytes:
        """Return nothing: the format has no frame that means nothing."""
        return b""

    def _start(self, out: list[bytes]) -> None:
        if not self._started:
            self._started = True
            out.append(write_event("messageStart", write({"role": "assistant"})))

    def _open(self, kind: str, out: list[bytes]) -> None:
        self._start(out)
        self._close(out)
        self._kind, self._index = kind, self._index + 1

    def _close(self, out: list[bytes]) -> None:
        if self._kind:
            self._frame("contentBlockStop", {}, out)
        self._kind = ""

    def _frame(self, name: str, members: JsonObject, out: list[bytes]) -> None:
        out.append(write_event(name, write({"contentBlockIndex": self._index, **members})))

    def _say(self, kind: str, delta: JsonObject, out: list[bytes]) -> None:
        if self._kind != kind:
            self._open(kind, out)
        self._frame("contentBlockDelta", {"delta": delta}, out)

    def _tool(self, event: ToolDelta, out: list[bytes]) -> None:
        if event.name is not None:
            self._open("tool", out)
            use: JsonObject = {"toolUseId": event.id, "name": event.name}
            self._frame("contentBlockStart", {"start": {"toolUse": use}}, out)
        if event.arguments:
            self._frame("contentBlockDelta", {"delta": {"toolUse": {"input": event.arguments}}}, out)


def _thought(event: ReasoningDelta) -> JsonObject:
    if event.redacted is not None:
        return {"redactedContent": event.redacted}
    return {"text": event.text} if event.signature is None else {"signature": event.signature}


def _content(choice: Choice) -> list[Json]:
    parts: list[Part] = []
    for part in choice.parts:
        if isinstance(part, Reasoning) and part.redacted is not None and part.text:
            parts.append(Reasoning(text=part.text))  # a block has words or what is encrypted, not both
        parts.append(part)
    return [block for block in map(_block, parts) if block is not None]


def _block(part: Part) -> JsonObject | None:
    match part:
        case Text() if CITED in part.extra:
            return {CITED: part.extra[CITED]}
        case Text() | Refusal():
            return {"text": part.text}
        case Reasoning() if part.redacted is not None:
            return {"reasoningContent": {"redactedContent": part.redacted}}
        case Reasoning():
            said: dict[str, Json] = {"text": part.text}
            if part.signature is not None:
                said["signature"] = part.signature
            return {"reasoningContent": {"reasoningText": said}}
        case ToolCall():
            given = msgspec.json.decode(part.arguments or "{}")
            return {"toolUse": {"toolUseId": part.id, "name": part.name, "input": given}}
        case Native() if part.wire == WIRE:
            return part.value
        case _:
            return None
