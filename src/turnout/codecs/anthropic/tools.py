"""Tools, tool choice and answer schemas of any origin, written for Anthropic. Floor 2."""

from collections.abc import Mapping, Sequence
from typing import cast

from turnout.codecs.anthropic.turns import Block
from turnout.codecs.anthropic.wire import WIRE, Traits
from turnout.codecs.declared import Declared, Written
from turnout.codecs.notes import SCHEMA_ADAPTED, STRICT_DROPPED, Notes
from turnout.errors import InvalidRequest, UnsupportedParameter
from turnout.types.chat import ChatRequest, OutputFormat, ServerTool, Tool
from turnout.types.json import Json, JsonObject

_CHOICES = {"auto": "auto", "none": "none", "required": "any", "named": "tool"}
_KEYS = {
    (native, strict): f"{WIRE} {native} {strict}" for native in (False, True) for strict in (False, True)
}
"""What `_tool` looks at beside the tool: does the client speak this format, does the model know `strict`."""
_SUBSETS = frozenset({"auto", "required"})
"""Modes in which `names` are the tools that may be called."""
_ANY: frozenset[str] = frozenset()
_NO_PARAMETERS: JsonObject = {"type": "object", "properties": {}}


def write_tools(request: ChatRequest, traits: Traits, messages: Sequence[Block], notes: Notes) -> object:
    """Write the tools; None = none. Raises `UnsupportedParameter` for one that only another provider runs."""
    choice, declared = request.tool_choice, request.tools
    allowed: frozenset[str] = _ANY
    if choice is not None and choice.mode in _SUBSETS:
        allowed = frozenset(choice.names)
    if isinstance(declared, Declared) and not allowed:
        key = _KEYS[request.wire == WIRE, traits.strict_tools]
        known = declared.written(key, lambda: _kept(request, traits))
        for word in known.warnings:
            notes.warn(word)
        return known.json
    # The format cannot allow a subset: leaving the others out says the same.
    out = [
        _tool(tool, request.wire, traits, notes)
        for tool in declared
        if not allowed or isinstance(tool, ServerTool) or tool.name in allowed
    ]
    if not out and request.wire != WIRE:
        out = _called(messages)
        if out:
            notes.warn("tools_restored")
    return out or None


def _kept(request: ChatRequest, traits: Traits) -> Written:
    notes = Notes()
    tools = [_tool(tool, request.wire, traits, notes) for tool in request.tools]
    return Written(cast("Json", tools), notes.warnings)  # blocks hold nothing but JSON


def write_choice(request: ChatRequest) -> Mapping[str, Json] | None:
    """Write which of the tools must be called, and whether several may be; None where that goes unsaid."""
    choice, single = request.tool_choice, request.parallel_tool_calls is False
    if not request.tools:
        return {"type": "none"}
    if choice is None:
        return {"type": "auto", "disable_parallel_tool_use": True} if single else None
    out: dict[str, Json] = {"type": _CHOICES[choice.mode]}
    if choice.mode == "named" and choice.names:
        out["name"] = choice.names[0]
    if single and choice.mode != "none":
        out["disable_parallel_tool_use"] = True
    return out


def write_format(wanted: OutputFormat, notes: Notes, *, native: bool) -> Mapping[str, Json]:
    """Write the schema of the answer. Raises `UnsupportedParameter` for JSON without one."""
    if wanted.kind != "json_schema":
        raise UnsupportedParameter(
            "this format has no JSON mode without a schema; send a json_schema", param="response_format"
        )
    if wanted.schema is None:
        raise InvalidRequest("the answer's schema is missing", param="response_format.json_schema.schema")
    schema = wanted.schema if native else _closed(wanted.schema)
    if schema != wanted.schema:
        notes.warn(SCHEMA_ADAPTED)
    return {"type": "json_schema", "schema": schema}


def _tool(tool: Tool | ServerTool, wire: str, traits: Traits, notes: Notes) -> Block:
    if isinstance(tool, ServerTool):
        if tool.wire != WIRE:
            kind = tool.value.get("type")
            raise UnsupportedParameter(f"the tool {kind} is run only by its own provider", param="tools")
        return dict(tool.value)
    out: Block = {"name": tool.name}
    if tool.description is not None:
        out["description"] = tool.description
    schema = _NO_PARAMETERS if tool.schema is None else tool.schema
    out["input_schema"] = schema if wire == WIRE or "type" in schema else {"type": "object", **schema}
    if tool.strict is not None:
        if wire == WIRE or traits.strict_tools:
            out["strict"] = tool.strict
        elif tool.strict:
            notes.warn(STRICT_DROPPED)
    if wire in {WIRE, ""}:
        out.update(tool.extra)
    elif isinstance(tool.extra.get("cache_control"), dict):
        out["cache_control"] = tool.extra["cache_control"]
    return out


def _called(messages: Sequence[Block]) -> list[Block]:
    """Return a bare tool for each one that was called: the API refuses calls of undeclared tools."""
    names: dict[str, None] = {}
    for turn in messages:
        blocks = turn["content"]
        for block in blocks if isinstance(blocks, list) else ():
            if block["type"] == "tool_use":
                names[block["name"]] = None
    return [{"name": name, "input_schema": _NO_PARAMETERS} for name in names]


def _closed(schema: JsonObject) -> JsonObject:
    """Return a schema whose objects say `additionalProperties: false`, as the API demands of every one."""
    out = {key: _closed_within(value) for key, value in schema.items()}
    if schema.get("type") == "object" or "properties" in schema:
        out.setdefault("type", "object")
        out.setdefault("additionalProperties", False)
    return out


def _closed_within(value: Json) -> Json:
    if isinstance(value, dict):
        return _closed(value)
    if isinstance(value, list):
        return [_closed_within(item) for item in value]
    return value
