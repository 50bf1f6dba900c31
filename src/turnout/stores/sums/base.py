"""What a journal can be summed by, and what such a sum holds. Floor 3.

Sums are kept by the hour, so that a question about a month does not read ten million Records. A range is
therefore made of whole hours.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal, Protocol, get_args, runtime_checkable

from msgspec import Struct

Dimension = Literal["organisation", "project", "team", "key", "customer", "tag", "route", "model", "provider"]
DIMENSIONS: Final[tuple[Dimension, ...]] = get_args(Dimension)
Step = Literal["hour", "day"]
HOUR_US: Final = 3_600_000_000
HOURS: Final[Mapping[Step | None, int]] = {"hour": 1, "day": 24}


class SumQuery(Struct, frozen=True, kw_only=True):
    """Which requests to sum, and into which groups. Every field given must match."""

    since: datetime | None = None
    """Arrived in this hour or later."""
    until: datetime | None = None
    """Arrived before this hour."""
    by: tuple[Dimension, ...] = ()
    """A request with several tags counts under each of them; otherwise groups do not overlap."""
    per: Step | None = None
    """Also by hour or by day, in UTC."""
    organisation: str | None = None
    project: str | None = None
    team: str | None = None
    key: str | None = None
    customer: str | None = None
    tag: str | None = None
    route: str | None = None
    model: str | None = None
    provider: str | None = None


class Sum(Struct, frozen=True, kw_only=True):
    """The requests of one group together."""

    group: tuple[str, ...]
    """Values of `by`, in its order; "" = the request had none."""
    at: datetime | None = None
    """Beginning of the hour or day, where asked for."""
    n: int
    """Requests."""
    n_failed: int
    n_unpriced: int
    """Served, and nobody knows at what price."""
    cost_nusd: int
    n_input: int
    """Tokens."""
    n_output: int
    total_s: float
    """Over all requests; divided by `n` it is the mean."""


@runtime_checkable
class Sums(Protocol):
    """A journal that can be summed."""

    async def sums(self, query: SumQuery) -> tuple[Sum, ...]:
        """Return one sum for each group that has any request: dearest first, by time where asked for.

        Raises:
            StoreUnavailable: The rows cannot be read.
        """
        ...


@runtime_checkable
class SumRows(Protocol):
    """Rows that can be summed. Blocking."""

    def sums(self, query: SumQuery) -> tuple[Sum, ...]:
        """Return what `Sums.sums` does. Raises `StoreUnavailable`."""
        ...


def ordered(found: list[Sum]) -> tuple[Sum, ...]:
    """Return sums in the order in which they are told."""
    found.sort(key=lambda each: (each.at is not None and each.at.timestamp(), -each.cost_nusd, each.group))
    return tuple(found)
