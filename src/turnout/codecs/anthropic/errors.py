"""Failures of an Anthropic upstream as classes of the taxonomy, and ours as Anthropic bodies. Floor 2.

The mapping is WIRE.md 9.3, the bodies are 9.1. Sources: Anthropic API reference "Errors" (seen 2026-08) and
recorded error answers; sentences of the API that no error type tells apart are matched by their fixed part.
"""

import re
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from turnout.codecs.anthropic.wire import WIRE, string
from turnout.codecs.failures import MAX_EVIDENCE, MAX_QUOTE
from turnout.codecs.waits import should_retry, wait_s
from turnout.errors import (
    ContentFiltered,
    ContextLengthExceeded,
    Domain,
    InvalidMedia,
    NotFound,
    ProviderAuth,
    ProviderBadResponse,
    ProviderFailed,
    ProviderModelUnavailable,
    ProviderOverloaded,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderRejected,
    RequestTooLarge,
    Retry,
    TimeoutTtft,
    TurnoutError,
    Upstream,
)
from turnout.types.http import HttpResponse
from turnout.types.json import Json, JsonObject

_TOO_LONG = "prompt is too long"
"""Agents look for these words at the start to know that they must shorten the conversation (WIRE.md 9.1)."""

_STATUS: Mapping[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""Status that goes with an error type, for errors inside a 200 answer."""

_CONTEXT = re.compile(
    r"prompt is too long|exceeds? (the )?(model's )?context (limit|window|length)", re.IGNORECASE
)
_SPENT = re.compile(
    r"credit balance is too low|(reached|exceeded) your .*usage limit|spend(ing)? limit", re.IGNORECASE
)
_FILTERED = re.compile(r"blocked by content filtering", re.IGNORECASE)
_MEDIA = re.compile(
    r"could not process (image|pdf|document)|(image|pdf|document) (exceeds|was not valid|is too large)"
    r"|image dimensions exceed|unsupported (image|media|document)|unable to download the file"
    r"|not match the provided media type|maximum of \d+ pdf pages",
    re.IGNORECASE,
)
_STORED = re.compile(r"\b(file|container|batch|skill)\b", re.IGNORECASE)
"""A 404 that speaks of one of the caller's own objects at the provider, not of a model."""
_CREDENTIAL = re.compile(
    r"\b(sk-[\w-]{8,}|tn_[\w-]{8,}|AIza[\w-]{20,}|ya29\.[\w.-]+)|(?<=Bearer )[\w.~+/-]{8,}"
)


class Said(Struct, frozen=True):
    """What an upstream's error body says."""

    type: str = ""
    """"" = the body is not in Anthropic's shape."""
    message: str = ""


def of_response(response: HttpResponse) -> TurnoutError:
    """Map a whole non-2xx answer, or an error body, to one class. Never raises."""
    upstream = Upstream(
        status=response.status,
        body=response.body[:MAX_EVIDENCE],
        wire=WIRE,
        should_retry=should_retry(response.headers),
    )
    return _failure(said_in(response.body), upstream, wait_s(response.headers))


def of_event(data: bytes) -> TurnoutError:
    """Map an `error` frame inside a stream, or an error body under status 200, to one class. Never raises."""
    said = said_in(data)
    status = _STATUS.get(said.type, 0)
    return _failure(said, Upstream(status=status, body=data[:MAX_EVIDENCE], wire=WIRE), None)


def unreadable(why: str, body: bytes) -> ProviderBadResponse:
    """An answer that is no message."""
    return ProviderBadResponse(
        f"the provider's answer cannot be read as an Anthropic message: {why}",
        upstream=Upstream(status=200, body=body[:MAX_EVIDENCE], wire=WIRE),
    )


def said_in(body: bytes) -> Said:
    """Read an error body: Anthropic's own shape, or what compatible hosts and proxies send instead."""
    try:
        tree = msgspec.json.decode(body, type=dict[str, Json])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return Said()
    inner = tree.get("error")
    if isinstance(inner, dict):
        return Said(string(inner, "type") or string(inner, "code"), string(inner, "message"))
    return Said("", string(tree, "message") or string(tree, "detail"))


def status_and_body(error: TurnoutError, request_id: str) -> tuple[int, JsonObject]:
    """Write a failure for an Anthropic client: HTTP status and the error body."""
    relayed = _relayed(error)
    status = error.row.anthropic_status or error.row.status
    if relayed is not None and error.upstream is not None:
        status = error.upstream.status
    said = relayed or Said(error.row.anthropic_type, _worded(error))
    inner: dict[str, Json] = {
        "type": said.type,
        "message": said.message,
        "turnout": _turnout(error, request_id),
    }
    return status, {"type": "error", "error": inner, "request_id": request_id}


def _failure(said: Said, upstream: Upstream, wait_s: float | None) -> TurnoutError:
    kind, message = _class_of(upstream.status, said)
    return kind(message, retry_after_s=wait_s, upstream=upstream)


def _class_of(status: int, said: Said) -> tuple[type[TurnoutError], str]:
    word = said.type
    if word == "overloaded_error" or status in {503, 529}:
        return ProviderOverloaded, "the provider is overloaded"
    if word == "billing_error" or status == 402 or _SPENT.search(said.message):
        return ProviderQuotaExhausted, "the provider account has no money or quota left"
    if word == "rate_limit_error" or status == 429:
        return ProviderRateLimited, "the provider's rate limit is reached"
    if word == "timeout_error" or status in {408, 504}:
        return TimeoutTtft, "the provider gave up: its own deadline passed"
    if word in {"authentication_error", "permission_error"} or status in {401, 403}:
        return ProviderAuth, "the provider refused the credential"
    if status >= 500 or word == "api_error":
        return ProviderFailed, f"the provider failed with status {status}"
    if 400 <= status < 500:
        return _client_class_of(status, said)
    return ProviderBadResponse, f"the provider answered with unexpected status {status}"


def _client_class_of(status: int, said: Said) -> tuple[type[TurnoutError], str]:
    quoted = _masked(said.message[:MAX_QUOTE]) or "it gave no reason"
    if status == 404:
        if said.type and _STORED.search(said.message):
            return NotFound, f"the provider does not know an object the request names: {quoted}"
        return ProviderModelUnavailable, "the provider does not serve this model"
    if status == 413:
        return RequestTooLarge, f"the request is too large for the provider: {quoted}"
    if _CONTEXT.search(said.message):
        return ContextLengthExceeded, quoted if quoted.startswith(_TOO_LONG) else f"{_TOO_LONG}: {quoted}"
    if _FILTERED.search(said.message):
        return ContentFiltered, f"the provider's filter blocked the answer: {quoted}"
    if _MEDIA.search(said.message):
        return InvalidMedia, f"the provider cannot read an image or document: {quoted}"
    return ProviderRejected, f"the provider refused the request: {quoted}"


def _relayed(error: TurnoutError) -> Said | None:
    """A 4xx of an Anthropic upstream about the caller's own request goes through word for word."""
    upstream = error.upstream
    if upstream is None or upstream.wire != WIRE or error.domain is not Domain.CALLER:
        return None
    said = said_in(upstream.body)
    if not 400 <= upstream.status < 500 or not said.type or not said.message:
        return None
    return Said(said.type, _masked(said.message))


def _worded(error: TurnoutError) -> str:
    if isinstance(error, ContextLengthExceeded) and not error.message.startswith(_TOO_LONG):
        return f"{_TOO_LONG}: {error.message}"
    return error.message


def _turnout(error: TurnoutError, request_id: str) -> JsonObject:
    out: dict[str, Json] = {
        "class": error.row.word,
        "domain": str(error.domain),
        "retryable": error.row.retry not in {Retry.NO, Retry.OTHER_KEY},
        "request_id": request_id,
    }
    if error.retry_after_s is not None:
        out["retry_after_s"] = error.retry_after_s
    if error.attempts:
        names = ("n", "model", "class", "status")
        out["attempts"] = [dict(zip(names, attempt, strict=True)) for attempt in error.attempts]
    return out


def _masked(text: str) -> str:
    return _CREDENTIAL.sub("***", text)
