"""What writing a request for Gemini had to give up. Floor 2."""

from turnout.codecs.base import Encoded
from turnout.types.http import HttpRequest

SCHEMA_ADAPTED = "schema_adapted"
SYSTEM_FOLDED = "system_folded"
REASONING_DROPPED = "reasoning_dropped"
ARGUMENTS_WRAPPED = "tool_arguments_wrapped"
NATIVE_BLOCK_DROPPED = "native_block_dropped"


class Notices:
    """Collects dropped parameters and warnings of one request, each once, in order."""

    def __init__(self) -> None:
        self._dropped: dict[str, None] = {}
        self._warnings: dict[str, None] = {}

    def drop(self, name: str) -> None:
        """Note a parameter the upstream cannot be told."""
        self._dropped[name] = None

    def warn(self, word: str) -> None:
        """Note a loss by its closed word."""
        self._warnings[word] = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Words of what was lost."""
        return tuple(self._warnings)

    def encoded(self, http: HttpRequest) -> Encoded:
        """Return the request with what was noted."""
        return Encoded(http, tuple(self._dropped), tuple(self._warnings))
