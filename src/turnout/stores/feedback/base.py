"""What every store of feedback promises, and the columns it is found by. Floor 3."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Protocol

import msgspec
from msgspec import Struct

from turnout.stores.columns import EPOCH, microseconds
from turnout.stores.private.base import Whose
from turnout.types.feedback import JUDGED, Feedback

DAY_US = 86_400_000_000
EVER = (-(2**62), 2**62)
"""Instants before and after all others."""
_ENCODE = msgspec.msgpack.Encoder().encode
_DECODE = msgspec.msgpack.Decoder(Feedback).decode


class Place(Struct, frozen=True):
    """A place in the order of saying."""

    at_us: int
    seq: int

    def __str__(self) -> str:
        return f"{self.at_us}.{self.seq}"

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Read what `str` wrote. Raises ValueError on anything else."""
        at_us, dot, seq = text.partition(".")
        if not dot:
            raise ValueError("a place has the form AT.SEQ")
        return cls(int(at_us), int(seq))


class FeedbackQuery(Struct, frozen=True, kw_only=True):
    """Which feedback to return, newest first. Every field given must match."""

    since: datetime | None = None
    """Said at or after."""
    until: datetime | None = None
    """Said before."""
    request_id: str | None = None
    route: str | None = None
    kind: str | None = None
    organisation: str | None = None
    after: Place | None = None
    """Only what was said before this place."""
    limit: int = 100


class Told(Struct, frozen=True):
    """One word with its place."""

    place: Place
    feedback: Feedback


class QualityDay(Struct, frozen=True, kw_only=True):
    """What judges said of one day's requests: sums over weights of one over the chance of being drawn."""

    day: int
    """Days since 1970."""
    n: int
    weight: float
    weight_squared: float
    total: float
    """Of weight times score."""
    squares: float
    """Of weight times the square of the score."""

    @property
    def at(self) -> datetime:
        """Where the day begins."""
        return EPOCH + timedelta(days=self.day)


class FeedbackStore(Protocol):
    """Keeps feedback. All raise `StoreUnavailable`."""

    async def put(self, feedback: Feedback) -> bool:
        """Keep one word in place of the same speaker's earlier one; tell whether it is the first."""
        ...

    async def query(self, query: FeedbackQuery) -> tuple[Told, ...]:
        """Return what matches, newest first."""
        ...

    async def quality(
        self, route: str, since: datetime | None, until: datetime | None, organisation: str | None
    ) -> tuple[QualityDay, ...]:
        """Return what judges said of a route's requests, by the day of arrival, oldest first."""
        ...

    async def expire(self, whose: Whose, before: datetime) -> int:
        """Delete what is about requests that arrived before an instant; return how many."""
        ...

    async def strip(self, whose: Whose, before: datetime) -> int:
        """Remove the text of such; return of how many."""
        ...

    async def erase(self, customer: str, organisation: str | None) -> int:
        """Delete all about a customer's requests; return how many."""
        ...

    async def close(self) -> None:
        """Let go of every resource."""
        ...


def encode(feedback: Feedback) -> bytes:
    """Write feedback as its payload."""
    return _ENCODE(feedback)


def decode(payload: bytes) -> Feedback:
    """Read a payload."""
    return _DECODE(payload)


def values_of(of: Feedback) -> tuple[object, ...]:
    """Return the values of the columns, in the order in which both databases insert them."""
    return (
        of.id,
        of.request_id,
        microseconds(of.at),
        microseconds(of.asked_at),
        of.kind,
        of.score,
        of.chance,
        of.route,
        of.organisation,
        of.project,
        of.customer,
        of.text is not None,
        encode(of),
    )


def asked_of(query: FeedbackQuery) -> dict[str, str | int]:
    """Return what a query asks of single columns: each database has its own test of each."""
    asked = {name: getattr(query, name) for name in ("request_id", "route", "kind", "organisation")}
    found: dict[str, str | int] = {name: value for name, value in asked.items() if value is not None}
    if query.since is not None:
        found["since"] = microseconds(query.since)
    if query.until is not None:
        found["until"] = microseconds(query.until)
    return found


def match(feedback: Feedback, query: FeedbackQuery) -> bool:
    """Tell whether feedback is what is asked for; order, place and limit are the store's part."""
    return (
        (query.since is None or feedback.at >= query.since)
        and (query.until is None or feedback.at < query.until)
        and query.request_id in {None, feedback.request_id}
        and query.route in {None, feedback.route}
        and query.kind in {None, feedback.kind}
        and query.organisation in {None, feedback.organisation}
    )


def by_day(found: Iterable[Feedback]) -> tuple[QualityDay, ...]:
    """Sum what judges said, by the day of the requests."""
    sums: dict[int, list[float]] = {}
    for each in found:
        if each.kind in JUDGED and each.score is not None:
            cell = sums.setdefault(microseconds(each.asked_at) // DAY_US, [0, 0.0, 0.0, 0.0, 0.0])
            weight = 1.0 / each.chance
            told = (1, weight, weight * weight, weight * each.score, weight * each.score**2)
            for at, value in enumerate(told):
                cell[at] += value
    return tuple(
        QualityDay(day=day, n=int(n), weight=weight, weight_squared=squared, total=total, squares=squares)
        for day, (n, weight, squared, total, squares) in sorted(sums.items())
    )
