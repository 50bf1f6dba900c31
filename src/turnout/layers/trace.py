"""Knows which trace a request belongs to, and tells an observer when it ended. Floor 4.

Theory of operation.
1. Whether a request is sampled is decided when it comes, before anything is made: as its caller decided, or
   by the last 56 bits of its trace id, so that every replica decides alike (they are random: W3C Trace
   Context level 2, 5.1). What is not sampled has no ids and costs a draw.
2. A request that failed can be recorded although it was not sampled; it gets its ids when it ends.
3. Spans are not kept while a request runs: they are made of its end's `AccessEvent`, whose attempts know when
   each call began and how long it took. Only the ids must be known before, as upstreams may be told them.
"""

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from math import ceil
from random import Random
from types import TracebackType

from msgspec import Struct

from turnout.layers.base import Clock, Exchange, Handler, Reply, conclude
from turnout.types.chat import ChatRequest
from turnout.types.compress import Shortened
from turnout.types.record import Attempt, GuardView
from turnout.types.trace import Trace
from turnout.types.usage import NanoUsd, Usage

_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NO_TRACE = "0" * 32
_NO_SPAN = "0" * 16


class AccessEvent(Struct, frozen=True, omit_defaults=True, gc=False):
    """One line about one request: names and numbers only, no text of it (S-64)."""

    request_id: str
    at: datetime
    endpoint: str
    dialect: str
    total_s: float
    overhead_s: float
    trace_id: str | None = None
    key_id: str | None = None
    route: str | None = None
    model: str | None = None
    provider: str | None = None
    error: str | None = None
    """Class word; `client_closed` when the client hung up; None = served."""
    finish: str | None = None
    certificate: str | None = None
    """Id of the certificate it was decided under."""
    certified: str | None = None
    """How it ended under it: `routed`, `reference`, `failover`, or why nothing was promised."""
    n_attempts: int = 0
    n_fallbacks: int = 0
    shaped: str | None = None
    """How an answer that must have a shape ended: `valid`, `repaired`, `invalid`, `unchecked`."""
    cache: str | None = None
    """What the cache did; None = its route has none."""
    saved_nusd: NanoUsd | None = None
    """What an answer that was given again had cost."""
    compressed: tuple[Shortened, ...] = ()
    """What each step of compression took away."""
    near: bool = False
    """Whether another question was near enough, and its answer was not given."""
    n_input: int | None = None
    n_output: int | None = None
    cost_nusd: NanoUsd | None = None
    cost_state: str = "unknown"
    ttft_s: float | None = None
    usage: Usage | None = None
    stream: bool = False
    max_tokens: int | None = None
    attempts: tuple[Attempt, ...] = ()
    """In the order calls ended."""
    guards: tuple[GuardView, ...] = ()
    trace: Trace | None = None
    """None = no span is recorded."""


class Tracing(Struct, frozen=True, kw_only=True):
    """Which requests have spans."""

    records: bool = True
    """Whether spans are exported at all; else the caller's context is only passed on."""
    sample: float = 1.0
    """Share of the requests whose caller decided nothing."""
    follows: bool = True
    """Whether a caller's decision holds."""
    errors: bool = True
    """Whether failed requests are recorded that were not sampled."""
    tells: bool = False
    """Whether any upstream is told the trace."""


OnEvent = Callable[[AccessEvent], None]
"""Must not raise and must not block: it runs while the request is left."""


class TraceLayer:
    """Reads the trace context; reports ended requests to `on_event`."""

    __slots__ = ("bits", "clock", "on_event", "tracing")

    def __init__(
        self,
        clock: Clock,
        on_event: OnEvent | None = None,
        tracing: Tracing | None = None,
        bits: Callable[[int], int] | None = None,
    ) -> None:
        self.clock = clock
        self.on_event = on_event
        self.tracing = tracing
        self.bits = bits or Random().getrandbits  # noqa: S311  ids of spans: uniqueness, not secrecy
        """Returns as many random bits as asked for."""

    def __call__(self, inner: Handler) -> Handler:
        """Wrap a request handler."""
        on_event, tracing, bits = self.on_event, self.tracing, self.bits
        share = 0 if tracing is None or not tracing.records else _part(tracing.sample)

        def handler(exchange: Exchange) -> AbstractAsyncContextManager[Reply]:
            told = exchange.ask.traceparent
            if told is not None:
                exchange.trace_id = trace_id_of(told)
                trace = None if tracing is None else self.trace(tracing, exchange)
                if trace is not None:
                    exchange.trace, exchange.trace_id = trace, trace.trace_id
            elif share and (chance := bits(56)) < share:
                exchange.trace = self._begun(chance)
                exchange.trace_id = exchange.trace.trace_id
            if on_event is None:
                return inner(exchange)
            return _Traced(self, on_event, inner, exchange)

        return handler

    def trace(self, tracing: Tracing, exchange: Exchange, *, failed: bool = False) -> Trace | None:
        """Return where a request stands; None = nothing is recorded of it, and nobody told.

        Args:
            tracing: Which requests have spans.
            exchange: The request.
            failed: Record it, whether it was sampled or not.
        """
        ask = exchange.ask
        parent = None if ask.traceparent is None else _read(ask.traceparent)
        if parent is None:
            chance = self.bits(56)
            sampled = chance < _part(tracing.sample)
            return self._begun(chance, sampled=sampled) if tracing.records and (sampled or failed) else None
        trace_id, caller, decided = parent
        state = ask.tracestate
        sampled = decided if tracing.follows else chosen(trace_id, tracing.sample)
        if not tracing.records and tracing.tells:
            return Trace(trace_id=trace_id, span_id=caller, sampled=decided, recorded=False, state=state)
        if not tracing.records or not (sampled or failed or tracing.tells):
            return None
        if not sampled and not failed:  # somebody's trace is passed on as it is
            return Trace(trace_id=trace_id, span_id=caller, sampled=False, recorded=False, state=state)
        return Trace(trace_id=trace_id, span_id=self._span(), parent_id=caller, sampled=sampled, state=state)

    def _begun(self, chance: int, *, sampled: bool = True) -> Trace:
        """Return a trace that begins here, whose id ends as `chance` says: that decided over it."""
        number = self.bits(72) << 56 | chance
        return Trace(trace_id=f"{number or 1:032x}", span_id=self._span(), sampled=sampled)

    def _span(self) -> str:
        return f"{self.bits(64) or 1:016x}"


class _Traced:
    __slots__ = ("_exchange", "_inner", "_layer", "_on_event")

    def __init__(self, layer: TraceLayer, on_event: OnEvent, handler: Handler, exchange: Exchange) -> None:
        self._layer = layer
        self._on_event = on_event
        self._exchange = exchange
        self._inner = handler(exchange)

    async def __aenter__(self) -> Reply:
        try:
            reply = await self._inner.__aenter__()
        except BaseException as error:
            self._tell(error)
            raise
        if self._exchange.committed_at is None:
            self._exchange.committed_at = self._layer.clock()
        return reply

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            swallowed = await self._inner.__aexit__(kind, error, trace)
        except BaseException as final:
            self._tell(final)
            raise
        self._tell(error)
        return swallowed

    def _failed(self) -> Trace | None:
        """Return the trace that is recorded of a failure whose request was not sampled."""
        tracing = self._layer.tracing
        if tracing is None or not tracing.errors or not tracing.records:
            return None
        trace = self._exchange.trace = self._layer.trace(tracing, self._exchange, failed=True)
        return trace

    def _tell(self, error: BaseException | None) -> None:
        exchange = self._exchange
        outcome = conclude(exchange, error, self._layer.clock())
        ask, usage, routing, cached = exchange.ask, outcome.usage, exchange.routing, exchange.cached
        promise = None if routing is None else routing.certificate
        trace = exchange.trace
        if self._layer.tracing is not None and (trace is None or not trace.recorded):
            trace = None if outcome.error is None else self._failed()
        request = exchange.original
        chat = request if isinstance(request, ChatRequest) else None
        # By position: by their names, so many fields cost three times as much.
        event = AccessEvent(
            ask.request_id, exchange.at, ask.endpoint, ask.dialect, outcome.total_s, outcome.overhead_s,
            exchange.trace_id if trace is None else trace.trace_id,
            ask.principal.key_id,
            None if routing is None else routing.route,
            outcome.model, outcome.provider, outcome.error, outcome.finish,
            None if promise is None else promise.id,
            exchange.certified,
            outcome.n_attempts, outcome.n_fallbacks, outcome.shaped, outcome.cache,
            None if cached is None else cached.saved_nusd,
            () if exchange.compressed is None else exchange.compressed.steps,
            cached is not None and cached.missed_near,
            None if usage is None else usage.n_input,
            None if usage is None else usage.n_output,
            outcome.cost_nusd, outcome.cost_state, outcome.ttft_s, usage,
            chat is not None and chat.stream,
            None if chat is None else chat.max_tokens,
            tuple(exchange.attempts), tuple(exchange.guards), trace,
        )  # fmt: skip
        self._on_event(event)


def chosen(trace_id: str, share: float) -> bool:
    """Tell whether a share of all traces includes this one; every process says the same."""
    return int(trace_id[18:], 16) < _part(share)


def _part(share: float) -> int:
    return ceil(share * (1 << 56))


def _read(traceparent: str) -> tuple[str, str, bool] | None:
    """Return trace id, span id and whether it is sampled.

    Source: W3C Trace Context, 3.2 (versions above 00 may carry more fields at the end).
    """
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    if (rest is not None and version == "00") or trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return trace_id, span_id, bool(int(flags, 16) & 1)


def trace_id_of(traceparent: str) -> str | None:
    """Return the trace id of a W3C `traceparent`, or None if the header is malformed."""
    found = _read(traceparent)
    return None if found is None else found[0]
