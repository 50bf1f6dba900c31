"""Words, counters and lines of Ollama's native format. Floor 2.

Source: "API" of Ollama's documentation (docs.ollama.com/api, seen 2026-11), checked against recorded traffic.
"""

from collections.abc import Mapping
from datetime import datetime

import msgspec
from msgspec import Struct

from turnout.codecs.failures import Class, Said, failure, text_in, tree_of, unreadable
from turnout.errors import TurnoutError
from turnout.types.chat import FinishReason, ToolCall
from turnout.types.http import HttpResponse
from turnout.types.json import Json
from turnout.types.usage import Usage

WIRE = "ollama"
TYPE = (b"content-type", b"application/json")
FINISHES: Mapping[str, FinishReason] = {"stop": "stop", "length": "length", "load": "stop", "unload": "stop"}
WORDS: Mapping[FinishReason, str] = {"length": "length"}
_NO_WORDS: Mapping[str, Class] = {}

write = msgspec.json.Encoder().encode


class Function(Struct, frozen=True):
    """The function of a call; `arguments` is an object here, not a text."""

    name: str = ""
    arguments: Json = None


class Call(Struct, frozen=True):
    """A call, whole."""

    function: Function = Function()
    id: str | None = None


class Message(Struct, frozen=True):
    """What the model says, whole or in part."""

    content: str = ""
    thinking: str = ""
    tool_calls: tuple[Call, ...] | None = None


class Chunk(Struct, frozen=True):
    """A line of a stream, or a complete answer."""

    model: str = ""
    created_at: str = ""
    message: Message | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    total_duration: int | None = None
    """This and the other durations are in nanoseconds."""
    load_duration: int | None = None
    prompt_eval_duration: int | None = None
    eval_duration: int | None = None
    error: Json = None


_read = msgspec.json.Decoder(Chunk).decode


def read_chunk(data: bytes) -> Chunk:
    """Read a line or an answer. Raises the class of an error in it, or `ProviderBadResponse`."""
    try:
        chunk = _read(data)
    except (ValueError, RecursionError) as error:
        raise unreadable(str(error), data, WIRE) from error
    if chunk.error is not None:
        raise error_of(HttpResponse(500, {}, data))
    return chunk


def error_of(response: HttpResponse) -> TurnoutError:
    """Map a failed answer to one class. Never raises."""
    return failure(Said("", text_in(tree_of(response.body), "error", "message")), response, WIRE, _NO_WORDS)


def finish_of(word: str | None, *, has_calls: bool) -> FinishReason:
    """Return the reason for an upstream's word; calls end with the word `stop` here."""
    reason = FINISHES.get(word or "", "stop")
    return "tool_calls" if has_calls and reason == "stop" else reason


def usage_of(chunk: Chunk) -> Usage:
    """Read the counters; thoughts are part of `eval_count` and not told apart."""
    return Usage(input_uncached=_count(chunk.prompt_eval_count), output_text=_count(chunk.eval_count))


def call_of(call: Call) -> ToolCall:
    """Read a call. Its id may be missing: older servers give none."""
    given = {} if call.function.arguments is None else call.function.arguments
    return ToolCall(id=call.id or "", name=call.function.name, arguments=write(given).decode())


def created_of(text: str) -> int | None:
    """Read `created_at` as Unix seconds."""
    head, _, _ = text.rstrip("Z").partition(".")
    try:
        return int(datetime.fromisoformat(f"{head}+00:00").timestamp())
    except (ValueError, OverflowError):
        return None


def _count(found: int | None) -> int | None:
    return found if found is not None and found >= 0 else None
