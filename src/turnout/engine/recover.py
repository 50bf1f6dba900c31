"""What may follow a stream that broke after commit: `stream_recovery: continue` (WIRE.md 2.6). Floor 4.

Theory of operation. The reply of a plan is wrapped; when its stream breaks, what was said so far is handed
to the rest of the plan as the beginning of the assistant's own turn, and the new answer's text follows in the
same stream.

1. Only plain text can be continued: once a tool call, signed thinking or a refusal has begun, the break is
   reported as it is. So is a second break.
2. The express track is not taken on such a route: a break can only be mended in events.
3. The reader sees one stream; usage is the last model's, and both attempts are in the Record. The warning
   `stream_continued` says what happened.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType

import msgspec

from turnout import plan as plans
from turnout.engine.collect import Collector
from turnout.engine.exchange import Exchange
from turnout.engine.execute import Executor
from turnout.engine.follow import Step
from turnout.engine.reply import Reply
from turnout.errors import StreamInterrupted, TimeoutIdle, TurnoutError
from turnout.types.chat import ChatRequest, ChatResponse, Message, Text
from turnout.types.event import Event, Finish, Start, TextDelta, UsageUpdate

MENDABLE = (StreamInterrupted, TimeoutIdle)
PLAIN = (Start, TextDelta, UsageUpdate, Finish)


class Recovering:
    """A plan whose stream is continued by the plan's other deployments when it breaks."""

    __slots__ = ("_exchange", "_executor", "_plan", "_step")

    def __init__(self, executor: Executor, plan: plans.Plan, exchange: Exchange) -> None:
        self._executor = executor
        self._plan = plan
        self._exchange = exchange
        self._step: Step | None = None

    async def __aenter__(self) -> Reply:
        step = self._executor.open(self._plan, self._exchange, self._exchange.request)
        reply = await step.__aenter__()
        self._step = step
        return ContinuedReply(self, reply)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._step is not None:
            await self._step.__aexit__(kind, error, trace)

    async def follow(self, broken: Reply, said: str, error: TurnoutError) -> Reply:
        """Leave what broke, enter the rest of the plan with what was said. Raises `error` if none is left."""
        request = self._exchange.request
        left = tuple(name for name in plans.deployments(self._plan) if name != broken.deployment.id)
        if not left or not isinstance(request, ChatRequest):
            raise error
        step, self._step = self._step, None
        if step is not None:
            await step.__aexit__(type(error), error, error.__traceback__)
        turns = (*request.messages, Message("assistant", (Text(said),)))
        rest = plans.Sequence(tuple(plans.Try(name) for name in left))
        following = self._executor.open(
            rest, self._exchange, msgspec.structs.replace(request, messages=turns)
        )
        try:
            reply = await following.__aenter__()
        except TurnoutError:
            raise error from None
        self._step = following
        self._exchange.n_fallbacks += 1
        self._exchange.fallback_reason = "fallback_error"
        self._exchange.warnings.append("stream_continued")
        return reply


class ContinuedReply(Reply):
    """The stream of one model, continued by another when it breaks."""

    __slots__ = ("_first", "_plan")

    def __init__(self, plan: Recovering, first: Reply) -> None:
        super().__init__(first.deployment)
        self._plan = plan
        self._first = first

    async def events(self) -> AsyncIterator[list[Event]]:
        """Yield batches of events of the first model and, after a break, of the one that continues."""
        said: list[str] = []
        is_plain = True
        try:
            async for events in self._first.events():
                said += [event.text for event in events if isinstance(event, TextDelta)]
                is_plain = is_plain and all(isinstance(event, PLAIN) for event in events)
                self._saw(events)
                yield events
        except MENDABLE as error:
            if not (is_plain and said):
                self.failure = error
                raise
            following = await self._follow("".join(said), error)
            async for events in self._rest(following):
                yield events
        self.done = True

    async def _follow(self, said: str, error: TurnoutError) -> Reply:
        try:
            return await self._plan.follow(self._first, said, error)
        except TurnoutError as failure:
            self.failure = failure
            raise

    async def _rest(self, following: Reply) -> AsyncIterator[list[Event]]:
        self.deployment = following.deployment
        try:
            async for events in following.events():
                later: list[Event] = [event for event in events if not isinstance(event, Start)]
                self._saw(later)
                if later:
                    yield later
        except TurnoutError as error:
            self.failure = error
            raise

    async def response(self) -> ChatResponse:
        """Read the stream to its end and return the complete answer."""
        collector = Collector()
        async for events in self.events():
            collector.add(events)
        return collector.response()


def recovers(exchange: Exchange) -> bool:
    """Tell whether this request's stream is to be continued when it breaks."""
    request = exchange.request
    return (
        exchange.policy.stream_recovery == "continue" and isinstance(request, ChatRequest) and request.stream
    )


def open_recovering(
    executor: Executor, plan: plans.Plan, exchange: Exchange
) -> AbstractAsyncContextManager[Reply]:
    """Return the plan with recovery; takes the request off the express track."""
    request = exchange.request
    assert isinstance(request, ChatRequest)
    exchange.request = msgspec.structs.replace(request)
    return Recovering(executor, plan, exchange)
