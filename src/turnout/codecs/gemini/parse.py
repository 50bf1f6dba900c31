"""Reads a generateContent request of a client. Floor 2.

What has no canonical field stays under the name Gemini gives it, in `ChatRequest.extra`: unknown top-level
fields whole, `generationConfig` and `toolConfig` reduced to what was not understood.
"""

from collections.abc import Iterable, Mapping, Sequence

from turnout.codecs import extras, strict
from turnout.codecs.base import Body
from turnout.codecs.declared import Declared, Memo
from turnout.codecs.gemini import thinking
from turnout.codecs.gemini.fields import (
    entries,
    members,
    refusal,
    take_bool,
    take_float,
    take_int,
    take_str,
    take_strings,
)
from turnout.codecs.gemini.schema import to_json_schema
from turnout.codecs.gemini.seal import may_hold_sealed, without_sealed
from turnout.codecs.gemini.turns import Turns
from turnout.codecs.gemini.wire import WIRE, write
from turnout.codecs.plain import Answered, Called, Conversation, Turn
from turnout.codecs.strict import kind
from turnout.types.ask import Wire
from turnout.types.chat import (
    NOTHING,
    ChatRequest,
    Facts,
    Media,
    Message,
    OutputFormat,
    Part,
    Reasoning,
    ServerTool,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from turnout.types.json import Json, JsonObject

_ADDRESS = frozenset({"model", "stream"})
"""Parts of Gemini's URL; a body may name them where there is no URL, and never sends them on."""

_KNOWN = frozenset({"generationConfig", "toolConfig", "safetySettings", "cachedContent", "labels"})

_WORDS = (Text, Reasoning)
_NO_MEDIA: frozenset[str] = frozenset()
_known_tools = Memo[Declared]()
_PLAIN_MODALITIES = ((), ("TEXT",))


def parse(body: bytes) -> Body:
    """Read a request whose model stands in the body."""
    return _body(body, model=None, stream=None)


def parse_call(body: bytes, *, model: str, stream: bool) -> Body:
    """Read a request whose model and method came in the URL."""
    return _body(body, model=model, stream=stream)


def _body(body: bytes, *, model: str | None, stream: bool | None) -> Body:
    tree = strict.parse(body)
    asked = extras.read(tree)
    content = extras.without(tree, asked)
    request = _request(content, model=model, stream=stream)
    onward = {name: value for name, value in content.items() if name not in _ADDRESS}
    sent: JsonObject = without_sealed(onward) if may_hold_sealed(body) else onward
    return asked.body(request, Wire(WIRE, sent))


def _request(tree: JsonObject, *, model: str | None, stream: bool | None) -> ChatRequest:
    top = members(tree, "")
    named = take_str(top, "model", "body")
    streamed = take_bool(top, "stream", "body")
    turns = Turns()
    read: list[Turn] = []
    if "systemInstruction" in top:
        read += turns.system(top.pop("systemInstruction"), "systemInstruction")
    if top.get("contents") is None:
        raise refusal("contents", "is missing")
    conversation = turns.contents(top.pop("contents"), "contents")
    if not conversation:
        raise refusal("contents", "must hold at least one turn")
    read += conversation
    tools = _tools(top.pop("tools", None))
    choice = _tool_config(top)
    generation = _Generation(top)
    extras.refuse({name: value for name, value in top.items() if name not in _KNOWN}, "")
    return ChatRequest(
        model=model or (named or "").removeprefix("models/"),
        messages=Conversation.of(read),
        tools=() if tools is None else tools,
        tool_choice=choice,
        max_tokens=generation.max_tokens,
        temperature=generation.temperature,
        top_p=generation.top_p,
        top_k=generation.top_k,
        stop=generation.stop,
        seed=generation.seed,
        n=generation.n,
        presence_penalty=generation.presence_penalty,
        frequency_penalty=generation.frequency_penalty,
        logprobs=generation.logprobs,
        top_logprobs=generation.top_logprobs,
        output_format=generation.output_format,
        thinking=generation.thinking,
        stream=bool(streamed) if stream is None else stream,
        include_usage=True,
        wire=WIRE,
        extra=top,
        kept=generation.spelled,
        facts=_facts(read, tools, choice, generation, is_bound="cachedContent" in top),
    )


def _tools(value: Json) -> Declared | None:
    if not value:
        return None if value is None else _declared(value)
    raw = write(value)
    known = _known_tools.get(raw)
    if known is None:
        known = _declared(value)
        _known_tools.put(raw, known)
    return known if known.n_tools else None


def _declared(value: Json) -> Declared:
    found = _read_tools(value)
    n_chars = 0
    for tool in found:
        if isinstance(tool, Tool):
            n_chars += len(tool.name) + len(tool.description or "") + len(write(tool.schema or {}))
    is_served = any(isinstance(tool, ServerTool) for tool in found)
    return Declared(lambda: found, len(found), n_chars=n_chars, is_bound=is_served)


def _read_tools(value: Json) -> tuple[Tool | ServerTool, ...]:
    found: list[Tool | ServerTool] = []
    for i, item in enumerate(entries(value, "tools")):
        entry = members(item, f"tools[{i}]")
        declared = entry.pop("functionDeclarations", None)
        at = f"tools[{i}].functionDeclarations"
        for j, each in enumerate(entries(declared, at) if declared is not None else ()):
            found.append(_tool(members(each, f"{at}[{j}]"), f"{at}[{j}]"))
        found += [ServerTool(WIRE, {name: settings}) for name, settings in entry.items()]
    return tuple(found)


def _tool(fields: dict[str, Json], at: str) -> Tool:
    name = take_str(fields, "name", at)
    if not name:
        raise refusal(f"{at}.name", "is missing")
    description = take_str(fields, "description", at)
    schema = _object(fields.pop("parametersJsonSchema", None), f"{at}.parametersJsonSchema")
    own = _object(fields.get("parameters"), f"{at}.parameters")
    if schema is None and own is not None:
        schema = to_json_schema(own)
    return Tool(name=name, description=description, schema=schema, extra=fields)


def _object(value: Json, at: str) -> JsonObject | None:
    if value is None or isinstance(value, Mapping):
        return value
    raise refusal(at, f"must be an object, not {kind(value)}")


def _tool_config(top: dict[str, Json]) -> ToolChoice | None:
    """Read `toolConfig`; what a `ToolChoice` cannot say stays in it."""
    if top.get("toolConfig") is None:
        return None
    config = members(top.pop("toolConfig"), "toolConfig")
    calling = config.pop("functionCallingConfig", None)
    choice = None
    if calling is not None:
        at = "toolConfig.functionCallingConfig"
        choice, rest = _choice(members(calling, at), at)
        if rest:
            config["functionCallingConfig"] = rest
    if config:
        top["toolConfig"] = config
    return choice


def _choice(calling: dict[str, Json], at: str) -> tuple[ToolChoice | None, JsonObject]:
    mode = (take_str(calling, "mode", at) or "").upper()
    names = take_strings(calling, "allowedFunctionNames", at)
    match mode:
        case "" | "MODE_UNSPECIFIED":
            return None, calling
        case "AUTO":
            return ToolChoice("auto"), calling
        case "NONE":
            return ToolChoice("none"), calling
        case "ANY":
            return ToolChoice("named" if len(names) == 1 else "required", names), calling
        case "VALIDATED":
            allowed: dict[str, Json] = {"allowedFunctionNames": list(names)} if names else {}
            return ToolChoice("auto"), {"mode": mode, **allowed, **calling}
        case _:
            raise refusal(f"{at}.mode", f"is {mode!r}; expected AUTO, ANY, NONE or VALIDATED")


class _Generation:
    """`generationConfig`, read; what was not understood is put back under its name."""

    def __init__(self, top: dict[str, Json]) -> None:
        at = "generationConfig"
        given = top.pop(at, None)
        fields = members(given, at) if given is not None else {}
        # Few are given: what is not there needs no call.
        self.max_tokens = take_int(fields, "maxOutputTokens", at) if "maxOutputTokens" in fields else None
        self.temperature = take_float(fields, "temperature", at) if "temperature" in fields else None
        self.top_p = take_float(fields, "topP", at) if "topP" in fields else None
        self.top_k = take_int(fields, "topK", at) if "topK" in fields else None
        self.stop = take_strings(fields, "stopSequences", at) if "stopSequences" in fields else ()
        self.seed = take_int(fields, "seed", at) if "seed" in fields else None
        self.n = take_int(fields, "candidateCount", at) if "candidateCount" in fields else None
        self.presence_penalty = (
            take_float(fields, "presencePenalty", at) if "presencePenalty" in fields else None
        )
        self.frequency_penalty = (
            take_float(fields, "frequencyPenalty", at) if "frequencyPenalty" in fields else None
        )
        self.logprobs = take_bool(fields, "responseLogprobs", at) if "responseLogprobs" in fields else None
        self.top_logprobs = take_int(fields, "logprobs", at) if "logprobs" in fields else None
        self.output_format = _output_format(fields, at)
        self.thinking = _thinking(fields, at)
        modalities = fields.get("responseModalities")
        words = tuple(str(each).upper() for each in modalities) if isinstance(modalities, list) else ()
        self.makes_media = words not in _PLAIN_MODALITIES
        spelled = {name: fields.pop(name) for name in self._spelled() if name in fields}
        self.spelled: Mapping[str, Json] = {at: spelled} if spelled else NOTHING
        """What has a field of ours in other words: written back to this format as it came."""
        if fields:
            top[at] = fields

    def _spelled(self) -> tuple[str, ...]:
        shape = () if self.output_format is None else ("responseMimeType", "responseSchema")
        return shape if self.makes_media else (*shape, "responseModalities")


def _output_format(fields: dict[str, Json], at: str) -> OutputFormat | None:
    if not fields:
        return None
    mime = fields.get("responseMimeType")
    # A schema in Gemini's own language stays beside its translation: to Gemini it goes back as it came.
    own = _object(fields.get("responseSchema"), f"{at}.responseSchema")
    if mime not in (None, "application/json"):
        return None
    for name in ("responseJsonSchema", "_responseJsonSchema"):
        schema = _object(fields.get(name), f"{at}.{name}")
        if schema is not None:
            del fields[name]
            fields.pop("responseMimeType", None)
            return OutputFormat(kind="json_schema", schema=schema)
    if own is not None:
        return OutputFormat(kind="json_schema", schema=to_json_schema(own))
    if mime is None:
        return None
    del fields["responseMimeType"]
    return OutputFormat(kind="json_object")


def _thinking(fields: dict[str, Json], at: str) -> Thinking | None:
    given = fields.pop("thinkingConfig", None)
    if given is None:
        return None
    config = members(given, f"{at}.thinkingConfig")
    asked = thinking.read(config)
    if config:
        fields["thinkingConfig"] = config
    return asked


class _Count:
    """What the parts of a conversation add up to."""

    def __init__(self) -> None:
        self.n_chars = 0
        self.media: list[Media] = []

    def turn(self, turn: Turn) -> None:
        if isinstance(turn, Message):
            self.add(turn.parts)
            return
        self.n_chars += len(turn.text)
        if isinstance(turn, Called):
            for call in turn.calls:
                self.n_chars += len(call.name) + len(call.arguments)
        elif isinstance(turn, Answered):
            self.n_chars += len(turn.words)

    def add(self, parts: Iterable[Part]) -> None:
        for part in parts:
            if isinstance(part, _WORDS):
                self.n_chars += len(part.text)
            elif isinstance(part, ToolCall):
                self.n_chars += len(part.name) + len(part.arguments)
            elif isinstance(part, ToolResult):
                self.add(part.content)
            elif isinstance(part, Media):
                self.media.append(part)


def _facts(
    turns: Sequence[Turn],
    tools: Declared | None,
    choice: ToolChoice | None,
    generation: _Generation,
    *,
    is_bound: bool,
) -> Facts:
    count = _Count()
    for turn in turns:
        count.turn(turn)
    is_served = tools is not None and tools.is_bound
    form = generation.output_format
    is_bound = is_bound or is_served or generation.makes_media or any(media.file_id for media in count.media)
    return Facts(
        n_chars=count.n_chars + (0 if tools is None else tools.n_chars),
        n_messages=len(turns),
        n_media=len(count.media),
        modalities=frozenset(media.kind for media in count.media) if count.media else _NO_MEDIA,
        n_tools=0 if tools is None else tools.n_tools,
        forced_tool=choice is not None and choice.mode in {"required", "named"},
        structured=form.kind if form is not None else "",
        server_tools=is_served,
        native_wire=WIRE if is_bound else "",
    )
