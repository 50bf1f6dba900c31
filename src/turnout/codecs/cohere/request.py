"""Requests to an upstream that speaks Cohere's v2 chat. Floor 2."""

from collections.abc import Iterable, Sequence

from turnout.codecs.base import Encoded
from turnout.codecs.cohere.turns import Turns
from turnout.codecs.cohere.wire import BUDGETS, TYPE, UNKNOWN_KEYWORDS, WIRE, write
from turnout.codecs.declared import Declared, Written
from turnout.codecs.notes import (
    REASONING_APPROXIMATED,
    STRICT_DROPPED,
    UNTRANSLATED,
    Notes,
    one_answer,
    schema_of,
    without_keywords,
)
from turnout.errors import InvalidRequest, UnsupportedParameter
from turnout.types.ask import Wire
from turnout.types.chat import ChatRequest, OutputFormat, ServerTool, Thinking, Tool
from turnout.types.deployment import Deployment
from turnout.types.http import HttpRequest
from turnout.types.json import Json, JsonObject

_ADVISORY = ("logit_bias", "user")
_SAME = (
    ("max_tokens", "max_tokens"),
    ("temperature", "temperature"),
    ("top_p", "p"),
    ("top_k", "k"),
    ("seed", "seed"),
    ("frequency_penalty", "frequency_penalty"),
    ("presence_penalty", "presence_penalty"),
)
"""Canonical field, and the format's name for it."""
_LEFTOVERS = frozenset({"thinking", "documents"})
_KEYS = (WIRE, WIRE + " native")


def encode(request: ChatRequest, to: Deployment) -> Encoded:
    """Write the call for a request of any origin."""
    one_answer(request, UNTRANSLATED)
    notes = Notes()
    turns = Turns(request, notes)
    if not turns.messages:
        raise InvalidRequest("messages hold nothing that can be answered", param="messages")
    body: dict[str, Json] = {"model": to.upstream_model, "messages": turns.messages}
    body["stream"] = request.stream
    _add_tools(body, request, notes)
    for name, own in _SAME:
        value = getattr(request, name)
        if value is not None:
            body[own] = value
    if request.stop:
        body["stop_sequences"] = list(request.stop)
    if request.output_format is not None:
        body["response_format"] = _format(request.output_format, notes, native=request.wire == WIRE)
    _add_compound(body, _extra(request, notes), turns, _thinking(request.thinking, to, notes))
    for name in _ADVISORY:
        if getattr(request, name) is not None:
            notes.drop(name)
    if request.parallel_tool_calls is False:
        notes.drop("parallel_tool_calls")
    for name in to.vendor.quirks.unsupported & body.keys():
        del body[name]
        notes.drop(name)
    return notes.encoded(http(body, to, "chat"))


def forward(wire: Wire, to: Deployment, *, stream: bool) -> Encoded:
    """Write the call from the client's own JSON, with the model replaced."""
    body: dict[str, Json] = {**wire.body, "model": to.upstream_model, "stream": stream}
    return Encoded(http(body, to, "chat"))


def http(body: JsonObject, to: Deployment, path: str) -> HttpRequest:
    """Address a call."""
    quirks = to.vendor.quirks
    headers = [TYPE, *((name.lower().encode(), value.encode()) for name, value in quirks.extra_headers)]
    query = f"?{quirks.query}" if quirks.query else ""
    return HttpRequest("POST", f"{to.url}/{path}{query}", headers, write(body))


def _add_compound(
    body: dict[str, Json], extra: JsonObject, turns: Turns, thinking: JsonObject | None
) -> None:
    """Add the fields that are made of a canonical part and of what only a Cohere client can say."""
    rest = extra.get("thinking")
    if thinking is not None or isinstance(rest, dict):
        body["thinking"] = {**(thinking or {}), **(rest if isinstance(rest, dict) else {})}
    documents = extra.get("documents")
    known: Sequence[Json] = documents if isinstance(documents, list) else []
    if known or turns.documents:
        body["documents"] = [*known, *turns.documents]
    body.update({name: value for name, value in extra.items() if name not in _LEFTOVERS})


def _add_tools(body: dict[str, Json], request: ChatRequest, notes: Notes) -> None:
    choice, declared, native = request.tool_choice, request.tools, request.wire in {WIRE, ""}
    names = choice.names if choice is not None and choice.mode != "none" else ()
    if isinstance(declared, Declared) and not names:
        known = declared.written(_KEYS[native], lambda: _all_tools(declared, native=native))
    else:
        # The choice has no names here: leaving the others out says the same.
        known = _all_tools(
            [tool for tool in declared if not names or not isinstance(tool, Tool) or tool.name in names],
            native=native,
        )
    if known.json is None:
        return
    body["tools"] = known.json
    if known.is_strict:
        body["strict_tools"] = True
    for word in known.warnings:
        notes.warn(word)
    if choice is not None and choice.mode != "auto":
        body["tool_choice"] = "NONE" if choice.mode == "none" else "REQUIRED"


def _all_tools(tools: Iterable[Tool | ServerTool], *, native: bool) -> Written:
    written: list[Json] = []
    strict: list[bool] = []
    for tool in tools:
        if not isinstance(tool, Tool):
            raise UnsupportedParameter("this format has no tools of the provider's own", param="tools")
        written.append(_tool(tool, native=native))
        strict.append(tool.strict is True)
    is_strict = all(strict)
    return Written(written or None, (STRICT_DROPPED,) if any(strict) and not is_strict else (), is_strict)


def _tool(tool: Tool, *, native: bool) -> JsonObject:
    function: dict[str, Json] = {"name": tool.name, "parameters": schema_of(tool)}
    if tool.description is not None:
        function["description"] = tool.description
    return {"type": "function", "function": function, **(tool.extra if native else {})}


def _format(asked: OutputFormat, notes: Notes, *, native: bool) -> JsonObject:
    if asked.schema is None:
        return {"type": "json_object"}
    schema = asked.schema if native else without_keywords(asked.schema, UNKNOWN_KEYWORDS, notes)
    return {"type": "json_object", "json_schema": schema}


def _thinking(asked: Thinking | None, to: Deployment, notes: Notes) -> JsonObject | None:
    if asked is None:
        return None
    known = to.model.capabilities
    if asked.enabled is False or asked.effort == "none" or asked.budget_tokens == 0:
        return {"type": "disabled"} if known is None or "reasoning" in known else None
    if known is not None and "reasoning" not in known:
        notes.drop("reasoning_effort")
        return None
    if asked.budget_tokens is not None:
        return {"type": "enabled", "token_budget": asked.budget_tokens}
    if asked.effort is not None:
        notes.warn(REASONING_APPROXIMATED)
        return {"type": "enabled", "token_budget": BUDGETS[asked.effort]}
    return {"type": "enabled"} if asked.enabled or asked.adaptive else None


def _extra(request: ChatRequest, notes: Notes) -> JsonObject:
    if request.wire in {WIRE, ""}:
        return request.extra
    for name in request.extra:
        notes.drop(name)
    return {}
