"""Requests to Ollama's `/api/chat`. Floor 2."""

import base64
import binascii
from collections.abc import Sequence

import msgspec
from msgspec import Raw

from turnout.codecs.base import Encoded
from turnout.codecs.notes import (
    ARGUMENTS_WRAPPED,
    NATIVE_DROPPED,
    REASONING_APPROXIMATED,
    REASONING_DROPPED,
    STRICT_DROPPED,
    UNTRANSLATED,
    Notes,
    one_answer,
    schema_of,
)
from turnout.codecs.ollama.wire import TYPE, WIRE, write
from turnout.errors import InvalidMedia, InvalidRequest, UnsupportedParameter
from turnout.types.ask import Wire
from turnout.types.chat import (
    ChatRequest,
    Media,
    Message,
    Native,
    Part,
    Reasoning,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)
from turnout.types.deployment import Deployment
from turnout.types.http import HttpRequest
from turnout.types.json import Json, JsonObject

Block = dict[str, object]
OPTIONS = (
    ("max_tokens", "num_predict"),
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("top_k", "top_k"),
    ("seed", "seed"),
    ("frequency_penalty", "frequency_penalty"),
    ("presence_penalty", "presence_penalty"),
)
"""Canonical field, and its name among `options`."""
_ADVISORY = ("logit_bias", "user")
_LEVELLED = "gpt-oss"
"""Models of this name are told a level; all others only whether to think ("Thinking", Ollama docs)."""
_LEVELS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high"}
_TEXTS = ("text/", "application/json", "application/xml", "application/yaml")

_read = msgspec.json.Decoder().decode


def encode(request: ChatRequest, to: Deployment) -> Encoded:
    """Write the call for a request of any origin."""
    _check_binding(request)
    notes = Notes()
    messages = _Turns(request, notes).messages
    if not messages:
        raise InvalidRequest("messages hold nothing that can be answered", param="messages")
    body: Block = {"model": to.upstream_model, "messages": messages, "stream": request.stream}
    tools = _tools(request, notes)
    if tools:
        body["tools"] = tools
    form = request.output_format
    if form is not None:
        body["format"] = "json" if form.schema is None else form.schema
    extra = _extra(request, notes)
    options = _options(request, extra)
    if options:
        body["options"] = options
    think = _think(request.thinking, to, notes)
    if think is not None:
        body["think"] = think
    body.update({name: value for name, value in extra.items() if name != "options"})
    for name in _ADVISORY:
        if getattr(request, name) is not None:
            notes.drop(name)
    if request.parallel_tool_calls is False:
        notes.drop("parallel_tool_calls")
    return notes.encoded(http(body, to, "chat"))


def forward(wire: Wire, to: Deployment, *, stream: bool) -> Encoded:
    """Write the call from the client's own JSON, with the model replaced."""
    return Encoded(http({**wire.body, "model": to.upstream_model, "stream": stream}, to, "chat"))


def http(body: Block, to: Deployment, verb: str) -> HttpRequest:
    """Address a call."""
    quirks = to.vendor.quirks
    headers = [TYPE, *((name.lower().encode(), value.encode()) for name, value in quirks.extra_headers)]
    return HttpRequest("POST", f"{to.url}/api/{verb}", headers, write(body))


def _check_binding(request: ChatRequest) -> None:
    one_answer(request, UNTRANSLATED)
    choice = request.tool_choice
    if choice is not None and choice.mode in {"required", "named"} and request.tools:
        raise UnsupportedParameter("this format cannot force a tool to be called", param="tool_choice")


def _tools(request: ChatRequest, notes: Notes) -> list[JsonObject]:
    choice = request.tool_choice
    if choice is not None and choice.mode == "none":
        return []
    tools: list[JsonObject] = []
    for tool in request.tools:
        if not isinstance(tool, Tool):
            raise UnsupportedParameter("this format has no tools of the provider's own", param="tools")
        if choice is not None and choice.names and tool.name not in choice.names:
            continue  # the format has no choice: leaving the others out says the same
        function: dict[str, Json] = {"name": tool.name, "parameters": schema_of(tool)}
        if tool.description is not None:
            function["description"] = tool.description
        if tool.strict:
            notes.warn(STRICT_DROPPED)
        tools.append({"type": "function", "function": function})
    return tools


def _options(request: ChatRequest, extra: JsonObject) -> Block:
    options: Block = {}
    for name, own in OPTIONS:
        value = getattr(request, name)
        if value is not None:
            options[own] = value
    if request.stop:
        options["stop"] = request.stop
    rest = extra.get("options")
    return {**options, **rest} if isinstance(rest, dict) else options


def _think(asked: Thinking | None, to: Deployment, notes: Notes) -> bool | str | None:
    if asked is None:
        return None
    known = to.model.capabilities
    can = known is None or "reasoning" in known
    if asked.enabled is False or asked.effort == "none" or asked.budget_tokens == 0:
        return False if can else None
    if asked.enabled is None and asked.effort is None and asked.budget_tokens is None and not asked.adaptive:
        return None
    if not can:
        notes.drop("reasoning_effort")
        return None
    if asked.effort is None and asked.budget_tokens is None:
        return True
    if asked.effort is not None and _LEVELLED in to.upstream_model:
        level = _LEVELS[asked.effort]
        if level != asked.effort:
            notes.warn(REASONING_APPROXIMATED)
        return level
    notes.warn(REASONING_APPROXIMATED)
    return True


def _extra(request: ChatRequest, notes: Notes) -> JsonObject:
    if request.wire in {WIRE, ""}:
        return request.extra
    for name in request.extra:
        notes.drop(name)
    return {}


class _Turns:
    """Messages as the API takes them: a text, and beside it pictures, a thought and calls."""

    def __init__(self, request: ChatRequest, notes: Notes) -> None:
        self._native = request.wire in {WIRE, ""}
        self._notes = notes
        self._names: dict[str, str] = {}
        """Id of a call -> the tool's name."""
        self.messages: list[Block] = []
        for message in request.messages:
            self._add(message)

    def _add(self, message: Message) -> None:
        if message.name is not None:
            self._notes.drop("messages.name")
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        self.messages += [{**self._result(result), **self._own(message)} for result in results]
        # A tool's answer holds words only: what it shows stands behind the answers, in a turn of the user.
        shown = [part for result in results for part in result.content if isinstance(part, Media)]
        rest = [*shown, *(part for part in message.parts if not isinstance(part, ToolResult))]
        if rest or not results:
            role = {"developer": "system", "tool": "user"}.get(message.role, message.role)
            self.messages.append({"role": role, **self._turn(rest), **self._own(message)})

    def _own(self, message: Message) -> JsonObject:
        return message.extra if self._native else {}

    def _turn(self, parts: Sequence[Part]) -> Block:
        texts: list[str] = []
        images: list[str] = []
        calls: list[Block] = []
        thoughts: list[str] = []
        for part in parts:
            match part:
                case Text() | Refusal():
                    texts.append(part.text)
                case Media():
                    self._media(part, texts, images)
                case ToolCall():
                    calls.append(self._call(part))
                case Reasoning() if part.wire == WIRE:
                    thoughts.append(part.text)
                case Reasoning():
                    self._notes.warn(REASONING_DROPPED)
                case _:
                    self._notes.warn(NATIVE_DROPPED)
        turn: Block = {"content": "\n".join(texts)}
        for name, found in (("images", images), ("tool_calls", calls)):
            if found:
                turn[name] = found
        if thoughts:
            turn["thinking"] = "".join(thoughts)
        return turn

    def _media(self, media: Media, texts: list[str], images: list[str]) -> None:
        if media.kind == "image" and media.data is not None:
            images.append(media.data)
        elif media.kind == "document":
            title = f"{media.name}\n" if media.name else ""
            texts.append(title + _text_of(media))
        else:
            raise UnsupportedParameter(
                f"this format takes no such {media.kind}; pictures go as content, not by address",
                param="messages",
            )

    def _call(self, call: ToolCall) -> Block:
        text = call.arguments.strip()
        given: object = {}
        if _is_object(text):
            given = Raw(text.encode())
        elif text:
            self._notes.warn(ARGUMENTS_WRAPPED)
            given = {"arguments": call.arguments}
        if call.id:
            self._names[call.id] = call.name
        function: Block = {"name": call.name, "arguments": given}
        return {"id": call.id, "function": function} if call.id else {"function": function}

    def _result(self, result: ToolResult) -> Block:
        words = [part.text for part in result.content if isinstance(part, Text)]
        if any(isinstance(part, Native) for part in result.content):
            self._notes.warn(NATIVE_DROPPED)
        if not words and result.value is not None:
            words = [write(result.value).decode()]
        turn: Block = {"role": "tool", "content": "\n".join(words)}
        name = result.name or self._names.get(result.call_id)
        if name:
            turn["tool_name"] = name
        if result.call_id:
            turn["tool_call_id"] = result.call_id
        return turn


def _text_of(media: Media) -> str:
    if media.text is not None:
        return media.text
    if media.data is None or not (media.mime or "").startswith(_TEXTS):
        raise UnsupportedParameter(f"this format takes no documents of type {media.mime}", param="messages")
    try:
        return base64.b64decode(media.data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise InvalidMedia("a text document is not valid base64 of UTF-8 text", param="messages") from error


def _is_object(text: str) -> bool:
    try:
        return isinstance(_read(text), dict)
    except (ValueError, RecursionError):
        return False
