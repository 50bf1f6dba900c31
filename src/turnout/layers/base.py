"""What every layer is: a function around a handler. Floor 4.

Theory of operation. A layer is written as a small class with `__aenter__` and `__aexit__` rather than
as a generator: it is entered for every request, and a generator-based context manager costs four times
as much.

1. `__aenter__` enters the inner handler and returns its Reply. If the inner `__aenter__` raises, the
   layer's own `__aexit__` will not run: whatever it acquired must be given back before it re-raises.
2. `__aexit__` calls the inner `__aexit__` exactly once, with the same arguments, whatever its own work does.
3. A layer never swallows cancellation and never re-enters the inner handler after commit.
   Where that is all of its work, it hands on the inner one's awaitable instead of awaiting it in its own.
4. A layer that has nothing to do for a request (or at all) returns the inner handler's context manager
   (or the inner handler) itself: what is off costs nothing.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TypeAlias

from turnout.engine.exchange import Call, CallHandler, CallLayer, Clock, Exchange, Handler, Layer, Sleep
from turnout.engine.reply import Reply
from turnout.errors import TurnoutError
from turnout.stores.live import Blame, blame
from turnout.types.record import Attempt, CostState, Outcome
from turnout.types.usage import NanoUsd, Usage

ExcInfo: TypeAlias = "tuple[type[BaseException] | None, BaseException | None, TracebackType | None]"
Factory = Callable[..., Layer]
Inner = AbstractAsyncContextManager[Reply]
"""What an inner handler returned: still to be entered, or entered."""

CLIENT_CLOSED = "client_closed"
"""Word of an Outcome whose client hung up: not a class of the taxonomy, nobody is left to be told."""

_GONE = (asyncio.CancelledError, GeneratorExit, ConnectionError)

__all__ = [
    "CLIENT_CLOSED",
    "Call",
    "CallHandler",
    "CallLayer",
    "Clock",
    "ExcInfo",
    "Exchange",
    "Factory",
    "Handler",
    "Inner",
    "Layer",
    "Reply",
    "Sleep",
    "blame_for",
    "conclude",
    "refuse",
]


def refuse(call: Call, error: TurnoutError, now: float) -> TurnoutError:
    """Write the Attempt of a call that was refused before anything was sent; return the error to raise."""
    deployment = call.deployment
    call.exchange.attempts.append(
        Attempt(
            n=call.n,
            deployment=deployment.id,
            model=deployment.model.id,
            provider=deployment.vendor.name,
            start_s=now - call.exchange.started,
            duration_s=0.0,
            outcome="failed",
            error=error.row.word,
            retry_of=call.retry_of,
            cost_nusd=NanoUsd(0),
            cost_state="exact",
        )
    )
    return error


def blame_for(call: Call, error: TurnoutError) -> Blame:
    """Return what the failure of a call says about its deployment.

    A limit that the caller tightened says nothing when it is missed: else one impatient caller could
    open the breaker for everybody.
    """
    word = error.row.word
    found = blame(word)
    if found == "failure" and call.timeouts is not call.deployment.timeouts:
        limits, own = call.timeouts, call.deployment.timeouts
        if (word == "timeout_ttft" and limits.first_byte_s != own.first_byte_s) or (
            word == "timeout_idle" and limits.idle_s != own.idle_s
        ):
            return "none"
    return found


def conclude(exchange: Exchange, error: BaseException | None, now: float) -> Outcome:
    """Return the Outcome, written on first need.

    Args:
        exchange: The request that ended.
        error: What the reader or the rings raised; None = nothing.
        now: Clock reading.
    """
    outcome = exchange.outcome
    if outcome is not None:
        return outcome
    if exchange.under_way:
        for call in tuple(exchange.under_way):
            call.settle()
    reply = exchange.reply
    attempts = exchange.attempts
    if len(attempts) == 1:
        only = attempts[0]
        usage, cost_nusd, cost_state = only.usage, only.cost_nusd, only.cost_state
        estimated = only.usage_estimated
    else:
        usage, cost_nusd, cost_state = total(attempts)
        estimated = any(attempt.usage_estimated for attempt in attempts)
    total_s = now - exchange.started
    outcome = exchange.outcome = Outcome(
        error=_word(exchange, error),
        finish=None if reply is None else reply.finish,
        model=None if reply is None else reply.deployment.model.id,
        provider=None if reply is None else reply.deployment.vendor.name,
        usage=usage,
        usage_source="none" if usage is None else "estimated" if estimated else "provider",
        cost_nusd=cost_nusd,
        cost_state=cost_state,
        cache=None if exchange.cached is None else exchange.cached.status,
        ttft_s=None if exchange.committed_at is None else exchange.committed_at - exchange.started,
        total_s=total_s,
        overhead_s=total_s - exchange.upstream_s if total_s > exchange.upstream_s else 0.0,
        n_attempts=len(attempts),
        n_fallbacks=exchange.n_fallbacks,
        shaped=exchange.shaped,
    )
    return outcome


def _word(exchange: Exchange, error: BaseException | None) -> str | None:
    reply = exchange.reply
    if exchange.outcome_error is not None:
        return exchange.outcome_error
    if isinstance(error, TurnoutError):
        return error.row.word
    if reply is not None and reply.failure is not None:
        return reply.failure.row.word
    if error is None:
        return None if reply is None or reply.ended else CLIENT_CLOSED
    return CLIENT_CLOSED if isinstance(error, _GONE) else "internal"


def total(attempts: list[Attempt]) -> tuple[Usage | None, NanoUsd | None, CostState]:
    """Sum usage and money; a sum with one unknown part is unknown."""
    if len(attempts) == 1:
        only = attempts[0]
        return only.usage, only.cost_nusd, only.cost_state
    usage: Usage | None = None
    cost_nusd = 0
    state: CostState = "exact"
    for attempt in attempts:
        usage = _plus(usage, attempt.usage)
        cost_nusd += attempt.cost_nusd or 0
        if attempt.cost_state == "unknown" or state == "unknown":
            state = "unknown"
        elif attempt.cost_state == "estimated":
            state = "estimated"
    return usage, None if state == "unknown" else NanoUsd(cost_nusd), state


def _plus(one: Usage | None, other: Usage | None) -> Usage | None:
    if one is None or other is None:
        return other if one is None else one
    sums: dict[str, int | None] = {}
    for name in Usage.__struct_fields__:
        a: int | None = getattr(one, name)
        b: int | None = getattr(other, name)
        sums[name] = a if b is None else b if a is None else a + b
    return Usage(**sums)
