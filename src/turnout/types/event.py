"""What a stream is made of. Floor 0."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from turnout.types.chat import NOTHING, FinishReason, Native
from turnout.types.json import Json
from turnout.types.usage import Usage


class Start(Struct, frozen=True, tag="start", kw_only=True):
    """The upstream began an answer. Does not commit."""

    id: str
    model: str
    created: int | None = None
    usage: Usage | None = None


class TextDelta(Struct, frozen=True, tag="text"):
    """More text."""

    text: str
    choice: int = 0
    logprobs: Json = None
    extra: Mapping[str, Json] = NOTHING
    """Citations or annotations that came with the text, in the origin's form."""


class RefusalDelta(Struct, frozen=True, tag="refusal"):
    """More of a refusal written by the model."""

    text: str
    choice: int = 0


class ReasoningDelta(Struct, frozen=True, tag="reasoning", kw_only=True):
    """More thought. A delta with `signature` or `redacted` closes its block."""

    text: str = ""
    signature: str | None = None
    redacted: str | None = None
    id: str | None = None
    wire: str = ""
    choice: int = 0


class ToolDelta(Struct, frozen=True, tag="tool", kw_only=True):
    """More of a tool call. The first delta of a call carries id and name."""

    index: int
    """Position of the call in the answer, from 0 without gaps."""
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    signature: str | None = None
    choice: int = 0
    kind: Literal["function", "custom"] = "function"
    """`custom` = the arguments are free text."""


class NativeDelta(Struct, frozen=True, tag="native"):
    """A whole block that only one wire format knows."""

    block: Native
    choice: int = 0


class UsageUpdate(Struct, frozen=True, tag="usage"):
    """Counters so far; cumulative, the last one counts."""

    usage: Usage


class Finish(Struct, frozen=True, tag="finish", kw_only=True):
    """One choice is complete."""

    reason: FinishReason
    native: str | None = None
    stop_sequence: str | None = None
    choice: int = 0


Event = Start | TextDelta | RefusalDelta | ReasoningDelta | ToolDelta | NativeDelta | UsageUpdate | Finish
"""An upstream's in-stream error is not an event: decoders raise it as a `TurnoutError`."""

Content = TextDelta | RefusalDelta | ReasoningDelta | ToolDelta | NativeDelta
"""The events that commit an attempt."""
