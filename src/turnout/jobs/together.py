"""A journal and what is said of its requests, forgotten together. Floor 4."""

from datetime import datetime

from turnout.stores.feedback.base import FeedbackStore
from turnout.stores.private.base import Private, Whose


class Together:
    """A `Private` of both. What is counted are the journal's Records."""

    __slots__ = ("_journal", "_words")

    def __init__(self, journal: Private, words: FeedbackStore) -> None:
        self._journal = journal
        self._words = words

    async def owners(self) -> tuple[Whose, ...]:
        """Return everybody who has Records, or had."""
        return await self._journal.owners()

    async def expire(self, whose: Whose, before: datetime, most: int) -> int:
        """Delete old Records; once none is left, what is about them."""
        n = await self._journal.expire(whose, before, most)
        if n < most:
            await self._words.expire(whose, before)
        return n

    async def strip(self, whose: Whose, before: datetime, most: int) -> int:
        """Remove the text of old Records; once none is left, that of what is about them."""
        n = await self._journal.strip(whose, before, most)
        if n < most:
            await self._words.strip(whose, before)
        return n

    async def anonymise(self, customer: str, organisation: str | None, name: str, most: int) -> int:
        """Make Records nobody's, and delete what is about them: it tells what somebody thought."""
        if most == 0:
            await self._words.erase(customer, organisation)
        return await self._journal.anonymise(customer, organisation, name, most)
