"""Requests in the Converse format, read strictly. Floor 2."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from turnout.codecs import extras, strict
from turnout.codecs.base import Body
from turnout.codecs.bedrock.blocks import MARK, POINT, read_blocks
from turnout.codecs.bedrock.request import ADDRESSED
from turnout.codecs.bedrock.thinking import read as read_fields
from turnout.codecs.bedrock.wire import WIRE
from turnout.codecs.failures import as_object, text_in
from turnout.errors import InvalidRequest
from turnout.types.ask import Wire
from turnout.types.chat import ChatRequest, Message, OutputFormat, Role, ServerTool, Tool, ToolChoice
from turnout.types.json import Json, JsonObject

Count = Annotated[int, Meta(ge=0)]
_KNOWN = frozenset({"messages", "system", "toolConfig", "inferenceConfig", "outputConfig"}) | ADDRESSED
_INFERENCE = frozenset({"maxTokens", "temperature", "topP", "stopSequences"})
_ROLES: Mapping[str, Role] = {"user": "user", "assistant": "assistant"}


class _Turn(Struct, frozen=True):
    role: str
    content: list[dict[str, Json]]


class _Inference(Struct, frozen=True, rename="camel"):
    max_tokens: Count | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop_sequences: list[str] = []


class _ToolConfig(Struct, frozen=True, rename="camel"):
    tools: list[dict[str, Json]] = []
    tool_choice: dict[str, dict[str, Json]] = {}


class _Asked(Struct, frozen=True, rename="camel"):
    messages: list[_Turn]
    system: list[dict[str, Json]] = []
    tool_config: _ToolConfig = _ToolConfig()
    inference_config: _Inference = _Inference()


def parse_call(body: bytes, model: str, *, stream: bool) -> Body:
    """Read a request whose address named the model. Raises `InvalidRequest` with the path of the field."""
    tree = strict.parse(body)
    wishes = extras.read(tree)
    own = extras.without(tree, wishes)
    asked = strict.convert(own, _Asked)
    inference, config = asked.inference_config, asked.tool_config
    extra = _extra(own)
    extras.refuse(extra, "")
    thinking, top_k = read_fields(extra, model)
    messages = [_message(turn, f"messages[{at}]") for at, turn in enumerate(asked.messages)]
    if asked.system:
        messages.insert(0, Message("system", read_blocks(asked.system)))
    request = ChatRequest(
        model=model,
        messages=tuple(messages),
        tools=_tools(config.tools),
        tool_choice=_choice(config.tool_choice),
        max_tokens=inference.max_tokens,
        temperature=inference.temperature,
        top_p=inference.top_p,
        top_k=top_k,
        stop=tuple(inference.stop_sequences),
        output_format=_format(own),
        thinking=thinking,
        stream=stream,
        include_usage=True,
        wire=WIRE,
        extra=extra,
    )
    return wishes.body(request, Wire(WIRE, own))


def _message(turn: _Turn, at: str) -> Message:
    role = _ROLES.get(turn.role)
    if role is None:
        raise InvalidRequest(f"{at}.role is none of {', '.join(_ROLES)}", param=f"{at}.role")
    return Message(role, read_blocks(turn.content))


def _extra(tree: JsonObject) -> dict[str, Json]:
    extra = {name: value for name, value in tree.items() if name not in _KNOWN}
    rest = {
        key: value for key, value in as_object(tree.get("inferenceConfig")).items() if key not in _INFERENCE
    }
    if rest:
        extra["inferenceConfig"] = rest
    if "outputConfig" in tree and _format(tree) is None:
        extra["outputConfig"] = tree["outputConfig"]
    return extra


def _tools(declared: Sequence[JsonObject]) -> tuple[Tool | ServerTool, ...]:
    tools: list[Tool | ServerTool] = []
    for each in declared:
        last = tools[-1] if tools else None
        if each == POINT and isinstance(last, Tool):
            tools[-1] = msgspec.structs.replace(last, extra={**last.extra, MARK: {"type": "ephemeral"}})
        else:
            tools.append(_tool(each))
    return tuple(tools)


def _tool(tool: JsonObject) -> Tool | ServerTool:
    spec = tool.get("toolSpec")
    if not isinstance(spec, dict):
        return ServerTool(WIRE, tool)
    schema, flag = as_object(spec.get("inputSchema")).get("json"), spec.get("strict")
    return Tool(
        name=text_in(spec, "name"),
        description=text_in(spec, "description") if "description" in spec else None,
        schema=schema if isinstance(schema, dict) else None,
        strict=flag if isinstance(flag, bool) else None,
    )


def _choice(choice: Mapping[str, JsonObject]) -> ToolChoice | None:
    if "any" in choice:
        return ToolChoice("required")
    if "tool" in choice:
        return ToolChoice("named", (text_in(choice["tool"], "name"),))
    return ToolChoice("auto") if "auto" in choice else None


def _format(tree: JsonObject) -> OutputFormat | None:
    text = as_object(as_object(tree.get("outputConfig")).get("textFormat"))
    said = as_object(as_object(text.get("structure")).get("jsonSchema"))
    try:
        schema = msgspec.json.decode(text_in(said, "schema"), type=dict[str, Json])
    except (ValueError, RecursionError):
        return None
    name, description = text_in(said, "name") or None, text_in(said, "description") or None
    return OutputFormat(kind="json_schema", name=name, schema=schema, description=description)
