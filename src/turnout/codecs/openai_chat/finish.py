"""Why an answer ended, in the words of OpenAI-style hosts. Floor 2."""

from collections.abc import Mapping

from turnout.types.chat import FinishReason

_REASONS: Mapping[str, FinishReason] = {
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "error": "error",
}
"""Everything else (`stop`, `eos`, `end_turn`, an empty string, words nobody knows) is a natural stop."""


def read_finish(native: str, *, calls: bool) -> FinishReason:
    """Map a host's word; a natural end of an answer with tool calls is `tool_calls` (WIRE.md 12.2)."""
    reason = _REASONS.get(native.lower(), "stop")
    if reason == "stop" and calls:
        return "tool_calls"
    return reason
