"""Writes down how each call went: live numbers for the next decision, an Attempt for the Record. Floor 4.

Theory of operation.
1. A call is *under way* from entering to leaving. Its books are closed exactly once: when it is left, or
   earlier by `settle`, when the request is recorded before its last bytes go out.
2. What happened is read off the Reply: it failed after commit, it ended, or its reader left it. An
   exception of the reader says nothing about the deployment.
3. The time to the first content of a stream is taken in when it comes, not when the answer ends: a slow
   stream must tell the next decision. The time to the end is that of answers that ended. Only failures that
   the deployment is to blame for move its error ratio: neither a rate limit, which says how much may be
   asked, nor a refusal of what a client sent.
4. Money is exact when the upstream told what it counted, zero when it refused the call, and estimated
   (and marked so) when the call may have been billed without our being told: the stream broke, the client
   left, a time limit passed.
5. The time in which at least one call was under way is what the request waited for upstreams; calls that
   run side by side count once.
"""

import asyncio
from functools import partial
from math import ceil
from types import TracebackType

import msgspec

from turnout.engine.race import LOST
from turnout.errors import Domain, TurnoutError
from turnout.layers.base import Call, CallHandler, Clock, Reply, blame_for
from turnout.stores.live import ILL, Fleet
from turnout.types.chat import ChatRequest
from turnout.types.deployment import Deployment
from turnout.types.record import Attempt, AttemptOutcome, CostState
from turnout.types.task import TaskRequest, billed
from turnout.types.usage import NanoUsd, Usage, cache_saved, cost

CHARS_PER_TOKEN = 3.6
"""English text and code with the tokenisers in use; other scripts have fewer: the estimate is low there."""
FRAME_BYTES_PER_TOKEN = 100
"""On the express track only the length of the frames is known. Recorded streams hold 10 to 315 bytes per
output token, by wire format; this errs towards too many tokens for the most talkative one."""
FASTEST_S = 0.001
"""An answer written in less time came in one piece: it says nothing about the speed of writing."""
NO_USAGE = Usage()
REFUSALS = frozenset(
    (
        "provider_auth",
        "provider_model_unavailable",
        "provider_overloaded",
        "provider_quota_exhausted",
        "provider_rate_limited",
        "provider_unreachable",
        "timeout_connect",
    )
)
"""Failures that mean the model was never run, even when they come inside a 200."""
ERROR_STATUS = 400


class MeasureLayer:
    """Measures calls."""

    __slots__ = ("clock", "fleet")

    def __init__(self, fleet: Fleet, clock: Clock) -> None:
        self.fleet = fleet
        self.clock = clock

    def __call__(self, inner: CallHandler) -> CallHandler:
        """Wrap a call handler."""
        return partial(_Measured, self, inner)


class _Measured:
    __slots__ = ("_call", "_clock", "_inner", "_is_open", "_is_usual", "_live", "_reply", "_streams")

    def __init__(self, layer: MeasureLayer, handler: CallHandler, call: Call) -> None:
        self._call = call
        self._clock = layer.clock
        self._live = layer.fleet.of(call.deployment.id)
        self._inner = handler(call)
        self._is_open = False
        self._reply: Reply | None = None
        self._streams = _streams(call)
        self._is_usual = not (call.exchange.ask.is_probe or call.request.facts.realtime)
        """Neither a probe nor a session: how long those take says nothing about speed."""

    async def __aenter__(self) -> Reply:
        call = self._call
        exchange = call.exchange
        if self._is_usual:
            self._live.begin(self, call.started, streams=self._streams)
        else:
            self._live.begin()
        if not exchange.under_way:
            exchange.upstream_since = call.started
        exchange.under_way.append(self)
        self._is_open = True
        try:
            reply = self._reply = await self._inner.__aenter__()
        except BaseException as error:
            self._close(error)
            raise
        if call.committed_at is None:
            call.committed_at = self._clock()
        if self._streams and not exchange.ask.is_probe:
            self._live.first_content(call.committed_at, call.committed_at - call.started, self)
        return reply

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return await self._inner.__aexit__(kind, error, trace)
        finally:
            self._close(error)

    def settle(self) -> None:
        """Close the books of a committed call before it is left."""
        if self._reply is not None:
            self._close(None)

    def _close(self, error: BaseException | None) -> None:
        if not self._is_open:
            return
        self._is_open = False
        now = self._clock()
        call, live, reply = self._call, self._live, self._reply
        exchange = call.exchange
        exchange.under_way.remove(self)
        if not exchange.under_way:
            exchange.upstream_s += now - exchange.upstream_since
        usage = None if reply is None else reply.usage
        is_whole = reply is not None and reply.ended and reply.failure is None
        outcome, failure = ("ok", None) if is_whole and error is None else self._outcome(error, now)
        estimated = reply is not None and reply.estimated
        if isinstance(call.request, TaskRequest):
            usage, estimated = self._bill(call.request, usage, failure, is_whole=is_whole)
        elif not is_whole or usage is None or usage == NO_USAGE:
            usage, estimated = self._estimate(failure)
        if is_whole and not self._is_usual:
            live.probed(now, None, None if call.committed_at is None else call.committed_at - call.started)
        elif is_whole:
            self._answered(now, usage)
            routing = exchange.routing
            if usage and not estimated and routing is not None and call.asked is exchange.request:
                live.counted(usage.n_input, routing.n_tokens_reference)
        elif isinstance(failure, TurnoutError) and blame_for(call, failure) in ILL:
            self._failed(now, failure)
        live.end(self, now)
        spent, state = self._money(usage, estimated=estimated)
        exchange.attempts.append(self._attempt(now, outcome, failure, (usage, estimated, spent, state)))

    def _failed(self, now: float, failure: TurnoutError) -> None:
        word = failure.row.word
        if self._call.exchange.ask.is_probe:
            self._live.probed(now, word)
        else:
            self._live.failed(now, word)

    def _attempt(
        self,
        now: float,
        outcome: AttemptOutcome,
        failure: TurnoutError | str | None,
        bill: tuple[Usage | None, bool, NanoUsd | None, CostState],
    ) -> Attempt:
        call, reply = self._call, self._reply
        deployment = call.deployment
        committed_at = call.committed_at
        return Attempt(
            n=call.n,
            deployment=deployment.id,
            model=deployment.model.id,
            provider=deployment.vendor.name,
            start_s=call.started - call.exchange.started,
            ttft_s=None if committed_at is None else committed_at - call.started,
            duration_s=now - call.started,
            outcome=outcome,
            error=failure.row.word if isinstance(failure, TurnoutError) else failure,
            status=call.status,
            committed=reply is not None,
            retry_of=call.retry_of,
            repair=call.repair,
            usage=bill[0],
            usage_estimated=bill[1],
            cost_nusd=bill[2],
            cost_state=bill[3],
            cache_saved_nusd=None if bill[1] else _saved(bill[0], deployment),
            express=reply is not None and reply.express,
            upstream_id=None if reply is None else reply.upstream_id,
            upstream_model=None if reply is None else _other_name(reply.upstream_model, deployment),
            verdict=call.verdict,
        )

    def _outcome(
        self, error: BaseException | None, now: float
    ) -> tuple[AttemptOutcome, TurnoutError | str | None]:
        reply = self._reply
        cancelled = isinstance(error, asyncio.CancelledError)
        if reply is not None and reply.failure is not None:
            return "failed", reply.failure
        if error is not None and cancelled and error.args[:1] == (LOST,):
            return "lost", None
        if reply is not None and reply.ended:
            return "ok", None
        if reply is None and not cancelled:
            return "failed", error if isinstance(error, TurnoutError) else "internal"
        if cancelled:
            deadline_at = self._call.exchange.deadline_at
            if deadline_at is not None and now >= deadline_at:
                return "failed", "timeout_total"
        return "cancelled", None

    def _answered(self, now: float, usage: Usage | None) -> None:
        call = self._call
        committed_at = call.committed_at
        assert committed_at is not None
        n_out = 0 if usage is None else usage.n_output
        writing_s = now - (committed_at if self._streams else call.started)
        self._live.answered(
            now, now - call.started, n_out / writing_s if n_out and writing_s > FASTEST_S else None, self
        )

    def _money(self, usage: Usage | None, *, estimated: bool) -> tuple[NanoUsd | None, CostState]:
        price = self._call.deployment.model.price
        if usage is None:
            return NanoUsd(0), "exact"
        if price is None:
            return None, "unknown"
        known = None if self._reply is None else self._reply.cost_nusd
        return cost(usage, price) if known is None else known, "estimated" if estimated else "exact"

    def _bill(
        self, request: TaskRequest, told: Usage | None, failure: TurnoutError | str | None, *, is_whole: bool
    ) -> tuple[Usage | None, bool]:
        """Return what an operation used, in the units of its price; None = surely nothing."""
        if self._reply is None and _was_free(self._call, failure):
            return None, False
        usage, guessed = billed(request, told or NO_USAGE, self._call.deployment.model.price)
        return usage, guessed or not is_whole

    def _estimate(self, failure: TurnoutError | str | None) -> tuple[Usage | None, bool]:
        """Reckon what the call consumed when the upstream did not tell, or not all; None = surely nothing."""
        call, reply = self._call, self._reply
        if reply is None and _was_free(call, failure):
            return None, False
        told = reply.usage if reply is not None else None
        if told is None or told == NO_USAGE:
            told = Usage(input_uncached=ceil(call.request.facts.n_chars / CHARS_PER_TOKEN))
        n_seen = 0
        if reply is not None:
            n_seen = ceil(reply.n_text / (FRAME_BYTES_PER_TOKEN if reply.express else CHARS_PER_TOKEN))
        if told.n_output >= n_seen and told.output_text is not None:
            return told, True
        return msgspec.structs.replace(told, output_text=max(told.output_text or 0, n_seen)), True


def _saved(usage: Usage | None, deployment: Deployment) -> NanoUsd | None:
    price = deployment.model.price
    if usage is None or price is None:
        return None
    if not (usage.cache_read or usage.cache_write_5m or usage.cache_write_1h):
        return None
    return cache_saved(usage, price)


def _streams(call: Call) -> bool:
    request = call.request
    return isinstance(request, ChatRequest) and request.stream


def _was_free(call: Call, failure: TurnoutError | str | None) -> bool:
    """Tell whether a call that never committed cannot have been billed."""
    if isinstance(failure, TurnoutError) and failure.row.word in REFUSALS:
        return True
    if call.status is not None:
        return call.status >= ERROR_STATUS
    return isinstance(failure, TurnoutError) and failure.domain is not Domain.PROVIDER


def _other_name(said: str | None, deployment: Deployment) -> str | None:
    """Return what the upstream calls the model that answered; None where it is what was asked for."""
    return said[:128] if said and said != deployment.upstream_model else None
