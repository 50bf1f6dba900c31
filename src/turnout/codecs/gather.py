"""The events of a stream, or the parts of an answer, as plain lists: what a comparison looks at. Floor 2."""

from collections.abc import Iterable

from msgspec import Struct

from turnout.types.chat import Choice, Reasoning, Refusal, Text, ToolCall
from turnout.types.event import (
    Event,
    Finish,
    ReasoningDelta,
    RefusalDelta,
    Start,
    TextDelta,
    ToolDelta,
    UsageUpdate,
)
from turnout.types.usage import Usage

NOTHING_COUNTED = Usage()


class Speech(Struct):
    """What an answer says and why it ended."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: list[list[str]] = []
    """Id, name and arguments of each call."""
    finish: str | None = None


class Told(Speech):
    """The same, whichever way it came, and what it cost."""

    native: str | None = None
    usage: Usage = NOTHING_COUNTED


def of_choice(choice: Choice, usage: Usage = NOTHING_COUNTED) -> Told:
    """Read a complete answer."""
    told = Told(calls=[], finish=choice.finish, native=choice.native_finish, usage=usage)
    for part in choice.parts:
        match part:
            case Text():
                told.text += part.text
            case Refusal():
                told.refusal += part.text
            case Reasoning():
                told.reasoning += part.text
            case ToolCall():
                told.calls.append([part.id, part.name, part.arguments])
            case _:
                pass
    return told


def of_events(events: Iterable[Event], choice: int = 0) -> Told:
    """Read one choice of a stream."""
    told = Told(calls=[])
    for event in events:
        if not isinstance(event, Start | UsageUpdate) and event.choice != choice:
            continue
        match event:
            case TextDelta():
                told.text += event.text
            case RefusalDelta():
                told.refusal += event.text
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
