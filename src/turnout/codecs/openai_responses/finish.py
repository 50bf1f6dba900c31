"""Why an answer ended, read from a response object. Floor 2."""

from turnout.codecs.openai_responses.items import CALLS
from turnout.codecs.openai_responses.wire import Answer
from turnout.types.chat import FinishReason

_INCOMPLETE: dict[str, FinishReason] = {"max_output_tokens": "length", "content_filter": "content_filter"}
FAILED = frozenset({"failed", "cancelled"})


def read_finish(answer: Answer, *, calls: bool, refused: bool) -> tuple[FinishReason, str | None]:
    """Return why it ended, and the upstream's own word (WIRE.md 12.2)."""
    if answer.status == "incomplete":
        native = answer.incomplete_details.reason if answer.incomplete_details is not None else None
        reason = _INCOMPLETE.get(native or "", "stop")
        return ("tool_calls" if calls and reason == "stop" else reason), native or answer.status
    if calls:
        return "tool_calls", answer.status
    return ("content_filter" if refused else "stop"), answer.status


def has_calls(answer: Answer) -> bool:
    """Tell whether the client is asked to call a tool."""
    return any(item.type in CALLS for item in answer.output or ())


def has_refusal(answer: Answer) -> bool:
    """Tell whether the model declined."""
    return any(
        isinstance(part, dict) and part.get("type") == "refusal"
        for item in answer.output or ()
        if isinstance(item.content, list)
        for part in item.content
    )
