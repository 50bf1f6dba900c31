"""What OpenAI-style hosts say when they fail, on any of their endpoints, mapped to one class each. Floor 2.

Hosts agree on neither status, code nor shape, so the class is looked up in three tables: the machine word
(most precise), the status, and for statuses that mean anything (400, 403, 404, 413, 422) the words of
the message. WIRE.md 9.3 names the sources.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from msgspec import Struct

from turnout.codecs.failures import MAX_EVIDENCE, MAX_QUOTE
from turnout.codecs.waits import should_retry, span_s, wait_s
from turnout.errors import (
    ContentFiltered,
    ContextLengthExceeded,
    Domain,
    InvalidMedia,
    InvalidModelOutput,
    ProviderAuth,
    ProviderBadResponse,
    ProviderFailed,
    ProviderModelUnavailable,
    ProviderOverloaded,
    ProviderQuotaExhausted,
    ProviderRateLimited,
    ProviderRejected,
    TimeoutTtft,
    TurnoutError,
    Upstream,
)
from turnout.types.http import HttpResponse

Class = type[TurnoutError]

_CODES: Mapping[Class, Sequence[str]] = {
    ContextLengthExceeded: (
        "context_length_exceeded",
        "too_many_prompt_tokens",
        "too_many_tokens",
        "prompt_too_long",
    ),
    ContentFiltered: (
        "content_filter",
        "content_policy_violation",
        "responsibleaipolicyviolation",
        "invalid_prompt",
        "data_inspection_failed",
    ),
    ProviderQuotaExhausted: (
        "insufficient_quota",
        "insufficient_balance",
        "billing_hard_limit_reached",
        "billing_not_active",
        "exceeded_current_quota_error",
    ),
    ProviderRateLimited: (
        "rate_limit_exceeded",
        "rate_limit_error",
        "rate_limit_reached_error",
        "too_many_requests",
        "resource_exhausted",
    ),
    ProviderAuth: (
        "invalid_api_key",
        "authentication_error",
        "invalid_authentication_error",
        "unauthorized",
        "permission_denied",
        "401",
    ),
    ProviderModelUnavailable: (
        "model_not_found",
        "deploymentnotfound",
        "model_decommissioned",
        "model_not_available",
        "invalid_model",
        "unknown_model",
        "resource_not_found_error",
    ),
    InvalidModelOutput: ("tool_use_failed", "json_validate_failed"),
    InvalidMedia: (
        "invalid_image",
        "invalid_image_url",
        "invalid_image_format",
        "invalid_image_file",
        "image_parse_error",
        "invalid_file",
        "unsupported_file",
    ),
    ProviderOverloaded: ("overloaded", "overloaded_error", "engine_overloaded_error", "server_overloaded"),
}
"""`error.code` or `error.type`, lower case."""
_BY_CODE = {code: cls for cls, codes in _CODES.items() for code in codes}

_BY_STATUS: Mapping[int, Class] = {
    401: ProviderAuth,
    402: ProviderQuotaExhausted,
    408: TimeoutTtft,
    429: ProviderRateLimited,
    498: ProviderOverloaded,
    503: ProviderOverloaded,
    504: TimeoutTtft,
    529: ProviderOverloaded,
}

_WORDS: Mapping[Class, Sequence[str]] = {
    ProviderAuth: (
        r"(incorrect|invalid|missing|unknown) (api key|authentication)",
        r"api key (not |is in)valid",
    ),
    ProviderModelUnavailable: (
        r"model\b.{0,160}(not exist|not found|decommissioned|deprecated|no longer (available|supported))",
        r"model \S+ is not supported",
        r"(unknown|no such|invalid) model",
        r"not a valid model",
        r"no endpoints found",
    ),
    ContextLengthExceeded: (
        r"max(imum)? context (length|window)",
        r"context (length|window|size) (of|is|exceed)",
        r"exceeds? the (model'?s )?context",
        r"(longer|larger|greater) than the (model'?s )?(maximum )?context",
        r"too many (input )?tokens",
        r"(prompt|input|messages) (is|are) too long",
        r"input token count",
    ),
    ContentFiltered: (
        r"content management policy",
        r"content policy",
        r"content.{0,20}filter",
        r"safety system",
        r"usage polic",
        r"flagged",
        r"moderation",
    ),
    InvalidMedia: (
        r"(image|audio|pdf|document).{0,60}(unsupported|invalid|corrupt)",
        r"(unsupported|invalid|corrupt|downloading|process).{0,40}(image|audio|pdf|document)",
    ),
}
"""What messages say, for statuses that leave the class open; the first class that matches."""
_BY_WORDS = [(re.compile("|".join(words), re.IGNORECASE | re.DOTALL), cls) for cls, words in _WORDS.items()]
_READ = 4096
"""Characters of a message looked at: enough for any honest one, and a bound for the patterns."""
_OUT_OF_MONEY = re.compile(r"insufficient (balance|quota|credit|fund)|out of credit|no credit", re.IGNORECASE)
_TRY_AGAIN = re.compile(
    r"(?:try again|retry) in (?P<span>[0-9][0-9.]*(?:ms|s|m(?:[0-9.]+s)?))", re.IGNORECASE
)
_KEY = re.compile(r"\b(?:sk|pk|rk|gsk|xai|tn|pplx|AIza|Bearer)[-_ ]?[A-Za-z0-9_*.\-]{8,}")
_OPEN = frozenset({ProviderRejected, InvalidMedia})
"""Classes too wide to have one machine word: the host's own is kept."""
_VAGUE = frozenset({0, 400, 403, 404, 405, 409, 413, 415, 422})


class Said(Struct, frozen=True):
    """What an error body says, whatever its shape."""

    message: str = ""
    type: str = ""
    code: str = ""
    param: str | None = None
    status: int | None = None
    """A status inside the body: all there is when the error came in a 200."""
    more: str = ""
    """Words of a provider behind the provider; looked at, never shown."""


class Errors:
    """Reads the errors of one wire format."""

    __slots__ = ("_wire",)

    def __init__(self, wire: str) -> None:
        self._wire = wire

    def read(self, response: HttpResponse) -> TurnoutError:
        """Map an answer that failed to one class. Never raises."""
        return self._error(response.status, response.headers, response.body[:MAX_EVIDENCE])

    def inside(self, error: object, response: HttpResponse) -> TurnoutError:
        """Map an error object found inside a 2xx answer."""
        return self._error(0, response.headers, msgspec.json.encode({"error": error})[:MAX_EVIDENCE])

    def in_frame(self, data: bytes) -> TurnoutError:
        """Map an error frame of a stream."""
        return self._error(0, {}, data[:MAX_EVIDENCE])

    def _error(self, status: int, headers: Mapping[str, str], body: bytes) -> TurnoutError:
        said = read_said(body)
        status = status or said.status or 0
        cls = _class(status, said)
        caller = cls.domain is Domain.CALLER
        return cls(
            _message(cls, status, said),
            param=said.param if caller else None,
            code=said.code or None if cls in _OPEN else None,
            retry_after_s=_wait(headers, said),
            upstream=Upstream(status=status, body=body, wire=self._wire, should_retry=should_retry(headers)),
        )


def unreadable(error: Exception) -> ProviderBadResponse:
    """Say that an upstream's bytes are not what they should be, without quoting them."""
    return ProviderBadResponse(f"the provider's answer cannot be read: {str(error).partition(' - at')[0]}")


def mask(text: str) -> str:
    """Hide what looks like a key."""
    return _KEY.sub("***", text)


def read_said(body: bytes) -> Said:
    """Read an error body of any known shape; an empty `Said` for HTML and noise."""
    try:
        tree = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Said()
    if isinstance(tree, list) and tree:  # Gemini's OpenAI endpoint
        tree = tree[0]
    if not isinstance(tree, dict):
        return Said()
    match tree:
        case {"error": dict() as error}:
            return _said(error, tree)
        case {"error": str() as message}:
            return Said(message=message, code=_word(tree, "code"))
        case {"detail": str() as message}:
            return Said(message=message)
        case {"detail": [{"msg": str() as message}, *_]}:
            return Said(message=message)
        case {"message": str()}:
            return _said(tree, tree)
        case _:
            return Said()


def _said(error: Mapping[str, object], tree: Mapping[str, object]) -> Said:
    metadata, inner = error.get("metadata"), error.get("innererror")
    param, status = error.get("param"), error.get("code", tree.get("code"))
    for key in ("status_code", "code"):
        value = error.get(key)
        if isinstance(value, int):
            status = value
            break
    return Said(
        message=_word(error, "message"),
        type=_word(error, "type") or _word(error, "error_type") or _word(error, "status"),
        code=_word(inner, "code") or _word(error, "code"),
        param=param if isinstance(param, str) else None,
        status=status if isinstance(status, int) else None,
        more=_word(metadata, "raw"),
    )


def _word(value: object, key: str) -> str:
    found = value.get(key) if isinstance(value, Mapping) else None
    return found if isinstance(found, str) else ""


def _class(status: int, said: Said) -> Class:
    words = f"{said.message} {said.more}"[:_READ]
    if status in (0, 402, 429) and _OUT_OF_MONEY.search(words):
        return ProviderQuotaExhausted
    for word in (said.code.lower(), said.type.lower()):
        if word in _BY_CODE and status < 500:
            return _BY_CODE[word]
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status in _VAGUE:
        return next(_matches(words), None) or _vague(status)
    if status and not 400 <= status < 600:
        return ProviderBadResponse  # a redirect, say: none is followed, and it is no fault of the caller
    return ProviderFailed if status >= 500 else ProviderRejected


def _matches(words: str) -> Iterator[Class]:
    return (cls for pattern, cls in _BY_WORDS if pattern.search(words))


def _vague(status: int) -> Class:
    match status:
        case 0:
            return ProviderFailed
        case 403:
            return ProviderAuth
        case 404:
            return ProviderModelUnavailable
        case _:
            return ProviderRejected


def _message(cls: Class, status: int, said: Said) -> str:
    if cls.domain is Domain.CALLER and said.message:
        return mask(said.message)[:MAX_QUOTE]
    answered = f"the provider answered {status}" if status else "the provider sent an error"
    if cls is ProviderFailed or cls in _OPEN:
        return answered
    return f"{answered}: {(cls.__doc__ or '').partition('.')[0].lower()}"


def _wait(headers: Mapping[str, str], said: Said) -> float | None:
    wait = wait_s(headers)
    found = _TRY_AGAIN.search(said.message) if wait is None else None
    return span_s(found["span"]) if found else wait
