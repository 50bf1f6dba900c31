"""Resolves the limits of one call: the deployment's, tightened by what the caller asked for. Floor 4.

The request's deadline is not written into the limits of a call. One timer (layers/deadline.py) cancels
the whole request when it passes; were the transport's total timer set to the same instant, the two would
race, and a caller's short deadline would be reported as a failure of the upstream. So the deployment's own
total limit is kept while it ends before the deadline, and dropped when the deadline comes first.
"""

from contextlib import AbstractAsyncContextManager

from turnout.layers.base import Call, CallHandler, Reply
from turnout.types.http import Timeouts


class TimeoutsLayer:
    """Writes `call.timeouts`. Enters nothing of its own."""

    __slots__ = ("_without_total",)

    def __init__(self) -> None:
        self._without_total: dict[str, tuple[Timeouts, Timeouts]] = {}
        """Deployment id -> its limits, and the same without total: bounded by the configured deployments."""

    def __call__(self, inner: CallHandler) -> CallHandler:
        """Wrap a call handler."""

        def handler(call: Call) -> AbstractAsyncContextManager[Reply]:
            exchange = call.exchange
            ask = exchange.ask
            deadline_at = exchange.deadline_at
            if deadline_at is not None:
                total_s = call.timeouts.total_s
                if total_s is not None and call.started + total_s >= deadline_at:
                    call.timeouts = self._no_total(call)
            if ask.ttft_timeout_s is not None or ask.idle_timeout_s is not None:
                limits = call.timeouts
                call.timeouts = Timeouts(
                    limits.connect_s,
                    _tighter(limits.first_byte_s, ask.ttft_timeout_s),
                    _tighter(limits.idle_s, ask.idle_timeout_s),
                    limits.total_s,
                )
            return inner(call)

        return handler

    def _no_total(self, call: Call) -> Timeouts:
        limits = call.timeouts
        known = self._without_total.get(call.deployment.id)
        if known is not None and known[0] is limits:
            return known[1]
        without = Timeouts(limits.connect_s, limits.first_byte_s, limits.idle_s, None)
        self._without_total[call.deployment.id] = (limits, without)
        return without


def _tighter(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
