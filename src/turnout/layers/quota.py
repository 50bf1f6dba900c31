"""Requests and tokens of a caller, and a first look at its money. Floor 4.

Theory of operation.

1. On the way in one reservation takes a request, its tokens at their worst and a place from every quota of
   the caller, or nothing and refuses. The same step reads the caller's budgets, so it costs no second one.
2. What the budgets say is acted on before anything is decided: a threshold may send the request to another
   route or block it, and what is left bounds what a plan may cost at its worst. The money itself is reserved
   call by call (`layers.budget`).
3. On the way out the tokens are settled from what was counted and the place is given back; a request stays
   a request whatever became of it.
"""

from functools import partial
from types import TracebackType
from typing import Final, Literal

import msgspec

from turnout.engine.books import Books, Meter
from turnout.engine.exchange import Room
from turnout.engine.limits import Worst, amount_of, worst_case
from turnout.errors import BudgetExceeded, QuotaExceeded, RateLimited, TurnoutError
from turnout.layers.base import Clock, Exchange, Handler, Inner, Reply, total
from turnout.stores.ledger.base import Granted, Refused, Take, cells_of
from turnout.types.limits import Budget, Quota, Rolling, Threshold
from turnout.types.usage import NanoUsd

SHORT_S: Final = 3600.0
"""A quota over at most this long is a rate; what is longer is a quota that a client cannot wait for."""
SPARE_S: Final = 60.0
"""Added to the deadline for the lease (SECURITY.md S-92)."""
BUSY_S: Final = 1.0
"""What a caller is told to wait for a place: nobody knows when one is free."""
NO_DEADLINE_S: Final = 3600.0
Kind = Literal["requests", "tokens"]


class QuotaLayer:
    """Holds callers to their quotas, and sends on or blocks those whose budget is nearly spent."""

    __slots__ = ("_books", "clock", "limits")

    def __init__(self, meter: Meter, clock: Clock) -> None:
        self._books = meter.books
        self.limits = meter.limits
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
    __slots__ = (
        "_budgets",
        "_exchange",
        "_handler",
        "_inner",
        "_layer",
        "_lease_s",
        "_quotas",
        "_reservation",
    )

    def __init__(self, layer: QuotaLayer, handler: Handler, exchange: Exchange) -> None:
        applied = layer.limits.of_request(layer.limits.callers(exchange.ask))
        self._layer = layer
        self._exchange = exchange
        self._handler = handler
        self._inner: Inner | None = None
        self._quotas, self._budgets = applied.quotas, applied.budgets
        self._reservation = ""
        self._lease_s = NO_DEADLINE_S

    async def __aenter__(self) -> Reply:
        exchange = self._exchange
        if self._quotas or self._budgets:
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
        exchange, layer = self._exchange, self._layer
        worst = worst_case(exchange.request, None)
        if exchange.deadline_at is not None:
            self._lease_s = max(exchange.deadline_at - layer.clock(), 0.0) + SPARE_S

        def takes(now: float) -> list[Take]:
            limits = layer.limits
            found = [
                limits.take(q, subject, amount_of(q, worst.n_in, worst.n_out), now)
                for q, subject in self._quotas
            ]
            found += [limits.look(budget, subject, now) for budget, subject in self._budgets]
            return found

        reservation = f"{exchange.ask.request_id}:q"
        found = await layer.books.reserve(reservation, takes, self._lease_s)
        if isinstance(found, Refused):
            raise self._refusal(found, worst)
        self._reservation = reservation
        self._look(found)

    def _refusal(self, refused: Refused, worst: Worst) -> TurnoutError:
        quota, _ = self._quotas[refused.index]
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
        asked = amount_of(quota, worst.n_in, worst.n_out)
        what = f"{quota.limit:,} {quota.of.replace('_', ' ')} for this {quota.level}"
        told = f"{refused.used:,} are used" + (
            "" if quota.of == "requests" else f" and this needs up to {asked:,}"
        )
        message = f"the limit is {what} {_within(quota)}: {told}"
        if isinstance(quota.window, Rolling) and quota.window.seconds <= SHORT_S:
            return RateLimited(message, retry_after_s=wait_s)
        return QuotaExceeded(message, retry_after_s=wait_s)

    def _look(self, granted: Granted) -> None:
        """Act on what the ledger said."""
        exchange, limits = self._exchange, self._layer.limits
        room: dict[Kind, tuple[int, int, float]] = {}
        now = self._layer.books.now()
        for (quota, _), used in zip(self._quotas, granted.used, strict=False):
            kind: Kind = "requests" if quota.of == "requests" else "tokens"
            if quota.of == "concurrent":
                continue
            left = max(quota.limit - used, 0)
            if kind not in room or left < room[kind][1]:
                room[kind] = (quota.limit, left, cells_of(limits.span(quota.window, now), now)[2] - now)
        left_nusd: NanoUsd | None = None
        for (budget, _), used in zip(self._budgets, granted.used[len(self._quotas) :], strict=True):
            self._heed(budget, used)
            if budget.hard:
                left = budget.limit_nusd - used
                left_nusd = NanoUsd(left if left_nusd is None else min(left, left_nusd))
        exchange.room = Room(requests=room.get("requests"), tokens=room.get("tokens"))
        if left_nusd is not None:
            if left_nusd <= 0:
                self._settle()
                raise BudgetExceeded("the budget is spent")
            exchange.ask = msgspec.structs.replace(exchange.ask, left_nusd=left_nusd)

    def _heed(self, budget: Budget, used: int) -> None:
        """Do what the highest threshold that was passed says."""
        if not budget.thresholds:
            return
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
        if not self._reservation:
            return
        reservation, self._reservation = self._reservation, ""
        usage = total(self._exchange.attempts)[0]
        n_in, n_out = (0, 0) if usage is None else (usage.n_input, usage.n_output)
        amounts = [amount_of(quota, n_in, n_out) for quota, _ in self._quotas] + [0] * len(self._budgets)
        self._layer.books.settle(reservation, amounts, self._lease_s)


def _at(threshold: Threshold) -> float:
    return threshold.at


def _within(quota: Quota) -> str:
    if isinstance(quota.window, Rolling):
        seconds = quota.window.seconds
        named = {60.0: "a minute", 3600.0: "an hour", 86_400.0: "a day"}.get(seconds)
        return named or f"in {seconds:g} s"
    return f"a {quota.window.unit}"
