"""Parts of a Decision as bytes, for the journal: what was told before is not encoded again. Floor 4.

Theory of operation.

1. A Record is mostly its candidates, and most of what it tells of one was told before: its names always,
   its live numbers until it is called again. Each pool has a `Bench`, in which these lie encoded, column by
   column; seats are made of it and of what is new in a request, and encoded, without a step of Python each.
2. That is for decisions that tell of nothing else: nobody was dropped, no quality was predicted. Others are
   written out as views, and these encoded.
3. A plan that only names deployments is one of few; its tree is kept as it is encoded.
4. What comes out is what encoding the Decision itself would give, but for the order of a map's members.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw, Struct

from turnout import plan as plans
from turnout.stores.base import ENCODER
from turnout.types.deployment import Deployment, Stats
from turnout.types.record import HealthView, LiveView, PlanKind, Quantiles, Status

MOST_PLANS: Final = 1000


class Numbers(NamedTuple):
    """What a candidate's view tells of its live numbers."""

    stats: Stats
    ttft_s: Quantiles
    total_s: Quantiles | None
    health: HealthView
    live: LiveView | None


class Paid(Struct, frozen=True, omit_defaults=True):
    """A predicted cost as it is encoded. Named as in `CostView`."""

    mean: int
    worst: int
    price_version: str = ""


class Seat(Struct, omit_defaults=True):
    """A candidate as it is encoded. Named as in `CandidateView`."""

    id: str
    model: str
    status: Status
    scores: Mapping[str, float]
    utility: float
    cost_nusd: Paid
    n_tokens_out: int | None
    ttft_s: Raw
    health: Raw
    total_s: Raw | None = None
    in_flight: int = 0
    live: Raw | None = None


class Fare(NamedTuple):
    """What a call costs, in pico-USD a token, and a call itself."""

    mean_in: int
    mean_out: int
    worst_in: int
    worst_out: int
    call: int
    as_of: str


def fare_of(deployment: Deployment) -> Fare | None:
    """Return what calls to a deployment cost; None where that is not known, or depends on the input."""
    price = deployment.model.price
    if price is None or price.tiers:
        return None
    return Fare(
        price.input,
        price.output,
        max(price.input, price.cache_write_5m or 0, price.cache_write_1h or 0),
        max(price.output, price.reasoning or 0),
        price.per_request or 0,
        price.as_of,
    )


class Bench:
    """The candidates of one pool, column by column: what was told of each before, encoded."""

    __slots__ = ("_fares", "_health", "_in_flight", "_live", "_models", "_stats", "_total", "_ttft", "ids")

    def __init__(self, deployments: Sequence[Deployment], fares: Sequence[Fare]) -> None:
        self.ids = [each.id for each in deployments]
        self._models = [each.model.id for each in deployments]
        self._fares = fares
        n = len(deployments)
        self._stats: list[Stats | None] = [None] * n
        self._ttft = self._health = [Raw()] * n
        self._total: list[Raw | None] = [None] * n
        self._live: list[Raw | None] = [None] * n
        self._in_flight = [0] * n

    def follow(self, stats: list[Stats], numbers: Callable[[Stats], Numbers]) -> None:
        """Encode the numbers of those that moved."""
        if stats == self._stats:
            return
        self._ttft, self._health = self._ttft.copy(), self._health.copy()
        for at, (now, before) in enumerate(zip(stats, self._stats, strict=True)):
            if now is before:
                continue
            told = numbers(now)
            self._ttft[at] = Raw(ENCODER.encode(told.ttft_s))
            self._health[at] = Raw(ENCODER.encode(told.health))
            self._total[at] = None if told.total_s is None else Raw(ENCODER.encode(told.total_s))
            self._live[at] = None if told.live is None else Raw(ENCODER.encode(told.live))
            self._in_flight[at] = now.in_flight
        self._stats[:] = stats

    def costs(self, n_in: int, n_out: int, most: int, outs: Sequence[int | None]) -> list[Paid]:
        """Return what a call to each costs, on the average and at its worst."""
        return [
            Paid(
                -(-(n_in * of_in + (n_out if out is None else out) * of_out + call) // 1000),
                -(-(n_in * worst_in + most * worst_out + call) // 1000),
                as_of,
            )
            for (of_in, of_out, worst_in, worst_out, call, as_of), out in zip(self._fares, outs, strict=True)
        ]

    def statuses(self, chosen: Sequence[str]) -> list[Status]:
        """Return what became of each, where nobody was dropped."""
        ids = self.ids
        found: list[Status]
        if len(chosen) == len(ids):
            found = ["eligible"] * len(ids)
        else:
            found = ["eligible" if name in chosen else "lost" for name in ids]
        if chosen and chosen[0] in ids:
            found[ids.index(chosen[0])] = "chosen"
        return found

    def array(
        self,
        statuses: Sequence[Status],
        terms: Sequence[Mapping[str, float]],
        utilities: Sequence[float],
        costs: Sequence[Paid],
        outs: Sequence[int | None],
    ) -> Raw:
        """Return the candidates as they are stored."""
        known = self._ttft, self._health, self._total, self._in_flight, self._live
        seats = map(Seat, self.ids, self._models, statuses, terms, utilities, costs, outs, *known)
        return Raw(ENCODER.encode(list(seats)))


class Planned(NamedTuple):
    """What a Decision tells of a plan."""

    tree: Raw
    kind: PlanKind
    chosen: tuple[str, ...]


class Plans:
    """Plans as Decisions tell of them."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[plans.Plan, Planned] = {}

    def of(self, plan: plans.Plan) -> Planned:
        """Return what is told of a plan; kept where it only names deployments."""
        try:
            found = self._known.get(plan)
        except TypeError:  # it holds what cannot be hashed
            return _planned(plan)
        if found is None:
            if len(self._known) >= MOST_PLANS:
                self._known.clear()
            found = self._known[plan] = _planned(plan)
        return found


def _planned(plan: plans.Plan) -> Planned:
    tree = Raw(msgspec.msgpack.encode(plans.to_json(plan)))
    return Planned(tree, plans.kind(plan), plans.deployments(plan))
