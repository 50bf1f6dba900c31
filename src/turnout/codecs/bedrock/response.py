"""Complete answers of Converse. Floor 2."""

import msgspec

from turnout.codecs import aws_errors
from turnout.codecs.bedrock.blocks import read_blocks
from turnout.codecs.bedrock.wire import MALFORMED, WIRE, finish_of, usage_of
from turnout.codecs.failures import as_object, text_in, unreadable
from turnout.types.chat import ChatResponse, Choice, ToolCall
from turnout.types.http import HttpResponse
from turnout.types.json import Json, JsonObject

_OWN = frozenset({"output", "stopReason", "usage"})

_read = msgspec.json.Decoder(dict[str, Json]).decode


def decode(response: HttpResponse) -> ChatResponse:
    """Read a complete answer. Raises the class of a failed one, or `ProviderBadResponse`."""
    tree = read_tree(response.body)
    message, word = as_object(tree.get("output")).get("message"), text_in(tree, "stopReason")
    if "__type" in tree:
        raise aws_errors.of_response(response, WIRE)
    if not isinstance(message, dict) or not word:
        raise unreadable("it has no output.message or no stopReason", response.body, WIRE)
    if word in MALFORMED:
        raise aws_errors.of_stop(word, response.body, WIRE)
    parts = read_blocks(message.get("content"))
    has_calls = any(isinstance(part, ToolCall) for part in parts)
    return ChatResponse(
        id=response.headers.get("x-amzn-requestid", ""),
        model="",
        choices=(Choice(parts=parts, finish=finish_of(word, has_calls=has_calls), native_finish=word),),
        usage=usage_of(tree.get("usage")),
        wire=WIRE,
        extra={name: value for name, value in tree.items() if name not in _OWN},
    )


def read_tree(body: bytes) -> JsonObject:
    """Read an answer as an object. Raises `ProviderBadResponse`."""
    try:
        return _read(body)
    except (ValueError, RecursionError) as error:
        raise unreadable(str(error), body, WIRE) from error
