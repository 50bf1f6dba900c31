"""What OpenAI-style hosts say when a chat completion fails. Floor 2."""

from turnout.codecs.openai_chat.wire import WIRE
from turnout.codecs.openai_errors import Errors

_ERRORS = Errors(WIRE)
read_error = _ERRORS.read
error_in = _ERRORS.inside
error_in_frame = _ERRORS.in_frame
