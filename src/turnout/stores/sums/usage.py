"""What a dashboard asks of a journal: numbers over time and by group, with latencies. Floor 3.

Theory of operation.
1. Requests are summed into cells: one for each minute, hour and day, and each cube. A cube is a set of
   dimensions: what is asked is answered from the smallest one that has all dimensions named. Minutes are kept
   of the cubes `WITH_MINUTES`, whose groups are few.
2. Cells follow the rows by a number, in transactions that change both: every row counts once, whoever adds it
   and whatever crashes. The journal's writer lets them follow every `FOLLOW_S`, or `FOLLOW_ROWS`: a cell that
   is written for many requests at once costs each of them little. Who asks lets them follow first. Rows from
   before there were cells are counted the same way.
3. Minutes are kept for `MINUTES_KEPT`, hours for `HOURS_KEPT`, days for ever (`stores.sums.cells`).
4. A range is whole steps where steps are asked for. Otherwise it is put together from whole days, and from
   hours and minutes at its ends.
5. Who asked one model is kept by the hour and day (`WITHIN`): counters that the sums of spend have too.
   Other combinations that no cube has, such as a customer by model, are answered from these sums. Both lack
   latencies and some counters (None).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Literal, Protocol, runtime_checkable

from msgspec import Struct
from msgspec.structs import replace

from turnout.errors import InvalidRequest
from turnout.stores.columns import EPOCH, microseconds
from turnout.stores.sums import spread
from turnout.stores.sums.base import DIMENSIONS, Dimension, Sum, SumQuery

Width = Literal["minute", "hour", "day"]
WIDTHS: Final[tuple[Width, ...]] = ("minute", "hour", "day")
MINUTES: Final[Mapping[Width, int]] = {"minute": 1, "hour": 60, "day": 1440}
MINUTE_US: Final = 60_000_000
DAY_US: Final = 86_400_000_000
MINUTES_KEPT: Final = timedelta(days=31)
HOURS_KEPT: Final = timedelta(days=396)
Rank = Literal["cost", "requests", "errors", "tokens"]
SHARES: Final = (0.5, 0.95, 0.99)
CUBES: Final[tuple[tuple[Dimension, ...], ...]] = (
    (),
    ("organisation",),
    ("organisation", "project"),
    ("organisation", "team"),
    ("organisation", "route"),
    ("organisation", "model"),
    ("organisation", "provider"),
    ("organisation", "key"),
    ("organisation", "customer"),
    ("organisation", "tag"),
    ("organisation", "project", "team", "route", "model", "provider"),
    # Of all organisations together, however many there are: what who runs the gateway looks at.
    ("provider",),
    ("route",),
    ("model",),
    ("route", "model", "provider"),
)
WITH_MINUTES: Final = frozenset((*range(7), *range(11, 14)))
"""Places of the cubes whose groups are few."""
LATER: Final = 11
"""From here on, cubes begin with the day on which a database got them."""
WITHIN: Final = (7, 8, 9)
"""Places of the cubes that are also kept of each model alone: who asked it, without latencies."""
_BY_SIZE: Final = (0, *range(LATER, len(CUBES)), *range(1, LATER))
FOLLOW_S: Final = 5.0
FOLLOW_ROWS: Final = 5_000
"""From the smallest to the largest. Their places are kept in databases: only ever add behind the last."""


_PAIRS: Final[tuple[tuple[Width, Width], ...]] = (("minute", "hour"), ("hour", "day"))


class UsageQuery(Struct, frozen=True, kw_only=True):
    """Which requests to sum, over time or in groups. Every field given must match."""

    since: datetime
    """Arrived in this minute or later."""
    until: datetime
    """Arrived before this minute."""
    step: Width | None = None
    """One row for each of these; None = one over the whole range."""
    by: tuple[Dimension, ...] = ()
    """A request with several tags counts under each of them."""
    latencies: bool = True
    """Whether quantiles and the classes of errors are asked for."""
    top: int | None = None
    """Only so many groups, the greatest first."""
    rank: Rank = "cost"
    organisation: str | None = None
    project: str | None = None
    team: str | None = None
    key: str | None = None
    customer: str | None = None
    tag: str | None = None
    route: str | None = None
    model: str | None = None
    provider: str | None = None


class Latency(Struct, frozen=True):
    """Quantiles in seconds, each within `spread.ERROR` of the true one."""

    p50: float | None
    p95: float | None
    p99: float | None


class Used(Struct, frozen=True, kw_only=True):
    """The requests of one group, or of one step of it, together. None = not kept for such a combination."""

    group: tuple[str, ...] = ()
    """Values of `by`, in its order; "" = the request had none."""
    at: datetime | None = None
    """Beginning of the step."""
    n: int = 0
    """Requests."""
    n_failed: int = 0
    n_unpriced: int = 0
    """Served, and nobody knows at what price."""
    cost_nusd: int = 0
    n_input: int = 0
    """Tokens."""
    n_output: int = 0
    total_s: float = 0.0
    n_cached: int | None = 0
    """Input tokens that the provider read from its cache."""
    n_hits: int | None = 0
    """Answered from a cache of ours."""
    n_guarded: int | None = 0
    """A guard found something."""
    strong_nusd: int | None = 0
    """What always taking the dearest candidate would have cost, where that is known."""
    routed_nusd: int | None = 0
    """What those same requests did cost: the difference is what routing saved."""
    ttft: Latency | None = None
    total: Latency | None = None
    errors: Mapping[str, int] | None = None
    """Class word -> failures; None = not asked for."""


@runtime_checkable
class Usages(Protocol):
    """A journal that keeps usage."""

    async def usage(self, query: UsageQuery) -> tuple[Used, ...]:
        """Return one row for each group, and step where asked for, that had any request.

        By time, then the greatest first.

        Raises:
            InvalidRequest: Minutes are asked for of a combination that is kept by the hour only.
            StoreUnavailable: The rows cannot be read.
        """
        ...

    async def prune_usage(self, now: datetime, most: int) -> int:
        """Delete minutes and hours that were kept long enough, at most about so many; return how many."""
        ...


@runtime_checkable
class UsageRows(Protocol):
    """Rows that keep usage. Blocking."""

    def usage(self, query: UsageQuery) -> tuple[Used, ...]:
        """Return what `Usages.usage` does."""
        ...

    def prune_usage(self, now: datetime, most: int) -> int:
        """Delete what `Usages.prune_usage` does."""
        ...


class Part(Struct, frozen=True):
    """Cells of one width that make up a piece of a range."""

    width: Width
    first: int
    """Number of the first cell, counted from 1970."""
    last: int
    """Number of the first one behind it."""


def cube_of(query: UsageQuery, first_day: int | None = None) -> int | None:
    """Return the place of the smallest cube with every dimension that is named; None = there is none.

    Args:
        query: The question.
        first_day: The day, counted from 1970, from which there are cells of the `LATER` cubes.
    """
    named = {*query.by, *(name for name in DIMENSIONS if getattr(query, name) is not None)}
    is_early = first_day is not None and microseconds(query.since) // DAY_US < first_day
    places = range(LATER) if is_early else _BY_SIZE
    return next((at for at in places if named <= set(CUBES[at])), None)


def cube_within(query: UsageQuery) -> int | None:
    """Return the place of the cube that answers a question about one model; None = there is none.

    It tells what the sums of spend tell of such a combination, in fewer cells.
    """
    named = {*query.by, *(name for name in DIMENSIONS if getattr(query, name) is not None)}
    if query.model is None or "model" in query.by:
        return None
    return next((at for at in WITHIN if named - {"model"} <= set(CUBES[at])), None)


def filters_of(query: UsageQuery) -> dict[Dimension, str]:
    """Return the values that are asked for."""
    return {name: value for name in DIMENSIONS if (value := getattr(query, name)) is not None}


def parts_of(query: UsageQuery, cube: int = 0) -> tuple[Part, ...]:
    """Return the cells that make up the range of a query. Raises `InvalidRequest` for minutes not kept."""
    since = microseconds(query.since) // MINUTE_US
    until = -(-microseconds(query.until) // MINUTE_US)
    if cube not in WITH_MINUTES:
        if query.step == "minute":
            raise _only_hours()
        since, until = since // 60 * 60, -(-until // 60) * 60
    if since >= until:
        return ()
    if query.step is not None:
        width = MINUTES[query.step]
        return (Part(query.step, since // width, -(-until // width)),)
    found: list[Part] = []
    ends: list[Part] = []
    for small, large in _PAIRS:
        here, above = MINUTES[small], MINUTES[large]
        first, last = -(-since // above) * above, until // above * above
        if first >= last:
            found.append(Part(small, since // here, until // here))
            since = until
            break
        found.append(Part(small, since // here, first // here))
        ends.append(Part(small, last // here, until // here))
        since, until = first, last
    found.append(Part("day", since // 1440, until // 1440))
    return tuple(part for part in (*found, *reversed(ends)) if part.first < part.last)


def begins(width: Width, number: int) -> datetime:
    """Return when a cell begins."""
    return EPOCH + timedelta(minutes=number * MINUTES[width])


def from_sums(query: UsageQuery) -> SumQuery:
    """Return the question to the sums of spend. Raises `InvalidRequest` for minutes."""
    if query.step == "minute":
        raise _only_hours()
    hour = timedelta(hours=1)
    until = query.until.replace(minute=0, second=0, microsecond=0)
    return SumQuery(
        since=query.since.replace(minute=0, second=0, microsecond=0),
        until=until if until == query.until else until + hour,
        by=query.by,
        per=query.step,
        **filters_of(query),
    )


def _only_hours() -> InvalidRequest:
    return InvalidRequest("step: this combination is kept by the hour; ask for hour or day", param="step")


def of_sum(of: Sum) -> Used:
    """Return what the sums of spend know."""
    return Used(
        group=of.group,
        at=of.at,
        n=of.n,
        n_failed=of.n_failed,
        n_unpriced=of.n_unpriced,
        cost_nusd=of.cost_nusd,
        n_input=of.n_input,
        n_output=of.n_output,
        total_s=round(of.total_s, 6),
        n_cached=None,
        n_hits=None,
        n_guarded=None,
        strong_nusd=None,
        routed_nusd=None,
    )


def counted(
    group: tuple[str, ...], at: datetime | None, sums: Sequence[int], *, names: Sequence[str]
) -> Used:
    """Return a row of counters, named as in `cells.COUNTERS`; of some cells only the first are kept."""
    known = dict(zip(names, sums, strict=True))
    return Used(
        group=group,
        at=at,
        n=known["n"],
        n_failed=known["n_failed"],
        n_unpriced=known["n_unpriced"],
        cost_nusd=known["cost_nusd"],
        n_input=known["n_input"],
        n_output=known["n_output"],
        total_s=known["total_us"] / 1e6,
        n_cached=known.get("n_cached"),
        n_hits=known.get("n_hits"),
        n_guarded=known.get("n_guarded"),
        strong_nusd=known.get("strong_nusd"),
        routed_nusd=known.get("routed_nusd"),
    )


def _weight(of: Used, rank: Rank) -> int:
    match rank:
        case "cost":
            return of.cost_nusd
        case "requests":
            return of.n
        case "errors":
            return of.n_failed
        case "tokens":
            return of.n_input + of.n_output


def ranked(found: Iterable[Used], query: UsageQuery) -> list[Used]:
    """Return rows in the order in which they are told, cut to those asked for."""
    rows = sorted(found, key=lambda each: (-_weight(each, query.rank), -each.n, each.group))
    if query.top is not None and query.step is None:
        return rows[: query.top]
    if query.top is not None:
        heaviest: dict[tuple[str, ...], int] = {}
        for each in rows:
            heaviest[each.group] = heaviest.get(each.group, 0) + _weight(each, query.rank)
        kept = set(sorted(heaviest, key=lambda group: (-heaviest[group], group))[: query.top])
        rows = [each for each in rows if each.group in kept]
    if query.step is not None:
        rows.sort(key=lambda each: each.at or EPOCH)
    return rows


class Shape:
    """Histograms and classes of errors of one row, while they are added up."""

    __slots__ = ("errors", "total", "ttft")

    def __init__(self) -> None:
        self.ttft = 0
        self.total = 0
        self.errors: dict[str, int] = {}


def with_shape(of: Used, shape: Shape) -> Used:
    """Return a row with its latencies."""
    ttft, total = (Latency(*spread.quantiles(each, SHARES)) for each in (shape.ttft, shape.total))
    return replace(of, ttft=ttft, total=total, errors=dict(sorted(shape.errors.items())))
