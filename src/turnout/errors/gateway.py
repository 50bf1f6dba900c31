"""Failures of the gateway itself. Floor 0."""

from turnout.errors.base import IR, SE, GatewayError, Retry, Row


class TimeoutTotal(GatewayError):
    """The deadline over all attempts passed."""

    row = Row("timeout_total", 504, SE, "timeout_total", "timeout_error", "DEADLINE_EXCEEDED")


class AllAttemptsFailed(GatewayError):
    """Every attempt failed, for different reasons."""

    row = Row(
        "all_attempts_failed", 502, SE, "all_attempts_failed", "api_error", "UNAVAILABLE", retry=Retry.CLIENT
    )


class CapacityExhausted(GatewayError):
    """Every deployment is cooling down or full."""

    row = Row(
        "capacity_exhausted",
        503,
        SE,
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
        SE,
        "gateway_overloaded",
        "overloaded_error",
        "UNAVAILABLE",
        anthropic_status=529,
        retry=Retry.CLIENT,
    )


class StoreUnavailable(GatewayError):
    """A store that policy requires cannot be reached."""

    row = Row(
        "store_unavailable", 503, SE, "store_unavailable", "api_error", "UNAVAILABLE", retry=Retry.CLIENT
    )


class LoopDetected(GatewayError):
    """The request already passed through this gateway."""

    row = Row("loop_detected", 508, IR, "loop_detected", IR, "FAILED_PRECONDITION")


class Internal(GatewayError):
    """A defect of Turnout; the request id finds it in the log."""

    row = Row("internal", 500, SE, "internal_error", "api_error", "INTERNAL", retry=Retry.CLIENT)
