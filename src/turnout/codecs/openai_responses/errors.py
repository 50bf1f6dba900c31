"""What hosts say when a response fails. Floor 2."""

from collections.abc import Mapping

from turnout.codecs.openai_errors import Errors
from turnout.codecs.openai_failure import write_error as write_openai_error
from turnout.codecs.openai_responses.wire import WIRE, write
from turnout.errors import ModelNotFound, TurnoutError

_ERRORS = Errors(WIRE)
read_error = _ERRORS.read
error_in = _ERRORS.inside


def error_of(error: object) -> TurnoutError:
    """Map the error of a stream: the `error` of a failed response, or an `error` event itself."""
    if isinstance(error, Mapping) and isinstance(error.get("error"), Mapping | str):
        error = error["error"]
    if isinstance(error, Mapping):  # `type` of the event itself says only that it is one
        error = {key: value for key, value in error.items() if (key, value) != ("type", "error")}
    return _ERRORS.in_frame(write({"error": error or {"message": "the response failed"}}))


def write_error(error: TurnoutError, request_id: str) -> tuple[int, bytes]:
    """Write a failure before the first byte; a model that is not there is 400 here (WIRE.md 9.2)."""
    status, body = write_openai_error(error, request_id, WIRE)
    return 400 if isinstance(error, ModelNotFound) else status, body
