"""The events of a stream, or the parts of an answer, as plain lists: what a comparison looks at. Floor 2."""

from collections.abc import Iterable

from msgspec import Struct

from turnout.types.chat import Choice, Reasoning, Refusal, Text, ToolCall
from turnout.types.event import Event, Finish, ReasoningDelta, RefusalDelta, TextDelta, ToolDelta, UsageUpdate
from turnout.types.usage import Usage


class Told(Struct):
    """What an answer says, whichever way it came."""

    text: str = ""
    reasoning: str = ""
    calls: list[list[str]] = []
    """Id, name and arguments of each call."""
    finish: str | None = None
    native: str | None = None
    usage: Usage = Usage()


def of_choice(choice: Choice, usage: Usage) -> Told:
    """Read a complete answer."""
    told = Told(calls=[], finish=choice.finish, native=choice.native_finish, usage=usage)
    for part in choice.parts:
        match part:
            case Text() | Refusal():
                told.text += part.text
            case Reasoning():
                told.reasoning += part.text
            case ToolCall():
                told.calls.append([part.id, part.name, part.arguments])
            case _:
                pass
    return told


def of_events(events: Iterable[Event]) -> Told:
    """Read a stream."""
    told = Told(calls=[])
    for event in events:
        match event:
            case TextDelta() | RefusalDelta():
                told.text += event.text
            case ReasoningDelta():
                told.reasoning += event.text
            case ToolDelta():
                if event.index == len(told.calls):
                    told.calls.append([event.id or "", event.name or "", ""])
                told.calls[event.index][2] += event.arguments
            case UsageUpdate():
                told.usage = event.usage
            case Finish():
                told.finish, told.native = event.reason, event.native
            case _:
                pass
    return told
