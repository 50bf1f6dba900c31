"""Tools that an Anthropic client declares: checked and read once for all requests with the same. Floor 2."""

from collections.abc import Sequence
from functools import partial

from turnout.codecs.anthropic.wire import WIRE, string, without, write
from turnout.codecs.declared import Declared, Memo
from turnout.errors import InvalidRequest
from turnout.types.chat import ServerTool, Tool
from turnout.types.json import Json, JsonObject

_TOOL = frozenset({"name", "description", "input_schema", "strict"})
_known = Memo[Declared]()


def declare(tools: Json) -> Declared | None:
    """Return the tools of a request; None = there are none. Raises `InvalidRequest` for what is no tool."""
    if tools is None:
        return None
    if not isinstance(tools, list):
        raise refused("tools", "must be a list")
    if not tools:
        return None
    raw = write(tools)
    found = _known.get(raw)
    if found is None:
        is_bound = _check(tools)
        found = Declared(partial(_read, tools), len(tools), n_chars=len(raw), is_bound=is_bound)
        _known.put(raw, found)
    return found


def refused(at: str, must: str) -> InvalidRequest:
    """Return the refusal of a field."""
    return InvalidRequest(f"{at} {must}", param=at)


def _check(tools: Sequence[Json]) -> bool:
    """Check each tool; tell whether one of them is run by the upstream."""
    is_bound = False
    for i, tool in enumerate(tools):
        if not isinstance(tool, dict):
            raise refused(f"tools[{i}]", "must be an object")
        if not isinstance(tool.get("name", tool.get("type")), str):
            raise refused(f"tools[{i}].name", "must be a text")
        if not _is_function(tool):
            is_bound = True
        elif not isinstance(tool.get("input_schema", {}), dict):
            raise refused(f"tools[{i}].input_schema", "must be an object")
    return is_bound


def _is_function(tool: JsonObject) -> bool:
    """Tell a tool with a schema of the caller's own from one that Anthropic defines."""
    return tool.get("type") in (None, "custom")


def _read(tools: Sequence[Json]) -> tuple[Tool | ServerTool, ...]:
    return tuple([_tool(tool) for tool in tools if isinstance(tool, dict)])


def _tool(tool: JsonObject) -> Tool | ServerTool:
    if not _is_function(tool):
        return ServerTool(WIRE, tool)
    schema, flag = tool.get("input_schema"), tool.get("strict")
    return Tool(
        name=string(tool, "name"),
        description=string(tool, "description") if "description" in tool else None,
        schema=schema if isinstance(schema, dict) else None,
        strict=flag if isinstance(flag, bool) else None,
        extra=without(tool, _TOOL),
    )
