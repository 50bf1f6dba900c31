"""Complete answers and vectors of a Cohere upstream. Floor 2."""

import msgspec

from turnout.codecs.base import Encoded
from turnout.codecs.cohere.request import http
from turnout.codecs.cohere.wire import ERRORS, FAILED, PLAN, WIRE, annotations_of, finish_of, usage_of
from turnout.codecs.failures import Said, as_object, failure, text_in, tree_of, unreadable
from turnout.codecs.notes import Notes
from turnout.errors import TurnoutError, UnsupportedParameter
from turnout.types.chat import ChatResponse, Choice, Native, Part, Reasoning, Text, ToolCall
from turnout.types.deployment import Deployment
from turnout.types.embed import EmbedRequest, EmbedResponse
from turnout.types.http import HttpResponse
from turnout.types.json import Json, JsonObject

_EMBED_OWN = ("input_type", "truncate", "max_tokens")
"""Fields of an embeddings call that a client of any dialect may name."""
_ENOUGH = frozenset({"id", "message", "finish_reason", "usage"})

_read = msgspec.json.Decoder(dict[str, Json]).decode


def error_of(response: HttpResponse) -> TurnoutError:
    """Map a failed answer to one class. Never raises."""
    tree = tree_of(response.body)
    said = Said(text_in(tree, "error_type"), text_in(tree, "message", "error"))
    return failure(said, response, WIRE, ERRORS)


def failed(word: str, message: Json, body: bytes) -> TurnoutError:
    """Return the failure that a finish reason stands for."""
    said = Said(word, message if isinstance(message, str) else "")
    return failure(said, HttpResponse(200, {}, body), WIRE, ERRORS)


def decode(response: HttpResponse) -> ChatResponse:
    """Read a complete answer. Raises the class of an error inside a 200, or `ProviderBadResponse`."""
    tree = read(response.body)
    message, word = as_object(tree.get("message")), text_in(tree, "finish_reason")
    if "error_type" in tree or isinstance(tree.get("message"), str):
        raise error_of(response)
    if word in FAILED:
        raise failed(word, tree.get("error"), response.body)
    if not message or not word:
        raise unreadable("it has no message or no finish_reason", response.body, WIRE)
    parts = parts_of(message)
    has_calls = any(isinstance(part, ToolCall) for part in parts)
    choice = Choice(parts=parts, finish=finish_of(word, has_calls=has_calls), native_finish=word)
    extra = {name: value for name, value in tree.items() if name not in _ENOUGH}
    if "usage" in tree:
        extra["usage"] = tree["usage"]
    return ChatResponse(
        id=text_in(tree, "id"),
        model="",
        choices=(choice,),
        usage=usage_of(tree.get("usage")),
        wire=WIRE,
        extra=extra,
    )


def parts_of(message: JsonObject) -> tuple[Part, ...]:
    """Read the parts of an assistant's message, in the order in which they were made."""
    parts: list[Part] = []
    if plan := text_in(message, "tool_plan"):
        parts.append(Reasoning(text=plan, id=PLAN, wire=WIRE))
    content = message.get("content")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    blocks = content if isinstance(content, list) else []
    parts += [_part(block) for block in blocks if isinstance(block, dict)]
    citations = message.get("citations")
    if isinstance(citations, list) and citations:
        _cite(parts, citations)
    calls = message.get("tool_calls")
    parts += [call_of(call) for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    return tuple(parts)


def call_of(call: JsonObject) -> ToolCall:
    """Read a call."""
    function = as_object(call.get("function"))
    return ToolCall(
        id=text_in(call, "id"),
        name=text_in(function, "name"),
        arguments=text_in(function, "arguments") or "{}",
    )


def _part(block: JsonObject) -> Part:
    match block.get("type"):
        case "text" if isinstance(block.get("text"), str):
            return Text(text_in(block, "text"))
        case "thinking" if isinstance(block.get("thinking"), str):
            return Reasoning(text=text_in(block, "thinking"), wire=WIRE)
        case _:
            return Native(WIRE, block)


def _cite(parts: list[Part], citations: list[Json]) -> None:
    """Put the citations on the last text: their positions count from the start of the answer's text."""
    extra: JsonObject = {"citations": citations, "annotations": annotations_of(citations)}
    for at in range(len(parts) - 1, -1, -1):
        part = parts[at]
        if isinstance(part, Text):
            parts[at] = Text(part.text, extra)
            return
    parts.append(Text("", extra))


def encode_embed(request: EmbedRequest, to: Deployment) -> Encoded:
    """Write an embeddings call. Raises `UnsupportedParameter` for tokens: the format takes texts only."""
    notes = Notes()
    texts: list[str] = []
    for at, text in enumerate(request.input):
        if not isinstance(text, str):
            raise UnsupportedParameter(
                f"input[{at}] is a list of tokens; {to.id} takes text only", param="input"
            )
        texts.append(text)
    body: dict[str, Json] = {"model": to.upstream_model, "texts": texts, "embedding_types": ["float"]}
    for name in _EMBED_OWN:
        if name in request.extra:
            body[name] = request.extra[name]
    if "input_type" not in body:
        body["input_type"] = "search_document"
        notes.warn("input_type_assumed")
    if request.dimensions is not None:
        body["output_dimension"] = request.dimensions
    for name in request.extra:
        if name not in body:
            notes.drop(name)
    if request.user:
        notes.drop("user")
    return notes.encoded(http(body, to, "embed"))


def decode_embed(response: HttpResponse) -> EmbedResponse:
    """Read vectors in input order. Raises `ProviderBadResponse`, or the class of an error inside a 200."""
    tree = read(response.body)
    found = tree.get("embeddings")
    rows = found.get("float") if isinstance(found, dict) else found
    if not isinstance(rows, list) or not rows:
        raise unreadable("it has no vectors of numbers", response.body, WIRE)
    try:
        vectors = msgspec.convert(rows, tuple[tuple[float, ...], ...])
    except msgspec.ValidationError as error:
        raise unreadable(str(error), response.body, WIRE) from error
    usage = msgspec.structs.replace(usage_of(tree.get("meta")), output_text=None)
    return EmbedResponse(model="", vectors=vectors, usage=usage)


def read(body: bytes) -> JsonObject:
    """Read an answer as an object. Raises `ProviderBadResponse`."""
    try:
        return _read(body)
    except (ValueError, RecursionError) as error:
        raise unreadable(str(error), body, WIRE) from error
