"""Our request written as the JSON of a chat completion call. Floor 2."""

from collections.abc import Iterable, Mapping
from operator import attrgetter

import msgspec

from turnout.codecs.base import Encoded
from turnout.codecs.declared import Declared, Written
from turnout.codecs.openai_chat.history import LEGACY
from turnout.codecs.openai_chat.marks import MarkedTurns, mark_of
from turnout.codecs.openai_chat.quirks import adapt
from turnout.codecs.openai_chat.thinking import write_thinking
from turnout.codecs.openai_chat.turns import Turns
from turnout.codecs.openai_chat.wire import WIRE
from turnout.codecs.shared import shared, unshared
from turnout.errors import InvalidRequest, UnsupportedParameter
from turnout.types.ask import Wire
from turnout.types.chat import NOTHING, ChatRequest, OutputFormat, ServerTool, Tool, ToolChoice
from turnout.types.deployment import Deployment
from turnout.types.http import Headers, HttpRequest
from turnout.types.json import Json

_encode = msgspec.json.Encoder().encode
_HEADERS = ((b"content-type", b"application/json"),)
_USUAL = ("parallel_tool_calls", "max_tokens", "temperature", "top_p")
_RARE = (
    *("top_k", "seed", "n", "presence_penalty", "frequency_penalty"),
    *("logit_bias", "logprobs", "top_logprobs", "user"),
)
"""Fields with the same name and meaning on both sides; all of these are asked for at once."""
_usual, _rare = attrgetter(*_USUAL), attrgetter(*_RARE)
_NOTHING_RARE = (None,) * len(_RARE)
_KEYS = (WIRE, WIRE + " same")
_MARKED = WIRE + " marked"


def encode(request: ChatRequest, to: Deployment) -> Encoded:
    """Write a call. Raises `UnsupportedParameter` for what the format or the host cannot say but must."""
    quirks = to.vendor.quirks
    same = request.wire == WIRE
    marked = quirks.cache_marks and not same
    turns = (MarkedTurns if marked else Turns)(same=same, reasoning_field=quirks.reasoning_field)
    turns.write(request.messages)
    if not turns.messages:
        raise InvalidRequest("messages hold nothing that can be answered", param="messages")
    body: dict[str, Json] = {"model": to.upstream_model, "messages": turns.messages}
    if request.tools or request.tool_choice is not None:
        _add_tools(body, request, same=same, marked=marked)
    _add_plain(body, request)
    if request.stop:
        body["stop"] = list(request.stop)
    if request.output_format is not None:
        body["response_format"] = _response_format(request.output_format, same=same)
    warnings = _think(body, request, quirks.thinking_field)
    dropped = list(turns.dropped)
    if same:
        body |= request.extra
    elif request.extra:
        taken = shared(request, quirks)
        body |= taken
        dropped += unshared(request, taken)
    _stream(body, stream=request.stream, usage=quirks.stream_usage)
    dropped += adapt(body, quirks)
    return Encoded(post(body, to, "/chat/completions"), tuple(dropped), warnings)


def _add_plain(body: dict[str, Json], request: ChatRequest) -> None:
    for field, value in zip(_USUAL, _usual(request), strict=True):
        if value is not None:
            body[field] = value  # noqa: PERF403  # a dict to be merged costs more than all that it holds
    rare = _rare(request)
    if rare != _NOTHING_RARE:
        body |= {field: value for field, value in zip(_RARE, rare, strict=True) if value is not None}


def forward(wire: Wire, to: Deployment, *, stream: bool) -> Encoded:
    """Write a call from the client's own JSON; only the model, the usage wish and quirks change it."""
    body = {**wire.body, "model": to.upstream_model}
    quirks = to.vendor.quirks
    if stream or "stream" in body or "stream_options" in body:
        _stream(body, stream=stream, usage=quirks.stream_usage)
    dropped = adapt(body, quirks)
    return Encoded(post(body, to, "/chat/completions"), dropped)


def post(body: Mapping[str, Json], to: Deployment, path: str) -> HttpRequest:
    """Return the call that sends `body` to a path of the deployment."""
    quirks = to.vendor.quirks
    url = f"{to.url}{path}?{quirks.query}" if quirks.query else to.url + path
    headers: Headers = _HEADERS
    if quirks.extra_headers:
        fixed = tuple((name.lower().encode(), value.encode()) for name, value in quirks.extra_headers)
        headers = (*_HEADERS, *fixed)
    return HttpRequest("POST", url, headers, _encode(body))


def _stream(body: dict[str, Json], *, stream: bool, usage: bool) -> None:
    if not stream:
        if body.get("stream"):
            body["stream"] = False
        body.pop("stream_options", None)
        return
    body["stream"] = True
    if usage:
        options = body.get("stream_options")
        body["stream_options"] = (
            {**options, "include_usage": True} if isinstance(options, dict) else {"include_usage": True}
        )
    elif "stream_options" in body:
        del body["stream_options"]


def _think(body: dict[str, Json], request: ChatRequest, field: str) -> tuple[str, ...]:
    thinking = request.thinking
    if thinking is None:
        return ()
    if request.wire == WIRE and thinking.extra:
        body |= thinking.extra
        return ()
    fields, approximated = write_thinking(thinking, field)
    body |= fields
    return ("reasoning_approximated",) if approximated else ()


def _add_tools(body: dict[str, Json], request: ChatRequest, *, same: bool, marked: bool) -> None:
    declared, choice = request.tools, request.tool_choice
    tools: Json
    if isinstance(declared, Declared):
        key = _MARKED if marked else _KEYS[same]
        tools = declared.written(
            key, lambda: Written(_all_tools(declared, same=same, marked=marked) or None)
        ).json
    elif same and any(isinstance(tool, Tool) and tool.extra.get(LEGACY) for tool in declared):
        body["functions"] = [_function(tool) for tool in declared if isinstance(tool, Tool)]
        if choice is not None:
            body["function_call"] = _legacy_choice(choice)
        return
    else:
        tools = _all_tools(declared, same=same, marked=marked) or None
    if tools is not None:
        body["tools"] = tools
    if choice is not None and (same or tools is not None):
        body["tool_choice"] = _choice(choice, declared)


def _all_tools(tools: Iterable[Tool | ServerTool], *, same: bool, marked: bool) -> list[Json]:
    return [_tool(tool, same=same, marked=marked) for tool in tools]


def _tool(tool: Tool | ServerTool, *, same: bool, marked: bool) -> Json:
    if isinstance(tool, ServerTool):
        if tool.wire != WIRE:
            raise UnsupportedParameter(
                f"tools of {tool.wire} that the provider runs itself exist only there", param="tools"
            )
        return tool.value
    extra = tool.extra if same else mark_of(tool) if marked else NOTHING
    inner = extra.get("function")
    function = {**_function(tool), **inner} if isinstance(inner, Mapping) else _function(tool)
    return {**extra, "type": "function", "function": function}


def _function(tool: Tool) -> dict[str, Json]:
    function: dict[str, Json] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.schema is not None:
        function["parameters"] = tool.schema
    if tool.strict is not None:
        function["strict"] = tool.strict
    return function


def _choice(choice: ToolChoice, tools: Iterable[Tool | ServerTool]) -> Json:
    custom = {_custom_name(tool) for tool in tools if isinstance(tool, ServerTool)}
    named: list[Json] = [
        {"type": "custom", "custom": {"name": name}}
        if name in custom
        else {"type": "function", "function": {"name": name}}
        for name in choice.names
    ]
    if choice.mode == "named":
        return named[0]
    if named:
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": named}}
    return choice.mode


def _custom_name(tool: ServerTool) -> Json:
    custom = tool.value.get("custom")
    return custom.get("name") if isinstance(custom, Mapping) else None


def _legacy_choice(choice: ToolChoice) -> Json:
    return {"name": choice.names[0]} if choice.mode == "named" else choice.mode


def _response_format(asked: OutputFormat, *, same: bool) -> Json:
    if asked.kind == "json_object":
        return {"type": "json_object"}
    schema: dict[str, Json] = {}
    if asked.name is not None or not same:  # OpenAI demands a name; other formats have none
        schema["name"] = asked.name or "answer"
    if asked.description is not None:
        schema["description"] = asked.description
    if asked.schema is not None:
        schema["schema"] = asked.schema
    if asked.strict is not None:
        schema["strict"] = asked.strict
    return {"type": "json_schema", "json_schema": schema}
