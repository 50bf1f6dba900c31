"""The Anthropic messages format as clients speak it: requests read, answers and failures written. Floor 2."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from turnout.codecs import extras, strict
from turnout.codecs.anthropic.blocks import read_turns
from turnout.codecs.anthropic.errors import status_and_body
from turnout.codecs.anthropic.frames import AnthropicStream
from turnout.codecs.anthropic.request import travels
from turnout.codecs.anthropic.response import render
from turnout.codecs.anthropic.scan import Scan, scan
from turnout.codecs.anthropic.wire import WIRE, without, write
from turnout.codecs.base import Body, Summary
from turnout.codecs.plain import Conversation
from turnout.errors import TurnoutError
from turnout.types.ask import Wire
from turnout.types.chat import ChatRequest, ChatResponse, Effort, Facts, OutputFormat, Thinking, ToolChoice
from turnout.types.http import Headers
from turnout.types.json import Json, JsonObject

_EFFORTS: Mapping[str, Effort] = {
    "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "xhigh",
}  # fmt: skip
_CANONICAL = frozenset(
    {"model", "messages", "system", "max_tokens", "tools", "tool_choice", "temperature", "top_p", "top_k"}
    | {"stop_sequences", "stream", "thinking", "output_config", "output_format", "metadata"}
)
_THINKING = frozenset({"type", "budget_tokens"})
_USER = frozenset({"user_id"})
_FORMAT = frozenset({"format"})
_FORMAT_AND_EFFORT = frozenset({"format", "effort"})

Count = Annotated[int, Meta(ge=0)]


class _ToolChoice(Struct, frozen=True):
    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _Thinking(Struct, frozen=True):
    type: str
    budget_tokens: Count | None = None
    display: str | None = None


class _Format(Struct, frozen=True):
    type: str
    schema: dict[str, Json] | None = None


class _OutputConfig(Struct, frozen=True):
    effort: str | None = None
    format: _Format | None = None


class _Metadata(Struct, frozen=True):
    user_id: str | None = None


class _Options(Struct, frozen=True):
    """Everything but the conversation and the tools, which `scan` looks at."""

    model: Annotated[str, Meta(min_length=1, max_length=512)]
    max_tokens: Annotated[int, Meta(ge=1)]
    temperature: float | None = None
    top_p: float | None = None
    top_k: Count | None = None
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    tool_choice: _ToolChoice | None = None
    thinking: _Thinking | None = None
    output_config: _OutputConfig | None = None
    output_format: _Format | None = None
    metadata: _Metadata | None = None


_NO_OUTPUT = _OutputConfig()


class AnthropicDialect:
    """Speaks the Anthropic messages format to clients."""

    wire = WIRE

    def parse(self, body: bytes) -> Body:
        """Read a request strictly. Raises `InvalidRequest` with the path of the offending field."""
        tree = strict.parse(body)
        wishes = extras.read(tree)
        own = extras.without(tree, wishes)
        asked = strict.convert(own, _Options)
        found = scan(own)
        request = _request(own, asked, found)
        extras.refuse(request.extra, "")
        if wishes.session is None and request.user is not None:
            wishes = msgspec.structs.replace(wishes, session=request.user)
        # Reasoning of other providers must not reach this one: such a request is written anew.
        return wishes.body(request, Wire("" if found.has_sealed else WIRE, own))

    def carry(self, body: Body, headers: Headers) -> Body:
        """Return the request with those of the client's headers that belong to it (`anthropic-*`).

        A beta header goes with its fields on both tracks: as it is when the client's JSON is forwarded, and
        as `betas` in `extra` when the request is written anew.
        """
        sent = tuple((name, value) for name, value in headers if travels(name))
        if not sent:
            return body
        request = body.request
        betas = [value.decode("latin-1") for name, value in sent if name == b"anthropic-beta"]
        if betas:
            request = msgspec.structs.replace(request, extra={**request.extra, "betas": betas})
        wire = Wire(body.wire.format, body.wire.body, sent)
        return msgspec.structs.replace(body, request=request, wire=wire)

    def render(self, response: ChatResponse, request: ChatRequest, summary: Summary) -> bytes:
        """Write a complete answer."""
        return render(response, summary)

    def stream(self, request: ChatRequest, summary: Summary) -> AnthropicStream:
        """Return a new stream writer."""
        return AnthropicStream(request, summary)

    def error(self, error: TurnoutError, request_id: str) -> tuple[int, bytes]:
        """Write a failure before the first byte: HTTP status and body."""
        status, body = status_and_body(error, request_id)
        return status, write(body)


def _request(tree: JsonObject, asked: _Options, found: Scan) -> ChatRequest:
    output = asked.output_config or _NO_OUTPUT
    choice, wanted = asked.tool_choice, output.format or asked.output_format
    parallel = None if choice is None else choice.disable_parallel_tool_use
    return ChatRequest(
        model=asked.model,
        messages=Conversation(partial(read_turns, tree)),
        tools=found.tools,
        tool_choice=None if choice is None else _choice(choice),
        parallel_tool_calls=None if parallel is None else not parallel,
        max_tokens=asked.max_tokens,
        temperature=asked.temperature,
        top_p=asked.top_p,
        top_k=asked.top_k,
        stop=tuple(asked.stop_sequences or ()),
        output_format=None if wanted is None else OutputFormat(kind="json_schema", schema=wanted.schema),
        thinking=_thinking(asked.thinking, output.effort),
        user=asked.metadata.user_id if asked.metadata is not None else None,
        stream=asked.stream is True,
        include_usage=True,
        wire=WIRE,
        extra=_extra(tree, asked),
        facts=_facts(tree, found, choice, structured=wanted is not None),
    )


def _facts(tree: JsonObject, found: Scan, choice: _ToolChoice | None, *, structured: bool) -> Facts:
    turns = tree.get("messages")
    return Facts(
        n_chars=found.n_chars,
        n_messages=(len(turns) if isinstance(turns, list) else 0) + bool(tree.get("system")),
        n_media=found.n_media,
        modalities=found.modalities,
        n_tools=len(found.tools),
        forced_tool=choice is not None and choice.type in {"any", "tool"},
        structured="json_schema" if structured else "",
        server_tools=found.has_server_tools,
        native_wire=WIRE if found.is_bound else "",
    )


def _extra(tree: JsonObject, asked: _Options) -> dict[str, Json]:
    """Return what only this format can say: unknown fields, and the rest of those that were understood."""
    extra = {name: value for name, value in tree.items() if name not in _CANONICAL}
    thinking, output, metadata = tree.get("thinking"), tree.get("output_config"), tree.get("metadata")
    if isinstance(thinking, dict):
        known = asked.thinking is not None and asked.thinking.type in {"enabled", "adaptive", "disabled"}
        _keep(extra, "thinking", without(thinking, _THINKING) if known else thinking)
    if isinstance(output, dict):
        # `max` has no canonical word of its own, and an unknown word none at all: both stay as they are.
        plain = output.get("effort") in (None, "low", "medium", "high", "xhigh")
        _keep(extra, "output_config", without(output, _FORMAT_AND_EFFORT if plain else _FORMAT))
    if isinstance(metadata, dict):
        _keep(extra, "metadata", without(metadata, _USER))
    return extra


def _keep(extra: dict[str, Json], name: str, rest: JsonObject) -> None:
    if rest:
        extra[name] = rest


def _choice(choice: _ToolChoice) -> ToolChoice:
    match choice.type:
        case "any":
            return ToolChoice("required")
        case "tool":
            return ToolChoice("named", (choice.name,) if choice.name is not None else ())
        case "none":
            return ToolChoice("none")
        case _:
            return ToolChoice("auto")


def _thinking(asked: _Thinking | None, effort: str | None) -> Thinking | None:
    word = _EFFORTS.get(effort or "")
    if asked is None:
        return None if word is None else Thinking(effort=word)
    return Thinking(
        enabled={"enabled": True, "adaptive": True, "disabled": False}.get(asked.type),
        effort=word,
        budget_tokens=asked.budget_tokens,
        adaptive=asked.type == "adaptive",
        include={"summarized": True, "omitted": False}.get(asked.display or ""),
    )
