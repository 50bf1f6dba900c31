"""Knows which trace a request belongs to, and tells an observer when it ended. Floor 4.

Theory of operation.
1. Whether a request is sampled is decided when it comes: as its caller decided, or by its trace id, so that
   every replica decides alike. What is not sampled has no span ids and costs nothing.
2. A request that failed can be recorded although it was not sampled; it gets its ids when it ends.
3. Spans are not kept while a request runs: they are made of its end's `AccessEvent`, whose attempts know when
   each call began and how long it took. Only the ids must be known before, as upstreams may be told them.
"""

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
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
_CHANCE = (1 << 56) - 1
"""The part of a trace id that is random (W3C Trace Context level 2, 5.1)."""
_NO_TRACE = "0" * 32
_NO_SPAN = "0" * 16


class AccessEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line about one request: names and numbers only, no text of it (S-64)."""

    request_id: str
    trace_id: str | None = None
    at: datetime
    endpoint: str
    dialect: str
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
    total_s: float
    overhead_s: float
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
        on_event, tracing = self.on_event, self.tracing

        def handler(exchange: Exchange) -> AbstractAsyncContextManager[Reply]:
            if exchange.ask.traceparent is not None:
                exchange.trace_id = trace_id_of(exchange.ask.traceparent)
            if tracing is not None:
                trace = exchange.trace = self.trace(tracing, exchange)
                if trace is not None:
                    exchange.trace_id = trace.trace_id
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
            if not tracing.records:
                return None
            number = self.bits(128) or 1
            sampled = (number & _CHANCE) < tracing.sample * (1 << 56)
            if not sampled and not failed:
                return None
            trace_id, caller, state = f"{number:032x}", None, None
        else:
            trace_id, caller, decided = parent
            state = ask.tracestate
            sampled = decided if tracing.follows else chosen(trace_id, tracing.sample)
            if not tracing.records and tracing.tells:
                return Trace(trace_id=trace_id, span_id=caller, sampled=decided, recorded=False, state=state)
        if not tracing.records or not (sampled or failed or (parent is not None and tracing.tells)):
            return None
        if not sampled and not failed:
            assert caller is not None  # somebody's trace is passed on as it is
            return Trace(trace_id=trace_id, span_id=caller, sampled=False, recorded=False, state=state)
        span_id = f"{self.bits(64) or 1:016x}"
        return Trace(trace_id=trace_id, span_id=span_id, parent_id=caller, sampled=sampled, state=state)


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

    def _trace(self, error: str | None) -> Trace | None:
        """Return the trace to record."""
        trace, tracing = self._exchange.trace, self._layer.tracing
        if trace is not None and trace.recorded:
            return trace
        if error is None or tracing is None or not tracing.errors or not tracing.records:
            return None
        trace = self._exchange.trace = self._layer.trace(tracing, self._exchange, failed=True)
        return trace

    def _tell(self, error: BaseException | None) -> None:
        exchange = self._exchange
        outcome = conclude(exchange, error, self._layer.clock())
        ask, usage, routing, cached = exchange.ask, outcome.usage, exchange.routing, exchange.cached
        promise = None if routing is None else routing.certificate
        trace = None if self._layer.tracing is None else self._trace(outcome.error)
        request = exchange.original
        chat = request if isinstance(request, ChatRequest) else None
        self._on_event(
            AccessEvent(
                request_id=ask.request_id,
                trace_id=exchange.trace_id if trace is None else trace.trace_id,
                at=exchange.at,
                endpoint=ask.endpoint,
                dialect=ask.dialect,
                key_id=ask.principal.key_id,
                route=None if routing is None else routing.route,
                model=outcome.model,
                provider=outcome.provider,
                error=outcome.error,
                finish=outcome.finish,
                certificate=None if promise is None else promise.id,
                certified=exchange.certified,
                cache=outcome.cache,
                saved_nusd=None if cached is None else cached.saved_nusd,
                near=cached is not None and cached.missed_near,
                compressed=() if exchange.compressed is None else exchange.compressed.steps,
                n_attempts=outcome.n_attempts,
                n_fallbacks=outcome.n_fallbacks,
                shaped=outcome.shaped,
                n_input=None if usage is None else usage.n_input,
                n_output=None if usage is None else usage.n_output,
                cost_nusd=outcome.cost_nusd,
                cost_state=outcome.cost_state,
                ttft_s=outcome.ttft_s,
                total_s=outcome.total_s,
                overhead_s=outcome.overhead_s,
                usage=usage,
                stream=chat is not None and chat.stream,
                max_tokens=None if chat is None else chat.max_tokens,
                attempts=tuple(exchange.attempts),
                guards=tuple(exchange.guards),
                trace=trace,
            )
        )


def chosen(trace_id: str, share: float) -> bool:
    """Tell whether a share of all traces includes this one; every process says the same."""
    return int(trace_id[18:], 16) < share * (1 << 56)


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
