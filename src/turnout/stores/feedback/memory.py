"""Feedback that lives and dies with the process, bounded. Floor 3."""

from datetime import datetime

from msgspec.structs import replace

from turnout.stores.columns import microseconds
from turnout.stores.feedback.base import FeedbackQuery, Place, QualityDay, Told, by_day, match
from turnout.stores.private.base import Whose
from turnout.types.feedback import Feedback

CAPACITY = 50_000


class MemoryFeedback:
    """A `FeedbackStore` of the latest words; the oldest makes room."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._kept: dict[str, Told] = {}
        self._seq = 0

    async def put(self, feedback: Feedback) -> bool:
        """Keep one word; see `FeedbackStore.put`."""
        old = self._kept.get(feedback.id)
        if old is None:
            self._seq += 1
        place = Place(microseconds(feedback.at), self._seq if old is None else old.place.seq)
        self._kept[feedback.id] = Told(place, feedback)
        if len(self._kept) > self._capacity:
            del self._kept[next(iter(self._kept))]
        return old is None

    async def query(self, query: FeedbackQuery) -> tuple[Told, ...]:
        """Return what matches, newest first."""
        found = [told for told in self._kept.values() if match(told.feedback, query)]
        found.sort(key=_key, reverse=True)
        after = query.after
        kept = [told for told in found if after is None or _key(told) < (after.at_us, after.seq)]
        return tuple(kept[: query.limit])

    async def quality(
        self, route: str, since: datetime | None, until: datetime | None, organisation: str | None
    ) -> tuple[QualityDay, ...]:
        """Return what judges said; see `FeedbackStore.quality`."""
        return by_day(
            told.feedback
            for told in self._kept.values()
            if told.feedback.route == route
            and (since is None or told.feedback.asked_at >= since)
            and (until is None or told.feedback.asked_at < until)
            and organisation in {None, told.feedback.organisation}
        )

    async def expire(self, whose: Whose, before: datetime) -> int:
        """Delete what is about old requests."""
        gone = self._of(whose, before)
        for told in gone:
            del self._kept[told.feedback.id]
        return len(gone)

    async def strip(self, whose: Whose, before: datetime) -> int:
        """Remove the text of old ones."""
        found = [told for told in self._of(whose, before) if told.feedback.text is not None]
        for told in found:
            self._kept[told.feedback.id] = Told(told.place, replace(told.feedback, text=None))
        return len(found)

    async def erase(self, customer: str, organisation: str | None) -> int:
        """Delete all about a customer's requests."""
        gone = [
            each.feedback.id
            for each in self._kept.values()
            if each.feedback.customer == customer and organisation in {None, each.feedback.organisation}
        ]
        for name in gone:
            del self._kept[name]
        return len(gone)

    async def close(self) -> None:
        """Return: there is nothing to let go of."""

    def _of(self, whose: Whose, before: datetime) -> list[Told]:
        return [
            told
            for told in self._kept.values()
            if Whose(told.feedback.organisation, told.feedback.project) == whose
            and told.feedback.asked_at < before
        ]


def _key(told: Told) -> tuple[int, int]:
    return told.place.at_us, told.place.seq
