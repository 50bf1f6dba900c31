"""The executor: interprets a plan by making attempts. Floor 4.

Theory of operation. Every node of a plan becomes a context manager that yields a committed Reply.

1. Entering a node may fail with a `TurnoutError`; only the parent decides whether something else is tried.
2. Once a node was entered, its parents never try anything else: commit is final.
3. `Sequence` moves on only where the error's class allows it (`Row.fallback`), and skips nodes that
   cannot help: a window that is not larger after `context_length_exceeded`.
4. `Cascade` collects every step but the last, asks the acceptor, and leaves each step before it goes on.
5. `Hedge` and `Fanout` (race.py) run contenders in tasks of their own that each enter and leave there.
"""

from collections.abc import Mapping
from types import TracebackType
from typing import assert_never

from turnout import plan as plans
from turnout.engine.exchange import Call, CallHandler, Clock, Exchange, Request, Sleep
from turnout.engine.facts import with_facts
from turnout.engine.follow import FILTERED, REASONS, Step, conclude, final, is_as_safe, may_follow, whole
from turnout.engine.race import FanningOut, Hedging
from turnout.engine.reply import Reply, WholeReply
from turnout.errors import Fallback, TurnoutError
from turnout.types.chat import ChatRequest, ChatResponse
from turnout.types.deployment import Deployment


class Executor:
    """Opens plans."""

    __slots__ = ("_call", "_deployments", "clock", "sleep")

    def __init__(
        self, call: CallHandler, deployments: Mapping[str, Deployment], clock: Clock, sleep: Sleep
    ) -> None:
        self._call = call
        """The attempt ring around the attempt."""
        self._deployments = deployments
        self.clock = clock
        self.sleep = sleep

    def open(self, plan: plans.Plan, exchange: Exchange, request: Request) -> Step:
        """Return the plan as a context manager; entering it commits."""
        match plan:
            case plans.Try():
                return self.call(plan.deployment, exchange, request)
            case plans.Sequence():
                if len(plan.nodes) == 1:
                    return self.open(plan.nodes[0], exchange, request)
                return _Sequence(self, plan, exchange, request)
            case plans.Cascade():
                return _Cascade(self, plan, exchange, request)
            case plans.Hedge():
                return Hedging(self, plan, exchange, request)
            case plans.Fanout():
                return FanningOut(self, plan, exchange, request)
            case _:
                assert_never(plan)

    def call(
        self, deployment: str, exchange: Exchange, request: Request, *, repair: str | None = None
    ) -> Step:
        """Return one attempt inside its ring; `repair`: why the answer before it will not do."""
        call = Call(exchange, self._deployments[deployment], request, now=self.clock())
        call.repair = repair
        return self._call(call)

    async def collect(self, plan: plans.Plan, exchange: Exchange, request: Request) -> WholeReply:
        """Run a plan to its complete answer and leave it."""
        async with self.open(plan, exchange, whole(request)) as reply:
            return WholeReply(reply.deployment, await reply.response())

    async def answer(self, question: plans.Question | None, exchange: Exchange) -> ChatResponse | None:
        """Make the call a judge asked for; None when it asked for none or the call failed."""
        if question is None:
            return None
        try:
            async with self.call(question.to, exchange, whole(with_facts(question.request))) as reply:
                return await reply.response()
        except TurnoutError:
            exchange.warnings.append("judge_failed")
            return None

    def as_safe(self, refused: plans.Plan, following: plans.Plan) -> bool:
        """Tell whether a plan may follow one whose models refused to answer."""
        named = (
            [self._deployments[name] for name in plans.deployments(plan)] for plan in (refused, following)
        )
        return is_as_safe(*named)

    def window(self, plan: plans.Plan) -> float:
        """Return the largest context window a plan offers; unknown counts as unlimited."""
        sizes = (self._deployments[name].model.context_window for name in plans.deployments(plan))
        return max((float("inf") if size is None else size) for size in sizes)


class _Entered:
    """Holds the step that was entered, and leaves it."""

    __slots__ = ("_step",)

    def __init__(self) -> None:
        self._step: Step | None = None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._step is not None:
            await self._step.__aexit__(kind, error, trace)


class _Sequence(_Entered):
    __slots__ = ("_exchange", "_executor", "_plan", "_request")

    def __init__(
        self, executor: Executor, plan: plans.Sequence, exchange: Exchange, request: Request
    ) -> None:
        super().__init__()
        self._executor = executor
        self._plan = plan
        self._exchange = exchange
        self._request = request

    async def __aenter__(self) -> Reply:
        errors: list[TurnoutError] = []
        refused: list[plans.Plan] = []
        too_small = 0.0
        for node in self._plan.nodes:
            if too_small and self._executor.window(node) <= too_small:
                continue
            if not all(self._executor.as_safe(each, node) for each in refused):
                continue
            if errors:
                self._exchange.n_fallbacks += 1
                self._exchange.fallback_reason = REASONS.get(errors[-1].row.word, "fallback_error")
            step = self._executor.open(node, self._exchange, self._request)
            try:
                reply = await step.__aenter__()
            except TurnoutError as error:
                errors.append(error)
                if not may_follow(error, self._exchange):
                    break
                if error.row.word in FILTERED:
                    refused.append(node)
                if error.row.fallback is Fallback.LARGER_WINDOW:
                    too_small = max(too_small, self._executor.window(node))
            else:
                self._step = step
                return reply
        raise final(errors)


class _Cascade(_Entered):
    __slots__ = ("_exchange", "_executor", "_plan", "_refused", "_request")

    def __init__(self, executor: Executor, plan: plans.Cascade, exchange: Exchange, request: Request) -> None:
        super().__init__()
        self._executor = executor
        self._plan = plan
        self._exchange = exchange
        self._request = request
        self._refused: list[plans.Plan] = []
        """Steps whose models refused to answer."""

    async def __aenter__(self) -> Reply:
        errors: list[TurnoutError] = []
        rejected: WholeReply | None = None
        for node in self._plan.nodes[:-1]:
            reply = await self._collected(node, errors)
            if reply is not None and await self._accepted(reply):
                return reply
            rejected = rejected if reply is None else reply
        if not self._may(self._plan.nodes[-1]):
            if rejected is not None:
                return rejected
            raise final(errors)
        step = self._executor.open(self._plan.nodes[-1], self._exchange, self._request)
        try:
            last = await step.__aenter__()
        except TurnoutError as error:
            if rejected is None:
                raise conclude([*errors, error]) from error
            self._exchange.warnings.append("cascade_last_step_failed")
            return rejected
        if rejected is not None:
            self._exchange.fallback_reason = "escalated"
        self._step = step
        return last

    async def _collected(self, node: plans.Plan, errors: list[TurnoutError]) -> WholeReply | None:
        """Run a step to its answer; None where it failed, or may not follow one that refused."""
        if not self._may(node):
            return None
        try:
            return await self._executor.collect(node, self._exchange, self._request)
        except TurnoutError as error:
            if not may_follow(error, self._exchange):
                raise
            errors.append(error)
            if error.row.word in FILTERED:
                self._refused.append(node)
            return None

    def _may(self, node: plans.Plan) -> bool:
        return all(self._executor.as_safe(each, node) for each in self._refused)

    async def _accepted(self, reply: WholeReply) -> bool:
        request = self._request
        assert isinstance(request, ChatRequest)
        answer = await reply.response()
        judgement = await self._executor.answer(self._plan.accept.ask(request, answer), self._exchange)
        verdict = self._plan.accept.verdict(request, answer, judgement)
        self._exchange.note_verdict(reply.deployment.id, verdict)
        return verdict.accept
