"""Failures of an upstream. Floor 0."""

from turnout.errors.base import IR, SE, Fallback, ProviderError, Retry, Row


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
        SE,
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
        SE,
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
        SE,
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
        SE,
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
        SE,
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
        IR,
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
        SE,
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
        SE,
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
        SE,
        "timeout_connect",
        "timeout_error",
        "DEADLINE_EXCEEDED",
        retry=Retry.YES,
        fallback=Fallback.YES,
    )


class TimeoutTtft(ProviderError):
    """No first byte of the answer within the limit."""

    row = Row(
        "timeout_ttft", 504, SE, "timeout_ttft", "timeout_error", "DEADLINE_EXCEEDED", fallback=Fallback.YES
    )


class TimeoutIdle(ProviderError):
    """The stream fell silent for longer than the limit."""

    row = Row(
        "timeout_idle", 504, SE, "timeout_idle", "timeout_error", "DEADLINE_EXCEEDED", fallback=Fallback.YES
    )


class StreamInterrupted(ProviderError):
    """The stream ended before its terminal event."""

    row = Row(
        "stream_interrupted", 502, SE, "stream_interrupted", "api_error", "INTERNAL", fallback=Fallback.YES
    )
