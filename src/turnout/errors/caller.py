"""Failures of the request itself. Floor 0."""

from turnout.errors.base import IR, CallerError, Fallback, Row


class InvalidRequest(CallerError):
    """A field is malformed, missing, contradictory or out of range."""

    row = Row("invalid_request", 400, IR, "invalid_request", IR, "INVALID_ARGUMENT")


class UnsupportedParameter(CallerError):
    """No candidate supports a parameter that changes what a correct answer is."""

    row = Row("unsupported_parameter", 400, IR, "unsupported_parameter", IR, "INVALID_ARGUMENT")


class InvalidMedia(CallerError):
    """An image, audio part or document cannot be read."""

    row = Row("invalid_media", 400, IR, "invalid_image", IR, "INVALID_ARGUMENT")


class ContextLengthExceeded(CallerError):
    """The conversation does not fit the model's window."""

    row = Row(
        "context_length_exceeded",
        400,
        IR,
        "context_length_exceeded",
        IR,
        "INVALID_ARGUMENT",
        fallback=Fallback.LARGER_WINDOW,
    )


class ContentFiltered(CallerError):
    """The provider's own filter refused the prompt or the answer."""

    row = Row("content_filtered", 400, IR, "content_filter", IR, "INVALID_ARGUMENT", fallback=Fallback.OPT_IN)


class ProviderRejected(CallerError):
    """The provider refused with a 4xx that no finer class describes."""

    row = Row(
        "provider_rejected", 400, IR, "provider_rejected", IR, "INVALID_ARGUMENT", fallback=Fallback.OPT_IN
    )


class RequestTooLarge(CallerError):
    """The request exceeds a size limit of the gateway."""

    row = Row("request_too_large", 413, IR, "request_too_large", "request_too_large", "INVALID_ARGUMENT")


class Unauthenticated(CallerError):
    """No valid Turnout key came with the request."""

    row = Row("unauthenticated", 401, IR, "invalid_api_key", "authentication_error", "UNAUTHENTICATED")


class NotFound(CallerError):
    """No such path or object."""

    row = Row("not_found", 404, IR, "not_found", "not_found_error", "NOT_FOUND")


class ModelNotFound(CallerError):
    """The model, alias or route named by the request is not served here."""

    row = Row("model_not_found", 404, IR, "model_not_found", "not_found_error", "NOT_FOUND")


class Conflict(CallerError):
    """The same idempotency key came with another body."""

    row = Row("conflict", 409, IR, "conflict", IR, "ABORTED")


class PreconditionFailed(CallerError):
    """The object changed since the caller read it."""

    row = Row("precondition_failed", 412, IR, "precondition_failed", IR, "FAILED_PRECONDITION")
