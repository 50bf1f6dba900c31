"""What a request says, as named features that can be compared one by one. Floor 6.

Theory of operation. Two requests say the same if every feature of the first has the same value in the
second. A feature's name is the field's own (`top_k`, `tool.strict`); a field that only the origin's format
has is named as it is spelled there. What is no difference:

1. where one turn ends and the next of the same role begins, and whether a tool's answer stands in a turn
   of the user or in one of its own;
2. system or developer, as the name of the role in which instructions come;
3. ids of calls, as long as each answer belongs to the same call (`tool_result.call`); spelling of the JSON
   of arguments; white space between words of different parts (`text.parts` has it);
4. what says the default: nothing, `false`, one answer, tools at the model's choice;
5. a document of text given as bytes, as text or as words of the turn;
6. a tool that must be called, out of several, or that alone: the others cannot be called either way
   (`tool.others`); tools of which none may be called, or no tools.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence

import msgspec

from turnout.codecs.notes import schema_of
from turnout.codecs.unsaid import ITEM, THINKING
from turnout.types.chat import (
    ChatRequest,
    Media,
    Message,
    Native,
    OutputFormat,
    Part,
    Reasoning,
    Refusal,
    ServerTool,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)
from turnout.types.json import Json, JsonObject

_PLAIN = (
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "user",
)
_SAID_IN: Mapping[str, tuple[str, ...]] = {
    "text": ("text",),
    "system": ("system",),
    "refusal": ("refusal", "text"),
    "tool_result": ("tool_result",),
    "document.text": ("document.text", "text", "tool_result"),
    "document.name": ("document.name", "text", "tool_result"),
}
"""Features whose value is a list of texts -> where to look: kept where each is found again, in order."""
_ALIASES = {"audio/mp3": "audio/mpeg", "audio/x-wav": "audio/wav", "image/jpg": "image/jpeg"}
_read = msgspec.json.Decoder().decode


class Features:
    """Collects the features of one request."""

    def __init__(self) -> None:
        self.found: dict[str, Json] = {}
        self._order: list[Json] = []
        self._calls: list[tuple[str, str]] = []
        self._answered: set[int] = set()
        self._n_turns = 0

    def put(self, name: str, value: Json) -> None:
        """Note a feature that a request has once."""
        if not is_nothing(value):
            self.found[name] = value

    def add(self, name: str, value: Json) -> None:
        """Note one of several values of a feature, in order."""
        if value is None:
            return
        values = self.found.setdefault(name, [])
        assert isinstance(values, list)
        values.append(value)

    def turn(self, message: Message) -> None:
        """Note what one turn says."""
        role = "system" if message.role == "developer" else message.role
        if role != "system":
            self._n_turns += 1
        elif self._n_turns:
            self.add("system.place", words_of(" ".join(p.text for p in message.parts if isinstance(p, Text))))
        self.add("message.name", message.name)
        self._extra("message", message.extra)
        for part in message.parts:
            self._part(role, part)

    def close(self) -> dict[str, Json]:
        """Return what was noted."""
        self.put("order", self._order)
        return self.found

    def _part(self, role: str, part: Part) -> None:
        match part:
            case Text():
                if part.text.strip():  # nobody reads blanks, and some providers refuse them
                    self._say(role, "text")
                    self.add("system" if role == "system" else "text", words_of(part.text))
                    self.add("text.parts", part.text)
                    self._extra("text", part.extra)
            case Media():
                self._say(role, "media")
                self._media(part)
            case ToolCall():
                self._say("assistant", "tool_call")
                self._call(part)
            case ToolResult():
                self._say("tool", "tool_result")
                self._result(part)
            case Reasoning():
                self._thought(part)
            case Refusal():
                self.add("refusal", part.text)
            case Native():
                self.add(f"block {kind_of(part.value)}", part.value)

    def _say(self, role: str, kind: str) -> None:
        if role == "system":
            return
        said: Json = f"{role} {kind}"
        if not self._order or self._order[-1] != said:
            self._order.append(said)

    def _media(self, part: Media) -> None:
        text = document_text(part)
        if text is not None:
            self.add(f"{part.kind}.text", words_of(text))
        else:
            data = None if part.data is None else part.data.translate(_BASE64).rstrip("=")
            for way, value in (("", data), (".url", part.url), (".id", part.file_id)):
                self.add(f"{part.kind}{way}", value)
            self.add(
                f"{part.kind}.type", None if part.data is None else _ALIASES.get(part.mime or "", part.mime)
            )
        self.add(f"{part.kind}.name", part.name)
        self.add(f"{part.kind}.detail", None if part.detail == "auto" else part.detail)
        self._extra(part.kind, part.extra)

    def _call(self, part: ToolCall) -> None:
        self._calls.append((part.id, part.name))
        self.add("tool_call", [part.name, value_of(part.arguments)])
        self.add("tool_call.signature", part.signature)
        if part.kind == "custom":
            self.add("tool_call.custom", part.name)
        self._extra("tool_call", part.extra)

    def _result(self, part: ToolResult) -> None:
        self.add("tool_result.call", self._called(part))
        words = [each.text for each in part.content if isinstance(each, Text)]
        if not words and part.value is not None:
            words = [part.value if isinstance(part.value, str) else _text(part.value)]
            self.add("tool_result.value", part.value)
        self.add("tool_result", words_of(" ".join(words)))
        self.add("tool_result.is_error", part.is_error or None)
        for each in part.content:
            if isinstance(each, Media):
                self._media(each)
                self.add("tool_result.media", each.kind)
            elif isinstance(each, Native):
                self.add(f"block {kind_of(each.value)}", each.value)
            else:
                self._extra("text", each.extra)
        self._extra("tool_result", part.extra)

    def _called(self, part: ToolResult) -> int | None:
        """Return which call a result answers: by id, else the oldest open one of that tool."""
        open_calls = [at for at in range(len(self._calls)) if at not in self._answered]
        by_id = (at for at in reversed(open_calls) if part.call_id and self._calls[at][0] == part.call_id)
        by_name = (at for at in open_calls if part.name and self._calls[at][1] == part.name)
        at = next(by_id, None)
        at = next(by_name, None) if at is None else at
        if at is not None:
            self._answered.add(at)
        return at

    def _thought(self, part: Reasoning) -> None:
        self.add("reasoning", part.text or None)
        self.add("reasoning.signature", part.signature)
        self.add("reasoning.redacted", part.redacted)

    def _extra(self, of: str, extra: Mapping[str, Json]) -> None:
        for name, value in extra.items():
            if is_nothing(value):
                continue
            if name == ITEM and isinstance(value, Mapping):
                self._extra("message", value)
            elif name == "cache_control":
                life = value.get("ttl") if isinstance(value, Mapping) else None
                self.add(name, "5m" if life is None else life)
            elif name not in _INNER:
                self.add(f"{of}.{name}", value)


_INNER = frozenset(
    {"item", "native", "legacy", "type", "role", "instructions", "parameters", "id", "status", "index"}
    | {"reasoning", "reasoning_content", "reasoning_details", "thinking_blocks", "document_url", "file_url"}
    | {"cohere_document", "video_url"}
)
"""Marks that our own readers leave in `extra` to write a part again as it came, and what an answer says of
itself, which clients send back with it: ids in the provider's store, states, places."""
_BASE64 = str.maketrans("-_", "+/")
"""Two alphabets for the same bytes."""
_SIGNS = re.compile(r"[\W_]+")
_TEXTS = ("text/", "application/json", "application/xml", "application/yaml")
_ABSENT: tuple[Json, ...] = (None, False, "", [], {})


def is_nothing(value: Json) -> bool:
    """Tell whether a value says as much as its absence."""
    return any(value is each or (value == each and type(value) is type(each)) for each in _ABSENT)


def features(request: ChatRequest) -> dict[str, Json]:
    """Return everything a request says, by name."""
    noted = Features()
    for message in request.messages:
        noted.turn(message)
    for field in _PLAIN:
        noted.put(field, getattr(request, field))
    noted.put("parallel_tool_calls", None if request.parallel_tool_calls is not False else "no")
    noted.put("n", request.n if request.n != 1 else None)
    noted.put("stop", list(request.stop))
    noted.put("stream", request.stream or None)
    _tools(noted, request)
    _shape(noted, request.output_format)
    _thinking(noted, request.thinking)
    for name, value in request.extra.items():
        if isinstance(value, Mapping):
            for key, inner in value.items():
                noted.put(f"{name}.{key}", inner)
        else:
            noted.put(name, value)
    return noted.close()


def kind_of(block: JsonObject) -> str:
    """Return the word by which a block of one format is known: its type, else its only name."""
    kind = block.get("type")
    return kind if isinstance(kind, str) else next(iter(block), "empty")


def is_kept(name: str, value: Json, after: Mapping[str, Json]) -> bool:
    """Tell whether a feature with this value says the same in another request, given by its features."""
    places = _SAID_IN.get(name, ())
    if not places or not isinstance(value, list):
        return after.get(name) == value
    found = [each for place in places for each in _list(after.get(place))]
    return _within([_plain(each) for each in value], " ".join(_plain(each) for each in found))


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _plain(text: Json) -> str:
    """Return words alone: some providers take no other signs in names, and formats join parts differently."""
    return _SIGNS.sub(" ", str(text)).strip()


def document_text(part: Media) -> str | None:
    """Return the words of a document that is text, whichever way it is given."""
    if part.text is not None or part.data is None or not (part.mime or "").startswith(_TEXTS):
        return part.text
    try:
        return base64.b64decode(part.data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def _tools(noted: Features, request: ChatRequest) -> None:
    choice = request.tool_choice
    functions = [tool for tool in request.tools if isinstance(tool, Tool)]
    named = choice.names if choice is not None else ()
    offered = [tool for tool in functions if not named or tool.name in named]
    if choice is not None and choice.mode == "none":
        offered = []
    for tool in request.tools:
        if isinstance(tool, ServerTool):
            noted.add(f"server tool {kind_of(tool.value)}", tool.value)
        elif tool not in offered:
            noted.add("tool.others", tool.name)
        else:
            _tool(noted, tool)
    if choice is not None and choice.mode in ("required", "named") and request.tools:
        noted.put("tool_choice", "required")


def _tool(noted: Features, tool: Tool) -> None:
    noted.add("tool", tool.name)
    noted.add("tool.description", tool.description or None)
    noted.add("tool.schema", {"type": "object", **_schema(tool)})
    noted.add("tool.strict", tool.strict or None)
    for name, value in tool.extra.items():
        if name == "cache_control" and isinstance(value, Mapping):
            noted.add(f"tool.{name}", value.get("ttl") or "5m")
        elif name not in _INNER and not is_nothing(value):
            noted.add(f"tool.{name}", value)


def _schema(tool: Tool | OutputFormat) -> dict[str, Json]:
    found: dict[str, Json] = _read(msgspec.json.encode(schema_of(tool)))
    return found


def _shape(noted: Features, asked: OutputFormat | None) -> None:
    if asked is None:
        return
    if asked.schema is None:
        noted.put("response_format.json_object", value=True)
    else:
        noted.put("response_format.schema", _schema(asked))
    noted.put("response_format.name", asked.name)
    noted.put("response_format.strict", asked.strict)
    noted.put("response_format.description", asked.description)


def _thinking(noted: Features, asked: Thinking | None) -> None:
    if asked is None:
        return
    if asked.include is not None:
        noted.put("thinking.shown" if asked.include else "thinking.hidden", value=True)
    noted.put("thinking.summary", asked.summary)
    for name, value in asked.extra.items():
        for key, inner in value.items() if isinstance(value, Mapping) else ():
            if key not in THINKING:
                noted.put(f"{name}.{key}", inner)
    if asked.enabled is False or asked.effort == "none" or asked.budget_tokens == 0:
        noted.put("thinking.off", value=True)
        return
    if asked.effort is None and asked.budget_tokens is None:
        noted.put("thinking.on", asked.enabled or asked.adaptive)
    noted.put("thinking.effort", asked.effort)
    noted.put("thinking.budget_tokens", asked.budget_tokens)


def value_of(arguments: str) -> Json:
    """Return what the text of arguments means; the text itself where it is no JSON."""
    try:
        found: Json = _read(arguments or "{}")
    except (msgspec.DecodeError, RecursionError):
        return arguments
    return found


def _text(value: Json) -> str:
    return msgspec.json.encode(value).decode()


def words_of(text: str) -> str:
    """Return the words of a text, whatever white space stands between them."""
    return " ".join(text.split())


def _within(texts: Sequence[Json], whole: str) -> bool:
    at = 0
    for text in texts:
        at = whole.find(str(text), at)
        if at < 0:
            return False
        at += len(str(text))
    return True
