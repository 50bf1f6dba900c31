"""The closed exception tree of Turnout. Floor 0.

Every failure a caller can meet is one class here; each carries one `Row` of the
taxonomy in docs/design/WIRE.md section 9.2. The word of a class is the same in
error bodies, headers, logs, metric labels and Records; adding one is a breaking
change.
"""

from enum import StrEnum
from typing import ClassVar

from msgspec import Struct

_IR = "invalid_request_error"
_SE = "server_error"
_QUOTA = "insufficient_quota"


class Domain(StrEnum):
    """Whose fault a failure is: the one question an operator asks first."""

    CALLER = "caller"
    POLICY = "policy"
    PROVIDER = "provider"
    GATEWAY = "gateway"


class Fallback(StrEnum):
    """Whether the next node of a plan may be tried after a failure of this class."""

    NO = "no"
    YES = "yes"
    OPT_IN = "opt_in"
    """Only where the route asks for it."""
    LARGER_WINDOW = "larger_window"
    """Only on a deployment whose context window is larger than the one that refused."""


class Retry(StrEnum):
    """Whether the same deployment may be asked again after a failure of this class."""

    NO = "no"
    YES = "yes"
    ONCE = "once"
    AFTER_WAIT = "after_wait"
    """After the wait that the provider named, if the deadline allows it."""
    OTHER_KEY = "other_key"
    """Only with another credential of the same provider."""
    CLIENT = "client"
    """Not by Turnout; the client may try again."""


class Row(Struct, frozen=True):
    """One line of the taxonomy: how a class of failure is shown and what may follow it."""

    word: str
    status: int
    openai_type: str
    openai_code: str
    anthropic_type: str
    gemini_status: str
    anthropic_status: int = 0
    """HTTP status on Anthropic's paths where it differs; 0 = the same as `status`."""
    retry: Retry = Retry.NO
    fallback: Fallback = Fallback.NO


class Upstream(Struct, frozen=True, kw_only=True):
    """What an upstream said when it failed: kept as evidence, quoted only where WIRE.md 9.1 allows."""

    status: int = 0
    body: bytes = b""
    """At most 64 KiB; may hold text of the caller, so it never enters a log."""
    wire: str = ""
    """Wire format the body is in, for word-for-word relay to a client of the same dialect."""
    should_retry: bool | None = None
    """The upstream's own `x-should-retry`, if it sent one."""


class TurnoutError(Exception):
    """Base of every failure Turnout raises to a caller.

    Attributes:
        domain: Whose fault it is; fixed per branch of the tree.
        row: The line of the taxonomy; fixed per class.
        message: What was wrong, where, what to do. Never holds a secret or a prompt.
        param: Path of the offending field, if one can be named.
        code: A finer machine word than `row.openai_code`, if one is known.
        retry_after_s: Seconds until another try makes sense; None = unknown.
        upstream: What the provider said, for provider failures.
        attempts: The attempts made: (n, model, class word, status).
    """

    domain: ClassVar[Domain]
    row: ClassVar[Row]

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
        upstream: Upstream | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code
        self.retry_after_s = retry_after_s
        self.upstream = upstream
        self.attempts: tuple[tuple[int, str, str, int], ...] = ()


class ConfigError(Exception):
    """A configuration that cannot be used. Message: path, what is wrong, what to do. One line each.

    Raised while loading, never while serving; not part of the wire taxonomy.
    """

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class CallerError(TurnoutError):
    """The request cannot be served as it stands; sending it again changes nothing."""

    domain = Domain.CALLER


class PolicyError(TurnoutError):
    """The operator's rules forbid the request, now or at all."""

    domain = Domain.POLICY


class ProviderError(TurnoutError):
    """An upstream failed, refused, or answered something that cannot be used."""

    domain = Domain.PROVIDER


class GatewayError(TurnoutError):
    """Turnout itself could not serve the request."""

    domain = Domain.GATEWAY


class InvalidRequest(CallerError):
    """A field is malformed, missing, contradictory or out of range."""

    row = Row("invalid_request", 400, _IR, "invalid_request", _IR, "INVALID_ARGUMENT")


class UnsupportedParameter(CallerError):
    """No candidate supports a parameter that changes what a correct answer is."""

    row = Row("unsupported_parameter", 400, _IR, "unsupported_parameter", _IR, "INVALID_ARGUMENT")


class InvalidMedia(CallerError):
    """An image, audio part or document cannot be read."""

    row = Row("invalid_media", 400, _IR, "invalid_image", _IR, "INVALID_ARGUMENT")


class ContextLengthExceeded(CallerError):
    """The conversation does not fit the model's window."""

    row = Row(
        "context_length_exceeded",
        400,
        _IR,
        "context_length_exceeded",
        _IR,
        "INVALID_ARGUMENT",
        fallback=Fallback.LARGER_WINDOW,
    )


class ContentFiltered(CallerError):
    """The provider's own filter refused the prompt or the answer."""

    row = Row(
        "content_filtered", 400, _IR, "content_filter", _IR, "INVALID_ARGUMENT", fallback=Fallback.OPT_IN
    )


class ProviderRejected(CallerError):
    """The provider refused with a 4xx that no finer class describes."""

    row = Row(
        "provider_rejected", 400, _IR, "provider_rejected", _IR, "INVALID_ARGUMENT", fallback=Fallback.OPT_IN
    )


class RequestTooLarge(CallerError):
    """The request exceeds a size limit of the gateway."""

    row = Row("request_too_large", 413, _IR, "request_too_large", "request_too_large", "INVALID_ARGUMENT")


class Unauthenticated(CallerError):
    """No valid Turnout key came with the request."""

    row = Row("unauthenticated", 401, _IR, "invalid_api_key", "authentication_error", "UNAUTHENTICATED")


class NotFound(CallerError):
    """No such path or object."""

    row = Row("not_found", 404, _IR, "not_found", "not_found_error", "NOT_FOUND")


class ModelNotFound(CallerError):
    """The model, alias or route named by the request is not served here."""

    row = Row("model_not_found", 404, _IR, "model_not_found", "not_found_error", "NOT_FOUND")


class Conflict(CallerError):
    """The same idempotency key came with another body."""

    row = Row("conflict", 409, _IR, "conflict", _IR, "ABORTED")


class PreconditionFailed(CallerError):
    """The object changed since the caller read it."""

    row = Row("precondition_failed", 412, _IR, "precondition_failed", _IR, "FAILED_PRECONDITION")


class Forbidden(PolicyError):
    """The key may not do this."""

    row = Row("forbidden", 403, _IR, "permission_denied", "permission_error", "PERMISSION_DENIED")


class GuardBlocked(PolicyError):
    """A guard refused the request or the answer."""

    row = Row("guard_blocked", 403, _IR, "guard_blocked", "permission_error", "PERMISSION_DENIED")


class BudgetExceeded(PolicyError):
    """The money set aside for this caller is spent."""

    row = Row("budget_exceeded", 402, _QUOTA, "budget_exceeded", "billing_error", "RESOURCE_EXHAUSTED")


class PriceUnknown(PolicyError):
    """A budget applies and the model's price is not known."""

    row = Row(
        "price_unknown",
        402,
        _QUOTA,
        "price_unknown",
        "billing_error",
        "RESOURCE_EXHAUSTED",
        fallback=Fallback.YES,
    )


class RateLimited(PolicyError):
    """The caller's own rate limit is reached."""

    row = Row(
        "rate_limited",
        429,
        "requests",
        "rate_limit_exceeded",
        "rate_limit_error",
        "RESOURCE_EXHAUSTED",
        retry=Retry.CLIENT,
    )


class QuotaExceeded(PolicyError):
    """The caller's quota for the day or month is used up."""

    row = Row("quota_exceeded", 429, _QUOTA, "quota_exceeded", "rate_limit_error", "RESOURCE_EXHAUSTED")


class NoEligibleModel(PolicyError):
    """Every candidate was filtered out by policy."""

    row = Row("no_eligible_model", 400, _IR, "no_eligible_model", _IR, "FAILED_PRECONDITION")


class ProviderRateLimited(ProviderError):
    """The provider's rate limit is reached."""

    row = Row(
        "provider_rate_limited",
        429,
        "requests",
        "rate_limit_exceeded",
        "rate_limit_error",
        "RESOURCE_EXHAUSTED",
        retry=Retry.AFTER_WAIT,
        fallback=Fallback.YES,
    )


class ProviderQuotaExhausted(ProviderError):
    """The operator's account at the provider has no money or quota left."""

    row = Row(
        "provider_quota_exhausted",
        503,
        _SE,
        "provider_quota_exhausted",
        "api_error",
        "UNAVAILABLE",
        fallback=Fallback.YES,
    )


class ProviderOverloaded(ProviderError):
    """The provider says it is overloaded."""

    row = Row(
        "provider_overloaded",
        503,
        _SE,
        "provider_overloaded",
        "overloaded_error",
        "UNAVAILABLE",
        anthropic_status=529,
        retry=Retry.YES,
        fallback=Fallback.YES,
    )


class ProviderFailed(ProviderError):
    """The provider answered with another 5xx."""

    row = Row(
        "provider_error",
        502,
        _SE,
        "provider_error",
        "api_error",
        "INTERNAL",
        retry=Retry.YES,
        fallback=Fallback.YES,
    )


class ProviderUnreachable(ProviderError):
    """No connection: DNS, TCP or TLS failed."""

    row = Row(
        "provider_unreachable",
        502,
        _SE,
        "provider_unreachable",
        "api_error",
        "UNAVAILABLE",
        retry=Retry.YES,
        fallback=Fallback.YES,
    )


class ProviderAuth(ProviderError):
    """The provider refused the operator's credential."""

    row = Row(
        "provider_auth",
        502,
        _SE,
        "provider_auth",
        "api_error",
        "INTERNAL",
        retry=Retry.OTHER_KEY,
        fallback=Fallback.YES,
    )


class ProviderModelUnavailable(ProviderError):
    """The model is retired or not deployed at the provider."""

    row = Row(
        "provider_model_unavailable",
        404,
        _IR,
        "model_unavailable",
        "not_found_error",
        "NOT_FOUND",
        fallback=Fallback.YES,
    )


class ProviderBadResponse(ProviderError):
    """The provider's answer cannot be read."""

    row = Row(
        "provider_bad_response",
        502,
        _SE,
        "provider_bad_response",
        "api_error",
        "INTERNAL",
        retry=Retry.ONCE,
        fallback=Fallback.YES,
    )


class InvalidModelOutput(ProviderError):
    """The model wrote a malformed tool call or missed its schema."""

    row = Row(
        "invalid_model_output",
        502,
        _SE,
        "invalid_model_output",
        "api_error",
        "INTERNAL",
        retry=Retry.ONCE,
        fallback=Fallback.YES,
    )


class TimeoutConnect(ProviderError):
    """No connection within the connect limit."""

    row = Row(
        "timeout_connect",
        504,
        _SE,
        "timeout_connect",
        "timeout_error",
        "DEADLINE_EXCEEDED",
        retry=Retry.YES,
        fallback=Fallback.YES,
    )


class TimeoutTtft(ProviderError):
    """No first byte of the answer within the limit."""

    row = Row(
        "timeout_ttft", 504, _SE, "timeout_ttft", "timeout_error", "DEADLINE_EXCEEDED", fallback=Fallback.YES
    )


class TimeoutIdle(ProviderError):
    """The stream fell silent for longer than the limit."""

    row = Row(
        "timeout_idle", 504, _SE, "timeout_idle", "timeout_error", "DEADLINE_EXCEEDED", fallback=Fallback.YES
    )


class StreamInterrupted(ProviderError):
    """The stream ended before its terminal event."""

    row = Row(
        "stream_interrupted", 502, _SE, "stream_interrupted", "api_error", "INTERNAL", fallback=Fallback.YES
    )


class TimeoutTotal(GatewayError):
    """The deadline over all attempts passed."""

    row = Row("timeout_total", 504, _SE, "timeout_total", "timeout_error", "DEADLINE_EXCEEDED")


class AllAttemptsFailed(GatewayError):
    """Every attempt failed, for different reasons."""

    row = Row(
        "all_attempts_failed", 502, _SE, "all_attempts_failed", "api_error", "UNAVAILABLE", retry=Retry.CLIENT
    )


class CapacityExhausted(GatewayError):
    """Every deployment is cooling down or full."""

    row = Row(
        "capacity_exhausted",
        503,
        _SE,
        "capacity_exhausted",
        "overloaded_error",
        "UNAVAILABLE",
        anthropic_status=529,
        retry=Retry.CLIENT,
    )


class GatewayOverloaded(GatewayError):
    """The gateway is at its own limits or draining."""

    row = Row(
        "gateway_overloaded",
        503,
        _SE,
        "gateway_overloaded",
        "overloaded_error",
        "UNAVAILABLE",
        anthropic_status=529,
        retry=Retry.CLIENT,
    )


class StoreUnavailable(GatewayError):
    """A store that policy requires cannot be reached."""

    row = Row(
        "store_unavailable", 503, _SE, "store_unavailable", "api_error", "UNAVAILABLE", retry=Retry.CLIENT
    )


class LoopDetected(GatewayError):
    """The request already passed through this gateway."""

    row = Row("loop_detected", 508, _IR, "loop_detected", _IR, "FAILED_PRECONDITION")


class Internal(GatewayError):
    """A defect of Turnout; the request id finds it in the log."""

    row = Row("internal", 500, _SE, "internal_error", "api_error", "INTERNAL", retry=Retry.CLIENT)


def _leaves(cls: type[TurnoutError]) -> list[type[TurnoutError]]:
    below = [leaf for child in cls.__subclasses__() for leaf in _leaves(child)]
    return below or [cls]


TAXONOMY: dict[str, type[TurnoutError]] = {cls.row.word: cls for cls in _leaves(TurnoutError)}
"""Every class by its word; the closed set."""
