"""The ways an emulated provider fails, each as the real ones do. Floor 6."""

from collections.abc import Mapping

import msgspec

from turnout import errors
from turnout.codecs.base import Dialect, Summary
from turnout.server.http import JSON_TYPE, STREAM_HEADERS, RawHeaders, Send, respond
from turnout.testing.emulator.clouds import STREAM_TYPES
from turnout.testing.emulator.script import Fault
from turnout.types.chat import ChatRequest

CUTS = frozenset({"cut", "half_frame", "wrong_length"})
"""Faults that happen while the answer is being sent."""
EMULATED = (b"x-emulated", b"true")
"""On every answer, so that nobody takes it for a provider's."""

_ERRORS: Mapping[str, type[errors.TurnoutError]] = {
    "rate_limit": errors.ProviderRateLimited,
    "overloaded": errors.ProviderOverloaded,
    "server_error": errors.ProviderFailed,
    "context": errors.ContextLengthExceeded,
    "filtered": errors.ContentFiltered,
    "auth": errors.Unauthenticated,
    "model_gone": errors.ModelNotFound,
}
_STATUS = {"server_error": 500}
_MESSAGES: Mapping[tuple[str, str], str] = {
    ("context", "openai_chat"): "This model's maximum context length is smaller than your messages.",
    ("context", "openai_responses"): "Your input exceeds the context window of this model: too many tokens.",
    ("context", "anthropic"): "prompt is too long: it exceeds the maximum",
    ("context", "gemini"): "The input token count exceeds the maximum number of tokens allowed.",
    ("context", "cohere"): "too many tokens: the size limit is exceeded",
    ("context", "bedrock"): "Input Tokens Exceeded: the number of input tokens exceeds maximum length.",
    ("context", "ollama"): "the input length exceeds the context length",
    ("filtered", "cohere"): "blocked by the content filter",
    ("filtered", "bedrock"): "blocked by the content filter",
    ("filtered", "ollama"): "blocked by the content filter",
    ("filtered", "anthropic"): "Output blocked by content filtering policy",
}
"""What the providers say: their clients go by the words where one code covers many errors."""
_BLOCKED = b'{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{}}'
"""How one format refuses a prompt: an answer without a candidate."""
NO_REQUEST = ChatRequest(model="", messages=())
NO_SUMMARY = Summary(request_id="emulator", model="", created=0)
"""For a stream that is nothing but its failure."""
_PROMISED = 1 << 20
"""Content-Length of a stream that lies: more than it will ever send."""


def failure(fault: Fault, wire: str) -> errors.TurnoutError:
    """Return the error a provider of this format would answer with."""
    message = _MESSAGES.get((fault.kind, wire), f"emulated {fault.kind}")
    return _ERRORS[fault.kind](message, retry_after_s=fault.retry_after_s)


def drop(send: Send) -> None:
    """Close the client's connection, as a provider that went down does.

    ASGI has no word for it, so this reaches for the transport that uvicorn's cycle holds; under another
    server the connection ends as that server ends one whose application failed.
    """
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError("emulated: the provider is down")
    transport.close()


async def refuse(send: Send, dialect: Dialect, error: errors.TurnoutError, status: int | None = None) -> None:
    """Answer with an error in the dialect."""
    usual, body = dialect.error(error, "emulator")
    headers = [JSON_TYPE, EMULATED]
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % -int(-error.retry_after_s // 1)))
    await respond(send, status or usual, headers, body)


async def send_cut(send: Send, body: bytes, kind: str) -> None:
    """Send half of a complete answer."""
    half = body[: len(body) // 2]
    if kind != "wrong_length":
        await respond(send, 200, [JSON_TYPE, EMULATED], half)
        return
    await send(start([JSON_TYPE], (b"content-length", b"%d" % len(body))))
    await send({"type": "http.response.body", "body": half, "more_body": True})
    drop(send)


def start(headers: RawHeaders, *more: tuple[bytes, bytes]) -> dict[str, object]:
    """Return the message that begins a good answer."""
    return {"type": "http.response.start", "status": 200, "headers": [*headers, EMULATED, *more]}


def stream_start(fault: Fault | None, wire: str) -> dict[str, object]:
    """Return the message that begins a stream of a format, with the lie if it is to be one."""
    lies = fault is not None and fault.kind == "wrong_length"
    kind = STREAM_TYPES.get(wire)
    headers = STREAM_HEADERS if kind is None else [(b"content-type", kind)]
    return start(headers, *[(b"content-length", b"%d" % _PROMISED)] * lies)


async def end_cut(send: Send, kind: str, frame: bytes) -> None:
    """End a stream before its time; `frame` is what would have come next."""
    if kind == "wrong_length":
        drop(send)
        return
    rest = frame[: len(frame) // 2] if kind == "half_frame" else b""
    await send({"type": "http.response.body", "body": rest})


async def answer_with(fault: Fault, dialect: Dialect, send: Send, *, stream: bool) -> None:
    """Send a failure instead of an answer. `hang` and `close` are not answers."""
    match fault.kind:
        case "garbage" if stream:
            body = b'data: {"id":"x","choices":[{"delta":\n\n'
            await respond(send, 200, [*STREAM_HEADERS, EMULATED], body)
        case "garbage":
            await respond(send, 200, [JSON_TYPE, EMULATED], b'{"id":"x","choices":[{"message":')
        case "filtered" if dialect.wire == "gemini":
            body = b"data: " + _BLOCKED + b"\n\n" if stream else _BLOCKED
            await respond(send, 200, [*(STREAM_HEADERS if stream else [JSON_TYPE]), EMULATED], body)
        case "html":
            page = b"<html><head><title>502 Bad Gateway</title></head><body>proxy error</body></html>"
            await respond(send, 502, [(b"content-type", b"text/html"), EMULATED], page)
        case "error_in_200":
            error = errors.ProviderOverloaded("emulated overloaded")
            _, body = dialect.error(error, "emulator")
            if stream and dialect.wire in STREAM_TYPES:
                body = dialect.stream(NO_REQUEST, NO_SUMMARY).fail(error, NO_SUMMARY)
                await respond(send, 200, [(b"content-type", STREAM_TYPES[dialect.wire]), EMULATED], body)
                return
            if stream:
                # The name of the event is what one format goes by; the others look at the object.
                body = b"event: error\ndata: " + msgspec.json.format(body, indent=-1) + b"\n\n"
            await respond(send, 200, [*(STREAM_HEADERS if stream else [JSON_TYPE]), EMULATED], body)
        case _:
            await refuse(send, dialect, failure(fault, dialect.wire), _STATUS.get(fault.kind))
