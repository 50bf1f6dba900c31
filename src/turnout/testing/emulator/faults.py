"""The ways an emulated provider fails, each as the real ones do. Floor 6."""

import asyncio

from turnout import errors
from turnout.codecs.base import Dialect
from turnout.server.http import JSON_TYPE, Receive, Send, respond
from turnout.testing.emulator.script import Fault

CUTS = frozenset({"cut", "half_frame", "wrong_length"})
"""Faults that happen while the answer is being sent."""

_ERRORS: dict[str, type[errors.TurnoutError]] = {
    "rate_limit": errors.ProviderRateLimited,
    "overloaded": errors.ProviderOverloaded,
    "server_error": errors.ProviderFailed,
    "context": errors.ContextLengthExceeded,
    "filtered": errors.ContentFiltered,
    "auth": errors.Unauthenticated,
    "model_gone": errors.ModelNotFound,
}
_STATUS = {"server_error": 500}


def failure(fault: Fault) -> errors.TurnoutError:
    """Return the error a provider would answer with."""
    message = "prompt is too long" if fault.kind == "context" else f"emulated {fault.kind}"
    return _ERRORS[fault.kind](message, retry_after_s=fault.retry_after_s)


def drop(send: Send) -> None:
    """Close the client's connection without an answer, as a provider that went down does.

    ASGI has no word for it, so this reaches for the transport that uvicorn's cycle holds; another server
    answers 500 instead.
    """
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionResetError("emulated: the provider is down")
    transport.abort()


async def cut_short(send: Send, body: bytes) -> None:
    """Promise a whole body and send half of it."""
    headers = [JSON_TYPE, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
    await asyncio.sleep(0)
    drop(send)


async def raw_fault(fault: Fault, dialect: Dialect, receive: Receive, send: Send) -> None:
    """Answer with a failure instead of an answer."""
    match fault.kind:
        case "hang":
            while (await receive())["type"] != "http.disconnect":
                pass
        case "close":
            drop(send)
        case "garbage":
            await respond(send, 200, [JSON_TYPE], b'{"id":"x","choices":[{"message":')
        case "html":
            page = b"<html><head><title>502 Bad Gateway</title></head><body>proxy error</body></html>"
            await respond(send, 502, [(b"content-type", b"text/html")], page)
        case "error_in_200":
            _, body = dialect.error(failure(Fault(kind="overloaded")), "emulator")
            await respond(send, 200, [JSON_TYPE], body)
        case _:
            error = failure(fault)
            status, body = dialect.error(error, "emulator")
            headers = [JSON_TYPE]
            if error.retry_after_s is not None:
                headers.append((b"retry-after", b"%d" % -int(-error.retry_after_s // 1)))
            await asyncio.sleep(0)
            await respond(send, _STATUS.get(fault.kind, status), headers, body)
