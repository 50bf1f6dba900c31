"""The engine: one request in, one committed reply out. Floor 4.

Verbs: `open` serves, `select` decides without sending, `recommend` ranks, `registry`, `serves` and `health`
tell what there is and how it does, `observe` takes in what happened elsewhere, `apply` puts another
configuration in force.

A request keeps the `Running` configuration it began with: a reload swaps one reference.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from random import Random
from types import TracebackType

from turnout.engine.attempt import Upstreams
from turnout.engine.beside import Beside, Threads
from turnout.engine.exchange import CallHandler, CallLayer, Clock, Exchange, Handler, Layer, Request
from turnout.engine.execute import Executor
from turnout.engine.facts import with_facts
from turnout.engine.follow import Step
from turnout.engine.pace import Remembered
from turnout.engine.recommend import Wanted, narrowed, recommend
from turnout.engine.recover import open_recovering, recovers
from turnout.engine.reply import Reply
from turnout.engine.route import Router
from turnout.engine.session import in_turn
from turnout.engine.snapshot import Snapshot
from turnout.engine.structured import open_shaped
from turnout.errors import TurnoutError
from turnout.stores.live import Fleet
from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest, ChatResponse
from turnout.types.deployment import Deployment, Stats
from turnout.types.embed import EmbedRequest, EmbedResponse
from turnout.types.recommendation import Recommendation
from turnout.types.record import Attempt, Decision

NOTHING_REMEMBERED = Remembered()


def compose(call_ring: Sequence[CallLayer], innermost: CallHandler) -> CallHandler:
    """Return the handler with the layers of an attempt around it, outermost first."""
    call = innermost
    for layer in reversed(call_ring):
        call = layer(call)
    return call


class Running:
    """A snapshot with its rings composed: what requests are served with."""

    __slots__ = ("_clock", "beside", "handler", "router", "snapshot")

    def __init__(
        self,
        snapshot: Snapshot,
        upstreams: Upstreams,
        fleet: Fleet,
        request_ring: Sequence[Layer],
        call_ring: Sequence[CallLayer],
        remembered: Remembered = NOTHING_REMEMBERED,
    ) -> None:
        call = compose(call_ring, upstreams.open)
        clock = upstreams.clock
        executor = Executor(call, snapshot.deployments, clock, asyncio.sleep)
        self.snapshot = snapshot
        self.router = Router(snapshot, fleet.reader(clock), remembered)
        self._clock = clock
        self.beside: Beside | None = None
        """Computes signals that a decision waits for; None where no route has any."""
        if any(route.slow for route in snapshot.routes.values()):
            self.beside = Beside(remembered.threads or Threads(), self._serve, snapshot.signal_deadline_s)
        handler: Handler = _Core(self.router, executor, self.beside)
        for layer in reversed(request_ring):
            handler = layer(handler)
        self.handler = handler

    async def _serve(self, request: EmbedRequest | ChatRequest, ask: Ask) -> EmbedResponse | ChatResponse:
        """Serve a call that a decision makes: guarded, measured, priced and recorded as any."""
        if isinstance(request, ChatRequest):
            request = with_facts(request)
        exchange = Exchange(request, ask, started=self._clock(), at=datetime.now(UTC), seed=0)
        async with Opened(self.handler, exchange) as reply:
            return await (reply.vectors() if isinstance(request, EmbedRequest) else reply.response())


class _Core:
    """Innermost handler of the request ring: decide, then execute."""

    __slots__ = ("_beside", "_executor", "_router")

    def __init__(self, router: Router, executor: Executor, beside: Beside | None) -> None:
        self._router = router
        self._executor = executor
        self._beside = beside

    def __call__(self, exchange: Exchange) -> AbstractAsyncContextManager[Reply]:
        return _Routed(self._router, self._executor, self._beside, exchange)


class _Routed:
    __slots__ = ("_beside", "_exchange", "_executor", "_router", "_step")

    def __init__(self, router: Router, executor: Executor, beside: Beside | None, exchange: Exchange) -> None:
        self._router = router
        self._beside = beside
        self._executor = executor
        self._exchange = exchange
        self._step: Step | None = None

    async def __aenter__(self) -> Reply:
        exchange = self._exchange
        if self._beside is not None:
            await self._router.sense(exchange, self._beside)
        routed = self._router.decide(exchange)
        plan = routed.choice.plan
        if exchange.request.facts.realtime:
            plan = in_turn(plan)
        shaped = None if exchange.policy.structured is None else open_shaped(self._executor, routed, exchange)
        if shaped is not None:
            step = shaped
        elif recovers(exchange):
            step = open_recovering(self._executor, plan, exchange)
        else:
            step = self._executor.open(plan, exchange, exchange.request)
        reply = await step.__aenter__()
        self._step = step
        exchange.reply = reply
        if exchange.ask.session is not None:
            self._router.remember(exchange.ask, reply.deployment.id, routed.context)
        return reply

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._step is not None:
            await self._step.__aexit__(kind, error, trace)
            if error is None and self._exchange.reply is not None:
                self._router.learn(self._exchange, self._exchange.reply)


class Opened:
    """One request being served: enter for the reply, leave when it has been read."""

    __slots__ = ("_step", "exchange")

    def __init__(self, handler: Handler, exchange: Exchange) -> None:
        self.exchange = exchange
        self._step = handler(exchange)

    async def __aenter__(self) -> Reply:
        try:
            return await self._step.__aenter__()
        except TurnoutError as error:
            error.attempts = tuple(
                (a.n, a.model, a.error or "", a.status or 0) for a in self.exchange.attempts
            )
            raise

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Coroutine[object, object, bool | None]:
        return self._step.__aexit__(kind, error, trace)


class Engine:
    """Serves requests under the configuration in force."""

    __slots__ = ("_compile", "_running", "_seeds", "clock", "fleet")

    def __init__(
        self,
        running: Callable[[Snapshot], Running],
        snapshot: Snapshot,
        fleet: Fleet,
        *,
        clock: Clock,
        seed: int | None = None,
    ) -> None:
        self._compile = running
        self._running = running(snapshot)
        self._seeds = Random(seed)  # noqa: S311  balancing, not secrecy
        self.fleet = fleet
        self.clock = clock

    @property
    def snapshot(self) -> Snapshot:
        """The configuration in force."""
        return self._running.snapshot

    def open(self, request: Request, ask: Ask) -> Opened:
        """Serve a request. Entering returns the committed reply; leaving settles and records.

        Raises any `TurnoutError` on entering; while the reply is read only `StreamInterrupted` and time-outs.
        """
        return Opened(self._running.handler, self.exchange(request, ask))

    def exchange(self, request: Request, ask: Ask, at: datetime | None = None) -> Exchange:
        """Return a new exchange, started now; `at` replaces the instant of its arrival."""
        if isinstance(request, ChatRequest) and not request.facts.n_messages:
            request = with_facts(request)
        return Exchange(
            request, ask, started=self.clock(), at=at or datetime.now(UTC), seed=self._seeds.getrandbits(32)
        )

    async def sensed(self, request: Request, ask: Ask, *, at: datetime | None = None) -> Ask:
        """Return the ask with the signals that a decision must wait for; as it is where there are none.

        For `select` and `recommend` on an event loop: they would compute them in its thread.
        """
        running = self._running
        if running.beside is None:
            return ask
        exchange = self.exchange(request, ask, at)
        await running.router.sense(exchange, running.beside)
        return exchange.ask

    def select(self, request: Request, ask: Ask, *, at: datetime | None = None) -> Decision:
        """Decide as `open` would on the same snapshot, now or at another instant, and send nothing."""
        exchange = self.exchange(request, ask, at)
        exchange.explain_only = True
        return self._running.router.decide(exchange).decision(exchange)

    def recommend(self, request: Request, ask: Ask, wanted: Wanted) -> Recommendation:
        """Rank the models that could serve a request; nothing is sent."""
        exchange = self.exchange(request, narrowed(ask, wanted.constraints))
        return recommend(self._running.router, exchange, wanted)

    def registry(self) -> tuple[Deployment, ...]:
        """Return every configured deployment."""
        return tuple(self._running.snapshot.deployments.values())

    def serves(self, names: Iterable[str]) -> bool:
        """Tell whether every one of these names is configured."""
        known = self._running.snapshot
        return all(name in known.models or name in known.bare or name in known.deployments for name in names)

    def health(self) -> Mapping[str, Stats]:
        """Return the live numbers of every configured deployment, by id."""
        now = self.clock()
        return {name: self.fleet.stats(name, now) for name in self._running.snapshot.deployments}

    def observe(self, attempt: Attempt) -> None:
        """Take in a call made elsewhere, as if the engine had made it: it moves health and latency."""
        self.fleet.observe(attempt, self.clock())

    def apply(self, snapshot: Snapshot) -> None:
        """Put another configuration in force for requests that start from now on."""
        self._running = self._compile(snapshot)
        self.fleet.keep(snapshot.deployments)
