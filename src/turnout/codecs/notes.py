"""What writing one request had to give up. Floor 2."""

from turnout.codecs.base import Encoded
from turnout.errors import UnsupportedParameter
from turnout.types.chat import ChatRequest, OutputFormat, Tool
from turnout.types.http import HttpRequest
from turnout.types.json import Json, JsonObject

ARGUMENTS_WRAPPED = "tool_arguments_wrapped"
NATIVE_DROPPED = "native_block_dropped"
REASONING_APPROXIMATED = "reasoning_approximated"
REASONING_DROPPED = "reasoning_dropped"
SCHEMA_ADAPTED = "schema_adapted"
STRICT_DROPPED = "tool_strict_dropped"
SYSTEM_FOLDED = "system_folded"
UNTRANSLATED = "log probabilities of this format cannot be translated"
"""Why `one_answer` refuses where a format has them in a form of its own."""


class Notes:
    """Collects dropped parameters and warnings, each once, in order."""

    __slots__ = ("_dropped", "_warnings")

    def __init__(self) -> None:
        self._dropped: dict[str, None] = {}
        self._warnings: dict[str, None] = {}

    def drop(self, name: str) -> None:
        """Note a parameter the upstream cannot be told."""
        self._dropped[name] = None

    def warn(self, word: str) -> None:
        """Note an adaptation by its closed word."""
        self._warnings[word] = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """Words of what was adapted."""
        return tuple(self._warnings)

    def encoded(self, http: HttpRequest) -> Encoded:
        """Return the request with what was noted."""
        return Encoded(http, tuple(self._dropped), tuple(self._warnings))


def one_answer(request: ChatRequest, why: str = "this format has no log probabilities") -> None:
    """Raise `UnsupportedParameter` where more than one answer, or what tokens were probable, is asked for."""
    if request.n is not None and request.n > 1:
        raise UnsupportedParameter("this format gives one answer at a time", param="n")
    if request.logprobs or request.top_logprobs:
        raise UnsupportedParameter(why, param="logprobs")


def without_keywords(schema: Json, unknown: frozenset[str], notes: Notes) -> Json:
    """Return a JSON Schema without the keywords an upstream refuses, noting that it was relaxed.

    Names of properties are not keywords: a property called `pattern` stays.
    """
    if isinstance(schema, list):
        return [without_keywords(each, unknown, notes) for each in schema]
    if not isinstance(schema, dict):
        return schema
    out: dict[str, Json] = {}
    for key, value in schema.items():
        if key in unknown:
            notes.warn(SCHEMA_ADAPTED)
        elif key in _NAMED and isinstance(value, dict):
            out[key] = {name: without_keywords(each, unknown, notes) for name, each in value.items()}
        elif key in _LITERAL:
            out[key] = value
        else:
            out[key] = without_keywords(value, unknown, notes)
    return out


_NAMED = frozenset({"properties", "$defs", "definitions", "patternProperties", "dependentSchemas"})
"""Keywords whose members are schemas under names of the author's own."""
_LITERAL = frozenset({"enum", "const", "default", "examples", "required"})
"""Keywords whose values are no schemas."""


def schema_of(tool: Tool | OutputFormat) -> JsonObject:
    """Return the schema of a tool or an answer; one that takes nothing where none was declared."""
    return tool.schema if tool.schema is not None else {"type": "object", "properties": {}}
