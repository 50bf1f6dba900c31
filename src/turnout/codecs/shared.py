"""Fields that OpenAI's two formats share, for a request that goes from one to the other. Floor 2.

They are no fields of ours: a format that has them keeps them in `extra`, and only the other one of the two
reads them there. Hosts that speak these formats refuse what they do not know, so that they get them only
where their row says so (`Quirks.openai_fields`).
"""

from collections.abc import Mapping

from turnout.types.chat import NOTHING, ChatRequest
from turnout.types.deployment import Quirks
from turnout.types.json import Json

CHAT, RESPONSES = "openai_chat", "openai_responses"
FIELDS = frozenset(
    {"service_tier", "metadata", "moderation", "safety_identifier"}
    | {"prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"}
)
"""Same name, same meaning. (OpenAI API reference, both create calls, seen 2026-11; in recorded traffic.)"""
VERBOSITY = "verbosity"
"""Stands at the top in chat completions and in `text` in responses."""


def shared(request: ChatRequest, quirks: Quirks) -> Mapping[str, Json]:
    """Return those fields of a request of one format that the other has, `verbosity` at the top."""
    if not quirks.openai_fields or request.wire not in (CHAT, RESPONSES) or not request.extra:
        return NOTHING
    found = {name: value for name, value in request.extra.items() if name in FIELDS}
    text = request.extra.get("text") if request.wire == RESPONSES else request.extra
    if isinstance(text, Mapping) and VERBOSITY in text:
        found[VERBOSITY] = text[VERBOSITY]
    return found


def unshared(request: ChatRequest, taken: Mapping[str, Json]) -> list[str]:
    """Return the names of what is left out where these fields were taken."""
    rest = [name for name in request.extra if name not in taken]
    text = request.extra.get("text")
    if request.wire == RESPONSES and VERBOSITY in taken and isinstance(text, Mapping) and len(text) == 1:
        rest.remove("text")
    return rest
