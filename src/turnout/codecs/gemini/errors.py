"""Failures of a Gemini upstream as classes of the taxonomy, ours as Gemini bodies. Floor 2.

WIRE.md sections 9.1 to 9.3.
"""

import re

import msgspec
from msgspec import Raw, Struct

from turnout.codecs.failures import MAX_EVIDENCE, MAX_QUOTE
from turnout.codecs.gemini.wire import (
    BROKEN_OUTPUT,
    NO_ANSWER,
    TYPE,
    UNREADABLE,
    WIRE,
    PromptFeedback,
    finish_word,
)
from turnout.codecs.waits import should_retry, wait_s
from turnout.errors import (
    ContentFiltered,
    ContextLengthExceeded,
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
from turnout.types.json import Json, JsonObject

_CONTEXT = re.compile(
    r"input token count.*exceed|exceeds the maximum number of tokens|input context is too long", re.IGNORECASE
)
_KEY = re.compile(r"api key (not valid|expired|not found)|api_key_invalid", re.IGNORECASE)
_MEDIA = re.compile(
    r"unable to process input (image|audio|video|file)|provided image is not valid|unsupported mime ?type"
    r"|document has no pages|cannot fetch content from the provided url|base64 decoding failed",
    re.IGNORECASE,
)
_SPENT = re.compile(
    r"credits? (are|is) (depleted|exhausted)|billing (is|has been) (disabled|suspended)", re.IGNORECASE
)
_ACCOUNT = re.compile(
    r"enable billing|location is not supported|not available in your country", re.IGNORECASE
)
_OTHERS_OBJECT = re.compile(r"cached ?content|\bfiles?\b", re.IGNORECASE)
_RETRY_TEXT = re.compile(r"retry in ([0-9.]+)s")
_CREDENTIAL = re.compile(r"\b(AIza[\w-]{20,}|ya29\.[\w.-]+|tn_[\w-]{8,}|sk-[\w-]{8,})")
_AUTH_REASONS = frozenset(
    {
        "API_KEY_INVALID",
        "API_KEY_EXPIRED",
        "API_KEY_SERVICE_BLOCKED",
        "API_KEY_HTTP_REFERRER_BLOCKED",
        "API_KEY_IP_ADDRESS_BLOCKED",
        "ACCESS_TOKEN_EXPIRED",
        "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
        "CONSUMER_INVALID",
        "CONSUMER_SUSPENDED",
        "SERVICE_DISABLED",
        "IAM_PERMISSION_DENIED",
    }
)
"""`google.rpc.ErrorInfo.reason` words that speak of the operator's credential or project."""

_OPEN = (InvalidMedia, ProviderRejected)
"""Classes too wide to have one machine word: the provider's own is kept."""

_HTTP_OF = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""google.rpc.Code words and their HTTP status, for error objects whose `code` is missing."""


class Detail(Struct, frozen=True, rename="camel"):
    """One entry of `error.details`; only what is read."""

    reason: str = ""
    retry_delay: str = ""
    violations: tuple[dict[str, Json], ...] = ()


class Failure(Struct, frozen=True):
    """A `google.rpc.Status` object."""

    code: int = 0
    message: str = ""
    status: str = ""
    details: tuple[Raw, ...] = ()


_read_failure = msgspec.json.Decoder(Failure, strict=False).decode
_read_detail = msgspec.json.Decoder(Detail, strict=False).decode


class _Said(Struct, frozen=True):
    """What an upstream's error object means to the mapping."""

    http: int
    message: str
    status: str
    details: tuple[Detail, ...]

    @property
    def retry_after_s(self) -> float | None:
        """The wait the provider asks for: `RetryInfo`, else its sentence."""
        for detail in self.details:
            number = detail.retry_delay.removesuffix("s")
            if number.replace(".", "", 1).isdigit():
                return float(number)
        found = _RETRY_TEXT.search(self.message)
        return float(found[1].rstrip(".")) if found else None

    @property
    def per_day(self) -> bool:
        """The quota that is used up is one of a day, or was zero from the start."""
        ids = [str(v.get("quotaId", "")) for d in self.details for v in d.violations]
        return any("PerDay" in each for each in ids) or "limit: 0," in self.message


def of_response(response: HttpResponse) -> TurnoutError:
    """Map a whole non-2xx answer to one class. Never raises."""
    raw = _error_member(response.body)
    failure = of_object(
        raw, body=response.body, status=response.status, retry_after_s=wait_s(response.headers)
    )
    asked = should_retry(response.headers)
    if asked is not None and failure.upstream is not None:
        failure.upstream = msgspec.structs.replace(failure.upstream, should_retry=asked)
    return failure


def of_object(
    raw: Raw | bytes, *, body: bytes, status: int = 0, retry_after_s: float | None = None
) -> TurnoutError:
    """Map an `error` object (b"" = there is none) to one class. Never raises.

    Args:
        raw: JSON of the `error` member.
        body: What came, kept as evidence.
        status: HTTP status; 0 or 200 = the object arrived inside a good answer.
        retry_after_s: The wait named by a header, used when the object names none.
    """
    said = _read(raw, status)
    kind, message = _class_of(said)
    return kind(
        message,
        code=said.status or None if kind in _OPEN else None,
        retry_after_s=said.retry_after_s or retry_after_s,
        upstream=Upstream(status=status or said.http, body=body[:MAX_EVIDENCE], wire=WIRE),
    )


def of_blocked(feedback: PromptFeedback, body: bytes) -> TurnoutError:
    """The prompt itself was refused by the provider's filter."""
    word = feedback.block_reason
    return ContentFiltered(
        f"the provider's filter blocked the prompt ({word}); rephrase it or use another model",
        upstream=Upstream(status=200, body=body[:MAX_EVIDENCE], wire=WIRE),
    )


def of_finish(raw: str | int | None, body: bytes) -> TurnoutError | None:
    """Return the failure a finish reason stands for; None where it is a normal end."""
    word = finish_word(raw)
    if word in BROKEN_OUTPUT:
        return InvalidModelOutput(
            f"the model's output cannot be used: the provider ended it with {word}",
            code=word,
            upstream=Upstream(status=200, body=body[:MAX_EVIDENCE], wire=WIRE),
        )
    if word in NO_ANSWER:
        return ProviderFailed(
            f"the provider gave no answer: it ended with {word}",
            code=word,
            upstream=Upstream(status=200, body=body[:MAX_EVIDENCE], wire=WIRE),
        )
    return None


def unreadable(why: str, body: bytes) -> ProviderBadResponse:
    """An answer that is no GenerateContentResponse."""
    return ProviderBadResponse(
        f"the provider's answer cannot be read as generateContent: {why}",
        upstream=Upstream(status=200, body=body[:MAX_EVIDENCE], wire=WIRE),
    )


def body_of(error: TurnoutError, request_id: str) -> tuple[int, JsonObject]:
    """Write a failure for a Gemini client: HTTP status and the error body (WIRE.md 9.1)."""
    relayed = _relayed(error)
    if relayed is not None:
        return relayed
    row = error.row
    details: list[Json] = [
        {
            TYPE: "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": row.word.upper(),
            "domain": "turnout",
            "metadata": {"request_id": request_id, "class": row.word, "domain": str(error.domain)},
        }
    ]
    if error.param:
        violation: JsonObject = {"field": error.param, "description": error.message}
        details.append({TYPE: "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]})
    if error.retry_after_s is not None:
        delay = f"{error.retry_after_s:.3f}".rstrip("0").rstrip(".") + "s"
        details.append({TYPE: "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    inner: JsonObject = {
        "code": row.status,
        "message": error.message,
        "status": row.gemini_status,
        "details": details,
    }
    return row.status, {"error": inner}


def _relayed(error: TurnoutError) -> tuple[int, JsonObject] | None:
    """A 4xx of a Gemini upstream about the caller's own request goes through word for word."""
    upstream = error.upstream
    if (
        upstream is None
        or upstream.wire != WIRE
        or error.domain != "caller"
        or not 400 <= upstream.status < 500
    ):
        return None
    raw = _error_member(upstream.body)
    try:
        inner = msgspec.json.decode(raw, type=dict[str, Json])
    except UNREADABLE:
        return None
    if not isinstance(inner.get("message"), str):
        return None
    masked = _CREDENTIAL.sub("***", msgspec.json.encode(inner).decode())
    return upstream.status, {"error": msgspec.json.decode(masked)}


def _error_member(body: bytes) -> bytes:
    """Return the `error` member of a bare, array-wrapped or event-stream body; b"" = there is none."""
    text = body.strip()
    if text.startswith(b"data:"):
        text = text[5:].split(b"\n", 1)[0].strip()
    try:
        if text.startswith(b"["):
            first = msgspec.json.decode(text, type=list[Raw])
            text = bytes(first[0]) if first else b""
        return bytes(msgspec.json.decode(text, type=dict[str, Raw]).get("error", b""))
    except UNREADABLE:
        return b""


def _read(raw: Raw | bytes, status: int) -> _Said:
    try:
        failure = _read_failure(raw)
    except UNREADABLE:
        failure = Failure()
    details = []
    for each in failure.details:
        try:
            details.append(_read_detail(each))
        except UNREADABLE:  # one unreadable detail must not hide the others
            continue
    inside_good_answer = status in {0, 200}
    http = failure.code or _HTTP_OF.get(failure.status, 0) or 500 if inside_good_answer else status
    return _Said(http, failure.message, failure.status, tuple(details))


def _class_of(said: _Said) -> tuple[type[TurnoutError], str]:
    http = said.http
    if http == 429 or (said.status == "RESOURCE_EXHAUSTED" and http != 402):
        if said.per_day or _SPENT.search(said.message):
            return ProviderQuotaExhausted, "the provider account's quota is used up"
        return ProviderRateLimited, "the provider's rate limit is reached"
    if http == 402:
        return ProviderQuotaExhausted, "the provider account has no money or quota left"
    if http in {408, 504} or said.status == "DEADLINE_EXCEEDED":
        return TimeoutTtft, "the provider gave up: its own deadline passed"
    if http in {503, 529} or said.status == "UNAVAILABLE":
        return ProviderOverloaded, "the provider is overloaded"
    if http >= 500 or said.status == "CANCELLED":
        return ProviderFailed, f"the provider failed with status {http}"
    if 400 <= http < 500:
        return _client_class_of(said)
    return ProviderBadResponse, f"the provider answered with unexpected status {http}"


def _client_class_of(said: _Said) -> tuple[type[TurnoutError], str]:
    quoted = _quote(said.message)
    reasons = {detail.reason for detail in said.details}
    if "BILLING_DISABLED" in reasons or _SPENT.search(said.message):
        return ProviderQuotaExhausted, "the provider account has no money or quota left"
    if said.http == 401 or reasons & _AUTH_REASONS or _KEY.search(said.message):
        return ProviderAuth, "the provider refused the credential"
    if said.http == 403 and not _OTHERS_OBJECT.search(said.message):
        return ProviderAuth, "the provider refused the credential permission"
    if said.http == 404 and not _OTHERS_OBJECT.search(said.message):
        return ProviderModelUnavailable, "the provider does not serve this model"
    if _ACCOUNT.search(said.message):
        return ProviderAuth, "the provider does not serve this account or location"
    if _CONTEXT.search(said.message):
        return ContextLengthExceeded, f"the conversation does not fit the model's window: {quoted}"
    if _MEDIA.search(said.message):
        return InvalidMedia, f"the provider cannot read a media part: {quoted}"
    return ProviderRejected, f"the provider refused the request: {quoted}"


def _quote(message: str) -> str:
    return _CREDENTIAL.sub("***", message[:MAX_QUOTE]) or "it gave no reason"
