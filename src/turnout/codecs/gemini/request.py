"""Writes generateContent calls for a conversation of any origin. Floor 2."""

import re
from collections.abc import Mapping
from functools import lru_cache
from operator import attrgetter
from urllib.parse import quote

from turnout.codecs.base import Encoded
from turnout.codecs.declared import Declared, Written
from turnout.codecs.gemini import thinking
from turnout.codecs.gemini.contents import Contents
from turnout.codecs.gemini.schema import from_json_schema
from turnout.codecs.gemini.wire import WIRE, write
from turnout.codecs.notes import SCHEMA_ADAPTED, STRICT_DROPPED, Notes
from turnout.errors import UnsupportedParameter
from turnout.types.ask import Wire
from turnout.types.chat import NOTHING, ChatRequest, OutputFormat, ServerTool, Tool, ToolChoice
from turnout.types.deployment import Deployment
from turnout.types.http import HttpRequest
from turnout.types.json import Json, JsonObject

MAX_STOP = 5
"""`stopSequences`: at most five. (Gemini API, GenerationConfig.)"""
MAX_CANDIDATES = 8
"""`candidateCount`: 1 to 8. (Vertex AI, GenerationConfig.)"""


_SAFE_MODEL = re.compile(r"[A-Za-z0-9._@/-]+")
JSON_TYPE = (b"content-type", b"application/json")
_HEADERS: tuple[tuple[bytes, bytes], ...] = (JSON_TYPE,)
_STREAM_HEADERS = (*_HEADERS, (b"accept", b"text/event-stream"))
_KEYS = {(own, schemas): f"{WIRE} {own} {schemas}" for own in (False, True) for schemas in (False, True)}
"""What `_declaration` looks at beside the tool: the client's format, whether the host reads JSON Schema."""
_USUAL = ("maxOutputTokens", "temperature", "topP")
_RARE = (
    *("topK", "stopSequences", "seed", "candidateCount"),
    *("presencePenalty", "frequencyPenalty", "responseLogprobs", "logprobs"),
)
_usual = attrgetter("max_tokens", "temperature", "top_p")
_rare = attrgetter(
    *("top_k", "stop", "seed", "n", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs")
)
"""Fields with the same meaning on both sides, there and here; those that few use are asked for at once."""
_NOTHING_RARE = _rare(ChatRequest(model="", messages=()))
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY", "named": "ANY"}
_READ = frozenset({"generationConfig", "toolConfig"})
_OWN_SCHEMAS = frozenset({"responseSchema", "responseJsonSchema", "_responseJsonSchema"})


def encode(request: ChatRequest, to: Deployment) -> Encoded:
    """Write the call. Raises `UnsupportedParameter` where a binding parameter cannot be said."""
    notes = Notes()
    own = request.wire == WIRE
    body: dict[str, Json] = {}
    contents = Contents(to.upstream_model, notes, own=own)
    contents.write(request.messages)
    if contents.system:
        body["systemInstruction"] = {"parts": contents.system}
    body["contents"] = contents.turns
    tools = _tools(request, to, notes)
    if tools is not None:
        body["tools"] = tools
    config = _tool_config(request, has_tools=tools is not None)
    if config:
        body["toolConfig"] = config
    generation = _generation(request, to, notes)
    if generation:
        body["generationConfig"] = generation
    if own:
        body |= {name: value for name, value in request.extra.items() if name not in _READ}
    else:
        _drop(request, notes)
    return notes.encoded(call(to, write(body), stream=request.stream))


def _drop(request: ChatRequest, notes: Notes) -> None:
    """Note what a client of another dialect said that Gemini has no word for."""
    for name in request.extra:
        notes.drop(name)
    if request.user:
        notes.drop("user")
    if request.logit_bias:
        notes.drop("logit_bias")
    if request.parallel_tool_calls is False and request.tools:
        notes.drop("parallel_tool_calls")


def forward(wire: Wire, to: Deployment, *, stream: bool) -> Encoded:
    """Send the client's own JSON: the model stands in the URL, so the body stays as it is."""
    return Encoded(call(to, write(wire.body), stream=stream))


def call(to: Deployment, body: bytes, *, stream: bool) -> HttpRequest:
    """Address a generateContent body."""
    method, query = ("streamGenerateContent", "alt=sse") if stream else ("generateContent", "")
    headers = _STREAM_HEADERS if stream else _HEADERS
    if to.vendor.quirks.extra_headers:
        headers = (*headers, *((k.encode(), v.encode()) for k, v in to.vendor.quirks.extra_headers))
    return HttpRequest("POST", address(to, method, query), headers, body)


def address(to: Deployment, method: str, query: str = "") -> str:
    """Return the URL of a method of the deployment's model."""
    more = to.vendor.quirks.query
    queries = f"{query}&{more}" if query and more else query or more
    return f"{to.url}/{_folder(to.upstream_model)}:{method}{'?' if queries else ''}{queries}"


@lru_cache(maxsize=1024)  # models are few
def _folder(model: str) -> str:
    if not _SAFE_MODEL.fullmatch(model):
        model = quote(model, safe="@/")
    return model if "/" in model else f"models/{model}"


def _tools(request: ChatRequest, to: Deployment, notes: Notes) -> Json:
    """Write the tools, as they were written before where they are known; None = there are none."""
    declared = request.tools
    if not isinstance(declared, Declared):
        return _all_tools(request, to, notes) or None
    key = _KEYS[request.wire == WIRE, to.vendor.quirks.json_schema]
    known = declared.written(key, lambda: _kept(request, to))
    for word in known.warnings:
        notes.warn(word)
    return known.json


def _kept(request: ChatRequest, to: Deployment) -> Written:
    notes = Notes()
    return Written(_all_tools(request, to, notes) or None, notes.warnings)


def _all_tools(request: ChatRequest, to: Deployment, notes: Notes) -> list[Json]:
    declarations: list[Json] = []
    served: list[Json] = []
    for tool in request.tools:
        match tool:
            case Tool():
                declarations.append(_declaration(tool, to, notes, own=request.wire == WIRE))
            case ServerTool(wire=wire, value=value) if wire == WIRE:
                served.append(value)
            case ServerTool():
                raise UnsupportedParameter(
                    f"tools: a server tool of {tool.wire} cannot run on {to.id}", param="tools"
                )
    return [{"functionDeclarations": declarations}, *served] if declarations else served


def _declaration(tool: Tool, to: Deployment, notes: Notes, *, own: bool) -> JsonObject:
    out: dict[str, Json] = {"name": tool.name}
    if tool.description is not None:
        out["description"] = tool.description
    if own:
        out |= tool.extra
    elif tool.strict:
        notes.warn(STRICT_DROPPED)
    if tool.schema is None or "parameters" in out:
        return out
    if to.vendor.quirks.json_schema:
        out["parametersJsonSchema"] = tool.schema
    else:
        out["parameters"] = _translated(tool.schema, notes, strict=tool.strict is True, at="tools")
    return out


def _translated(schema: JsonObject, notes: Notes, *, strict: bool, at: str) -> JsonObject:
    written, relaxed = from_json_schema(schema)
    lost = relaxed - {"additionalProperties"}
    if lost and strict:
        words = ", ".join(sorted(lost))
        raise UnsupportedParameter(f"{at}: this upstream cannot keep to {words} of a strict schema", param=at)
    if lost:
        notes.warn(SCHEMA_ADAPTED)
    return written


def _tool_config(request: ChatRequest, *, has_tools: bool) -> JsonObject:
    given = request.extra.get("toolConfig") if request.wire == WIRE else None
    config: dict[str, Json] = dict(given) if isinstance(given, dict) else {}
    choice = request.tool_choice
    if choice is None or not (has_tools or request.wire == WIRE):
        return config
    rest = config.get("functionCallingConfig")
    config["functionCallingConfig"] = {**_calling(choice), **(rest if isinstance(rest, Mapping) else {})}
    return config


def _calling(choice: ToolChoice) -> dict[str, Json]:
    calling: dict[str, Json] = {"mode": _MODES[choice.mode]}
    if choice.names and choice.mode in {"required", "named"}:
        calling["allowedFunctionNames"] = list(choice.names)
    return calling


def _generation(request: ChatRequest, to: Deployment, notes: Notes) -> JsonObject:
    if len(request.stop) > MAX_STOP:
        raise UnsupportedParameter(
            f"stop has {len(request.stop)} sequences; {to.id} takes {MAX_STOP}", param="stop"
        )
    if request.n is not None and request.n > MAX_CANDIDATES:
        raise UnsupportedParameter(
            f"n is {request.n}; {to.id} gives {MAX_CANDIDATES} answers at most", param="n"
        )
    rest = _own_generation(request) if request.wire == WIRE else NOTHING
    out: dict[str, Json] = {}
    for name, value in zip(_USUAL, _usual(request), strict=True):
        if value is not None:
            out[name] = value  # noqa: PERF403  # a comprehension is a call more
    rare = _rare(request)
    if rare != _NOTHING_RARE:
        out |= {name: value for name, value in zip(_RARE, rare, strict=True) if value not in (None, ())}
    if rest:
        out |= rest
    if request.output_format is not None and _OWN_SCHEMAS.isdisjoint(rest):
        out |= _output(request.output_format, to, notes)
    config = _thinking(request, to, notes)
    if config:
        more = rest.get("thinkingConfig")
        out["thinkingConfig"] = {**config, **(more if isinstance(more, Mapping) else {})}
    return out


def _own_generation(request: ChatRequest) -> JsonObject:
    rest: dict[str, Json] = {}
    for fields in (request.kept, request.extra):
        given = fields.get("generationConfig")
        rest |= given if isinstance(given, Mapping) else {}
    return rest


def _output(form: OutputFormat, to: Deployment, notes: Notes) -> dict[str, Json]:
    out: dict[str, Json] = {"responseMimeType": "application/json"}
    if form.schema is None:
        return out
    if to.vendor.quirks.json_schema:
        out["responseJsonSchema"] = form.schema
    else:
        strict = form.strict is True
        out["responseSchema"] = _translated(form.schema, notes, strict=strict, at="response_format")
    return out


def _thinking(request: ChatRequest, to: Deployment, notes: Notes) -> JsonObject:
    asked = request.thinking
    if asked is None:
        return {}
    if request.wire == WIRE:
        return thinking.same(asked)
    known = to.model.capabilities
    if known is not None and "reasoning" not in known:
        if asked.enabled is not False and asked.effort != "none":
            notes.drop("reasoning_effort")
        return {}
    config, warnings = thinking.config_for(to.upstream_model, asked)
    for word in warnings:
        notes.warn(word)
    return config
