"""A client's chat completion request read into ours. Floor 2.

The tree is checked against the typed shapes at once, which is cheap; turns and tools become our types
only when something looks at them, which the express track never does. Tools that were declared before, byte
for byte, were checked then (`declared.py`).
"""

from collections.abc import Mapping, Sequence
from functools import partial

from turnout.codecs import extras, strict
from turnout.codecs.base import Body
from turnout.codecs.declared import Declared, Memo, raw_of
from turnout.codecs.openai_chat.facts import check_tools, read_facts
from turnout.codecs.openai_chat.history import LEGACY, read_turns
from turnout.codecs.openai_chat.thinking import read_thinking
from turnout.codecs.openai_chat.wire import WIRE, FunctionIn, RequestIn, ToolIn
from turnout.codecs.plain import Conversation
from turnout.errors import InvalidRequest
from turnout.types.ask import Wire
from turnout.types.chat import NOTHING, ChatRequest, Lazy, OutputFormat, ServerTool, Tool, ToolChoice
from turnout.types.json import Json, JsonObject

_KNOWN = frozenset(RequestIn.__struct_fields__)
_USUAL = frozenset(
    {"model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "stream", "user"}
)
"""A request with these fields alone is read by a shorter way: most requests are, and each field costs."""
_TOOL_KNOWN = frozenset({"type", "function"})
_FUNCTION_KNOWN = frozenset(FunctionIn.__struct_fields__)
_STREAM_OPTIONS_KNOWN = frozenset({"include_usage"})
_known_tools = Memo[Declared]()


def parse_request(body: bytes) -> Body:
    """Read a request. Raises `InvalidRequest` with the path of the offending field."""
    tree = strict.parse(body)
    wishes = extras.read(tree)
    if wishes is extras.NONE:  # as for most
        return Body(read_request(tree), wishes.prefer, Wire(WIRE, tree))
    tree = extras.without(tree, wishes)
    return wishes.body(read_request(tree), Wire(WIRE, tree))


def read_request(tree: JsonObject) -> ChatRequest:
    """Read a parsed body from which Turnout's own fields were taken out."""
    given = tree.get("tools")
    raw = raw_of(given) if given else b""
    known = _known_tools.get(raw) if raw else None
    wire = strict.convert(tree if known is None else _without_tools(tree), RequestIn)
    if _USUAL.issuperset(tree):
        return ChatRequest(
            model=wire.model,
            messages=Conversation(partial(read_turns, wire.messages, tree["messages"])),
            max_tokens=wire.max_tokens if wire.max_completion_tokens is None else _max_tokens(wire),
            temperature=wire.temperature,
            top_p=wire.top_p,
            user=wire.user,
            stream=wire.stream is True,
            wire=WIRE,
            facts=read_facts(tree, wire, None),
        )
    extra, choice = _extra(tree, wire), _tool_choice(wire)
    if known is None and wire.tools:
        known = _declare(wire.tools, given, len(raw))
        _known_tools.put(raw, known)
    return ChatRequest(
        model=wire.model,
        messages=Conversation(partial(read_turns, wire.messages, tree["messages"])),
        tools=_functions(tree, wire) if known is None else known,
        tool_choice=choice,
        parallel_tool_calls=wire.parallel_tool_calls,
        max_tokens=_max_tokens(wire),
        temperature=wire.temperature,
        top_p=wire.top_p,
        top_k=wire.top_k,
        stop=(wire.stop,) if isinstance(wire.stop, str) else tuple(wire.stop or ()),
        seed=wire.seed,
        n=wire.n,
        presence_penalty=wire.presence_penalty,
        frequency_penalty=wire.frequency_penalty,
        logit_bias=wire.logit_bias,
        logprobs=wire.logprobs if isinstance(wire.logprobs, bool) else None,
        top_logprobs=wire.top_logprobs,
        output_format=_output_format(tree, wire),
        thinking=read_thinking(tree, wire),
        user=wire.user,
        stream=wire.stream is True,
        include_usage=wire.stream_options is not None and wire.stream_options.include_usage is True,
        wire=WIRE,
        extra=extra,
        facts=read_facts(tree, wire, known),
    )


def _without_tools(tree: JsonObject) -> JsonObject:
    rest = dict(tree)
    del rest["tools"]
    return rest


def _extra(tree: JsonObject, wire: RequestIn) -> Mapping[str, Json]:
    extra: Mapping[str, Json] = NOTHING
    if not _KNOWN.issuperset(tree):
        extra = {key: value for key, value in tree.items() if key not in _KNOWN}
        for key, value in extra.items():
            if isinstance(value, dict | list) and key != "metadata":
                extras.refuse(value, key)
    if wire.logprobs is not None and not isinstance(wire.logprobs, bool):
        extra = {**extra, "logprobs": wire.logprobs}
    if wire.response_format is not None and wire.response_format.type not in (
        "text",
        "json_object",
        "json_schema",
    ):
        extra = {**extra, "response_format": tree["response_format"]}
    options = tree.get("stream_options")
    if isinstance(options, Mapping) and not _STREAM_OPTIONS_KNOWN.issuperset(options):
        rest = {key: value for key, value in options.items() if key not in _STREAM_OPTIONS_KNOWN}
        extra = {**extra, "stream_options": rest}
    return extra


def _max_tokens(wire: RequestIn) -> int | None:
    if wire.max_completion_tokens is None or wire.max_tokens is None:
        return wire.max_tokens if wire.max_completion_tokens is None else wire.max_completion_tokens
    if wire.max_tokens != wire.max_completion_tokens:
        raise InvalidRequest(
            "max_tokens and max_completion_tokens are both given and differ; send one", param="max_tokens"
        )
    return wire.max_tokens


def _declare(tools: Sequence[ToolIn], raw: Json, n_chars: int) -> Declared:
    is_bound = check_tools(tools, n_chars)
    return Declared(lambda: _read_tools(tools, raw), len(tools), n_chars=n_chars, is_bound=is_bound)


def _functions(tree: JsonObject, wire: RequestIn) -> Sequence[Tool | ServerTool]:
    if wire.functions:
        functions = wire.functions
        return Lazy(lambda: _read_functions(functions, tree["functions"]))
    return ()


def _read_tools(tools: Sequence[ToolIn], raw: Json) -> tuple[Tool | ServerTool, ...]:
    """Read declared tools; what is not a function is bound to this format."""
    assert isinstance(raw, Sequence)
    return tuple(
        ServerTool(WIRE, tree)
        if tool.function is None or tool.type not in (None, "function")
        else _tool(tool.function, tree["function"], {k: v for k, v in tree.items() if k not in _TOOL_KNOWN})
        for tool, tree in zip(tools, raw, strict=True)
        if isinstance(tree, Mapping)
    )


def _read_functions(functions: Sequence[FunctionIn], raw: Json) -> tuple[Tool, ...]:
    assert isinstance(raw, Sequence)
    return tuple(_tool(function, tree, {LEGACY: True}) for function, tree in zip(functions, raw, strict=True))


def _tool(function: FunctionIn, raw: Json, extra: Mapping[str, Json]) -> Tool:
    assert isinstance(raw, Mapping)
    unknown = {key: value for key, value in raw.items() if key not in _FUNCTION_KNOWN}
    schema = raw.get("parameters")
    return Tool(
        name=function.name,
        description=function.description,
        schema=schema if isinstance(schema, Mapping) else None,
        strict=function.strict,
        extra={**extra, "function": unknown} if unknown else extra or NOTHING,
    )


def _tool_choice(wire: RequestIn) -> ToolChoice | None:
    choice, param = wire.tool_choice, "tool_choice"
    if choice is None and wire.function_call is not None:
        choice, param = wire.function_call, "function_call"
    match choice:
        case None:
            return None
        case "auto" | "none" | "required":
            return ToolChoice(choice)
        case "any":
            return ToolChoice("required")
        case {"type": "function", "function": {"name": str() as name}}:
            return ToolChoice("named", (name,))
        case {"type": "custom", "custom": {"name": str() as name}}:
            return ToolChoice("named", (name,))
        case {"name": str() as name} if param == "function_call":
            return ToolChoice("named", (name,))
        case {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "auto" | "required" as mode, "tools": [*tools]},
        }:
            return ToolChoice(mode, tuple(_allowed_name(tool) for tool in tools))
        case _:
            raise InvalidRequest(
                f'{param} must be "auto", "none", "required" or name a function: '
                '{"type": "function", "function": {"name": "…"}}',
                param=param,
            )


def _allowed_name(tool: object) -> str:
    match tool:
        case (
            {"function": {"name": str() as name}}
            | {"custom": {"name": str() as name}}
            | {"name": str() as name}
        ):
            return name
        case _:
            raise InvalidRequest(
                "tool_choice.allowed_tools.tools must name functions", param="tool_choice.allowed_tools.tools"
            )


def _output_format(tree: JsonObject, wire: RequestIn) -> OutputFormat | None:
    asked = wire.response_format
    if asked is None or asked.type not in ("json_object", "json_schema"):
        return None
    if asked.type == "json_object":
        return OutputFormat(kind="json_object")
    schema = asked.json_schema
    if schema is None:
        raise InvalidRequest(
            "response_format.json_schema is missing",
            param="response_format.json_schema",
            code="missing_required_parameter",
        )
    return OutputFormat(
        kind="json_schema",
        name=schema.name,
        schema=_at(tree, "response_format", "json_schema", "schema"),
        strict=schema.strict,
        description=schema.description,
    )


def _at(tree: JsonObject, *path: str) -> JsonObject | None:
    found: Json = tree
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else None
