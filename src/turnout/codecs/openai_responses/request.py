"""A client's request read into ours. Floor 2.

The tree is checked at once, which is cheap; turns and tools become our types only when something looks at
them, which the express track never does.
"""

from collections.abc import Mapping
from functools import partial

from turnout.codecs import extras, strict
from turnout.codecs.base import Body
from turnout.codecs.declared import Declared
from turnout.codecs.openai_responses.items import read_turns
from turnout.codecs.openai_responses.scan import Scan, scan
from turnout.codecs.openai_responses.thinking import read_thinking
from turnout.codecs.openai_responses.tools import declare, is_bound_choice, known_tools, read_choice
from turnout.codecs.openai_responses.wire import ENCRYPTED, LOGPROBS, WIRE, RequestIn, without
from turnout.codecs.plain import Conversation
from turnout.errors import InvalidRequest
from turnout.types.ask import Wire
from turnout.types.chat import NOTHING, ChatRequest, Facts, OutputFormat, ToolChoice
from turnout.types.json import Json, JsonObject

_KNOWN = frozenset(RequestIn.__struct_fields__) | {"input"}
_KEPT = frozenset({"store", "metadata", "stream_options", "include", "truncation", "background"})
"""What the gateway does itself: it keeps conversations, echoes labels and knows jobs."""
_HONOURED = frozenset({ENCRYPTED, LOGPROBS})
_TOOLS = frozenset({"tools"})
_FORMAT_KNOWN = frozenset({"format"})
_SHAPES = ("text", "json_object", "json_schema")
_BINDING = ("prompt", "conversation", "previous_response_id")


def parse_request(body: bytes) -> Body:
    """Read a request. Raises `InvalidRequest` with the path of the offending field."""
    tree = strict.parse(body)
    wishes = extras.read(tree)
    tree = extras.without(tree, wishes)
    found = scan(tree)
    request = read_request(tree, found)
    # Reasoning of other providers must not reach this one: such a request is written anew.
    return wishes.body(request, Wire("" if found.has_sealed else WIRE, tree))


def read_request(tree: JsonObject, found: Scan) -> ChatRequest:
    """Read a parsed body from which Turnout's own fields were taken out."""
    tools = tree.get("tools")
    declared = known_tools(tools)
    asked = strict.convert(tree if declared is None else without(tree, _TOOLS), RequestIn)
    if declared is None and asked.tools:
        declared = declare(asked.tools, tools)
    choice = read_choice(asked.tool_choice)
    bound = (
        found.is_bound
        or (declared is not None and declared.is_bound)
        or is_bound_choice(asked.tool_choice)
        or any(tree.get(name) is not None for name in _BINDING)
    )
    shape = _output_format(tree, asked)
    extra, kept = _rest(tree, asked)
    include = asked.include or ()
    return ChatRequest(
        model=asked.model,
        messages=Conversation(partial(read_turns, tree, has_sealed=found.has_sealed)),
        tools=() if declared is None else declared,
        tool_choice=choice,
        parallel_tool_calls=asked.parallel_tool_calls,
        max_tokens=asked.max_output_tokens,
        temperature=asked.temperature,
        top_p=asked.top_p,
        logprobs=True if LOGPROBS in include or asked.top_logprobs else None,
        top_logprobs=asked.top_logprobs,
        output_format=shape,
        thinking=read_thinking(asked.reasoning, tree),
        user=asked.user,
        stream=asked.stream is True,
        include_usage=True,
        wire=WIRE,
        extra=extra,
        kept=kept,
        facts=_facts(found, declared, choice, shape, bound=bound),
    )


def _facts(
    found: Scan, tools: Declared | None, choice: ToolChoice | None, shape: OutputFormat | None, *, bound: bool
) -> Facts:
    return Facts(
        n_chars=found.n_chars + (0 if tools is None else tools.n_chars),
        n_messages=found.n_items,
        n_media=len(found.media),
        modalities=frozenset(found.media),
        n_tools=0 if tools is None else tools.n_tools,
        forced_tool=choice is not None and choice.mode in ("required", "named"),
        structured="" if shape is None else shape.kind,
        server_tools=tools is not None and tools.is_bound,
        native_wire=WIRE if bound else "",
    )


def _rest(tree: JsonObject, asked: RequestIn) -> tuple[Mapping[str, Json], Mapping[str, Json]]:
    """Return the fields that have none of ours: those only an upstream can honour, and those that we do."""
    rest: dict[str, Json] = (
        {}
        if _KNOWN.issuperset(tree)
        else {k: v for k, v in tree.items() if k not in _KNOWN and v is not None}
    )
    for key, value in rest.items():
        if isinstance(value, dict | list) and key != "metadata":
            extras.refuse(value, key)
    if asked.include:
        rest["include"] = tree["include"]
    if is_bound_choice(asked.tool_choice):
        rest["tool_choice"] = tree["tool_choice"]
    text = tree.get("text")
    if isinstance(text, dict):
        odd = (
            asked.text is not None and asked.text.format is not None and asked.text.format.type not in _SHAPES
        )
        kept_text = text if odd else without(text, _FORMAT_KNOWN)
        if kept_text:
            rest["text"] = kept_text
    if not rest:
        return NOTHING, NOTHING
    kept = {key: value for key, value in rest.items() if key in _KEPT and _is_ours(key, value)}
    return {key: value for key, value in rest.items() if key not in kept} or NOTHING, kept or NOTHING


def _is_ours(key: str, value: Json) -> bool:
    match key:
        case "include":
            return isinstance(value, list) and _HONOURED.issuperset(value)
        case "truncation":
            return value == "disabled"
        case _:
            return True


def _output_format(tree: JsonObject, asked: RequestIn) -> OutputFormat | None:
    shape = None if asked.text is None else asked.text.format
    if shape is None or shape.type not in ("json_object", "json_schema"):
        return None
    if shape.type == "json_object":
        return OutputFormat(kind="json_object")
    if shape.schema is None:
        where = "text.format.schema"
        raise InvalidRequest(f"{where} is missing", param=where, code="missing_required_parameter")
    text = tree.get("text")
    raw = text.get("format") if isinstance(text, Mapping) else None
    schema = raw.get("schema") if isinstance(raw, Mapping) else None
    return OutputFormat(
        kind="json_schema",
        name=shape.name,
        schema=schema if isinstance(schema, Mapping) else None,
        strict=shape.strict,
        description=shape.description,
    )
