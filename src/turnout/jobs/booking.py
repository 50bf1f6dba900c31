"""When a job is to run: the cheapest instant that leaves enough time. Floor 4.

Theory of operation (ROUTING.md 1.5).

1. Prices change when a slot opens or closes and at no other time, so only now and those instants are
   compared.
2. For each the caller tells whom the route would ask then and what that is expected to cost: an `Option`.
3. P(done by the deadline) is read off the observed quantiles of a run, taken as log-normal:
   ln T ~ N(ln p50, σ) with σ = (ln p95 - ln p50) / 1.645. Of a deployment that was never observed only the
   time-out of one attempt is known: it is in time if that is.
4. The least price wins among those with P ≥ 1 - η; the earlier one of two. If there is none, now.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from math import inf, log
from statistics import NormalDist

from msgspec import Struct

from turnout.stores.queue import Booking
from turnout.types.slot import Slot

MOST_INSTANTS = 48
"""Compared at most, the earliest ones: every opening and closing of a few slots within a week."""
Z_95 = 1.6449
_NORMAL = NormalDist()
_LEAST_S = 0.05


class Span(Struct, frozen=True):
    """How long a run takes."""

    bound_s: float
    """Time-out of one attempt."""
    p50_s: float | None = None
    p95_s: float | None = None
    """None = nothing was observed."""

    @property
    def margin_s(self) -> float:
        """Time to leave for a run: the observed 95th percentile, or the bound."""
        return self.bound_s if self.p95_s is None else self.p95_s

    def p_within(self, seconds: float) -> float:
        """Return the probability that a run takes no longer than this."""
        if seconds <= 0:
            return 0.0
        if self.p50_s is None or self.p95_s is None:
            return 1.0 if seconds >= self.bound_s else 0.0
        middle, high = max(self.p50_s, _LEAST_S), max(self.p95_s, _LEAST_S)
        if high <= middle:
            return 1.0 if seconds >= middle else 0.0
        return _NORMAL.cdf(log(seconds / middle) / (log(high / middle) / Z_95))


class Option(Struct, frozen=True, kw_only=True):
    """One instant at which a job could start."""

    at: datetime
    span: Span
    price_nusd: int | None = None
    """Expected price then; None = not known, which is dearer than any."""
    price_factor: float = 1.0
    slot: str | None = None
    deployment: str | None = None
    model: str | None = None


def instants(slots: Iterable[Slot], now: datetime, deadline: datetime) -> list[datetime]:
    """Return now and every later instant before the deadline at which a slot opens or closes."""
    found = {now}
    for slot in set(slots):
        for step in (slot.opens, slot.closes):
            at = step(now)
            while at < deadline and len(found) <= MOST_INSTANTS:
                found.add(at)
                at = step(at)
    return sorted(found)[:MOST_INSTANTS]


def book(options: Sequence[Option], deadline: datetime, *, eta: float, wait_s: float = 0.0) -> Booking:
    """Choose when a job is to run.

    Args:
        options: At least one; the first is the earliest possible start.
        deadline: When the answer is wanted.
        eta: Probability of missing it that a lower price is worth.
        wait_s: Expected time behind other jobs.
    """
    first = options[0]
    chances = [each.span.p_within((deadline - each.at).total_seconds() - wait_s) for each in options]
    able = [at for at, p in enumerate(chances) if p >= 1 - eta]
    best = min(able, key=lambda at: (_price(options[at]), options[at].at), default=0)
    chosen = options[best]
    latest = max(deadline - timedelta(seconds=chosen.span.margin_s), first.at)
    promoted = not able or latest <= first.at
    return Booking(
        start_at=first.at if promoted else chosen.at,
        latest_at=first.at if promoted else latest,
        slot=chosen.slot,
        deployment=chosen.deployment,
        model=chosen.model,
        price_nusd=chosen.price_nusd,
        price_factor=chosen.price_factor,
        plain_nusd=first.price_nusd,
        p_done=None if chosen.span.p95_s is None else round(chances[best], 4),
        promoted=promoted,
    )


def _price(option: Option) -> float:
    return inf if option.price_nusd is None else option.price_nusd
