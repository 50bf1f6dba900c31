"""Hedge and Fanout: several attempts under way at once. Floor 4.

Theory of operation. A context manager must be left in the task that entered it. So every contender is a
task that enters its step, hands the reply over, waits until it is told how the reader left, and then
leaves the step itself.

1. `Contender.reply` is done when its step was entered or failed to be.
2. A loser is cancelled while it enters, or told to leave when it had already entered; either way the
   race waits until it is gone, so nothing outlives the request.
3. If the racing task is cancelled, every contender is cancelled and awaited before the cancellation goes on.
4. At most one reply leaves a race.
"""

import asyncio
from types import TracebackType

from turnout import plan as plans
from turnout.engine.exchange import Exchange, Request
from turnout.engine.follow import FILTERED, Opener, Step, conclude, may_follow
from turnout.engine.reply import Reply, WholeReply
from turnout.errors import TurnoutError
from turnout.types.chat import ChatRequest, ChatResponse

LOST = "lost"
"""Message of the cancellation that tells a contender that another was faster (read by the measure layer)."""


class Contender:
    """A step run in a task of its own."""

    __slots__ = ("_leave", "_task", "reply")

    def __init__(self, step: Step) -> None:
        loop = asyncio.get_running_loop()
        self.reply: asyncio.Future[Reply] = loop.create_future()
        self._leave: asyncio.Future[BaseException | None] = loop.create_future()
        self._task = loop.create_task(self._run(step))

    async def _run(self, step: Step) -> None:
        try:
            reply = await step.__aenter__()
        except TurnoutError as error:
            self.reply.set_exception(error)
            return
        except asyncio.CancelledError:
            self.reply.cancel()
            raise
        except BaseException as defect:
            self.reply.set_exception(defect)
            raise
        if not self.reply.done():
            self.reply.set_result(reply)
        try:
            left_with = await self._leave
        except asyncio.CancelledError as cancelled:
            await step.__aexit__(type(cancelled), cancelled, cancelled.__traceback__)
            raise
        await step.__aexit__(None if left_with is None else type(left_with), left_with, None)

    async def finish(self, error: BaseException | None) -> None:
        """Leave the step as the reader left it, and wait until that is done."""
        if not self._leave.done():
            self._leave.set_result(error)
        await self._task

    async def stop(self, why: str | None = None) -> None:
        """Abandon the step, and wait until it is gone. `why` tells the measure layer who lost a race."""
        self._task.cancel(why)
        await asyncio.wait([self._task])
        if self.reply.done() and not self.reply.cancelled():
            self.reply.exception()  # looked at, so that asyncio does not report it as forgotten
        if not self._task.cancelled():
            self._task.exception()


async def stop_all(contenders: list[Contender], why: str | None = None) -> None:
    """Abandon several contenders."""
    for contender in contenders:
        await contender.stop(why)


class Hedging:
    """The first of two plans to commit wins; the second starts after a delay, or when the first fails."""

    __slots__ = ("_exchange", "_executor", "_plan", "_request", "_winner")

    def __init__(self, executor: Opener, plan: plans.Hedge, exchange: Exchange, request: Request) -> None:
        self._executor = executor
        self._plan = plan
        self._exchange = exchange
        self._request = request
        self._winner: Contender | None = None

    async def __aenter__(self) -> Reply:
        running: list[Contender] = []
        try:
            return await self._race(running)
        except BaseException:
            await stop_all(running)
            raise

    async def _race(self, running: list[Contender]) -> Reply:
        errors: list[TurnoutError] = []
        first = self._start(self._plan.first, running)
        await asyncio.wait([first.reply], timeout=self._plan.delay_s)
        allowance = self._exchange.allowance
        if not first.reply.done() and allowance is not None and not allowance.take():
            await asyncio.wait([first.reply])
        if first.reply.done():
            try:
                return await self._won(first, running)
            except TurnoutError as error:
                if not self._may_follow(error, self._plan.first):
                    raise
                errors.append(error)
                running.remove(first)
                await first.stop()
                self._exchange.n_fallbacks += 1
                self._exchange.fallback_reason = "fallback_error"
        second = self._start(self._plan.second, running)
        while running:
            await asyncio.wait([c.reply for c in running], return_when=asyncio.FIRST_COMPLETED)
            contender = next(c for c in running if c.reply.done())
            try:
                return await self._won(contender, running)
            except TurnoutError as error:
                errors.append(error)
                running.remove(contender)
                await contender.stop()
                plan = self._plan.second if contender is second else self._plan.first
                if error.row.word in FILTERED and not self._may_follow(error, plan):
                    raise
        raise conclude(errors)

    def _may_follow(self, error: TurnoutError, failed: plans.Plan) -> bool:
        """Tell whether the other contender may answer after this one's failure."""
        if error.row.word in FILTERED:
            other = self._plan.second if failed is self._plan.first else self._plan.first
            return may_follow(error, self._exchange) and self._executor.as_safe(failed, other)
        return may_follow(error, self._exchange)

    def _start(self, plan: plans.Plan, running: list[Contender]) -> Contender:
        contender = Contender(self._executor.open(plan, self._exchange, self._request))
        running.append(contender)
        return contender

    async def _won(self, contender: Contender, running: list[Contender]) -> Reply:
        reply = contender.reply.result()
        self._winner = contender
        running.remove(contender)
        try:
            await stop_all(running, LOST)
        except BaseException:
            running.append(contender)
            raise
        running.clear()
        return reply

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._winner is not None:
            await self._winner.finish(error)


class FanningOut:
    """All plans at once; what they answer is reduced to one."""

    __slots__ = ("_exchange", "_executor", "_plan", "_request")

    def __init__(self, executor: Opener, plan: plans.Fanout, exchange: Exchange, request: Request) -> None:
        self._executor = executor
        self._plan = plan
        self._exchange = exchange
        self._request = request

    async def __aenter__(self) -> Reply:
        tasks = [
            asyncio.ensure_future(self._executor.collect(node, self._exchange, self._request))
            for node in self._plan.nodes
        ]
        try:
            replies = await self._gather(tasks)
        finally:
            for task in tasks:
                task.cancel(LOST)
            await asyncio.wait(tasks)
            for task in tasks:
                if not task.cancelled():
                    task.exception()
        return await self._reduce(replies)

    async def _gather(self, tasks: list["asyncio.Task[WholeReply]"]) -> list[WholeReply]:
        """Wait for all, or until the reducer says that the rest cannot change the result."""
        request = self._request
        assert isinstance(request, ChatRequest)
        left = set(tasks)
        while left:
            done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                failure = task.exception()
                if failure is not None and not isinstance(failure, TurnoutError):
                    raise failure
            replies = [task.result() for task in tasks if _answered(task)]
            if left and replies:
                answers = [await reply.response() for reply in replies]
                if self._plan.reduce.decided(request, answers, len(left)):
                    break
        replies = [task.result() for task in self._as_safe(tasks) if _answered(task)]
        if not replies:
            errors = [task.exception() for task in tasks if task.done()]
            raise conclude([error for error in errors if isinstance(error, TurnoutError)])
        return replies

    def _as_safe(self, tasks: list["asyncio.Task[WholeReply]"]) -> list["asyncio.Task[WholeReply]"]:
        """Return the tasks without those of models less safe than one that refused to answer."""
        refused = [
            node for node, task in zip(self._plan.nodes, tasks, strict=True) if _word(task) in FILTERED
        ]
        return [
            task
            for node, task in zip(self._plan.nodes, tasks, strict=True)
            if all(self._executor.as_safe(each, node) for each in refused)
        ]

    async def _reduce(self, replies: list[WholeReply]) -> Reply:
        request = self._request
        assert isinstance(request, ChatRequest)
        answers: list[ChatResponse] = [await reply.response() for reply in replies]
        question = self._plan.reduce.ask(request, answers)
        judgement = await self._executor.answer(question, self._exchange)
        reduction = self._plan.reduce.reduce(request, answers, judgement)
        winner = replies[reduction.winner if reduction.winner is not None else 0]
        self._exchange.note_reduction(reduction)
        return WholeReply(winner.deployment, reduction.answer)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held: every step was left before the answers were reduced."""


def _word(task: "asyncio.Task[WholeReply]") -> str:
    """Return the class word of what a task failed with."""
    failure = task.exception() if task.done() and not task.cancelled() else None
    return failure.row.word if isinstance(failure, TurnoutError) else ""


def _answered(task: "asyncio.Task[WholeReply]") -> bool:
    return task.done() and not task.cancelled() and task.exception() is None
