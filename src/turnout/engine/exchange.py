"""One request on its way through the stations, and one call inside it. Floor 4.

`Exchange` is the only mutable object of a request. Each layer and station writes the fields named
after it and reads the rest. `Call` is one attempt at one deployment: hedges and fan-outs have several
under way at once, so what belongs to an attempt lives there and not on the Exchange.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from random import Random
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec import Struct

from turnout.engine.allowance import Allowance
from turnout.engine.lot import Lot
from turnout.plan import Reduction, Verdict
from turnout.types.ask import Ask
from turnout.types.cache import CacheView
from turnout.types.chat import ChatRequest
from turnout.types.compress import CompressView
from turnout.types.deployment import Deployment
from turnout.types.embed import EmbedRequest
from turnout.types.http import Timeouts
from turnout.types.record import (
    Attempt,
    CertificateView,
    Content,
    Decision,
    GuardView,
    Outcome,
    Reason,
    Shaped,
)
from turnout.types.structured import Structured
from turnout.types.task import TaskRequest
from turnout.types.trace import Trace

if TYPE_CHECKING:
    from turnout.engine.booking import Booking
    from turnout.engine.reply import Reply

Request = ChatRequest | EmbedRequest | TaskRequest


class Policy(Struct, frozen=True, kw_only=True):
    """What a route says about failure, time and storage."""

    total_s: float | None = 600.0
    """Deadline over all attempts."""
    max_retries: int = 2
    fallback_on: frozenset[str] = frozenset()
    """Class words for which the route opted in to fallback (`content_filtered`, `provider_rejected`)."""
    stream_recovery: str = "error"
    """`error` or `continue` (WIRE.md 2.6)."""
    reject_unsupported: bool = False
    """Whether an advisory parameter that an upstream lacks is an error instead of a notice."""
    echo_model: bool = False
    """Whether the answer names the requested model instead of the one that answered."""
    store_content: bool = False
    structured: Structured | None = None
    """What is done about answers that must have a shape; None = they are not looked at."""


DEFAULT_POLICY = Policy()


class Routing(Protocol):
    """What the route station decided; enough for headers, and the whole Decision on demand."""

    @property
    def route(self) -> str:
        """Name of the route."""
        ...

    @property
    def strategy(self) -> str:
        """Name of the strategy."""
        ...

    @property
    def reason(self) -> Reason:
        """Why the first model was chosen."""
        ...

    @property
    def n_tokens_reference(self) -> int:
        """Input tokens estimated in the reference encoding; 0 = nobody estimated."""
        ...

    @property
    def certificate(self) -> CertificateView | None:
        """The promise it was decided under; None = the route has no certificate."""
        ...

    def decision(self, exchange: "Exchange") -> Decision:
        """Write the Decision."""
        ...

    def written(self, exchange: "Exchange") -> Decision:
        """Return the same to be encoded as MessagePack, and for nothing else: parts of it may be bytes."""
        ...


class Room(Struct, frozen=True, kw_only=True):
    """What the tightest quotas leave: limit, what is left of it, seconds until all of it is back."""

    requests: tuple[int, int, float] | None
    tokens: tuple[int, int, float] | None


class Deadline(Protocol):
    """The limit of a request's total time, in force."""

    def within(self, total_s: float | None) -> None:
        """Replace the default limit by the route's own; None = only the client's, if it named one."""
        ...


class UnderWay(Protocol):
    """A call whose books are still open."""

    def settle(self) -> None:
        """Write its Attempt now instead of when it is left. Idempotent."""
        ...


class Exchange(Struct, eq=False):
    """Everything known about one request while it is served."""

    request: Request
    """What will be answered; a layer that rewrites it (guard, compression) replaces it."""
    ask: Ask
    started: float
    """Clock reading of the event loop at arrival."""
    at: datetime
    seed: int
    """Of every random draw made for this request."""
    original: Request = None  # type: ignore[assignment]  # it is there as soon as the exchange is
    """As it came. `request is original` is the express track's condition."""
    deadline_at: float | None = None
    """Written by the deadline layer: clock reading after which the request fails."""
    room: Room | None = None
    """Written by the quota layer."""
    booking: "Booking | None" = None
    """Written by it, too: what is set aside, from which the budget layer takes the first call's money."""
    deadline: Deadline | None = None
    """Written by the deadline layer; the route station tells it the route's own limit."""
    trace_id: str | None = None
    """Written by the trace layer: 32 hex digits, the client's or our own."""
    trace: Trace | None = None
    """Written by it, too, where spans are recorded or passed on."""
    policy: Policy = DEFAULT_POLICY
    """Written by the route station: the rules of the route that serves the request."""
    allowance: Allowance | None = None
    """Written by the route station where the plan hedges: extra calls the route may still make."""
    routing: Routing | None = None
    """Written by the route station: what was decided and why."""
    attempts: list[Attempt] = []
    """Written by the measure layer, in the order calls ended."""
    n_calls: int = 0
    n_fallbacks: int = 0
    n_repairs: int = 0
    shaped: Shaped | None = None
    """Written with `n_repairs` by the executor: how an answer that must have a shape ended."""
    fallback_reason: Reason | None = None
    """Written by the executor when the plan's next node was used."""
    reply: "Reply | None" = None
    """Written by the engine at commit."""
    certified: str | None = None
    """Written by the certify layer: how a certified request ended, or why nothing is promised."""
    guards: list[GuardView] = []
    """Written by the guard layer: what each guard said."""
    cached: CacheView | None = None
    """Written by the cache: what it did."""
    masked: Callable[[str], str] | None = None
    """Written by the guards: masks text that is stored."""
    compressed: CompressView | None = None
    """Written by compression: what it took away."""
    committed_at: float | None = None
    """Written by the layer that records the request: clock reading when the reply was in hand."""
    outcome: Outcome | None = None
    """Written once, by whoever records the request first."""
    outcome_error: str | None = None
    """Class word known to the reader alone (`client_closed`); it overrules what the layers saw."""
    finish: "Callable[[Exchange, BaseException | None], None] | None" = None
    """Written by the journal layer: records the request now instead of when it is left. Idempotent."""
    content_of: Callable[[], Content] | None = None
    """Written by the journal layer, where the route stores text."""
    under_way: list[UnderWay] = []
    """Written by the measure layer: calls whose Attempt is not written yet."""
    upstream_since: float = 0.0
    """Written by the measure layer: clock reading since which at least one call is under way."""
    upstream_s: float = 0.0
    """Written by it, too: seconds in which one was."""
    dropped: tuple[str, ...] = ()
    warnings: list[str] = []
    explain_only: bool = False
    _decision: Decision | None = None
    _rng: Random | None = None

    def __post_init__(self) -> None:
        self.original = self.request

    def __repr__(self) -> str:
        return f"Exchange({self.ask.request_id})"  # never what was asked

    @property
    def rng(self) -> Random:
        """The request's generator, seeded with `seed`; made on first use, as most requests draw nothing."""
        if self._rng is None:
            self._rng = Lot(self.seed)
        return self._rng

    def note_verdict(self, deployment: str, verdict: Verdict) -> None:
        """Write what an acceptor said into the record of the attempt it judged."""
        for at in range(len(self.attempts) - 1, -1, -1):
            if self.attempts[at].deployment == deployment:
                self.attempts[at] = msgspec.structs.replace(
                    self.attempts[at],
                    verdict=verdict.reason or ("accepted" if verdict.accept else "rejected"),
                    outcome="ok" if verdict.accept else "rejected",
                )
                return

    def note_reduction(self, reduction: Reduction) -> None:
        """Write how several answers became one."""
        if reduction.reason:
            self.warnings.append(reduction.reason)

    def full_decision(self) -> Decision | None:
        """Return the Decision, written on first need: only the journal, explain and replay read it whole."""
        if self._decision is None and self.routing is not None:
            self._decision = self.routing.decision(self)
        return self._decision

    def written_decision(self) -> Decision | None:
        """Return the Decision as it is encoded for the journal; read by nobody else."""
        if self._decision is not None or self.routing is None:
            return self._decision
        return self.routing.written(self)


class Call:
    """One attempt at one deployment, under way."""

    __slots__ = (
        "asked",
        "committed_at",
        "deployment",
        "exchange",
        "n",
        "repair",
        "request",
        "retry_of",
        "started",
        "status",
        "timeouts",
        "verdict",
    )

    def __init__(self, exchange: Exchange, deployment: Deployment, request: Request, *, now: float) -> None:
        exchange.n_calls += 1
        self.exchange = exchange
        self.deployment = deployment
        self.asked = self.request = request
        """What this call is about, and what it sends, with the marks of the model's vendor: the exchange's
        request, or a judge's question."""
        self.n = exchange.n_calls
        self.retry_of: int | None = None
        self.repair: str | None = None  # written by the executor: what was wrong with the answer before
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
        call = Call(self.exchange, self.deployment, self.asked, now=now)
        call.retry_of, call.repair = self.n, self.repair
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
