"""Money, quotas and Records of calls that do not pass the engine. Floor 6.

Passthrough and providers' own batches send what no codec wrote. What they may use is set aside as for any
other call, at every level in one step; what they used replaces it; each leaves a Record.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from turnout.build import Built
from turnout.engine.limits import Worst
from turnout.errors import BudgetExceeded, PriceUnknown, QuotaExceeded, TurnoutError
from turnout.parts import credentials
from turnout.stores.ledger.base import Refused, Take
from turnout.transport.base import Authorise, Prepared, Response
from turnout.transport.rotation import Rotation
from turnout.types.ask import Ask
from turnout.types.deployment import Deployment
from turnout.types.http import HttpRequest, Timeouts
from turnout.types.limits import Quota
from turnout.types.principal import Principal
from turnout.types.record import Attempt, CostState, Outcome, Record
from turnout.types.usage import NanoUsd, Usage, usd

MONEY = "usd"
HEEDED = ("block", "downgrade")
"""Thresholds of a budget that end this: here is no other route to send a call to."""


class Reserved(Struct, frozen=True):
    """What was set aside."""

    name: str
    accounts: tuple[str, ...] = ()
    """What each account counts: `usd`, or the `of` of a quota."""
    lease_s: float = 0.0


class Spent(Struct, frozen=True, kw_only=True):
    """What one call came to."""

    request_id: str
    at: datetime
    endpoint: str
    dialect: str
    deployment: str
    model: str
    provider: str
    status: int | None = None
    error: str | None = None
    usage: Usage | None = None
    cost_nusd: NanoUsd | None = None
    cost_state: CostState = "unknown"
    duration_s: float = 0.0
    ttft_s: float | None = None
    finish: str | None = None
    upstream_id: str | None = None
    metadata: dict[str, str] = {}


class Till:
    """Reserves, settles and records for one process."""

    __slots__ = ("built",)

    def __init__(self, built: Built) -> None:
        self.built = built

    async def reserve(
        self, name: str, ask: Ask, deployment: Deployment, worsts: Sequence[Worst], lease_s: float
    ) -> Reserved:
        """Set aside what calls may use, all of them or none.

        Args:
            name: Unique name of the reservation.
            ask: Who asks.
            deployment: Whom.
            worsts: What each call may use at most.
            lease_s: How long it may take.

        Raises:
            BudgetExceeded: It does not fit.
            QuotaExceeded: Likewise.
            PriceUnknown: A budget applies, and nobody knows what a call costs.
            StoreUnavailable: The ledger cannot be reached.
        """
        limits, books = self.built.engine.snapshot.limits, self.built.books
        if limits.is_empty or books is None:
            return Reserved(name)
        subjects = [*limits.callers(ask), *limits.callees(deployment, None)]
        budgets, quotas = limits.budgets_of(subjects), limits.quotas_of(subjects)
        if len(worsts) > 1:
            quotas = [each for each in quotas if each[0].of != "concurrent"]
        if not budgets and not quotas:
            return Reserved(name)
        if budgets and any(worst.cost_nusd is None for worst in worsts) and not books.allow_unpriced:
            raise PriceUnknown("the price of this call is not known, and a budget applies")
        money = NanoUsd(sum(worst.cost_nusd or 0 for worst in worsts))

        def takes(now: float) -> list[Take]:
            found = [limits.take(budget, subject, money, now) for budget, subject in budgets]
            return found + [limits.take(q, subject, _amount(q, worsts), now) for q, subject in quotas]

        found = await books.reserve(name, takes, lease_s)
        if isinstance(found, Refused):
            raise _refusal(found, [budget.level for budget, _ in budgets], [quota for quota, _ in quotas])
        reserved = Reserved(name, (*(MONEY for _ in budgets), *(quota.of for quota, _ in quotas)), lease_s)
        for (budget, _), used in zip(budgets, found.used, strict=False):
            before = used - money
            if any(t.action in HEEDED and before >= t.at * budget.limit_nusd for t in budget.thresholds):
                self.settle(reserved, ())
                raise BudgetExceeded("so much of the budget is spent that this is not served any more")
        return reserved

    def settle(self, reserved: Reserved, spent: Sequence[Spent]) -> None:
        """Replace what was set aside by what was used. Never raises."""
        books = self.built.books
        if not reserved.accounts or books is None:
            return
        usages = [each.usage for each in spent if each.usage is not None]
        n_in, n_out = sum(u.n_input for u in usages), sum(u.n_output for u in usages)
        by = {
            MONEY: sum(each.cost_nusd or 0 for each in spent),
            "tokens": n_in + n_out,
            "tokens_in": n_in,
            "tokens_out": n_out,
        }
        amounts = [by.get(account, len(spent)) for account in reserved.accounts]
        books.settle(reserved.name, amounts, reserved.lease_s)

    def record(self, who: Principal, spent: Spent) -> None:
        """Leave a Record of a call."""
        journal = self.built.journal
        if journal is None:
            return
        journal.append(
            Record(
                request_id=spent.request_id,
                at=spent.at.astimezone(UTC),
                endpoint=spent.endpoint,
                dialect=spent.dialect,
                principal=who.key_id,
                organisation=who.organisation,
                project=who.project,
                team=who.team,
                customer=who.customer,
                tags=who.tags,
                metadata=spent.metadata,
                attempts=(_attempt(spent),),
                outcome=_outcome(spent),
            )
        )

    def authorise(self, deployment: Deployment) -> Authorise | None:
        """Return what presents the credential of a deployment."""
        alone = msgspec.structs.replace(self.built.engine.snapshot, deployments={deployment.id: deployment})
        return credentials(alone, self.built.wallet).get(deployment.id)

    async def send(
        self, deployment: Deployment, http: HttpRequest, authorise: Authorise | None, timeouts: Timeouts
    ) -> Response:
        """Send with the credential whose turn it is, and with the next where the vendor refuses it.

        Raises what `Transport.send` raises.
        """
        transport = self.built.transport
        while True:
            standing, shown = authorise.turn() if isinstance(authorise, Rotation) else (None, authorise)
            if isinstance(shown, Prepared):
                await shown.prepare(transport)
            response = await transport.send(http, timeouts, shown)
            if standing is None or not isinstance(authorise, Rotation):
                return response
            if not authorise.heard(standing, response.status):
                return response
            response.close()


def _attempt(spent: Spent) -> Attempt:
    return Attempt(
        n=1,
        deployment=spent.deployment,
        model=spent.model,
        provider=spent.provider,
        start_s=0.0,
        ttft_s=spent.ttft_s,
        duration_s=spent.duration_s,
        outcome="ok" if spent.error is None else "failed",
        error=spent.error,
        status=spent.status,
        committed=spent.error is None,
        usage=spent.usage,
        cost_nusd=spent.cost_nusd,
        cost_state=spent.cost_state,
        express=True,
        upstream_id=spent.upstream_id,
    )


def _outcome(spent: Spent) -> Outcome:
    return Outcome(
        error=spent.error,
        finish=spent.finish,
        model=spent.model,
        provider=spent.provider,
        usage=spent.usage,
        usage_source="none" if spent.usage is None else "provider",
        cost_nusd=spent.cost_nusd,
        cost_state=spent.cost_state,
        ttft_s=spent.ttft_s,
        total_s=spent.duration_s,
        n_attempts=1,
    )


def _amount(quota: Quota, worsts: Sequence[Worst]) -> int:
    match quota.of:
        case "tokens":
            return sum(worst.n_in + worst.n_out for worst in worsts)
        case "tokens_in":
            return sum(worst.n_in for worst in worsts)
        case "tokens_out":
            return sum(worst.n_out for worst in worsts)
        case _:
            return len(worsts)


def _refusal(refused: Refused, levels: list[str], quotas: list[Quota]) -> TurnoutError:
    if refused.index < len(levels):
        return BudgetExceeded(
            f"the budget of this {levels[refused.index]} has {usd(refused.used)} USD used: this does not fit",
            retry_after_s=refused.wait_s,
        )
    quota = quotas[refused.index - len(levels)]
    what = f"{quota.limit:,} {quota.of.replace('_', ' ')}"
    return QuotaExceeded(
        f"the limit of {what} of this {quota.level} is reached", retry_after_s=refused.wait_s
    )
