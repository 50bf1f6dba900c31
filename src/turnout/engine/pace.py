"""How fast a budget is spent, and the price of money that follows from it. Floor 4.

Theory of operation (ROUTING.md 1.5).
1. A route whose strategy has the modifier `paced` has a pacer. Its λ is the price of money: quality per USD.
2. Every `INTERVAL_S`: λ ← clip(λ·exp(η(spent/planned - 1))). Planned is what is left of the budget, in equal
   parts over the rest of the period: the profile of traffic is taken as flat. With nothing left λ goes to its
   most. This steers; the hard cap is the budget layer's.
3. Nothing runs beside the requests: intervals that have passed are closed when the next request asks or pays.
   Instants are arguments, so that a replay and a test give the same λ.
4. A period begins at midnight UTC (of Monday, of the first of the month). Spending of a period under way is
   taken from the journal when a process starts. Several workers each see their own spending until then.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from turnout.engine.sessions import Sessions
from turnout.engine.snapshot import Route
from turnout.stores.base import Journal, Query
from turnout.strategies.base import Pace
from turnout.strategies.modifiers import Paced
from turnout.strategies.pipeline import Pipeline

INTERVAL_S: Final = 60.0
START: Final = 1.0
"""λ before anything is known."""
MAX_CATCH_UP: Final = 120
"""Intervals without a request that are closed one by one; a longer silence counts as this one."""


class Pacer:
    """λ of one route.

    Attributes:
        rules: The modifier as configured.
        lambda_: Quality per USD now.
        spent_usd: Since the period began.
    """

    __slots__ = ("_closed_at", "_in_interval", "_period", "lambda_", "rules", "spent_usd")

    def __init__(self, rules: Paced) -> None:
        self.rules = rules
        self.lambda_ = min(rules.most, max(rules.least, START))
        self.spent_usd = 0.0
        self._in_interval = 0.0
        self._closed_at: datetime | None = None
        self._period: datetime | None = None

    def pace(self, at: datetime) -> Pace:
        """Return what the pacer says at an instant."""
        self._close(at)
        return Pace(lambda_=self.lambda_)

    def spend(self, at: datetime, usd: float) -> None:
        """Take in what a request cost."""
        self._close(at)
        self.spent_usd += usd
        self._in_interval += usd

    def resume(self, at: datetime, spent_usd: float) -> None:
        """Begin within a period in which so much was spent already."""
        self._close(at)
        self.spent_usd += spent_usd

    def _close(self, at: datetime) -> None:
        """Close the intervals that have passed."""
        begins, ends = period(self.rules.period, at)
        if self._period != begins:
            self._period, self.spent_usd, self._in_interval = begins, 0.0, 0.0
        if self._closed_at is None:
            self._closed_at = at
        for _ in range(MAX_CATCH_UP):
            if (at - self._closed_at).total_seconds() < INTERVAL_S:
                return
            self._closed_at += timedelta(seconds=INTERVAL_S)
            left_s = max(INTERVAL_S, (ends - self._closed_at).total_seconds() + INTERVAL_S)
            before = self.spent_usd - self._in_interval
            planned = max(0.0, self.rules.budget_usd - before) * INTERVAL_S / left_s
            self.lambda_ = self.rules.step(self.lambda_, self._in_interval, planned)
            self._in_interval = 0.0
        self._closed_at = at


class Pacers:
    """The pacers of all routes that have one. A reload keeps what was spent."""

    __slots__ = ("_pacers",)

    def __init__(self) -> None:
        self._pacers: dict[str, Pacer] = {}

    def keep(self, routes: Mapping[str, Route]) -> None:
        """Have a pacer for each of these routes that asks for one, and for no other."""
        found: dict[str, Pacer] = {}
        for name, route in routes.items():
            rules = paced(route)
            if rules is None:
                continue
            found[name] = self._pacers.get(name) or Pacer(rules)
            found[name].rules = rules
        self._pacers = found

    def __getitem__(self, route: str) -> Pacer:
        return self._pacers[route]

    def __bool__(self) -> bool:
        return bool(self._pacers)

    def pace(self, route: str, at: datetime) -> Pace | None:
        """Return what the route's pacer says; None where it has none."""
        pacer = self._pacers.get(route)
        return None if pacer is None else pacer.pace(at)

    def spend(self, route: str, at: datetime, usd: float) -> None:
        """Take in what a request of a route cost."""
        pacer = self._pacers.get(route)
        if pacer is not None:
            pacer.spend(at, usd)

    async def resume(self, journal: Journal, at: datetime) -> None:
        """Read from the journal what was spent in the periods under way."""
        for name, pacer in self._pacers.items():
            begins, _ = period(pacer.rules.period, at)
            pacer.resume(at, await _spent_usd(journal, name, begins))


class Remembered(Struct, frozen=True):
    """What outlives requests and configurations, and decisions read."""

    sessions: Sessions | None = None
    pacers: Pacers | None = None


def paced(route: Route) -> Paced | None:
    """Return the modifier of a route that paces its spending; None where there is none."""
    strategy = route.strategy
    parts = strategy.modify if isinstance(strategy, Pipeline) else ()
    return next((part for part in parts if isinstance(part, Paced)), None)


def period(word: str, at: datetime) -> tuple[datetime, datetime]:
    """Return begin and end of the calendar period that holds an instant (aware UTC)."""
    hour = at.replace(minute=0, second=0, microsecond=0)
    day = hour.replace(hour=0)
    match word:
        case "hour":
            return hour, hour + timedelta(hours=1)
        case "day":
            return day, day + timedelta(days=1)
        case "week":
            monday = day - timedelta(days=day.weekday())
            return monday, monday + timedelta(days=7)
        case _:
            first = day.replace(day=1)
            return first, (first + timedelta(days=32)).replace(day=1)


async def _spent_usd(journal: Journal, route: str, since: datetime) -> float:
    nusd = 0
    query = Query(route=route, since=since, order="oldest", limit=1000)
    while True:
        page = await journal.query(query)
        nusd += sum(record.outcome.cost_nusd or 0 for record in page.records)
        if not page.more:
            return nusd * 1e-9
        query = Query(route=route, since=since, order="oldest", limit=1000, after=page.entries[-1].cursor)
