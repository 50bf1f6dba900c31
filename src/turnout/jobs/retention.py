"""Removes text and Records that were kept long enough, in small batches beside the writer. Floor 4."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

from msgspec import Struct

from turnout.errors import StoreUnavailable
from turnout.jobs.together import Together
from turnout.stores.feedback.base import FeedbackStore
from turnout.stores.private.base import Private, Whose
from turnout.stores.sums.usage import Usages

PASS_S: Final = 300.0
"""Between two passes."""
BATCH: Final = 500
PAUSE_S: Final = 0.05
"""Between two batches: the writer's turn."""
MOST_CELLS: Final = 5_000
log = logging.getLogger("turnout.retention")


class Term(Struct, frozen=True):
    """How long something is kept, in days; None = for ever."""

    records: int | None = None
    content: int | None = None


class Removed(Struct, frozen=True):
    """What one pass removed of somebody."""

    whose: Whose
    records: int
    texts: int


Terms = Callable[[], Awaitable[Callable[[Whose], Term]]]
"""Returns the rules as they are now."""
Tell = Callable[[Removed], Awaitable[None]]
Sleep = Callable[[float], Awaitable[None]]


async def enforce(
    journal: Private,
    term_of: Callable[[Whose], Term],
    now: datetime,
    tell: Tell,
    sleep: Sleep = asyncio.sleep,
) -> int:
    """Remove all that was kept long enough; return how many Records and texts. Raises `StoreUnavailable`."""
    total = 0
    for whose in await journal.owners():
        term, texts, records = term_of(whose), 0, 0
        if term.content is not None:
            before = now - timedelta(days=term.content)
            while n := await journal.strip(whose, before, BATCH):
                texts += n
                await sleep(PAUSE_S)
        if term.records is not None:
            before = now - timedelta(days=term.records)
            while n := await journal.expire(whose, before, BATCH):
                records += n
                await sleep(PAUSE_S)
        if texts or records:
            await tell(Removed(whose, records, texts))
        total += texts + records
    return total


async def keep_house(
    journal: object,
    terms: Terms,
    now: Callable[[], datetime],
    tell: Tell,
    sleep: Sleep = asyncio.sleep,
    words: FeedbackStore | None = None,
) -> None:
    """Enforce retention until cancelled; a store that refuses is tried again at the next pass."""
    while True:
        try:
            if isinstance(journal, Usages):
                while await journal.prune_usage(now(), MOST_CELLS) >= MOST_CELLS:
                    await sleep(PAUSE_S)
            if isinstance(journal, Private):
                both = journal if words is None else Together(journal, words)
                await enforce(both, await terms(), now(), tell, sleep)
        except StoreUnavailable as failure:
            log.warning("retention waits: %s", failure.message)
        await sleep(PASS_S)
