"""How fast a budget is spent, and the price of money that follows from it. Floor 4.

Theory of operation (ROUTING.md 1.5).
1. A route whose strategy has the modifier `paced` has a pacer. Its λ is the price of money: quality per USD.
2. Every `INTERVAL_S`: λ ← clip(λ·exp(η(spent/planned - 1))). Planned is what is left of the budget, in equal
   parts over the rest of the period: the profile of traffic is taken as flat. With nothing left λ goes to its
   most. This steers; the hard cap is the budget layer's.
3. Nothing runs beside the requests: intervals that have passed are closed when the next request asks or pays.
   Instants are arguments, so that a replay and a test give the same λ.
4. A period begins at midnight UTC (of Monday, of the first of the month). What a request of the period before
   costs when it ends after midnight counts for neither.
5. Spending is shared through the journal. At the start, what was spent in the periods under way is read from
   it; from then on, once per interval, what was stored since. `seq` numbers rows in the order of their
   commits: rows up to the place are counted already, rows behind it are not. Requests of this process are
   counted when they end and known by their ids, so that none counts twice when its row is read.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from turnout.engine.beside import Threads
from turnout.engine.certified import Standings
from turnout.engine.outputs import Outputs
from turnout.engine.repeats import Repeats
from turnout.engine.sessions import Sessions
from turnout.engine.snapshot import Route
from turnout.errors import StoreUnavailable
from turnout.stores.base import Cursor, Journal, Query
from turnout.strategies.base import Pace
from turnout.strategies.modifiers import Paced
from turnout.strategies.pipeline.parts import pipelines
from turnout.types.record import Record

INTERVAL_S: Final = 60.0
START: Final = 1.0
"""λ before anything is known."""
MAX_CATCH_UP: Final = 120
"""Intervals without a request that are closed one by one; a longer silence counts as this one."""
MAX_OWN = 100_000
"""Requests of this process kept by id until their rows are read; some 10 MB, and only while rows are late."""
PAGE = 1000
log_pace = logging.getLogger("turnout.pace")


class Pacer:
    """λ of one route.

    Attributes:
        rules: The modifier as configured.
        lambda_: Quality per USD now.
        shares: Whether what others spent is read from a journal.
        spent_usd: Since the period began.
    """

    __slots__ = ("_closed_at", "_in_interval", "_own", "_period", "lambda_", "rules", "shares", "spent_usd")

    def __init__(self, rules: Paced) -> None:
        self.rules = rules
        self.lambda_ = min(rules.most, max(rules.least, START))
        self.spent_usd = 0.0
        self.shares = False
        self._in_interval = 0.0
        self._own: dict[str, None] = {}
        """Requests counted here whose rows were not read yet, oldest first."""
        self._closed_at: datetime | None = None
        self._period: datetime | None = None

    def pace(self, at: datetime) -> Pace:
        """Return what the pacer says at an instant."""
        self._close(at)
        return Pace(lambda_=self.lambda_)

    def spend(self, at: datetime, usd: float, request_id: str = "") -> None:
        """Take in what a request of this process cost."""
        if self.shares and request_id:
            self._own[request_id] = None
            if len(self._own) > MAX_OWN:
                del self._own[next(iter(self._own))]
        if self._close(at):
            self.spent_usd += usd
            self._in_interval += usd

    def resume(self, at: datetime, spent_usd: float) -> None:
        """Begin within a period in which so much was spent already."""
        self._close(at)
        self.spent_usd += spent_usd

    def read(self, record: Record, at: datetime) -> float:
        """Return the USD that a row adds to the period that holds `at`: none where it is counted already."""
        if record.request_id in self._own:
            del self._own[record.request_id]
            return 0.0
        begins, _ = period(self.rules.period, at)
        return (record.outcome.cost_nusd or 0) * 1e-9 if record.at >= begins else 0.0

    def _close(self, at: datetime) -> bool:
        """Close the intervals that have passed; return whether the instant is of the period under way."""
        begins, ends = period(self.rules.period, at)
        if self._period is not None and begins < self._period:
            return False
        if self._period != begins:
            self._period, self.spent_usd, self._in_interval = begins, 0.0, 0.0
        if self._closed_at is None:
            self._closed_at = at
        for _ in range(MAX_CATCH_UP):
            if (at - self._closed_at).total_seconds() < INTERVAL_S:
                return True
            self._closed_at += timedelta(seconds=INTERVAL_S)
            left_s = max(INTERVAL_S, (ends - self._closed_at).total_seconds() + INTERVAL_S)
            before = self.spent_usd - self._in_interval
            planned = max(0.0, self.rules.budget_usd - before) * INTERVAL_S / left_s
            self.lambda_ = self.rules.step(self.lambda_, self._in_interval, planned)
            self._in_interval = 0.0
        self._closed_at = at
        return True


class Pacers:
    """The pacers of all routes that have one. A reload keeps what was spent."""

    __slots__ = ("_pacers", "_place")

    def __init__(self) -> None:
        self._pacers: dict[str, Pacer] = {}
        self._place: Cursor | None = None
        """The last row of the journal that was counted."""

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

    def spend(self, route: str, at: datetime, usd: float, request_id: str = "") -> None:
        """Take in what a request of a route cost."""
        pacer = self._pacers.get(route)
        if pacer is not None:
            pacer.spend(at, usd, request_id)

    async def resume(self, journal: Journal, at: datetime) -> None:
        """Read what the journal holds that was not counted yet: at the start, and once per interval.

        Raises:
            StoreUnavailable: The journal cannot be read now; nothing is lost by asking again.
        """
        if not self._pacers:
            return
        if self._place is None:
            self._place = await _last_place(journal)
        else:
            await self._follow(journal, at)
        place = self._place
        for name, pacer in [*self._pacers.items()]:
            if pacer.shares:
                continue
            pacer.shares = True
            begins, _ = period(pacer.rules.period, at)
            usd = 0.0
            async for seq, record in _rows(
                journal, Query(route=name, since=begins, order="oldest", limit=PAGE)
            ):
                usd += pacer.read(record, at) if seq <= place.seq else 0.0
            pacer.resume(at, usd)

    async def _follow(self, journal: Journal, at: datetime) -> None:
        query = Query(order="stored", limit=PAGE, after=self._place)
        async for seq, record in _rows(journal, query):
            pacer = self._pacers.get(record.decision.route) if record.decision is not None else None
            if pacer is not None and pacer.shares:
                pacer.spend(at, pacer.read(record, at))
            self._place = Cursor(0, seq)


class Remembered(Struct, frozen=True):
    """What outlives requests and configurations, and decisions read."""

    sessions: Sessions | None = None
    pacers: Pacers | None = None
    threads: Threads | None = None
    """Where slow signals are computed; None = in threads of the configuration's own."""
    standings: Standings | None = None
    """How the routes' certificates are doing."""
    outputs: Outputs = field(default_factory=Outputs)
    """How much each deployment writes on each route."""
    repeats: Repeats = field(default_factory=Repeats)
    """Which blocks of text each tenant repeats."""


async def share(
    pacers: Pacers, journal: Journal, sleep: Callable[[float], Awaitable[None]], now: Callable[[], datetime]
) -> None:
    """Read once per interval what others spent, until cancelled."""
    while True:
        await sleep(INTERVAL_S)
        try:
            await pacers.resume(journal, now())
        except StoreUnavailable as error:
            log_pace.warning("what other processes spent is not known now: %s", error)


def paced(route: Route) -> Paced | None:
    """Return the modifier that paces a route's spending, wherever in its strategy; None = nothing does."""
    for pipeline in pipelines(route.strategy):
        for part in pipeline.modify:
            if isinstance(part, Paced):
                return part
    return None


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


async def _last_place(journal: Journal) -> Cursor:
    """Return the place up to which rows are stored: everything behind it is stored later."""
    page = await journal.query(Query(order="newest", limit=PAGE))
    return Cursor(0, max((entry.cursor.seq for entry in page.entries), default=0))


async def _rows(journal: Journal, query: Query) -> AsyncIterator[tuple[int, Record]]:
    while True:
        page = await journal.query(query)
        for entry in page.entries:
            yield entry.cursor.seq, entry.record
        if not page.more:
            return
        query = replace(query, after=page.entries[-1].cursor)
