"""Requests and tokens of a caller, and a first look at its money. Floor 4.

Theory of operation.

1. On the way in one reservation takes a request, its tokens at their worst and a place from every quota of
   the caller, or nothing and refuses. The same step reads the caller's budgets and, where they have ample
   room, sets aside what the first call is likely to cost at its worst (`engine/booking.py`).
2. What the budgets say is acted on before anything is decided: a threshold may send the request to another
   route or block it, and what is left bounds what a plan may cost at its worst. Every other call reserves its
   money for itself (`layers.budget`).
3. On the way out everything is settled in one step: tokens from what was counted, money from what the first
   call cost; the place is given back, and a request stays a request whatever became of it.
"""

from functools import partial
from operator import sub
from types import TracebackType
from typing import Final

import msgspec

from turnout.engine.booking import EXACT_S, ROOM, Booking
from turnout.engine.books import Books, Meter
from turnout.engine.exchange import Room
from turnout.engine.limits import Worst, amount_of, dearest_of, worst_case
from turnout.errors import BudgetExceeded, QuotaExceeded, RateLimited, TurnoutError
from turnout.layers.base import Clock, Exchange, Handler, Inner, Reply, total
from turnout.stores.ledger.base import Granted, Refused, Take, cells_of
from turnout.types.chat import ChatRequest
from turnout.types.limits import Budget, Quota, Rolling, Threshold
from turnout.types.usage import NanoUsd

SHORT_S: Final = 3600.0
"""A quota over at most this long is a rate; what is longer is a quota that a client cannot wait for."""
SPARE_S: Final = 60.0
"""Added to the deadline for the lease (SECURITY.md S-92)."""
BUSY_S: Final = 1.0
"""What a caller is told to wait for a place: nobody knows when one is free."""
NO_DEADLINE_S: Final = 3600.0
NOTHING: Final = Worst(0, 0, None)
_Left = tuple[int, int, float]
"""Limit, what is left of it, seconds until all of it is back."""


class QuotaLayer:
    """Holds callers to their quotas, and sends on or blocks those whose budget is nearly spent."""

    __slots__ = ("_books", "clock", "dearest", "guesses", "limits")

    def __init__(self, meter: Meter, clock: Clock) -> None:
        self._books = meter.books
        self.limits = meter.limits
        self.guesses = meter.guesses
        self.dearest = dearest_of(meter.deployments.values())
        self.clock = clock

    def __call__(self, inner: Handler) -> Handler:
        """Wrap a request handler; none where nothing is limited."""
        return inner if self.limits.is_empty or self._books is None else partial(_Counted, self, inner)

    @property
    def books(self) -> Books:
        """The ledger; there is one where something is limited."""
        assert self._books is not None
        return self._books


class _Counted:
    __slots__ = ("_applied", "_booking", "_exchange", "_handler", "_inner", "_layer", "_lease_s", "_worst")

    def __init__(self, layer: QuotaLayer, handler: Handler, exchange: Exchange) -> None:
        self._applied = layer.limits.of_request(layer.limits.callers(exchange.ask))
        self._layer = layer
        self._exchange = exchange
        self._handler = handler
        self._inner: Inner | None = None
        self._booking: Booking | None = None
        """What is set aside and not settled."""
        self._worst = NOTHING
        self._lease_s = NO_DEADLINE_S

    async def __aenter__(self) -> Reply:
        exchange, applied = self._exchange, self._applied
        if applied.quotas or applied.budgets:
            await self._count()
        try:
            self._inner = inner = self._handler(exchange)
            return await inner.__aenter__()
        except BaseException:
            self._settle()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        assert self._inner is not None
        try:
            return await self._inner.__aexit__(kind, error, trace)
        finally:
            self._settle()

    async def _count(self) -> None:
        exchange, layer, applied = self._exchange, self._layer, self._applied
        now = layer.clock()
        request = exchange.request
        self._worst = worst_case(request, None)
        if exchange.deadline_at is not None:
            self._lease_s = max(exchange.deadline_at - now, 0.0) + SPARE_S
        booking = Booking(exchange.ask, request.model, layer.guesses)
        if applied.budgets and not layer.limits.has_callees and now >= applied.exact_at:
            booking.suppose(request, self._worst)
        found = await layer.books.reserve(booking.name, partial(self._takes, booking.money), self._lease_s)
        if isinstance(found, Refused) and found.index >= len(applied.quotas):
            applied.exact_at = now + EXACT_S
            booking.forgo()
            found = await layer.books.reserve(booking.name, partial(self._takes, None), self._lease_s)
        if isinstance(found, Refused):
            raise self._refusal(found)
        exchange.booking = self._booking = booking
        self._look(booking, found)

    def _takes(self, money: int | None, now: float) -> list[Take]:
        """Return what a request takes; of its budgets, where nothing is set aside, only a look."""
        applied, n_in, n_out = self._applied, self._worst.n_in, self._worst.n_out
        spans, at = applied.spans(now), len(applied.quota_lines)
        found = [
            Take(line.account, span, line.of_in * n_in + line.of_out * n_out + line.of_one, line.most)
            for line, span in zip(applied.quota_lines, spans, strict=False)
        ]
        less, amount = (0, 0) if money is None else ((ROOM - 1) * money, money)
        for line, span in zip(applied.budget_lines, spans[at:], strict=True):
            most = None if money is None or line.most is None else line.most - less
            found.append(Take(line.account, span, amount, most))
        return found

    def _refusal(self, refused: Refused) -> TurnoutError:
        quota, _ = self._applied.quotas[refused.index]
        worst = self._worst
        wait_s = refused.wait_s
        if quota.of == "concurrent":
            return RateLimited(
                f"{refused.used} of {quota.limit} requests of this {quota.level} are under way already",
                retry_after_s=BUSY_S,
            )
        left = (quota.limit, max(quota.limit - refused.used, 0), wait_s or 0.0)
        self._exchange.room = Room(
            requests=left if quota.of == "requests" else None, tokens=None if quota.of == "requests" else left
        )
        asked = amount_of(quota.of, worst.n_in, worst.n_out)
        what = f"{quota.limit:,} {quota.of.replace('_', ' ')} for this {quota.level}"
        told = f"{refused.used:,} are used" + (
            "" if quota.of == "requests" else f" and this needs up to {asked:,}"
        )
        message = f"the limit is {what} {_within(quota)}: {told}"
        if isinstance(quota.window, Rolling) and quota.window.seconds <= SHORT_S:
            return RateLimited(message, retry_after_s=wait_s)
        return QuotaExceeded(message, retry_after_s=wait_s)

    def _look(self, booking: Booking, granted: Granted) -> None:
        """Act on what the ledger said."""
        applied = self._applied
        if applied.quotas:
            self._tell(granted)
        if not applied.budgets:
            return
        used_nusd = granted.used[len(applied.quotas) :]
        if applied.hard:
            self._bound(min(map(sub, applied.hard, used_nusd)))
            return
        left_nusd: int | None = None
        own = booking.money or 0
        for (budget, _), used in zip(applied.budgets, used_nusd, strict=True):
            if budget.thresholds:
                self._heed(budget, used - own)
            if budget.hard:
                left = budget.limit_nusd - used
                left_nusd = left if left_nusd is None else min(left, left_nusd)
        if left_nusd is not None:
            self._bound(left_nusd)

    def _bound(self, left_nusd: int) -> None:
        """Let what is left of the tightest budget bound the choice."""
        if left_nusd <= 0:
            self._settle()
            raise BudgetExceeded("the budget is spent")
        if not self._is_ample(left_nusd):
            exchange = self._exchange
            exchange.ask = msgspec.structs.replace(exchange.ask, left_nusd=NanoUsd(left_nusd))

    def _is_ample(self, left_nusd: int) -> bool:
        """Tell whether any call could be paid many times over: then no candidate is asked its price."""
        dearest, request = self._layer.dearest, self._exchange.request
        if dearest is None or not isinstance(request, ChatRequest):
            return False
        return left_nusd >= ROOM * dearest.bound_nusd(request, self._worst.n_in)

    def _tell(self, granted: Granted) -> None:
        """Note what the tightest quotas leave."""
        now = self._layer.books.now()
        requests: _Left | None = None
        tokens: _Left | None = None
        for line, used in zip(self._applied.quota_lines, granted.used, strict=False):
            if line.of == "concurrent" or line.most is None:
                continue
            left = line.most - used if used < line.most else 0
            if line.of == "requests":
                if requests is None or left < requests[1]:
                    requests = (line.most, left, cells_of(line.span(now), now)[2] - now)
            elif tokens is None or left < tokens[1]:
                tokens = (line.most, left, cells_of(line.span(now), now)[2] - now)
        self._exchange.room = Room(requests=requests, tokens=tokens)

    def _heed(self, budget: Budget, used: int) -> None:
        """Do what the highest threshold that was passed says."""
        passed = [t for t in budget.thresholds if used >= t.at * budget.limit_nusd]
        exchange = self._exchange
        for threshold in sorted(passed, key=_at):
            exchange.warnings.append(f"budget_{round(threshold.at * 100)}")
            if threshold.action == "downgrade" and threshold.route is not None:
                exchange.ask = msgspec.structs.replace(exchange.ask, downgrade=threshold.route)
            elif threshold.action == "block":
                self._settle()
                share = round(threshold.at * 100)
                raise BudgetExceeded(f"{share} % of the budget are spent, where it is set to block")

    def _settle(self) -> None:
        booking, self._booking = self._booking, None
        if booking is None:
            return
        applied, attempts = self._applied, self._exchange.attempts
        usage = total(attempts)[0]
        n_in, n_out = (0, 0) if usage is None else (usage.n_input, usage.n_output)
        cost = 0
        for each in attempts if booking.is_used else ():
            if each.n == 1:
                cost = each.cost_nusd or 0
        amounts = [each.of_in * n_in + each.of_out * n_out + each.of_one for each in applied.quota_lines]
        amounts += [cost] * len(applied.budgets)
        self._layer.books.settle(booking.name, amounts, self._lease_s)


def _at(threshold: Threshold) -> float:
    return threshold.at


def _within(quota: Quota) -> str:
    if isinstance(quota.window, Rolling):
        seconds = quota.window.seconds
        named = {60.0: "a minute", 3600.0: "an hour", 86_400.0: "a day"}.get(seconds)
        return named or f"in {seconds:g} s"
    return f"a {quota.window.unit}"
