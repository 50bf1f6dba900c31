"""Parts of a Decision as bytes, for the journal: what was told before is not encoded again. Floor 4.

Theory of operation.

1. A Record is mostly its candidates, and most of what it tells of one was told before: its names always,
   its live numbers until it is called again. Each deployment has a `Seat`, in which these lie encoded; what
   is new in a request is written into the seats, which are encoded at once, in one pass.
2. That is for decisions that tell of nothing else: nobody was dropped, no quality was predicted. Others are
   written out as views, and these encoded.
3. A plan that only names deployments is one of few; its tree is kept as it is encoded.
4. What comes out is what encoding the Decision itself would give, but for the order of a map's members.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw, Struct

from turnout import plan as plans
from turnout.stores.base import ENCODER
from turnout.types.deployment import Deployment, Stats
from turnout.types.record import HealthView, LiveView, PlanKind, Quantiles, Status

MOST_PLANS: Final = 1000
_NOTHING: Final[Mapping[str, float]] = {}


class Numbers(NamedTuple):
    """What a candidate's view tells of its live numbers."""

    stats: Stats
    ttft_s: Quantiles
    total_s: Quantiles | None
    health: HealthView
    live: LiveView | None


class Paid(Struct, frozen=True):
    """A predicted cost as it is encoded. Named as in `CostView`."""

    mean: int
    worst: int
    price_version: str


class Seat(Struct, omit_defaults=True):
    """A candidate as it is encoded. Named as in `CandidateView`."""

    id: str
    model: str
    ttft_s: Raw
    health: Raw
    status: Status
    scores: Mapping[str, float] = _NOTHING
    utility: float | None = None
    cost_nusd: Paid | None = None
    total_s: Raw | None = None
    in_flight: int = 0
    live: Raw | None = None
    n_tokens_out: int | None = None


class Seated(NamedTuple):
    """A seat, what its numbers were when they were encoded, and what a call costs, in pico-USD a token."""

    stats: Stats
    seat: Seat
    mean_in: int
    mean_out: int
    worst_in: int
    worst_out: int
    call: int
    as_of: str


def seated(deployment: Deployment, numbers: Numbers) -> Seated | None:
    """Return the seat of a candidate whose numbers have moved.

    None where its price is not known, or depends on the input.
    """
    price = deployment.model.price
    if price is None or price.tiers:
        return None
    seat = Seat(
        deployment.id,
        deployment.model.id,
        Raw(ENCODER.encode(numbers.ttft_s)),
        Raw(ENCODER.encode(numbers.health)),
        "eligible",
        total_s=None if numbers.total_s is None else Raw(ENCODER.encode(numbers.total_s)),
        in_flight=numbers.stats.in_flight,
        live=None if numbers.live is None else Raw(ENCODER.encode(numbers.live)),
    )
    return Seated(
        numbers.stats,
        seat,
        price.input,
        price.output,
        max(price.input, price.cache_write_5m or 0, price.cache_write_1h or 0),
        max(price.output, price.reasoning or 0),
        price.per_request or 0,
        price.as_of,
    )


def array(seats: Sequence[Seat]) -> Raw:
    """Return candidates as they are stored."""
    return Raw(ENCODER.encode(seats))


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
