"""Knows which trace a request belongs to, and tells an observer when it ended. Floor 4."""

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from types import TracebackType

from msgspec import Struct

from turnout.layers.base import Clock, Exchange, Handler, Reply, conclude
from turnout.types.usage import NanoUsd

_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
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
    near: bool = False
    """Whether another question was near enough, and its answer was not given."""
    n_input: int | None = None
    n_output: int | None = None
    cost_nusd: NanoUsd | None = None
    cost_state: str = "unknown"
    ttft_s: float | None = None
    total_s: float
    overhead_s: float


OnEvent = Callable[[AccessEvent], None]
"""Must not raise and must not block: it runs while the request is left."""


class TraceLayer:
    """Reads the trace context; reports ended requests to `on_event`."""

    __slots__ = ("clock", "on_event")

    def __init__(self, clock: Clock, on_event: OnEvent | None = None) -> None:
        self.clock = clock
        self.on_event = on_event

    def __call__(self, inner: Handler) -> Handler:
        """Wrap a request handler."""
        on_event = self.on_event

        def handler(exchange: Exchange) -> AbstractAsyncContextManager[Reply]:
            if exchange.ask.traceparent is not None:
                exchange.trace_id = trace_id_of(exchange.ask.traceparent)
            if on_event is None:
                return inner(exchange)
            return _Traced(self.clock, on_event, inner, exchange)

        return handler


class _Traced:
    __slots__ = ("_clock", "_exchange", "_inner", "_on_event")

    def __init__(self, clock: Clock, on_event: OnEvent, handler: Handler, exchange: Exchange) -> None:
        self._clock = clock
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
            self._exchange.committed_at = self._clock()
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

    def _tell(self, error: BaseException | None) -> None:
        exchange = self._exchange
        outcome = conclude(exchange, error, self._clock())
        ask, usage, routing, cached = exchange.ask, outcome.usage, exchange.routing, exchange.cached
        promise = None if routing is None else routing.certificate
        self._on_event(
            AccessEvent(
                request_id=ask.request_id,
                trace_id=exchange.trace_id,
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
            )
        )


def trace_id_of(traceparent: str) -> str | None:
    """Return the trace id of a W3C `traceparent`, or None if the header is malformed.

    Source: W3C Trace Context, 3.2 (versions above 00 may carry more fields at the end).
    """
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None:
        return None
    version, trace_id, span_id, rest = match.groups()
    if (rest is not None and version == "00") or trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return str(trace_id)
