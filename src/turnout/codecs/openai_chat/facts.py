"""Facts about a request, counted without reading it into our types; part checks on the way. Floor 2."""

from collections.abc import Sequence
from typing import Literal, NoReturn

import msgspec

from turnout.codecs.declared import Declared
from turnout.codecs.openai_chat.media import KINDS
from turnout.codecs.openai_chat.wire import WIRE, PartIn, RequestIn, ResponseFormat, ToolCallIn, ToolIn
from turnout.errors import InvalidRequest
from turnout.types.chat import Facts, MediaKind
from turnout.types.json import JsonObject

_SPOKEN = ("system", "developer", "user")
"""Roles that must have content."""
MAX_SCHEMA = 256 * 1024
"""Bytes of one schema; SECURITY.md section 7."""
NO_MEDIA: frozenset[str] = frozenset()
_encode = msgspec.json.Encoder().encode


def read_facts(tree: JsonObject, wire: RequestIn, tools: Declared | None) -> Facts:
    """Count what filters need. Raises `InvalidRequest` for a turn, part or call that lacks its payload."""
    n_chars = 0
    media: list[MediaKind] = []
    for i, message in enumerate(wire.messages):
        content = message.content
        if isinstance(content, str):
            n_chars += len(content)
        elif content is not None:
            n_chars += _parts(content, i, media)
        elif message.role in _SPOKEN:
            _missing(f"messages[{i}].content")
        if message.tool_calls:
            n_chars += _calls(message.tool_calls, i)
        elif message.role == "tool" and message.tool_call_id is None:
            _missing(f"messages[{i}].tool_call_id")
    if tools is None and not wire.functions:
        return Facts(
            n_chars=n_chars,
            n_messages=len(wire.messages),
            n_media=len(media),
            modalities=frozenset(media) if media else NO_MEDIA,
            structured="" if wire.response_format is None else _structured(wire),
        )
    bound = tools is not None and tools.is_bound
    choice = wire.function_call if tools is None else wire.tool_choice
    return Facts(
        n_chars=n_chars + (len(_encode(tree["functions"])) if tools is None else tools.n_chars),
        n_messages=len(wire.messages),
        n_media=len(media),
        modalities=frozenset(media) if media else NO_MEDIA,
        n_tools=len(wire.functions or ()) if tools is None else tools.n_tools,
        forced_tool=choice not in (None, "auto", "none"),
        structured=_structured(wire),
        server_tools=bound,
        native_wire=WIRE if bound else "",
    )


def check_tools(tools: Sequence[ToolIn], n_chars: int) -> bool:
    """Tell whether one of these tools exists only in this format.

    Raises `InvalidRequest` for a function that lacks its declaration, or a schema too large.
    """
    if n_chars > MAX_SCHEMA:
        _check_schemas(tools)
    bound = [_is_bound(tool, i) for i, tool in enumerate(tools)]
    return any(bound)


def _parts(parts: Sequence[PartIn], turn: int, media: list[MediaKind]) -> int:
    n_chars = 0
    for i, part in enumerate(parts):
        if part.text is not None:
            n_chars += len(part.text)
        elif part.type == "text" or (part.type in KINDS and getattr(part, part.type) is None):
            _missing(f"messages[{turn}].content[{i}].{part.type}")
        elif part.type in KINDS:
            media.append(KINDS[part.type])
    return n_chars


def _calls(calls: Sequence[ToolCallIn], turn: int) -> int:
    n_chars = 0
    for i, call in enumerate(calls):
        if call.function is not None:
            n_chars += len(call.function.arguments or "")
        elif call.custom is not None:
            n_chars += len(call.custom.input)
        else:
            _missing(f"messages[{turn}].tool_calls[{i}].function")
    return n_chars


def _is_bound(tool: ToolIn, at: int) -> bool:
    if tool.type not in (None, "function"):
        return True
    if tool.function is None:
        _missing(f"tools[{at}].function")
    return False


def _check_schemas(tools: Sequence[ToolIn]) -> None:
    for i, tool in enumerate(tools):
        if tool.function is not None and len(_encode(tool.function.parameters)) > MAX_SCHEMA:
            where = f"tools[{i}].function.parameters"
            raise InvalidRequest(f"{where} is larger than {MAX_SCHEMA >> 10} KiB", param=where)


def _structured(wire: RequestIn) -> Literal["", "json_object", "json_schema"]:
    match wire.response_format:
        case ResponseFormat(type="json_object" | "json_schema" as kind):
            return "json_schema" if kind == "json_schema" else "json_object"
        case _:
            return ""


def _missing(where: str) -> NoReturn:
    raise InvalidRequest(f"{where} is missing", param=where, code="missing_required_parameter")
