"""Ollama's native format as its clients speak it: requests read, answers and failures written. Floor 2.

The gateway and the emulator speak it, and the comparison with recorded traffic reads requests with it.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from turnout.codecs import extras, strict
from turnout.codecs.base import Body, EmbedBody, Summary
from turnout.codecs.failures import as_object, text_in
from turnout.codecs.ollama.request import OPTIONS
from turnout.codecs.ollama.wire import WIRE, WORDS, Call, call_of, write
from turnout.errors import InvalidRequest, TurnoutError
from turnout.types.ask import Wire
from turnout.types.chat import (
    ChatRequest,
    ChatResponse,
    Effort,
    Media,
    Message,
    OutputFormat,
    Part,
    Reasoning,
    Refusal,
    Role,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)
from turnout.types.embed import EmbedRequest, EmbedResponse
from turnout.types.event import Event, Finish, ReasoningDelta, RefusalDelta, TextDelta, ToolDelta
from turnout.types.json import Json, JsonObject
from turnout.types.usage import Usage

Name = Annotated[str, Meta(min_length=1, max_length=512)]
_MAGIC = (("iVBOR", "image/png"), ("R0lG", "image/gif"), ("UklG", "image/webp"))
"""How pictures begin in base64; any other is taken for JPEG."""
_KNOWN = frozenset({"model", "messages", "tools", "format", "options", "stream", "think"})
_EFFORTS: Mapping[str, Effort] = {"low": "low", "medium": "medium", "high": "high"}
_ROLES: Mapping[str, Role] = {"system": "system", "user": "user", "assistant": "assistant", "tool": "tool"}


class _Turn(Struct, frozen=True):
    role: str
    content: str = ""
    images: list[str] | None = None
    thinking: str | None = None
    tool_calls: list[Call] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class _Options(Struct, frozen=True):
    num_predict: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    stop: list[str] | str | None = None


class _Asked(Struct, frozen=True):
    model: Name
    messages: list[_Turn]
    tools: list[dict[str, Json]] | None = None
    format: dict[str, Json] | str | None = None
    options: _Options | None = None
    stream: bool | None = None
    think: bool | str | None = None


class _Embed(Struct, frozen=True):
    model: Name
    input: list[str] | str
    dimensions: Annotated[int, Meta(ge=1)] | None = None


_NO_OPTIONS = _Options()
_STATED = frozenset(own for _, own in OPTIONS) | {"stop"}


class OllamaDialect:
    """Speaks Ollama's native format to clients."""

    wire = WIRE
    lines = True

    def parse(self, body: bytes) -> Body:
        """Read a request strictly; it streams unless it says otherwise. Raises `InvalidRequest`."""
        tree = strict.parse(body)
        wishes = extras.read(tree)
        own = extras.without(tree, wishes)
        asked = strict.convert(own, _Asked)
        options = asked.options or _NO_OPTIONS
        extra = {name: value for name, value in own.items() if name not in _KNOWN}
        rest = {name: value for name, value in as_object(own.get("options")).items() if name not in _STATED}
        if rest:
            extra["options"] = rest
        extras.refuse(extra, "")
        stop = (options.stop,) if isinstance(options.stop, str) else tuple(options.stop or ())
        request = ChatRequest(
            model=asked.model,
            messages=tuple(_message(turn, f"messages[{at}]") for at, turn in enumerate(asked.messages)),
            tools=tuple(map(_tool, asked.tools or ())),
            max_tokens=options.num_predict,
            temperature=options.temperature,
            top_p=options.top_p,
            top_k=options.top_k,
            seed=options.seed,
            frequency_penalty=options.frequency_penalty,
            presence_penalty=options.presence_penalty,
            stop=stop,
            output_format=_format(asked.format),
            thinking=_thinking(asked.think),
            stream=asked.stream is not False,
            include_usage=True,
            wire=WIRE,
            extra=extra,
        )
        return wishes.body(request, Wire(WIRE, own))

    def render(self, response: ChatResponse, request: ChatRequest, summary: Summary) -> bytes:
        """Write a complete answer."""
        choice = response.choices[0]
        said: dict[str, Json] = {"role": "assistant", "content": _texts(choice.parts)}
        thought = "".join(part.text for part in choice.parts if isinstance(part, Reasoning))
        calls = [
            _call(part.id, part.name, part.arguments) for part in choice.parts if isinstance(part, ToolCall)
        ]
        if thought:
            said["thinking"] = thought
        if calls:
            said["tool_calls"] = calls
        word = WORDS.get(choice.finish, "stop")
        return write({**line_head(summary), "message": said, **line_end(word, response.usage)})

    def stream(self, request: ChatRequest, summary: Summary) -> "OllamaStream":
        """Return a new stream writer."""
        return OllamaStream(summary)

    def error(self, error: TurnoutError, request_id: str) -> tuple[int, bytes]:
        """Write a failure before the first byte: HTTP status and body."""
        return error.row.status, write({"error": error.message})

    def parse_embed(self, body: bytes) -> EmbedBody:
        """Read an embeddings request. Raises `InvalidRequest`."""
        tree = strict.parse(body)
        asked = strict.convert(tree, _Embed)
        texts = (asked.input,) if isinstance(asked.input, str) else tuple(asked.input)
        request = EmbedRequest(model=asked.model, input=texts, dimensions=asked.dimensions, wire=WIRE)
        return EmbedBody(request=request, wire=Wire(WIRE, tree))

    def render_embed(self, response: EmbedResponse, request: EmbedRequest, summary: Summary) -> bytes:
        """Write vectors."""
        counted = response.usage.n_input
        return write({"model": summary.model, "embeddings": response.vectors, "prompt_eval_count": counted})


class OllamaStream:
    """Writes one client stream, a line per event."""

    __slots__ = ("_arguments", "_calls", "_finish", "_summary")

    def __init__(self, summary: Summary) -> None:
        self._summary = summary
        self._finish: Finish | None = None
        self._calls: dict[int, tuple[str, str]] = {}
        self._arguments: dict[int, str] = {}

    def feed(self, events: Sequence[Event]) -> bytes:
        """Return the lines for these events. Calls wait for the end: a line holds a whole one."""
        out: list[bytes] = []
        for event in events:
            match event:
                case TextDelta() | RefusalDelta() if event.text:
                    out.append(self._line({"content": event.text}))
                case ReasoningDelta() if event.text:
                    out.append(self._line({"content": "", "thinking": event.text}))
                case ToolDelta():
                    if event.name is not None:
                        self._calls[event.index] = (event.id or "", event.name)
                    self._arguments[event.index] = self._arguments.get(event.index, "") + event.arguments
                case Finish():
                    self._finish = event
                case _:
                    pass
        return b"".join(out)

    def end(self, usage: Usage | None, summary: Summary) -> bytes:
        """Return the calls and the closing line."""
        calls = [_call(*named, self._arguments[at]) for at, named in sorted(self._calls.items())]
        out = self._line({"content": "", "tool_calls": calls}) if calls else b""
        word = WORDS.get(self._finish.reason, "stop") if self._finish is not None else "stop"
        last = self.written({"content": ""})
        return out + write({**line_head(self._summary), **last, **line_end(word, usage or Usage())}) + b"\n"

    def fail(self, error: TurnoutError, summary: Summary) -> bytes:
        """Return the line of a failure after commit."""
        return write({"error": error.message}) + b"\n"

    def keep_alive(self) -> bytes:
        """Return a line that says nothing: not all readers skip an empty one."""
        return self._line({"content": ""})

    def written(self, said: JsonObject) -> JsonObject:
        """Return what the model says as members of a line."""
        return {"message": {"role": "assistant", **said}}

    def _line(self, said: JsonObject) -> bytes:
        return write({**line_head(self._summary), **self.written(said), "done": False}) + b"\n"


def line_head(summary: Summary) -> JsonObject:
    """Return how each line begins."""
    at = datetime.fromtimestamp(summary.created, UTC).isoformat().replace("+00:00", "Z")
    return {"model": summary.model, "created_at": at}


def line_end(word: str, usage: Usage) -> JsonObject:
    """Return how the last line ends."""
    counts: JsonObject = {"prompt_eval_count": usage.n_input, "eval_count": usage.n_output}
    return {"done": True, "done_reason": word, **counts}


def _call(call_id: str, name: str, arguments: str) -> JsonObject:
    try:
        given = msgspec.json.decode(arguments or "{}")
    except (msgspec.MsgspecError, RecursionError):
        given = {"arguments": arguments}  # the model wrote no JSON; the client shall see what it wrote
    return {"id": call_id, "function": {"name": name, "arguments": given}}


def _texts(parts: Sequence[Part]) -> str:
    return "".join(part.text for part in parts if isinstance(part, Text | Refusal))


def _message(turn: _Turn, at: str) -> Message:
    role = _ROLES.get(turn.role)
    if role is None:
        raise InvalidRequest(f"{at}.role is none of {', '.join(_ROLES)}", param=f"{at}.role")
    if role == "tool":
        content = (Text(turn.content),)
        return Message(
            role, (ToolResult(call_id=turn.tool_call_id or "", name=turn.tool_name, content=content),)
        )
    parts: list[Part] = []
    if turn.thinking:
        parts.append(Reasoning(text=turn.thinking, wire=WIRE))
    if turn.content or not turn.tool_calls:
        parts.append(Text(turn.content))
    parts += [Media(kind="image", mime=_image_type(data), data=data) for data in turn.images or ()]
    parts += map(call_of, turn.tool_calls or ())
    return Message(role, tuple(parts))


def _image_type(data: str) -> str:
    """Return the type of a picture, which the format does not tell: by how its bytes begin."""
    return next((mime for start, mime in _MAGIC if data.startswith(start)), "image/jpeg")


def _tool(tool: JsonObject) -> Tool:
    function = as_object(tool.get("function"))
    schema = function.get("parameters")
    return Tool(
        name=text_in(function, "name"),
        description=text_in(function, "description") if "description" in function else None,
        schema=schema if isinstance(schema, dict) else None,
    )


def _format(asked: Mapping[str, Json] | str | None) -> OutputFormat | None:
    if not asked:
        return None
    if isinstance(asked, str):
        return OutputFormat(kind="json_object")
    return OutputFormat(kind="json_schema", schema=asked)


def _thinking(asked: bool | str | None) -> Thinking | None:
    if asked is None:
        return None
    if isinstance(asked, str):
        return Thinking(effort=_EFFORTS.get(asked))
    return Thinking(enabled=asked)
