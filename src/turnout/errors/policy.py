"""Failures by the operator's rules. Floor 0."""

from turnout.errors.base import IR, QUOTA, Fallback, PolicyError, Retry, Row


class Forbidden(PolicyError):
    """The key may not do this."""

    row = Row("forbidden", 403, IR, "permission_denied", "permission_error", "PERMISSION_DENIED")


class GuardBlocked(PolicyError):
    """A guard refused the request or the answer."""

    row = Row("guard_blocked", 403, IR, "guard_blocked", "permission_error", "PERMISSION_DENIED")


class BudgetExceeded(PolicyError):
    """The money set aside for this caller is spent."""

    row = Row("budget_exceeded", 402, QUOTA, "budget_exceeded", "billing_error", "RESOURCE_EXHAUSTED")


class PriceUnknown(PolicyError):
    """A budget applies and the model's price is not known."""

    row = Row(
        "price_unknown",
        402,
        QUOTA,
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

    row = Row("quota_exceeded", 429, QUOTA, "quota_exceeded", "rate_limit_error", "RESOURCE_EXHAUSTED")


class NoEligibleModel(PolicyError):
    """Every candidate was filtered out by policy."""

    row = Row("no_eligible_model", 400, IR, "no_eligible_model", IR, "FAILED_PRECONDITION")
