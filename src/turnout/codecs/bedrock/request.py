"""Requests to Bedrock's Converse and ConverseStream. Floor 2."""

from collections.abc import Mapping
from functools import lru_cache
from operator import attrgetter
from urllib.parse import quote

import msgspec

from turnout.codecs.base import Encoded
from turnout.codecs.bedrock.blocks import MARK, POINT
from turnout.codecs.bedrock.thinking import FIELDS, fields, same
from turnout.codecs.bedrock.turns import Block, Turns
from turnout.codecs.bedrock.wire import TYPE, UNKNOWN_KEYWORDS, WIRE, write
from turnout.codecs.declared import Declared, Written
from turnout.codecs.notes import (
    NATIVE_DROPPED,
    SCHEMA_ADAPTED,
    Notes,
    one_answer,
    schema_of,
    without_keywords,
)
from turnout.errors import InvalidRequest, UnsupportedParameter
from turnout.types.ask import Wire
from turnout.types.chat import ChatRequest, OutputFormat, Tool
from turnout.types.deployment import Deployment
from turnout.types.http import HttpRequest
from turnout.types.json import Json, JsonObject

ADDRESSED = frozenset({"modelId", "stream"})
"""What stands in the address and never in the body."""
_ADVISORY = ("seed", "presence_penalty", "frequency_penalty", "logit_bias", "user")
_advisory = attrgetter(*_ADVISORY)
_NO_ADVICE = (None,) * len(_ADVISORY)
_CONFIG = "outputConfig"
_INFERENCE = "inferenceConfig"


def encode(request: ChatRequest, to: Deployment) -> Encoded:
    """Write the call for a request of any origin."""
    one_answer(request)
    notes = Notes()
    turns = Turns(request, notes)
    body: Block = {"messages": turns.messages}
    if turns.system:
        body["system"] = turns.system
    tools = _tools(request, turns, notes)
    if tools:
        body["toolConfig"] = tools
    limit = _limit(request, to, notes)
    inference = _inference(request, limit, notes)
    if inference:
        body[_INFERENCE] = inference
    if request.output_format is not None:
        body[_CONFIG] = {"textFormat": _format(request.output_format, notes, native=request.wire == WIRE)}
    _add_extra(body, request, notes)
    told = fields(request, to, limit, notes) if request.wire != WIRE else same(request)
    if told:
        body[FIELDS] = {**told, **_object(body, FIELDS)}
    if _advisory(request) != _NO_ADVICE:
        for name, value in zip(_ADVISORY, _advisory(request), strict=True):
            if value is not None:
                notes.drop(name)
    if request.parallel_tool_calls is False:
        notes.drop("parallel_tool_calls")
    return notes.encoded(http(body, to, "converse-stream" if request.stream else "converse"))


def forward(wire: Wire, to: Deployment, *, stream: bool) -> Encoded:
    """Write the call from the client's own JSON; the model stands in the address."""
    body = {name: value for name, value in wire.body.items() if name not in ADDRESSED}
    return Encoded(http(body, to, "converse-stream" if stream else "converse"))


def http(body: Mapping[str, object], to: Deployment, verb: str) -> HttpRequest:
    """Address a call: the model's id is one segment of the path, its colons encoded."""
    quirks = to.vendor.quirks
    headers = [TYPE, *((name.lower().encode(), value.encode()) for name, value in quirks.extra_headers)]
    url = f"{to.url}/model/{_segment(to.upstream_model)}/{verb}"
    return HttpRequest("POST", f"{url}?{quirks.query}" if quirks.query else url, headers, write(body))


@lru_cache(maxsize=1024)  # models are few
def _segment(model: str) -> str:
    return quote(model, safe="")


def _limit(request: ChatRequest, to: Deployment, notes: Notes) -> int | None:
    most = to.model.max_output
    if request.max_tokens is not None and most is not None and request.max_tokens > most:
        notes.warn("max_tokens_clamped")
        return most
    return request.max_tokens


def _inference(request: ChatRequest, limit: int | None, notes: Notes) -> Block:
    out: Block = {}
    if limit is not None:
        out["maxTokens"] = limit
    if request.temperature is not None:
        out["temperature"] = request.temperature
        if request.temperature > 1 and request.wire != WIRE:
            notes.warn("temperature_clamped")
            out["temperature"] = 1.0
    if request.top_p is not None:
        out["topP"] = request.top_p
    stop = request.stop if request.wire == WIRE else tuple(filter(None, request.stop))
    if stop:
        out["stopSequences"] = stop
    return out


def _tools(request: ChatRequest, turns: Turns, notes: Notes) -> Block:
    choice, native = request.tool_choice, request.wire == WIRE
    tools: Json = _known(request)
    if choice is not None and choice.mode == "none" and not native:
        # The format cannot forbid calls. Without earlier ones the tools are left out, which says the same.
        if not turns.calls:
            return {}
        notes.warn("tool_choice_approximated")
    if not tools:
        # "The toolConfig field must be defined when using toolUse and toolResult content blocks" (API).
        tools = [{"toolSpec": _spec(Tool(name=name))} for name in turns.calls]
    if not tools:
        return {}
    config: Block = {"tools": tools}
    if choice is not None and choice.mode == "named" and choice.names:
        config["toolChoice"] = {"tool": {"name": choice.names[0]}}
    elif choice is not None and choice.mode in {"auto", "required"}:
        config["toolChoice"] = {"any" if choice.mode == "required" else "auto": {}}
    return config


def _known(request: ChatRequest) -> Json:
    """Write the tools, as they were written before where they are known; None = there are none."""
    choice, declared = request.tool_choice, request.tools
    if isinstance(declared, Declared) and (choice is None or not choice.names):
        return declared.written(WIRE, lambda: Written(_offered(request) or None)).json
    return _offered(request) or None


def _offered(request: ChatRequest) -> list[Json]:
    choice = request.tool_choice
    names = choice.names if choice is not None and choice.mode in {"auto", "required"} else ()
    tools: list[Json] = []
    for tool in request.tools:
        if not isinstance(tool, Tool):
            if tool.wire != WIRE:
                raise UnsupportedParameter("this provider does not run tools of another one", param="tools")
            tools.append(tool.value)
        elif not names or tool.name in names:
            tools.append({"toolSpec": _spec(tool)})
            if isinstance(tool.extra.get(MARK), dict):
                tools.append(POINT)
    return tools


def _spec(tool: Tool) -> JsonObject:
    spec: dict[str, Json] = {"name": tool.name, "inputSchema": {"json": schema_of(tool)}}
    if tool.description:
        spec["description"] = tool.description
    if tool.strict:
        spec["strict"] = True
    return spec


def _format(asked: OutputFormat, notes: Notes, *, native: bool) -> JsonObject:
    if asked.kind != "json_schema":
        raise UnsupportedParameter(
            "this format has no JSON mode without a schema; send a json_schema", param="response_format"
        )
    if asked.schema is None:
        raise InvalidRequest("the answer's schema is missing", param="response_format.json_schema.schema")
    schema: Json = asked.schema
    if not native:
        schema = _closed(without_keywords(schema, UNKNOWN_KEYWORDS, notes))
        if schema != asked.schema:
            notes.warn(SCHEMA_ADAPTED)
    said: dict[str, Json] = {"schema": write(schema).decode()}
    if asked.name is not None:
        said["name"] = asked.name
    if asked.description is not None:
        said["description"] = asked.description
    return {"type": "json_schema", "structure": {"jsonSchema": said}}


def _closed(schema: Json) -> Json:
    """Return a schema whose objects say `additionalProperties: false`, as the API demands of every one."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: _closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) or schema.get("type") == "object":
        out.setdefault("additionalProperties", False)
    return out


def _add_extra(body: Block, request: ChatRequest, notes: Notes) -> None:
    """Add what only this format can say, to what was written of the fields it shares."""
    if request.wire not in {WIRE, ""}:
        for name in request.extra:
            notes.drop(name)
        return
    for name, value in request.extra.items():
        mine = body.get(name)
        if isinstance(mine, dict) and isinstance(value, dict):
            body[name] = {**mine, **value}
        elif name not in body:
            body[name] = value
        else:
            notes.warn(NATIVE_DROPPED)


def _object(body: Block, name: str) -> JsonObject:
    found = body.get(name)
    return msgspec.convert(found, dict[str, Json]) if isinstance(found, dict) else {}
