"""`trajectory`: where a conversation stands, above all an agent's. Floor 2."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from msgspec import Struct

from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest, Message, Text, ToolCall, ToolResult
from turnout.types.signal import Signal, Signals

N_RESULTS: Final = 5
"""Tool results looked at for errors."""
MAX_LOOK_BACK: Final = 64
"""Messages walked at most: a loop of hundreds says no more than its end."""
_HEAD: Final = 200
"""Characters of a tool result read for a sign of failure."""
_ERROR_SIGNS: Final = (
    "error",
    "traceback",
    "exception",
    "failed",
    "not found",
    "denied",
    "fatal:",
    "timed out",
)
_BENIGN: Final = ("no error", "0 error", "0 failed", "without error")


class TrajectorySense(Struct, frozen=True):
    """The state of the conversation, without its words. Declared default when absent: zeros.

    `turn` counts messages of the user that are more than tool results, `depth` the answers with tool
    calls since the last of them, `tool_errors` the failures among the last five results, `repeats` how
    often the latest call was made before with the same arguments, `since_progress` the results in a row
    that failed up to now, `n_result_chars` the text of the results not answered yet, `in_tool_loop`
    whether the model owes an answer to tool results.
    """

    name: str = "trajectory"
    needs: frozenset[str] = frozenset()

    def read(self, request: ChatRequest, ask: Ask, so_far: Signals) -> Signal:
        """Return the counts."""
        messages = request.messages
        recent = messages[-MAX_LOOK_BACK:]
        failures = [_is_failure(result) for result in islice(_results(recent), N_RESULTS)]
        in_loop = bool(recent) and _is_result(recent[-1])
        return Signal(
            value={
                "turn": sum(1 for message in messages if message.role == "user" and _speaks(message)),
                "depth": _depth(recent),
                "tool_errors": sum(failures),
                "repeats": _repeats(recent),
                "since_progress": failures.index(False) if False in failures else len(failures),
                "n_result_chars": _pending_chars(recent) if in_loop else 0,
                "in_tool_loop": in_loop,
            }
        )


def _speaks(message: Message) -> bool:
    return any(type(part) is not ToolResult for part in message.parts)


def _is_result(message: Message) -> bool:
    return message.role == "tool" or any(type(part) is ToolResult for part in message.parts)


def _results(messages: Sequence[Message]) -> Iterable[ToolResult]:
    """Yield tool results, the latest first."""
    for message in reversed(messages):
        for part in reversed(message.parts):
            if type(part) is ToolResult:
                yield part


def _is_failure(result: ToolResult) -> bool:
    if result.is_error:
        return True
    head = "".join(part.text[:_HEAD] for part in result.content[:1] if type(part) is Text).lower()
    return any(sign in head for sign in _ERROR_SIGNS) and not any(sign in head for sign in _BENIGN)


def _depth(messages: Sequence[Message]) -> int:
    depth = 0
    for message in reversed(messages):
        if message.role == "user" and _speaks(message):
            break
        depth += message.role == "assistant" and any(type(part) is ToolCall for part in message.parts)
    return depth


def _repeats(messages: Sequence[Message]) -> int:
    calls = [
        (part.name, part.arguments)
        for message in messages
        if message.role == "assistant"
        for part in message.parts
        if type(part) is ToolCall
    ]
    return calls.count(calls[-1]) - 1 if calls else 0


def _pending_chars(messages: Sequence[Message]) -> int:
    n_chars = 0
    for message in reversed(messages):
        if not _is_result(message):
            break
        for part in message.parts:
            if type(part) is ToolResult:
                n_chars += sum(len(each.text) for each in part.content if type(each) is Text)
    return n_chars


TRAJECTORY: Final = TrajectorySense()
