"""What every layer must do, checked; and a scripted handler to put under one. Floor 6."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from types import TracebackType
from typing import TypeVar

from turnout.engine.exchange import Call, Exchange, Request
from turnout.engine.reply import Reply, WholeReply
from turnout.errors import InvalidRequest, ProviderFailed
from turnout.testing.clock import run
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest, ChatResponse, Choice, Facts, Message, Text
from turnout.types.deployment import Deployment, Model, Vendor
from turnout.types.usage import PicoUsd, Price, Usage

Subject = TypeVar("Subject", Exchange, Call)

ANSWER = ChatResponse(
    id="chatcmpl-1",
    model="small-1",
    choices=(Choice(parts=(Text("four"),)),),
    usage=Usage(input_uncached=10, output_text=1),
)
QUESTION = ChatRequest(
    model="acme/small", messages=(Message("user", (Text("two plus two?"),)),), facts=Facts(n_chars=13)
)
ACME = Deployment(
    id="acme/small",
    vendor=Vendor(name="acme", base_url="http://127.0.0.1:9/v1", codec="openai_chat"),
    model=Model(id="acme/small", price=Price(input=PicoUsd(100_000), output=PicoUsd(400_000))),
    upstream_model="small-1",
)


def make_exchange(request: Request = QUESTION, ask: Ask | None = None, *, started: float = 0.0) -> Exchange:
    """Return a request as it enters the ring."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Exchange(request, ask or Ask(request_id="req_1"), started=started, at=at, seed=7)


def make_call(exchange: Exchange | None = None, deployment: Deployment = ACME, *, now: float = 0.0) -> Call:
    """Return a call as the executor makes it."""
    exchange = exchange or make_exchange(started=now)
    return Call(exchange, deployment, exchange.request, now=now)


class Turn:
    """What a scripted handler does once: take time, then fail or answer; when left, fail or not."""

    __slots__ = ("error", "exit_error", "reply", "takes_s")

    def __init__(
        self,
        reply: Reply | None = None,
        *,
        error: BaseException | None = None,
        takes_s: float = 0.0,
        exit_error: BaseException | None = None,
    ) -> None:
        self.reply = reply or WholeReply(ACME, ANSWER)
        self.error = error
        self.takes_s = takes_s
        self.exit_error = exit_error


class Scripted:
    """A handler that follows a script, one turn per entering; the last turn repeats.

    Attributes:
        entered: What it was entered with, in order.
        left: The exception each leaving was told of, in order.
        cancelled: How often it was cancelled while entering.
    """

    def __init__(self, *turns: Turn) -> None:
        self._turns = turns or (Turn(),)
        self.entered: list[Exchange | Call] = []
        self.left: list[BaseException | None] = []
        self.cancelled = 0

    def __call__(self, subject: Exchange | Call) -> AbstractAsyncContextManager[Reply]:
        """Return the context manager of one turn."""
        return _Scripting(self, subject)

    def turn(self) -> Turn:
        """Return the turn that is being played."""
        return self._turns[min(len(self.entered), len(self._turns)) - 1]


class _Scripting:
    def __init__(self, script: Scripted, subject: Exchange | Call) -> None:
        self._script = script
        self._subject = subject

    async def __aenter__(self) -> Reply:
        script = self._script
        script.entered.append(self._subject)
        turn = self._turn = script.turn()
        if turn.takes_s:
            try:
                await asyncio.sleep(turn.takes_s)
            except asyncio.CancelledError:
                script.cancelled += 1
                raise
        if turn.error is not None:
            raise turn.error
        if isinstance(self._subject, Call):
            self._subject.committed_at = asyncio.get_running_loop().time()
        return turn.reply

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._script.left.append(error)
        if self._turn.exit_error is not None:
            raise self._turn.exit_error


Wrap = Callable[
    [Callable[[Subject], AbstractAsyncContextManager[Reply]]],
    Callable[[Subject], AbstractAsyncContextManager[Reply]],
]


def check_layer(wrap: "Wrap[Subject]", subject: Callable[[], Subject]) -> None:
    """Check that a layer keeps the rules of layers/base.py.

    Args:
        wrap: The layer. One object is used for everything, so that what is not given back shows: let it
            allow one request at a time, if it limits anything.
        subject: Makes what it is entered with.

    Raises:
        AssertionError: naming the rule that is broken.
        DeadlockError: if something acquired was not given back.
    """
    for check in (
        _passes_the_reply,
        _passes_a_refusal_on,
        _leaves_once_with_the_same_error,
        _never_enters_again_after_commit,
        _lets_cancellation_through_while_entering,
        _lets_cancellation_through_while_reading,
        _survives_a_failure_while_leaving,
    ):
        run(check(wrap, subject))
        run(_passes_the_reply(wrap, subject))


async def _escaping(
    wrap: "Wrap[Subject]", script: Scripted, subject: Subject, *, body: BaseException | None = None
) -> BaseException | None:
    """Enter and leave once, raising `body` between; return what came out."""
    try:
        async with wrap(script)(subject):
            if body is not None:
                raise body  # noqa: TRY301  what escapes is the point
    except BaseException as error:  # noqa: BLE001  handed to the assertions
        return error
    return None


async def _passes_the_reply(wrap: "Wrap[Subject]", subject: Callable[[], Subject]) -> None:
    script = Scripted()
    made = subject()
    async with wrap(script)(made) as reply:
        assert script.entered == [made], "a layer enters the inner handler once, with what it was given"
        answer = await reply.response()
    assert answer is ANSWER, "a layer hands the inner reply on"
    assert script.left == [None], "a layer leaves the inner handler exactly once"


async def _passes_a_refusal_on(wrap: "Wrap[Subject]", subject: Callable[[], Subject]) -> None:
    for error in (InvalidRequest("no"), RuntimeError("defect")):
        script = Scripted(Turn(error=error))
        escaped = await _escaping(wrap, script, subject())
        assert escaped is error, "a failure of the inner handler goes on as it is"
        assert script.left == [], "a handler that was not entered is not left"


async def _leaves_once_with_the_same_error(wrap: "Wrap[Subject]", subject: Callable[[], Subject]) -> None:
    for error in (ValueError("reader"), asyncio.CancelledError(), GeneratorExit()):
        script = Scripted()
        escaped = await _escaping(wrap, script, subject(), body=error)
        assert escaped is error, "the reader's error goes on as it is"
        assert script.left == [error], "the inner handler is left exactly once, with the reader's error"


async def _never_enters_again_after_commit(wrap: "Wrap[Subject]", subject: Callable[[], Subject]) -> None:
    script = Scripted()
    error = ProviderFailed("after commit")
    escaped = await _escaping(wrap, script, subject(), body=error)
    assert escaped is error, "a failure after commit goes on as it is"
    assert len(script.entered) == 1, "a layer never enters the inner handler again after commit"
    assert script.left == [error], "the inner handler is left exactly once, with the reader's error"


async def _lets_cancellation_through_while_entering(
    wrap: "Wrap[Subject]", subject: Callable[[], Subject]
) -> None:
    script = Scripted(Turn(takes_s=1.0))
    await _cancelled(_open(wrap, script, subject()))
    assert script.cancelled == 1, "cancellation reaches the inner handler while it enters"
    assert script.left == [], "a handler that was not entered is not left"


async def _lets_cancellation_through_while_reading(
    wrap: "Wrap[Subject]", subject: Callable[[], Subject]
) -> None:
    script = Scripted()
    await _cancelled(_open(wrap, script, subject()))
    assert [type(error) for error in script.left] == [asyncio.CancelledError], (
        "the inner handler is left exactly once, with the cancellation"
    )


async def _survives_a_failure_while_leaving(wrap: "Wrap[Subject]", subject: Callable[[], Subject]) -> None:
    error = RuntimeError("while leaving")
    escaped = await _escaping(wrap, Scripted(Turn(exit_error=error)), subject())
    assert escaped is error, "a failure of leaving goes on as it is"


async def _open(wrap: "Wrap[Subject]", script: Scripted, subject: Subject) -> None:
    async with wrap(script)(subject):
        await asyncio.sleep(1.0)


async def _cancelled(opening: Coroutine[None, None, None]) -> None:
    """Cancel after half a second, in the middle of whatever takes a whole one."""
    task = asyncio.create_task(opening)
    await asyncio.sleep(0.5)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled(), "a layer does not swallow cancellation"
