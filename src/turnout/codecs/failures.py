"""Failures of upstreams whose errors are a word and a sentence, as classes of the taxonomy. Floor 2.

The mapping is WIRE.md 9.3. A format brings the words its errors carry; status and sentence decide the rest.
"""

import re
from collections.abc import Mapping

import msgspec
from msgspec import Struct

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
    RequestTooLarge,
    TimeoutTtft,
    TurnoutError,
    Upstream,
)
from turnout.types.http import HttpResponse
from turnout.types.json import Json, JsonObject

Class = type[TurnoutError]
MAX_EVIDENCE = 64 * 1024
MAX_QUOTE = 500
"""Characters of upstream text that a caller-domain message may quote (WIRE.md 9.1)."""
_READ = 4096
"""Characters of a sentence looked at: enough for any honest one, and a bound for the patterns."""

_BY_STATUS: Mapping[int, Class] = {
    401: ProviderAuth,
    402: ProviderQuotaExhausted,
    403: ProviderAuth,
    404: ProviderModelUnavailable,
    408: TimeoutTtft,
    413: RequestTooLarge,
    424: ProviderFailed,
    429: ProviderRateLimited,
    498: ProviderOverloaded,
    503: ProviderOverloaded,
    504: TimeoutTtft,
    529: ProviderOverloaded,
}
_SAYS: tuple[tuple[Class, tuple[str, ...]], ...] = (
    (
        ContextLengthExceeded,
        (
            r"too many (input )?tokens",
            r"tokens exceed",
            r"(input|prompt) is too long",
            r"exceeds? (the |this )?(model'?s )?(maximum |available )?context",
            r"maximum (context|length)",
            r"context (length|window|size)",
        ),
    ),
    (
        ProviderModelUnavailable,
        (
            r"model\b.{0,160}(not found|not exist|no longer|retired|end of (its )?life|deprecated)",
            r"model\b.{0,160}is not supported",
            r"model identifier is invalid",
            r"(no such|invalid) model\b",
            r"access to the model",
        ),
    ),
    (ContentFiltered, (r"content (filter|policy)", r"blocked by", r"guardrail", r"safety")),
    (
        InvalidMedia,
        (
            r"(image|video|document|file|pdf)\b.{0,60}(invalid|unsupported|corrupt|could not)",
            r"(invalid|unsupported|could not process|doesn't support).{0,40}(image|video|document|pdf)",
            r"illegal base64",
        ),
    ),
    (
        ProviderQuotaExhausted,
        (r"(monthly|trial) .{0,40}(limit|calls)", r"billing", r"out of credit", r"quota is exhausted"),
    ),
)
_WORDS = tuple((re.compile("|".join(says), re.IGNORECASE | re.DOTALL), kind) for kind, says in _SAYS)
"""What sentences say, for statuses that leave the class open; the first that matches."""
_BUSY = re.compile(r"overloaded|server (is )?busy|at capacity", re.IGNORECASE)
_OPEN = frozenset({400, 403, 404, 422, 429})
"""Statuses whose sentence is read."""
_SENTENCES: Mapping[Class, str] = {
    ProviderAuth: "the provider refused the credential",
    ProviderFailed: "the provider failed",
    ProviderModelUnavailable: "the provider does not serve this model",
    ProviderOverloaded: "the provider is overloaded",
    ProviderQuotaExhausted: "the provider account has no money or quota left",
    ProviderRateLimited: "the provider's rate limit is reached",
    TimeoutTtft: "the provider gave up: its own deadline passed",
    ContextLengthExceeded: "the conversation does not fit the model",
    ContentFiltered: "the provider's filter refused",
    InvalidMedia: "the provider cannot read an image or document",
    InvalidModelOutput: "the model wrote what the provider cannot read",
    RequestTooLarge: "the request is too large for the provider",
}
_CREDENTIAL = re.compile(
    r"\b(sk-[\w-]{8,}|tn_[\w-]{8,}|AIza[\w-]{20,}|ya29\.[\w.-]+|A[KS]IA[A-Z0-9]{12,})"
    r"|(?<=Bearer )[\w.~+/-]{8,}"
)


class Said(Struct, frozen=True):
    """What an upstream's error says."""

    word: str = ""
    """Its machine word, as the format spells it; "" = none."""
    message: str = ""


def failure(said: Said, response: HttpResponse, wire: str, words: Mapping[str, Class]) -> TurnoutError:
    """Map a failed answer to one class. Never raises.

    Args:
        said: What its body says.
        response: The answer; for an error inside a 200, one made of its frame.
        wire: Format the body is in.
        words: The format's own words for errors.
    """
    status = response.status
    kind = _classified(said, status, words)
    upstream = Upstream(
        status=status,
        body=response.body[:MAX_EVIDENCE],
        wire=wire,
        should_retry=should_retry(response.headers),
    )
    return kind(_sentence(kind, said, status), retry_after_s=wait_s(response.headers), upstream=upstream)


def unreadable(why: str, body: bytes, wire: str) -> ProviderBadResponse:
    """Return the failure of an answer that is none in this format."""
    return ProviderBadResponse(
        f"the provider's answer cannot be read: {why}",
        upstream=Upstream(status=200, body=body[:MAX_EVIDENCE], wire=wire),
    )


def tree_of(body: bytes) -> JsonObject:
    """Read an error body as an object; {} for anything else. Never raises."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def text_in(tree: JsonObject, *names: str) -> str:
    """Return the first member that is a text; "" when none is."""
    return next((value for name in names if isinstance(value := tree.get(name), str)), "")


def _classified(said: Said, status: int, words: Mapping[str, Class]) -> Class:
    message = said.message[:_READ]
    kind = words.get(said.word) or _class_of(status, message)
    if kind is ProviderFailed:
        return ProviderOverloaded if _BUSY.search(message) else kind
    if kind is ProviderBadResponse and message:  # an error inside a 200
        kind = ProviderOverloaded if _BUSY.search(message) else ProviderFailed
    elif kind is not ProviderRejected and not (said.word in words and status in _OPEN and _is_open(kind)):
        return kind
    return next((found for each, found in _WORDS if each.search(message)), kind)


def _is_open(kind: Class) -> bool:
    return kind in {ProviderRejected, ProviderAuth, ProviderModelUnavailable, ProviderRateLimited}


def _class_of(status: int, message: str) -> Class:
    found = _BY_STATUS.get(status)
    if status in {403, 429}:
        # A refusal for lack of money or of the model wears the status of a credential or of a rate.
        found = next((kind for each, kind in _WORDS[1:2] + _WORDS[4:] if each.search(message)), found)
    if found is not None:
        return found
    if status >= 500:
        return ProviderFailed
    return ProviderRejected if 400 <= status < 500 else ProviderBadResponse


def _sentence(kind: Class, said: Said, status: int) -> str:
    quoted = _CREDENTIAL.sub("***", said.message[:MAX_QUOTE]) or "it gave no reason"
    if kind is ProviderBadResponse:
        return f"the provider answered with unexpected status {status}"
    base = _SENTENCES.get(kind, "the provider refused the request")
    # Only failures of the caller's own request may quote: the others can tell about the operator's account.
    return f"{base}: {quoted}" if kind.domain == "caller" else base


def as_object(value: Json) -> JsonObject:
    """Return an object as it is, and {} for any other value."""
    return value if isinstance(value, dict) else {}


def objects_in(value: Json) -> list[JsonObject]:
    """Return the objects of an array, and none of any other value."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
