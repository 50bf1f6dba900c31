"""A committed answer: the first content is in hand, no other model will be chosen. Floor 4.

Theory of operation.
1. A Reply exists only after commit; making one is what commits.
2. It is read exactly once, in one form: `response()` (complete), `events()` (canonical stream), or on the
   express track `body()` / `frames()` (the upstream's own bytes).
3. While it is read it keeps `usage`, `finish` and `failure` up to date, so that layers which unwind
   afterwards know what was consumed even when the reader stopped halfway.
4. A failure after commit is raised to the reader once and kept in `failure`.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator

from turnout.errors import TurnoutError
from turnout.types.chat import ChatResponse, FinishReason, Native, Part, Reasoning, Refusal, Text, ToolCall
from turnout.types.deployment import Deployment
from turnout.types.embed import EmbedResponse
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
from turnout.types.task import TaskResponse
from turnout.types.usage import NanoUsd, Usage

Push = Callable[[bytes], bool]


class Reply(ABC):
    """What the engine hands to the reader.

    Attributes:
        deployment: Who answers.
        express: Whether `body` / `frames` are available.
        usage: Counters so far; None until reported.
        finish: Why the answer ended; None until it did.
        done: Whether the answer was read to its clean end.
        failure: What broke the stream after commit.
        n_text: Characters of text passed on so far, for an estimate when usage never comes.
        cost_nusd: What it cost, where it was priced piece by piece; None = its usage is priced as one.
        estimated: Whether a part of `usage` was reckoned.
    """

    __slots__ = (
        "cost_nusd",
        "deployment",
        "done",
        "estimated",
        "express",
        "failure",
        "finish",
        "n_text",
        "upstream_id",
        "upstream_model",
        "usage",
        "warnings",
    )

    def __init__(self, deployment: Deployment, *, express: bool = False) -> None:
        self.deployment = deployment
        self.express = express
        self.usage: Usage | None = None
        self.finish: FinishReason | None = None
        self.done = False
        self.failure: TurnoutError | None = None
        self.n_text = 0
        self.upstream_id: str | None = None
        self.upstream_model: str | None = None
        self.warnings: tuple[str, ...] = ()
        self.cost_nusd: NanoUsd | None = None
        self.estimated = False

    @property
    def ended(self) -> bool:
        """Whether the bytes handed out so far hold the terminal event of the answer."""
        return self.done

    @abstractmethod
    async def response(self) -> ChatResponse:
        """Return the complete answer."""

    @abstractmethod
    def events(self) -> AsyncIterator[list[Event]]:
        """Yield batches of events as they arrive; the batch that committed comes first."""

    def frames(self) -> AsyncIterator[bytes]:
        """Yield the upstream's own frames (express track, streaming)."""
        raise NotImplementedError

    def straight(self, push: "Push") -> None:  # noqa: B027  most replies have nothing of the kind
        """Let frames that need no look go to `push` instead of `frames`, where that is possible.

        Args:
            push: Passes frames on at once; False = it did nothing, and `frames` is to yield them.
        """

    def body(self) -> bytes:
        """Return the upstream's own body (express track, not streaming)."""
        raise NotImplementedError

    async def vectors(self) -> EmbedResponse:
        """Return the vectors of an embeddings call."""
        raise NotImplementedError

    async def task(self) -> TaskResponse:
        """Return the complete answer of an operation; one that streams is read to its end."""
        raise NotImplementedError

    @property
    def content_type(self) -> str | None:
        """Content type of an answer that passes in pieces (`pieces`); None = it is complete (`task`)."""
        return None

    def pieces(self) -> AsyncIterator[bytes]:
        """Yield the bytes of an operation's answer as they arrive."""
        raise NotImplementedError

    def _saw(self, events: list[Event]) -> None:
        """Keep usage, finish and text length while events pass."""
        for event in events:
            match event:
                case TextDelta():
                    self.n_text += len(event.text)
                case UsageUpdate():
                    self.usage = event.usage
                case Finish():
                    if event.choice == 0:
                        self.finish = event.reason
                case Start():
                    self.usage = self.usage if event.usage is None else event.usage
                    self.upstream_model = event.model or None
                case _:
                    pass


class Relay(Reply):
    """A reply behind which another one is read: what layers wrap theirs in.

    An answer of an operation passes as it is: there is no text in it that a layer reads.
    """

    __slots__ = ()
    _reply: Reply

    async def task(self) -> TaskResponse:
        """Return the complete answer of an operation."""
        try:
            return await self._reply.task()
        finally:
            self._follow()

    @property
    def content_type(self) -> str | None:
        """Content type of an answer that passes in pieces."""
        return self._reply.content_type

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the bytes of an operation's answer as they arrive."""
        try:
            async for piece in self._reply.pieces():
                self._follow()
                yield piece
        finally:
            self._follow()

    @abstractmethod
    def _follow(self) -> None:
        """Copy the state of the reply that is really read."""


class WholeReply(Reply):
    """A complete answer, decoded. Also what cascades and fan-outs end in."""

    __slots__ = ("_response",)

    def __init__(self, deployment: Deployment, response: ChatResponse) -> None:
        super().__init__(deployment)
        self._response = response
        self.usage = response.usage
        self.upstream_id = response.id
        self.upstream_model = response.model or None
        if response.choices:
            self.finish = response.choices[0].finish
        if response.usage.output_text is None:
            self.n_text = sum(_n_text(part) for choice in response.choices for part in choice.parts)
        self.done = True

    async def response(self) -> ChatResponse:
        """Return the answer."""
        return self._response

    async def events(self) -> AsyncIterator[list[Event]]:
        """Yield the answer as one batch of events."""
        yield list(as_events(self._response))


class VectorsReply(Reply):
    """Vectors, decoded."""

    __slots__ = ("_response",)

    def __init__(self, deployment: Deployment, response: EmbedResponse) -> None:
        super().__init__(deployment)
        self._response = response
        self.usage = response.usage
        self.finish = "stop"
        self.done = True

    async def vectors(self) -> EmbedResponse:
        """Return the vectors."""
        return self._response

    async def response(self) -> ChatResponse:
        """Refuse: vectors are not a conversation."""
        raise TypeError("an embeddings reply has vectors(), not response()")

    def events(self) -> AsyncIterator[list[Event]]:
        """Refuse: vectors are not a stream."""
        raise TypeError("an embeddings reply has vectors(), not events()")


def _n_text(part: Part) -> int:
    match part:
        case Text() | Reasoning() | Refusal():
            return len(part.text)
        case ToolCall():
            return len(part.arguments)
        case _:
            return 0


def as_events(response: ChatResponse) -> Iterator[Event]:
    """Write a complete answer as the events a stream of it would have had."""
    yield Start(id=response.id, model=response.model, created=response.created)
    for at, choice in enumerate(response.choices):
        n_calls = 0
        for part in choice.parts:
            if isinstance(part, ToolCall):
                yield ToolDelta(
                    index=n_calls,
                    id=part.id,
                    name=part.name,
                    arguments=part.arguments,
                    kind=part.kind,
                    signature=part.signature,
                    choice=at,
                )
                n_calls += 1
            else:
                event = _delta(part, at)
                if event is not None:
                    yield event
        yield Finish(
            reason=choice.finish, native=choice.native_finish, stop_sequence=choice.stop_sequence, choice=at
        )
    yield UsageUpdate(response.usage)


def _delta(part: Part, choice: int) -> Event | None:
    match part:
        case Text():
            return TextDelta(part.text, choice, extra=part.extra)
        case Refusal():
            return RefusalDelta(part.text, choice)
        case Reasoning():
            return ReasoningDelta(
                text=part.text,
                signature=part.signature,
                redacted=part.redacted,
                id=part.id,
                wire=part.wire,
                choice=choice,
            )
        case Native():
            return NativeDelta(part, choice)
        case _:
            return None
