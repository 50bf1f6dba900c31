"""Money, call by call: the worst case is set aside before anything is sent. Floor 4.

Theory of operation.

1. Each attempt reserves for itself, at every level in one step: the caller's budgets and those of the route,
   the model and the provider it goes to. Retries, hedges, judges and votes are attempts too, so none of them
   can spend what nobody set aside (SECURITY.md S-95). Only the first attempt of a request may find its worst
   case set aside already, with the request's own quotas, and is settled with them (`engine/booking.py`);
   never where a route, a model or a provider has limits, as these are known with the attempt alone.
2. It is settled once, when the attempt has been written down: with what it cost, estimated where the upstream
   did not tell. An attempt that cost nothing gives everything back.
3. A realtime session reserves and settles answer by answer (`engine/session.py`): when one is settled, the
   worst case of the next is set aside, or the session ends.
4. Where a budget applies and no price is known nothing is sent (S-93), unless the operator allows it.
"""

from collections import deque
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Final, TypeAlias

from turnout.engine.books import Books, Meter
from turnout.engine.limits import Applied, Worst, amount_of, worst_case
from turnout.engine.session import SessionReply
from turnout.errors import (
    BudgetExceeded,
    CapacityExhausted,
    PriceUnknown,
    QuotaExceeded,
    RateLimited,
    StoreUnavailable,
    TurnoutError,
)
from turnout.layers.base import Call, CallHandler, Clock, Reply, refuse
from turnout.stores.ledger.base import Refused, Take
from turnout.types.limits import Budget, Quota, Rolling
from turnout.types.usage import NanoUsd, Usage, usd

SPARE_S: Final = 60.0
NO_DEADLINE_S: Final = 3600.0
SHORT_S: Final = 3600.0
NOTHING: Final = Worst(0, 0, None)
_Budgets: TypeAlias = tuple[tuple[Budget, str], ...]
_Quotas: TypeAlias = tuple[tuple[Quota, str], ...]


class BudgetLayer:
    """Reserves, settles and releases the money of calls.

    Args:
        meter: The ledger, and what applies to whom.
        clock: Monotonic seconds.
    """

    __slots__ = ("_books", "clock", "limits")

    def __init__(self, meter: Meter, clock: Clock) -> None:
        self._books = meter.books
        self.limits = meter.limits
        self.clock = clock

    @property
    def books(self) -> Books:
        """The ledger; there is one where something is limited."""
        assert self._books is not None
        return self._books

    def __call__(self, inner: CallHandler) -> CallHandler:
        """Wrap a call handler; none where nothing is limited."""
        if self.limits.is_empty or self._books is None:
            return inner

        def handler(call: Call) -> AbstractAsyncContextManager[Reply]:
            limits, exchange = self.limits, call.exchange
            booking = exchange.booking
            if booking is not None and call.n == 1 and not limits.has_callees and booking.covers(call):
                return inner(call)
            route = None if exchange.routing is None else exchange.routing.route
            callees = limits.callees(call.deployment, route)
            found = limits.of_call(limits.callers(exchange.ask), callees)
            return _Reserved(self, inner, call, found) if found.budgets or found.quotas else inner(call)

        return handler


class _Reserved:
    __slots__ = (
        "_budgets",
        "_call",
        "_held",
        "_inner",
        "_layer",
        "_lease_s",
        "_n_taken",
        "_paid",
        "_place",
        "_places",
        "_quotas",
    )

    def __init__(self, layer: BudgetLayer, handler: CallHandler, call: Call, applied: Applied) -> None:
        self._layer = layer
        self._call = call
        self._budgets, self._quotas = applied.budgets, applied.quotas
        self._places: _Quotas = ()
        """Quotas of which a session takes one for as long as it lasts, not for each of its answers."""
        self._place = ""
        if call.request.facts.realtime:
            self._places = tuple(each for each in self._quotas if each[0].of == "concurrent")
            self._quotas = tuple(each for each in self._quotas if each[0].of != "concurrent")
        self._inner = handler(call)
        self._held: deque[str] = deque()
        """Reservations that are not settled: one, but where a session has several responses under way."""
        self._n_taken = 0
        self._paid = (0, 0, 0)
        """Money and tokens, in and out, settled before the call ended."""
        deadline_at = call.exchange.deadline_at
        left_s = NO_DEADLINE_S if deadline_at is None else max(deadline_at - layer.clock(), 0.0)
        self._lease_s = left_s + SPARE_S

    async def __aenter__(self) -> Reply:
        if self._places:
            await self._take(place := f"{self._name}.p", (), self._places, NOTHING)
            self._place = place
        try:
            await self.more()
            reply = await self._inner.__aenter__()
        except BaseException:
            self._settle()
            raise
        if isinstance(reply, SessionReply):
            reply.tab = self
        return reply

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        try:
            return await self._inner.__aexit__(kind, error, trace)
        finally:
            self._settle()

    async def more(self) -> None:
        """Set the worst case of one answer aside. Raises a `TurnoutError` where that is refused."""
        call = self._call
        worst = worst_case(call.request, call.deployment)
        if worst.cost_nusd is None and self._budgets and not self._layer.books.allow_unpriced:
            raise self._refuse(
                PriceUnknown(f"the price of {call.deployment.model.id} is not known, and a budget applies")
            )
        name = f"{self._name}.{self._n_taken}" if self._n_taken else self._name
        self._n_taken += 1
        await self._take(name, self._budgets, self._quotas, worst)
        self._held.append(name)

    @property
    def _name(self) -> str:
        call = self._call
        booking = call.exchange.booking
        name = f"{call.exchange.ask.request_id}:{call.n}"
        return f"{name}+" if booking is not None and booking.name == name else name

    async def _take(self, name: str, budgets: _Budgets, quotas: _Quotas, worst: Worst) -> None:
        """Reserve under a name. Raises a `TurnoutError` where that is refused."""
        layer, money = self._layer, worst.cost_nusd or NanoUsd(0)
        amounts = [amount_of(quota.of, worst.n_in, worst.n_out) for quota, _ in quotas]

        def takes(now: float) -> list[Take]:
            found = [layer.limits.take(budget, subject, money, now) for budget, subject in budgets]
            for (quota, subject), amount in zip(quotas, amounts, strict=True):
                found.append(layer.limits.take(quota, subject, amount, now))
            return found

        try:
            found = await layer.books.reserve(name, takes, self._lease_s)
        except StoreUnavailable as error:
            raise self._refuse(error) from None
        if isinstance(found, Refused):
            raise self._refuse(_refusal(found, money, budgets, quotas))

    async def pay(self, usage: Usage, cost_nusd: NanoUsd) -> None:
        """Settle one answer of a session, and set the next aside where nothing else is."""
        money, n_in, n_out = self._paid
        self._paid = (money + cost_nusd, n_in + usage.n_input, n_out + usage.n_output)
        if self._held:
            self._settle_one(cost_nusd, usage.n_input, usage.n_output)
        if not self._held:
            await self.more()

    def _refuse(self, error: TurnoutError) -> TurnoutError:
        if self._n_taken > 1:
            return error  # of a call that is under way
        return refuse(self._call, error, self._layer.clock())

    def _settle(self) -> None:
        if self._place:
            place, self._place = self._place, ""
            self._layer.books.settle(place, [0] * len(self._places), self._lease_s)
        if not self._held:
            return
        call = self._call
        # Written by the measure layer further in, just now; calls that ran beside it may follow.
        attempts = call.exchange.attempts
        written = attempts[-1] if attempts else None
        if written is not None and written.n != call.n:
            written = next((a for a in reversed(attempts) if a.n == call.n), None)
        cost = 0 if written is None else written.cost_nusd or 0
        usage = None if written is None else written.usage
        n_in, n_out = (0, 0) if usage is None else (usage.n_input, usage.n_output)
        money, paid_in, paid_out = self._paid
        self._settle_one(max(cost - money, 0), max(n_in - paid_in, 0), max(n_out - paid_out, 0))
        while self._held:
            self._settle_one(0, 0, 0)

    def _settle_one(self, cost: int, n_in: int, n_out: int) -> None:
        amounts = [cost] * len(self._budgets)
        amounts += [amount_of(quota.of, n_in, n_out) for quota, _ in self._quotas]
        self._layer.books.settle(self._held.popleft(), amounts, self._lease_s)


def _refusal(refused: Refused, money: NanoUsd, budgets: _Budgets, quotas: _Quotas) -> TurnoutError:
    if refused.index < len(budgets):
        budget, _ = budgets[refused.index]
        left = max(budget.limit_nusd - refused.used, 0)
        return BudgetExceeded(
            f"the budget of this {budget.level} has {usd(left)} of {usd(budget.limit_nusd)} USD left, "
            f"and the call may cost up to {usd(money)}",
            retry_after_s=refused.wait_s,
        )
    quota, subject = quotas[refused.index - len(budgets)]
    what = f"{quota.limit:,} {quota.of.replace('_', ' ')}"
    message = f"the limit of {what} for {quota.level} {subject} is reached"
    if quota.level != "route":  # another model or provider has its own
        return CapacityExhausted(message, retry_after_s=refused.wait_s)
    if isinstance(quota.window, Rolling) and quota.window.seconds <= SHORT_S:
        return RateLimited(message, retry_after_s=refused.wait_s)
    return QuotaExceeded(message, retry_after_s=refused.wait_s)
