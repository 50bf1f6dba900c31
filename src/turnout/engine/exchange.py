"""One request on its way through the stations, and one call inside it. Floor 4.

`Exchange` is the only mutable object of a request. Each layer and station writes the fields named
after it and reads the rest. `Call` is one attempt at one deployment: hedges and fan-outs have several
under way at once, so what belongs to an attempt lives there and not on the Exchange.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from random import Random
from typing import TYPE_CHECKING

from turnout.types.ask import Ask
from turnout.types.chat import ChatRequest
from turnout.types.deployment import Deployment
from turnout.types.embed import EmbedRequest
from turnout.types.http import Timeouts
from turnout.types.record import Attempt, Decision, Outcome

if TYPE_CHECKING:
    from turnout.engine.reply import Reply

Request = ChatRequest | EmbedRequest


class Exchange:
    """Everything known about one request while it is served."""

    __slots__ = (
        "ask",
        "at",
        "attempts",
        "deadline_at",
        "decision",
        "decision_of",
        "dropped",
        "explain_only",
        "n_calls",
        "n_fallbacks",
        "original",
        "outcome",
        "outcome_error",
        "reply",
        "request",
        "rng",
        "route",
        "started",
        "upstream_s",
        "warnings",
    )

    def __init__(self, request: Request, ask: Ask, *, started: float, at: datetime, rng: Random) -> None:
        self.request = request
        """What will be answered; a layer that rewrites it (guard, compression) replaces it."""
        self.original = request
        """As it came. `request is original` is the express track's condition."""
        self.ask = ask
        self.started = started
        """Clock reading of the event loop at arrival."""
        self.at = at
        self.rng = rng
        self.deadline_at: float | None = None
        """Written by the deadline layer: clock reading after which the request fails."""
        self.route = ""
        self.decision: Decision | None = None
        self.decision_of: Callable[[], Decision] | None = None
        """Writes the decision in full; called once by whoever needs it (journal, explain)."""
        self.attempts: list[Attempt] = []
        """Written by the measure layer, in the order calls ended."""
        self.n_calls = 0
        self.n_fallbacks = 0
        self.reply: Reply | None = None
        """Written by the engine at commit."""
        self.outcome: Outcome | None = None
        self.outcome_error: str | None = None
        self.upstream_s = 0.0
        """Written by the measure layer: seconds spent waiting for upstreams."""
        self.dropped: tuple[str, ...] = ()
        self.warnings: list[str] = []
        self.explain_only = False

    def full_decision(self) -> Decision | None:
        """Return the Decision, writing it on first need."""
        if self.decision is None and self.decision_of is not None:
            self.decision = self.decision_of()
        return self.decision


class Call:
    """One attempt at one deployment, under way."""

    __slots__ = ("committed_at", "deployment", "exchange", "n", "request", "retry_of", "started", "status", "timeouts", "verdict")

    def __init__(self, exchange: Exchange, deployment: Deployment, request: Request, *, now: float) -> None:
        exchange.n_calls += 1
        self.exchange = exchange
        self.deployment = deployment
        self.request = request
        """What this call sends: the exchange's request, or a judge's question."""
        self.n = exchange.n_calls
        self.retry_of: int | None = None
        self.started = now
        self.committed_at: float | None = None
        """Clock reading at the first content; written by the attempt."""
        self.status: int | None = None
        """The upstream's HTTP status; written by the attempt."""
        self.timeouts: Timeouts = deployment.timeouts
        """Written by the timeouts layer."""
        self.verdict: str | None = None
        """What an acceptor said of the answer; written by the executor."""

    def again(self, *, now: float) -> "Call":
        """Return a new call to the same deployment: a retry of this one."""
        call = Call(self.exchange, self.deployment, self.request, now=now)
        call.retry_of = self.n
        return call


Handler = Callable[[Exchange], AbstractAsyncContextManager["Reply"]]
"""Serves a request. Entering = committed."""
Layer = Callable[[Handler], Handler]

CallHandler = Callable[[Call], AbstractAsyncContextManager["Reply"]]
"""Makes an attempt. Entering = committed."""
CallLayer = Callable[[CallHandler], CallHandler]

Clock = Callable[[], float]
"""Monotonic seconds, the event loop's."""
Sleep = Callable[[float], Awaitable[None]]
