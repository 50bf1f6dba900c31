"""A stream of events made into one complete answer. Floor 4."""

from collections.abc import Iterable

from turnout.types.chat import ChatResponse, Choice, FinishReason, Part, Reasoning, Refusal, Text, ToolCall
from turnout.types.event import (
    Event,
    Finish,
    NativeDelta,
    ReasoningDelta,
    RefusalDelta,
    Start,
    TextDelta,
    ToolDelta,
    UsageUpdate,
)
from turnout.types.usage import Usage


class _Open:
    """A choice being put together. Adjacent deltas of one kind are one part."""

    __slots__ = ("calls", "finish", "native", "parts", "stop_sequence", "words")

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.words: list[str] = []
        self.calls: dict[int, int] = {}
        self.finish: FinishReason = "stop"
        self.native: str | None = None
        self.stop_sequence: str | None = None

    def text(self, delta: TextDelta) -> None:
        last = self.parts[-1] if self.parts else None
        if isinstance(last, Text) and not delta.extra:
            self.words.append(delta.text)
            return
        self.flush()
        self.parts.append(Text("", delta.extra))
        self.words = [delta.text]

    def flush(self) -> None:
        if self.words and isinstance(self.parts[-1], Text):
            self.parts[-1] = Text("".join(self.words), self.parts[-1].extra)
        self.words = []

    def refusal(self, delta: RefusalDelta) -> None:
        self.flush()
        last = self.parts[-1] if self.parts else None
        if isinstance(last, Refusal):
            self.parts[-1] = Refusal(last.text + delta.text)
        else:
            self.parts.append(Refusal(delta.text))

    def reasoning(self, delta: ReasoningDelta) -> None:
        self.flush()
        last = self.parts[-1] if self.parts else None
        closed = isinstance(last, Reasoning) and (last.signature is not None or last.redacted is not None)
        if isinstance(last, Reasoning) and not closed and delta.redacted is None:
            self.parts[-1] = Reasoning(
                text=last.text + delta.text,
                signature=delta.signature,
                id=delta.id or last.id,
                wire=delta.wire or last.wire,
            )
            return
        self.parts.append(
            Reasoning(
                text=delta.text,
                signature=delta.signature,
                redacted=delta.redacted,
                id=delta.id,
                wire=delta.wire,
            )
        )

    def tool(self, delta: ToolDelta) -> None:
        self.flush()
        at = self.calls.get(delta.index)
        if at is None:
            self.calls[delta.index] = len(self.parts)
            self.parts.append(
                ToolCall(
                    id=delta.id or "",
                    name=delta.name or "",
                    arguments=delta.arguments,
                    kind=delta.kind,
                    signature=delta.signature,
                )
            )
            return
        last = self.parts[at]
        assert isinstance(last, ToolCall)
        self.parts[at] = ToolCall(
            id=last.id or delta.id or "",
            name=last.name or delta.name or "",
            arguments=last.arguments + delta.arguments,
            kind=last.kind,
            signature=delta.signature or last.signature,
        )

    def close(self) -> Choice:
        self.flush()
        return Choice(
            parts=tuple(self.parts),
            finish=self.finish,
            native_finish=self.native,
            stop_sequence=self.stop_sequence,
        )


class Collector:
    """Takes events, gives the answer they make."""

    __slots__ = ("_choices", "_start", "_usage")

    def __init__(self) -> None:
        self._choices: dict[int, _Open] = {}
        self._start = Start(id="", model="")
        self._usage = Usage()

    def add(self, events: Iterable[Event]) -> None:
        """Take the next events of the stream."""
        for event in events:
            match event:
                case Start():
                    self._start = event
                case UsageUpdate():
                    self._usage = event.usage
                case TextDelta():
                    self._of(event.choice).text(event)
                case ToolDelta():
                    self._of(event.choice).tool(event)
                case ReasoningDelta():
                    self._of(event.choice).reasoning(event)
                case RefusalDelta():
                    self._of(event.choice).refusal(event)
                case NativeDelta():
                    choice = self._of(event.choice)
                    choice.flush()
                    choice.parts.append(event.block)
                case Finish():
                    choice = self._of(event.choice)
                    choice.finish = event.reason
                    choice.native = event.native
                    choice.stop_sequence = event.stop_sequence

    def response(self) -> ChatResponse:
        """Return what has been collected."""
        return ChatResponse(
            id=self._start.id,
            model=self._start.model,
            created=self._start.created,
            choices=tuple(self._choices[at].close() for at in sorted(self._choices)),
            usage=self._usage,
        )

    def _of(self, index: int) -> _Open:
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Open()
        return choice
