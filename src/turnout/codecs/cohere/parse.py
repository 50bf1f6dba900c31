"""Requests in Cohere's v2 format, read strictly. Floor 2."""

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from turnout.codecs import extras, strict
from turnout.codecs.base import Body, EmbedBody
from turnout.codecs.cohere.response import call_of
from turnout.codecs.cohere.wire import DOCUMENT, PLAN, WIRE, words_of
from turnout.codecs.declared import Declared, Memo, raw_of
from turnout.codecs.failures import as_object, text_in
from turnout.codecs.plain import Answered, Called, Conversation, Turn, Words, message_of
from turnout.errors import InvalidRequest
from turnout.types.ask import Wire
from turnout.types.chat import (
    ChatRequest,
    Media,
    Message,
    Native,
    OutputFormat,
    Part,
    Reasoning,
    Role,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
)
from turnout.types.embed import EmbedRequest
from turnout.types.json import Json, JsonObject

Name = Annotated[str, Meta(min_length=1, max_length=512)]
Count = Annotated[int, Meta(ge=0)]
_KNOWN = frozenset(
    {"model", "messages", "tools", "tool_choice", "response_format", "thinking", "stream", "max_tokens"}
    | {"temperature", "p", "k", "seed", "frequency_penalty", "presence_penalty", "stop_sequences"}
    | {"strict_tools"}
)
_CHOICES: Mapping[str, ToolChoice] = {"REQUIRED": ToolChoice("required"), "NONE": ToolChoice("none")}
_ROLES: Mapping[str, Role] = {"system": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
_SPEAKERS: Mapping[str, Literal["system", "user", "assistant"]] = {
    "system": "system",
    "user": "user",
    "assistant": "assistant",
}
_STRICT = (b" loose", b" strict")
_known_tools = Memo[Declared]()
_TURN = frozenset({"role", "content", "tool_plan", "tool_calls", "tool_call_id"})
_ENTRY = frozenset({"id", "data"})
_DOCUMENT = frozenset({"text", "title"})
_EMBED = frozenset({"model", "texts", "output_dimension", "embedding_types"})


class _Format(Struct, frozen=True):
    type: str
    json_schema: dict[str, Json] | None = None
    schema: dict[str, Json] | None = None


class _Thinking(Struct, frozen=True):
    type: str
    token_budget: Count | None = None


class _Options(Struct, frozen=True):
    model: Name
    messages: list[dict[str, Json]]
    tools: list[dict[str, Json]] = []
    tool_choice: str | None = None
    response_format: _Format | None = None
    thinking: _Thinking | None = None
    strict_tools: bool | None = None
    stream: bool | None = None
    max_tokens: Count | None = None
    temperature: float | None = None
    p: float | None = None
    k: Count | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    stop_sequences: list[str] = []


class _Embed(Struct, frozen=True):
    model: Name
    texts: list[str]
    output_dimension: Annotated[int, Meta(ge=1)] | None = None


def parse(body: bytes) -> Body:
    """Read a request. Raises `InvalidRequest` with the path of the offending field."""
    tree = strict.parse(body)
    wishes = extras.read(tree)
    own = extras.without(tree, wishes)
    asked = strict.convert(own, _Options)
    extra = {name: value for name, value in own.items() if name not in _KNOWN}
    extras.refuse(extra, "")
    form = asked.response_format
    turns = [_plain(turn) or _message(turn, f"messages[{at}]") for at, turn in enumerate(asked.messages)]
    if "documents" in extra:
        _place_documents(turns, extra)
    request = ChatRequest(
        model=asked.model,
        messages=Conversation.of(turns),
        tools=_declared(asked) if asked.tools else (),
        tool_choice=_CHOICES.get(asked.tool_choice or ""),
        max_tokens=asked.max_tokens,
        temperature=asked.temperature,
        top_p=asked.p,
        top_k=asked.k,
        seed=asked.seed,
        frequency_penalty=asked.frequency_penalty,
        presence_penalty=asked.presence_penalty,
        stop=tuple(asked.stop_sequences),
        output_format=None if form is None or form.type != "json_object" else _format(form),
        thinking=None if asked.thinking is None else _thinking(asked.thinking),
        stream=asked.stream is True,
        include_usage=True,
        wire=WIRE,
        extra=extra,
    )
    return wishes.body(request, Wire(WIRE, own))


def parse_embed(body: bytes) -> EmbedBody:
    """Read an embeddings request. Raises `InvalidRequest`."""
    tree = strict.parse(body)
    asked = strict.convert(tree, _Embed)
    extra = {name: value for name, value in tree.items() if name not in _EMBED and value is not None}
    request = EmbedRequest(
        model=asked.model, input=tuple(asked.texts), dimensions=asked.output_dimension, wire=WIRE, extra=extra
    )
    return EmbedBody(request=request, wire=Wire(WIRE, tree))


def _place_documents(turns: list[Turn], extra: dict[str, Json]) -> None:
    """Put the documents beside the messages into the user's last turn, where other formats have them.

    Those that hold more than words and a title stay where they are.
    """
    given = extra.get("documents")
    last = next((at for at in reversed(range(len(turns))) if turns[at].role == "user"), None)
    found = [_document(each) for each in given] if isinstance(given, list) else []
    read = [each for each in found if each is not None]
    if last is not None and read and len(read) == len(found):
        del extra["documents"]
        message = message_of(turns[last])
        turns[last] = replace(message, parts=(*read, *message.parts))


def _document(given: Json) -> Media | None:
    if isinstance(given, str):
        return Media(kind="document", text=given, extra={DOCUMENT: given})
    tree = as_object(given)
    data = as_object(tree.get("data"))
    text = data.get("text")
    if not isinstance(text, str) or not _DOCUMENT.issuperset(data) or not _ENTRY.issuperset(tree):
        return None
    return Media(kind="document", text=text, name=text_in(data, "title") or None, extra={DOCUMENT: given})


def _format(form: _Format) -> OutputFormat:
    schema = form.json_schema or form.schema
    return OutputFormat(kind="json_object" if schema is None else "json_schema", schema=schema)


def _thinking(asked: _Thinking) -> Thinking:
    return Thinking(enabled=asked.type != "disabled", budget_tokens=asked.token_budget)


def _declared(asked: _Options) -> Declared:
    raw = raw_of(asked.tools)
    key = raw if asked.strict_tools is None else raw + _STRICT[asked.strict_tools]
    known = _known_tools.get(key)
    if known is None:
        tools = tuple([_tool(tool, strict_tools=asked.strict_tools) for tool in asked.tools])
        known = Declared(lambda: tools, len(tools), n_chars=len(raw), is_bound=False)
        _known_tools.put(key, known)
    return known


def _tool(tool: JsonObject, *, strict_tools: bool | None) -> Tool:
    function = as_object(tool.get("function"))
    schema = function.get("parameters")
    return Tool(
        name=text_in(function, "name"),
        description=text_in(function, "description") if "description" in function else None,
        schema=schema if isinstance(schema, dict) else None,
        strict=strict_tools,
        extra={name: value for name, value in tool.items() if name not in {"type", "function"}},
    )


def _plain(turn: JsonObject) -> Words | Called | Answered | None:
    """Read words, calls or an answer in words, which most turns are; None = it is more, or wrong."""
    role, content, n_fields = turn.get("role"), turn.get("content"), len(turn)
    if role == "assistant" and "tool_calls" in turn:
        return _called(turn) if n_fields == 2 + ("content" in turn) else None
    if not isinstance(content, str):
        return None
    if role == "tool":
        call_id = turn.get("tool_call_id")
        return Answered("tool", call_id, content) if n_fields == 3 and isinstance(call_id, str) else None
    speaker = _SPEAKERS.get(role) if n_fields == 2 and isinstance(role, str) else None
    return None if speaker is None else Words(speaker, content)


def _called(turn: JsonObject) -> Called | None:
    content, calls = turn.get("content"), turn["tool_calls"]
    if not isinstance(calls, list) or not calls or not all(isinstance(call, dict) for call in calls):
        return None
    if content == "" or not (content is None or isinstance(content, str)):
        return None
    return Called(content or "", [call_of(call) for call in calls if isinstance(call, dict)])


def _message(turn: JsonObject, at: str) -> Message:
    role = _ROLES.get(text_in(turn, "role").lower())
    if role is None:
        raise InvalidRequest(f"{at}.role is none of {', '.join(_ROLES)}", param=f"{at}.role")
    content = _content(turn.get("content"), f"{at}.content")
    extra = {name: value for name, value in turn.items() if name not in _TURN}
    if role == "tool":
        kept = tuple(part for part in content if isinstance(part, Text | Native))
        return Message(role, (ToolResult(call_id=text_in(turn, "tool_call_id"), content=kept),), extra=extra)
    parts: list[Part] = []
    if plan := text_in(turn, "tool_plan"):
        parts.append(Reasoning(text=plan, id=PLAN, wire=WIRE))
    calls = turn.get("tool_calls")
    parts += content
    parts += [call_of(call) for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    return Message(role, tuple(parts), extra=extra)


def _content(content: Json, at: str) -> list[Part]:
    if content is None:
        return []
    if isinstance(content, str):
        return [Text(content)]
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        raise InvalidRequest(f"{at}: expected a text or a list of blocks", param=at)
    return [_block(block) for block in content if isinstance(block, dict)]


def _block(block: JsonObject) -> Part:
    match block.get("type"):
        case "text":
            rest = {name: value for name, value in block.items() if name not in {"type", "text"}}
            return Text(text_in(block, "text"), rest)
        case "thinking":
            rest = {name: value for name, value in block.items() if name not in {"type", "thinking"}}
            return Reasoning(text=text_in(block, "thinking"), wire=WIRE, extra=rest)
        case "document" if text := words_of(as_object(block.get("document")).get("data")):
            return Text(text, {DOCUMENT: block})
        case "image_url" if isinstance(image := block.get("image_url"), dict):
            return _image(image)
        case _:
            return Native(WIRE, block)


def _image(image: JsonObject) -> Media:
    url = text_in(image, "url")
    detail = text_in(image, "detail") or None
    head, comma, data = url.partition(";base64,")
    if comma and head.startswith("data:"):
        return Media(kind="image", mime=head.removeprefix("data:"), data=data, detail=detail)
    return Media(kind="image", url=url, detail=detail)
