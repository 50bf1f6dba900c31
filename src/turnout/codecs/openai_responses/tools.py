"""Declared tools and the choice among them, both directions. Floor 2."""

from collections.abc import Iterable, Mapping, Sequence

from turnout.codecs.declared import Declared, Memo, Written
from turnout.codecs.openai_responses.wire import WIRE, ToolIn, without, write
from turnout.errors import InvalidRequest, UnsupportedParameter
from turnout.types.chat import NOTHING, ServerTool, Tool, ToolChoice
from turnout.types.json import Json, JsonObject

MAX_SCHEMA = 256 * 1024
"""Bytes of one schema; SECURITY.md section 7."""
_KNOWN = frozenset(ToolIn.__struct_fields__)
_KEYS = (WIRE, WIRE + " same")
_known_tools = Memo[Declared]()
_MODES = ("auto", "none", "required")


def known_tools(tools: Json) -> Declared | None:
    """Return tools that were declared before, byte for byte, and so need no check; None = they were not."""
    return _known_tools.get(write(tools)) if tools else None


def declare(tools: Sequence[ToolIn], raw: Json) -> Declared:
    """Check and keep declared tools.

    Raises `InvalidRequest` for a function without a name, or a schema too large.
    """
    for i, tool in enumerate(tools):
        if tool.type == "function" and not tool.name:
            where = f"tools[{i}].name"
            raise InvalidRequest(f"{where} is missing", param=where, code="missing_required_parameter")
    text = write(raw)
    if len(text) > MAX_SCHEMA:
        _check_schemas(tools)
    is_bound = any(tool.type != "function" for tool in tools)
    found = Declared(lambda: _read_tools(tools, raw), len(tools), n_chars=len(text), is_bound=is_bound)
    _known_tools.put(text, found)
    return found


def _check_schemas(tools: Sequence[ToolIn]) -> None:
    for i, tool in enumerate(tools):
        if len(write(tool.parameters)) > MAX_SCHEMA:
            where = f"tools[{i}].parameters"
            raise InvalidRequest(f"{where} is larger than {MAX_SCHEMA >> 10} KiB", param=where)


def _read_tools(tools: Sequence[ToolIn], raw: Json) -> tuple[Tool | ServerTool, ...]:
    """Read declared tools; what is not a function is bound to this format."""
    assert isinstance(raw, Sequence)
    return tuple(
        [
            _tool(tool, tree) if tool.type == "function" else ServerTool(WIRE, tree)
            for tool, tree in zip(tools, raw, strict=True)
            if isinstance(tree, Mapping)
        ]
    )


def _tool(tool: ToolIn, tree: JsonObject) -> Tool:
    schema = tree.get("parameters")
    return Tool(
        name=tool.name or "",
        description=tool.description,
        schema=schema if isinstance(schema, Mapping) else None,
        strict=tool.strict,
        extra=without(tree, _KNOWN) or NOTHING,
    )


def write_tools(tools: Iterable[Tool | ServerTool], *, same: bool) -> list[Json]:
    """Write declared tools. Raises `UnsupportedParameter` for one that lives at another provider."""
    return [_written(tool, same=same) for tool in tools]


def write_known(tools: Sequence[Tool | ServerTool], *, same: bool) -> Json:
    """Write declared tools, as they were written before where they are known; None = there are none."""
    if isinstance(tools, Declared):
        return tools.written(_KEYS[same], lambda: Written(write_tools(tools, same=same) or None)).json
    return write_tools(tools, same=same) or None


def _written(tool: Tool | ServerTool, *, same: bool) -> Json:
    if isinstance(tool, ServerTool):
        if tool.wire != WIRE:
            raise UnsupportedParameter(
                f"tools of {tool.wire} that the provider runs itself exist only there", param="tools"
            )
        return tool.value
    written: dict[str, Json] = {"type": "function", "name": tool.name}
    if tool.description is not None:
        written["description"] = tool.description
    if tool.schema is not None or not same:
        written["parameters"] = tool.schema or {"type": "object", "properties": {}}
    if tool.strict is not None:
        written["strict"] = tool.strict
    elif not same:
        written["strict"] = False  # left out means true here, and the opposite in every other format
    return {**written, **tool.extra} if same else written


def read_choice(choice: str | Mapping[str, object] | None) -> ToolChoice | None:
    """Read which tool must be called; None = not said, or bound to this format (`is_bound_choice`)."""
    match choice:
        case None:
            return None
        case "auto" | "none" | "required":
            return ToolChoice(choice)
        case str():
            raise InvalidRequest(
                'tool_choice must be "auto", "none", "required" or an object', param="tool_choice"
            )
        case {"type": "function" | "custom", "name": str() as name}:
            return ToolChoice("named", (name,))
        case {"type": "allowed_tools", "mode": "auto" | "required" as mode, "tools": [*tools]}:
            names = [_allowed(tool) for tool in tools]
            return ToolChoice(mode, tuple(name for name in names if name)) if all(names) else None
        case _:
            return None


def is_bound_choice(choice: str | Mapping[str, object] | None) -> bool:
    """Tell whether a choice names what only this format has: a tool the upstream runs itself."""
    return isinstance(choice, Mapping) and read_choice(choice) is None


def _allowed(tool: object) -> str:
    match tool:
        case {"type": "function" | "custom", "name": str() as name}:
            return name
        case _:
            return ""


def write_choice(choice: ToolChoice, tools: Iterable[Tool | ServerTool]) -> Json:
    """Write which tool must be called."""
    custom = {
        tool.value.get("name")
        for tool in tools
        if isinstance(tool, ServerTool) and tool.value.get("type") == "custom"
    }
    named: list[Json] = [
        {"type": "custom" if name in custom else "function", "name": name} for name in choice.names
    ]
    if choice.mode == "named":
        return named[0] if named else "required"
    if named:
        return {"type": "allowed_tools", "mode": choice.mode, "tools": named}
    return choice.mode
