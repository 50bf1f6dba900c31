"""Does a finished answer have the shape its request asked for? Floor 2.

The shape is a JSON object (`json_object`), a JSON Schema (`json_schema`), or the arguments of a tool that the
model had to call. Unlike the acceptors of `looks`, which forgive a Markdown fence, this one reads the answer
as the client's own parser will: what that cannot read is a miss.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from turnout.strategies.accept.base import answer_text
from turnout.strategies.accept.schema import Fault, schema_faults
from turnout.types.chat import ChatRequest, ChatResponse, Refusal, Tool, ToolCall
from turnout.types.json import Json, JsonObject


class Miss(Struct, frozen=True):
    """How an answer misses its shape."""

    reason: str
    """Closed word: `not_json`, `not_an_object`, `schema_violated`, `no_call`, `unknown_tool`,
    `arguments_not_json`, `arguments_violate_schema`, `cut_off`."""
    detail: str = ""
    """What a model needs to know to do better: paths, and what was expected there."""
    choice: int = 0


def has_shape(request: ChatRequest) -> bool:
    """Tell whether a request asks for a shape at all."""
    return request.output_format is not None or _forced(request)


def miss(request: ChatRequest, answer: ChatResponse) -> Miss | None:
    """Return how an answer misses its shape; None = it has it, or was declined by the model or a filter.

    Raises:
        SchemaUnusable: Nothing can be said.
        ImportError: The extra `schema` is not installed.
    """
    for at in range(len(answer.choices)):
        found = _miss(request, answer, at)
        if found is not None:
            return msgspec.structs.replace(found, choice=at)
    return None


def _miss(request: ChatRequest, answer: ChatResponse, at: int) -> Miss | None:
    choice = answer.choices[at]
    if choice.finish == "content_filter" or any(isinstance(part, Refusal) for part in choice.parts):
        return None
    calls = [part for part in choice.parts if isinstance(part, ToolCall)]
    found: Miss | None = None
    if _forced(request):
        found = _called(request, calls)
    elif request.output_format is not None and not calls:
        found = _written(request, answer_text(answer, at))
    if found is not None and choice.finish == "length":
        return Miss("cut_off")
    return found


def _forced(request: ChatRequest) -> bool:
    wanted = request.tool_choice
    return wanted is not None and wanted.mode in {"named", "required"} and bool(request.tools)


def _written(request: ChatRequest, text: str) -> Miss | None:
    shape = request.output_format
    assert shape is not None
    try:
        value: Json = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        return Miss("not_json", f"The text is not JSON: {error}")
    if shape.kind == "json_object" and not isinstance(value, Mapping):
        return Miss("not_an_object", "The text is JSON, but not an object.")
    return None if shape.schema is None else _against(value, shape.schema, "schema_violated")


def _called(request: ChatRequest, calls: list[ToolCall]) -> Miss | None:
    if not calls:
        return Miss("no_call", "A tool must be called.")
    tools = {tool.name: tool for tool in request.tools if isinstance(tool, Tool)}
    for call in calls:
        tool = tools.get(call.name)
        if tool is None:
            if call.kind == "custom" or len(tools) < len(request.tools):
                continue  # free text, or a tool that its provider knows better
            return Miss("unknown_tool", "There is no tool of that name.")
        try:
            value: Json = msgspec.json.decode(call.arguments or "{}")
        except (msgspec.DecodeError, UnicodeError) as error:
            return Miss("arguments_not_json", f"The arguments are not JSON: {error}")
        found = None if tool.schema is None else _against(value, tool.schema, "arguments_violate_schema")
        if found is not None:
            return found
    return None


def _against(value: Json, schema: JsonObject, reason: str) -> Miss | None:
    faults = schema_faults(value, schema)
    return Miss(reason, "\n".join(map(_line, faults))) if faults else None


def _line(fault: Fault) -> str:
    return f"{fault.path}: {fault.what}"
