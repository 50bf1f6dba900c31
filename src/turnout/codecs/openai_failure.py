"""Our failures written as OpenAI error bodies for a client. Floor 2.

WIRE.md section 9.1.
"""

import msgspec

from turnout.codecs.openai_errors import mask, read_said
from turnout.errors import ContextLengthExceeded, Domain, ModelNotFound, Retry, TurnoutError
from turnout.types.json import Json

_TOO_LONG = "prompt is too long"
"""Words by which LangChain's client (langchain-openai 1.7) tells this failure: it reads no code."""
_encode = msgspec.json.Encoder().encode


def write_error(error: TurnoutError, request_id: str, wire: str) -> tuple[int, bytes]:
    """Return HTTP status and body for a client of `wire`.

    A 4xx of an upstream that speaks this format, about something the caller did, keeps its status, type and
    message word for word: agents match on them to recover.
    """
    row = error.row
    status, told = row.status, _own(error)
    upstream = error.upstream
    if (
        error.domain is Domain.CALLER
        and upstream is not None
        and upstream.wire == wire
        and 400 <= upstream.status < 500
    ):
        said = read_said(upstream.body)
        if said.message:
            status = upstream.status
            told = {
                "message": mask(said.message),
                "type": said.type or row.openai_type,
                "param": said.param,
                "code": error.code or row.openai_code,
            }
    told["turnout"] = failure_of(error, request_id)
    return status, _encode({"error": told})


def _own(error: TurnoutError) -> dict[str, Json]:
    param = error.param
    if param is None and isinstance(error, ModelNotFound):
        param = "model"
    message = error.message
    if isinstance(error, ContextLengthExceeded) and _TOO_LONG not in message:
        message = f"{_TOO_LONG}: {message}"
    return {
        "message": message,
        "type": error.row.openai_type,
        "param": param,
        "code": error.code or error.row.openai_code,
    }


def failure_of(error: TurnoutError, request_id: str) -> Json:
    """Return what Turnout adds to an error."""
    told: dict[str, Json] = {
        "class": error.row.word,
        "domain": error.domain.value,
        "retryable": error.row.retry not in (Retry.NO, Retry.OTHER_KEY),
        "request_id": request_id,
    }
    if error.retry_after_s is not None:
        told["retry_after_s"] = error.retry_after_s
    if error.attempts:
        told["attempts"] = [
            {"n": n, "model": model, "class": word, "status": status}
            for n, model, word, status in error.attempts
        ]
    return told
